#include "jobs/privacy/rdp.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>

/* Up to this order a whole-numbered alpha goes by the binomial sum. */
#define MAX_BINOMIAL 2048

/* The quadrature leaves out what lies further than this many standard deviations from
 * the span of the two modes: a relative e^-50 times a polynomial. */
#define TAIL 10.0

/* Sums are kept as sum * e^shift; a term above e^RESCALE moves the shift. */
#define RESCALE 600.0

static const double sqrt_two_pi = 2.50662827463100050242;

/* log(1 + e^x). */
static double log1p_exp(double x)
{
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

/* log(e^x - 1), x > 0. */
static double log_expm1(double x)
{
    return x > 30 ? x + log1p(-exp(-x)) : log(expm1(x));
}

/* Terms that all whole orders share. */
struct binomial {
    double log_factorial[MAX_BINOMIAL + 1];
    double head[MAX_BINOMIAL + 1]; /* log(q^k (e^{(k^2-k)/2s^2} - 1) / k!) */
    double log_rest;               /* log(1 - q) */
};

static void binomial_init(struct binomial *b, int max_order, double s, double q)
{
    double sum = 0, lost = 0, log_q = log(q);
    b->log_rest = log1p(-q);
    b->log_factorial[0] = b->log_factorial[1] = 0;
    for (int k = 2; k <= max_order; k++) {
        /* compensated, so that the table is good to about one unit in the last place */
        double term = log(k) - lost, next = sum + term;
        lost = (next - sum) - term;
        sum = next;
        b->log_factorial[k] = sum;
        double grown = (double)k * (k - 1) / (2 * s * s);
        b->head[k] = k * log_q + log_expm1(grown) - sum;
    }
}

/* log(A - 1) for A = sum_k C(a,k) (1-q)^(a-k) q^k e^{(k^2-k)/2s^2}. The binomial
 * probabilities sum to 1, so A - 1 = sum_{k>=2} ... (e^{(k^2-k)/2s^2} - 1): all terms
 * are positive and nothing cancels however small the rate. */
static double binomial_log_excess(const struct binomial *b, int order)
{
    double terms[MAX_BINOMIAL + 1], largest = -INFINITY, sum = 0;
    for (int k = 2; k <= order; k++) {
        terms[k] = b->head[k] + b->log_factorial[order] - b->log_factorial[order - k] +
                   (order - k) * b->log_rest;
        largest = fmax(largest, terms[k]);
    }
    for (int k = 2; k <= order; k++)
        sum += exp(terms[k] - largest);
    return largest + log(sum);
}

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
 * Bernoulli's inequality no term is negative. */
struct excess {
    double alpha, sum, shift;
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

/* log(A - 1) = log E_x[(1+y)^a - 1 - a y], as E[y] = 0. */
static void quadrature_log_excess(struct excess *sums, int n, double s, double q)
{
    double step = quadrature_step(s), end = 0;
    for (int i = 0; i < n; i++)
        end = fmax(end, fmax(sums[i].alpha, 2) / s);
    long n_nodes = (long)ceil((end + 2 * TAIL) / step) + 1;
    for (long j = 0; j < n_nodes; j++) {
        struct node node = node_at(-TAIL + (double)j * step, s, q);
        for (int i = 0; i < n; i++)
            if (node.x <= fmax(sums[i].alpha, 2) / s + TAIL)
                excess_add(&sums[i], &node);
    }
    for (int i = 0; i < n; i++)
        sums[i].shift += log(sums[i].sum * step / sqrt_two_pi);
}

static double rho_from_log_excess(double log_excess, double alpha, double s)
{
    double rho = log1p_exp(log_excess) / (alpha - 1) * (1 + RDP_SLACK);
    return fmin(rho, alpha / (2 * s * s) * (1 + RDP_SLACK)); /* never above q = 1 */
}

static bool is_whole(double alpha)
{
    return alpha <= MAX_BINOMIAL && alpha == floor(alpha);
}

#define BATCH 128

static void curve_batch(const double *alphas, int n, double s, double q,
                        double *ret_rho)
{
    struct binomial binomial;
    struct excess sums[BATCH];
    int n_sums = 0, max_order = 0;
    for (int i = 0; i < n; i++) {
        assert(alphas[i] > 1);
        if (!is_whole(alphas[i]))
            sums[n_sums++] = (struct excess){.alpha = alphas[i]};
        else if ((int)alphas[i] > max_order)
            max_order = (int)alphas[i];
    }
    binomial_init(&binomial, max_order, s, q);
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
