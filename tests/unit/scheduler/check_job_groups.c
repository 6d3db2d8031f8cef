/* Jobs that are moved together: what a group does is what its jobs would have done one
 * after the other, and a group that cannot be moved whole is left alone. */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/ledger/world.h"

#define OK(call)                                                                       \
    do {                                                                               \
        int rc_ = (call);                                                              \
        ck_assert_msg(rc_ == 0, "%s: %s (%s)", #call, err.text, err.detail);           \
    } while (0)
#define FAILS(code, call) ck_assert_int_eq((call), -(code))
#define N 3

static struct world world;
static struct error err;
static int64_t ids[N];

static void open_world(void)
{
    err = (struct error){0};
    world = world_open();
    world_grant(&world, "acme", NULL, 5, 1e-6);
    for (int i = 0; i < N; i++)
        ids[i] = world_submit(&world, WORLD_ACCOUNT);
}

static void close_world(void)
{
    world_check(&world);
    world_close(&world);
}

/* A cost of which exactly `n` fit into acme's pot at the order that is used most. */
static struct cost one_of(int n)
{
    struct ledger_pots pots;
    struct cost cost = world_cost(0);
    OK(ledger_path(world.scheduler, WORLD_ACCOUNT, WORLD_DATASET, &pots, &err));
    for (int i = 0; i < COST_N_ORDERS; i++)
        cost.rho[i] =
            pots.pots[0].caps[i] < 0 ? COST_INFINITE / 4 : pots.pots[0].caps[i] / n;
    ledger_pots_free(&pots);
    return cost;
}

static bool reserve(const struct cost *cost, const int64_t *jobs, int n)
{
    struct ledger_request request = world_request(0, cost);
    bool is_admitted = true;
    OK(ledger_reserve_group(world.scheduler, &world.lease, &request, jobs, n,
                            &is_admitted, &err));
    return is_admitted;
}

static const char *states(void)
{
    return pg_query("SELECT string_agg(state, ' ' ORDER BY id) FROM ppt.job");
}

static struct ledger_pot pot_of_acme(void)
{
    struct ledger_pots pots;
    OK(ledger_path(world.scheduler, WORLD_ACCOUNT, WORLD_DATASET, &pots, &err));
    struct ledger_pot pot = pots.pots[0];
    ck_assert_str_eq(pot.account, "acme");
    ledger_pots_free(&pots);
    return pot;
}

START_TEST(reserved_as_one_after_the_other)
{
    struct cost cost = one_of(7), of_one;
    struct ledger_verdict verdict;
    ck_assert(reserve(&cost, ids, N));
    ck_assert_str_eq(states(), "admitted admitted admitted");
    struct ledger_pot pot = pot_of_acme();
    for (int i = 0; i < COST_N_ORDERS; i++)
        ck_assert_int_eq(pot.reserved[i], N * cost.rho[i]);
    for (int i = 0; i < N; i++) {
        struct queue_job job;
        OK(ledger_reserved(world.scheduler, ids[i], &of_one, &err));
        ck_assert_mem_eq(of_one.rho, cost.rho, sizeof cost.rho);
        OK(queue_find(world.scheduler, ids[i], &job, &err));
        ck_assert(job.is_private);
        ck_assert_int_eq(job.n_steps, 100);
        ck_assert_str_eq(job.kind, "dp");
        queue_job_free(&job);
        /* and it was admitted as by its own call, which says so again */
        struct ledger_request request = world_request(ids[i], &cost);
        OK(ledger_reserve(world.scheduler, &world.lease, &request, &verdict, &err));
        ck_assert_int_eq(verdict.answer, LEDGER_ADMITTED);
    }
    ck_assert_str_eq(pg_query("SELECT count(*) FROM ppt.ledger_entry"), "3");
    ck_assert_str_eq(pg_query("SELECT count(*) FROM ppt.job_event"
                              " WHERE to_state = 'admitted'"),
                     "3");
}
END_TEST

/* The sum decides: three thirds fit, three of five halves do not, and nothing of them
 * is written. */
START_TEST(all_or_none)
{
    struct cost third = one_of(3), half = one_of(2);
    ck_assert(!reserve(&half, ids, N));
    ck_assert_str_eq(states(), "submitted submitted submitted");
    ck_assert_str_eq(pg_query("SELECT count(*) FROM ppt.ledger_entry"), "0");
    ck_assert_int_eq(pot_of_acme().reserved[0], 0);
    ck_assert(reserve(&half, ids, 2));
    world_end(&world, ids[0], &(struct cost){0});
    world_end(&world, ids[1], &(struct cost){0});
    ids[0] = world_submit(&world, WORLD_ACCOUNT);
    ids[1] = world_submit(&world, WORLD_ACCOUNT);
    ck_assert(reserve(&third, ids, N));
    int64_t one_more = world_submit(&world, WORLD_ACCOUNT);
    ck_assert(!reserve(&third, &one_more, 1));
}
END_TEST

/* The delta that jobs have of themselves is summed too. */
START_TEST(own_deltas_are_summed)
{
    struct ledger_grant grant = {.account = "acme",
                                 .epsilon = 5,
                                 .delta = 1e-6,
                                 .delta_own = 5e-7,
                                 .unit = UNIT_EXAMPLE,
                                 .relation = RELATION_ADD_REMOVE,
                                 .reason = "test"};
    struct cost cost = world_cost(1e-6);
    OK(ledger_grant(world.officer, &grant, &err));
    grant.account = NULL;
    grant.dataset = WORLD_DATASET;
    grant.epsilon = 100;
    OK(ledger_grant(world.officer, &grant, &err));
    cost.delta = pot_of_acme().delta_own / 2;
    ck_assert(!reserve(&cost, ids, N));
    ck_assert(reserve(&cost, ids, 2));
    ck_assert_int_eq(pot_of_acme().reserved_delta, 2 * cost.delta);
    cost.delta = COST_INFINITE; /* its sum stops there */
    ck_assert(!reserve(&cost, ids + 2, 1));
}
END_TEST

START_TEST(unbounded_stays_unbounded)
{
    struct cost cost = world_cost_at(40, 1e-3);
    ck_assert(reserve(&cost, ids, N));
    struct ledger_pot pot = pot_of_acme();
    ck_assert_int_eq(pot.reserved[40], N * cost.rho[40]);
    ck_assert_int_eq(pot.reserved[41], COST_INFINITE);
}
END_TEST

START_TEST(not_of_one_kind)
{
    struct cost cost = one_of(20);
    enum queue_state state;
    int64_t twice[] = {ids[0], ids[0]}, unknown[] = {ids[0], 4711}, apart[2];
    ck_assert(!reserve(&cost, twice, 2));
    ck_assert(!reserve(&cost, unknown, 2));
    ck_assert(!reserve(&cost, ids, 0));
    apart[0] = ids[0];
    OK(queue_submit(world.bob, "b", "acme/sales", WORLD_DATASET, "{}", "b", &apart[1],
                    &err));
    ck_assert(!reserve(&cost, apart, 2));
    OK(queue_cancel(world.alice, ids[1], "", &state, &err));
    ck_assert(!reserve(&cost, ids, N));
    ck_assert_str_eq(states(), "submitted cancelled submitted submitted");
    ids[1] = ids[2];
    ck_assert(reserve(&cost, ids, 2));
    ck_assert(!reserve(&cost, ids, 2)); /* admitted already */
    ck_assert_str_eq(pg_query("SELECT count(*) FROM ppt.ledger_entry"), "2");
}
END_TEST

START_TEST(no_cost_of_ours)
{
    struct cost cost = one_of(20);
    struct ledger_request request = world_request(0, &cost);
    bool is_admitted = true;
    request.is_private = false; /* and the data are not public */
    OK(ledger_reserve_group(world.scheduler, &world.lease, &request, ids, N,
                            &is_admitted, &err));
    ck_assert(!is_admitted);
    request.is_private = true;
    request.cost.rho[3] = -1;
    FAILS(PPT_ERANGE, ledger_reserve_group(world.scheduler, &world.lease, &request, ids,
                                           N, &is_admitted, &err));
    request.cost = cost;
    struct ledger_lease old = world.lease;
    OK(ledger_lease_acquire(world.scheduler, world.lease.holder, 60, &world.lease,
                            &err));
    FAILS(PPT_ESTATE, ledger_reserve_group(world.scheduler, &old, &request, ids, N,
                                           &is_admitted, &err));
    FAILS(PPT_EPERM, ledger_reserve_group(world.alice, &world.lease, &request, ids, N,
                                          &is_admitted, &err));
    ck_assert_str_eq(states(), "submitted submitted submitted");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("job_groups");
    TCase *tcase = tcase_create("reserve");
    tcase_add_unchecked_fixture(tcase, pg_start, pg_stop);
    tcase_add_checked_fixture(tcase, open_world, close_world);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, reserved_as_one_after_the_other);
    tcase_add_test(tcase, all_or_none);
    tcase_add_test(tcase, own_deltas_are_summed);
    tcase_add_test(tcase, unbounded_stays_unbounded);
    tcase_add_test(tcase, not_of_one_kind);
    tcase_add_test(tcase, no_cost_of_ours);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
