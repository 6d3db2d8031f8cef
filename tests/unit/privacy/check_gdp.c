/* Gaussian differential privacy: closed forms to the last digits, far tails, refusals.
 */
#include <check.h>
#include <math.h>

#include "jobs/privacy/gdp.h"
#include "jobs/privacy/normal.h"

/* Constants below are from 80 to 4000-digit arithmetic (mpmath's erfc). */
static struct error err;

START_TEST(mills_ratio)
{
    static const double values[][2] = {
        {-3, 225.33489622034912},       {0, 1.2533141373155003},
        {0.5, 0.87636445645369235},     {2.4999, 0.35427654539408113},
        {2.5, 0.35426511132979367},     {10, 0.099028596471731921},
        {1000, 0.00099999900000299999},
    };
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        double got = normal_mills(values[i][0]);
        ck_assert_double_eq_tol(got / values[i][1], 1, NORMAL_ERROR);
    }
    ck_assert_double_eq_tol(normal_log_upper(40), -804.60844201375379, 1e-11);
    ck_assert_double_eq_tol(normal_log_upper(-1), -0.17275377902344990, 1e-15);
    for (double p = 1e-300; p < 0.9; p *= 77)
        ck_assert_double_eq_tol(normal_log_upper(normal_upper_inverse(p)), log(p),
                                1e-12 * (1 - log(p)));
}
END_TEST

/* mu, epsilon, log delta. */
START_TEST(delta_is_exact_and_rounded_up)
{
    static const double values[][3] = {
        {1, 1, -2.0640664465003905},       {1, 5, -14.361320786606816},
        {0.001, 0.01, -62.45587743776409}, {30, 100, -1.5462427442505484e-31},
        {3, 0, -0.1434252068611771},       {1, 40, -788.42341277399171},
        {100, 5200, -3.8067238092318289},  {1e-5, 0, -12.431863998179068},
    };
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        double got = NAN;
        ck_assert_int_eq(gdp_log_delta(values[i][0], values[i][1], &got, &err), 0);
        double size = fmax(1, fabs(values[i][2]));
        ck_assert_double_ge(got, values[i][2]);
        ck_assert_double_le(got, values[i][2] + 1e-8 * size);
    }
}
END_TEST

/* epsilon at (sigma 1, T 1) and delta 1e-5 .. 1e-300. */
START_TEST(epsilon_in_far_tails)
{
    static const double values[][2] = {
        {1e-5, 4.3771780956812246},   {1e-10, 6.547924066864951},
        {1e-30, 11.743883025231736},  {1e-100, 21.627508093648382},
        {1e-300, 37.448847912139105},
    };
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        double got = NAN;
        ck_assert_int_eq(gdp_epsilon(1, values[i][0], &got, &err), 0);
        ck_assert_double_ge(got, values[i][1] * (1 - 2e-16));
        ck_assert_double_le(got, values[i][1] * (1 + 1e-11));
    }
}
END_TEST

START_TEST(epsilon_and_delta_are_inverse)
{
    for (double mu = 1e-5; mu < 1e3; mu *= 7) {
        for (double delta = 1e-290; delta < 0.5; delta *= 1e9) {
            double epsilon = NAN, back = NAN;
            ck_assert_int_eq(gdp_epsilon(mu, delta, &epsilon, &err), 0);
            ck_assert_int_eq(gdp_log_delta(mu, epsilon, &back, &err), 0);
            ck_assert_double_le(back, log(delta));
            if (epsilon > 0)
                ck_assert_double_eq_tol(back, log(delta), 1e-6 * (1 - log(delta)));
        }
    }
}
END_TEST

START_TEST(releases_add_up_in_squares)
{
    double one = NAN, many = NAN, both = NAN, replaced = NAN;
    ck_assert_int_eq(gdp_mu(1000, 1, 1000000, RELATION_ADD_REMOVE, &many, &err), 0);
    ck_assert_double_ge(many, 1);
    ck_assert_double_le(many, 1 + 1e-14);
    ck_assert_int_eq(gdp_mu(0.25, 1, 1, RELATION_ADD_REMOVE, &one, &err), 0);
    ck_assert_int_eq(gdp_add(one, 3 * many, &both, &err), 0);
    ck_assert_double_ge(both, 5);
    ck_assert_double_le(both, 5 + 1e-13);
    ck_assert_int_eq(gdp_mu(1, 1, 1, RELATION_REPLACE_ONE, &replaced, &err), 0);
    ck_assert_double_eq_tol(replaced, 2, 1e-14);
}
END_TEST

START_TEST(noise_meets_its_target)
{
    for (double epsilon = 0.01; epsilon < 100; epsilon *= 3) {
        double noise = NAN, mu = NAN, delta = NAN, less = NAN;
        ck_assert_int_eq(
            gdp_noise_multiplier(epsilon, 1e-9, 50, RELATION_ADD_REMOVE, &noise, &err),
            0);
        ck_assert_int_eq(gdp_mu(noise, 1, 50, RELATION_ADD_REMOVE, &mu, &err), 0);
        ck_assert_int_eq(gdp_delta(mu, epsilon, &delta, &err), 0);
        ck_assert_double_le(delta, 1e-9);
        ck_assert_int_eq(
            gdp_mu(noise * (1 - 1e-9), 1, 50, RELATION_ADD_REMOVE, &mu, &err), 0);
        ck_assert_int_eq(gdp_delta(mu, epsilon, &less, &err), 0);
        ck_assert_double_gt(less, 1e-9);
    }
}
END_TEST

START_TEST(what_is_not_covered_is_refused)
{
    double got = -1;
    /* the central-limit price of a subsampled plan is not a bound */
    ck_assert_int_eq(gdp_mu(1.5, 0.04, 2250, RELATION_ADD_REMOVE, &got, &err),
                     -PPT_ERANGE);
    const double bad[] = {NAN, -1, 0, INFINITY, 1e-9};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ck_assert_int_eq(gdp_mu(bad[i], 1, 1, RELATION_ADD_REMOVE, &got, &err),
                         -PPT_ERANGE);
        ck_assert_int_eq(gdp_epsilon(bad[i], 1e-5, &got, &err), -PPT_ERANGE);
    }
    ck_assert_int_eq(gdp_mu(1, 1, 0, RELATION_ADD_REMOVE, &got, &err), -PPT_ERANGE);
    ck_assert_int_eq(gdp_mu(1, 1, INT64_MAX, RELATION_ADD_REMOVE, &got, &err),
                     -PPT_ERANGE);
    const double bad_delta[] = {NAN, -1, 0, 1, 1e-301};
    for (size_t i = 0; i < sizeof bad_delta / sizeof bad_delta[0]; i++) {
        ck_assert_int_eq(gdp_epsilon(1, bad_delta[i], &got, &err), -PPT_ERANGE);
        ck_assert_int_eq(
            gdp_noise_multiplier(1, bad_delta[i], 1, RELATION_ADD_REMOVE, &got, &err),
            -PPT_ERANGE);
    }
    ck_assert_int_eq(gdp_delta(1, -1, &got, &err), -PPT_ERANGE);
    ck_assert_int_eq(gdp_delta(1, NAN, &got, &err), -PPT_ERANGE);
    ck_assert_int_eq(
        gdp_noise_multiplier(1e-9, 1e-9, 1, RELATION_ADD_REMOVE, &got, &err),
        -PPT_ERANGE);
    ck_assert_double_eq(got, -1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gdp");
    TCase *tcase = tcase_create("gdp");
    tcase_add_test(tcase, mills_ratio);
    tcase_add_test(tcase, delta_is_exact_and_rounded_up);
    tcase_add_test(tcase, epsilon_in_far_tails);
    tcase_add_test(tcase, epsilon_and_delta_are_inverse);
    tcase_add_test(tcase, releases_add_up_in_squares);
    tcase_add_test(tcase, noise_meets_its_target);
    tcase_add_test(tcase, what_is_not_covered_is_refused);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
