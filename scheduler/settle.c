#include "scheduler/settle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "jobs/plan.h"
#include "jobs/privacy/meter.h"

bool settle_may_tell(int error_code)
{
    switch (error_code) {
    case PPT_EUSAGE:  /* before anything was opened */
    case PPT_ESPEC:   /* the plan cannot be read */
    case PPT_EPOLICY: /* the plan is not allowed */
    case PPT_ETRUST:  /* the plan is not to be trusted */
    case PPT_ESTATE:  /* started with another number of ranks than planned */
    case PPT_EMETER:  /* by the count of its steps */
        return false;
    default:
        return true;
    }
}

bool settle_find_report(const char *directory, int64_t job_id, int64_t attempt,
                        struct report *ret_report)
{
    char path[SPOOL_PATH_SIZE];
    struct report report;
    if (spool_path(directory, "report.json", path, NULL) != 0 ||
        report_read(path, &report, NULL) != 0 || report.job_id != job_id ||
        report.attempt != attempt)
        return false;
    *ret_report = report;
    return true;
}

#define NO_REPORT "its processes died without a report"

static void say(struct settle_verdict *verdict, int code, const char *reason)
{
    verdict->error_code = code;
    snprintf(verdict->reason, sizeof verdict->reason, "%.511s", reason);
}

/* The same for processes that died; why, if that is known. */
static void say_cause(const struct settle_facts *facts, struct settle_verdict *verdict,
                      int code, const char *reason)
{
    char text[LEDGER_TEXT_SIZE];
    snprintf(text, sizeof text, "%.120s%s%.384s", reason,
             facts->cause == NULL ? "" : ": ",
             facts->cause == NULL ? "" : facts->cause);
    say(verdict, code, text);
}

/* It died, or may as well have: another attempt if there are any left. */
static void lose(const struct settle_facts *facts, int code, const char *reason,
                 struct settle_verdict *verdict)
{
    bool is_new = facts->state.last_loss != facts->attempt;
    int64_t n_losses = facts->state.n_losses + is_new;
    verdict->is_loss = true;
    verdict->charge = SETTLE_ALL;
    verdict->runs_again = n_losses <= facts->max_restarts &&
                          !facts->is_cancel_requested && !facts->is_allocation;
    verdict->state = QUEUE_FAILED;
    say_cause(facts, verdict, code, reason);
}

/* The scheduler asked it to stop and it did. */
static void stopped(const struct settle_facts *facts, struct settle_verdict *verdict)
{
    verdict->charge = SETTLE_METER;
    if (facts->state.stop == SPOOL_STOP_CANCEL) {
        verdict->state = QUEUE_CANCELLED;
        say(verdict, PPT_EJOB, "cancelled while it ran");
    } else {
        verdict->state = QUEUE_FAILED;
        say(verdict, PPT_EJOB, "time limit");
    }
}

static void by_report(const struct settle_facts *facts, struct settle_verdict *verdict)
{
    const struct report *report = &facts->report;
    verdict->charge = SETTLE_METER;
    if (report->outcome == REPORT_DONE) {
        verdict->state = QUEUE_DONE;
    } else if (report->outcome == REPORT_FAILED &&
               settle_may_tell(report->error_code)) {
        /* It would fail again: a report of failure is not retried. */
        verdict->is_loss = true;
        verdict->charge = SETTLE_ALL;
        verdict->state = QUEUE_FAILED;
        if (report->error_code == PPT_ECOMM)
            say_cause(facts, verdict, PPT_ECOMM, report->error_text);
        else
            say(verdict, report->error_code, report->error_text);
    } else if (report->outcome == REPORT_FAILED) {
        verdict->state = QUEUE_FAILED;
        say(verdict, report->error_code, report->error_text);
    } else if (facts->state.stop != SPOOL_STOP_NONE) {
        stopped(facts, verdict);
    } else if (facts->is_cancel_requested) {
        verdict->state = QUEUE_CANCELLED;
        say(verdict, PPT_EJOB, "cancelled after an interruption");
    } else if (facts->is_allocation) {
        verdict->state = QUEUE_FAILED;
        say(verdict, PPT_EINTERRUPTED, "interrupted in its user's allocation");
    } else {
        verdict->runs_again = true;
        say(verdict, PPT_EINTERRUPTED, "interrupted; goes on from its checkpoint");
    }
}

/* Nothing ran, so what it costs is what earlier attempts have used. */
static void not_started(const struct settle_facts *facts,
                        struct settle_verdict *verdict)
{
    char reason[LEDGER_TEXT_SIZE];
    verdict->charge = facts->has_only_died ? SETTLE_UNOPENED
                      : facts->state.started_attempt == 0 || facts->is_allocation
                          ? SETTLE_NOTHING
                          : SETTLE_METER;
    if (facts->is_cancel_requested) {
        verdict->state = QUEUE_CANCELLED;
        say(verdict, PPT_EJOB, "cancelled before it was started");
    } else if (facts->early != NULL && facts->is_allocation) {
        say(verdict, PPT_ELAUNCH, facts->early);
    } else if (facts->early != NULL && facts->state.n_early >= SETTLE_MAX_EARLY) {
        snprintf(reason, sizeof reason, "%s %lld times before it began: %.200s",
                 facts->has_only_died ? "it died" : "Slurm ended it",
                 (long long)facts->state.n_early, facts->early);
        say(verdict, PPT_ELAUNCH, reason);
    } else {
        verdict->runs_again = true;
        say(verdict, PPT_EJOB, "was not started; trying again");
    }
}

void settle_decide(const struct settle_facts *facts, struct settle_verdict *ret_verdict)
{
    struct settle_verdict verdict = {.state = QUEUE_FAILED};
    bool has_begun = !facts->has_state || facts->state.is_doubtful ||
                     facts->state.started_attempt == facts->attempt;
    if (!facts->has_state) {
        verdict.charge = SETTLE_ALL;
        say(&verdict, PPT_EIO, "its directory was removed or damaged");
    } else if (!has_begun) {
        /* The scheduler died between writing the attempt down and starting it, or Slurm
         * did not come to start it. */
        not_started(facts, &verdict);
    } else if (facts->has_report) {
        by_report(facts, &verdict);
    } else if (facts->state.stop != SPOOL_STOP_NONE) {
        stopped(facts, &verdict);
    } else if (facts->has_only_died) {
        not_started(facts, &verdict);
    } else {
        lose(facts, PPT_ECOMM, NO_REPORT, &verdict);
    }
    if (facts->has_state && facts->state.n_losses > 0)
        verdict.charge = SETTLE_ALL;
    if (facts->is_allocation && has_begun)
        verdict.charge = SETTLE_ALL; /* its meter lies where its user can write */
    *ret_verdict = verdict;
}

/* At most the reservation, at every order and in mu^2. */
static bool is_within(const struct cost *cost, const struct cost *reserved)
{
    bool is_within = cost->delta <= reserved->delta && cost->mu2 <= reserved->mu2;
    for (int i = 0; i < COST_N_ORDERS; i++)
        is_within = is_within && cost->rho[i] <= reserved->rho[i];
    return is_within && cost->unit == reserved->unit &&
           cost->relation == reserved->relation;
}

/* Jobs that follow each other are often alike. */
static struct plan_seen seen;

struct signed_job {
    struct plan plan;
    struct spec spec;
    struct manifest manifest;
};

/* Ends a meter whose plan does not load: an older one may, if somebody puts it back.
 * What it may hold is then unknown, so any count goes. No meter is none used. */
static int end_strange_meter(const char *path, int64_t ret_used[PRICE_MAX_RELEASES],
                             bool *ret_damaged, struct error *err)
{
    struct price any = {.n_releases = PRICE_MAX_RELEASES};
    for (int i = 0; i < PRICE_MAX_RELEASES; i++)
        any.releases[i].count = INT64_MAX;
    if (access(path, F_OK) != 0)
        return 0;
    return meter_end(path, &any, ret_used, ret_damaged, err);
}

/* Ends the meter in the directory, and reads it by the plan that lies there signed.
 * *ret_job NULL: no worker would run what lies there (ret_why says why); else caller
 * frees. */
static int end_meter(const char *directory, const unsigned char public_key[32],
                     struct signed_job **ret_job, int64_t ret_used[PRICE_MAX_RELEASES],
                     bool *ret_damaged, struct error *ret_why, struct error *err)
{
    char path[SPOOL_PATH_SIZE];
    struct signed_job *job = malloc(sizeof *job);
    if (job == NULL)
        return error_set(err, PPT_ENOMEM, "out of memory settling a job");
    int rc = spool_path(directory, PLAN_METER, path, err);
    *ret_damaged = false;
    memset(ret_used, 0, PRICE_MAX_RELEASES * sizeof *ret_used);
    if (rc == 0 && plan_load(directory, public_key, &seen, &job->plan, &job->spec,
                             &job->manifest, ret_why) != 0) {
        free(job);
        job = NULL;
        rc = end_strange_meter(path, ret_used, ret_damaged, err);
    } else if (rc == 0 && job->plan.price.is_private) {
        rc = meter_end(path, &job->plan.price, ret_used, ret_damaged, err);
    }
    if (rc == 0)
        *ret_job = job;
    else
        free(job);
    return rc;
}

static bool is_unopened(const char *directory, const struct plan *plan)
{
    char path[SPOOL_PATH_SIZE];
    int64_t last = 0;
    return plan->price.is_private &&
           spool_path(directory, PLAN_METER, path, NULL) == 0 &&
           meter_last_attempt(path, &plan->price, &last, NULL) == 0 &&
           last < plan->attempt;
}

bool settle_is_unopened(const char *directory, const unsigned char public_key[32],
                        int64_t attempt)
{
    struct signed_job *job = malloc(sizeof *job);
    bool is_its = job != NULL &&
                  plan_load(directory, public_key, &seen, &job->plan, &job->spec,
                            &job->manifest, NULL) == 0 &&
                  job->plan.attempt == attempt && is_unopened(directory, &job->plan);
    free(job);
    return is_its;
}

bool settle_keep_beginning(const char *directory, const unsigned char public_key[32],
                           int64_t attempt)
{
    char path[SPOOL_PATH_SIZE];
    bool has_begun = false;
    struct signed_job *job = malloc(sizeof *job);
    if (job != NULL && spool_path(directory, PLAN_METER, path, NULL) == 0 &&
        plan_load(directory, public_key, &seen, &job->plan, &job->spec, &job->manifest,
                  NULL) == 0) {
        has_begun = !job->plan.price.is_private;
        if (!has_begun) /* false on an error, too */
            meter_keep_beginning(path, &job->plan.price, attempt, &has_begun, NULL);
    }
    free(job);
    return has_begun;
}

/* Everything unless the meter proves less. */
static int by_meter(enum settle_charge charge, const char *directory,
                    const unsigned char public_key[32], const struct cost *reserved,
                    struct cost *ret_spent, double *ret_epsilon,
                    char ret_note[LEDGER_TEXT_SIZE], struct error *err)
{
    int64_t used[PRICE_MAX_RELEASES];
    bool is_damaged;
    struct error why = {0};
    struct cost cost;
    double epsilon;
    struct signed_job *job = NULL;
    int rc = end_meter(directory, public_key, &job, used, &is_damaged, &why, err);
    if (rc != 0)
        return rc;
    if (job == NULL) {
        snprintf(ret_note, LEDGER_TEXT_SIZE, "everything reserved is spent: %.400s",
                 why.text);
    } else if (is_damaged) {
        snprintf(ret_note, LEDGER_TEXT_SIZE,
                 "everything reserved is spent: its meter is damaged or gone");
    } else if (charge == SETTLE_UNOPENED && !is_unopened(directory, &job->plan)) {
        snprintf(ret_note, LEDGER_TEXT_SIZE,
                 "everything reserved is spent: it has begun after all");
    } else if (price_used(&job->plan.price, used, &cost, &why) == 0 &&
               price_epsilon(&job->plan.price, used, &epsilon, &why) == 0 &&
               is_within(&cost, reserved)) {
        *ret_spent = cost;
        *ret_epsilon = epsilon;
    } else {
        snprintf(ret_note, LEDGER_TEXT_SIZE,
                 "everything reserved is spent: its meter and its plan disagree");
    }
    free(job);
    return 0;
}

/* Nothing that lies there can release anything any more. *ret_is_unused: nothing ever
 * has; a plan that was signed for a start that failed may have been run by hand. */
static int close_directory(const char *directory, const unsigned char public_key[32],
                           bool *ret_is_unused, struct error *err)
{
    int64_t used[PRICE_MAX_RELEASES];
    bool is_damaged;
    struct error why = {0};
    struct signed_job *job = NULL;
    *ret_is_unused = true;
    if (directory[0] == '\0')
        return 0; /* no plan was ever signed */
    int rc = end_meter(directory, public_key, &job, used, &is_damaged, &why, err);
    if (rc != 0)
        return rc;
    *ret_is_unused = !is_damaged;
    for (int i = 0; i < PRICE_MAX_RELEASES; i++)
        *ret_is_unused = *ret_is_unused && used[i] == 0;
    free(job);
    return 0;
}

void settle_find_used(const char *directory, const unsigned char public_key[32],
                      int64_t ret_used[PRICE_MAX_RELEASES])
{
    char path[SPOOL_PATH_SIZE];
    bool is_damaged;
    struct signed_job *job = malloc(sizeof *job);
    if (job != NULL && spool_path(directory, PLAN_METER, path, NULL) == 0 &&
        plan_load(directory, public_key, &seen, &job->plan, &job->spec, &job->manifest,
                  NULL) == 0)
        meter_read(path, &job->plan.price, ret_used, &is_damaged, NULL);
    free(job);
}

void settle_tell(const struct settle_facts *facts, int64_t job_id,
                 const char *directory, const unsigned char public_key[32])
{
    char path[SPOOL_PATH_SIZE];
    struct report report = {.job_id = job_id,
                            .attempt = facts->attempt,
                            .outcome = REPORT_FAILED,
                            .error_code = PPT_ECOMM,
                            .error_text = NO_REPORT};
    struct error err = {0};
    if (facts->has_report)
        report = facts->report;
    else
        settle_find_used(directory, public_key, report.used);
    if (report.error_code != PPT_ECOMM || (facts->has_report && facts->cause == NULL))
        return; /* it says all that there is to say */
    snprintf(report.cause, sizeof report.cause, "%s",
             facts->cause == NULL ? "" : facts->cause);
    int rc = spool_path(directory, "report.json", path, &err);
    if (rc == 0)
        rc = report_write(path, &report, &err);
    if (rc != 0)
        log_warning("job %lld: its report cannot be written: %s", (long long)job_id,
                    err.text);
}

int settle_cost(enum settle_charge charge, const char *directory,
                const unsigned char public_key[32], const struct cost *reserved,
                double price, struct cost *ret_spent, double *ret_epsilon,
                char ret_note[LEDGER_TEXT_SIZE], struct error *err)
{
    struct cost spent = *reserved;
    char note[LEDGER_TEXT_SIZE] = "";
    double epsilon = price;
    bool is_unused = false;
    int rc = 0;
    if (charge == SETTLE_ALL || charge == SETTLE_NOTHING)
        rc = close_directory(directory, public_key, &is_unused, err);
    if (charge == SETTLE_ALL)
        rc = 0; /* it is paid for: a meter that cannot be ended stops nothing */
    if (rc == 0 && charge == SETTLE_NOTHING && is_unused) {
        spent = cost_zero(reserved->unit, reserved->relation);
        epsilon = 0;
    } else if (rc == 0 && charge != SETTLE_ALL) {
        rc = by_meter(charge, directory, public_key, reserved, &spent, &epsilon, note,
                      err);
    }
    if (rc != 0)
        return rc;
    *ret_spent = spent;
    *ret_epsilon = epsilon;
    memcpy(ret_note, note, sizeof note);
    return 0;
}
