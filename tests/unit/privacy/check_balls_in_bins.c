/* Balls in bins: published values, closed forms, a quadrature for two bins, and Monte
 * Carlo with its error stated. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/privacy/balls_in_bins.h"
#include "jobs/privacy/gdp.h"
#include "jobs/privacy/pld.h"
#include "tests/unit/privacy/rows.h"

/* A Monte Carlo mean may be this many of its standard errors off: one test in 10^4
 * would fail by chance; the seeds are fixed. */
#define N_DEVIATIONS 4

static struct error err;

static double epsilon_of(double noise, int64_t bins, int64_t epochs, double delta,
                         struct balls_in_bins_detail *detail)
{
    struct balls_in_bins plan = {noise, bins, epochs};
    double epsilon = NAN;
    int rc = balls_in_bins_epsilon(&plan, delta, &epsilon, detail, &err);
    ck_assert_msg(rc == 0, "%s", err.text);
    return epsilon;
}

static double poisson_epsilon(double noise, int64_t bins, int64_t epochs, double delta)
{
    struct pld_release release = {PAIR_GAUSSIAN, noise,         1 / (double)bins,
                                  NULL,          bins * epochs, {NULL}};
    struct pld_plan plan = {RELATION_ADD_REMOVE, 1, &release};
    double epsilon = NAN;
    ck_assert_int_eq(pld_epsilon(&plan, delta, &epsilon, NULL, &err), 0);
    return epsilon;
}

/* The rows' q is 1/t and their T is t times the epochs. */
static int check_row(const struct golden *row)
{
    if (strcmp(row->mechanism, "balls_in_bins_gaussian") != 0)
        return 0;
    int64_t bins = llround(1 / row->rate);
    double epsilon = epsilon_of(row->sigma, bins, row->steps / bins, row->delta, NULL);
    ck_assert_msg(epsilon >= row->low && epsilon <= row->high, "%s: %.9g", row->id,
                  epsilon);
    return 1;
}

START_TEST(published_values)
{
    ck_assert_int_eq(rows_each("eps", check_row), 6);
}
END_TEST

/* One bin is no sampling at all. */
START_TEST(one_bin_is_a_gaussian)
{
    for (double delta = 1e-3; delta > 1e-30; delta *= 1e-5) {
        for (int64_t epochs = 1; epochs < 100; epochs *= 5) {
            double mu = NAN, truth = NAN;
            double got = epsilon_of(2, 1, epochs, delta, NULL);
            ck_assert_int_eq(gdp_mu(2, 1, epochs, RELATION_ADD_REMOVE, &mu, &err), 0);
            ck_assert_int_eq(gdp_epsilon(mu, delta, &truth, &err), 0);
            ck_assert_double_ge(got, truth * (1 - 1e-11));
            ck_assert_double_le(got, truth * (1 + 2e-4));
        }
    }
}
END_TEST

static double normal_cdf(double x)
{
    return 0.5 * erfc(-x * M_SQRT1_2);
}

/* E[(Y - strike)+] for Y lognormal of mean 1 and deviation d in logarithms. */
static double call(double strike, double d)
{
    if (strike <= 0)
        return 1 - strike;
    double at = -log(strike) / d;
    return normal_cdf(at + d / 2) - strike * normal_cdf(at - d / 2);
}

/* Two bins: given Y_1, the rest is Black and Scholes' formula. */
static double two_bins(double s, double epsilon, int is_add)
{
    double sum = 0, width = 1e-3, level = exp(is_add ? -epsilon : epsilon);
    for (double z = -12; z < 12 + 3 / s; z += width) {
        double y = exp(z / s - 0.5 / (s * s));
        double weight = width * exp(-0.5 * z * z) / sqrt(2 * M_PI);
        double above = 0.5 * call(2 * level - y, 1 / s);
        /* (1 - e^eps W)+ = e^eps (W - 1/e^eps)+ - (e^eps W - 1), whose mean is known */
        sum += weight * above;
    }
    return is_add ? exp(epsilon) * sum - expm1(epsilon) : sum;
}

START_TEST(two_bins_by_quadrature)
{
    static const double noises[] = {0.4, 0.7, 1, 3};
    for (size_t i = 0; i < 4; i++) {
        struct balls_in_bins plan = {noises[i], 2, 1};
        for (double epsilon = 0.05; epsilon < 6; epsilon *= 2.3) {
            double got = NAN;
            struct balls_in_bins_detail detail;
            ck_assert_int_eq(balls_in_bins_delta(&plan, epsilon, &got, &detail, &err),
                             0);
            double remove = two_bins(noises[i], epsilon, 0);
            double add = two_bins(noises[i], epsilon, 1);
            ck_assert_double_ge(detail.remove, remove * (1 - 1e-9) - 1e-14);
            ck_assert_double_le(detail.remove, remove * (1 + 1e-3) + 1e-12);
            ck_assert_double_ge(detail.add, add * (1 - 1e-9) - 1e-11);
            ck_assert_double_le(detail.add, add * (1 + 1e-3) + 1e-11);
            ck_assert_double_eq(got, fmax(detail.remove, detail.add));
        }
    }
}
END_TEST

static double normal(void)
{
    return sqrt(-2 * log(1 - drand48())) * cos(2 * M_PI * drand48());
}

/* The log likelihood ratio of one epoch, with the record in it or not. */
static double epoch_loss(double s, int bins, int is_in)
{
    double sum = 0;
    int bin = (int)(drand48() * bins);
    for (int i = 0; i < bins; i++) {
        double x = s * normal() + (is_in && i == bin);
        sum += exp((2 * x - 1) / (2 * s * s));
    }
    return log(sum / bins);
}

START_TEST(monte_carlo)
{
    static const struct {
        double s;
        int bins, epochs, draws;
        double epsilon;
    } plans[] = {{1, 7, 1, 1000000, 0.7},
                 {0.7, 25, 2, 200000, 1.5},
                 {0.5, 100, 1, 100000, 0.4},
                 {2, 13, 20, 40000, 0.8}};
    srand48(_i + 1);
    double sum[2] = {0}, square[2] = {0}, got = NAN;
    for (int draw = 0; draw < plans[_i].draws; draw++) {
        for (int is_add = 0; is_add < 2; is_add++) {
            double loss = 0;
            for (int e = 0; e < plans[_i].epochs; e++)
                loss += epoch_loss(plans[_i].s, plans[_i].bins, !is_add);
            loss = is_add ? -loss : loss;
            double value = fmax(0, -expm1(plans[_i].epsilon - loss));
            sum[is_add] += value;
            square[is_add] += value * value;
        }
    }
    struct balls_in_bins plan = {plans[_i].s, plans[_i].bins, plans[_i].epochs};
    struct balls_in_bins_detail detail;
    ck_assert_int_eq(balls_in_bins_delta(&plan, plans[_i].epsilon, &got, &detail, &err),
                     0);
    for (int is_add = 0; is_add < 2; is_add++) {
        double n = plans[_i].draws, mean = sum[is_add] / n;
        double error = sqrt((square[is_add] / n - mean * mean) / n);
        double ours = is_add ? detail.add : detail.remove;
        ck_assert_double_gt(mean, 10 * error); /* so that the test means something */
        ck_assert_double_ge(ours, mean - N_DEVIATIONS * error);
        ck_assert_double_le(ours, mean + N_DEVIATIONS * error + 2e-3 * mean);
    }
}
END_TEST

/* Never worse than Poisson sampling at the same rate, never better than one epoch of
 * full knowledge of the bin divided among bins; more bins or noise help. */
START_TEST(order_among_plans)
{
    static const double noises[] = {0.3, 0.5, 1, 4, 50};
    static const int64_t bins[] = {3, 64, 1000, 100000};
    for (size_t i = 0; i < 5; i++) {
        double before = INFINITY;
        for (size_t j = 0; j < 4; j++) {
            double epsilon = epsilon_of(noises[i], bins[j], 3, 1e-7, NULL);
            double poisson = poisson_epsilon(noises[i], bins[j], 3, 1e-7);
            ck_assert_double_le(epsilon, poisson * (1 + 1e-3) + 1e-5);
            ck_assert_double_lt(epsilon, before);
            ck_assert_double_gt(epsilon_of(noises[i] * 0.9, bins[j], 3, 1e-7, NULL),
                                epsilon);
            ck_assert_double_gt(epsilon_of(noises[i], bins[j], 4, 1e-7, NULL), epsilon);
            before = epsilon;
        }
    }
}
END_TEST

START_TEST(epsilon_and_delta_agree)
{
    struct balls_in_bins plan = {0.8, 137, 5};
    for (double delta = 1e-2; delta > 1e-20; delta *= 1e-4) {
        double epsilon = epsilon_of(0.8, 137, 5, delta, NULL), back = NAN;
        ck_assert_int_eq(balls_in_bins_delta(&plan, epsilon, &back, NULL, &err), 0);
        ck_assert_double_eq_tol(back / delta, 1, 5e-3);
    }
}
END_TEST

START_TEST(nonsense_is_refused)
{
    const struct balls_in_bins good = {1, 100, 1};
    struct balls_in_bins bad[] = {good, good, good, good, good, good};
    bad[0].noise_multiplier = NAN;
    bad[1].noise_multiplier = 0.1;
    bad[2].n_bins = 0;
    bad[3].n_bins = INT64_C(1000000000000000000);
    bad[4].n_epochs = -1;
    bad[5].n_epochs = INT64_MAX;
    double got = -1;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_int_eq(balls_in_bins_epsilon(&bad[i], 1e-5, &got, NULL, &err),
                         -PPT_ERANGE);
    const double wrong[] = {0, 1, -1e-5, NAN, 1e-31};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        ck_assert_int_eq(balls_in_bins_epsilon(&good, wrong[i], &got, NULL, &err),
                         -PPT_ERANGE);
    ck_assert_int_eq(balls_in_bins_delta(&good, -1, &got, NULL, &err), -PPT_ERANGE);
    ck_assert_int_eq(balls_in_bins_delta(&good, NAN, &got, NULL, &err), -PPT_ERANGE);
    ck_assert_double_eq(got, -1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("balls_in_bins");
    TCase *tcase = tcase_create("balls_in_bins");
    tcase_set_timeout(tcase, 300);
    tcase_add_test(tcase, published_values);
    tcase_add_test(tcase, one_bin_is_a_gaussian);
    tcase_add_test(tcase, two_bins_by_quadrature);
    tcase_add_loop_test(tcase, monte_carlo, 0, 4);
    tcase_add_test(tcase, order_among_plans);
    tcase_add_test(tcase, epsilon_and_delta_agree);
    tcase_add_test(tcase, nonsense_is_refused);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
