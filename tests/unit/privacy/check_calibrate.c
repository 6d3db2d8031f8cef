/* Calibration: the answer meets the target, a little less noise does not. */
#include <check.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "jobs/privacy/calibrate.h"
#include "jobs/privacy/mechanism.h"

#define CALIBRATION_MAX_S 0.1

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static struct renyi_release training(double noise, double rate, int64_t steps)
{
    return (struct renyi_release){.mechanism = {.kind = MECHANISM_SUBSAMPLED_GAUSSIAN,
                                                .noise_multiplier = noise,
                                                .sample_rate = rate},
                                  .count = steps};
}

static double epsilon_with(double noise, double rate, int64_t steps,
                           const struct renyi_release *other, double delta)
{
    struct renyi_release plan[2] = {training(noise, rate, steps)};
    double epsilon = NAN;
    if (other != NULL)
        plan[1] = *other;
    ck_assert_int_eq(
        renyi_epsilon(plan, other != NULL ? 2 : 1, delta, &epsilon, NULL, NULL), 0);
    return epsilon;
}

static double calibrate(double epsilon, double delta, double rate, int64_t steps,
                        const struct renyi_release *other)
{
    double noise = NAN;
    struct error err = {0};
    struct renyi_release plan = training(1, rate, steps);
    int rc = calibrate_noise_multiplier(epsilon, delta, &plan, other, other != NULL,
                                        &noise, &err);
    ck_assert_msg(rc == 0, "epsilon %g delta %g rate %g steps %lld: %s", epsilon, delta,
                  rate, (long long)steps, err.text);
    return noise;
}

static const double epsilons[] = {0.1, 0.5, 1, 3, 10};
static const double deltas[] = {1e-10, 1e-6, 1e-5};
static const double rates[] = {1e-7, 1e-4, 0.004, 0.1, 1};
static const int64_t steps[] = {1, 100, 10000, 1000000};

START_TEST(noise_is_enough_and_no_more)
{
    double slowest_s = 0;
    for (int i = 0; i < 5 * 3 * 5 * 4; i++) {
        double epsilon = epsilons[i % 5], delta = deltas[i / 5 % 3];
        double rate = rates[i / 15 % 5];
        int64_t n = steps[i / 75];
        double start_s = now_s();
        double noise = calibrate(epsilon, delta, rate, n, NULL);
        slowest_s = fmax(slowest_s, now_s() - start_s);
        ck_assert_double_le(epsilon_with(noise, rate, n, NULL, delta), epsilon);
        double less = noise * (1 - 1.2e-5);
        if (less > CALIBRATE_MIN_NOISE)
            ck_assert_msg(epsilon_with(less, rate, n, NULL, delta) > epsilon,
                          "%.9g is too much for epsilon %g delta %g rate %g steps %lld",
                          noise, epsilon, delta, rate, (long long)n);
    }
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    slowest_s /= 10; /* an instrumented build is not what is timed */
#endif
    ck_assert_double_le(slowest_s, CALIBRATION_MAX_S);
}
END_TEST

START_TEST(other_releases_are_counted)
{
    struct renyi_release other = training(20, 1, 1);
    double alone = calibrate(1, 1e-6, 0.01, 1000, NULL);
    double both = calibrate(1, 1e-6, 0.01, 1000, &other);
    ck_assert_double_gt(both, alone);
    ck_assert_double_le(epsilon_with(both, 0.01, 1000, &other, 1e-6), 1);
    ck_assert_double_gt(epsilon_with(both * (1 - 1.2e-5), 0.01, 1000, &other, 1e-6), 1);
    other = training(1, 1, 1);
    double noise = 42;
    struct error err = {0};
    struct renyi_release plan = training(1, 0.01, 1000);
    ck_assert_int_eq(
        calibrate_noise_multiplier(1, 1e-6, &plan, &other, 1, &noise, &err),
        -PPT_ERANGE);
    ck_assert(strstr(err.text, "the other releases alone cost epsilon") != NULL);
    ck_assert(noise == 42);
}
END_TEST

/* Dealt records: enough, no more, and hardly more than Poisson samples need (their best
 * order may lie between two whole ones, where our curve is a chord). */
START_TEST(noise_for_dealt_epochs)
{
    static const int64_t bins[] = {2, 59, 1000};
    for (int i = 0; i < 9; i++) {
        struct renyi_release plan = {mechanism_default(MECHANISM_RANDOM_ALLOCATION),
                                     15};
        double target = epsilons[1 + i / 3], noise = NAN, priced = NAN;
        plan.mechanism.bins = (double)bins[i % 3];
        ck_assert_int_eq(
            calibrate_noise_multiplier(target, 1e-6, &plan, NULL, 0, &noise, NULL), 0);
        plan.mechanism.noise_multiplier = noise;
        ck_assert_int_eq(renyi_epsilon(&plan, 1, 1e-6, &priced, NULL, NULL), 0);
        ck_assert_double_le(priced, target);
        plan.mechanism.noise_multiplier = noise * (1 - 1.2e-5);
        ck_assert_int_eq(renyi_epsilon(&plan, 1, 1e-6, &priced, NULL, NULL), 0);
        ck_assert_double_gt(priced, target);
        double sampled =
            calibrate(target, 1e-6, 1 / (double)bins[i % 3], 15 * bins[i % 3], NULL);
        ck_assert_double_le(noise, sampled * 1.02);
    }
}
END_TEST

START_TEST(the_least_noise_is_a_floor)
{
    /* a generous target is met by the smallest multiplier that is priced at all */
    double noise = calibrate(1e5, 1e-5, 0.5, 1, NULL);
    ck_assert_double_ge(noise, CALIBRATE_MIN_NOISE);
    ck_assert_double_le(noise, CALIBRATE_MIN_NOISE * (1 + 1e-6));
}
END_TEST

static void expect_range(double epsilon, double delta, double rate, int64_t n,
                         const char *text)
{
    double noise = 42;
    struct error err = {0};
    struct renyi_release plan = training(1, rate, n);
    ck_assert_int_eq(
        calibrate_noise_multiplier(epsilon, delta, &plan, NULL, 0, &noise, &err),
        -PPT_ERANGE);
    ck_assert_msg(strstr(err.text, text) != NULL, "'%s' lacks '%s'", err.text, text);
    ck_assert(noise == 42);
}

START_TEST(nonsense_is_refused)
{
    expect_range(NAN, 1e-6, 0.1, 10, "epsilon is nan, expected");
    expect_range(0, 1e-6, 0.1, 10, "epsilon is 0, expected");
    expect_range(INFINITY, 1e-6, 0.1, 10, "epsilon is inf, expected");
    expect_range(1, 0, 0.1, 10, "delta is 0, expected a number in (0, 1)");
    expect_range(1, -1e-6, 0.1, 10, "delta is -1e-06");
    expect_range(1, 1, 0.1, 10, "delta is 1");
    expect_range(1, 1e-6, 1.01, 10, "sample_rate is 1.01");
    expect_range(1, 1e-6, NAN, 10, "sample_rate is");
    expect_range(1, 1e-6, 0, 10, "sample_rate is 0");
    expect_range(1, 1e-6, 0.1, 0, "n_steps is 0, expected a number in [1, ");
    expect_range(1, 1e-6, 0.1, 1000000000000000000, "n_steps is 1000000000000000000");
    expect_range(1e-5, 1e-10, 1, 1000, "no noise_multiplier up to 1e+06 meets epsilon");
    struct renyi_release many[RENYI_MAX_RELEASES];
    for (int i = 0; i < RENYI_MAX_RELEASES; i++)
        many[i] = training(1e4, 1, 1);
    double noise = 42;
    struct error err = {0};
    struct renyi_release plan = training(1, 0.1, 10);
    ck_assert_int_eq(calibrate_noise_multiplier(1, 1e-6, &plan, many,
                                                RENYI_MAX_RELEASES, &noise, &err),
                     -PPT_ERANGE);
    ck_assert(strstr(err.text, "64 other releases, expected [0, 63]") != NULL);
    ck_assert(noise == 42);
}
END_TEST

static int renyi_tight(const struct renyi_release *plan, int n, double delta,
                       double *ret_epsilon, struct error *err)
{
    return renyi_epsilon(plan, n, delta, ret_epsilon, NULL, err);
}

/* The value looked for meets the target, and one a little less private does not. */
static double expect_edge(struct renyi_release *plan, int n, int which,
                          const struct mechanism_parameter *p, double epsilon,
                          double delta)
{
    struct error err = {0};
    double value = NAN, priced;
    int rc = calibrate_parameter(renyi_tight, plan, n, which, p, epsilon, delta, &value,
                                 &err);
    ck_assert_msg(rc == 0, "%s", err.text);
    double *place = mechanism_value(&plan[which].mechanism, p);
    *place = value;
    ck_assert_int_eq(renyi_epsilon(plan, n, delta, &priced, NULL, NULL), 0);
    ck_assert_msg(priced <= epsilon, "%s %.9g costs %.9g", p->name, value, priced);
    *place = p->privacy > 0 ? value * (1 - 3e-6) : value * (1 + 3e-6);
    if (*place >= p->low && *place <= p->high) {
        ck_assert_int_eq(renyi_epsilon(plan, n, delta, &priced, NULL, NULL), 0);
        ck_assert_msg(priced > epsilon, "%s could be %.9g", p->name, *place);
    }
    return value;
}

START_TEST(any_noise_is_found)
{
    for (int i = 0; i < MECHANISM_N_KINDS; i++) {
        struct renyi_release plan[1] = {
            {mechanism_default((enum mechanism_kind)i), 20}};
        struct mechanism *m = &plan[0].mechanism;
        if (i == MECHANISM_SUBSAMPLED_GAUSSIAN)
            m->sample_rate = 0.01;
        if (i == MECHANISM_SPARSE_VECTOR)
            m->query_scale = 1e3;
        if (i == MECHANISM_RANDOM_ALLOCATION)
            m->bins = 59;
        int n_rows;
        const struct mechanism_parameter *p = mechanism_parameters(m->kind, &n_rows);
        expect_edge(plan, 1, 0, p, 1.5, 1e-6);
    }
}
END_TEST

START_TEST(the_largest_sample_rate_is_found)
{
    struct renyi_release plan[2] = {
        {mechanism_default(MECHANISM_SUBSAMPLED_GAUSSIAN), 10000},
        {mechanism_default(MECHANISM_LAPLACE), 3}};
    plan[0].mechanism.noise_multiplier = 1;
    plan[1].mechanism.scale = 10;
    double rate = expect_edge(plan, 2, 0, &calibrate_sample_rate, 1, 1e-6);
    ck_assert(rate > 1e-5 && rate < 0.1);
    plan[0].mechanism.noise_multiplier = 1e5; /* even the whole data set */
    ck_assert(expect_edge(plan, 2, 0, &calibrate_sample_rate, 1, 1e-6) == 1);
}
END_TEST

START_TEST(steps_fill_the_target)
{
    for (int i = 0; i < 5 * 3 * 4; i++) {
        double epsilon = epsilons[i % 5], delta = deltas[i / 5 % 3];
        double rate = rates[1 + i / 15];
        const double noise = 5;
        int64_t n = -1, limit = 10000000;
        struct renyi_release plan = training(noise, rate, 1);
        ck_assert_int_eq(
            calibrate_count(renyi_tight, &plan, 1, 0, limit, epsilon, delta, &n, NULL),
            0);
        ck_assert_int_ge(n, 0);
        ck_assert_int_le(n, limit);
        if (n > 0)
            ck_assert_double_le(epsilon_with(noise, rate, n, NULL, delta), epsilon);
        if (n < limit)
            ck_assert_double_gt(epsilon_with(noise, rate, n + 1, NULL, delta), epsilon);
    }
    /* and it undoes the other calibration */
    struct renyi_release plan = training(calibrate(2, 1e-6, 0.01, 5000, NULL), 0.01, 1);
    int64_t n = 0;
    ck_assert_int_eq(
        calibrate_count(renyi_tight, &plan, 1, 0, 100000, 2, 1e-6, &n, NULL), 0);
    ck_assert_int_eq(n, 5000);
}
END_TEST

START_TEST(the_largest_count_is_found)
{
    struct renyi_release plan[1] = {{mechanism_default(MECHANISM_LAPLACE), 1}};
    plan[0].mechanism.scale = 50;
    int64_t count = 0;
    double priced;
    ck_assert_int_eq(
        calibrate_count(renyi_tight, plan, 1, 0, 1000000, 2, 1e-9, &count, NULL), 0);
    plan[0].count = count;
    ck_assert_int_eq(renyi_epsilon(plan, 1, 1e-9, &priced, NULL, NULL), 0);
    ck_assert_double_le(priced, 2);
    plan[0].count++;
    ck_assert_int_eq(renyi_epsilon(plan, 1, 1e-9, &priced, NULL, NULL), 0);
    ck_assert_double_gt(priced, 2);
    ck_assert_int_eq(calibrate_count(renyi_tight, plan, 1, 0, count - 7, 2, 1e-9,
                                     &plan[0].count, NULL),
                     0);
    ck_assert_int_eq(plan[0].count, count - 7);
    ck_assert_int_eq(
        calibrate_count(renyi_tight, plan, 1, 0, 1000000, 0.001, 1e-9, &count, NULL),
        0);
    ck_assert_int_eq(count, 0);
}
END_TEST

START_TEST(what_cannot_be_met_is_said)
{
    struct renyi_release plan[2] = {{mechanism_default(MECHANISM_LAPLACE), 1000000},
                                    {mechanism_default(MECHANISM_LAPLACE), 1}};
    const struct mechanism_parameter *p =
        mechanism_parameters(MECHANISM_LAPLACE, &(int){0});
    struct error err = {0};
    double value = 42;
    int64_t count = 42;
    plan[1].mechanism.scale = 0.1;
    ck_assert_int_eq(
        calibrate_parameter(renyi_tight, plan, 2, 0, p, 1, 1e-6, &value, &err),
        -PPT_ERANGE);
    ck_assert_str_eq(err.text,
                     "no scale in [0.001, 1e+09] meets epsilon 1 at delta 1e-06");
    plan[1].mechanism.scale = NAN;
    ck_assert_int_eq(
        calibrate_parameter(renyi_tight, plan, 2, 0, p, 1, 1e-6, &value, &err),
        -PPT_ERANGE);
    ck_assert_msg(strstr(err.text, "scale is nan") != NULL, "%s", err.text);
    ck_assert_int_eq(
        calibrate_parameter(renyi_tight, plan, 2, 2, p, 1, 1e-6, &value, &err),
        -PPT_ERANGE);
    ck_assert_int_eq(
        calibrate_parameter(renyi_tight, plan, 2, 0, p, 0, 1e-6, &value, &err),
        -PPT_ERANGE);
    ck_assert_int_eq(
        calibrate_count(renyi_tight, plan, 2, 0, 10, 1, 1e-6, &count, &err),
        -PPT_ERANGE);
    ck_assert(value == 42 && count == 42);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("calibrate");
    tcase_set_timeout(tcase, 100);
    tcase_add_test(tcase, noise_is_enough_and_no_more);
    tcase_add_test(tcase, other_releases_are_counted);
    tcase_add_test(tcase, noise_for_dealt_epochs);
    tcase_add_test(tcase, the_least_noise_is_a_floor);
    tcase_add_test(tcase, steps_fill_the_target);
    tcase_add_test(tcase, nonsense_is_refused);
    tcase_add_test(tcase, any_noise_is_found);
    tcase_add_test(tcase, the_largest_sample_rate_is_found);
    tcase_add_test(tcase, the_largest_count_is_found);
    tcase_add_test(tcase, what_cannot_be_met_is_said);
    Suite *suite = suite_create("calibrate");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
