/* Jobs that are moved together: what a group does is what its jobs would have done one
 * after the other, and a group that cannot be moved whole is left alone. */
#include <check.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scheduler/bills.h"
#include "scheduler/job_keys.h"
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

/* ---- filed ---- */

/* Where nothing stands against any, one statement files all (one transaction's number
 * in their rows, where each had one of its own), in their order; sent again, none is
 * new. */
START_TEST(filed_by_one_statement)
{
    const char *jobs = "[{\"name\": \"a\", \"account\": \"" WORLD_ACCOUNT "\","
                       "  \"dataset\": \"" WORLD_DATASET "\", \"spec\": \"{}\"},"
                       " {\"name\": \"b\", \"account\": \"acme/research\","
                       "  \"dataset\": \"" WORLD_DATASET "\", \"spec\": \"{}\"},"
                       " {\"name\": \"c\", \"account\": \"" WORLD_ACCOUNT "\","
                       "  \"dataset\": \"" WORLD_DATASET "\", \"spec\": \"{}\"}]";
    struct queue_filed filed[N], again[N];
    OK(queue_submit_many(world.alice, jobs, "t", NULL, filed, N, &err));
    ck_assert_str_eq(
        pg_query("SELECT count(DISTINCT j.xmin::text) || ': ' ||"
                 " string_agg(concat_ws(' ', j.token, j.name, a.path, j.submitted_by),"
                 " ', ' ORDER BY j.id) FROM ppt.job j"
                 " JOIN ppt.account a ON a.id = j.account_id WHERE j.name <= 'c'"),
        "1: t:1 a " WORLD_ACCOUNT
        " alice, t:2 b acme/research alice, t:3 c " WORLD_ACCOUNT " alice");
    OK(queue_submit_many(world.alice, jobs, "t", NULL, again, N, &err));
    for (int i = 0; i < N; i++) {
        ck_assert_int_eq(filed[i].why.code, 0);
        ck_assert_int_eq(filed[i].job_id, filed[0].job_id + i);
        ck_assert_int_eq(again[i].job_id, filed[i].job_id);
    }
    ck_assert_str_eq(pg_query("SELECT count(*) FROM ppt.job WHERE name <= 'c'"), "3");
}
END_TEST

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

/* ---- started ---- */

static struct queue_start starts[N];

static void start(const char *host)
{
    for (int i = 0; i < N; i++)
        starts[i] = (struct queue_start){
            .job_id = ids[i], .directory = "/spool/of it", .pid = 7, .attempt = -1};
    OK(queue_start_group(world.scheduler, &world.lease, host, starts, N, &err));
}

START_TEST(started_together)
{
    struct cost cost = one_of(9);
    ck_assert(reserve(&cost, ids, N));
    start("node-a");
    for (int i = 0; i < N; i++) {
        struct queue_job job;
        ck_assert_int_eq(starts[i].attempt, 1);
        OK(queue_find(world.scheduler, ids[i], &job, &err));
        ck_assert_int_eq(job.state, QUEUE_RUNNING);
        ck_assert_int_eq(job.attempt, 1);
        ck_assert_int_eq(job.epoch, world.lease.epoch);
        ck_assert_int_eq(job.pid, 7);
        ck_assert_str_eq(job.directory, "/spool/of it");
        ck_assert_str_eq(job.host, "node-a");
        ck_assert_int_gt(job.started_at_s, 0);
        queue_job_free(&job);
    }
    start("node-b"); /* they run: nothing is started twice */
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(starts[i].attempt, 0);
    ck_assert_str_eq(pg_query("SELECT string_agg(attempt || host, ' ') FROM ppt.job"),
                     "1node-a 1node-a 1node-a");
}
END_TEST

START_TEST(cancelled_before_its_start)
{
    struct cost cost = one_of(9);
    enum queue_state state;
    ck_assert(reserve(&cost, ids, N));
    OK(queue_cancel(world.alice, ids[1], "", &state, &err));
    start("a");
    ck_assert_int_eq(starts[0].attempt, 1);
    ck_assert_int_eq(starts[1].attempt, 0);
    ck_assert_int_eq(starts[2].attempt, 1);
    ck_assert_str_eq(states(), "running cancelled running");
    struct ledger_lease old = world.lease;
    OK(ledger_lease_acquire(world.scheduler, world.lease.holder, 60, &world.lease,
                            &err));
    FAILS(PPT_ESTATE, queue_start_group(world.scheduler, &old, "a", starts, N, &err));
    FAILS(PPT_EPERM,
          queue_start_group(world.alice, &world.lease, "a", starts, N, &err));
}
END_TEST

/* ---- done ---- */

static struct queue_bill bills[N];

static bool finish(const struct cost *spent, int n)
{
    bool is_done = false;
    for (int i = 0; i < N; i++)
        bills[i] = (struct queue_bill){.job_id = ids[i],
                                       .outcome = {.state = QUEUE_DONE,
                                                   .spent = *spent,
                                                   .epsilon_spent = 0.25,
                                                   .n_steps_done = 10 + i,
                                                   .wall_s = 1.5,
                                                   .model = "/m \"1\".h5"}};
    bills[1].outcome.has_test_accuracy = true;
    bills[1].outcome.test_accuracy = 0.75;
    OK(queue_done_group(world.scheduler, &world.lease, bills, n, &is_done, &err));
    return is_done;
}

static struct cost half_of(struct cost cost)
{
    for (int i = 0; i < COST_N_ORDERS; i++)
        cost.rho[i] /= 2;
    return cost;
}

/* Rows that a group's transaction has read from end to end of a table that grows. */
static int64_t rows_passed_over(void)
{
    struct db_result *result = NULL;
    OK(db_run(world.scheduler,
              "SELECT sum(seq_tup_read) FROM pg_stat_xact_user_tables"
              " WHERE relid IN ('ppt.job'::regclass, 'ppt.ledger_entry'::regclass,"
              " 'ppt.job_event'::regclass)",
              NULL, &result, &err));
    int64_t n = db_int64(result, 0, 0);
    db_result_free(result);
    return n;
}

/* What a group costs does not depend on how many jobs there were before it, though its
 * statements are planned while there are few. */
START_TEST(rows_are_found_by_id)
{
    struct cost cost = one_of(9);
    OK(db_begin(world.scheduler, &err));
    ck_assert(reserve(&cost, ids, N));
    ck_assert_int_eq(rows_passed_over(), 0);
    start("a");
    ck_assert_int_eq(rows_passed_over(), 0);
    ck_assert(finish(&cost, N));
    ck_assert_int_eq(rows_passed_over(), 0);
    OK(db_commit(world.scheduler, &err));
    ck_assert_str_eq(states(), "done done done");
}
END_TEST

/* Rows of jobs that this session has fetched by an index lately. */
static int64_t jobs_fetched(void)
{
    struct db_result *result = NULL;
    OK(db_run(world.scheduler,
              "SELECT idx_tup_fetch FROM pg_stat_xact_user_tables"
              " WHERE relid = 'ppt.job'::regclass",
              NULL, &result, &err));
    int64_t n = db_int64(result, 0, 0);
    db_result_free(result);
    return n;
}

/* Nor on how many wait behind it, though there were few when it was planned first. */
START_TEST(who_waits_is_passed_by)
{
    struct cost cost = one_of(1000);
    int64_t waiting[448];
    for (int i = 0; i < 8; i++) { /* the first plans are made for one call each */
        struct queue_start one = {.job_id = world_submit(&world, WORLD_ACCOUNT),
                                  .directory = "/spool"};
        ck_assert(reserve(&cost, &one.job_id, 1));
        OK(queue_start_group(world.scheduler, &world.lease, "a", &one, 1, &err));
    }
    for (int i = 0; i < 448; i++)
        waiting[i] = world_submit(&world, WORLD_ACCOUNT);
    for (int i = 0; i < 448; i += 64)
        ck_assert(reserve(&cost, waiting + i, 64));
    ck_assert(reserve(&cost, ids, N));
    OK(db_begin(world.scheduler, &err));
    int64_t before = jobs_fetched(); /* not told to the statistics yet */
    start("a");
    ck_assert_int_le(jobs_fetched() - before, 10 * N);
    OK(db_commit(world.scheduler, &err));
}
END_TEST

/* The same sums and rows as by a call for each. */
START_TEST(settled_as_one_after_the_other)
{
    struct cost cost = one_of(9), half = half_of(cost);
    ck_assert(reserve(&cost, ids, N));
    start("a");
    ck_assert(finish(&half, N));
    ck_assert_str_eq(states(), "done done done");
    struct ledger_pot pot = pot_of_acme();
    for (int i = 0; i < COST_N_ORDERS; i++) {
        ck_assert_int_eq(pot.reserved[i], 0);
        ck_assert_int_eq(pot.spent[i], N * half.rho[i]);
    }
    for (int i = 0; i < N; i++) {
        struct queue_job job;
        OK(queue_find(world.scheduler, ids[i], &job, &err));
        ck_assert_int_eq(job.n_steps_done, 10 + i);
        ck_assert_double_eq(job.epsilon_spent, 0.25);
        ck_assert_double_eq(job.wall_s, 1.5);
        ck_assert_int_eq(job.has_test_accuracy, i == 1);
        ck_assert_str_eq(job.model, "/m \"1\".h5");
        ck_assert_int_gt(job.ended_at_s, 0);
        queue_job_free(&job);
        /* a call for it alone finds its own work done */
        OK(queue_finish(world.scheduler, &world.lease, ids[i], &bills[i].outcome,
                        &err));
    }
    ck_assert_str_eq(pg_query("SELECT string_agg(kind, ' ' ORDER BY id)"
                              " FROM ppt.ledger_entry WHERE job_id = 1"),
                     "reserve spend release");
    ck_assert(!finish(&half, N)); /* they have ended */
    ck_assert_str_eq(pg_query("SELECT count(*) FROM ppt.ledger_entry"), "9");
}
END_TEST

START_TEST(unbounded_is_counted_anew)
{
    struct cost cost = world_cost_at(40, 1e-3);
    ck_assert(reserve(&cost, ids, N));
    start("a");
    ck_assert(finish(&cost, 2));
    struct ledger_pot pot = pot_of_acme();
    ck_assert_int_eq(pot.reserved[41], COST_INFINITE); /* the third one's */
    ck_assert_int_eq(pot.reserved[40], cost.rho[40]);
    ck_assert_int_eq(pot.spent[41], COST_INFINITE);
    ck_assert_int_eq(pot.spent[40], 2 * cost.rho[40]);
}
END_TEST

START_TEST(settled_all_or_none)
{
    struct cost cost = one_of(9), half = half_of(cost), more = cost;
    enum queue_state state;
    more.rho[0]++;
    ck_assert(!finish(&half, N)); /* not even reserved */
    ck_assert(reserve(&half, ids, 1));
    ck_assert(reserve(&cost, ids + 1, 2));
    ck_assert(!finish(&half, N)); /* not running */
    start("a");
    ck_assert(!finish(&half, N)); /* not of one price */
    ids[0] = ids[2];
    ck_assert(!finish(&more, 2)); /* more than was reserved */
    ck_assert(!finish(&half, N)); /* one of them twice */
    ck_assert_str_eq(states(), "running running running");
    OK(queue_cancel(world.alice, ids[1], "", &state, &err)); /* too late: it is done */
    ck_assert(finish(&half, 2));
    ck_assert_str_eq(states(), "running done done");
    ck_assert_str_eq(pg_query("SELECT count(*) FROM ppt.ledger_entry"), "7");
}
END_TEST

START_TEST(settled_under_a_lost_lease)
{
    struct cost cost = one_of(9);
    bool is_done = false;
    ck_assert(reserve(&cost, ids, N));
    start("a");
    struct ledger_lease old = world.lease;
    OK(ledger_lease_acquire(world.scheduler, world.lease.holder, 60, &world.lease,
                            &err));
    for (int i = 0; i < N; i++)
        bills[i] = (struct queue_bill){.job_id = ids[i],
                                       .outcome = {.state = QUEUE_DONE, .spent = cost}};
    FAILS(PPT_ESTATE,
          queue_done_group(world.scheduler, &old, bills, N, &is_done, &err));
    FAILS(PPT_EPERM,
          queue_done_group(world.alice, &world.lease, bills, N, &is_done, &err));
    ck_assert_str_eq(states(), "running running running");
}
END_TEST

/* ---- bills: whatever does not go together goes alone ---- */

static bool has_key(const struct conf *conf, int64_t job_id)
{
    char path[CONF_PATH_SIZE + 32];
    snprintf(path, sizeof path, "%s/%" PRId64 ".key", conf->checkpoint_keys, job_id);
    return access(path, F_OK) == 0;
}

/* Jobs whose bill is paid lose their keys, in a group or alone; others keep theirs. */
START_TEST(bills_of_all_kinds)
{
    static struct bills list;
    static struct conf conf;
    const struct bills_payer payer = {
        .db = world.scheduler, .lease = &world.lease, .conf = &conf};
    unsigned char key[CRYPTO_KEY_SIZE];
    struct cost cost = one_of(9), half = half_of(cost), more = cost;
    struct queue_outcome outcome = {.state = QUEUE_DONE, .spent = half};
    int64_t job_id = 0, others[3];
    conf = conf_default();
    conf.hands_keys_over = true;
    strcpy(conf.checkpoint_keys, "/tmp/check_job_groups.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(conf.checkpoint_keys));
    more.rho[5]++;
    ck_assert(reserve(&cost, ids, N));
    start("a");
    for (int i = 0; i < 3; i++) {
        enum ledger_answer answer;
        int64_t attempt;
        others[i] = world_admit(&world, WORLD_ACCOUNT, &half, &answer);
        OK(queue_start(world.scheduler, &world.lease, others[i], "/d", "", &attempt,
                       &err));
        OK(job_keys_find(conf.checkpoint_keys, ids[i], key, &err));
        OK(job_keys_find(conf.checkpoint_keys, others[i], key, &err));
    }
    outcome.spent = more;
    ck_assert(bills_add(&list, ids[0], &outcome)); /* cannot be paid */
    outcome.spent = half;
    ck_assert(bills_add(&list, others[0], &outcome));
    ck_assert(bills_add(&list, ids[1], &outcome)); /* the same of another price */
    outcome.spent = cost;
    ck_assert(bills_add(&list, ids[2], &outcome));
    outcome.spent = half;
    ck_assert(bills_add(&list, others[1], &outcome));
    outcome.state = QUEUE_FAILED;
    ck_assert(!bills_add(&list, others[2], &outcome));
    outcome.state = QUEUE_DONE;
    outcome.reason = "everything reserved is spent: its meter is damaged";
    ck_assert(!bills_add(&list, others[2], &outcome));
    outcome.reason = NULL;
    outcome.epsilon_spent = INFINITY;
    ck_assert(!bills_add(&list, others[2], &outcome));
    FAILS(PPT_ERANGE, bills_pay(&list, &payer, &job_id, &err));
    ck_assert_int_eq(job_id, ids[0]);
    ck_assert_int_eq(list.n, 0);
    ck_assert_str_eq(states(), "running done done done done running");
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(has_key(&conf, ids[i]), i == 0);
        ck_assert_int_eq(has_key(&conf, others[i]), i == 2);
    }
    OK(job_keys_wipe(conf.checkpoint_keys, ids[0], &err));
    OK(job_keys_wipe(conf.checkpoint_keys, others[2], &err));
    ck_assert_int_eq(rmdir(conf.checkpoint_keys), 0);
    outcome.epsilon_spent = 0;
    for (int i = 0; i < BILLS_MAX; i++)
        ck_assert(bills_add(&list, others[2], &outcome));
    ck_assert(!bills_add(&list, others[2], &outcome));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("job_groups");
    TCase *tcase = tcase_create("groups");
    tcase_add_unchecked_fixture(tcase, pg_start, pg_stop);
    tcase_add_checked_fixture(tcase, open_world, close_world);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, filed_by_one_statement);
    tcase_add_test(tcase, reserved_as_one_after_the_other);
    tcase_add_test(tcase, all_or_none);
    tcase_add_test(tcase, own_deltas_are_summed);
    tcase_add_test(tcase, unbounded_stays_unbounded);
    tcase_add_test(tcase, not_of_one_kind);
    tcase_add_test(tcase, no_cost_of_ours);
    tcase_add_test(tcase, started_together);
    tcase_add_test(tcase, cancelled_before_its_start);
    tcase_add_test(tcase, rows_are_found_by_id);
    tcase_add_test(tcase, who_waits_is_passed_by);
    tcase_add_test(tcase, settled_as_one_after_the_other);
    tcase_add_test(tcase, unbounded_is_counted_anew);
    tcase_add_test(tcase, settled_all_or_none);
    tcase_add_test(tcase, settled_under_a_lost_lease);
    tcase_add_test(tcase, bills_of_all_kinds);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
