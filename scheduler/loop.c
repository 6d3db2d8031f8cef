#include "scheduler/loop.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "base/log.h"
#include "jobs/privacy/cost.h"
#include "scheduler/admission.h"
#include "scheduler/attempt.h"
#include "scheduler/db.h"
#include "scheduler/hook_tell.h"
#include "scheduler/job_keys.h"
#include "scheduler/known.h"
#include "scheduler/launch_allocation.h"
#include "scheduler/migrate.h"
#include "scheduler/policy.h"
#include "scheduler/queue.h"

#define MIN_BACKOFF_MS 250
#define MAX_BACKOFF_MS 5000
/* A limit may have been raised or an admitted job taken back meanwhile. */
#define RETRY_WAITING_MS 15000
#define WARN_EVERY_MS 10000
#define BATCH 256
/* Where no core is free, only what can go ahead of others, or into its user's
 * allocation, can be begun: then which jobs come next is asked again after so long, or
 * when fewer than a round may start are left of the answer. */
#define LISTED_MS 200
#define LISTED_LEAST 64
#define MAX_STAGED 8

struct state {
    struct loop *loop;
    struct db *db;       /* NULL while the database is away */
    struct known *known; /* of that connection */
    struct ledger_lease lease;
    struct launch_allocation allocation;
    struct launcher in_allocations;
    int64_t renewed_at_ms, waiting_tried_at_ms, warned_at_ms;
    int64_t watched_at_s; /* in whole seconds: when the living were last looked after */
    struct attempt_staged *staged[MAX_STAGED];
    int n_staged;
    struct queue_jobs listed; /* come next, in the queue's order, as of then */
    int64_t listed_at_ms;
    struct queue_job next[MAX_STAGED]; /* would have been started next; no texts */
    int n_next;
    struct attempt_staged *group[ATTEMPT_MAX_GROUP]; /* that are started together */
    bool is_ahead[ATTEMPT_MAX_GROUP];                /* each of these */
    int n_group;
    struct bills bills;   /* of jobs that have ended in this round */
    bool has_admitted;    /* in this round */
    bool has_started;     /* the same */
    bool is_early;        /* the next round is due at once */
    bool waiting_may_fit; /* something was released or said since they were tried */
    bool was_connected, is_silent;
    int backoff_ms;
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- the connection and the lease ---- */

/* Takes number i out. */
static struct attempt_staged *take_staged(struct state *state, int i)
{
    struct attempt_staged *staged = state->staged[i];
    state->staged[i] = state->staged[--state->n_staged];
    return staged;
}

static void disconnect(struct state *state)
{
    while (state->n_staged > 0)
        attempt_staged_free(take_staged(state, 0));
    queue_jobs_free(&state->listed);
    db_close(state->db);
    state->db = NULL;
    known_free(state->known);
    state->known = NULL;
}

/* Those of jobs that were settled by a scheduler that died of it. */
static void tidy_keys(const struct state *state)
{
    const struct conf *conf = state->loop->conf;
    struct error err = {0};
    if (conf->hands_keys_over &&
        job_keys_tidy(conf->checkpoint_keys, state->db, &err) != 0)
        log_warning("keys of jobs that have ended may stay: %s", err.text);
}

static int connect_and_lease(struct state *state, struct error *err)
{
    const struct loop *loop = state->loop;
    char holder[LEDGER_NAME_SIZE];
    snprintf(holder, sizeof holder, "%.40s:%.80s", loop->host, loop->spool->root);
    int rc = db_open(loop->database, "ppt-schedd", &state->db, err);
    if (rc != 0)
        return rc;
    rc = migrate_check(state->db, cost_orders, COST_N_ORDERS, err);
    if (rc == 0)
        rc = ledger_lease_acquire(state->db, holder, loop->conf->lease_s, &state->lease,
                                  err);
    if (rc == 0)
        rc = db_listen(state->db, QUEUE_CHANNEL, err);
    if (rc == 0) /* the same few statements all day long, and views are slow to plan */
        rc = db_script(state->db, "SET plan_cache_mode = force_generic_plan", err);
    if (rc != 0) {
        disconnect(state);
        return rc;
    }
    tidy_keys(state);
    state->known = known_create();
    state->renewed_at_ms = now_ms();
    state->waiting_may_fit = true;
    log_info("%s the database, epoch %lld",
             state->was_connected ? "back at" : "connected to",
             (long long)state->lease.epoch);
    state->was_connected = true;
    state->is_silent = false;
    state->backoff_ms = MIN_BACKOFF_MS;
    return 0;
}

static int renew(struct state *state, struct error *err)
{
    int64_t now = now_ms();
    if (now - state->renewed_at_ms < state->loop->conf->lease_s * 1000 / 3)
        return 0;
    int rc =
        ledger_lease_renew(state->db, &state->lease, state->loop->conf->lease_s, err);
    if (rc == 0)
        state->renewed_at_ms = now;
    return rc;
}

/* ---- the three parts of a round ---- */

/* A job's own trouble must not stop the others'. Errors that end the round: a lost
 * connection, a lost lease. */
static int after(struct state *state, int rc, int64_t job_id, struct error *err)
{
    if (rc == 0)
        return 0;
    if (!db_is_alive(state->db))
        return rc;
    if (rc == -PPT_ESTATE) { /* the job's state, or our lease? */
        struct error why = {0};
        int lease_rc = ledger_lease_renew(state->db, &state->lease,
                                          state->loop->conf->lease_s, &why);
        if (lease_rc != 0) {
            *err = why;
            return lease_rc;
        }
    }
    if (now_ms() - state->warned_at_ms >= WARN_EVERY_MS) {
        log_warning("job %lld: %s; trying again", (long long)job_id, err->text);
        state->warned_at_ms = now_ms();
    }
    memset(err, 0, sizeof *err);
    return 0;
}

static struct attempt_context context_of(struct state *state)
{
    state->allocation =
        (struct launch_allocation){.db = state->db, .lease = &state->lease};
    state->in_allocations = launch_allocation(&state->allocation);
    return (struct attempt_context){.loop = state->loop,
                                    .allocation = &state->in_allocations,
                                    .db = state->db,
                                    .known = state->known,
                                    .lease = &state->lease,
                                    .bills = &state->bills,
                                    .is_due = time(NULL) != state->watched_at_s,
                                    .renewed_at_ms = &state->renewed_at_ms};
}

/* What runs, with the room it takes; the first n_over of its jobs are over. */
struct running {
    struct queue_jobs jobs;
    int n_over;
    const struct queue_job **again; /* those of them that are to be started once more */
    int n_again;
    struct places room; /* what is free */
    struct policy_holder *holders;
    int n_holders;
};

/* In its user's allocation a job takes no room of ours. */
static int64_t ranks_of(const struct queue_job *job)
{
    return job->allocation[0] != '\0' ? 0 : job->n_ranks;
}

static struct places_room rank_of(const struct queue_job *job)
{
    int64_t n = job->n_ranks > 0 ? job->n_ranks : 1;
    return (struct places_room){.n_cores = job->n_cores / n,
                                .memory_bytes = job->memory_bytes / n,
                                .n_gpus = job->gpus_per_rank};
}

/* From its start on. */
static int64_t lasts_s(const struct state *state, const struct queue_job *job)
{
    return job->time_limit_s + state->loop->conf->grace_s;
}

static void hold(const struct state *state, const struct queue_job *job,
                 struct running *running)
{
    struct launcher *launcher = state->loop->launcher;
    struct policy_holder holder = {.rank = rank_of(job)};
    if (ranks_of(job) == 0)
        return;
    if (launcher->ops->where == NULL ||
        !launcher->ops->where(launcher, job->directory, holder.ranks))
        holder.ranks[0] = ranks_of(job);
    holder.ends_s = job->started_at_s + lasts_s(state, job) - time(NULL);
    places_take(&running->room, &holder.rank, holder.ranks);
    running->holders[running->n_holders++] = holder;
}

static int pay(struct state *state, struct error *err)
{
    const struct bills_payer payer = {state->db, &state->lease, state->loop->hooks,
                                      state->loop->conf};
    int64_t job_id = 0;
    if (state->bills.n > 0)
        state->waiting_may_fit = true;
    int rc = bills_pay(&state->bills, &payer, &job_id, err);
    rc = after(state, rc, job_id, err);
    return rc == 0 ? renew(state, err) : rc;
}

static int watch_one(struct state *state, const struct attempt_context *context,
                     const struct queue_job *job, enum attempt_fate *ret_fate,
                     struct error *err)
{
    *ret_fate = ATTEMPT_RUNS;
    int rc = attempt_watch(context, job, ret_fate, err);
    if (*ret_fate == ATTEMPT_ENDED)
        state->waiting_may_fit = true;
    rc = after(state, rc, job->id, err);
    if (rc == 0) /* Slurm's commands may have taken their time */
        rc = renew(state, err);
    return rc == 0 && state->bills.n == BILLS_MAX ? pay(state, err) : rc;
}

/* Those that are over for sure come first, and take no room. They are settled while the
 * next jobs run. (One of them that somebody interrupted and that runs again then shares
 * its cores for once.) */
static void find_over(const struct attempt_context *context, struct running *running)
{
    struct queue_job *jobs = running->jobs.jobs;
    for (int i = 0; i < running->jobs.n; i++) {
        struct queue_job over = jobs[i];
        if (!attempt_is_over(context, &over))
            continue;
        jobs[i] = jobs[running->n_over];
        jobs[running->n_over++] = over;
    }
}

/* Watches all but those that are over. */
static int watch_running(struct state *state, struct running *running,
                         struct error *err)
{
    struct attempt_context context = context_of(state);
    struct queue_jobs *jobs = &running->jobs;
    int rc = queue_running(state->db, jobs, err);
    if (rc != 0)
        return rc;
    running->room = state->loop->places;
    running->holders = calloc((size_t)jobs->n + 1, sizeof *running->holders);
    running->again = calloc((size_t)jobs->n + 1, sizeof *running->again);
    if (running->holders == NULL || running->again == NULL)
        return error_set(err, PPT_ENOMEM, "out of memory watching jobs");
    find_over(&context, running);
    for (int i = running->n_over; rc == 0 && i < jobs->n; i++) {
        const struct queue_job *job = &jobs->jobs[i];
        enum attempt_fate fate;
        rc = watch_one(state, &context, job, &fate, err);
        if (fate == ATTEMPT_RETURNED)
            running->again[running->n_again++] = job;
        else if (fate == ATTEMPT_RUNS && !attempt_is_ahead(&context, job))
            hold(state, job, running);
    }
    if (context.is_due)
        state->watched_at_s = time(NULL);
    return rc;
}

/* Those that were found over, and with them all that this round owes. */
static int settle_over(struct state *state, const struct running *running,
                       struct error *err)
{
    struct attempt_context context = context_of(state);
    enum attempt_fate fate;
    int rc = 0;
    for (int i = 0; rc == 0 && i < running->n_over; i++)
        rc = watch_one(state, &context, &running->jobs.jobs[i], &fate, err);
    return rc == 0 ? pay(state, err) : rc;
}

static void running_free(struct running *running)
{
    queue_jobs_free(&running->jobs);
    free(running->again);
    free(running->holders);
}

static int tend(void *state, struct error *err)
{
    return renew(state, err);
}

/* A sweep whose jobs are admitted all or none is judged where its first one stands. */
static bool is_judged(const struct queue_jobs *jobs, int i)
{
    const struct queue_job *job = &jobs->jobs[i];
    for (int k = 0; job->sweep.is_together && k < i; k++)
        if (jobs->jobs[k].sweep.id == job->sweep.id)
            return true;
    return false;
}

static int admit_one(struct state *state, const struct admission *admission,
                     const struct queue_job *job, struct error *err)
{
    enum ledger_answer answer = LEDGER_WAIT;
    bool is_sweep = job->sweep.is_together;
    int rc = is_sweep ? admission_judge_sweep(admission, job->sweep.id, &answer, err)
                      : admission_judge(admission, job, &answer, err);
    if (rc == 0 && answer == LEDGER_ADMITTED)
        state->has_admitted = true;
    if (rc == 0 && answer == LEDGER_REFUSED)
        hook_tell(state->loop->hooks, state->db, job->id);
    if (rc == 0 && answer != LEDGER_WAIT)
        log_info("%s %lld: %s", is_sweep ? "all jobs of sweep" : "job",
                 (long long)(is_sweep ? job->sweep.id : job->id),
                 answer == LEDGER_ADMITTED ? "admitted" : "refused");
    return rc;
}

/* The jobs from number `from` on that are of one price: all at once where they fit,
 * else each alone. *ret_n: how many these are. */
static int admit_some(struct state *state, const struct admission *admission,
                      const struct queue_jobs *jobs, int from, int *ret_n,
                      struct error *err)
{
    const struct queue_job *first = &jobs->jobs[from];
    bool is_admitted = false;
    int n = 1;
    int rc =
        admission_judge_group(admission, first, jobs->n - from, &n, &is_admitted, err);
    rc = after(state, rc, first->id, err);
    if (rc == 0 && is_admitted) {
        state->has_admitted = true;
        for (int i = 0; i < n; i++)
            log_info("job %lld: admitted", (long long)first[i].id);
        rc = renew(state, err);
    }
    for (int i = from; rc == 0 && !is_admitted && i < from + n; i++) {
        if (is_judged(jobs, i))
            continue;
        rc = admit_one(state, admission, &jobs->jobs[i], err);
        rc = after(state, rc, jobs->jobs[i].id, err);
        if (rc == 0)
            rc = renew(state, err);
    }
    *ret_n = n;
    return rc;
}

static int admit(struct state *state, struct error *err)
{
    struct admission admission = {.db = state->db,
                                  .known = state->known,
                                  .lease = &state->lease,
                                  .policy = &state->loop->conf->policy,
                                  .node = state->loop->node,
                                  .places = &state->loop->places,
                                  .tend = tend,
                                  .state = state};
    struct queue_jobs jobs = {0};
    bool with_waiting = state->waiting_may_fit ||
                        now_ms() - state->waiting_tried_at_ms >= RETRY_WAITING_MS;
    if (with_waiting) {
        state->waiting_may_fit = false;
        state->waiting_tried_at_ms = now_ms();
    }
    int rc = queue_for_admission(state->db, with_waiting, with_waiting ? 0 : BATCH,
                                 &jobs, err);
    for (int i = 0, n = 0; rc == 0 && i < jobs.n; i += n)
        rc = admit_some(state, &admission, &jobs, i, &n, err);
    queue_jobs_free(&jobs);
    return rc;
}

static struct launcher_request request_of(const struct queue_job *job)
{
    return (struct launcher_request){
        .login = job->submitted_by,
        .account = job->account,
        .n_ranks = job->n_ranks,
        .cores_per_rank = job->n_ranks > 0 ? job->n_cores / job->n_ranks : 1,
        .gpus_per_rank = job->gpus_per_rank,
        .memory_bytes = job->memory_bytes,
        .time_limit_s = job->time_limit_s,
        .has_wishes = job->spec != NULL}; /* queue_for_start */
}

static bool is_ready(const struct state *state, const struct queue_job *job)
{
    struct launcher *launcher = state->loop->launcher;
    const struct launcher_request request = request_of(job);
    return job->allocation[0] != '\0' || launcher->ops->is_ready == NULL ||
           launcher->ops->is_ready(launcher, &request);
}

static bool is_taken_ahead(const struct state *state, const struct queue_job *job)
{
    struct launcher *launcher = state->loop->launcher;
    const struct launcher_request request = request_of(job);
    return job->allocation[0] == '\0' && launcher->ops->takes_ahead != NULL &&
           launcher->ops->takes_ahead(launcher, &request);
}

/* From where it was staged, if it was. NULL: it cannot be; its start will say why. */
static struct attempt_staged *stage(struct state *state,
                                    const struct attempt_context *context,
                                    const struct queue_job *job)
{
    struct attempt_staged *staged = NULL;
    for (int i = 0; i < state->n_staged; i++) {
        if (attempt_staged_id(state->staged[i]) != job->id)
            continue;
        staged = take_staged(state, i);
        if (attempt_staged_is_fresh(context, staged))
            return staged;
        attempt_staged_free(staged);
        break;
    }
    return attempt_stage(context, job, &staged, NULL) == 0 ? staged : NULL;
}

static int start_group(struct state *state, const struct attempt_context *context,
                       struct error *err)
{
    int64_t job_id = 0;
    int n = state->n_group;
    state->n_group = 0;
    if (n == 0)
        return 0;
    int rc =
        attempt_start_group(context, state->group, state->is_ahead, n, &job_id, err);
    return after(state, rc, job_id, err);
}

/* Where short jobs follow each other those of a round are started together. */
static int start_one(struct state *state, const struct attempt_context *context,
                     const struct queue_job *job, struct error *err)
{
    struct attempt_staged *staged = NULL;
    bool is_again = job->state == QUEUE_RUNNING;
    if (state->loop->launcher->ops->is_over != NULL && !is_again &&
        job->allocation[0] == '\0')
        staged = stage(state, context, job);
    if (staged != NULL) {
        state->is_ahead[state->n_group] = context->is_ahead;
        state->group[state->n_group++] = staged;
        return state->n_group < ATTEMPT_MAX_GROUP ? 0
                                                  : start_group(state, context, err);
    }
    int rc = start_group(state, context, err); /* those before it come first */
    if (rc != 0)
        return rc;
    rc = attempt_start(context, job->id, is_again ? ATTEMPT_AGAIN : "", err);
    return after(state, rc, job->id, err);
}

static bool is_staged(const struct state *state, int64_t id)
{
    for (int i = 0; i < state->n_staged; i++)
        if (attempt_staged_id(state->staged[i]) == id)
            return true;
    return false;
}

/* Is there something to hear from the launcher? */
static bool is_called(struct launcher *launcher)
{
    struct pollfd call = {.events = POLLIN};
    if (launcher->ops->wake_fd == NULL)
        return false;
    call.fd = launcher->ops->wake_fd(launcher);
    return poll(&call, 1, 0) > 0;
}

/* Where short jobs follow each other, the next are prepared while the last ones run, as
 * long as nobody calls. Errors say nothing: a start will meet them again. */
static void stage_next(struct state *state)
{
    struct launcher *launcher = state->loop->launcher;
    struct attempt_context context = context_of(state);
    if (launcher->ops->is_over == NULL || !state->has_started)
        return;
    for (int i = state->n_staged - 1; i >= 0; i--)
        if (!attempt_staged_is_fresh(&context, state->staged[i]))
            attempt_staged_free(take_staged(state, i));
    for (int i = 0; i < state->n_next && state->n_staged < MAX_STAGED; i++) {
        struct attempt_staged *staged = NULL;
        if (is_staged(state, state->next[i].id))
            continue;
        if (is_called(launcher) || !db_is_alive(state->db))
            break;
        if (attempt_stage(&context, &state->next[i], &staged, NULL) == 0)
            state->staged[state->n_staged++] = staged;
    }
}

/* Starts one job or remembers it as one that comes next. *is_first: nobody before it
 * still waits, so that it may be taken ahead, in the room of those that run. */
static int start_or_wait(struct state *state, struct attempt_context *context,
                         const struct queue_job *job,
                         const struct policy_choice *choice, bool *is_first,
                         bool *ret_is_begun, struct error *err)
{
    bool is_now = choice->starts && is_ready(state, job);
    int rc = 0;
    context->is_ahead = !choice->starts && *is_first && is_taken_ahead(state, job);
    *ret_is_begun = is_now || context->is_ahead;
    if (*ret_is_begun) {
        context->ranks = choice->starts ? choice->ranks : NULL;
        rc = start_one(state, context, job, err);
        state->has_started = true;
    } else {
        *is_first = false;
        if (!choice->starts && job->allocation[0] == '\0' &&
            job->state == QUEUE_ADMITTED && state->n_next < MAX_STAGED) {
            state->next[state->n_next] = *job;
            state->next[state->n_next++].spec = NULL;
        }
    }
    return rc == 0 ? renew(state, err) : rc;
}

/* Who has waited already and was taken back comes first, then the queue in its order.
 * *ret_all: theirs, no ownership; caller frees. */
static int list_all(const struct running *running, const struct queue_jobs *jobs,
                    const struct queue_job ***ret_all, struct error *err)
{
    const struct queue_job **all =
        calloc((size_t)(running->n_again + jobs->n) + 1, sizeof *all);
    if (all == NULL)
        return error_set(err, PPT_ENOMEM, "out of memory choosing jobs");
    for (int i = 0; i < running->n_again; i++)
        all[i] = running->again[i];
    for (int i = 0; i < jobs->n; i++)
        all[running->n_again + i] = &jobs->jobs[i];
    *ret_all = all;
    return 0;
}

/* ret_is_begun[n]: those that were started, or tried. */
static int start_all(struct state *state, const struct policy_site *site,
                     const struct queue_job *const *jobs, int n, bool *ret_is_begun,
                     struct error *err)
{
    struct attempt_context context = context_of(state);
    int64_t now_s = time(NULL);
    bool is_first = true;
    int rc = 0;
    struct policy_job *candidates = calloc((size_t)n + 1, sizeof *candidates);
    struct policy_choice *choices = calloc((size_t)n + 1, sizeof *choices);
    if (candidates == NULL || choices == NULL) {
        rc = error_set(err, PPT_ENOMEM, "out of memory choosing jobs");
        goto out;
    }
    for (int i = 0; i < n; i++)
        candidates[i] = (struct policy_job){.rank = rank_of(jobs[i]),
                                            .n_ranks = ranks_of(jobs[i]),
                                            .waited_s = now_s - jobs[i]->admitted_at_s,
                                            .lasts_s = lasts_s(state, jobs[i])};
    policy_choose(site, candidates, n, choices);
    state->n_next = 0;
    for (int i = 0; rc == 0 && i < n; i++)
        rc = start_or_wait(state, &context, jobs[i], &choices[i], &is_first,
                           &ret_is_begun[i], err);
    if (rc == 0)
        rc = start_group(state, &context, err);
out:
    while (state->n_group > 0)
        attempt_staged_free(state->group[--state->n_group]);
    free(candidates);
    free(choices);
    return rc;
}

static bool has_free_core(const struct places *room)
{
    for (int i = 0; i < room->n; i++)
        if (room->nodes[i].n_cores > 0)
            return true;
    return false;
}

static int list_waiting(struct state *state, bool is_full, struct error *err)
{
    int64_t now = now_ms();
    if (is_full && state->listed.n >= LISTED_LEAST &&
        now - state->listed_at_ms < LISTED_MS)
        return 0;
    queue_jobs_free(&state->listed);
    state->listed_at_ms = now;
    return queue_for_start(state->db, BATCH, &state->listed, err);
}

static void drop_begun(struct queue_jobs *listed, const bool *is_begun)
{
    int n_left = 0;
    for (int i = 0; i < listed->n; i++)
        if (is_begun[i])
            queue_job_free(&listed->jobs[i]);
        else
            listed->jobs[n_left++] = listed->jobs[i];
    listed->n = n_left;
}

static int start(struct state *state, const struct running *running, struct error *err)
{
    const struct queue_job **all = NULL;
    bool *is_begun = NULL;
    struct policy_site site = {.whole = &state->loop->places,
                               .room = running->room,
                               .holders = running->holders,
                               .n_holders = running->n_holders,
                               .patience_s = state->loop->conf->patience_s};
    int rc = list_waiting(state, !has_free_core(&running->room), err);
    int n = running->n_again + state->listed.n;
    if (rc == 0)
        rc = list_all(running, &state->listed, &all, err);
    if (rc == 0 && (is_begun = calloc((size_t)n + 1, sizeof *is_begun)) == NULL)
        rc = error_set(err, PPT_ENOMEM, "out of memory choosing jobs");
    if (rc == 0) {
        rc = start_all(state, &site, all, n, is_begun, err);
        drop_begun(&state->listed, is_begun + running->n_again);
    }
    free(is_begun);
    free(all);
    return rc;
}

static int round_once(struct state *state, struct error *err)
{
    struct launcher *launcher = state->loop->launcher;
    struct running running = {0};
    int n_notifications = 0;
    state->has_admitted = state->has_started = state->is_early = false;
    state->bills.n = 0; /* a round that failed has left some: they are found again */
    if (launcher->ops->tend != NULL)
        launcher->ops->tend(launcher);
    int rc = db_drain(state->db, &n_notifications, err);
    if (n_notifications > 0)
        state->waiting_may_fit = true;
    if (rc == 0)
        rc = renew(state, err);
    if (rc == 0)
        rc = watch_running(state, &running, err);
    /* Launchers are asked what is ready once a round. */
    if (rc == 0 && running.n_over > 0)
        rc = start(state, &running, err);
    if (rc == 0)
        rc = settle_over(state, &running, err);
    if (rc == 0)
        rc = admit(state, err);
    if (rc == 0 && running.n_over == 0)
        rc = start(state, &running, err);
    else if (rc == 0 && state->has_admitted)
        state->is_early = true;
    running_free(&running);
    if (rc == 0)
        stage_next(state);
    return rc;
}

/* ---- the loop ---- */

static void reap_children(void)
{
    while (waitpid(-1, NULL, WNOHANG) > 0)
        continue;
}

static void sleep_until_woken(const struct state *state, const sigset_t *wake)
{
    struct launcher *launcher = state->loop->launcher;
    struct pollfd sources[2] = {{.fd = -1, .events = POLLIN},
                                {.fd = -1, .events = POLLIN}};
    int64_t wait_ms =
        state->db != NULL ? state->loop->conf->poll_ms : state->backoff_ms;
    struct timespec timeout = {wait_ms / 1000, wait_ms % 1000 * 1000000};
    if (state->db != NULL)
        sources[0].fd = db_socket(state->db);
    /* While the database is away nothing is tended: a word would wake for ever. */
    if (state->db != NULL && launcher->ops->wake_fd != NULL)
        sources[1].fd = launcher->ops->wake_fd(launcher);
    if (ppoll(sources, 2, &timeout, wake) <= 0 || state->db == NULL ||
        launcher->ops->rest_ms == NULL)
        return;
    int64_t rest_ms = launcher->ops->rest_ms(launcher);
    timeout = (struct timespec){0, rest_ms * 1000000};
    if (rest_ms > 0)
        ppoll(NULL, 0, &timeout, wake);
}

/* The database is away, or something odd happened to one statement: say it once and
 * try again. Anything else is for the caller. */
static int survive(struct state *state, int rc, struct error *err)
{
    bool is_away = state->db == NULL || !db_is_alive(state->db);
    if (rc != -PPT_EDB && rc != -PPT_ENOMEM && rc != -PPT_EIO)
        return rc;
    if (!state->was_connected)
        return rc;
    if (!state->is_silent) {
        log_warning("%s", err->text);
        if (is_away)
            log_warning("running jobs go on; trying to reach the database again");
        state->is_silent = true;
    }
    if (state->db != NULL && is_away)
        disconnect(state);
    else if (state->db == NULL)
        state->backoff_ms = state->backoff_ms * 2 > MAX_BACKOFF_MS
                                ? MAX_BACKOFF_MS
                                : state->backoff_ms * 2;
    memset(err, 0, sizeof *err);
    return 0;
}

int loop_run(struct loop *loop, const volatile sig_atomic_t *stop, const sigset_t *wake,
             struct error *err)
{
    struct state state = {.loop = loop, .backoff_ms = MIN_BACKOFF_MS};
    int rc = 0;
    while (rc == 0 && !*stop) {
        hooks_tend(loop->hooks);
        reap_children();
        if (state.db == NULL)
            rc = connect_and_lease(&state, err);
        if (rc == 0)
            rc = round_once(&state, err);
        if (rc == 0)
            state.is_silent = false;
        else
            rc = survive(&state, rc, err);
        if (rc == 0 && !*stop && !state.is_early)
            sleep_until_woken(&state, wake);
    }
    if (state.db != NULL && rc == 0)
        ledger_lease_release(state.db, &state.lease, NULL);
    disconnect(&state);
    return rc;
}
