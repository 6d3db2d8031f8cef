/* Every published value that the mechanisms reach, from tests/vectors/accountant.csv:
 * Renyi divergences to the digits given, epsilons, deltas and noises as bounds. */
#include <check.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "jobs/privacy/calibrate.h"
#include "jobs/privacy/mechanism.h"
#include "jobs/privacy/rdp.h"
#include "jobs/privacy/renyi.h"
#include "tests/unit/privacy/rows.h"

/* Published Renyi values are rounded or come from other quadratures. */
#define RDP_TOLERANCE 5e-9
/* A published Renyi epsilon may come from orders between ours: README, "grid". The grid
 * is sparse below order 2, where epsilons above 10 have their best order. */
#define GRID_LOSS 2e-3
#define GRID_LOSS_ABOVE_10 5e-2
/* Independent truths are good to about 1e-5 of their size. */
#define TRUTH_TOLERANCE 1e-5

/* Gaussians, sampled or not, under add or remove. */
static bool is_ours(const struct golden *row)
{
    return rows_is_gaussian(row) && strcmp(row->adjacency, "REPLACE") != 0;
}

static double noise_of(const struct golden *row)
{
    return row->sigma / row->sensitivity;
}

static double truth_of(const struct golden *row, double otherwise)
{
    return isnan(row->truth) ? otherwise : row->truth;
}

static struct cost cost_of(const struct golden *row)
{
    struct mechanism mechanism = {.kind = MECHANISM_SUBSAMPLED_GAUSSIAN,
                                  .noise_multiplier = noise_of(row),
                                  .sample_rate = row->rate};
    struct curve curve;
    struct cost cost;
    struct error err = {0};
    int rc = mechanism_curve(&mechanism, UNIT_EXAMPLE, &curve, &err);
    if (rc == 0)
        rc = cost_from_curve(&curve, row->steps, &cost, &err);
    ck_assert_msg(rc == 0, "%s: %s", row->id, err.text);
    return cost;
}

static int check_rdp(const struct golden *row)
{
    if (!is_ours(row))
        return 0;
    double truth = truth_of(row, row->expected);
    double rho = (double)row->steps *
                 rdp_subsampled_gaussian(row->alpha, noise_of(row), row->rate);
    ck_assert_msg(fabs(rho / truth - 1) < RDP_TOLERANCE, "%s: got %.12g, truth %.12g",
                  row->id, rho, truth);
    return 1;
}

START_TEST(renyi_values)
{
    ck_assert_int_eq(rows_each("rdp", check_rdp), 72);
}
END_TEST

static int check_epsilon(const struct golden *row)
{
    if (!is_ours(row))
        return 0;
    struct cost cost = cost_of(row);
    double epsilon, truth = truth_of(row, 0);
    ck_assert_int_eq(cost_epsilon(&cost, row->delta, &epsilon, NULL, NULL), 0);
    ck_assert_msg(epsilon >= truth * (1 - TRUTH_TOLERANCE),
                  "%s: %.9g is below the truth %.9g", row->id, epsilon, truth);
    struct renyi_release release = {{.kind = MECHANISM_SUBSAMPLED_GAUSSIAN,
                                     .noise_multiplier = noise_of(row),
                                     .sample_rate = row->rate},
                                    row->steps};
    double tight;
    ck_assert_int_eq(renyi_epsilon(&release, 1, row->delta, &tight, NULL, NULL), 0);
    ck_assert_msg(tight >= truth * (1 - TRUTH_TOLERANCE) && tight <= epsilon,
                  "%s: %.9g over all orders", row->id, tight);
    if (strcmp(row->bound, "rdp") == 0)
        ck_assert_msg(tight <= row->expected + row->tol,
                      "%s: %.9g is above the published %.9g", row->id, tight,
                      row->expected);
    double loss = row->expected > 10 ? GRID_LOSS_ABOVE_10 : GRID_LOSS;
    if (strcmp(row->bound, "rdp") == 0)
        ck_assert_msg(epsilon <= row->expected * (1 + loss),
                      "%s: %.9g is above the published %.9g", row->id, epsilon,
                      row->expected);
    return 1;
}

START_TEST(epsilons_are_bounds)
{
    ck_assert_int_eq(rows_each("eps", check_epsilon), 80);
}
END_TEST

static int check_delta(const struct golden *row)
{
    if (!is_ours(row) || row->epsilon < 0)
        return 0;
    struct cost cost = cost_of(row);
    double delta;
    ck_assert_int_eq(cost_delta(&cost, row->epsilon, &delta, NULL, NULL), 0);
    ck_assert_msg(delta >= row->expected - 5e-8, "%s: %.9g is below the truth %.9g",
                  row->id, delta, row->expected);
    return 1;
}

START_TEST(deltas_are_bounds)
{
    ck_assert_int_eq(rows_each("delta", check_delta), 29);
}
END_TEST

static int check_sigma(const struct golden *row)
{
    if (!is_ours(row) || strstr(row->bound, "not a bound") != NULL)
        return 0;
    struct error err = {0};
    double sensitivity = row->sensitivity, noise;
    struct renyi_release training = {mechanism_default(MECHANISM_SUBSAMPLED_GAUSSIAN),
                                     row->steps};
    training.mechanism.sample_rate = row->rate;
    int rc = calibrate_noise_multiplier(row->epsilon, row->delta, &training, NULL, 0,
                                        &noise, &err);
    ck_assert_msg(rc == 0, "%s: %s", row->id, err.text);
    ck_assert_msg(noise * sensitivity >= row->expected * (1 - 1e-3),
                  "%s: noise %.9g is less than %.9g", row->id, noise * sensitivity,
                  row->expected);
    return 1;
}

START_TEST(calibrated_noise_is_enough)
{
    ck_assert_int_ge(rows_each("sigma", check_sigma), 25);
}
END_TEST

/* A divergence that is the same at orders 2 to 32, the note says: the last one is best.
 */
START_TEST(constant_divergence)
{
    struct golden row = rows_get("G200");
    double best = INFINITY;
    for (int alpha = 2; alpha <= 32; alpha++)
        best = fmin(best, cost_epsilon_at(alpha, 1.1, row.delta));
    ck_assert_double_eq(best, cost_epsilon_at(32, 1.1, row.delta));
    ck_assert_msg(best >= row.low && best <= row.high, "%.17g", best);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("golden");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, renyi_values);
    tcase_add_test(tcase, epsilons_are_bounds);
    tcase_add_test(tcase, deltas_are_bounds);
    tcase_add_test(tcase, calibrated_noise_is_enough);
    tcase_add_test(tcase, constant_divergence);
    Suite *suite = suite_create("golden");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
