/* ppt-submit --here of a sweep: its jobs one after another in this allocation. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "scheduler/allocation.h"
#include "scheduler/queue.h"
#include "scheduler/submit_here.h"

#define RECONNECT_S 120
#define LOOK_MS 200

struct walk {
    struct submit *request;
    struct sweep *sweep;
    struct here *here;
    struct spec *spec; /* of the job that runs */
    char token[SUBMIT_TOKEN_SIZE];
    int64_t sweep_id;
    bool *is_over; /* by number: it has run here, or its end was told */
    int n_lost, n_refused;
    enum ppt_error refusal; /* of the last that was refused */
    bool is_cancelled;      /* those that have not begun */
};

/* ---- before anything is submitted ---- */

/* Once a plan is taken it is paid for: every job must be one that can run here. */
static int check_all(struct walk *walk, struct error *err)
{
    char words[SWEEP_WORDS_SIZE];
    int rc = 0;
    for (int i = 1; rc == 0 && i <= sweep_n_jobs(walk->sweep); i++) {
        rc = sweep_job(walk->sweep, i, walk->spec, err);
        if (rc == 0)
            rc = here_check(walk->here, walk->spec, err);
        sweep_words(walk->sweep, i, words);
        if (rc != 0)
            error_prefix(err, "job [%d] (%.300s)", i, words);
    }
    return rc;
}

struct filing {
    struct walk *walk;
    struct queue_sweep sweep;
};

/* submit_filing: the spec is the first job's, of which name and account are used. */
static int file_here(struct db *db, const struct spec *spec, const char *text,
                     void *state, int64_t *ret_id, struct error *err)
{
    struct filing *filing = state;
    const struct here *here = filing->walk->here;
    (void)text;
    filing->sweep.name = spec->name;
    filing->sweep.account = spec->account;
    filing->sweep.dataset = spec->dataset.name;
    return allocation_submit_sweep(db, &filing->sweep, here->base, here->place,
                                   geteuid(), ret_id, err);
}

static int file_all(struct walk *walk, struct error *err)
{
    struct filing filing = {
        .walk = walk,
        .sweep = {.token = walk->token, .is_together = sweep_is_together(walk->sweep)}};
    char *jobs = NULL;
    int rc = sweep_job(walk->sweep, 1, walk->spec, err);
    if (rc == 0)
        rc = submit_sweep_jobs(walk->sweep, &jobs, err);
    filing.sweep.jobs = jobs;
    if (rc == 0)
        rc = submit_file(walk->request, walk->spec, file_here, &filing, &walk->sweep_id,
                         err);
    free(jobs);
    return rc;
}

/* ---- one job after another ---- */

/* Once; those that have ended meanwhile need none. */
static void cancel_open(struct walk *walk)
{
    struct db *db = walk->request->client.db;
    struct queue_jobs jobs = {0};
    enum queue_state state;
    if (walk->is_cancelled || db == NULL ||
        queue_of_sweep(db, walk->sweep_id, &jobs, NULL) != 0)
        return;
    walk->is_cancelled = true;
    for (int i = 0; i < jobs.n; i++) {
        int rc = queue_state_is_final(jobs.jobs[i].state)
                     ? 0
                     : queue_cancel(db, jobs.jobs[i].id, "the sweep was stopped",
                                    &state, NULL);
        if (rc != 0 && rc != -PPT_ESTATE)
            walk->is_cancelled = false;
    }
    queue_jobs_free(&jobs);
}

/* A job that has ended without having run here. */
static void tell_lost(struct walk *walk, const struct queue_job *job)
{
    walk->n_lost++;
    if (job->state == QUEUE_REFUSED && job->error_code > 0) {
        walk->n_refused++;
        walk->refusal = (enum ppt_error)job->error_code;
    }
    log_warning("job %lld %s%s%s%s", (long long)job->id,
                job->state == QUEUE_FAILED ? "" : "was ", queue_state_name(job->state),
                job->reason[0] != '\0' ? ": " : "", job->reason);
}

/* *ret_number: of the job whose plan is there; 0: none is. *ret_is_open: some have not
 * ended. */
static int look(struct walk *walk, int *ret_number, bool *ret_is_open,
                struct error *err)
{
    struct queue_jobs jobs = {0};
    int rc = queue_of_sweep(walk->request->client.db, walk->sweep_id, &jobs, err);
    *ret_number = 0;
    *ret_is_open = rc != 0;
    for (int i = 0; i < jobs.n; i++) {
        const struct queue_job *job = &jobs.jobs[i];
        if (walk->is_over[i])
            continue;
        if (queue_state_is_final(job->state)) {
            walk->is_over[i] = true;
            tell_lost(walk, job);
            continue;
        }
        *ret_is_open = true;
        if (job->state == QUEUE_RUNNING && *ret_number == 0) {
            *ret_number = i + 1;
            walk->here->job_id = job->id;
        }
    }
    queue_jobs_free(&jobs);
    return rc;
}

/* Errors that end the sweep, none of a job's own. */
static int run_one(struct walk *walk, int number, struct error *err)
{
    struct here *here = walk->here;
    char words[SWEEP_WORDS_SIZE];
    struct error own = {0};
    int rc = sweep_job(walk->sweep, number, walk->spec, err);
    if (rc != 0)
        return rc;
    sweep_words(walk->sweep, number, words);
    log_info("s%lld: job %d of %d, %lld: %s", (long long)walk->sweep_id, number,
             sweep_n_jobs(walk->sweep), (long long)here->job_id, words);
    here->spec = walk->spec;
    snprintf(here->token, sizeof here->token, "%s:%d", walk->token, number);
    walk->is_over[number - 1] = true;
    rc = here_run(here, &own);
    if (rc != 0 && rc != -PPT_EJOB && err != NULL)
        *err = own;
    if (rc != -PPT_EJOB)
        return rc;
    log_warning("%s", own.text);
    walk->n_lost++;
    if (here->is_interrupted)
        cancel_open(walk);
    return 0;
}

static int walk_all(struct walk *walk, struct error *err)
{
    const struct timespec pause = {0, LOOK_MS * 1000000};
    struct client *client = &walk->request->client;
    struct submit_ranks *ranks = &walk->here->ranks;
    bool is_open = true;
    int rc = 0;
    while (rc == 0 && is_open) {
        int number = 0;
        if (here_is_signalled() || submit_step_is_alone(ranks) || ranks->is_used_up)
            cancel_open(walk);
        rc = look(walk, &number, &is_open, err);
        if (rc == 0 && number != 0 && !walk->is_cancelled)
            rc = run_one(walk, number, err);
        else if (rc == 0 && is_open)
            nanosleep(&pause, NULL);
        if (rc == -PPT_EDB && (client->db == NULL || !db_is_alive(client->db)))
            rc = client_reconnect(client, RECONNECT_S, err);
    }
    if (rc != 0)
        cancel_open(walk);
    return rc;
}

static int conclude(const struct walk *walk, struct error *err)
{
    const int n_jobs = sweep_n_jobs(walk->sweep);
    if (walk->n_lost == 0)
        return 0;
    if (walk->n_refused == n_jobs)
        return error_set(err, walk->refusal, "all %d jobs of s%lld were refused",
                         n_jobs, (long long)walk->sweep_id);
    return error_set(err, PPT_EJOB, "%d of the %d jobs of s%lld are not done",
                     walk->n_lost, n_jobs, (long long)walk->sweep_id);
}

/* The jobs are submitted: whatever happens here, they must not stay behind. */
static int run_all(struct walk *walk, struct error *err)
{
    int rc = submit_sweep_tell(walk->request, walk->sweep_id, sweep_n_jobs(walk->sweep),
                               err);
    if (rc == 0)
        rc = walk_all(walk, err);
    else
        cancel_open(walk);
    if (rc == 0)
        rc = conclude(walk, err);
    submit_step_end_all(&walk->here->ranks, err);
    return rc;
}

int submit_here_sweep(struct submit *request, struct sweep *sweep, struct error *err)
{
    struct walk walk = {.request = request,
                        .sweep = sweep,
                        .here = calloc(1, sizeof *walk.here),
                        .spec = malloc(sizeof *walk.spec),
                        .is_over = calloc((size_t)sweep_n_jobs(sweep), sizeof(bool))};
    int rc = walk.here == NULL || walk.spec == NULL || walk.is_over == NULL
                 ? error_set(err, PPT_ENOMEM, "out of memory")
                 : here_open(walk.here, request, err);
    submit_token(walk.token);
    if (rc == 0)
        rc = check_all(&walk, err);
    if (rc == 0)
        rc = here_connect(walk.here, walk.spec, err);
    if (rc == 0) {
        here_catch_signals();
        rc = file_all(&walk, err);
    }
    if (rc == 0)
        rc = run_all(&walk, err);
    free(walk.is_over);
    free(walk.spec);
    free(walk.here);
    return rc;
}
