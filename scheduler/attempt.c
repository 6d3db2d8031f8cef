#include "scheduler/attempt_inside.h"

#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "jobs/plan.h"
#include "scheduler/admission.h"
#include "scheduler/allocation.h"
#include "scheduler/cause.h"
#include "scheduler/job_keys.h"
#include "scheduler/known.h"
#include "scheduler/settle.h"
#include "scheduler/spool.h"

/* For so long the meter of processes that have gone may be held by somebody: after it
 * everything is spent. */
#define HELD_S 60
/* For so long what a job was staged with (its data file, its plan) is as it was. */
#define STAGED_S 10

/* What was admitted stays admitted when the site's bounds move afterwards. */
static const struct spec_policy any_policy = {
    .min_epsilon = 0,
    .max_epsilon = DBL_MAX,
    .max_delta = 1,
    .max_ranks = INT64_MAX,
    .max_cores_per_rank = INT64_MAX,
    .max_time_limit_s = INT64_MAX,
    .max_memory_bytes = INT64_MAX,
};

struct launcher *attempt_launcher(const struct attempt_context *context,
                                  const struct queue_job *job)
{
    return job->allocation[0] != '\0' ? context->allocation : context->loop->launcher;
}

static bool is_here(const struct attempt_context *context, const struct queue_job *job)
{
    struct launcher *launcher = attempt_launcher(context, job);
    return launcher->ops->is_here != NULL && launcher->ops->is_here(launcher);
}

static int find_reserved(const struct attempt_context *context, int64_t job_id,
                         struct cost *ret_cost, struct error *err)
{
    if (known_reserved(context->known, job_id, ret_cost))
        return 0;
    int rc = ledger_reserved(context->db, job_id, ret_cost, err);
    if (rc == 0)
        known_add_reserved(context->known, &job_id, 1, ret_cost);
    return rc;
}

/* ---- ending ---- */

/* Somebody holds its meter. Since long ago? Looked at again every round. */
static bool is_held_long(const struct queue_job *job)
{
    struct spool_state state;
    int64_t now_s = time(NULL);
    if (spool_load(job->directory, &state, NULL) != 0)
        return true;
    if (state.held_since_s == 0) {
        state.held_since_s = now_s;
        return spool_save(job->directory, &state, NULL) != 0;
    }
    return now_s - state.held_since_s >= HELD_S;
}

int attempt_finish(const struct attempt_context *context, const struct queue_job *job,
                   const struct settle_verdict *verdict, const struct report *report,
                   enum attempt_fate *ret_fate, struct error *err)
{
    const struct loop *loop = context->loop;
    const struct bills_payer payer = {context->db, context->lease, loop->hooks,
                                      loop->conf};
    struct queue_outcome outcome = {.state = verdict->state,
                                    .error_code = verdict->error_code};
    struct cost reserved;
    char note[LEDGER_TEXT_SIZE], reason[2 * LEDGER_TEXT_SIZE + 2];
    int rc = find_reserved(context, job->id, &reserved, err);
    if (rc == 0)
        rc = settle_cost(verdict->charge, job->directory, context->loop->public_key,
                         &reserved, job->epsilon, &outcome.spent,
                         &outcome.epsilon_spent, note, err);
    if (rc == -PPT_ESTATE && is_held_long(job)) {
        *err = (struct error){0};
        rc = settle_cost(SETTLE_ALL, job->directory, context->loop->public_key,
                         &reserved, job->epsilon, &outcome.spent,
                         &outcome.epsilon_spent, note, err);
        snprintf(note, sizeof note,
                 "everything reserved is spent: a process still holds its meter");
    }
    if (rc != 0)
        return rc;
    snprintf(reason, sizeof reason, "%s%s%s", verdict->reason,
             *verdict->reason && *note ? "; " : "", note);
    reason[LEDGER_TEXT_SIZE - 1] = '\0';
    outcome.reason = reason;
    if (report != NULL) {
        outcome.n_steps_done = report->n_steps;
        outcome.has_test_accuracy = report->has_test_accuracy;
        outcome.test_accuracy = report->test_accuracy;
        outcome.wall_s = report->wall_s;
        outcome.model = report->model;
    }
    bool is_billed = bills_add(context->bills, job->id, &outcome);
    if (!is_billed)
        rc = bills_settle(&payer, job->id, &outcome, err);
    if (rc == 0)
        *ret_fate = is_billed ? ATTEMPT_BILLED : ATTEMPT_ENDED;
    return rc;
}

/* ---- starting ---- */

/* Spec and price as they were admitted. */
static int price(const struct attempt_context *context, const struct queue_job *job,
                 struct admission_job *ret_priced, struct error *err)
{
    struct queue_job found = {0};
    const char *text = job->spec;
    if (known_spec(context->known, job->spec_sha256, ret_priced))
        return 0;
    struct spec *spec = malloc(sizeof *spec);
    int rc = spec == NULL   ? error_set(err, PPT_ENOMEM, "out of memory starting a job")
             : text == NULL ? queue_find(context->db, job->id, &found, err)
                            : 0;
    if (text == NULL)
        text = found.spec;
    if (rc == 0)
        rc = spec_parse(text, strlen(text), "spec", &any_policy, spec, err);
    if (rc == 0)
        rc = admission_price(context->db, spec, ret_priced, err);
    if (rc == 0 && strcmp(spec->sha256, job->spec_sha256) == 0)
        known_add_spec(context->known, ret_priced);
    queue_job_free(&found);
    free(spec);
    return rc;
}

/* That, and a data file that can be opened where the ranks will be this user's. */
static int prepare(const struct attempt_context *context, const struct queue_job *job,
                   struct admission_job *ret_prepared, struct error *err)
{
    int rc = price(context, job, ret_prepared, err);
    if (rc == 0 && job->allocation[0] == '\0' &&
        access(ret_prepared->dataset.file, R_OK) != 0) {
        rc = error_errno(err, PPT_ELAUNCH, "cannot read the data file %s",
                         ret_prepared->dataset.file);
        admission_job_free(ret_prepared);
    }
    return rc;
}

/* A newer version of the program may price differently: never above what was paid. */
static int check_price(const struct attempt_context *context,
                       const struct queue_job *job, const struct price *price,
                       struct error *err)
{
    struct cost reserved;
    int rc = find_reserved(context, job->id, &reserved, err);
    if (rc != 0)
        return rc;
    bool is_above = price->cost.mu2 > reserved.mu2;
    for (int i = 0; i < COST_N_ORDERS; i++)
        is_above = is_above || price->cost.rho[i] > reserved.rho[i];
    if (is_above)
        return error_set(err, PPT_EBUDGET,
                         "its price is above what was reserved for it");
    return 0;
}

static int draft_plan(const struct attempt_context *context,
                      const struct queue_job *job, const struct admission_job *prepared,
                      const char *directory, int64_t attempt, enum plan_sync sync,
                      unsigned char ret_signature[PLAN_SIGNATURE_SIZE],
                      struct error *err)
{
    const struct conf *conf = context->loop->conf;
    bool is_users = job->allocation[0] != '\0';
    struct plan plan = {.job_id = job->id,
                        .attempt = attempt,
                        .epoch = context->lease->epoch,
                        .issued_at_s = time(NULL),
                        .uid = is_users ? job->allocation_uid : geteuid(),
                        .needs_encrypted_disk = conf->needs_encrypted_disk,
                        .needs_confidential_gpu = conf->needs_confidential_gpu,
                        .price = prepared->price};
    if (is_here(context, job))
        gethostname(plan.hosts, sizeof plan.hosts - 1);
    snprintf(plan.directory, sizeof plan.directory, "%s",
             is_users ? job->allocation : directory);
    snprintf(plan.data_file, sizeof plan.data_file, "%s", prepared->dataset.file);
    snprintf(plan.checkpoint_keys, sizeof plan.checkpoint_keys, "%s",
             !conf->hands_keys_over ? conf->checkpoint_keys
             : is_users             ? "" /* the ranks are the user's own */
                                    : PLAN_KEY_HANDED);
    memcpy(plan.spec_sha256, prepared->spec.sha256, sizeof plan.spec_sha256);
    memcpy(plan.manifest_sha256, prepared->dataset.manifest_sha256,
           sizeof plan.manifest_sha256);
    return plan_draft(directory, &plan, &prepared->spec, prepared->dataset.manifest,
                      context->loop->signer, sync, ret_signature, err);
}

/* A start may take a while (launch_sbatch.c counts how long): it begins with a lease
 * that is nearly new. */
static int renew(const struct attempt_context *context, struct error *err)
{
    const int64_t lease_s = context->loop->conf->lease_s;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t ms = now.tv_sec * 1000 + now.tv_nsec / 1000000;
    if (ms - *context->renewed_at_ms < lease_s * 100)
        return 0;
    int rc = ledger_lease_renew(context->db, context->lease, lease_s, err);
    if (rc == 0)
        *context->renewed_at_ms = ms;
    return rc;
}

/* A job that can be started now: nobody else has it. */
struct ready {
    char directory[SPOOL_PATH_SIZE];
    int lock; /* -1: given away */
    struct spool_state state;
    int64_t drafted; /* the attempt whose plan lies there already; 0: none */
    unsigned char signature[PLAN_SIGNATURE_SIZE]; /* of that */
};

static void give_lock(struct ready *ready)
{
    if (ready->lock >= 0)
        close(ready->lock);
    ready->lock = -1;
}

/* From here on the attempt counts as one that may have run, unless the launcher says
 * that nothing was started. */
static int launch(const struct attempt_context *context, const struct queue_job *job,
                  const struct admission_job *prepared, struct ready *ready,
                  int64_t attempt, struct launcher_started *ret_started,
                  struct error *err)
{
    const struct spec_resources *resources = &prepared->spec.resources;
    struct launcher_request request = {.directory = ready->directory,
                                       .login = job->submitted_by,
                                       .account = job->account,
                                       .job_id = job->id,
                                       .attempt = attempt,
                                       .n_ranks = resources->ranks,
                                       .cores_per_rank = resources->cores_per_rank,
                                       .gpus_per_rank = resources->gpus_per_rank,
                                       .memory_bytes = resources->memory_bytes,
                                       .time_limit_s = resources->time_limit_s,
                                       .ranks = context->ranks,
                                       .is_ahead = context->is_ahead,
                                       .slurm = &resources->slurm};
    const struct spool_state *before = &ready->state;
    bool is_drafted = ready->drafted == attempt;
    bool is_noted = is_drafted && attempt == 1 && is_here(context, job);
    bool is_first =
        before->started_attempt == 0 && (attempt == 1 || !before->is_doubtful);
    int rc = is_drafted ? 0
                        : draft_plan(context, job, prepared, ready->directory, attempt,
                                     PLAN_NOW, ready->signature, err);
    /* The row says "running": from here on a plan may lie there signed. */
    if (rc == 0)
        rc = plan_issue(ready->directory, ready->signature,
                        prepared->price.is_private && is_first,
                        is_noted ? PLAN_LATER : PLAN_NOW, err);
    if (rc == 0)
        rc = renew(context, err);
    if (rc != 0)
        return rc;
    struct spool_state state = *before;
    state.started_attempt = attempt;
    state.ahead_attempt = context->is_ahead ? attempt : 0;
    state.started_at_s = time(NULL);
    state.stop = SPOOL_STOP_NONE;
    state.stop_at_s = 0;
    state.missing_since_s = 0;
    state.held_since_s = 0;
    state.boot[0] = '\0';
    rc = is_noted ? spool_note(ready->directory, &state, err)
                  : spool_save(ready->directory, &state, err);
    if (rc != 0)
        return rc;
    request.is_noted = state.boot[0] != '\0';
    cause_mark(ready->directory, attempt);
    rc = job_keys_start(context->loop->conf, attempt_launcher(context, job), &request,
                        job->allocation[0] == '\0', ready->lock, ret_started, err);
    if ((rc == -PPT_ELAUNCH || rc == -PPT_EPOLICY) &&
        spool_save(ready->directory, before, NULL) != 0)
        log_warning("job %lld: cannot take back its start", (long long)job->id);
    return rc;
}

/* Nothing runs: give it up, with what earlier attempts have used. */
static int give_up(const struct attempt_context *context, const struct queue_job *job,
                   const struct error *why, struct error *err)
{
    struct settle_verdict verdict = {.state = QUEUE_FAILED, .error_code = why->code};
    struct spool_state state = {0};
    enum attempt_fate fate;
    if (job->attempt == 0)
        verdict.charge = SETTLE_NOTHING;
    else if (spool_load(job->directory, &state, NULL) != 0 || state.n_losses > 0 ||
             state.is_doubtful)
        verdict.charge = SETTLE_ALL;
    else
        verdict.charge = state.started_attempt == 0 ? SETTLE_NOTHING : SETTLE_METER;
    snprintf(verdict.reason, sizeof verdict.reason, "cannot be started: %.480s",
             why->text);
    return attempt_finish(context, job, &verdict, NULL, &fate, err);
}

/* Is it the fault of this job or directory, or of the database and our right to it? */
static bool is_ours(int rc)
{
    return rc == -PPT_EDB || rc == -PPT_ESTATE || rc == -PPT_ENOMEM || rc == -PPT_EPERM;
}

/* A directory with a state, and its lock; nothing runs and nothing is written down.
 * Errors: ready->lock is -1. */
static int make_ready(const struct attempt_context *context,
                      const struct queue_job *job, const struct price *price,
                      struct ready *ret_ready, struct error *err)
{
    *ret_ready = (struct ready){.lock = -1};
    int rc = check_price(context, job, price, err);
    if (rc == 0)
        rc = spool_job(context->loop->spool, job->id, ret_ready->directory,
                       &ret_ready->state, err);
    /* Another spool than before has no meter of what was released. */
    if (rc == 0 && job->directory[0] != '\0' &&
        strcmp(job->directory, ret_ready->directory) != 0)
        rc = error_set(err, PPT_ETRUST, "its earlier attempts lie in %s",
                       job->directory);
    if (rc == 0)
        rc = spool_lock(ret_ready->directory, &ret_ready->lock, err);
    if (rc != 0)
        give_lock(ret_ready);
    return rc;
}

/* Starts an attempt that is written down. Closes the lock. */
static int run(const struct attempt_context *context, const struct queue_job *job,
               const struct admission_job *prepared, struct ready *ready,
               int64_t attempt, struct launcher_started *ret_started, struct error *err)
{
    int rc = launch(context, job, prepared, ready, attempt, ret_started, err);
    give_lock(ready);
    if (rc == 0)
        log_info("job %lld: attempt %lld started, pid %lld", (long long)job->id,
                 (long long)attempt, (long long)ret_started->pid);
    return rc;
}

/* Writes the attempt down and starts it. Closes the lock. */
static int begin(const struct attempt_context *context, const struct queue_job *job,
                 const struct admission_job *prepared, struct ready *ready,
                 const char *reason, struct error *err)
{
    struct launcher_started started = {0};
    int64_t attempt;
    int rc = queue_start(context->db, context->lease, job->id, ready->directory, reason,
                         &attempt, err);
    if (rc != 0) {
        give_lock(ready);
        return rc;
    }
    rc = run(context, job, prepared, ready, attempt, &started, err);
    return rc != 0 ? rc
                   : queue_started(context->db, context->lease, job->id, attempt,
                                   context->loop->host, started.pid, started.start_time,
                                   err);
}

/* What became of a start: the database's trouble is the caller's, the job's own ends
 * it. */
static int end_start(const struct attempt_context *context, int64_t job_id, int rc,
                     const struct error *why, struct error *err)
{
    struct queue_job job = {0};
    struct error find_err = {0};
    if (rc == 0 || is_ours(rc)) {
        if (rc != 0 && err != NULL)
            *err = *why;
        return rc;
    }
    rc = queue_find(context->db, job_id, &job, &find_err); /* directory, attempt */
    if (rc == 0)
        rc = give_up(context, &job, why, err);
    else if (err != NULL)
        *err = find_err;
    queue_job_free(&job);
    return rc;
}

int attempt_start(const struct attempt_context *context, int64_t job_id,
                  const char *reason, struct error *err)
{
    struct queue_job job = {0};
    struct error why = {0};
    struct ready ready;
    struct admission_job *prepared = malloc(sizeof *prepared);
    if (prepared == NULL)
        return error_set(err, PPT_ENOMEM, "out of memory starting a job");
    int rc = queue_find(context->db, job_id, &job, &why);
    if (rc == 0)
        rc = prepare(context, &job, prepared, &why);
    if (rc == 0) {
        rc = make_ready(context, &job, &prepared->price, &ready, &why);
        if (rc == 0)
            rc = begin(context, &job, prepared, &ready, reason, &why);
        admission_job_free(prepared);
    }
    queue_job_free(&job);
    free(prepared);
    return end_start(context, job_id, rc, &why, err);
}

/* ---- staging ---- */

struct attempt_staged {
    struct queue_job job;
    struct admission_job prepared;
    struct ready ready;
    int64_t epoch, staged_at_s;
};

void attempt_staged_free(struct attempt_staged *staged)
{
    if (staged == NULL)
        return;
    give_lock(&staged->ready);
    admission_job_free(&staged->prepared);
    free(staged);
}

int attempt_stage(const struct attempt_context *context, const struct queue_job *job,
                  struct attempt_staged **ret_staged, struct error *err)
{
    struct attempt_staged *staged = calloc(1, sizeof *staged);
    if (staged == NULL)
        return error_set(err, PPT_ENOMEM, "out of memory starting a job");
    staged->ready.lock = -1;
    staged->job = *job;
    staged->job.spec = staged->job.after = NULL;
    int rc = attempt_launcher(context, job)->ops->is_over != NULL
                 ? 0
                 : error_set(err, PPT_ESTATE, "its launcher takes no staged jobs");
    if (rc == 0)
        rc = prepare(context, &staged->job, &staged->prepared, err);
    if (rc == 0)
        rc = make_ready(context, &staged->job, &staged->prepared.price, &staged->ready,
                        err);
    staged->ready.drafted = staged->job.attempt + 1;
    staged->epoch = context->lease->epoch;
    staged->staged_at_s = time(NULL);
    if (rc == 0)
        rc = draft_plan(context, &staged->job, &staged->prepared,
                        staged->ready.directory, staged->ready.drafted, PLAN_LATER,
                        staged->ready.signature, err);
    if (rc != 0)
        attempt_staged_free(staged);
    else
        *ret_staged = staged;
    return rc;
}

int64_t attempt_staged_id(const struct attempt_staged *staged)
{
    return staged->job.id;
}

bool attempt_staged_is_fresh(const struct attempt_context *context,
                             const struct attempt_staged *staged)
{
    int64_t age_s = time(NULL) - staged->staged_at_s;
    return staged->epoch == context->lease->epoch && age_s >= 0 && age_s < STAGED_S;
}

/* A world was there before, and the row says already on which host it is. */
static int start_written(const struct attempt_context *context,
                         struct attempt_staged *staged, int64_t attempt,
                         struct error *err)
{
    struct launcher_started started = {0};
    int rc = run(context, &staged->job, &staged->prepared, &staged->ready, attempt,
                 &started, err);
    if (rc == 0 && started.start_time != 0)
        rc = queue_started(context->db, context->lease, staged->job.id, attempt,
                           context->loop->host, started.pid, started.start_time, err);
    return rc;
}

int attempt_start_group(const struct attempt_context *context,
                        struct attempt_staged **staged, const bool *is_ahead, int n,
                        int64_t *ret_job_id, struct error *err)
{
    struct attempt_context each = *context;
    struct queue_start starts[ATTEMPT_MAX_GROUP] = {0};
    each.ranks = NULL;
    for (int i = 0; i < n; i++)
        starts[i] = (struct queue_start){.job_id = staged[i]->job.id,
                                         .directory = staged[i]->ready.directory};
    *ret_job_id = starts[0].job_id;
    int rc = queue_start_group(context->db, context->lease, context->loop->host, starts,
                               n, err);
    for (int i = 0; i < n; i++) {
        struct error why = {0}, end_err = {0};
        int one_rc = 0;
        each.is_ahead = is_ahead[i];
        if (starts[i].attempt > 0 && db_is_alive(context->db)) {
            one_rc = start_written(&each, staged[i], starts[i].attempt, &why);
            one_rc = end_start(&each, starts[i].job_id, one_rc, &why, &end_err);
        }
        if (one_rc != 0 && rc == 0) {
            rc = one_rc;
            *ret_job_id = starts[i].job_id;
            *err = end_err;
        }
        attempt_staged_free(staged[i]);
    }
    return rc;
}
