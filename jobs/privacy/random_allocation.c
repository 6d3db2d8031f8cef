#include "jobs/privacy/random_allocation.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "jobs/privacy/divergence.h"

#define MAX_ORDER RANDOM_ALLOCATION_MAX_ORDER

/* Terms this many nats below the largest are left out of a sum; what they could add is
 * in the sum's slack. */
#define NEGLIGIBLE 45.0

/* An unamplified epoch that costs more is not looked at closer. */
#define DEAR_RHO 30.0

/* log(e^a + e^b), either may be -INFINITY. */
static double log_add(double a, double b)
{
    double high = fmax(a, b), low = fmin(a, b);
    return isinf(low) ? high : high + log1p(exp(low - high));
}

/* Removing a record */

/* log of the sum of e^terms[i]. */
static double log_sum(const double *terms, int n)
{
    double largest = -INFINITY, sum = 0;
    for (int i = 0; i < n; i++)
        largest = terms[i] > largest ? terms[i] : largest;
    for (int i = 0; i < n; i++)
        if (terms[i] > largest - NEGLIGIBLE)
            sum += exp(terms[i] - largest);
    return largest + log(sum);
}

/* Coefficients 0 .. n of a product of two series, as logarithms; c is neither a nor b.
 */
static void multiply(const double *a, const double *b, int n, double *c)
{
    double terms[MAX_ORDER + 1];
    for (int m = 0; m <= n; m++) {
        for (int i = 0; i <= m; i++)
            terms[i] = a[i] + b[m - i];
        c[m] = log_sum(terms, m + 1);
    }
}

/* The same of a square: each product but the middle one comes twice. */
static void square(const double *a, int n, double *c)
{
    double terms[MAX_ORDER + 1];
    for (int m = 0; m <= n; m++) {
        int half = (m + 1) / 2;
        for (int i = 0; i < half; i++)
            terms[i] = a[i] + a[m - i] + M_LN2;
        if (m % 2 == 0)
            terms[half] = 2 * a[half];
        c[m] = log_sum(terms, half + (m % 2 == 0));
    }
}

/* log E W^m for m <= n. With f_k = E Y^k / (k! t^k), E W^m / m! is coefficient m of the
 * t-th power of the series f. All terms are positive. Rounding: f_0 is 1 exactly, so a
 * coefficient m is a sum of products of at most m factors that are off, each by its own
 * rounding and by one more for every product on the way: m (products + 1) roundings of
 * numbers as large as the largest logarithm met. */
static void removing(double s, int64_t t, int n, double ret_log[MAX_ORDER + 1])
{
    static _Thread_local double base[MAX_ORDER + 1], next[MAX_ORDER + 1];
    int n_products = 0;
    for (int k = 0; k <= n; k++)
        base[k] =
            (double)k * (k - 1) / (2 * s * s) - lgamma(k + 1.0) - k * log((double)t);
    base[0] = 0;
    memcpy(ret_log, base, (size_t)(n + 1) * sizeof *base);
    int bit = 62;
    while (t >> bit == 0)
        bit--;
    for (bit--; bit >= 0; bit--) {
        square(ret_log, n, next);
        memcpy(ret_log, next, (size_t)(n + 1) * sizeof *next);
        n_products++;
        if ((t >> bit & 1) != 0) {
            multiply(ret_log, base, n, next);
            memcpy(ret_log, next, (size_t)(n + 1) * sizeof *next);
            n_products++;
        }
    }
    double largest = 0;
    for (int m = 0; m <= n; m++) {
        largest = fmax(largest, fmax(fabs(ret_log[m]), fabs(base[m])));
        double room = 4 * DBL_EPSILON * (largest + lgamma(m + 1.0) + m + 16);
        ret_log[m] += lgamma(m + 1.0) + m * (n_products + 2.0) * room;
    }
}

/* Adding a record */

#define MAX_NODES 1536

/* Nodes reach so far: what lies beyond is below 1e-43. */
#define REACH 14.0

/* L is used down to this logarithm, where that is less than 1e-8 of it. */
#define LEAST_LOG -80.0

/* Nodes of the trapezoid rule for a mean over x ~ N(0,1). What is averaged is analytic
 * and at most 1 for |Im x| <= v, v < pi s/2, so the error is 2 e^(v^2/2 - 2 pi v/h): h
 * is chosen to have it below e^-36. */
struct nodes {
    int n;
    double s, h, reach; /* reach: the largest useful v */
    double weight[MAX_NODES];
    double y[MAX_NODES];      /* Y at the node */
    double tilted[MAX_NODES]; /* the same under the law weighted by Y */
};

static void place_nodes(double s, struct nodes *nodes)
{
    double v = fmin(M_PI * s / 2, 8.6), h = 2 * M_PI * v / (37 + v * v / 2);
    int side = (int)ceil(REACH / h);
    nodes->n = 2 * side + 1;
    nodes->s = s;
    nodes->h = h;
    nodes->reach = v;
    for (int i = 0; i < nodes->n; i++) {
        double x = (i - side) * h;
        nodes->weight[i] = h / sqrt(2 * M_PI) * exp(-x * x / 2);
        nodes->y[i] = exp(x / s - 1 / (2 * s * s));
        nodes->tilted[i] = exp(x / s + 1 / (2 * s * s));
    }
}

/* The rule's relative error for E e^(-zY) = L, of which log_value - log 2 is a lower
 * bound: |e^(-zY)| at Im x = v is e^(-zY cos(v/s)), whose mean is at most L^cos(v/s)
 * (Jensen), for every v. */
static double relative_error(const struct nodes *nodes, double log_value)
{
    double least = INFINITY;
    for (int i = 1; i <= 8; i++) {
        double v = nodes->reach * i / 8, lost = 1 - cos(v / nodes->s);
        double exponent = v * v / 2 - 2 * M_PI * v / nodes->h;
        least = fmin(least, exponent + lost * (M_LN2 - log_value));
    }
    return 2 * exp(least);
}

/* log E e^(-zY), rounded up. Where z is small, from 1 - z E'[(1 - e^(-zY))/(zY)], E'
 * the mean weighted by Y, which keeps the digits. Else by the sum itself; what lies
 * beyond 10 deviations is below 2e-23. */
static double log_laplace(const struct nodes *nodes, double z)
{
    double near = 0, whole = 0;
    for (int i = 0; i < nodes->n; i++) {
        double u = z * nodes->tilted[i];
        near += nodes->weight[i] * (u > 1e-12 ? -expm1(-u) / u : 1 - u);
    }
    double missing = z * fmax(near * (1 - 1e-12) - 1e-15, 0);
    if (missing < 0.5)
        return log1p(-missing);
    for (int i = 0; i < nodes->n; i++)
        whole += nodes->weight[i] * exp(-z * nodes->y[i]);
    double error = relative_error(nodes, log(fmax(whole, DBL_MIN)));
    double rough = fmin(whole * (1 + 1e-12) + 1e-15, 1);
    double fine = error < 0.5 ? whole * (1 + 1e-12) / (1 - error) + 1e-43 : 1;
    return log(fmin(rough, fine));
}

/* log of the integral's part from e^v on, in strides of h in the exponent: per stride,
 * as a sum of e^(kv) L(e^v/t)^t. That is log-concave in v: so is L (Prekopa: the
 * exponent -e^(v+w) - (w + 1/2s^2)^2 s^2/2, w = log Y, is concave in v and w together).
 * So what is left where the sum ends, because terms are negligible or because L has no
 * digits any more, is at most a geometric series of the last two's ratio. INFINITY
 * where the terms do not fall by then. */
static double sum_side(const struct nodes *nodes, double t, int k, double v, double h)
{
    double sum = -INFINITY, largest = -INFINITY, last = -INFINITY, term;
    for (;; v += h) {
        double log_l = log_laplace(nodes, exp(v) / t);
        term = k * v + t * log_l;
        sum = log_add(sum, term);
        largest = fmax(largest, term);
        if (term < largest - NEGLIGIBLE || log_l < LEAST_LOG)
            break;
        last = term;
    }
    double ratio = exp(term - last) * (1 + 1e-5);
    return ratio < 1 ? log_add(sum, term + log(ratio / (1 - ratio))) : INFINITY;
}

/* D_(k+1) of adding, rounded up. With |E e^(-zY)| at z e^(i u) at most that at z cos u,
 * the trapezoid rule's relative error is 2 cos(u)^-k e^(-2 pi u/h) for every u < pi/2;
 * the best is at tan u = 2 pi/(h k). */
static double adding(const struct nodes *nodes, double s, int64_t bins, int k)
{
    double t = (double)bins, h = fmin(0.2, 0.7 / sqrt(k));
    /* W is at least its factors' geometric mean, whose moments are closed */
    double geometric = (1 + k / t) / (2 * s * s) * (1 + 8 * DBL_EPSILON);
    if (k > 6 * s * t) /* far out, where L has no digits and removing is dearer */
        return geometric;
    double u = atan(2 * M_PI / (h * k));
    double error = 2 * exp(-k * log(cos(u)) - 2 * M_PI * u / h);
    double start = log(k);
    double sum =
        log_add(sum_side(nodes, t, k, start, h), sum_side(nodes, t, k, start - h, -h));
    double log_moment = log(h) + sum - lgamma(k) + log1p(2 * error);
    double exact = fmax(log_moment, 0) / k + 1e-11 * (1 + 8.0 / k);
    return fmin(exact, geometric);
}

/* Both */

/* Bounds at whole orders 2 .. n, found when they are asked for. */
struct curve_memo {
    double s;
    int64_t t;
    int n; /* log_moment reaches this far; 0: nothing is known */
    struct nodes nodes;
    double log_moment[MAX_ORDER + 1];
    double rho[MAX_ORDER + 1]; /* < 0: not known yet */
};

static _Thread_local struct curve_memo memo;

static void look_at(double s, int64_t t, int n)
{
    if (memo.s != s || memo.t != t)
        memo.n = 0;
    if (n <= memo.n)
        return;
    memo.s = s;
    memo.t = t;
    memo.n = n;
    place_nodes(s, &memo.nodes);
    removing(s, t, n, memo.log_moment);
    for (int m = 0; m <= n; m++)
        memo.rho[m] = -1;
}

static double at_whole(int order)
{
    if (memo.rho[order] < 0) {
        double remove =
            fmax(memo.log_moment[order], 0) / (order - 1) * (1 + 4 * DBL_EPSILON);
        double rho = fmax(remove, adding(&memo.nodes, memo.s, memo.t, order - 1));
        memo.rho[order] = fmin(rho, divergence_gaussian(order, memo.s));
    }
    return memo.rho[order];
}

void random_allocation_rho(double noise_multiplier, int64_t n_bins,
                           const double *alphas, int n, double *ret_rho)
{
    double s = noise_multiplier;
    double last = fmin(MAX_ORDER, 2 * s * s * DEAR_RHO);
    int most = 0;
    for (int i = 0; i < n; i++) {
        ret_rho[i] = divergence_gaussian(alphas[i], s);
        if (n_bins > 1 && alphas[i] <= last && ceil(alphas[i]) <= MAX_ORDER)
            most = (int)fmax(most, fmax(2, ceil(alphas[i])));
    }
    if (most == 0)
        return;
    look_at(s, n_bins, most);
    for (int i = 0; i < n; i++) {
        int above = (int)fmax(2, ceil(fmin(alphas[i], MAX_ORDER)));
        if (alphas[i] > last || alphas[i] > MAX_ORDER)
            continue;
        double rho = at_whole(above);
        if (alphas[i] < above)
            rho =
                divergence_between(alphas[i], above > 2 ? at_whole(above - 1) : 0, rho);
        ret_rho[i] = fmin(ret_rho[i], rho);
    }
}
