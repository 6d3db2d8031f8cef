#include "scheduler/queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const state_names[QUEUE_N_STATES] = {
    [QUEUE_SUBMITTED] = "submitted", [QUEUE_WAITING] = "waiting",
    [QUEUE_ADMITTED] = "admitted",   [QUEUE_RUNNING] = "running",
    [QUEUE_DONE] = "done",           [QUEUE_REFUSED] = "refused",
    [QUEUE_FAILED] = "failed",       [QUEUE_CANCELLED] = "cancelled",
};

const char *queue_state_name(enum queue_state state)
{
    return state_names[state];
}

int queue_state_from_name(const char *name)
{
    for (int i = 0; i < QUEUE_N_STATES; i++)
        if (strcmp(name, state_names[i]) == 0)
            return i;
    return -1;
}

bool queue_state_is_final(enum queue_state state)
{
    return state >= QUEUE_DONE && state < QUEUE_N_STATES;
}

/* ---- reading rows ---- */

#define AT(column) "coalesce(extract(epoch FROM " column ")::bigint, 0)"

/* Specs stand in their canonical form, in which a quote inside a text has a backslash.
 * Most have no such line, and finding that out by a pattern takes longest. */
#define GPUS                                                                           \
    "CASE WHEN strpos(spec, '\"gpus_per_rank\": ') > 0 THEN coalesce(substring(spec"   \
    " FROM '\"gpus_per_rank\": ([0-9]{1,9})')::bigint, 0) ELSE 0 END"

/* In the order in which read_job takes them; `spec` is a column or NULL. */
#define JOB_COLUMNS(spec)                                                              \
    "id, name, spec_sha256, " spec ", account, dataset, submitted_by, state, reason,"  \
    " cancel_requested, " AT("submitted_at") ", " AT("admitted_at") ", " AT(           \
        "started_at") ", " AT("ended_at") ", kind, is_private, epsilon, delta,"        \
                                          " noise_multiplier, sample_rate, n_steps,"   \
                                          " priority, n_ranks, n_cores, memory_bytes," \
                                          " time_limit_s, attempt, epoch, directory,"  \
                                          " host, pid, pid_start_time, error_code,"    \
                                          " epsilon_spent, n_steps_done,"              \
                                          " test_accuracy, wall_s, model,"             \
                                          " slurm_job_id, slurm_state, slurm_reason,"  \
                                          " allocation, allocation_uid, after,"        \
                                          " sweep, sweep_number, sweep_n_jobs,"        \
                                          " sweep_together, sweep_point, " GPUS        \
                                          ", sweep_max_running"

static void read_admission(const struct db_result *r, int i, struct queue_job *job)
{
    db_copy(r, i, 14, job->kind, sizeof job->kind);
    job->is_private = db_bool(r, i, 15);
    job->epsilon = db_double(r, i, 16);
    job->delta = db_double(r, i, 17);
    job->noise_multiplier = db_double(r, i, 18);
    job->sample_rate = db_double(r, i, 19);
    job->n_steps = db_int64(r, i, 20);
    job->priority = db_int64(r, i, 21);
    job->n_ranks = db_int64(r, i, 22);
    job->n_cores = db_int64(r, i, 23);
    job->memory_bytes = db_int64(r, i, 24);
    job->time_limit_s = db_int64(r, i, 25);
    job->gpus_per_rank = db_int64(r, i, 49);
}

static void read_attempt(const struct db_result *r, int i, struct queue_job *job)
{
    job->attempt = db_int64(r, i, 26);
    job->epoch = db_int64(r, i, 27);
    db_copy(r, i, 28, job->directory, sizeof job->directory);
    db_copy(r, i, 29, job->host, sizeof job->host);
    job->pid = db_int64(r, i, 30);
    job->pid_start_time = db_int64(r, i, 31);
    job->error_code = (int)db_int64(r, i, 32);
    job->epsilon_spent = db_double(r, i, 33);
    job->n_steps_done = db_int64(r, i, 34);
    job->has_test_accuracy = !db_is_null(r, i, 35);
    job->test_accuracy = db_double(r, i, 35);
    job->wall_s = db_double(r, i, 36);
    db_copy(r, i, 37, job->model, sizeof job->model);
    job->slurm.id = db_int64(r, i, 38);
    db_copy(r, i, 39, job->slurm.state, sizeof job->slurm.state);
    db_copy(r, i, 40, job->slurm.reason, sizeof job->slurm.reason);
    db_copy(r, i, 41, job->allocation, sizeof job->allocation);
    job->allocation_uid = db_int64(r, i, 42);
}

static int read_job(const struct db_result *r, int i, struct queue_job *ret_job,
                    struct error *err)
{
    struct queue_job job = {.id = db_int64(r, i, 0)};
    int state = queue_state_from_name(db_text(r, i, 7));
    if (state < 0)
        return error_set(err, PPT_EDB, "job %lld is in an unknown state \"%s\"",
                         (long long)job.id, db_text(r, i, 7));
    job.state = (enum queue_state)state;
    db_copy(r, i, 1, job.name, sizeof job.name);
    db_copy(r, i, 2, job.spec_sha256, sizeof job.spec_sha256);
    db_copy(r, i, 4, job.account, sizeof job.account);
    db_copy(r, i, 5, job.dataset, sizeof job.dataset);
    db_copy(r, i, 6, job.submitted_by, sizeof job.submitted_by);
    db_copy(r, i, 8, job.reason, sizeof job.reason);
    job.is_cancel_requested = db_bool(r, i, 9);
    job.sweep.id = db_int64(r, i, 44);
    job.sweep.number = db_int64(r, i, 45);
    job.sweep.n_jobs = db_int64(r, i, 46);
    job.sweep.is_together = db_bool(r, i, 47);
    db_copy(r, i, 48, job.sweep.point, sizeof job.sweep.point);
    job.sweep.max_running = db_int64(r, i, 50);
    job.submitted_at_s = db_int64(r, i, 10);
    job.admitted_at_s = db_int64(r, i, 11);
    job.started_at_s = db_int64(r, i, 12);
    job.ended_at_s = db_int64(r, i, 13);
    read_admission(r, i, &job);
    read_attempt(r, i, &job);
    job.spec = db_strdup(r, i, 3);
    job.after = db_strdup(r, i, 43);
    if ((!job.spec && !db_is_null(r, i, 3)) || (!job.after && !db_is_null(r, i, 43))) {
        queue_job_free(&job);
        return error_set(err, PPT_ENOMEM, "no memory for a job");
    }
    *ret_job = job;
    return 0;
}

void queue_job_free(struct queue_job *job)
{
    free(job->spec);
    free(job->after);
    job->spec = job->after = NULL;
}

void queue_jobs_free(struct queue_jobs *jobs)
{
    for (int i = 0; i < jobs->n; i++)
        queue_job_free(&jobs->jobs[i]);
    free(jobs->jobs);
    *jobs = (struct queue_jobs){0};
}

static int fetch_jobs(struct db *db, const char *sql, const struct db_params *params,
                      struct queue_jobs *ret_jobs, struct error *err)
{
    struct db_result *result = NULL;
    struct queue_jobs jobs = {0};
    int rc = db_run(db, sql, params, &result, err);
    if (rc < 0)
        return rc;
    int n = db_rows(result);
    jobs.jobs = calloc(n > 0 ? (size_t)n : 1, sizeof *jobs.jobs);
    if (!jobs.jobs)
        rc = error_set(err, PPT_ENOMEM, "no memory for %d jobs", n);
    while (rc == 0 && jobs.n < n) {
        rc = read_job(result, jobs.n, &jobs.jobs[jobs.n], err);
        jobs.n += rc == 0;
    }
    db_result_free(result);
    if (rc < 0)
        queue_jobs_free(&jobs);
    else
        *ret_jobs = jobs;
    return rc;
}

/* No limit is SQL's LIMIT NULL. */
static void param_limit(struct db_params *params, int limit)
{
    if (limit > 0)
        db_param_int64(params, limit);
    else
        db_param_text(params, NULL);
}

/* ---- the user's side ---- */

int queue_submit(struct db *db, const char *name, const char *account,
                 const char *dataset, const char *spec_text, const char *token,
                 int64_t *ret_job_id, struct error *err)
{
    struct db_params params = {0};
    struct db_result *result = NULL;
    db_param_text(&params, name);
    db_param_text(&params, account);
    db_param_text(&params, dataset);
    db_param_text(&params, spec_text);
    db_param_text(&params, token);
    int rc = db_run(db, "SELECT ppt.queue_submit($1, $2, $3, $4, $5)", &params, &result,
                    err);
    if (rc == 0)
        *ret_job_id = db_int64(result, 0, 0);
    db_result_free(result);
    return rc;
}

int queue_submit_after(struct db *db, const char *name, const char *account,
                       const char *dataset, const char *spec_text, const char *token,
                       const char *after, int64_t *ret_job_id, struct error *err)
{
    struct db_params params = {0};
    struct db_result *result = NULL;
    char *ids = NULL;
    if (asprintf(&ids, "{%s}", after) < 0)
        return error_set(err, PPT_ENOMEM, "no memory for a list of jobs");
    db_param_text(&params, name);
    db_param_text(&params, account);
    db_param_text(&params, dataset);
    db_param_text(&params, spec_text);
    db_param_text(&params, token);
    db_param_text(&params, ids);
    int rc = db_run(db, "SELECT ppt.queue_submit_after($1, $2, $3, $4, $5, $6)",
                    &params, &result, err);
    if (rc == 0)
        *ret_job_id = db_int64(result, 0, 0);
    db_result_free(result);
    free(ids);
    return rc;
}

int queue_submit_sweep(struct db *db, const struct queue_sweep *sweep,
                       int64_t *ret_sweep_id, struct error *err)
{
    struct db_params params = {0};
    struct db_result *result = NULL;
    char *ids = NULL;
    if (sweep->after != NULL && asprintf(&ids, "{%s}", sweep->after) < 0)
        return error_set(err, PPT_ENOMEM, "no memory for a list of jobs");
    db_param_text(&params, sweep->name);
    db_param_text(&params, sweep->account);
    db_param_text(&params, sweep->dataset);
    db_param_text(&params, sweep->jobs);
    db_param_text(&params, sweep->token);
    db_param_text(&params, ids);
    db_param_bool(&params, sweep->is_together);
    if (sweep->max_running > 0)
        db_param_int64(&params, sweep->max_running);
    else
        db_param_text(&params, NULL);
    int rc = db_run(db, "SELECT ppt.queue_submit_sweep($1, $2, $3, $4, $5, $6, $7, $8)",
                    &params, &result, err);
    if (rc == 0)
        *ret_sweep_id = db_int64(result, 0, 0);
    db_result_free(result);
    free(ids);
    return rc;
}

static void read_filed(const struct db_result *r, int i, struct queue_filed *ret_filed)
{
    struct queue_filed filed = {.job_id = db_int64(r, i, 0)};
    if (db_is_null(r, i, 0)) {
        error_set(&filed.why, (enum ppt_error)db_int64(r, i, 1), "%s",
                  db_text(r, i, 2));
        if (db_text(r, i, 3)[0] != '\0')
            error_hint(&filed.why, "%s", db_text(r, i, 3));
    }
    *ret_filed = filed;
}

int queue_submit_many(struct db *db, const char *jobs, const char *token,
                      const char *after, struct queue_filed *ret_filed, int n,
                      struct error *err)
{
    struct db_params params = {0};
    struct db_result *result = NULL;
    char *ids = NULL;
    if (after != NULL && asprintf(&ids, "{%s}", after) < 0)
        return error_set(err, PPT_ENOMEM, "no memory for a list of jobs");
    db_param_text(&params, jobs);
    db_param_text(&params, token);
    db_param_text(&params, ids);
    int rc = db_run(db,
                    "SELECT id, code, message, hint"
                    " FROM ppt.queue_submit_many($1, $2, $3) ORDER BY number",
                    &params, &result, err);
    if (rc == 0 && db_rows(result) != n)
        rc = error_set(err, PPT_EDB, "%d jobs were sent and %d answered", n,
                       db_rows(result));
    for (int i = 0; rc == 0 && i < n; i++)
        read_filed(result, i, &ret_filed[i]);
    db_result_free(result);
    free(ids);
    return rc;
}

int queue_cancel(struct db *db, int64_t job_id, const char *reason,
                 enum queue_state *ret_state, struct error *err)
{
    struct db_params params = {0};
    struct db_result *result = NULL;
    db_param_int64(&params, job_id);
    db_param_text(&params, reason);
    int rc = db_run(db, "SELECT ppt.queue_cancel($1, $2)", &params, &result, err);
    if (rc == 0)
        *ret_state = strcmp(db_text(result, 0, 0), "running") == 0 ? QUEUE_RUNNING
                                                                   : QUEUE_CANCELLED;
    db_result_free(result);
    return rc;
}

int queue_find(struct db *db, int64_t job_id, struct queue_job *ret_job,
               struct error *err)
{
    struct db_params params = {0};
    struct queue_jobs jobs = {0};
    db_param_int64(&params, job_id);
    int rc =
        fetch_jobs(db, "SELECT " JOB_COLUMNS("spec") " FROM ppt.queue WHERE id = $1",
                   &params, &jobs, err);
    if (rc < 0)
        return rc;
    if (jobs.n == 0)
        rc = error_set(err, PPT_ENOTFOUND, "there is no job %lld that this login sees",
                       (long long)job_id);
    else
        *ret_job = jobs.jobs[0];
    free(jobs.jobs);
    return rc;
}

int queue_list(struct db *db, const struct queue_filter *filter,
               struct queue_jobs *ret_jobs, struct error *err)
{
    static const struct queue_filter everything = {0};
    struct db_params params = {0};
    char states[128] = "{";
    if (!filter)
        filter = &everything;
    for (int i = 0; i < QUEUE_N_STATES; i++)
        if (filter->states == 0 || (filter->states & 1u << i))
            snprintf(states + strlen(states), sizeof states - strlen(states), "%s%s",
                     states[1] ? "," : "", state_names[i]);
    strcat(states, "}"); /* all eight names are 72 characters */

    db_param_text(&params, filter->account);
    db_param_text(&params, filter->submitted_by);
    db_param_text(&params, states);
    param_limit(&params, filter->limit);
    db_param_int64(&params, filter->sweep);
    return fetch_jobs(db,
                      "SELECT " JOB_COLUMNS(
                          "NULL") " FROM (SELECT * FROM ppt.queue WHERE"
                                  " ($1::text IS NULL OR account = $1"
                                  "  OR starts_with(account, $1 || '/'))"
                                  " AND ($2::text IS NULL OR submitted_by = $2)"
                                  " AND state = ANY ($3::text[])"
                                  " AND ($5::bigint = 0 OR sweep = $5::bigint)"
                                  " ORDER BY id DESC LIMIT $4::bigint) q ORDER BY id",
                      &params, ret_jobs, err);
}

int queue_history(struct db *db, int64_t job_id, int64_t after,
                  struct queue_events *ret_events, struct error *err)
{
    struct db_params params = {0};
    struct db_result *r = NULL;
    db_param_int64(&params, job_id);
    db_param_int64(&params, after);
    int rc = db_run(db,
                    "SELECT id, job_id, extract(epoch FROM at)::bigint, from_state,"
                    " to_state, login, attempt, reason FROM ppt.job_event"
                    " WHERE job_id = $1 AND id > $2 ORDER BY id",
                    &params, &r, err);
    if (rc < 0)
        return rc;
    int n = db_rows(r);
    struct queue_event *events = calloc(n > 0 ? (size_t)n : 1, sizeof *events);
    for (int i = 0; events && i < n; i++) {
        events[i].id = db_int64(r, i, 0);
        events[i].job_id = db_int64(r, i, 1);
        events[i].at_s = db_int64(r, i, 2);
        db_copy(r, i, 3, events[i].from, sizeof events[i].from);
        db_copy(r, i, 4, events[i].to, sizeof events[i].to);
        db_copy(r, i, 5, events[i].login, sizeof events[i].login);
        events[i].attempt = db_int64(r, i, 6);
        db_copy(r, i, 7, events[i].reason, sizeof events[i].reason);
    }
    db_result_free(r);
    if (!events)
        return error_set(err, PPT_ENOMEM, "no memory for %d events", n);
    *ret_events = (struct queue_events){events, n};
    return 0;
}

void queue_events_free(struct queue_events *events)
{
    free(events->events);
    *events = (struct queue_events){0};
}

/* ---- the scheduler's side ---- */

int queue_for_admission(struct db *db, bool with_waiting, int limit,
                        struct queue_jobs *ret_jobs, struct error *err)
{
    struct db_params params = {0};
    db_param_bool(&params, with_waiting);
    param_limit(&params, limit);
    return fetch_jobs(
        db,
        "SELECT " JOB_COLUMNS("spec") " FROM ppt.queue WHERE state = 'submitted'"
                                      " OR ($1::boolean AND state = 'waiting')"
                                      " ORDER BY id LIMIT $2::bigint",
        &params, ret_jobs, err);
}

int queue_waits_for(struct db *db, int64_t job_id, struct queue_wait *ret_wait,
                    struct error *err)
{
    struct db_params params = {0};
    struct db_result *r = NULL;
    struct queue_wait wait = {0};
    db_param_int64(&params, job_id);
    int rc = db_run(db,
                    "SELECT string_agg(j.id::text, ', ' ORDER BY j.id)"
                    " FILTER (WHERE NOT s.is_final),"
                    " min(j.id) FILTER (WHERE s.is_final AND j.state <> 'done'),"
                    " (array_agg(j.state ORDER BY j.id)"
                    "  FILTER (WHERE s.is_final AND j.state <> 'done'))[1]"
                    " FROM ppt.job_after a JOIN ppt.job j ON j.id = a.after_id"
                    " JOIN ppt.job_state s ON s.name = j.state WHERE a.job_id = $1",
                    &params, &r, err);
    if (rc == 0) {
        db_copy(r, 0, 0, wait.open, sizeof wait.open);
        wait.lost = db_int64(r, 0, 1);
        db_copy(r, 0, 2, wait.state, sizeof wait.state);
        *ret_wait = wait;
    }
    db_result_free(r);
    return rc;
}

/* Long lists are asked for often, and specs are most of their bytes: only one with
 * wishes to Slurm is worth its way. (In the canonical form, in which a quote inside a
 * text has a backslash.) */
#define SPEC_WITH_WISHES "CASE WHEN strpos(spec, '\"slurm\":') > 0 THEN spec END"

/* The order is found by what it takes only; the wide rows are fetched for the first. */
int queue_for_start(struct db *db, int limit, struct queue_jobs *ret_jobs,
                    struct error *err)
{
    struct db_params params = {0};
    param_limit(&params, limit);
    return fetch_jobs(
        db,
        "WITH first AS MATERIALIZED (SELECT id, place FROM ppt.start_order"
        " ORDER BY place LIMIT $1::bigint)"
        " SELECT " JOB_COLUMNS(SPEC_WITH_WISHES) " FROM ppt.queue JOIN first USING (id)"
                                                 " ORDER BY place",
        &params, ret_jobs, err);
}

int queue_of_sweep(struct db *db, int64_t sweep_id, struct queue_jobs *ret_jobs,
                   struct error *err)
{
    struct db_params params = {0};
    db_param_int64(&params, sweep_id);
    return fetch_jobs(db,
                      "SELECT " JOB_COLUMNS("spec") " FROM ppt.queue WHERE sweep = $1"
                                                    " ORDER BY sweep_number",
                      &params, ret_jobs, err);
}

int queue_running(struct db *db, struct queue_jobs *ret_jobs, struct error *err)
{
    return fetch_jobs(
        db,
        "SELECT " JOB_COLUMNS("NULL") " FROM ppt.queue WHERE state = 'running'"
                                      " ORDER BY id",
        NULL, ret_jobs, err);
}

int queue_hold(struct db *db, const struct ledger_lease *lease, int64_t job_id,
               const char *reason, struct error *err)
{
    struct db_params params = {0};
    db_param_int64(&params, lease->epoch);
    db_param_int64(&params, job_id);
    db_param_text(&params, reason);
    return db_run(db, "SELECT ppt.queue_hold($1, $2, $3)", &params, NULL, err);
}

int queue_refuse(struct db *db, const struct ledger_lease *lease, int64_t job_id,
                 const char *reason, int error_code, struct error *err)
{
    struct db_params params = {0};
    db_param_int64(&params, lease->epoch);
    db_param_int64(&params, job_id);
    db_param_text(&params, reason);
    db_param_int64(&params, error_code);
    return db_run(db, "SELECT ppt.queue_refuse($1, $2, $3, $4)", &params, NULL, err);
}

int queue_start(struct db *db, const struct ledger_lease *lease, int64_t job_id,
                const char *directory, const char *reason, int64_t *ret_attempt,
                struct error *err)
{
    struct db_params params = {0};
    struct db_result *result = NULL;
    db_param_int64(&params, lease->epoch);
    db_param_int64(&params, job_id);
    db_param_text(&params, directory);
    db_param_text(&params, reason);
    int rc =
        db_run(db, "SELECT ppt.queue_start($1, $2, $3, $4)", &params, &result, err);
    if (rc == 0)
        *ret_attempt = db_int64(result, 0, 0);
    db_result_free(result);
    return rc;
}

int queue_started(struct db *db, const struct ledger_lease *lease, int64_t job_id,
                  int64_t attempt, const char *host, int64_t pid,
                  int64_t pid_start_time, struct error *err)
{
    struct db_params params = {0};
    db_param_int64(&params, lease->epoch);
    db_param_int64(&params, job_id);
    db_param_int64(&params, attempt);
    db_param_text(&params, host);
    db_param_int64(&params, pid);
    db_param_int64(&params, pid_start_time);
    return db_run(db, "SELECT ppt.queue_started($1, $2, $3, $4, $5, $6)", &params, NULL,
                  err);
}

int queue_slurm(struct db *db, const struct ledger_lease *lease, int64_t job_id,
                int64_t attempt, const struct slurm_job *slurm, struct error *err)
{
    struct db_params params = {0};
    db_param_int64(&params, lease->epoch);
    db_param_int64(&params, job_id);
    db_param_int64(&params, attempt);
    db_param_int64(&params, slurm->id);
    db_param_text(&params, slurm->state);
    db_param_text(&params, slurm->reason);
    return db_run(db, "SELECT ppt.queue_slurm($1, $2, $3, $4, $5, $6)", &params, NULL,
                  err);
}

int queue_finish(struct db *db, const struct ledger_lease *lease, int64_t job_id,
                 const struct queue_outcome *outcome, struct error *err)
{
    struct db_params params = {0};
    char *rho = ledger_amount_text(&outcome->spent);
    if (!rho)
        return error_set(err, PPT_ENOMEM, "no memory for a cost");
    db_param_int64(&params, lease->epoch);
    db_param_int64(&params, job_id);
    db_param_text(&params, queue_state_name(outcome->state));
    db_param_int64(&params, outcome->error_code);
    db_param_text(&params, outcome->reason);
    db_param_text(&params, unit_name(outcome->spent.unit));
    db_param_text(&params, relation_name(outcome->spent.relation));
    db_param_text(&params, rho);
    db_param_int64(&params, outcome->spent.delta);
    db_param_double(&params, outcome->epsilon_spent);
    db_param_int64(&params, outcome->n_steps_done);
    if (outcome->has_test_accuracy)
        db_param_double(&params, outcome->test_accuracy);
    else
        db_param_text(&params, NULL);
    db_param_double(&params, outcome->wall_s);
    db_param_text(&params, outcome->model);
    int rc = db_run(db,
                    "SELECT ppt.queue_finish($1, $2, $3, $4, $5, $6, $7, $8, $9, $10,"
                    " $11, $12, $13, $14)",
                    &params, NULL, err);
    free(rho);
    return rc;
}
