/* Sweeps in the database: filed as one, seen as one, admitted each alone or all or
 * none. */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scheduler/tally.h"
#include "tests/ledger/world.h"

#define OK(call)                                                                       \
    do {                                                                               \
        int rc_ = (call);                                                              \
        ck_assert_msg(rc_ == 0, "%s: %s (%s)", #call, err.text, err.detail);           \
    } while (0)
#define FAILS(code, call) ck_assert_int_eq((call), -(code))

static struct world world;
static struct error err;

static void open_world(void)
{
    err = (struct error){0};
    world = world_open();
    world_grant(&world, "acme", NULL, 5, 1e-6);
}

static void close_world(void)
{
    world_check(&world);
    world_close(&world);
}

#define THREE                                                                          \
    "[{\"spec\": \"{\\\"a\\\": 1}\\n\", \"point\": \"a=1\"},"                          \
    " {\"spec\": \"{\\\"a\\\": 2}\\n\", \"point\": \"a=2\"},"                          \
    " {\"spec\": \"{\\\"a\\\": 3}\\n\", \"point\": \"a=3\"}]"

static struct queue_sweep three(const char *token, bool is_together)
{
    return (struct queue_sweep){.name = "lr",
                                .account = WORLD_ACCOUNT,
                                .dataset = WORLD_DATASET,
                                .jobs = THREE,
                                .token = token,
                                .is_together = is_together};
}

static struct queue_jobs file(const char *token, bool is_together, int64_t *ret_id)
{
    struct queue_sweep sweep = three(token, is_together);
    struct queue_jobs jobs;
    OK(queue_submit_sweep(world.alice, &sweep, ret_id, &err));
    OK(queue_of_sweep(world.alice, *ret_id, &jobs, &err));
    ck_assert_int_eq(jobs.n, 3);
    return jobs;
}

START_TEST(filed_as_one)
{
    int64_t id, again, other = world_submit(&world, WORLD_ACCOUNT);
    struct queue_jobs jobs = file("t", true, &id), list;
    struct queue_sweep sweep = three("t", true);
    for (int i = 0; i < 3; i++) {
        const struct queue_job *job = &jobs.jobs[i];
        char spec[16], point[8];
        snprintf(spec, sizeof spec, "{\"a\": %d}\n", i + 1);
        snprintf(point, sizeof point, "a=%d", i + 1);
        ck_assert_str_eq(job->spec, spec);
        ck_assert_str_eq(job->sweep.point, point);
        ck_assert_int_eq(job->sweep.id, id);
        ck_assert_int_eq(job->sweep.number, i + 1);
        ck_assert_int_eq(job->sweep.n_jobs, 3);
        ck_assert(job->sweep.is_together);
        ck_assert_int_eq(job->state, QUEUE_SUBMITTED);
    }
    ck_assert_int_eq(jobs.jobs[0].id, id);
    queue_jobs_free(&jobs);

    /* sent again it is the same; with another content it is refused, whole */
    OK(queue_submit_sweep(world.alice, &sweep, &again, &err));
    ck_assert_int_eq(again, id);
    sweep.is_together = false;
    FAILS(PPT_EEXISTS, queue_submit_sweep(world.alice, &sweep, &again, &err));
    sweep = three("t", true);
    sweep.max_running = 2;
    FAILS(PPT_EEXISTS, queue_submit_sweep(world.alice, &sweep, &again, &err));
    sweep = three("t", true);
    sweep.jobs = "[{\"spec\": \"{\\\"a\\\": 1}\\n\", \"point\": \"a=1\"}]";
    FAILS(PPT_EEXISTS, queue_submit_sweep(world.alice, &sweep, &again, &err));
    sweep.jobs = "[{\"spec\": \"{}\", \"point\": \"a=1\"}]";
    FAILS(PPT_EEXISTS, queue_submit_sweep(world.alice, &sweep, &again, &err));
    ck_assert_str_eq(pg_query("SELECT count(*) FROM ppt.job"), "4");

    OK(queue_list(world.alice, &(struct queue_filter){.sweep = id}, &list, &err));
    ck_assert_int_eq(list.n, 3);
    queue_jobs_free(&list);
    OK(queue_of_sweep(world.alice, other, &list, &err));
    ck_assert_int_eq(list.n, 0);
    queue_jobs_free(&list);
    OK(queue_of_sweep(world.bob, id, &list, &err)); /* not his account */
    ck_assert_int_eq(list.n, 0);
    queue_jobs_free(&list);
}
END_TEST

/* Nothing of it is filed then. */
START_TEST(filed_wrongly)
{
    int64_t id, bobs;
    static const char *const wrong[] = {
        "[]",
        "{}",
        "[{\"spec\": \"{}\", \"point\": \"a\"}, {\"point\": \"b\"}]",
        "[{\"spec\": \"{}\", \"point\": \"a\"}, {\"spec\": \"{}\"}]",
        "[{\"spec\": \"{}\", \"point\": \"a\\u001b[2J\"}]",
    };
    struct queue_sweep sweep = three("t", true);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        sweep.jobs = wrong[i];
        FAILS(PPT_ERANGE, queue_submit_sweep(world.alice, &sweep, &id, &err));
    }
    char *many = malloc(40 * (QUEUE_MAX_SWEEP + 1) + 2);
    strcpy(many, "[");
    for (int i = 0; i <= QUEUE_MAX_SWEEP; i++)
        strcat(many, i == 0 ? "{\"spec\": \"{}\", \"point\": \"a\"}"
                            : ", {\"spec\": \"{}\", \"point\": \"a\"}");
    strcat(many, "]");
    sweep.jobs = many;
    FAILS(PPT_ERANGE, queue_submit_sweep(world.alice, &sweep, &id, &err));
    free(many);
    sweep = three("t", true);
    FAILS(PPT_EPERM, queue_submit_sweep(world.bob, &sweep, &id, &err));
    OK(queue_submit(world.bob, "b", "acme/sales", WORLD_DATASET, "{}", "b", &bobs,
                    &err));
    char after[24];
    snprintf(after, sizeof after, "%" PRId64, bobs);
    sweep.after = after;
    FAILS(PPT_ENOTFOUND, queue_submit_sweep(world.alice, &sweep, &id, &err));
    ck_assert_str_eq(pg_query("SELECT count(*) FROM ppt.job"), "1");
    ck_assert_str_eq(pg_query("SELECT count(*) FROM ppt.sweep"), "0");
}
END_TEST

START_TEST(each_of_it_waits_for_others)
{
    int64_t id, first = world_submit(&world, WORLD_ACCOUNT);
    struct queue_sweep sweep = three("t", false);
    struct queue_jobs jobs;
    char after[24];
    snprintf(after, sizeof after, "%" PRId64, first);
    sweep.after = after;
    OK(queue_submit_sweep(world.alice, &sweep, &id, &err));
    OK(queue_of_sweep(world.scheduler, id, &jobs, &err));
    for (int i = 0; i < 3; i++)
        ck_assert_str_eq(jobs.jobs[i].after, after);
    queue_jobs_free(&jobs);
}
END_TEST

/* A cost of which exactly `n` fit into acme's pot. */
static struct cost one_of(int n)
{
    struct ledger_pots pots;
    struct cost cost = world_cost(0);
    OK(ledger_path(world.scheduler, WORLD_ACCOUNT, WORLD_DATASET, &pots, &err));
    ck_assert_str_eq(pots.pots[0].account, "acme");
    for (int i = 0; i < COST_N_ORDERS; i++)
        cost.rho[i] =
            pots.pots[0].caps[i] < 0 ? COST_INFINITE / 4 : pots.pots[0].caps[i] / n;
    ledger_pots_free(&pots);
    return cost;
}

struct asked {
    struct ledger_request requests[3];
    int64_t ids[3];
};

static struct asked ask(const struct queue_jobs *jobs, const struct cost *cost)
{
    struct asked asked;
    for (int i = 0; i < 3; i++) {
        asked.requests[i] = world_request(jobs->jobs[i].id, cost);
        asked.ids[i] = jobs->jobs[i].id;
    }
    return asked;
}

static const char *states(int64_t id)
{
    char sql[128];
    snprintf(sql, sizeof sql,
             "SELECT string_agg(state, ' ' ORDER BY sweep_number) FROM ppt.queue WHERE "
             "sweep = %" PRId64,
             id);
    return pg_query(sql);
}

START_TEST(all_are_admitted_or_none)
{
    int64_t id, second;
    bool is_done = false;
    struct queue_jobs jobs = file("t", true, &id), more = file("u", true, &second);
    struct cost cost = one_of(5);
    struct asked asked = ask(&jobs, &cost), others = ask(&more, &cost);
    OK(queue_sweep_admit(world.scheduler, &world.lease, id, asked.requests, 3, &is_done,
                         &err));
    ck_assert(is_done);
    ck_assert_str_eq(states(id), "admitted admitted admitted");

    /* room for two of three: none */
    OK(queue_sweep_admit(world.scheduler, &world.lease, second, others.requests, 3,
                         &is_done, &err));
    ck_assert(!is_done);
    ck_assert_str_eq(states(second), "submitted submitted submitted");
    ck_assert_str_eq(pg_query("SELECT count(*) FROM ppt.ledger_entry"), "3");

    OK(queue_sweep_hold(world.scheduler, &world.lease, second, others.ids, 3, "later",
                        &is_done, &err));
    ck_assert(is_done);
    ck_assert_str_eq(states(second), "waiting waiting waiting");
    world_end(&world, asked.ids[0], &(struct cost){0});
    OK(queue_sweep_admit(world.scheduler, &world.lease, second, others.requests, 3,
                         &is_done, &err));
    ck_assert(is_done);
    ck_assert_str_eq(states(second), "admitted admitted admitted");
    queue_jobs_free(&jobs);
    queue_jobs_free(&more);
}
END_TEST

/* What was judged is not what is there: nothing is moved, whatever is to be done. */
START_TEST(one_is_cancelled_meanwhile)
{
    int64_t id;
    bool is_done = true;
    enum queue_state state;
    struct queue_jobs jobs = file("t", true, &id);
    struct cost cost = one_of(5);
    struct asked asked = ask(&jobs, &cost);
    OK(queue_cancel(world.alice, jobs.jobs[1].id, "", &state, &err));
    OK(queue_sweep_admit(world.scheduler, &world.lease, id, asked.requests, 3, &is_done,
                         &err));
    ck_assert(!is_done);
    OK(queue_sweep_hold(world.scheduler, &world.lease, id, asked.ids, 3, "x", &is_done,
                        &err));
    ck_assert(!is_done);
    OK(queue_sweep_refuse(world.scheduler, &world.lease, id, asked.ids, 3, "x",
                          PPT_EBUDGET, &is_done, &err));
    ck_assert(!is_done);
    ck_assert_str_eq(states(id), "submitted cancelled submitted");

    /* those that are left */
    asked.ids[1] = asked.ids[2];
    asked.requests[1] = asked.requests[2];
    OK(queue_sweep_refuse(world.scheduler, &world.lease, id, asked.ids, 2, "too much",
                          PPT_EBUDGET, &is_done, &err));
    ck_assert(is_done);
    ck_assert_str_eq(states(id), "refused cancelled refused");
    ck_assert_str_eq(pg_query("SELECT string_agg(reason || error_code, ' ' ORDER BY id)"
                              " FROM ppt.job WHERE state = 'refused'"),
                     "too much12 too much12");
    queue_jobs_free(&jobs);
}
END_TEST

START_TEST(a_lost_lease_moves_nothing)
{
    int64_t id;
    bool is_done;
    struct queue_jobs jobs = file("t", true, &id);
    struct cost cost = one_of(5);
    struct asked asked = ask(&jobs, &cost);
    struct ledger_lease old = world.lease;
    OK(ledger_lease_acquire(world.scheduler, world.lease.holder, 60, &world.lease,
                            &err));
    FAILS(PPT_ESTATE, queue_sweep_admit(world.scheduler, &old, id, asked.requests, 3,
                                        &is_done, &err));
    ck_assert_str_eq(states(id), "submitted submitted submitted");
    /* and the connection can go on */
    OK(queue_sweep_admit(world.scheduler, &world.lease, id, asked.requests, 3, &is_done,
                         &err));
    ck_assert(is_done);
    queue_jobs_free(&jobs);
}
END_TEST

START_TEST(tally_counts_what_fits)
{
    struct tally tally = {.account = WORLD_ACCOUNT, .dataset = WORLD_DATASET};
    struct cost cost = one_of(5), large = one_of(2), sum;
    struct ledger_verdict verdict;
    char reason[LEDGER_TEXT_SIZE];
    /* two fifths and a half fit, another half does not */
    const struct ledger_request requests[] = {
        world_request(0, &cost), world_request(0, &cost), world_request(0, &large),
        world_request(0, &large)};
    struct ledger_request free_one = requests[0];
    free_one.is_private = false;
    for (int i = 0; i < 4; i++) {
        OK(tally_add(&tally, &requests[i], &err));
        OK(tally_fit(&tally, world.scheduler, &requests[i], &verdict, &err));
        ck_assert_int_eq(verdict.answer, i < 3 ? LEDGER_ADMITTED : LEDGER_REFUSED);
    }
    ck_assert_int_eq(tally.n_jobs, 4);
    ck_assert_int_eq(tally.n_fit, 3);
    sum = cost_zero(cost.unit, cost.relation);
    for (int i = 0; i < 4; i++)
        OK(cost_add(&sum, &requests[i].cost, &sum, &err));
    ck_assert_mem_eq(tally.all.cost.rho, sum.rho, sizeof sum.rho);
    OK(tally_judge(&tally, world.scheduler, &verdict, &err));
    ck_assert_int_eq(verdict.answer, LEDGER_REFUSED);
    tally_explain(&tally, &verdict, reason);
    ck_assert_ptr_nonnull(strstr(reason, "acme (all data) has epsilon 5"));
    ck_assert_ptr_nonnull(strstr(reason, "; the sweep's 4 jobs together need "));
    ck_assert_ptr_nonnull(strstr(reason, "; 3 of them would have fitted"));

    /* one without privacy adds nothing to the sum, and this data set is not public */
    OK(tally_add(&tally, &free_one, &err));
    ck_assert_mem_eq(tally.all.cost.rho, sum.rho, sizeof sum.rho);
    OK(tally_fit(&tally, world.scheduler, &free_one, &verdict, &err));
    ck_assert_int_eq(verdict.answer, LEDGER_REFUSED);
}
END_TEST

/* What others have reserved may come back: then it waits and is not refused. */
START_TEST(tally_waits_for_others)
{
    struct tally tally = {.account = WORLD_ACCOUNT, .dataset = WORLD_DATASET};
    struct cost cost = one_of(4);
    enum ledger_answer answer;
    struct ledger_verdict verdict;
    char reason[LEDGER_TEXT_SIZE];
    struct ledger_request request = world_request(0, &cost);
    world_admit(&world, WORLD_ACCOUNT, &cost, &answer);
    ck_assert_int_eq(answer, LEDGER_ADMITTED);
    for (int i = 0; i < 4; i++)
        OK(tally_add(&tally, &request, &err));
    OK(tally_judge(&tally, world.scheduler, &verdict, &err));
    ck_assert_int_eq(verdict.answer, LEDGER_WAIT);
    tally_explain(&tally, &verdict, reason);
    ck_assert_ptr_nonnull(strstr(reason, " while other jobs have "));
    ck_assert_ptr_nonnull(strstr(reason, " and wait for them to end"));
    OK(tally_add(&tally, &request, &err));
    OK(tally_judge(&tally, world.scheduler, &verdict, &err));
    ck_assert_int_eq(verdict.answer, LEDGER_REFUSED);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sweep_jobs");
    TCase *tcase = tcase_create("sweep_jobs");
    tcase_add_unchecked_fixture(tcase, pg_start, pg_stop);
    tcase_add_checked_fixture(tcase, open_world, close_world);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, filed_as_one);
    tcase_add_test(tcase, filed_wrongly);
    tcase_add_test(tcase, each_of_it_waits_for_others);
    tcase_add_test(tcase, all_are_admitted_or_none);
    tcase_add_test(tcase, one_is_cancelled_meanwhile);
    tcase_add_test(tcase, a_lost_lease_moves_nothing);
    tcase_add_test(tcase, tally_counts_what_fits);
    tcase_add_test(tcase, tally_waits_for_others);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
