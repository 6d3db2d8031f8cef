/* Every published value that the mechanisms reach, from tests/vectors/accountant.csv:
 * Renyi divergences to the digits given, epsilons, deltas and noises as bounds. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/privacy/calibrate.h"
#include "jobs/privacy/mechanism.h"
#include "jobs/privacy/rdp.h"
#include "jobs/privacy/renyi.h"

/* Published Renyi values are rounded or come from other quadratures. */
#define RDP_TOLERANCE 5e-9
/* A published Renyi epsilon may come from orders between ours: README, "grid". The grid
 * is sparse below order 2, where epsilons above 10 have their best order. */
#define GRID_LOSS 2e-3
#define GRID_LOSS_ABOVE_10 5e-2
/* Independent truths are good to about 1e-5 of their size. */
#define TRUTH_TOLERANCE 1e-5

enum { ID, QUANTITY, MECHANISM, SIGMA, SENSITIVITY, RATE, STEPS, ADJACENCY };
enum { ALPHA = 8, EPSILON, DELTA, EXPECTED, TOL, BOUND, LOW, HIGH, TRUTH, N_COLUMNS };

struct row {
    char *cell[N_COLUMNS];
    double noise, rate, expected;
    int64_t steps;
};

static double number(const struct row *row, int column, double otherwise)
{
    const char *cell = row->cell[column];
    return cell[0] == '\0' ? otherwise : strtod(cell, NULL);
}

/* Cuts the first cells of a line in place; a quoted cell may hold commas. */
static bool split(char *line, struct row *ret_row)
{
    for (int i = 0; i < N_COLUMNS; i++) {
        ret_row->cell[i] = line;
        char *quote = line[0] == '"' ? strchr(line + 1, '"') : NULL;
        char *comma = strchr(quote != NULL ? quote : line, ',');
        if (comma == NULL)
            return false;
        *comma = '\0';
        line = comma + 1;
    }
    ret_row->noise = number(ret_row, SIGMA, NAN) / number(ret_row, SENSITIVITY, 1);
    ret_row->rate = number(ret_row, RATE, 1);
    ret_row->steps = (int64_t)number(ret_row, STEPS, 1);
    ret_row->expected = number(ret_row, EXPECTED, NAN);
    return true;
}

/* Calls check for each row of this quantity that is a Gaussian, sampled or not, under
 * add or remove; returns how many there were. */
static int each_row(const char *quantity, void (*check)(const struct row *row))
{
    char path[4096], line[4096];
    snprintf(path, sizeof path, "%s/tests/vectors/accountant.csv",
             getenv("PPT_SOURCE_DIR"));
    FILE *file = fopen(path, "r");
    ck_assert_msg(file != NULL, "%s", path);
    int n = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        struct row row;
        if (line[0] == '#' || !split(line, &row) ||
            strcmp(row.cell[QUANTITY], quantity) != 0 ||
            strcmp(row.cell[ADJACENCY], "REPLACE") == 0)
            continue;
        if (strcmp(row.cell[MECHANISM], "gaussian") != 0 &&
            strcmp(row.cell[MECHANISM], "poisson_gaussian") != 0)
            continue;
        check(&row);
        n++;
    }
    fclose(file);
    return n;
}

static struct cost cost_of(const struct row *row)
{
    struct mechanism mechanism = {.kind = MECHANISM_SUBSAMPLED_GAUSSIAN,
                                  .noise_multiplier = row->noise,
                                  .sample_rate = row->rate};
    struct curve curve;
    struct cost cost;
    struct error err = {0};
    int rc = mechanism_curve(&mechanism, UNIT_EXAMPLE, &curve, &err);
    if (rc == 0)
        rc = cost_from_curve(&curve, row->steps, &cost, &err);
    ck_assert_msg(rc == 0, "%s: %s", row->cell[ID], err.text);
    return cost;
}

static void check_rdp(const struct row *row)
{
    double alpha = number(row, ALPHA, NAN), truth = number(row, TRUTH, row->expected);
    double rho =
        (double)row->steps * rdp_subsampled_gaussian(alpha, row->noise, row->rate);
    ck_assert_msg(fabs(rho / truth - 1) < RDP_TOLERANCE, "%s: got %.12g, truth %.12g",
                  row->cell[ID], rho, truth);
}

START_TEST(renyi_values)
{
    ck_assert_int_eq(each_row("rdp", check_rdp), 72);
}
END_TEST

static void check_epsilon(const struct row *row)
{
    struct cost cost = cost_of(row);
    double epsilon, truth = number(row, TRUTH, 0);
    ck_assert_int_eq(cost_epsilon(&cost, number(row, DELTA, NAN), &epsilon, NULL, NULL),
                     0);
    ck_assert_msg(epsilon >= truth * (1 - TRUTH_TOLERANCE),
                  "%s: %.9g is below the truth %.9g", row->cell[ID], epsilon, truth);
    struct renyi_release release = {{.kind = MECHANISM_SUBSAMPLED_GAUSSIAN,
                                     .noise_multiplier = row->noise,
                                     .sample_rate = row->rate},
                                    row->steps};
    double tight;
    ck_assert_int_eq(
        renyi_epsilon(&release, 1, number(row, DELTA, NAN), &tight, NULL, NULL), 0);
    ck_assert_msg(tight >= truth * (1 - TRUTH_TOLERANCE) && tight <= epsilon,
                  "%s: %.9g over all orders", row->cell[ID], tight);
    if (strcmp(row->cell[BOUND], "rdp") == 0)
        ck_assert_msg(tight <= row->expected + number(row, TOL, 0),
                      "%s: %.9g is above the published %.9g", row->cell[ID], tight,
                      row->expected);
    double loss = row->expected > 10 ? GRID_LOSS_ABOVE_10 : GRID_LOSS;
    if (strcmp(row->cell[BOUND], "rdp") == 0)
        ck_assert_msg(epsilon <= row->expected * (1 + loss),
                      "%s: %.9g is above the published %.9g", row->cell[ID], epsilon,
                      row->expected);
}

START_TEST(epsilons_are_bounds)
{
    ck_assert_int_eq(each_row("eps", check_epsilon), 80);
}
END_TEST

static void check_delta(const struct row *row)
{
    struct cost cost = cost_of(row);
    double epsilon = number(row, EPSILON, NAN), delta;
    if (epsilon < 0)
        return;
    ck_assert_int_eq(cost_delta(&cost, epsilon, &delta, NULL, NULL), 0);
    ck_assert_msg(delta >= row->expected - 5e-8, "%s: %.9g is below the truth %.9g",
                  row->cell[ID], delta, row->expected);
}

START_TEST(deltas_are_bounds)
{
    ck_assert_int_ge(each_row("delta", check_delta), 35);
}
END_TEST

static void check_sigma(const struct row *row)
{
    double sensitivity = number(row, SENSITIVITY, 1), noise;
    double epsilon = number(row, EPSILON, NAN), delta = number(row, DELTA, NAN);
    struct error err = {0};
    if (strstr(row->cell[BOUND], "not a bound") != NULL)
        return;
    int rc = calibrate_noise_multiplier(epsilon, delta, row->rate, row->steps, NULL,
                                        &noise, &err);
    ck_assert_msg(rc == 0, "%s: %s", row->cell[ID], err.text);
    ck_assert_msg(noise * sensitivity >= row->expected * (1 - 1e-3),
                  "%s: noise %.9g is less than %.9g", row->cell[ID],
                  noise * sensitivity, row->expected);
}

START_TEST(calibrated_noise_is_enough)
{
    ck_assert_int_ge(each_row("sigma", check_sigma), 25);
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
    Suite *suite = suite_create("golden");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
