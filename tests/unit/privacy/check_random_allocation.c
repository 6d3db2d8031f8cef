/* An epoch of balls in bins, in Renyi's measure: a quadrature for two and three bins in
 * both directions, closed forms of low moments, limits, and the exact law's epsilon. */
#include <check.h>
#include <math.h>

#include "jobs/privacy/balls_in_bins.h"
#include "jobs/privacy/mechanism.h"
#include "jobs/privacy/random_allocation.h"
#include "jobs/privacy/renyi.h"

static struct error err;

static double rho_at(double s, int64_t bins, double alpha)
{
    double rho = NAN;
    random_allocation_rho(s, bins, &alpha, 1, &rho);
    return rho;
}

/* log E W^power for two bins, by a plain product of trapezoid rules: 12 deviations, an
 * eighth of one apart, around where the integrand is largest. */
static double two_bins(double s, double power)
{
    double width = 0.125, reach = 12 + fabs(power) / s, largest = -INFINITY, sum = 0;
    for (int pass = 0; pass < 2; pass++)
        for (double a = -reach; a <= reach; a += width)
            for (double b = -reach; b <= reach; b += width) {
                double y = exp(a / s - 0.5 / (s * s)), z = exp(b / s - 0.5 / (s * s));
                double term = power * log((y + z) / 2) - (a * a + b * b) / 2;
                if (pass == 0)
                    largest = fmax(largest, term);
                else
                    sum += exp(term - largest);
            }
    return largest + log(sum * width * width / (2 * M_PI));
}

START_TEST(two_bins_by_quadrature)
{
    static const double noises[] = {0.6, 1, 2.5, 8};
    static const int orders[] = {2, 3, 5, 9, 16};
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 5; j++) {
            double s = noises[i], alpha = orders[j];
            double remove = two_bins(s, alpha) / (alpha - 1);
            double add = two_bins(s, 1 - alpha) / (alpha - 1);
            double truth = fmax(remove, add), got = rho_at(s, 2, alpha);
            ck_assert_double_ge(got, truth * (1 - 1e-9));
            /* of adding a coarser bound is taken where it is far out */
            ck_assert_double_le(got, fmax(remove * (1 + 1e-6), add * 1.15) + 2e-10);
        }
}
END_TEST

/* E W^2 = 1 + (e^{1/s^2} - 1)/t; E W^3 from the third cumulant of Y. Adding is never
 * dearer there. */
START_TEST(low_moments_in_closed_form)
{
    for (double s = 0.5; s < 2000; s *= 3.3)
        for (int64_t t = 2; t < 100000000; t *= 7) {
            double v = expm1(1 / (s * s)), e = v + 1;
            double two = log1p(v / (double)t);
            double third = e * e * e - 3 * e + 2; /* E (Y - 1)^3 */
            double three = log1p(3 * v / (double)t + third / (double)t / (double)t) / 2;
            double at_two = rho_at(s, t, 2), at_three = rho_at(s, t, 3);
            ck_assert_double_ge(at_two, two * (1 - 1e-9));
            ck_assert_double_le(at_two, two * (1 + 1e-6) + 3e-10);
            if (s < 1000) { /* beyond, `third` has lost its digits */
                ck_assert_double_ge(at_three, three * (1 - 1e-6));
                ck_assert_double_le(at_three, three * (1 + 1e-6) + 3e-10);
            }
        }
}
END_TEST

START_TEST(one_bin_is_a_gaussian)
{
    for (double s = 0.05; s < 1e6; s *= 9)
        for (double alpha = 1.01; alpha < 60000; alpha *= 1.9) {
            double truth = alpha / (2 * s * s), got = rho_at(s, 1, alpha);
            ck_assert_double_ge(got, truth);
            ck_assert_double_le(got, truth * (1 + 1e-10));
        }
}
END_TEST

/* More bins, more noise and smaller orders are never dearer, and no bin count is dearer
 * than one; whole orders and those between. */
START_TEST(monotone)
{
    for (double s = 0.3; s < 9; s *= 1.7)
        for (int64_t t = 1; t < 1000000; t *= 25) {
            double alphas[COST_N_ORDERS], rho[COST_N_ORDERS], more[COST_N_ORDERS],
                louder[COST_N_ORDERS];
            for (int i = 0; i < COST_N_ORDERS; i++)
                alphas[i] = cost_orders[i];
            random_allocation_rho(s, t, alphas, COST_N_ORDERS, rho);
            random_allocation_rho(s, 5 * t, alphas, COST_N_ORDERS, more);
            random_allocation_rho(1.7 * s, t, alphas, COST_N_ORDERS, louder);
            for (int i = 0; i < COST_N_ORDERS; i++) {
                double room = 1 + 1e-7, least = 3e-10;
                ck_assert_double_ge(rho[i], 0);
                ck_assert_double_le(rho[i], alphas[i] / (2 * s * s) * (1 + 1e-10));
                ck_assert_double_le(more[i], rho[i] * room + least);
                ck_assert_double_le(louder[i], rho[i] * room + least);
                ck_assert(i == 0 || rho[i - 1] <= rho[i] * room + least);
            }
        }
}
END_TEST

/* The order in which orders are asked for changes nothing: what is remembered is what
 * would be computed. */
START_TEST(memory_changes_nothing)
{
    double few[] = {2.5, 7, 19.25}, fresh[3], again[3];
    random_allocation_rho(1.1, 59, few, 3, fresh);
    rho_at(0.9, 59, 100);
    rho_at(1.1, 60, 4);
    rho_at(1.1, 59, 130);
    random_allocation_rho(1.1, 59, few, 3, again);
    for (int i = 0; i < 3; i++)
        ck_assert_double_eq_tol(fresh[i], again[i], 1e-9 * fresh[i]);
}
END_TEST

/* A Renyi price is above the exact law's, far below what the epochs cost without
 * amplification, and not above that of Poisson samples as large, in as many steps. */
START_TEST(beside_the_exact_law)
{
    static const struct {
        double s;
        int64_t bins, epochs;
    } plans[] = {
        {0.7, 59, 15}, {1, 100, 10}, {1, 1000, 10}, {2, 30, 40}, {0.6, 235, 5}};
    for (int i = 0; i < 5; i++) {
        double delta = 1e-6, renyi = NAN, exact = NAN, plain = NAN, poisson = NAN;
        struct renyi_release release = {
            .mechanism = mechanism_default(MECHANISM_RANDOM_ALLOCATION),
            .count = plans[i].epochs};
        release.mechanism.noise_multiplier = plans[i].s;
        release.mechanism.bins = (double)plans[i].bins;
        ck_assert_int_eq(renyi_epsilon(&release, 1, delta, &renyi, NULL, &err), 0);
        struct balls_in_bins deal = {plans[i].s, plans[i].bins, plans[i].epochs};
        ck_assert_int_eq(balls_in_bins_epsilon(&deal, delta, &exact, NULL, &err), 0);
        release.mechanism.bins = 1;
        struct renyi_release sampled = {
            .mechanism = mechanism_default(MECHANISM_SUBSAMPLED_GAUSSIAN),
            .count = plans[i].epochs * plans[i].bins};
        sampled.mechanism.noise_multiplier = plans[i].s;
        sampled.mechanism.sample_rate = 1 / (double)plans[i].bins;
        ck_assert_int_eq(renyi_epsilon(&sampled, 1, delta, &poisson, NULL, &err), 0);
        ck_assert_int_eq(renyi_epsilon(&release, 1, delta, &plain, NULL, &err), 0);
        ck_assert_double_ge(renyi, exact * (1 - 1e-6));
        ck_assert_double_le(renyi, poisson);
        ck_assert_double_le(renyi, 0.75 * plain);
    }
}
END_TEST

START_TEST(out_of_range)
{
    struct mechanism m = mechanism_default(MECHANISM_RANDOM_ALLOCATION);
    m.noise_multiplier = 1;
    m.bins = 0;
    ck_assert_int_eq(mechanism_check(&m, &err), -PPT_ERANGE);
    m.bins = 2.5;
    ck_assert_int_eq(mechanism_check(&m, &err), -PPT_ERANGE);
    m.bins = 10;
    ck_assert_int_eq(mechanism_check(&m, &err), 0);
    m.sampling = SAMPLING_POISSON;
    ck_assert_int_eq(mechanism_check(&m, &err), -PPT_ERANGE);
    m.sampling = SAMPLING_NONE;
    m.relation = RELATION_REPLACE_ONE;
    ck_assert_int_eq(mechanism_check(&m, &err), -PPT_ERANGE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("random_allocation");
    TCase *tcase = tcase_create("random_allocation");
    tcase_add_test(tcase, two_bins_by_quadrature);
    tcase_add_test(tcase, low_moments_in_closed_form);
    tcase_add_test(tcase, one_bin_is_a_gaussian);
    tcase_add_test(tcase, monotone);
    tcase_add_test(tcase, memory_changes_nothing);
    tcase_add_test(tcase, beside_the_exact_law);
    tcase_add_test(tcase, out_of_range);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
