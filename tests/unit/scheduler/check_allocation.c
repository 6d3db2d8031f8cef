/* The ticket of a job in its user's allocation: one take, or one withdrawal. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "scheduler/allocation.h"
#include "tests/ledger/world.h"

static struct world world;
static struct error err;
static const unsigned char signature[CRYPTO_SIGNATURE_SIZE] = {1, 2, 254};
static struct allocation_plan plan;
static struct allocation_look look;
static bool is_there;

#define OK(call)                                                                       \
    do {                                                                               \
        int rc_ = (call);                                                              \
        ck_assert_msg(rc_ == 0, "%s: %s (%s)", #call, err.text, err.detail);           \
    } while (0)
#define FAILS(code, call) ck_assert_int_eq((call), -(code))

#define SUBMIT(token, ret_id)                                                          \
    allocation_submit(world.alice, "j", WORLD_ACCOUNT, WORLD_DATASET, "{}", token,     \
                      "/shared/alice/", "n1", 1000, ret_id, &err)

static void open_world(void)
{
    err = (struct error){0};
    world = world_open();
    world_grant(&world, "acme", NULL, 5, 1e-6);
    OK(allocation_allow(world.officer, WORLD_DATASET, true, "", &err));
}

static void close_world(void)
{
    world_check(&world);
    world_close(&world);
}

/* Submitted, admitted and running. */
static int64_t running(const char *token)
{
    struct cost cost = world_cost(0.001);
    struct ledger_verdict verdict;
    int64_t id, attempt;
    OK(SUBMIT(token, &id));
    struct ledger_request request = world_request(id, &cost);
    OK(ledger_reserve(world.scheduler, &world.lease, &request, &verdict, &err));
    ck_assert_int_eq(verdict.answer, LEDGER_ADMITTED);
    OK(queue_start(world.scheduler, &world.lease, id, "/spool/1", "", &attempt, &err));
    return id;
}

static int64_t offered(const char *token)
{
    int64_t id = running(token);
    OK(allocation_offer(world.scheduler, &world.lease, id, 1, "plan", signature, &err));
    return id;
}

static void expect_life(int64_t id, enum allocation_life life)
{
    OK(allocation_look(world.scheduler, &world.lease, id, 1, &look, &err));
    ck_assert_int_eq(look.life, life);
}

static void take(int64_t id, const char *token)
{
    OK(allocation_take(world.alice, id, token, &plan, &is_there, &err));
    ck_assert(is_there);
    allocation_plan_free(&plan);
}

START_TEST(a_plan_goes_to_its_submission_only)
{
    int64_t id = running("t");
    OK(allocation_take(world.alice, id, "t", &plan, &is_there, &err));
    ck_assert(!is_there);
    expect_life(id, ALLOCATION_NEVER); /* not offered */
    OK(allocation_offer(world.scheduler, &world.lease, id, 1, "plan", signature, &err));
    expect_life(id, ALLOCATION_QUEUED);
    FAILS(PPT_ENOTFOUND,
          allocation_take(world.alice, id, "other", &plan, &is_there, &err));
    OK(ledger_member_add(world.officer, "acme", "bob", &err));
    FAILS(PPT_ENOTFOUND, allocation_take(world.bob, id, "t", &plan, &is_there, &err));
    expect_life(id, ALLOCATION_QUEUED);
    for (int i = 0; i < 2; i++) { /* the answer may be lost */
        OK(allocation_take(world.alice, id, "t", &plan, &is_there, &err));
        ck_assert(is_there);
        ck_assert_str_eq(plan.plan, "plan");
        ck_assert_int_eq(plan.attempt, 1);
        ck_assert_mem_eq(plan.signature, signature, sizeof signature);
        allocation_plan_free(&plan);
    }
    expect_life(id, ALLOCATION_ALIVE);
    FAILS(PPT_ESTATE, allocation_offer(world.scheduler, &world.lease, id, 2, "plan",
                                       signature, &err));
}
END_TEST

START_TEST(taken_back_is_never_taken)
{
    int64_t stopped = offered("a"), late = offered("b");
    OK(allocation_stop(world.scheduler, &world.lease, stopped, ALLOCATION_STOP, &err));
    expect_life(stopped, ALLOCATION_NEVER);
    ck_assert(!look.is_late);
    FAILS(PPT_ESTATE,
          allocation_take(world.alice, stopped, "a", &plan, &is_there, &err));
    OK(db_script(world.root,
                 "UPDATE ppt.allocation SET offered_at = offered_at - '61 s'::interval",
                 &err));
    expect_life(late, ALLOCATION_NEVER);
    ck_assert(look.is_late);
    FAILS(PPT_ESTATE, allocation_take(world.alice, late, "b", &plan, &is_there, &err));
    expect_life(late, ALLOCATION_NEVER);
}
END_TEST

START_TEST(what_was_taken_is_never_taken_back)
{
    enum allocation_wish wish;
    int64_t id = offered("t");
    take(id, "t");
    OK(db_script(world.root,
                 "UPDATE ppt.allocation SET offered_at = offered_at - '1 d'::interval,"
                 " heard_at = heard_at - '70 s'::interval",
                 &err));
    expect_life(id, ALLOCATION_ALIVE);
    ck_assert_int_ge(look.silent_s, 70);
    OK(allocation_beat(world.alice, id, "t", &wish, &err));
    ck_assert_int_eq(wish, ALLOCATION_NONE);
    expect_life(id, ALLOCATION_ALIVE);
    ck_assert_int_lt(look.silent_s, 60);
    OK(allocation_stop(world.scheduler, &world.lease, id, ALLOCATION_STOP, &err));
    OK(allocation_beat(world.alice, id, "t", &wish, &err));
    ck_assert_int_eq(wish, ALLOCATION_STOP);
    expect_life(id, ALLOCATION_ALIVE);
    OK(allocation_stop(world.scheduler, &world.lease, id, ALLOCATION_KILL, &err));
    OK(allocation_stop(world.scheduler, &world.lease, id, ALLOCATION_STOP, &err));
    OK(allocation_beat(world.alice, id, "t", &wish, &err));
    ck_assert_int_eq(wish, ALLOCATION_KILL);
    expect_life(id, ALLOCATION_GONE);
    ck_assert(!look.has_report);
    ck_assert(db_script(world.root, "UPDATE ppt.allocation SET withdrawn = 'stop'",
                        NULL) != 0);
}
END_TEST

START_TEST(the_first_word_about_the_end_counts)
{
    struct report report = {.outcome = REPORT_DONE,
                            .n_steps = 7,
                            .has_test_accuracy = true,
                            .test_accuracy = 0.5,
                            .model = "/shared/alice/model.h5"};
    int64_t id = offered("t");
    FAILS(PPT_ESTATE, allocation_end(world.alice, id, "t", &report, &err));
    take(id, "t");
    report.test_accuracy = 2;
    FAILS(PPT_ERANGE, allocation_end(world.alice, id, "t", &report, &err));
    report.test_accuracy = 0.5;
    OK(allocation_end(world.alice, id, "t", &report, &err));
    report.n_steps = 8;
    OK(allocation_end(world.alice, id, "t", &report, &err));
    expect_life(id, ALLOCATION_GONE);
    ck_assert(look.has_report);
    ck_assert_int_eq(look.report.job_id, id);
    ck_assert_int_eq(look.report.outcome, REPORT_DONE);
    ck_assert_int_eq(look.report.n_steps, 7);
    ck_assert(look.report.has_test_accuracy && look.report.test_accuracy == 0.5);
    ck_assert_str_eq(look.report.model, "/shared/alice/model.h5");
    FAILS(PPT_ESTATE, allocation_take(world.alice, id, "t", &plan, &is_there, &err));
}
END_TEST

START_TEST(an_ordinary_job_does_not_become_one)
{
    struct cost cost = world_cost(0.001);
    struct ledger_verdict verdict;
    int64_t ordinary, id, attempt;
    OK(queue_submit(world.alice, "j", WORLD_ACCOUNT, WORLD_DATASET, "{}", "t",
                    &ordinary, &err));
    struct ledger_request request = world_request(ordinary, &cost);
    OK(ledger_reserve(world.scheduler, &world.lease, &request, &verdict, &err));
    FAILS(PPT_EEXISTS, SUBMIT("t", &id));
    OK(queue_start(world.scheduler, &world.lease, ordinary, "/spool/1", "", &attempt,
                   &err));
    FAILS(PPT_EEXISTS, SUBMIT("t", &id));
    FAILS(PPT_ENOTFOUND,
          allocation_look(world.scheduler, &world.lease, ordinary, 1, &look, &err));
    int64_t again, own = offered("own"); /* asked again, it is the same */
    OK(SUBMIT("own", &again));
    ck_assert_int_eq(again, own);
    struct queue_job job;
    OK(queue_find(world.alice, own, &job, &err));
    ck_assert_str_eq(job.allocation + strlen("/shared/alice/ppt-"),
                     strrchr(job.allocation, '-') + 1);
    ck_assert_int_eq(job.allocation_uid, 1000);
    queue_job_free(&job);
}
END_TEST

static const struct queue_sweep grid = {
    .name = "j",
    .account = WORLD_ACCOUNT,
    .dataset = WORLD_DATASET,
    .jobs = "[{\"spec\": \"{}\", \"point\": \"x=1\"}, {\"spec\": \"{}\", "
            "\"point\": \"x=2\"}]",
    .token = "g"};

static int submit_grid(int64_t *ret_id)
{
    return allocation_submit_sweep(world.alice, &grid, "/shared/alice/", "n1", 1000,
                                   ret_id, &err);
}

/* All are reserved, and one plan at a time is to be had. */
START_TEST(jobs_of_a_sweep_take_turns)
{
    struct cost cost = world_cost(0.001);
    struct ledger_verdict verdict;
    struct queue_jobs jobs;
    int64_t first, again, attempt;
    OK(submit_grid(&first));
    OK(submit_grid(&again)); /* the answer may be lost */
    ck_assert_int_eq(again, first);
    OK(queue_of_sweep(world.alice, first, &jobs, &err));
    ck_assert_int_eq(jobs.n, 2);
    int64_t second = jobs.jobs[1].id;
    ck_assert_str_eq(jobs.jobs[1].allocation + strlen("/shared/alice/ppt-"),
                     strrchr(jobs.jobs[1].allocation, '-') + 1);
    ck_assert_int_eq(jobs.jobs[1].sweep.max_running, 1);
    queue_jobs_free(&jobs);
    for (int i = 0; i < 2; i++) {
        struct ledger_request request = world_request(i == 0 ? first : second, &cost);
        OK(ledger_reserve(world.scheduler, &world.lease, &request, &verdict, &err));
        ck_assert_int_eq(verdict.answer, LEDGER_ADMITTED);
    }
    OK(queue_for_start(world.scheduler, 10, &jobs, &err));
    ck_assert_int_eq(jobs.n, 1);
    ck_assert_int_eq(jobs.jobs[0].id, first);
    queue_jobs_free(&jobs);
    OK(queue_start(world.scheduler, &world.lease, first, "/spool/1", "", &attempt,
                   &err));
    OK(queue_for_start(world.scheduler, 10, &jobs, &err));
    ck_assert_int_eq(jobs.n, 0);
    queue_jobs_free(&jobs);
    OK(allocation_offer(world.scheduler, &world.lease, first, 1, "plan", signature,
                        &err));
    FAILS(PPT_ENOTFOUND,
          allocation_take(world.alice, first, "g:2", &plan, &is_there, &err));
    take(first, "g:1");
    OK(submit_grid(&again)); /* also once it has begun */
    ck_assert_int_eq(again, first);
}
END_TEST

START_TEST(an_ordinary_sweep_does_not_become_one)
{
    struct queue_sweep ordinary = grid;
    int64_t first, other;
    ordinary.max_running = 1;
    OK(queue_submit_sweep(world.alice, &ordinary, &first, &err));
    OK(queue_hold(world.scheduler, &world.lease, first, "held", &err));
    FAILS(PPT_EEXISTS, submit_grid(&other));
    FAILS(PPT_ENOTFOUND,
          allocation_look(world.scheduler, &world.lease, first, 1, &look, &err));
    OK(allocation_allow(world.officer, WORLD_DATASET, false, "moved", &err));
    FAILS(PPT_EPOLICY, submit_grid(&other));
}
END_TEST

START_TEST(an_officer_says_which_data)
{
    int64_t id = running("t"), none;
    OK(allocation_may(world.alice, WORLD_DATASET, &err));
    OK(allocation_allow(world.officer, WORLD_DATASET, false, "moved", &err));
    FAILS(PPT_EPOLICY, allocation_may(world.alice, WORLD_DATASET, &err));
    FAILS(PPT_EPOLICY, SUBMIT("u", &none));
    FAILS(PPT_EPOLICY, allocation_offer(world.scheduler, &world.lease, id, 1, "plan",
                                        signature, &err));
    expect_life(id, ALLOCATION_NEVER);
    FAILS(PPT_EPERM, allocation_allow(world.alice, WORLD_DATASET, true, "", &err));
    FAILS(PPT_ENOTFOUND, allocation_allow(world.officer, "no such", true, "", &err));
}
END_TEST

START_TEST(they_start_before_all_others)
{
    struct cost cost = world_cost(0.001);
    struct ledger_verdict verdict;
    enum ledger_answer answer;
    struct queue_jobs jobs;
    int64_t id;
    world_admit(&world, WORLD_ACCOUNT, &cost, &answer);
    OK(SUBMIT("t", &id));
    struct ledger_request request = world_request(id, &cost);
    OK(ledger_reserve(world.scheduler, &world.lease, &request, &verdict, &err));
    OK(queue_for_start(world.scheduler, 1, &jobs, &err));
    ck_assert_int_eq(jobs.jobs[0].id, id);
    queue_jobs_free(&jobs);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("allocation");
    TCase *tcase = tcase_create("all");
    tcase_set_timeout(tcase, 60);
    tcase_add_unchecked_fixture(tcase, pg_start, pg_stop);
    tcase_add_checked_fixture(tcase, open_world, close_world);
    tcase_add_test(tcase, a_plan_goes_to_its_submission_only);
    tcase_add_test(tcase, taken_back_is_never_taken);
    tcase_add_test(tcase, what_was_taken_is_never_taken_back);
    tcase_add_test(tcase, the_first_word_about_the_end_counts);
    tcase_add_test(tcase, an_ordinary_job_does_not_become_one);
    tcase_add_test(tcase, jobs_of_a_sweep_take_turns);
    tcase_add_test(tcase, an_ordinary_sweep_does_not_become_one);
    tcase_add_test(tcase, an_officer_says_which_data);
    tcase_add_test(tcase, they_start_before_all_others);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
