/* The audits' statistics against sums, closed forms and published values. */
#include <check.h>
#include <math.h>

#include "tests/audit/stats.h"

/* Of a relative `tolerance`. */
static void near(double value, double expected, double tolerance)
{
    ck_assert_msg(fabs(value - expected) <= tolerance * fabs(expected),
                  "%.12g is not %.12g", value, expected);
}

START_TEST(binomials)
{
    for (int n = 1; n <= 60; n += 7) {
        for (double p = 0.03; p < 1.0; p += 0.19) {
            double sum = 0.0;
            for (int k = n; k >= 0; k--) {
                sum += exp(lgamma(n + 1.0) - lgamma(k + 1.0) - lgamma(n - k + 1.0) +
                           k * log(p) + (n - k) * log1p(-p));
                near(stats_binomial_tail(n, p, k), sum, 1e-10);
            }
        }
    }
    /* none of n: (1 - p)^n = alpha */
    near(stats_upper(100, 0, 0.05), 1.0 - pow(0.05, 0.01), 1e-9);
    near(stats_lower(100, 100, 0.05), pow(0.05, 0.01), 1e-9);
    /* each bound is where the tail is alpha */
    near(stats_binomial_tail(5000, stats_lower(5000, 700, 1e-8), 700), 1e-8, 1e-6);
    near(1.0 - stats_binomial_tail(5000, stats_upper(5000, 700, 0.01), 701), 0.01,
         1e-6);
}
END_TEST

START_TEST(chi_squares)
{
    /* two degrees of freedom: exponential */
    near(stats_chi2_tail(2.0, 60.0), exp(-30.0), 1e-10);
    near(stats_chi2_tail(2.0, 1e-9), 5e-10, 1e-8);
    /* four: (1 + x/2) e^(-x/2) */
    near(stats_chi2_tail(4.0, 80.0), 41.0 * exp(-40.0), 1e-10);
    /* many: close to the normal law of the cube root (Wilson, Hilferty 1931) */
    for (double z = -6.0; z <= 6.0; z += 3.0) {
        double m = 230460.0, root = 1.0 - 2.0 / (9.0 * m) + z * sqrt(2.0 / (9.0 * m));
        near(stats_chi2_tail(m, m * root * root * root), stats_normal(-fabs(z)), 0.01);
    }
}
END_TEST

START_TEST(gaussian_prices)
{
    /* Known to six digits: one release of noise 1. */
    near(stats_epsilon(1.0, 1.0, 1e-10), 6.5479, 1e-5);
    near(stats_epsilon(1.0, 1.0, 1e-12), 7.238, 1e-4);
    near(stats_mu(stats_epsilon(0.7, 1.0, 1e-5), 1e-5), 0.7, 1e-9);
    near(stats_normal_inverse(0.975), 1.959963984540054, 1e-12);
    /* Sampled: the hockey stick by integration. */
    double rate = 0.25, mu = 2.0, epsilon = 1.5, sum = 0.0, step = 1e-4;
    for (double x = -10.0; x < 12.0; x += step) {
        double out = exp(-0.5 * x * x), in = exp(-0.5 * (x - mu) * (x - mu));
        double gap = (1.0 - rate) * out + rate * in - exp(epsilon) * out;
        sum += gap > 0.0 ? gap * step / sqrt(2.0 * acos(-1.0)) : 0.0;
    }
    near(stats_delta(mu, rate, epsilon), sum, 1e-4);
}
END_TEST

START_TEST(samples)
{
    enum { N = 1000 };
    double x[N], y[N];
    for (int i = 0; i < N; i++) {
        x[i] = stats_normal_inverse((i + 0.5) / N);
        y[i] = i % 2 == 0 ? 1.0 : -1.0;
    }
    near(stats_correlation(x, x, N), sqrt(N), 1e-12);
    ck_assert_double_lt(fabs(stats_correlation(x, y, N)), 0.2);
    near(stats_kolmogorov(x, N), 0.5 / sqrt(N), 1e-6);
    for (int i = 0; i < N; i++) {
        x[i] *= 1.2;
    }
    ck_assert_double_gt(stats_kolmogorov(x, N), 0.04 * sqrt(N));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("audit");
    TCase *tcase = tcase_create("stats");
    tcase_add_test(tcase, binomials);
    tcase_add_test(tcase, chi_squares);
    tcase_add_test(tcase, gaussian_prices);
    tcase_add_test(tcase, samples);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
