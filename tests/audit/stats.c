#include "tests/audit/stats.h"

#include <math.h>
#include <stdlib.h>

double stats_normal(double x)
{
    return 0.5 * erfc(-x / sqrt(2.0));
}

double stats_normal_inverse(double p)
{
    double low = -40.0, high = 40.0;
    for (int i = 0; i < 80; i++) {
        double middle = 0.5 * (low + high);
        if (stats_normal(middle) < p) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return 0.5 * (low + high);
}

/* The continued fraction of the incomplete beta function, by Lentz's method (NIST
 * Handbook of Mathematical Functions, 8.17.22); converges for x < (a+1)/(a+b+2). */
static double beta_fraction(double a, double b, double x)
{
    double c = 1.0, d = 1.0 - (a + b) * x / (a + 1.0), value;
    value = d = 1.0 / d;
    for (int m = 1; m < 100000; m++) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        d = 1.0 / (1.0 + even * d);
        c = 1.0 + even / c;
        value *= c * d;
        d = 1.0 / (1.0 + odd * d);
        c = 1.0 + odd / c;
        value *= c * d;
        if (fabs(c * d - 1.0) < 1e-14) {
            break;
        }
    }
    return value;
}

/* I_x(a, b). */
static double incomplete_beta(double a, double b, double x)
{
    if (x <= 0.0 || x >= 1.0) {
        return x <= 0.0 ? 0.0 : 1.0;
    }
    double front =
        exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
    return x < (a + 1.0) / (a + b + 2.0)
               ? front * beta_fraction(a, b, x) / a
               : 1.0 - front * beta_fraction(b, a, 1.0 - x) / b;
}

double stats_binomial_tail(int64_t n, double p, int64_t k)
{
    if (k <= 0 || k > n) {
        return k <= 0 ? 1.0 : 0.0;
    }
    return incomplete_beta((double)k, (double)(n - k + 1), p);
}

double stats_lower(int64_t n, int64_t k, double alpha)
{
    double low = 0.0, high = 1.0;
    for (int i = 0; i < 60 && k > 0; i++) {
        double middle = 0.5 * (low + high);
        if (stats_binomial_tail(n, middle, k) < alpha) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

double stats_upper(int64_t n, int64_t k, double alpha)
{
    return 1.0 - stats_lower(n, n - k, alpha);
}

/* P(a, x), the lower incomplete gamma function over gamma(a), by its power series. */
static double gamma_below(double a, double x)
{
    double term = 1.0 / a, sum = term;
    for (int i = 1; i < 1000000 && term > 1e-17 * sum; i++) {
        term *= x / (a + i);
        sum += term;
    }
    return sum * exp(a * log(x) - x - lgamma(a));
}

/* 1 - P(a, x) for x > a, by Legendre's continued fraction. */
static double gamma_above(double a, double x)
{
    double b = x + 1.0 - a, c = 1e300, d = 1.0 / b, value = d;
    for (int i = 1; i < 1000000; i++) {
        double an = -i * (i - a);
        b += 2.0;
        d = 1.0 / (an * d + b);
        c = b + an / c;
        value *= c * d;
        if (fabs(c * d - 1.0) < 1e-14) {
            break;
        }
    }
    return value * exp(a * log(x) - x - lgamma(a));
}

double stats_chi2_tail(double m, double sum)
{
    if (!(sum > 0.0)) {
        return 0.0;
    }
    double a = 0.5 * m, x = 0.5 * sum;
    double tail = x <= a ? gamma_below(a, x) : gamma_above(a, x);
    return tail < 0.5 ? tail : 1.0 - tail;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double stats_kolmogorov(double *x, size_t n)
{
    double worst = 0.0;
    qsort(x, n, sizeof *x, compare);
    for (size_t i = 0; i < n; i++) {
        double p = stats_normal(x[i]);
        worst = fmax(worst, fabs(p - (double)i / (double)n));
        worst = fmax(worst, fabs(p - (double)(i + 1) / (double)n));
    }
    return worst * sqrt((double)n);
}

double stats_correlation(const double *a, const double *b, size_t n)
{
    double mean_a = 0.0, mean_b = 0.0, aa = 0.0, bb = 0.0, ab = 0.0;
    for (size_t i = 0; i < n; i++) {
        mean_a += a[i] / (double)n;
        mean_b += b[i] / (double)n;
    }
    for (size_t i = 0; i < n; i++) {
        aa += (a[i] - mean_a) * (a[i] - mean_a);
        bb += (b[i] - mean_b) * (b[i] - mean_b);
        ab += (a[i] - mean_a) * (b[i] - mean_b);
    }
    return sqrt((double)n) * ab / sqrt(aa * bb);
}

static double gaussian_delta(double mu, double epsilon)
{
    return stats_normal(mu / 2.0 - epsilon / mu) -
           exp(epsilon) * stats_normal(-mu / 2.0 - epsilon / mu);
}

/* The hockey stick of q N(mu,1) + (1-q) N(0,1) against N(0,1) at epsilon is q times the
 * Gaussian's at epsilon' with e^epsilon' = 1 + (e^epsilon - 1)/q. */
double stats_delta(double mu, double rate, double epsilon)
{
    return rate * gaussian_delta(mu, log1p(expm1(epsilon) / rate));
}

double stats_epsilon(double mu, double rate, double delta)
{
    double low = 0.0, high = 500.0;
    for (int i = 0; i < 80; i++) {
        double middle = 0.5 * (low + high);
        if (stats_delta(mu, rate, middle) > delta) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return high;
}

double stats_mu(double epsilon, double delta)
{
    double low = 1e-4, high = 100.0;
    for (int i = 0; i < 80; i++) {
        double middle = 0.5 * (low + high);
        if (stats_epsilon(middle, 1.0, delta) < epsilon) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}
