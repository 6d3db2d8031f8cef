/* Sensitivities of fixed orders against explicit matrices and all participation
 * patterns, their prices, and schedules of noise. */
#include <check.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/privacy/fixed_order.h"
#include "jobs/privacy/gdp.h"
#include "jobs/privacy/schedule.h"
#include "tests/unit/privacy/rows.h"

enum { N = 12 };

static struct error err;

/* Does this set of steps (bits) keep to the pattern? */
static bool is_allowed(unsigned set, const struct participation *p)
{
    int last = -1000, n = 0;
    for (int i = 0; i < (int)p->n_steps; i++) {
        if (!(set >> i & 1))
            continue;
        if (i - last < p->min_separation)
            return false;
        last = i;
        n++;
    }
    return n > 0 && n <= p->n_participations;
}

/* Norm of the sum of the set's columns, all gradients equal: the worst case where no
 * entry is negative. */
static double norm_of(const double *matrix, int n_rows, unsigned set)
{
    double square = 0;
    for (int r = 0; r < n_rows; r++) {
        double sum = 0;
        for (int i = 0; i < N; i++)
            sum += set >> i & 1 ? matrix[r * N + i] : 0;
        square += sum * sum;
    }
    return sqrt(square);
}

static double worst(const double *matrix, int n_rows, const struct participation *p)
{
    double largest = 0;
    for (unsigned set = 1; set < 1u << N; set++)
        if (is_allowed(set, p))
            largest = fmax(largest, norm_of(matrix, n_rows, set));
    return largest;
}

START_TEST(trees_by_hand)
{
    double matrix[32 * N] = {0};
    int rows = 0;
    for (int width = 1; width <= N; width *= 2)
        for (int from = 0; from < N; from += width, rows++)
            for (int i = from; i < from + width && i < N; i++)
                matrix[rows * N + i] = 1;
    for (int64_t k = 1; k <= N; k++) {
        for (int64_t apart = 1; apart <= N; apart++) {
            struct participation p = {N, k, apart};
            double got = NAN, truth = worst(matrix, rows, &p);
            ck_assert_int_eq(fixed_order_tree(&p, &got, &err), 0);
            ck_assert_double_ge(got, truth);
            ck_assert_double_le(got, truth * 1.5);
            if (k == 1)
                ck_assert_double_eq_tol(got, truth, 1e-12);
        }
    }
}
END_TEST

START_TEST(bands_by_hand)
{
    const double coefficients[] = {1, 0.5, 0.375, 0.3125};
    for (int64_t bands = 1; bands <= 4; bands++) {
        double matrix[N * N] = {0};
        for (int i = 0; i < N; i++)
            for (int j = 0; j < bands && i + j < N; j++)
                matrix[(i + j) * N + i] = coefficients[j];
        for (int64_t apart = bands; apart <= N; apart++) {
            for (int64_t k = 1; k <= 4; k++) {
                struct participation p = {N, k, apart};
                double got = NAN;
                ck_assert_int_eq(
                    fixed_order_toeplitz(coefficients, bands, &p, &got, &err), 0);
                double truth = worst(matrix, N, &p);
                ck_assert_double_ge(got, truth * (1 - 1e-15));
                ck_assert_double_le(got, truth * (1 + 1e-12));
            }
        }
    }
}
END_TEST

/* Columns of unlike norms: the worst pattern is not the first one. */
START_TEST(uneven_columns)
{
    const double norms[] = {1, 5, 1, 1, 4, 4, 1, 5};
    struct participation p = {8, 2, 3};
    double got = NAN;
    ck_assert_int_eq(fixed_order_banded(norms, &p, 2, &got, &err), 0);
    ck_assert_double_eq_tol(got, sqrt(50), 1e-12);
    p.n_participations = 3;
    ck_assert_int_eq(fixed_order_banded(norms, &p, 2, &got, &err), 0);
    ck_assert_double_eq_tol(got, sqrt(25 + 16 + 25), 1e-12);
}
END_TEST

/* Too long to search: every participation counts as the largest column. */
START_TEST(long_trainings_are_bounded)
{
    const double coefficients[] = {3, 4};
    struct participation p = {1000000, 10000, 100};
    double got = NAN;
    ck_assert_int_eq(fixed_order_toeplitz(coefficients, 2, &p, &got, &err), 0);
    ck_assert_double_ge(got, 500);
    ck_assert_double_le(got, 500 * (1 + 1e-11));
}
END_TEST

static int check_tree(const struct golden *row)
{
    if (strcmp(row->mechanism, "tree_aggregation") != 0)
        return 0;
    struct participation p = {row->steps, 1, 1};
    double sensitivity = NAN, mu = NAN, epsilon = NAN;
    ck_assert_int_eq(fixed_order_tree(&p, &sensitivity, &err), 0);
    ck_assert_double_eq_tol(sensitivity, sqrt(11), 1e-12);
    ck_assert_int_eq(
        fixed_order_mu(sensitivity, row->sigma, RELATION_ADD_REMOVE, &mu, &err), 0);
    ck_assert_int_eq(gdp_epsilon(mu, row->delta, &epsilon, &err), 0);
    ck_assert_double_lt(epsilon, row->high);
    ck_assert_double_gt(epsilon, 0.8 * row->high); /* theirs is a Renyi bound */
    return 1;
}

START_TEST(published_trees)
{
    ck_assert_int_eq(rows_each("eps", check_tree), 2);
}
END_TEST

/* Shuffled batches cost what their epochs cost without sampling, and far more than
 * Poisson's price, which is not theirs. */
START_TEST(shuffling_is_not_amplified)
{
    double sensitivity = NAN, mu = NAN, same = NAN, epsilon = NAN, poisson = NAN;
    ck_assert_int_eq(fixed_order_shuffled(9, &sensitivity, &err), 0);
    ck_assert_int_eq(fixed_order_mu(sensitivity, 2, RELATION_ADD_REMOVE, &mu, &err), 0);
    ck_assert_int_eq(gdp_mu(2, 1, 9, RELATION_ADD_REMOVE, &same, &err), 0);
    ck_assert_double_eq_tol(mu, same, 1e-13);
    ck_assert_double_ge(mu, 1.5);
    ck_assert_int_eq(gdp_epsilon(mu, 1e-6, &epsilon, &err), 0);
    struct pld_release release = {PAIR_GAUSSIAN, 2, 0.01, NULL, 900, {NULL}};
    struct pld_plan plan = {RELATION_ADD_REMOVE, 1, &release};
    ck_assert_int_eq(pld_epsilon(&plan, 1e-6, &poisson, NULL, &err), 0);
    ck_assert_double_gt(epsilon, 4 * poisson);
}
END_TEST

START_TEST(sampled_bands_are_fewer_subsampled_gaussians)
{
    struct pld_release release = {0};
    ck_assert_int_eq(fixed_order_sampled(3, 1.5, 8, 0.01, 1001, &release, &err), 0);
    ck_assert_int_eq(release.noise, PAIR_GAUSSIAN);
    ck_assert_double_eq_tol(release.scale, 2, 1e-12);
    ck_assert_double_le(release.scale, 2);
    ck_assert_double_eq_tol(release.rate, 0.08, 1e-12);
    ck_assert_double_ge(release.rate, 0.08);
    ck_assert_int_eq(release.count, 126);
    ck_assert_int_eq(fixed_order_sampled(3, 1.5, 8, 0.2, 1001, &release, &err),
                     -PPT_ERANGE);
}
END_TEST

static double price_of(const struct schedule *schedule, double noise)
{
    struct pld_release releases[PLD_MAX_RELEASES];
    struct pld_plan plan = {RELATION_ADD_REMOVE, 0, releases};
    double epsilon = NAN;
    ck_assert_int_eq(schedule_releases(schedule, noise, releases, &plan.n, &err), 0);
    ck_assert_int_eq(pld_epsilon(&plan, 1e-6, &epsilon, NULL, &err), 0);
    return epsilon;
}

START_TEST(schedules_meet_their_target)
{
    const struct schedule decaying = {5, 100, 0.02, 0.9}, uniform = {5, 100, 0.02, 1};
    double noise = NAN, same = NAN;
    ck_assert_int_eq(schedule_noise_multiplier(&decaying, 2, 1e-6, &noise, &err), 0);
    ck_assert_double_le(price_of(&decaying, noise), 2);
    ck_assert_double_gt(price_of(&decaying, noise * 0.999), 2);
    ck_assert_int_eq(schedule_noise_multiplier(&uniform, 2, 1e-6, &same, &err), 0);
    ck_assert_double_le(price_of(&uniform, same), 2);
    ck_assert_double_gt(noise, same);
    ck_assert_double_lt(noise * pow(0.9, 4), same);
    struct pld_release releases[PLD_MAX_RELEASES];
    int n = 0;
    ck_assert_int_eq(schedule_releases(&decaying, 1, releases, &n, &err), 0);
    ck_assert_int_eq(n, 5);
    ck_assert_double_eq_tol(releases[4].scale, 0.6561, 1e-15);
    ck_assert_int_eq(schedule_releases(&uniform, 1, releases, &n, &err), 0);
    ck_assert_int_eq(n, 1);
    ck_assert_int_eq(releases[0].count, 500);
}
END_TEST

START_TEST(nonsense_is_refused)
{
    double got = -1;
    const struct participation wrong[] = {{0, 1, 1},  {10, 0, 1},        {10, 11, 1},
                                          {10, 1, 0}, {INT64_MAX, 1, 1}, {-5, 1, 1}};
    const double norms[10] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        ck_assert_int_eq(fixed_order_tree(&wrong[i], &got, &err), -PPT_ERANGE);
        ck_assert_int_eq(fixed_order_banded(norms, &wrong[i], 1, &got, &err),
                         -PPT_ERANGE);
        ck_assert_int_eq(fixed_order_toeplitz(norms, 1, &wrong[i], &got, &err),
                         -PPT_ERANGE);
    }
    /* bands that overlap between participations have no bound here */
    struct participation close = {10, 2, 3};
    ck_assert_int_eq(fixed_order_banded(norms, &close, 4, &got, &err), -PPT_ERANGE);
    const double bad[10] = {1, NAN, 1, 1, 1, 1, 1, 1, 1, 1};
    ck_assert_int_eq(fixed_order_banded(bad, &close, 2, &got, &err), -PPT_ERANGE);
    ck_assert_int_eq(fixed_order_mu(NAN, 1, RELATION_ADD_REMOVE, &got, &err),
                     -PPT_ERANGE);
    ck_assert_int_eq(fixed_order_mu(1, 0, RELATION_ADD_REMOVE, &got, &err),
                     -PPT_ERANGE);
    ck_assert_int_eq(fixed_order_shuffled(0, &got, &err), -PPT_ERANGE);
    const struct schedule bad_schedules[] = {
        {0, 1, 0.1, 1},   {65, 1, 0.1, 1},  {2, 0, 0.1, 1}, {2, INT64_MAX, 0.1, 1},
        {2, 1, 0.1, 0.1}, {2, 1, 0.1, NAN}, {2, 1, 1.1, 1}, {2, 1, NAN, 0.9}};
    for (size_t i = 0; i < sizeof bad_schedules / sizeof bad_schedules[0]; i++)
        ck_assert_int_eq(
            schedule_noise_multiplier(&bad_schedules[i], 1, 1e-6, &got, &err),
            -PPT_ERANGE);
    ck_assert_double_eq(got, -1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fixed_order");
    TCase *tcase = tcase_create("fixed_order");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, trees_by_hand);
    tcase_add_test(tcase, bands_by_hand);
    tcase_add_test(tcase, uneven_columns);
    tcase_add_test(tcase, long_trainings_are_bounded);
    tcase_add_test(tcase, published_trees);
    tcase_add_test(tcase, shuffling_is_not_amplified);
    tcase_add_test(tcase, sampled_bands_are_fewer_subsampled_gaussians);
    tcase_add_test(tcase, schedules_meet_their_target);
    tcase_add_test(tcase, nonsense_is_refused);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
