/* The caps that the database computes, against the exact ones and against C's. */
#include <check.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/ledger/world.h"

/* How far below the exact cap the database's may lie: 2^-40 nat, and the part of the
 * terms' size that is kept for rounding. */
#define SLACK_UNITS 3
#define SLACK_RELATIVE 0x1p-47L

static struct error err;

/* The cap in 2^-40 nat with 64 bits of mantissa. */
static long double exact_cap(double epsilon, double delta, double weight, double alpha)
{
    long double a = alpha;
    return 0x1p40L * (epsilon - log1pl(-1 / a) +
                      (logl(weight) + logl(delta) + logl(a)) / (a - 1));
}

static long double size_of_terms(double epsilon, double delta, double weight,
                                 double alpha)
{
    long double a = alpha;
    return 0x1p40L * (epsilon + 1 / (a - 1) +
                      (fabsl(logl(weight)) + fabsl(logl(delta)) + logl(a)) / (a - 1));
}

static struct ledger_pot grant(struct world *world, const char *account, double epsilon,
                               double delta)
{
    struct ledger_pots pots;
    world_grant(world, account, NULL, epsilon, delta);
    ck_assert_int_eq(ledger_show(world->officer, account, &pots, &err), 0);
    struct ledger_pot pot = pots.pots[0];
    ledger_pots_free(&pots);
    return pot;
}

START_TEST(never_above_the_exact_value_and_close_to_it)
{
    const double epsilons[] = {0.1, 0.37, 1, 3, 8, 10, 1000, 1e6};
    const double deltas[] = {1e-12, 1e-7, 1e-6, 3.3e-5, 0.01};
    struct world world = world_open();
    int n_checked = 0;
    for (int e = 0; e < 8; e++)
        for (int d = 0; d < 5; d++) {
            char account[32];
            double weights[COST_N_ORDERS];
            int64_t caps[COST_N_ORDERS];
            snprintf(account, sizeof account, "a%d-%d", e, d);
            ck_assert_int_eq(ledger_account_create(world.officer, account, &err), 0);
            struct ledger_pot pot = grant(&world, account, epsilons[e], deltas[d]);
            ck_assert_int_eq(cost_weights(epsilons[e], deltas[d], weights, &err), 0);
            ck_assert_int_eq(cost_caps(epsilons[e], deltas[d], weights, caps, &err), 0);
            ck_assert_mem_eq(pot.weights, weights, sizeof weights);
            for (int i = 0; i < COST_N_ORDERS; i++) {
                long double exact =
                    exact_cap(epsilons[e], deltas[d], weights[i], cost_orders[i]);
                long double slack =
                    SLACK_UNITS + SLACK_RELATIVE * size_of_terms(epsilons[e], deltas[d],
                                                                 weights[i],
                                                                 cost_orders[i]);
                ck_assert_msg(pot.caps[i] <= (exact > 0 ? exact : -1),
                              "order %g: %" PRId64 " is above %.3Lf", cost_orders[i],
                              pot.caps[i], exact);
                if (exact > slack) {
                    ck_assert_msg(pot.caps[i] >= exact - slack,
                                  "order %g: %" PRId64 " is far below %.3Lf",
                                  cost_orders[i], pot.caps[i], exact);
                    ck_assert(fabsl((long double)(pot.caps[i] - caps[i])) <= slack);
                    n_checked++;
                }
            }
        }
    ck_assert_int_gt(n_checked, 2000);
    world_close(&world);
}
END_TEST

/* At the cap itself the promise of (epsilon, weight * delta) still holds. */
START_TEST(a_full_order_keeps_its_promise)
{
    struct world world = world_open();
    struct ledger_pot pot = grant(&world, "acme", 3, 1e-6);
    for (int i = 0; i < COST_N_ORDERS; i++) {
        double delta;
        if (pot.caps[i] < 0)
            continue;
        struct cost cost = world_cost_at(i, 0);
        cost.rho[i] = pot.caps[i];
        ck_assert_int_eq(cost_delta(&cost, 3, &delta, NULL, &err), 0);
        ck_assert_msg(delta <= pot.weights[i] * 1e-6 * (1 + 1e-9),
                      "order %g: delta %.17g of %.17g", cost_orders[i], delta,
                      pot.weights[i] * 1e-6);
    }
    world_close(&world);
}
END_TEST

START_TEST(most_of_delta_stands_where_gaussian_jobs_need_it)
{
    struct world world = world_open();
    struct ledger_pot pot = grant(&world, "acme", 3, 1e-6);
    int best = 0, n_heavy = 0;
    double x_best = 0;
    for (int i = 0; i < COST_N_ORDERS; i++) {
        double x = (double)pot.caps[i] / COST_RHO_PER_NAT / cost_orders[i];
        if (x > x_best) {
            x_best = x;
            best = i;
        }
        n_heavy += pot.weights[i] > 0.5;
    }
    ck_assert_int_eq(n_heavy, 1);
    ck_assert_double_gt(pot.weights[best], 0.89);
    /* 38.7 % above what the published schedulers' caps admit at (3, 1e-6): 0.12994 */
    ck_assert_double_gt(x_best, 1.38 * 0.12994);
    world_close(&world);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("caps");
    TCase *caps = tcase_create("caps");
    tcase_add_unchecked_fixture(caps, pg_start, pg_stop);
    tcase_set_timeout(caps, 60);
    tcase_add_test(caps, never_above_the_exact_value_and_close_to_it);
    tcase_add_test(caps, a_full_order_keeps_its_promise);
    tcase_add_test(caps, most_of_delta_stands_where_gaussian_jobs_need_it);
    suite_add_tcase(suite, caps);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
