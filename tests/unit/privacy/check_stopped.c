/* A run that its outputs end is bounded by the order of the whole plan, and not by the
 * best order of the part: against the strategy that stops where it hurts most.
 *
 * The plan is N_STEPS Gaussian releases, of which all data take part in each. After t
 * steps the log likelihood ratio is a walk L_t of normal steps, mean mu^2/2, variance
 * mu^2. Whoever watches stops at T to make E_P[(1 - e^{epsilon_T - L_T})_+] the
 * largest; backward induction over a grid of L finds that. The claim of epsilon_T is
 * that it is at most delta.
 */
#include <check.h>
#include <math.h>

#include "jobs/privacy/renyi.h"

#define NOISE 4.0
#define MU (1 / NOISE)
#define N_STEPS 100
#define DELTA 1e-2

/* The walk, six deviations below its start to nine above its mean's end; one step's
 * normal to nine deviations. */
#define N_CELLS 1201
#define LOWEST (-6 * MU * 10)
#define HIGHEST (N_STEPS * MU * MU / 2 + 9 * MU * 10)
#define CELL ((HIGHEST - LOWEST) / (N_CELLS - 1))
#define REACH 90

static struct renyi_release steps(int64_t count)
{
    struct renyi_release release = {mechanism_default(MECHANISM_GAUSSIAN), count};
    release.mechanism.noise_multiplier = NOISE;
    return release;
}

static double at(const double *values, double l)
{
    double place = fmin(fmax((l - LOWEST) / CELL, 0), N_CELLS - 1);
    int i = (int)fmin(floor(place), N_CELLS - 2);
    return values[i] + (place - i) * (values[i + 1] - values[i]);
}

/* E[values(l + one step)]. */
static double expected(const double *values, double l)
{
    double sum = 0, weights = 0;
    for (int j = -REACH; j <= REACH; j++) {
        double z = 9.0 * j / REACH, weight = exp(-z * z / 2);
        sum += weight * at(values, l + MU * MU / 2 + MU * z);
        weights += weight;
    }
    return sum / weights;
}

/* The delta that the worst strategy reaches against epsilons[t] after t steps. */
static double worst_delta(const double epsilons[N_STEPS + 1])
{
    static double now[N_CELLS], later[N_CELLS];
    for (int t = N_STEPS; t >= 1; t--) {
        for (int i = 0; i < N_CELLS; i++) {
            double l = LOWEST + i * CELL;
            double stopped = l > epsilons[t] ? -expm1(epsilons[t] - l) : 0;
            now[i] = t == N_STEPS ? stopped : fmax(stopped, expected(later, l));
        }
        for (int i = 0; i < N_CELLS; i++)
            later[i] = now[i];
    }
    return expected(later, 0);
}

START_TEST(no_strategy_beats_the_whole_plans_order)
{
    double fixed[N_STEPS + 1] = {0}, chosen[N_STEPS + 1] = {0}, whole, order;
    struct renyi_release all = steps(N_STEPS);
    ck_assert_int_eq(renyi_epsilon(&all, 1, DELTA, &whole, &order, NULL), 0);
    for (int t = 1; t <= N_STEPS; t++) {
        struct renyi_release part = steps(t);
        ck_assert_int_eq(renyi_epsilon_stopped(&part, 1, DELTA, order, &fixed[t], NULL),
                         0);
        ck_assert_int_eq(renyi_epsilon(&part, 1, DELTA, &chosen[t], NULL, NULL), 0);
        ck_assert_double_gt(fixed[t], fixed[t - 1]);
        ck_assert_double_ge(fixed[t], chosen[t]);
    }
    ck_assert_double_eq(fixed[N_STEPS], whole);
    double sound = worst_delta(fixed), unsound = worst_delta(chosen);
    ck_assert_msg(sound <= DELTA && sound > 0.3 * DELTA, "%g", sound);
    /* the test sees what it is for: the best order of each part is no bound */
    ck_assert_msg(unsound > 1.5 * DELTA, "%g", unsound);
}
END_TEST

START_TEST(bounded_losses_stay_sums)
{
    struct renyi_release release = {mechanism_default(MECHANISM_LAPLACE), 3};
    release.mechanism.scale = 2;
    double whole, part, order;
    ck_assert_int_eq(renyi_epsilon(&release, 1, 1e-300, &whole, &order, NULL), 0);
    ck_assert(isinf(order));
    release.count = 1;
    ck_assert_int_eq(renyi_epsilon_stopped(&release, 1, 1e-300, order, &part, NULL), 0);
    ck_assert_double_eq_tol(part, whole / 3, 1e-12);
}
END_TEST

START_TEST(nonsense_is_refused)
{
    struct renyi_release release = steps(1);
    const double orders[] = {NAN, -INFINITY, 0, 1, 1e6};
    double epsilon;
    for (int i = 0; i < 5; i++) {
        struct error err = {0};
        ck_assert_int_eq(
            renyi_epsilon_stopped(&release, 1, DELTA, orders[i], &epsilon, &err),
            -PPT_ERANGE);
        ck_assert(err.text[0] != '\0');
    }
    ck_assert_int_eq(renyi_epsilon_stopped(&release, 1, 0, 2, &epsilon, NULL),
                     -PPT_ERANGE);
    release.count = 0;
    ck_assert_int_eq(renyi_epsilon_stopped(&release, 1, DELTA, 2, &epsilon, NULL),
                     -PPT_ERANGE);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("stopped");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, no_strategy_beats_the_whole_plans_order);
    tcase_add_test(tcase, bounded_losses_stay_sums);
    tcase_add_test(tcase, nonsense_is_refused);
    Suite *suite = suite_create("stopped");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
