/* The price over all orders against a dense search and against the ledger's grid. */
#include <check.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "jobs/privacy/renyi.h"

/* Of the price, against 5000 orders around its best. */
#define LOSS 1e-4
#define STEPS_1E6_MAX_S 0.005

/* Uniform in [0, 1), the same in every run. */
static double uniform(void)
{
    static uint64_t state = 77;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 11) * 0x1p-53;
}

static struct renyi_release gaussian(double noise, double rate, int64_t count)
{
    struct renyi_release release = {mechanism_default(MECHANISM_SUBSAMPLED_GAUSSIAN),
                                    count};
    release.mechanism.noise_multiplier = noise;
    release.mechanism.sample_rate = rate;
    return release;
}

static double price(const struct renyi_release *releases, int n, double delta,
                    double *ret_order)
{
    struct error err = {0};
    double epsilon = NAN;
    int rc = renyi_epsilon(releases, n, delta, &epsilon, ret_order, &err);
    ck_assert_msg(rc == 0, "%s", err.text);
    return epsilon;
}

static double ledger(const struct renyi_release *releases, int n, double delta)
{
    struct cost sum = cost_zero(UNIT_EXAMPLE, releases[0].mechanism.relation);
    double epsilon = NAN;
    for (int i = 0; i < n; i++) {
        struct curve curve;
        struct cost cost;
        ck_assert_int_eq(
            mechanism_curve(&releases[i].mechanism, UNIT_EXAMPLE, &curve, NULL), 0);
        ck_assert_int_eq(cost_from_curve(&curve, releases[i].count, &cost, NULL), 0);
        ck_assert_int_eq(cost_add(&sum, &cost, &sum, NULL), 0);
    }
    ck_assert_int_eq(cost_epsilon(&sum, delta, &epsilon, NULL, NULL), 0);
    return epsilon;
}

/* Orders around the best, three times as wide as the grid's gaps, far closer. */
static double dense(const struct renyi_release *release, double delta, double near)
{
    double best = INFINITY;
    for (double step = -0.5; step <= 0.5; step += 2e-4) {
        double alpha = 1 + (near - 1) * exp(step), rho;
        mechanism_rho(&release->mechanism, &alpha, 1, &rho);
        best = fmin(best, cost_epsilon_at(alpha, rho * (double)release->count, delta));
    }
    return best;
}

START_TEST(loses_nothing_to_a_dense_search)
{
    for (int i = 0; i < 60; i++) {
        /* every third near a cliff: little noise, rare samples */
        double noise = i % 3 == 0 ? 0.3 + 0.4 * uniform() : 0.5 * pow(20, uniform());
        double rate = pow(1e-6, uniform()), delta = pow(10, -3 - 9 * uniform());
        int64_t count = (int64_t)pow(1e6, uniform());
        struct renyi_release release = gaussian(noise, rate, count);
        double order, epsilon = price(&release, 1, delta, &order);
        double least = dense(&release, delta, order), grid = ledger(&release, 1, delta);
        ck_assert_msg(epsilon <= least * (1 + LOSS) + 1e-12,
                      "%g %g %lld %g: %.9g at %g, %.9g by a dense search", noise, rate,
                      (long long)count, delta, epsilon, order, least);
        ck_assert_double_le(epsilon, grid * (1 + 1e-12));
    }
}
END_TEST

START_TEST(goes_beyond_the_grid_at_both_ends)
{
    double order;
    struct renyi_release tiny = gaussian(400, 0.5, 1);
    double epsilon = price(&tiny, 1, 1e-9, &order);
    ck_assert_double_gt(order, 2048);
    ck_assert_double_lt(epsilon, ledger(&tiny, 1, 1e-9) * 0.95);
    /* the conversion of a plain Gaussian at its own best order, by hand */
    struct renyi_release large = gaussian(0.05, 1, 100);
    epsilon = price(&large, 1, 1e-6, &order);
    ck_assert_double_lt(order, 1.125);
    double hand = cost_epsilon_at(order, order * 100 / (2 * 0.05 * 0.05), 1e-6);
    ck_assert_double_eq_tol(epsilon / hand, 1, 1e-9);
}
END_TEST

START_TEST(unlike_mechanisms_add)
{
    struct renyi_release plan[3] = {gaussian(1.1, 0.01, 2000), gaussian(20, 1, 10)};
    plan[2] = (struct renyi_release){mechanism_default(MECHANISM_LAPLACE), 5};
    plan[2].mechanism.scale = 8;
    double both = price(plan, 3, 1e-6, NULL), alone = price(plan, 1, 1e-6, NULL);
    ck_assert_double_gt(both, alone);
    ck_assert_double_lt(both, alone + price(plan + 1, 2, 1e-6, NULL));
    ck_assert_double_le(both, ledger(plan, 3, 1e-6));
    /* the same thing said in another order, or split, costs the same */
    struct renyi_release split[4] = {plan[2], plan[1], plan[0], plan[0]};
    split[2].count = 500;
    split[3].count = 1500;
    ck_assert_double_eq_tol(price(split, 4, 1e-6, NULL) / both, 1, 1e-9);
}
END_TEST

START_TEST(bounded_losses_add_at_any_delta)
{
    /* pld_privacy_accountant_test of dp_accounting: 3 Laplace of scale 1, 2 of scale 2
     */
    struct renyi_release plan[2] = {{mechanism_default(MECHANISM_LAPLACE), 3},
                                    {mechanism_default(MECHANISM_LAPLACE), 2}};
    double order;
    plan[0].mechanism.scale = 1;
    plan[1].mechanism.scale = 2;
    double epsilon = price(plan, 2, 1e-14, &order);
    ck_assert_double_ge(epsilon, 4);
    ck_assert_double_le(epsilon, 4 * (1 + 1e-12));
    ck_assert(isinf(order));
}
END_TEST

static void refuse(const struct renyi_release *plan, int n, double delta,
                   const char *text)
{
    struct error err = {0};
    double epsilon = 42;
    ck_assert_int_eq(renyi_epsilon(plan, n, delta, &epsilon, NULL, &err), -PPT_ERANGE);
    ck_assert_msg(strstr(err.text, text) != NULL, "'%s' lacks '%s'", err.text, text);
    ck_assert(epsilon == 42);
}

START_TEST(nonsense_is_refused)
{
    struct renyi_release plan[2] = {gaussian(1, 0.1, 10), gaussian(1, 0.1, 10)};
    refuse(plan, 1, 0, "delta is 0");
    refuse(plan, 1, NAN, "delta is nan");
    refuse(plan, 0, 1e-6, "a plan has 0 mechanisms");
    refuse(plan, 65, 1e-6, "a plan has 65 mechanisms");
    plan[1].count = INT64_C(1000000000000000000);
    refuse(plan, 2, 1e-6, "count of subsampled-gaussian is 1000000000000000000");
    plan[1].count = 0;
    refuse(plan, 2, 1e-6, "is 0, expected a number in [1, 1000000000000]");
    plan[1].count = 1;
    plan[1].mechanism.noise_multiplier = NAN;
    refuse(plan, 2, 1e-6, "noise_multiplier is nan");
    plan[1].mechanism = mechanism_default(MECHANISM_RANDOMISED_RESPONSE);
    plan[1].mechanism.flip = 0.5;
    refuse(plan, 2, 1e-6,
           "cannot add a price under replace_one to one under add_remove");
}
END_TEST

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

START_TEST(a_million_steps_are_fast)
{
    const double points[][2] = {
        {1, 1e-3}, {2, 1e-3}, {0.8, 1e-5}, {10, 0.01}, {0.3, 1e-5}};
    for (int i = 0; i < 5; i++) {
        struct renyi_release release = gaussian(points[i][0], points[i][1], 1000000);
        double best_s = INFINITY;
        for (int j = 0; j < 5; j++) {
            double start_s = now_s();
            price(&release, 1, 1e-6, NULL);
            best_s = fmin(best_s, now_s() - start_s);
        }
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
        best_s /= 10; /* an instrumented build is not what is timed */
#endif
        ck_assert_msg(best_s <= STEPS_1E6_MAX_S, "noise %g: %g s", points[i][0],
                      best_s);
    }
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("renyi");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, loses_nothing_to_a_dense_search);
    tcase_add_test(tcase, goes_beyond_the_grid_at_both_ends);
    tcase_add_test(tcase, unlike_mechanisms_add);
    tcase_add_test(tcase, bounded_losses_add_at_any_delta);
    tcase_add_test(tcase, nonsense_is_refused);
    tcase_add_test(tcase, a_million_steps_are_fast);
    Suite *suite = suite_create("renyi");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
