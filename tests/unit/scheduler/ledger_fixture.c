#include "tests/unit/scheduler/ledger_fixture.h"

#include <stdlib.h>
#include <string.h>

struct world world;
struct error err;

static void open_world(void)
{
    err = (struct error){0};
    world = world_open();
}

static void close_world(void)
{
    world_check(&world);
    world_close(&world);
}

struct ledger_verdict reserve(int64_t job_id, const struct cost *cost)
{
    struct ledger_verdict verdict;
    struct ledger_request request = world_request(job_id, cost);
    OK(ledger_reserve(world.scheduler, &world.lease, &request, &verdict, &err));
    return verdict;
}

struct ledger_pot find_pot(const char *account, const char *dataset)
{
    struct ledger_pots pots;
    struct ledger_pot found = {0};
    OK(ledger_show(world.root, NULL, &pots, &err));
    for (int i = 0; i < pots.n; i++)
        if (pots.pots[i].has_limit && strcmp(pots.pots[i].account, account) == 0 &&
            strcmp(pots.pots[i].dataset, dataset) == 0)
            found = pots.pots[i];
    ledger_pots_free(&pots);
    ck_assert_msg(found.has_limit, "no pot (%s, %s)", account, dataset);
    return found;
}

enum queue_state state_of(int64_t job_id)
{
    struct queue_job job;
    OK(queue_find(world.root, job_id, &job, &err));
    queue_job_free(&job);
    return job.state;
}

int64_t count(const char *sql)
{
    return strtoll(pg_query(sql), NULL, 10);
}

struct cost all_of(const struct ledger_pot *pot)
{
    struct cost cost = world_cost(0);
    int64_t remaining[COST_N_ORDERS];
    ledger_remaining(pot, remaining);
    for (int i = 0; i < COST_N_ORDERS; i++)
        cost.rho[i] = remaining[i] < 0 ? COST_INFINITE : remaining[i];
    return cost;
}

int order_index(double alpha)
{
    for (int i = 0; i < COST_N_ORDERS; i++)
        if (cost_orders[i] == alpha)
            return i;
    ck_abort_msg("order %g is not on the grid", alpha);
    return -1;
}

int ledger_fixture_run(const char *name, const TTest *const *tests, int n)
{
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create(name);
    tcase_add_unchecked_fixture(tcase, pg_start, pg_stop);
    tcase_add_checked_fixture(tcase, open_world, close_world);
    tcase_set_timeout(tcase, 60);
    for (int i = 0; i < n; i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
