#include "jobs/privacy/rdp.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>

#include "jobs/privacy/binomial.h"
#include "jobs/privacy/divergence.h"

/* The quadrature leaves out what lies further than this many standard deviations from
 * the span of the two modes: a relative e^-50 times a polynomial. */
#define TAIL 10.0

/* Sums are kept as sum * e^shift; a term above e^RESCALE moves the shift. */
#define RESCALE 600.0

/* What is e^-SKIP of the integrand's value at a mode is left out: with fewer than 2^20
 * nodes a relative e^-46 at most. */
#define SKIP 60.0

static const double sqrt_two_pi = 2.50662827463100050242;

/* What one node x of the quadrature offers to every order: the density ratio r = 1 + y
 * of the mixture to N(0,s^2) at z = s x. */
struct node {
    double x, half_square;
    double y, log_r;
    double one_minus_inverse; /* 1 - 1/r, where r > 1 */
};

static struct node node_at(double x, double s, double q)
{
    double w = x / s - 1 / (2 * s * s);
    struct node node = {.x = x, .half_square = x * x / 2};
    if (w > 600) { /* e^w would overflow */
        node.y = INFINITY;
        node.log_r = log(q) + w + log1p((1 - q) / q * exp(-w));
    } else {
        node.y = q * expm1(w);
        node.log_r = log1p(node.y);
    }
    node.one_minus_inverse = -expm1(-node.log_r);
    return node;
}

/* (1+y)^a - 1 - a y by its power series; |a y| < 0.1, |y| < 0.1. */
static double excess_series(double alpha, double y)
{
    double term = alpha * (alpha - 1) / 2 * y * y, sum = term;
    for (int k = 3; k <= 12; k++) {
        term *= y * (alpha - k + 1) / k;
        sum += term;
    }
    return sum;
}

/* A running sum of e^{-x^2/2} ((1+y)^a - 1 - a y), kept as sum * e^shift. By
 * Bernoulli's inequality no term is negative. Terms below e^floor are not worth it. */
struct excess {
    double alpha, sum, shift, floor;
};

static void excess_add(struct excess *e, const struct node *node)
{
    double alpha = e->alpha, y = node->y, log_power = alpha * node->log_r;
    if (fabs(y) * fmax(alpha, 1) < 0.1) {
        e->sum += excess_series(alpha, y) * exp(-node->half_square - e->shift);
    } else if (log_power <= 1) {
        double f = (1 + y) * expm1((alpha - 1) * node->log_r) - (alpha - 1) * y;
        e->sum += f * exp(-node->half_square - e->shift);
    } else {
        /* the same, divided by (1+y)^a so that it cannot overflow */
        double u = -expm1(-(alpha - 1) * node->log_r);
        double f = u - (alpha - 1) * (1 - u) * node->one_minus_inverse;
        double size = log_power - node->half_square;
        if (size - e->shift > RESCALE) {
            e->sum *= exp(e->shift - size);
            e->shift = size;
        }
        e->sum += f * exp(size - e->shift);
    }
}

/* Step of the trapezoid rule. The integrand is analytic for |Im x| < pi s, where r = 0
 * first happens, and grows there by e^{v^2/2} at most, so the error is of the order of
 * e^{v^2/2 - 2 pi v/h}, v = min(pi s, 2 pi/h): below e^-36 for this h. */
static double quadrature_step(double s)
{
    double pi_squared = M_PI * M_PI;
    return s > 1 ? 0.48 : 2 * pi_squared * s / (36 + pi_squared * s * s / 2);
}

/* log of a lower bound of the largest term of an order's sum, less SKIP: its values at
 * the modes of (1+y)^2 and (1+y)^a, and on the way. */
static double floor_of(double alpha, double s, double q)
{
    double largest = -INFINITY;
    const double places[] = {-1, 1, 2 / s, alpha / s};
    for (int i = 0; i < 4; i++) {
        struct excess one = {.alpha = alpha};
        struct node node = node_at(places[i], s, q);
        excess_add(&one, &node);
        largest = fmax(largest, one.shift + log(one.sum));
    }
    return largest - SKIP;
}

/* Without the node's own exponentials: r <= 2 max(1, q e^w), and the term is at most
 * r^a where x >= 2. */
static bool is_negligible(const struct excess *e, double x, double s, double q)
{
    double log_r = fmax(0, log(q) + x / s - 1 / (2 * s * s)) + M_LN2;
    return x >= 2 && e->alpha * log_r - x * x / 2 < e->floor;
}

/* log(A - 1) = log E_x[(1+y)^a - 1 - a y], as E[y] = 0. */
static void quadrature_log_excess(struct excess *sums, int n, double s, double q)
{
    double step = quadrature_step(s), end = 0;
    for (int i = 0; i < n; i++) {
        end = fmax(end, fmax(sums[i].alpha, 2) / s);
        sums[i].floor = floor_of(sums[i].alpha, s, q);
    }
    long n_nodes = (long)ceil((end + 2 * TAIL) / step) + 1;
    for (long j = 0; j < n_nodes; j++) {
        double x = -TAIL + (double)j * step;
        if (n == 1 && is_negligible(&sums[0], x, s, q))
            continue;
        struct node node = node_at(x, s, q);
        for (int i = 0; i < n; i++) {
            double alpha = sums[i].alpha;
            /* (1+y)^a is the most that the term can be where y > 0 */
            if (node.y > 0 && alpha * node.log_r - node.half_square < sums[i].floor)
                continue;
            if (node.x <= fmax(alpha, 2) / s + TAIL)
                excess_add(&sums[i], &node);
        }
    }
    for (int i = 0; i < n; i++)
        sums[i].shift += log(sums[i].sum * step / sqrt_two_pi);
}

static double rho_from_log_excess(double log_excess, double alpha, double s)
{
    double rho = divergence_log1p_exp(log_excess) / (alpha - 1) * (1 + RDP_SLACK);
    return fmin(rho, alpha / (2 * s * s) * (1 + RDP_SLACK)); /* never above q = 1 */
}

static bool is_whole(double alpha)
{
    return alpha <= BINOMIAL_MAX_ORDER && alpha == floor(alpha);
}

#define BATCH 128

/* log(e^{(k^2-k)/2s^2} - 1): with the binomial law's own sum taken off, what is left of
 * sum_k C(a,k) (1-q)^(a-k) q^k e^{(k^2-k)/2s^2} is A - 1. */
static void gaussian_gain(int max_order, double s, double *ret_log_gain)
{
    for (int k = 2; k <= max_order; k++)
        ret_log_gain[k] = divergence_log_expm1((double)k * (k - 1) / (2 * s * s));
}

static void curve_batch(const double *alphas, int n, double s, double q,
                        double *ret_rho)
{
    struct binomial binomial;
    struct excess sums[BATCH];
    double log_gain[BINOMIAL_MAX_ORDER + 1] = {0};
    int n_sums = 0, max_order = 0;
    for (int i = 0; i < n; i++) {
        assert(alphas[i] > 1);
        if (!is_whole(alphas[i]))
            sums[n_sums++] = (struct excess){.alpha = alphas[i]};
        else if ((int)alphas[i] > max_order)
            max_order = (int)alphas[i];
    }
    gaussian_gain(max_order, s, log_gain);
    binomial_init(&binomial, max_order, q, log1p(-q), log_gain);
    quadrature_log_excess(sums, n_sums, s, q);
    n_sums = 0;
    for (int i = 0; i < n; i++) {
        double log_excess = is_whole(alphas[i])
                                ? binomial_log_excess(&binomial, (int)alphas[i])
                                : sums[n_sums++].shift;
        ret_rho[i] = rho_from_log_excess(log_excess, alphas[i], s);
    }
}

void rdp_subsampled_gaussian_curve(const double *alphas, int n, double noise_multiplier,
                                   double sample_rate, double *ret_rho)
{
    double s = noise_multiplier, q = sample_rate;
    assert(s >= RDP_MIN_NOISE && s <= RDP_MAX_NOISE && q >= RDP_MIN_RATE && q <= 1);
    for (int i = 0; i < n && q == 1; i++)
        ret_rho[i] = alphas[i] / (2 * s * s) * (1 + RDP_SLACK);
    for (int i = 0; i < n && q < 1; i += BATCH)
        curve_batch(alphas + i, n - i < BATCH ? n - i : BATCH, s, q, ret_rho + i);
}

double rdp_subsampled_gaussian(double alpha, double noise_multiplier,
                               double sample_rate)
{
    double rho;
    rdp_subsampled_gaussian_curve(&alpha, 1, noise_multiplier, sample_rate, &rho);
    return rho;
}

/* Step for E_x[(1+y)^-u - 1 + u y]. On the line Im x = v, |r| >= r cos(v/2s), so the
 * integrand grows by e^{v^2/2} cos(v/2s)^-u at most, and the error is that times
 * e^{-2 pi v/h}: below e^-36 for this h, at any v < pi s. This v is near the best. */
static double add_step(double u, double s)
{
    double v = fmin(8.5 / sqrt(1 + u / (4 * s * s)), 2 * s);
    return 2 * M_PI * v / (36 + v * v / 2 - u * log(cos(v / (2 * s))));
}

double rdp_subsampled_gaussian_add(double alpha, double noise_multiplier,
                                   double sample_rate)
{
    double s = noise_multiplier, q = sample_rate, u = alpha - 1;
    assert(s >= RDP_MIN_NOISE && s <= RDP_MAX_NOISE && q >= RDP_MIN_RATE && q <= 1);
    assert(alpha > 1);
    if (q == 1)
        return rdp_subsampled_gaussian(alpha, s, 1);
    /* beyond 1/s + TAIL the integrand is at most u y e^{-x^2/2}; on the left r^-u
     * e^{-x^2/2} is log-concave with its mode above -u (log r)'(0) */
    struct node centre = node_at(0, s, q);
    double odds = q * exp(-1 / (2 * s * s) - centre.log_r);
    double low = -TAIL - u * odds / s, step = add_step(u, s);
    double largest = -INFINITY, sum = 0;
    long n_nodes = (long)ceil((1 / s + TAIL - low) / step) + 1;
    for (long j = 0; j < n_nodes; j++) {
        struct node node = node_at(low + (double)j * step, s, q);
        double term = divergence_log_bernoulli(-u, node.log_r) - node.half_square;
        if (term == -INFINITY) /* r = 1 here */
            continue;
        if (term > largest) {
            sum *= exp(largest - term);
            largest = term;
        }
        sum += exp(term - largest);
    }
    double log_excess = largest + log(sum * step / sqrt_two_pi);
    return fmin(rho_from_log_excess(log_excess, alpha, s),
                -log1p(-q) * (1 + RDP_SLACK));
}
