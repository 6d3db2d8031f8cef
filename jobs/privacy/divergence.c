#include "jobs/privacy/divergence.h"

#include <math.h>

/* All of these start from A = E_P[(P/Q)^{alpha-1}] = e^{(alpha-1) D}, compute A - 1 as
 * a sum of positive terms, and end here. */
static double from_log_excess(double log_excess, double alpha)
{
    return divergence_log1p_exp(log_excess) / (alpha - 1) * (1 + DIVERGENCE_SLACK);
}

double divergence_log1p_exp(double x)
{
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

double divergence_log_expm1(double x)
{
    return x > 30 ? x + log1p(-exp(-x)) : log(expm1(x));
}

double divergence_between(double alpha, double below, double above)
{
    if (alpha < 2 || isinf(above))
        return above; /* D grows with the order */
    double order = floor(alpha), part = alpha - order;
    double cgf = (1 - part) * (order - 1) * below + part * order * above;
    return fmin(cgf / (alpha - 1) * (1 + DIVERGENCE_SLACK), above);
}

double divergence_gaussian(double alpha, double noise_multiplier)
{
    return alpha / (2 * noise_multiplier * noise_multiplier) * (1 + DIVERGENCE_SLACK);
}

/* e^x - 1 - x, never negative. */
static double expm1_rest(double x)
{
    if (fabs(x) > 0.5)
        return expm1(x) - x;
    double term = x * x / 2, sum = 0;
    for (int k = 3; k <= 18; k++) {
        sum += term;
        term *= x / k;
    }
    return sum;
}

/* log(c1 e^{u t} + c2 e^{-(u+1) t}) / u for c1 + c2 = 1 - (rest of the excess at 0):
 * where the first exponential is large nothing cancels, elsewhere the excess is summed
 * from the parts of the exponentials beyond their linear terms, and `linear`, what
 * those linear terms add up to. */
static double two_exponentials(double alpha, double t, double c1, double c2,
                               double linear)
{
    double u = alpha - 1;
    if (u * t > 30) {
        double log_a = u * t + log(c1 + c2 * exp(-(alpha + u) * t));
        return log_a / u * (1 + DIVERGENCE_SLACK);
    }
    double excess = c1 * expm1_rest(u * t) + c2 * expm1_rest(-alpha * t) + linear;
    return from_log_excess(log(excess), alpha);
}

/* A = alpha/(2 alpha - 1) e^{(alpha-1)t} + (alpha-1)/(2 alpha - 1) e^{-alpha t}: the
 * linear terms cancel. */
double divergence_laplace(double alpha, double t)
{
    double both = 2 * alpha - 1;
    return two_exponentials(alpha, t, alpha / both, (alpha - 1) / both, 0);
}

/* x - tanh x for x >= 0, by Lambert's continued fraction where the two are close. */
static double minus_tanh(double x)
{
    if (x > 1)
        return x - tanh(x);
    double square = x * x, tail = 0;
    for (int odd = 21; odd >= 5; odd -= 2)
        tail = square / (odd + tail);
    double fraction = square / (3 + tail);
    return x * fraction / (1 + fraction);
}

/* With h = 1/b, a = e^-h, r = e^{-(2 alpha - 1) h}, t = sensitivity h, summing over the
 * whole numbers left of, between and right of the two centres gives
 * A = c1 e^{(alpha-1)t} + c2 e^{-alpha t} with c1 = (1 - a r)/((1+a)(1-r)),
 * c2 = (a - r)/((1+a)(1-r)), c1 + c2 = 1, and ((alpha-1) c1 - alpha c2) t for the
 * linear terms. With d = h/2, m = (2 alpha - 1) d that is
 * ((m - tanh m) - (2 alpha - 1)(d - tanh d)) t / (2 tanh m). */
double divergence_discrete_laplace(double alpha, double b, double sensitivity)
{
    double h = 1 / b, t = sensitivity / b, both = 2 * alpha - 1;
    double scale = (1 + exp(-h)) * expm1(-both * h);
    double c1 = expm1(-2 * alpha * h) / scale;
    double c2 = exp(-h) * expm1(-2 * (alpha - 1) * h) / scale;
    double rest = minus_tanh(both * h / 2) - both * minus_tanh(h / 2);
    return two_exponentials(alpha, t, c1, c2, rest * t / (2 * tanh(both * h / 2)));
}

static double skellam_at(double order, double variance, double l1, double l2)
{
    double square = l2 * l2;
    double near = ((2 * order - 1) * square + 6 * l1) / (4 * variance * variance);
    double far = 3 * l1 / (2 * variance);
    return (order * square / (2 * variance) + fmin(near, far)) * (1 + DIVERGENCE_SLACK);
}

double divergence_skellam(double alpha, double variance, double sensitivity_l1,
                          double sensitivity_l2)
{
    double above = fmax(ceil(alpha), 2);
    if (alpha == above)
        return skellam_at(alpha, variance, sensitivity_l1, sensitivity_l2);
    return divergence_between(
        alpha, skellam_at(above - 1, variance, sensitivity_l1, sensitivity_l2),
        skellam_at(above, variance, sensitivity_l1, sensitivity_l2));
}

/* Outcomes come in pairs with losses l and -l, masses p and p e^-l of P, so A - 1 =
 * p (e^{(alpha-1)l} - 1) + p e^-l (e^{-(alpha-1)l} - 1) = p (e^{(alpha-1)l} - 1)
 * (1 - e^{-alpha l}). */
double divergence_two_point(double alpha, double loss, double p)
{
    if (loss == 0)
        return 0;
    double log_excess =
        log(p) + divergence_log_expm1((alpha - 1) * loss) + log(-expm1(-alpha * loss));
    return from_log_excess(log_excess, alpha);
}

double divergence_pure(double alpha, double epsilon)
{
    return divergence_two_point(alpha, epsilon, 1 / (1 + exp(-epsilon)));
}

/* sum_{k>=2} (a^k - a) l^k / k!; |l| and |a l| below 0.1. */
static double bernoulli_series(double a, double l)
{
    double power = a * l, plain = l, sum = 0;
    for (int k = 2; k <= 14; k++) {
        power *= a * l / k;
        plain *= l / k;
        sum += power - a * plain;
    }
    return sum;
}

double divergence_log_bernoulli(double a, double l)
{
    double product = a * l;
    if (fabs(product) < 0.1 && fabs(l) < 0.1)
        return log(bernoulli_series(a, l));
    if (product <= 1)
        return log(exp(l) * expm1((a - 1) * l) - (a - 1) * expm1(l));
    /* divided by e^{a l}; for a > 1 arranged so that a large a costs no digits */
    double f = a > 1 ? -expm1(-(a - 1) * l) + (a - 1) * exp(-(a - 1) * l) * expm1(-l)
                     : 1 - exp(-product) * (1 + a * expm1(l));
    return product + log(f);
}

/* The losses are t and t - epsilon with masses (1 - e^{t-epsilon} ...) of Q that make
 * both laws sum to 1; the t that maximises A has e^t - 1 =
 * ((alpha-1)(e^epsilon - 1) - (1 - e^{-(alpha-1)epsilon}))/(alpha (1 - ...)). */
double divergence_bounded_range(double alpha, double epsilon)
{
    double u = alpha - 1, top, t;
    if (epsilon > 30)
        t = log(u / alpha) + epsilon - log(-expm1(-u * epsilon)) +
            log1p(-exp(-alpha * epsilon));
    else
        t = log1p((u * expm1_rest(epsilon) + expm1_rest(-u * epsilon)) /
                  (alpha * -expm1(-u * epsilon)));
    t = fmin(t, epsilon);
    /* Q's masses, as e^-t (1 - e^{t-epsilon})/(1 - e^-epsilon) and its complement */
    double whole = -expm1(-epsilon);
    top = -t + log(-expm1(t - epsilon) / whole);
    double bottom = log(-expm1(-t) / whole);
    double x = top + divergence_log_bernoulli(alpha, t);
    double y = bottom + divergence_log_bernoulli(alpha, t - epsilon);
    double larger = fmax(x, y), smaller = fmin(x, y);
    return from_log_excess(larger + log1p(exp(smaller - larger)), alpha);
}
