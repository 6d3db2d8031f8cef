/* What becomes of a job whose processes have gone, and what it pays. */
#include "scheduler/settle.h"

#include <check.h>
#include <string.h>

#define MAX_RESTARTS 2

static struct settle_facts facts;
static struct settle_verdict verdict;

/* Attempt 1 has been started and nothing else is known. */
static void setup(void)
{
    facts = (struct settle_facts){.attempt = 1,
                                  .has_state = true,
                                  .state = {.started_attempt = 1},
                                  .max_restarts = MAX_RESTARTS};
    memset(&verdict, 0, sizeof verdict);
}

static void report(enum report_outcome outcome, int code)
{
    facts.has_report = true;
    facts.report.outcome = outcome;
    facts.report.error_code = code;
    strcpy(facts.report.error_text, code == 0 ? "" : "what the worker said");
}

START_TEST(done_is_done_and_pays_by_the_meter)
{
    report(REPORT_DONE, 0);
    settle_decide(&facts, &verdict);
    ck_assert_int_eq(verdict.state, QUEUE_DONE);
    ck_assert_int_eq(verdict.charge, SETTLE_METER);
    ck_assert(!verdict.runs_again && !verdict.is_loss);
    ck_assert_str_eq(verdict.reason, "");
}
END_TEST

START_TEST(a_death_names_its_cause)
{
    facts.cause = "rank 1 on node n2: Killed";
    settle_decide(&facts, &verdict);
    ck_assert_int_eq(verdict.charge, SETTLE_ALL);
    ck_assert_str_eq(verdict.reason, "its processes died without a report: rank 1 on "
                                     "node n2: Killed");
    report(REPORT_FAILED, PPT_ECOMM);
    settle_decide(&facts, &verdict);
    ck_assert_str_eq(verdict.reason, "what the worker said: rank 1 on node n2: Killed");
    report(REPORT_FAILED, PPT_EDATA);
    settle_decide(&facts, &verdict);
    ck_assert_str_eq(verdict.reason, "what the worker said");
}
END_TEST

START_TEST(ended_early_is_tried_three_times_and_pays_for_nothing)
{
    facts.state.started_attempt = 0;
    facts.early = "FAILED, Prolog";
    for (facts.state.n_early = 1; facts.state.n_early < 3; facts.state.n_early++) {
        settle_decide(&facts, &verdict);
        ck_assert(verdict.runs_again && !verdict.is_loss);
    }
    settle_decide(&facts, &verdict);
    ck_assert(!verdict.runs_again && !verdict.is_loss);
    ck_assert_int_eq(verdict.state, QUEUE_FAILED);
    ck_assert_int_eq(verdict.error_code, PPT_ELAUNCH);
    ck_assert_int_eq(verdict.charge, SETTLE_NOTHING);
    ck_assert_str_eq(verdict.reason,
                     "Slurm ended it 3 times before it began: FAILED, Prolog");
    facts.early = NULL; /* a controller that was away is no such end */
    settle_decide(&facts, &verdict);
    ck_assert(verdict.runs_again);
    facts.early = "FAILED, Prolog"; /* what ran before stays paid for */
    facts.attempt = 4;
    facts.state.started_attempt = 1;
    settle_decide(&facts, &verdict);
    ck_assert(!verdict.runs_again);
    ck_assert_int_eq(verdict.charge, SETTLE_METER);
    facts.state.n_losses = 1;
    settle_decide(&facts, &verdict);
    ck_assert_int_eq(verdict.charge, SETTLE_ALL);
}
END_TEST

START_TEST(a_death_before_the_beginning_is_tried_three_times_too)
{
    facts.has_only_died = true;
    facts.early = "ssh: no route";
    facts.max_restarts = 0;
    for (facts.state.n_early = 1; facts.state.n_early < 3; facts.state.n_early++) {
        settle_decide(&facts, &verdict);
        ck_assert(verdict.runs_again && !verdict.is_loss);
    }
    settle_decide(&facts, &verdict);
    ck_assert(!verdict.runs_again && !verdict.is_loss);
    ck_assert_int_eq(verdict.charge, SETTLE_UNOPENED);
    ck_assert_str_eq(verdict.reason, "it died 3 times before it began: ssh: no route");
    facts.state.n_losses = 1; /* an earlier attempt is not undone */
    settle_decide(&facts, &verdict);
    ck_assert_int_eq(verdict.charge, SETTLE_ALL);
}
END_TEST

START_TEST(in_an_allocation_what_was_handed_out_is_spent)
{
    facts.is_allocation = true;
    settle_decide(&facts, &verdict); /* not heard of again */
    ck_assert_int_eq(verdict.charge, SETTLE_ALL);
    ck_assert(!verdict.runs_again);
    for (int outcome = 0; outcome < REPORT_N; outcome++)
        for (int stop = 0; stop < SPOOL_STOP_N; stop++) {
            facts.state.stop = (enum spool_stop)stop;
            report((enum report_outcome)outcome, 0);
            settle_decide(&facts, &verdict);
            ck_assert_int_eq(verdict.charge, SETTLE_ALL);
            ck_assert(!verdict.runs_again);
            ck_assert_int_eq(verdict.state == QUEUE_DONE, outcome == REPORT_DONE);
        }
    facts.has_state = false;
    settle_decide(&facts, &verdict);
    ck_assert_int_eq(verdict.charge, SETTLE_ALL);
}
END_TEST

START_TEST(in_an_allocation_what_nobody_took_costs_nothing)
{
    facts.is_allocation = true;
    facts.attempt = 2; /* the first was written down and never offered */
    settle_decide(&facts, &verdict);
    ck_assert(verdict.runs_again);
    facts.early = "nobody came";
    settle_decide(&facts, &verdict);
    ck_assert(!verdict.runs_again);
    ck_assert_int_eq(verdict.state, QUEUE_FAILED);
    ck_assert_int_eq(verdict.charge, SETTLE_NOTHING);
    ck_assert_str_eq(verdict.reason, "nobody came");
    facts.early = NULL;
    facts.is_cancel_requested = true;
    settle_decide(&facts, &verdict);
    ck_assert_int_eq(verdict.state, QUEUE_CANCELLED);
    ck_assert_int_eq(verdict.charge, SETTLE_NOTHING);
}
END_TEST

START_TEST(an_interruption_goes_on)
{
    report(REPORT_INTERRUPTED, PPT_EINTERRUPTED);
    for (facts.attempt = 1; facts.attempt < 20; facts.attempt++) {
        facts.state.started_attempt = facts.attempt;
        settle_decide(&facts, &verdict);
        ck_assert(verdict.runs_again && !verdict.is_loss);
    }
}
END_TEST

START_TEST(a_death_is_tried_again_and_pays_all)
{
    settle_decide(&facts, &verdict);
    ck_assert(verdict.runs_again && verdict.is_loss);
    facts.state.n_losses = MAX_RESTARTS;
    facts.attempt = facts.state.started_attempt = MAX_RESTARTS + 1;
    settle_decide(&facts, &verdict);
    ck_assert(!verdict.runs_again && verdict.is_loss);
    ck_assert_int_eq(verdict.state, QUEUE_FAILED);
    ck_assert_int_eq(verdict.charge, SETTLE_ALL);
    ck_assert_int_ne(verdict.error_code, 0);
}
END_TEST

/* The scheduler may die between writing a loss down and acting on it. */
START_TEST(the_same_death_counts_once)
{
    facts.max_restarts = 1;
    facts.state.n_losses = 1;
    facts.state.last_loss = 1;
    settle_decide(&facts, &verdict);
    ck_assert(verdict.runs_again);
}
END_TEST

START_TEST(a_later_success_does_not_undo_a_death)
{
    facts.attempt = facts.state.started_attempt = 2;
    facts.state.n_losses = 1;
    facts.state.last_loss = 1;
    report(REPORT_DONE, 0);
    settle_decide(&facts, &verdict);
    ck_assert_int_eq(verdict.state, QUEUE_DONE);
    ck_assert_int_eq(verdict.charge, SETTLE_ALL);
}
END_TEST

START_TEST(a_failure_that_may_tell_pays_all)
{
    static const int tell[] = {PPT_EDATA, PPT_EINTERNAL, PPT_ENOMEM, PPT_EIO,
                               PPT_ECOMM, PPT_ERANGE,    9999};
    for (size_t i = 0; i < sizeof tell / sizeof *tell; i++) {
        report(REPORT_FAILED, tell[i]);
        settle_decide(&facts, &verdict);
        ck_assert_int_eq(verdict.state, QUEUE_FAILED);
        ck_assert_int_eq(verdict.charge, SETTLE_ALL);
        ck_assert(!verdict.runs_again && verdict.is_loss);
        ck_assert_str_eq(verdict.reason, "what the worker said");
    }
}
END_TEST

START_TEST(a_failure_that_cannot_tell_pays_by_the_meter)
{
    static const int dumb[] = {PPT_EUSAGE, PPT_ESPEC,  PPT_EPOLICY,
                               PPT_ETRUST, PPT_ESTATE, PPT_EMETER};
    for (size_t i = 0; i < sizeof dumb / sizeof *dumb; i++) {
        report(REPORT_FAILED, dumb[i]);
        settle_decide(&facts, &verdict);
        ck_assert_int_eq(verdict.state, QUEUE_FAILED);
        ck_assert_int_eq(verdict.charge, SETTLE_METER);
        ck_assert(!verdict.runs_again && !verdict.is_loss);
        ck_assert_int_eq(verdict.error_code, dumb[i]);
    }
}
END_TEST

START_TEST(cancelled_and_late_jobs_pay_by_the_meter)
{
    facts.is_cancel_requested = true;
    facts.state.stop = SPOOL_STOP_CANCEL;
    settle_decide(&facts, &verdict); /* killed: no report */
    ck_assert_int_eq(verdict.state, QUEUE_CANCELLED);
    ck_assert_int_eq(verdict.charge, SETTLE_METER);
    report(REPORT_INTERRUPTED, PPT_EINTERRUPTED);
    settle_decide(&facts, &verdict);
    ck_assert_int_eq(verdict.state, QUEUE_CANCELLED);
    ck_assert_int_eq(verdict.charge, SETTLE_METER);
    setup();
    facts.state.stop = SPOOL_STOP_TIME;
    settle_decide(&facts, &verdict);
    ck_assert_int_eq(verdict.state, QUEUE_FAILED);
    ck_assert_str_eq(verdict.reason, "time limit");
    ck_assert_int_eq(verdict.charge, SETTLE_METER);
    ck_assert(!verdict.runs_again);
}
END_TEST

START_TEST(a_crash_is_a_crash_even_if_a_cancellation_was_on_its_way)
{
    facts.is_cancel_requested = true;
    settle_decide(&facts, &verdict); /* died before it was asked to stop */
    ck_assert_int_eq(verdict.charge, SETTLE_ALL);
    ck_assert(!verdict.runs_again && verdict.is_loss);
    facts.state.stop = SPOOL_STOP_CANCEL;
    report(REPORT_FAILED, PPT_EDATA);
    settle_decide(&facts, &verdict);
    ck_assert_int_eq(verdict.charge, SETTLE_ALL);
}
END_TEST

START_TEST(who_finishes_in_time_is_done_though_asked_to_stop)
{
    facts.is_cancel_requested = true;
    facts.state.stop = SPOOL_STOP_CANCEL;
    report(REPORT_DONE, 0);
    settle_decide(&facts, &verdict);
    ck_assert_int_eq(verdict.state, QUEUE_DONE);
}
END_TEST

START_TEST(an_attempt_that_never_started_costs_nothing)
{
    facts.state.started_attempt = 0;
    settle_decide(&facts, &verdict);
    ck_assert(verdict.runs_again && !verdict.is_loss);
    facts.is_cancel_requested = true;
    settle_decide(&facts, &verdict);
    ck_assert(!verdict.runs_again);
    ck_assert_int_eq(verdict.state, QUEUE_CANCELLED);
    ck_assert_int_eq(verdict.charge, SETTLE_NOTHING);
    /* an earlier attempt ran, this one did not: the earlier one is paid for */
    facts.attempt = 3;
    facts.state.started_attempt = 2;
    settle_decide(&facts, &verdict);
    ck_assert_int_eq(verdict.charge, SETTLE_METER);
}
END_TEST

START_TEST(a_removed_directory_costs_all)
{
    facts.has_state = false;
    memset(&facts.state, 0, sizeof facts.state);
    settle_decide(&facts, &verdict);
    ck_assert_int_eq(verdict.state, QUEUE_FAILED);
    ck_assert_int_eq(verdict.charge, SETTLE_ALL);
    ck_assert(!verdict.runs_again);
}
END_TEST

/* A power cut may have undone what the spool said last: what the database knows to be
 * begun is taken for begun, and for dead where no report says more. */
START_TEST(a_state_in_doubt_has_been_started)
{
    facts.state = (struct spool_state){.is_doubtful = true};
    settle_decide(&facts, &verdict);
    ck_assert(verdict.is_loss && verdict.runs_again);
    ck_assert_int_eq(verdict.charge, SETTLE_ALL);
    facts.max_restarts = 0;
    settle_decide(&facts, &verdict);
    ck_assert(!verdict.runs_again);
    ck_assert_int_eq(verdict.state, QUEUE_FAILED);
    ck_assert_int_eq(verdict.charge, SETTLE_ALL);
    report(REPORT_DONE, 0);
    settle_decide(&facts, &verdict);
    ck_assert_int_eq(verdict.state, QUEUE_DONE);
    ck_assert_int_eq(verdict.charge, SETTLE_METER);
}
END_TEST

static struct cost reserved_cost(int64_t rho)
{
    struct cost cost = cost_zero(UNIT_EXAMPLE, RELATION_ADD_REMOVE);
    for (int i = 0; i < COST_N_ORDERS; i++)
        cost.rho[i] = rho;
    return cost;
}

START_TEST(without_a_plan_that_can_be_trusted_everything_is_spent)
{
    static const unsigned char key[32];
    struct cost reserved = reserved_cost(INT64_C(1) << 40), spent;
    double epsilon;
    char note[LEDGER_TEXT_SIZE];
    struct error err = {0};
    ck_assert_int_eq(settle_cost(SETTLE_METER, "/nonexistent", key, &reserved, 1.5,
                                 &spent, &epsilon, note, &err),
                     0);
    ck_assert_mem_eq(spent.rho, reserved.rho, sizeof spent.rho);
    ck_assert_ptr_nonnull(strstr(note, "everything reserved is spent"));
    ck_assert(epsilon == 1.5);
    ck_assert_int_eq(settle_cost(SETTLE_NOTHING, "/nonexistent", key, &reserved, 1.5,
                                 &spent, &epsilon, note, &err),
                     0);
    ck_assert_int_eq(spent.rho[0], 0);
    ck_assert(epsilon == 0);
    ck_assert_str_eq(note, "");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("settle");
    TCase *tc = tcase_create("settle");
    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_test(tc, in_an_allocation_what_was_handed_out_is_spent);
    tcase_add_test(tc, in_an_allocation_what_nobody_took_costs_nothing);
    tcase_add_test(tc, done_is_done_and_pays_by_the_meter);
    tcase_add_test(tc, an_interruption_goes_on);
    tcase_add_test(tc, a_death_names_its_cause);
    tcase_add_test(tc, ended_early_is_tried_three_times_and_pays_for_nothing);
    tcase_add_test(tc, a_death_before_the_beginning_is_tried_three_times_too);
    tcase_add_test(tc, a_death_is_tried_again_and_pays_all);
    tcase_add_test(tc, the_same_death_counts_once);
    tcase_add_test(tc, a_later_success_does_not_undo_a_death);
    tcase_add_test(tc, a_failure_that_may_tell_pays_all);
    tcase_add_test(tc, a_failure_that_cannot_tell_pays_by_the_meter);
    tcase_add_test(tc, cancelled_and_late_jobs_pay_by_the_meter);
    tcase_add_test(tc, a_crash_is_a_crash_even_if_a_cancellation_was_on_its_way);
    tcase_add_test(tc, who_finishes_in_time_is_done_though_asked_to_stop);
    tcase_add_test(tc, an_attempt_that_never_started_costs_nothing);
    tcase_add_test(tc, a_removed_directory_costs_all);
    tcase_add_test(tc, a_state_in_doubt_has_been_started);
    tcase_add_test(tc, without_a_plan_that_can_be_trusted_everything_is_spent);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed != 0;
}
