/* Users with several records; and prices of different kinds, which never mix. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "jobs/privacy/group.h"
#include "jobs/privacy/price.h"

static struct curve curve_of(struct mechanism m, enum privacy_unit unit)
{
    struct curve curve;
    struct error err = {0};
    ck_assert_msg(mechanism_curve(&m, unit, &curve, &err) == 0, "%s", err.text);
    return curve;
}

static struct mechanism gaussian(double noise)
{
    struct mechanism m = mechanism_default(MECHANISM_GAUSSIAN);
    m.noise_multiplier = noise;
    return m;
}

START_TEST(a_gaussian_group_is_a_longer_shift)
{
    struct mechanism user;
    struct mechanism example = gaussian(12);
    ck_assert_int_eq(group_mechanism(&example, 3, &user, NULL), 0);
    struct curve exact = curve_of(user, UNIT_USER);
    for (int i = 0; i < COST_N_ORDERS; i++)
        ck_assert_double_eq_tol(exact.rho[i] / (cost_orders[i] * 9 / 288), 1, 1e-9);
}
END_TEST

START_TEST(the_general_bound_lies_between_the_truth_and_proposition_2)
{
    const int64_t counts[] = {1, 2, 3, 4, 5, 8, 16};
    struct mechanism bases[2] = {gaussian(40), mechanism_default(MECHANISM_LAPLACE)};
    bases[1].scale = 30;
    for (int b = 0; b < 2; b++)
        for (int c = 0; c < 7; c++) {
            struct curve one = curve_of(bases[b], UNIT_EXAMPLE), bound;
            struct mechanism user;
            ck_assert_int_eq(group_curve(&one, counts[c], &bound, NULL), 0);
            ck_assert_int_eq(group_mechanism(&bases[b], counts[c], &user, NULL), 0);
            ck_assert_int_eq(bound.unit, UNIT_USER);
            ck_assert_int_eq(bound.relation, RELATION_ADD_REMOVE);
            struct curve exact = curve_of(user, UNIT_USER);
            double halvings = ceil(log2((double)counts[c]));
            for (int i = 0; i < COST_N_ORDERS; i++) {
                ck_assert_msg(bound.rho[i] >= exact.rho[i] * (1 - 2e-10),
                              "%lld at %g: %g < %g", (long long)counts[c],
                              cost_orders[i], bound.rho[i], exact.rho[i]);
                double order = cost_orders[i] * exp2(halvings), rho;
                if (cost_orders[i] < 2 || order > 1024)
                    continue;
                mechanism_rho(&bases[b], &order, 1, &rho);
                ck_assert_msg(bound.rho[i] <= pow(3, halvings) * rho * (1 + 1e-9),
                              "%lld at %g: %g", (long long)counts[c], cost_orders[i],
                              bound.rho[i] / (pow(3, halvings) * rho));
            }
        }
}
END_TEST

/* A user with two records in a sampled sum: the pair enumerated as a mixture of three
 * normal laws, by the trapezoid rule. */
static double two_records(double s, double q, double alpha)
{
    double sum = 0, step = 0.01;
    for (double x = -12 * s; x < 2 * alpha + 12 * s; x += step) {
        double l1 = (2 * x - 1) / (2 * s * s), l2 = (4 * x - 4) / (2 * s * s);
        double ratio = (1 - q) * (1 - q) + 2 * q * (1 - q) * exp(l1) + q * q * exp(l2);
        sum += exp(alpha * log(ratio) - x * x / (2 * s * s));
    }
    return log(sum * step / (s * sqrt(2 * M_PI))) / (alpha - 1);
}

START_TEST(sampled_users_are_bounded)
{
    struct mechanism m = mechanism_default(MECHANISM_SUBSAMPLED_GAUSSIAN);
    m.noise_multiplier = 3;
    m.sample_rate = 0.05;
    struct curve one = curve_of(m, UNIT_EXAMPLE), bound;
    ck_assert_int_eq(group_curve(&one, 2, &bound, NULL), 0);
    for (int i = 0; i < COST_N_ORDERS && cost_orders[i] <= 8; i++) {
        double truth = two_records(3, 0.05, cost_orders[i]);
        ck_assert_double_ge(bound.rho[i], truth);
        ck_assert_double_le(bound.rho[i], 1.7 * truth);
    }
}
END_TEST

static void refuse_curve(const struct curve *curve, int64_t n, const char *text)
{
    struct error err = {0};
    struct curve user = {.delta = 42};
    ck_assert_int_eq(group_curve(curve, n, &user, &err), -PPT_ERANGE);
    ck_assert_msg(strstr(err.text, text) != NULL, "'%s' lacks '%s'", err.text, text);
    ck_assert(user.delta == 42);
}

static void refuse_mechanism(struct mechanism m, int64_t n, const char *text)
{
    struct error err = {0};
    struct mechanism user = {.scale = 42};
    ck_assert_int_eq(group_mechanism(&m, n, &user, &err), -PPT_ERANGE);
    ck_assert_msg(strstr(err.text, text) != NULL, "'%s' lacks '%s'", err.text, text);
    ck_assert(user.scale == 42);
}

START_TEST(groups_of_what_has_none_are_refused)
{
    struct curve curve = curve_of(gaussian(4), UNIT_EXAMPLE);
    refuse_curve(&curve, 0, "n_records of a user is 0");
    refuse_curve(&curve, 1000001, "n_records of a user is 1000001");
    curve.delta = 1e-9;
    refuse_curve(&curve, 2, "delta of 1e-09");
    curve = curve_of(gaussian(4), UNIT_USER);
    refuse_curve(&curve, 2, "per user, expected one per example");
    struct mechanism m = mechanism_default(MECHANISM_SUBSAMPLED_GAUSSIAN);
    m.noise_multiplier = 1;
    m.sample_rate = 0.1;
    refuse_mechanism(m, 2, "sample_rate is 0.1, expected 1");
    m = mechanism_default(MECHANISM_RANDOMISED_RESPONSE);
    m.flip = 0.5;
    refuse_mechanism(m, 2, "no single shift");
    refuse_mechanism(gaussian(1), 100, "noise_multiplier is 0.01");
    refuse_mechanism(gaussian(1), -1, "n_records");
}
END_TEST

START_TEST(units_and_relations_never_mix)
{
    struct mechanism replace = gaussian(4);
    replace.relation = RELATION_REPLACE_ONE;
    const struct curve curves[3] = {curve_of(gaussian(4), UNIT_EXAMPLE),
                                    curve_of(gaussian(4), UNIT_USER),
                                    curve_of(replace, UNIT_EXAMPLE)};
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            struct cost a, b, sum;
            struct error err = {0};
            ck_assert_int_eq(cost_from_curve(&curves[i], 1, &a, NULL), 0);
            ck_assert_int_eq(cost_from_curve(&curves[j], 1, &b, NULL), 0);
            int rc = cost_add(&a, &b, &sum, &err);
            ck_assert_int_eq(rc, i == j ? 0 : -PPT_ERANGE);
            ck_assert(i == j || strstr(err.text, "cannot add") != NULL);
        }
}
END_TEST

START_TEST(a_price_refuses_releases_of_another_relation)
{
    /* as a forged or broken plan would state them */
    struct price price = {.is_private = true, .n_releases = 1};
    price.releases[0].mechanism = gaussian(4);
    price.releases[0].count = 10;
    const int64_t used[1] = {3};
    struct cost cost;
    struct error err = {0};
    ck_assert_int_eq(price_used(&price, used, &cost, &err), 0);
    price.relation = RELATION_REPLACE_ONE;
    ck_assert_int_eq(price_used(&price, used, &cost, &err), -PPT_ERANGE);
    ck_assert_msg(strstr(err.text, "add_remove") != NULL, "%s", err.text);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("group");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_gaussian_group_is_a_longer_shift);
    tcase_add_test(tcase, the_general_bound_lies_between_the_truth_and_proposition_2);
    tcase_add_test(tcase, sampled_users_are_bounded);
    tcase_add_test(tcase, groups_of_what_has_none_are_refused);
    tcase_add_test(tcase, units_and_relations_never_mix);
    tcase_add_test(tcase, a_price_refuses_releases_of_another_relation);
    Suite *suite = suite_create("group");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
