#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "scheduler/allocation.h"
#include "scheduler/attempt_inside.h"
#include "scheduler/cause.h"
#include "scheduler/settle.h"
#include "scheduler/spool.h"

/* From ranks being fewer than planned (they may still be starting, or already ending)
 * to giving the attempt up: so long, and a second a rank. */
#define RANKS_MISSING_S 30
#define RANKS_EVERY_S 5
/* From a job being unknown to Slurm to taking it for dead. Controllers that have just
 * been started may not know all their jobs yet. */
#define FORGOTTEN_S 60
/* The same where another witness says that it has ended: its processes may have got
 * their SIGTERM just now (slurm.conf's KillWait). */
#define WITNESSED_S 30
/* From one attempt that never came to run to the next. */
#define AGAIN_S 10
/* A job that has run for so long is worth waiting for the disk: after a power cut it
 * goes on from its checkpoint. */
#define NOTED_S 2

static int ask_to_stop(const struct attempt_context *context,
                       const struct queue_job *job, struct spool_state *state,
                       enum spool_stop why, struct error *err)
{
    struct launcher *launcher = attempt_launcher(context, job);
    state->stop = why;
    state->stop_at_s = time(NULL);
    int rc = spool_save(job->directory, state, err);
    if (rc != 0)
        return rc;
    log_info("job %lld: asked to stop: %s", (long long)job->id,
             why == SPOOL_STOP_CANCEL ? "cancelled" : "time limit");
    launcher->ops->stop(launcher, job->directory);
    return 0;
}

/* mpirun does not always notice that a rank has died (one that is killed while it
 * connects leaves it waiting for ever). Looked at every few seconds only, because all
 * processes of the machine have to be gone through. */
static int watch_ranks(const struct attempt_context *context,
                       const struct queue_job *job, struct spool_state *state,
                       int64_t now_s, struct error *err)
{
    struct launcher *launcher = attempt_launcher(context, job);
    if ((now_s + job->id) % RANKS_EVERY_S != 0)
        return 0;
    bool is_whole =
        launcher->ops->count(launcher, job->directory, true) >= job->n_ranks;
    if (is_whole == (state->missing_since_s == 0)) {
        if (!is_whole &&
            now_s - state->missing_since_s >= RANKS_MISSING_S + job->n_ranks)
            launcher->ops->kill(launcher, job->directory);
        return 0;
    }
    state->missing_since_s = is_whole ? 0 : now_s;
    return spool_save(job->directory, state, err);
}

/* In an allocation its ppt-submit hears of it with its next sign of life, or if the
 * database was slow with the one after that. */
static int64_t hears_within_s(const struct queue_job *job)
{
    return job->allocation[0] != '\0' ? 2 * ALLOCATION_BEAT_S : 0;
}

/* What was noted goes to disk, but not before its meter says there that it has begun:
 * its ranks did not wait for that (jobs/pool.h), and who finds a state that is in no
 * doubt, and a meter that was not opened, believes both. */
static void keep(const struct attempt_context *context, const struct queue_job *job,
                 struct spool_state *state)
{
    if (settle_keep_beginning(job->directory, context->loop->public_key,
                              job->attempt) &&
        spool_keep(job->directory, state, NULL) != 0)
        log_warning("job %lld: its state cannot be brought to disk",
                    (long long)job->id);
}

/* Its processes live, or it waits to be started elsewhere. Without a state nobody knows
 * since when, so where it should end it is killed at once; it pays everything anyway.
 */
static int watch_living(const struct attempt_context *context,
                        const struct queue_job *job, const struct launcher_look *look,
                        struct error *err)
{
    struct launcher *launcher = attempt_launcher(context, job);
    const struct conf *conf = context->loop->conf;
    struct spool_state state;
    int64_t now_s = time(NULL);
    if (!context->is_due && !job->is_cancel_requested)
        return 0; /* all that could be due is due in seconds */
    if (spool_load(job->directory, &state, NULL) != 0) {
        if (job->is_cancel_requested || now_s - job->started_at_s >= job->time_limit_s)
            launcher->ops->kill(launcher, job->directory);
        return 0;
    }
    if (state.stop != SPOOL_STOP_NONE) {
        if (now_s - state.stop_at_s >= conf->grace_s + hears_within_s(job))
            launcher->ops->kill(launcher, job->directory);
        return 0;
    }
    if (job->is_cancel_requested)
        return ask_to_stop(context, job, &state, SPOOL_STOP_CANCEL, err);
    if (look->life == LAUNCHER_QUEUED)
        return 0;
    if (state.boot[0] != '\0' && !state.is_doubtful &&
        now_s - state.started_at_s >= NOTED_S)
        keep(context, job, &state);
    int64_t ran_s = look->ran_s < 0 ? now_s - state.started_at_s : look->ran_s;
    if (ran_s >= job->time_limit_s)
        return ask_to_stop(context, job, &state, SPOOL_STOP_TIME, err);
    return watch_ranks(context, job, &state, now_s, err);
}

/* What the launcher knows better than the spool. */
static void learn(const struct launcher_look *look, struct settle_facts *facts)
{
    if (look->life == LAUNCHER_NEVER && facts->state.started_attempt == facts->attempt)
        facts->state.started_attempt--;
    if (!look->is_cancelled)
        return;
    facts->is_cancel_requested = true;
    if (facts->state.stop == SPOOL_STOP_NONE && !look->is_hearsay)
        facts->state.stop = SPOOL_STOP_CANCEL;
}

/* Ordered to follow others by a scheduler that has gone: then its world has forgotten
 * it, and that it did not begin is nobody's fault. */
static bool was_forgotten(const struct attempt_context *context,
                          const struct queue_job *job, const struct settle_facts *facts)
{
    return facts->has_only_died && facts->state.ahead_attempt == job->attempt &&
           job->epoch != context->lease->epoch;
}

/* Counts attempts that Slurm ended before they began, until one has begun. */
static int count_early(const struct queue_job *job, const struct launcher_look *look,
                       struct settle_facts *facts, struct error *err)
{
    struct spool_state *state = &facts->state;
    if (look->early[0] != '\0')
        facts->early = look->early;
    if (!facts->has_state || (facts->early == NULL && look->life == LAUNCHER_NEVER))
        return 0;
    if (facts->early == NULL && state->n_early == 0)
        return 0;
    if (facts->early != NULL && state->last_early == job->attempt)
        return 0; /* counted before */
    state->n_early = facts->early == NULL ? 0 : state->n_early + 1;
    state->last_early = job->attempt;
    return spool_save(job->directory, state, err);
}

/* Processes that died without a word, perhaps before they saw a record: no host to run
 * on, no memory to start in. */
static void look_for_beginning(const struct attempt_context *context,
                               const struct queue_job *job,
                               const struct launcher_look *look,
                               struct settle_facts *facts)
{
    facts->has_only_died =
        facts->has_state && !facts->state.is_doubtful && !facts->has_report &&
        !facts->is_allocation && look->life != LAUNCHER_NEVER &&
        look->early[0] == '\0' && facts->state.started_attempt == job->attempt &&
        settle_is_unopened(job->directory, context->loop->public_key, job->attempt);
    if (facts->has_only_died)
        facts->early = facts->cause != NULL ? facts->cause : "nothing is known of why";
}

static int settle_dead(const struct attempt_context *context,
                       const struct queue_job *job, const struct launcher_look *look,
                       enum attempt_fate *ret_fate, struct error *err)
{
    struct settle_facts facts = {.attempt = job->attempt,
                                 .is_cancel_requested = job->is_cancel_requested,
                                 .max_restarts = context->loop->conf->max_restarts,
                                 .is_allocation = job->allocation[0] != '\0'};
    struct settle_verdict verdict;
    char cause[CAUSE_SIZE];
    if (cause_find(job->directory, job->attempt, cause))
        facts.cause = cause;
    facts.has_state = spool_load(job->directory, &facts.state, NULL) == 0;
    facts.has_report =
        settle_find_report(job->directory, job->id, job->attempt, &facts.report);
    look_for_beginning(context, job, look, &facts);
    if ((look->life == LAUNCHER_NEVER || facts.has_only_died) && !look->is_cancelled &&
        !look->is_returned && facts.has_state && !facts.is_cancel_requested &&
        time(NULL) - facts.state.started_at_s < AGAIN_S)
        return 0;
    int rc =
        was_forgotten(context, job, &facts) ? 0 : count_early(job, look, &facts, err);
    if (rc != 0)
        return rc;
    learn(look, &facts);
    settle_decide(&facts, &verdict);
    if (verdict.is_loss && facts.state.last_loss != job->attempt) {
        facts.state.n_losses++;
        facts.state.last_loss = job->attempt;
        rc = spool_save(job->directory, &facts.state, err);
        if (rc != 0)
            return rc;
    }
    if (verdict.runs_again && look->is_returned) {
        *ret_fate = ATTEMPT_RETURNED;
        return 0;
    }
    if (verdict.runs_again) {
        log_info("job %lld: attempt %lld: %s", (long long)job->id,
                 (long long)job->attempt, verdict.reason);
        return attempt_start(context, job->id, verdict.reason, err);
    }
    rc = attempt_finish(context, job, &verdict, facts.has_report ? &facts.report : NULL,
                        ret_fate, err);
    if (rc != 0)
        return rc;
    /* Not before: by this report a later look would decide otherwise. */
    if (verdict.is_loss)
        settle_tell(&facts, job->id, job->directory, context->loop->public_key);
    return 0;
}

/* It may have run and nobody knows where: wait a while for word of it. */
static int watch_forgotten(const struct attempt_context *context,
                           const struct queue_job *job,
                           const struct launcher_look *look,
                           enum attempt_fate *ret_fate, struct error *err)
{
    struct spool_state state;
    int64_t now_s = time(NULL), wait_s = look->is_witnessed ? WITNESSED_S : FORGOTTEN_S;
    if (spool_load(job->directory, &state, NULL) != 0 ||
        (state.missing_since_s > 0 && now_s - state.missing_since_s >= wait_s))
        return settle_dead(context, job, look, ret_fate, err);
    if (state.missing_since_s > 0)
        return 0;
    state.missing_since_s = now_s;
    return spool_save(job->directory, &state, err);
}

/* For ppt-queue. Trouble with it is the database's, and shows again soon. */
static int tell_slurm(const struct attempt_context *context,
                      const struct queue_job *job, const struct slurm_job *now,
                      struct error *err)
{
    const struct slurm_job *before = &job->slurm;
    if (now->id == 0 ||
        (now->id == before->id && strcmp(now->state, before->state) == 0 &&
         strcmp(now->reason, before->reason) == 0))
        return 0;
    return queue_slurm(context->db, context->lease, job->id, job->attempt, now, err);
}

bool attempt_is_over(const struct attempt_context *context, const struct queue_job *job)
{
    struct launcher *launcher = attempt_launcher(context, job);
    return launcher->ops->is_over != NULL &&
           (job->host[0] == '\0' || strcmp(job->host, context->loop->host) == 0) &&
           launcher->ops->is_over(launcher, job->directory);
}

bool attempt_is_ahead(const struct attempt_context *context,
                      const struct queue_job *job)
{
    struct launcher *launcher = attempt_launcher(context, job);
    return launcher->ops->is_ahead != NULL &&
           launcher->ops->is_ahead(launcher, job->directory);
}

int attempt_watch(const struct attempt_context *context, const struct queue_job *job,
                  enum attempt_fate *ret_fate, struct error *err)
{
    struct launcher *launcher = attempt_launcher(context, job);
    struct launcher_look look;
    if (job->host[0] != '\0' && strcmp(job->host, context->loop->host) != 0)
        return 0; /* another machine's scheduler started it: only there can one look */
    int rc = launcher->ops->look(launcher, job->directory, job->attempt, &look, err);
    if (rc == 0)
        rc = tell_slurm(context, job, &look.slurm, err);
    if (rc != 0)
        return rc;
    if (look.life == LAUNCHER_ALIVE || look.life == LAUNCHER_QUEUED)
        return watch_living(context, job, &look, err);
    if (look.life == LAUNCHER_FORGOTTEN)
        return watch_forgotten(context, job, &look, ret_fate, err);
    /* mpirun has gone; a rank that outlived it could still charge the meter. */
    if (launcher->ops->count(launcher, job->directory, false) > 0) {
        launcher->ops->kill(launcher, job->directory);
        return 0;
    }
    return settle_dead(context, job, &look, ret_fate, err);
}
