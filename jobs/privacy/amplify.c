#include "jobs/privacy/amplify.h"

#include <assert.h>
#include <math.h>

#include "jobs/privacy/binomial.h"
#include "jobs/privacy/divergence.h"

/* Room for rounding: every sum below has positive terms, at most 2048 of them. */
#define SLACK 1e-11

/* Even moments E_Q[(P/Q - 1)^l] of the Gaussian are found up to this l. */
#define MAX_MOMENT 512

/* Enough for (l/s + 2 sqrt(l) + 20) / 0.25 at the most useful l, see below. */
#define MAX_NODES 640

typedef double whole_order(const void *context, int order);

/* Fills ret_rho from a bound at whole orders. */
static void interpolate(whole_order *at, const void *context,
                        const struct amplify_base *base, const double *alphas, int n,
                        double *ret_rho)
{
    for (int i = 0; i < n; i++) {
        ret_rho[i] = base->rho(base->context, alphas[i]);
        if (alphas[i] > BINOMIAL_MAX_ORDER)
            continue;
        int above = (int)fmax(ceil(alphas[i]), 2);
        double rho = at(context, above);
        if (alphas[i] < above)
            rho = divergence_between(alphas[i], above > 2 ? at(context, above - 1) : 0,
                                     rho);
        ret_rho[i] = fmin(ret_rho[i], rho);
    }
}

static int max_order(const double *alphas, int n)
{
    int most = 2;
    for (int i = 0; i < n; i++)
        if (alphas[i] <= BINOMIAL_MAX_ORDER && ceil(alphas[i]) > most)
            most = (int)ceil(alphas[i]);
    return most;
}

static double from_binomial(const void *context, int order)
{
    double log_excess = binomial_log_excess(context, order);
    return divergence_log1p_exp(log_excess) / (order - 1) * (1 + SLACK);
}

/* The other direction, at any order. */
static double adding(const struct amplify_base *base, double q, double alpha)
{
    double far = -expm1(-base->loss), z = q * far, u = alpha - 1;
    double log_chi_square =
        divergence_log_expm1(base->rho(base->context, 2)) - 2 * log(far);
    double log_excess = divergence_log_bernoulli(-u, log1p(-z)) + log_chi_square;
    double rho = divergence_log1p_exp(log_excess) / u * (1 + SLACK);
    return fmin(rho, -log1p(-z) * (1 + SLACK));
}

void amplify_poisson(const struct amplify_base *base, double q, const double *alphas,
                     int n, double *ret_rho)
{
    struct binomial binomial;
    double log_gain[BINOMIAL_MAX_ORDER + 1] = {0};
    int most = max_order(alphas, n);
    for (int k = 2; k <= most; k++)
        log_gain[k] = divergence_log_expm1((k - 1) * base->rho(base->context, k));
    binomial_init(&binomial, most, q, log1p(-q), log_gain);
    interpolate(from_binomial, &binomial, base, alphas, n, ret_rho);
    for (int i = 0; i < n; i++) {
        double whole = base->rho(base->context, alphas[i]);
        if (alphas[i] <= BINOMIAL_MAX_ORDER && base->loss > 0)
            ret_rho[i] = fmin(whole, fmax(ret_rho[i], adding(base, q, alphas[i])));
    }
}

/* log E_Q[(P/Q - 1)^l] for even l <= most, P/Q = e^{z/s - 1/2s^2}, z ~ N(0,1), by the
 * trapezoid rule: the integrand is entire, and within |Im z| <= v it grows by e^{v^2}
 * at most, so the error is e^{v^2 - 2 pi v/h}, v = pi/h: below e^-150 for h = 1/4. */
static void gaussian_moments(double s, int most, double ret_log_moments[MAX_MOMENT + 1])
{
    const double step = 0.25, log_scale = log(step / sqrt(2 * M_PI));
    double size[MAX_NODES], half_square[MAX_NODES];
    double low = -sqrt(most) - 10, high = most / s + sqrt(most) + 10;
    int n_nodes = (int)ceil((high - low) / step) + 1;
    assert(n_nodes <= MAX_NODES);
    for (int i = 0; i < n_nodes; i++) {
        double z = low + i * step, w = z / s - 1 / (2 * s * s);
        size[i] = w > 30 ? w : log(fabs(expm1(w)));
        half_square[i] = z * z / 2;
    }
    for (int l = 2; l <= most; l += 2) {
        double largest = -INFINITY, sum = 0;
        for (int i = 0; i < n_nodes; i++)
            largest = fmax(largest, l * size[i] - half_square[i]);
        for (int i = 0; i < n_nodes; i++)
            sum += exp(l * size[i] - half_square[i] - largest);
        ret_log_moments[l] = largest + log(sum) + log_scale;
    }
}

/* log of Theorem 9's factor of q^k C(alpha, k). */
static double log_replaced(const struct amplify_base *base, int k)
{
    double grown = (k - 1) * base->rho(base->context, k);
    double log_distance = base->loss < 1 ? k * log(expm1(base->loss)) : INFINITY;
    double log_gain = grown + fmin(log(2), log_distance);
    if (k == 2)
        log_gain = fmin(log_gain, log(4) + divergence_log_expm1(grown));
    return log_gain;
}

void amplify_without_replacement(const struct amplify_base *base, double q,
                                 const double *alphas, int n, double *ret_rho)
{
    struct binomial binomial;
    double log_gain[BINOMIAL_MAX_ORDER + 1] = {0}, log_moments[MAX_MOMENT + 1] = {0};
    int most = max_order(alphas, n), most_moment = 0;
    if (base->gaussian > 0) { /* beyond, 4 B(k) is larger than 2 e^{(k-1) rho(k)} */
        double noise = base->gaussian;
        double useful = 4 + noise * noise * (1 + 2 * log(1.5 + noise));
        most_moment = 2 * (int)fmin(useful / 2, MAX_MOMENT / 2);
    }
    if (most_moment > most + 1)
        most_moment = (most + 1) / 2 * 2;
    gaussian_moments(base->gaussian, most_moment, log_moments);
    for (int k = 2; k <= most; k++) {
        int even_above = (k + 1) / 2 * 2;
        log_gain[k] = log_replaced(base, k);
        if (k >= 3 && even_above <= most_moment)
            log_gain[k] =
                fmin(log_gain[k],
                     log(4) + (log_moments[k / 2 * 2] + log_moments[even_above]) / 2);
    }
    binomial_init(&binomial, most, q, 0, log_gain);
    interpolate(from_binomial, &binomial, base, alphas, n, ret_rho);
}
