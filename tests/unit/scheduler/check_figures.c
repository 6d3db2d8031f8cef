/* Figures for people: what is spent rounds up, what is left rounds down. */
#include "scheduler/figures.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/privacy/mechanism.h"

START_TEST(rounding_never_flatters)
{
    char text[FIGURES_SIZE];
    figures_up(0.4101, text);
    ck_assert_str_eq(text, "0.411");
    figures_down(0.4109, text);
    ck_assert_str_eq(text, "0.410");
    figures_up(3.001, text);
    ck_assert_str_eq(text, "3.01");
    figures_down(2.999, text);
    ck_assert_str_eq(text, "2.99");
    /* 0.29 * 1000 is 289.99999999999994 in doubles */
    figures_down(0.29, text);
    ck_assert_str_eq(text, "0.290");
    figures_up(4, text);
    ck_assert_str_eq(text, "4.00");
    figures_up(INFINITY, text);
    ck_assert_str_eq(text, "none");
}
END_TEST

START_TEST(durations_and_sizes)
{
    char text[FIGURES_SIZE];
    figures_duration(7, text);
    ck_assert_str_eq(text, "0:07");
    figures_duration(3723, text);
    ck_assert_str_eq(text, "1:02:03");
    figures_duration(2 * 86400 + 3 * 3600 + 4 * 60 + 5, text);
    ck_assert_str_eq(text, "2-03:04:05");
    figures_bytes(2147483648, text);
    ck_assert_str_eq(text, "2.0 GiB");
    figures_bytes(512, text);
    ck_assert_str_eq(text, "512 B");
    figures_time(0, text);
    ck_assert_str_eq(text, "-");
}
END_TEST

static struct ledger_pot *new_pot(double epsilon, double delta)
{
    struct ledger_pot *pot = calloc(1, sizeof *pot);
    pot->has_limit = true;
    pot->epsilon = epsilon;
    pot->delta = delta;
    ck_assert_int_eq(cost_weights(epsilon, delta, pot->weights, NULL), 0);
    ck_assert_int_eq(cost_caps(epsilon, delta, pot->weights, pot->caps, NULL), 0);
    return pot;
}

START_TEST(an_unused_pot_has_all_left)
{
    struct ledger_pot *pot = new_pot(4, 1e-6);
    struct figures_pot figures = figures_pot(pot);
    ck_assert(figures.spent == 0 && figures.reserved == 0);
    ck_assert(figures.limit == 4 && figures.remaining == 4);
    free(pot);
}
END_TEST

/* At an order's cap exactly, nothing is left; one unit over, still nothing. */
START_TEST(a_full_pot_has_nothing_left)
{
    struct ledger_pot *pot = new_pot(4, 1e-6);
    for (int i = 0; i < COST_N_ORDERS; i++)
        pot->spent[i] = pot->caps[i] < 0 ? 1 : pot->caps[i];
    struct figures_pot figures = figures_pot(pot);
    ck_assert(fabs(figures.spent - 4) < 1e-9);
    ck_assert(fabs(figures.remaining) < 1e-9);
    for (int i = 0; i < COST_N_ORDERS; i++)
        pot->spent[i] += INT64_C(1) << 40;
    figures = figures_pot(pot);
    ck_assert(figures.spent > 4.5);
    ck_assert(figures.remaining == 0);
    free(pot);
}
END_TEST

/* What the filter can prove is never less than the plain conversion at the whole delta.
 */
START_TEST(spent_is_an_upper_bound_of_the_plain_epsilon)
{
    struct ledger_pot *pot = new_pot(4, 1e-6);
    struct mechanism mechanism = {
        .kind = MECHANISM_GAUSSIAN, .noise_multiplier = 5, .sample_rate = 1};
    struct curve curve;
    struct cost cost;
    double plain;
    ck_assert_int_eq(mechanism_curve(&mechanism, UNIT_EXAMPLE, &curve, NULL), 0);
    ck_assert_int_eq(cost_from_curve(&curve, 3, &cost, NULL), 0);
    ck_assert_int_eq(cost_epsilon(&cost, 1e-6, &plain, NULL, NULL), 0);
    memcpy(pot->spent, cost.rho, sizeof pot->spent);
    struct figures_pot figures = figures_pot(pot);
    ck_assert(figures.spent >= plain);
    ck_assert_msg(figures.spent < 1.4 * plain, "%g %g", figures.spent, plain);
    ck_assert(figures.reserved == 0);
    memcpy(pot->reserved, cost.rho, sizeof pot->reserved);
    struct figures_pot more = figures_pot(pot);
    ck_assert(more.reserved > 0 && more.spent == figures.spent);
    ck_assert(fabs(more.remaining + more.spent + more.reserved - 4) < 1e-9);
    free(pot);
}
END_TEST

START_TEST(pots_have_names)
{
    struct ledger_pot *pot = new_pot(4, 1e-6);
    char name[128];
    strcpy(pot->account, "acme/research");
    figures_pot_name(pot, name, sizeof name);
    ck_assert_str_eq(name, "acme/research (all data)");
    strcpy(pot->dataset, "mnist");
    figures_pot_name(pot, name, sizeof name);
    ck_assert_str_eq(name, "acme/research on mnist");
    pot->account[0] = '\0';
    figures_pot_name(pot, name, sizeof name);
    ck_assert_str_eq(name, "data set mnist");
    free(pot);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("figures");
    TCase *tc = tcase_create("figures");
    tcase_add_test(tc, rounding_never_flatters);
    tcase_add_test(tc, durations_and_sizes);
    tcase_add_test(tc, an_unused_pot_has_all_left);
    tcase_add_test(tc, a_full_pot_has_nothing_left);
    tcase_add_test(tc, spent_is_an_upper_bound_of_the_plain_epsilon);
    tcase_add_test(tc, pots_have_names);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed != 0;
}
