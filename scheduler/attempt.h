/* One attempt of a job: from an admitted row to processes, and from dead processes to a
 * settled row.
 */
#ifndef PPT_SCHEDULER_ATTEMPT_H
#define PPT_SCHEDULER_ATTEMPT_H

#include <stdbool.h>

#include "base/error.h"
#include "scheduler/bills.h"
#include "scheduler/ledger.h"
#include "scheduler/loop.h"
#include "scheduler/queue.h"

/* The loop's connection and right to write; both change when the database was away. */
struct attempt_context {
    const struct loop *loop;
    struct launcher *allocation; /* for jobs in their users' allocations */
    struct db *db;
    struct known *known; /* known.h; may be NULL */
    const struct ledger_lease *lease;
    const int64_t *ranks;   /* for attempt_start: on each node; NULL: not chosen */
    int64_t *renewed_at_ms; /* when the lease was, by the monotonic clock; kept up */
    bool is_ahead;          /* for attempt_start: to follow what runs (launcher.h) */
    struct bills *bills;    /* for attempt_watch: what may be paid later */
    bool is_due; /* the clock's second has changed: the living are looked after */
};

/* True where the job's processes have gone for sure, at no cost: its room is free
 * though it is not settled yet. */
bool attempt_is_over(const struct attempt_context *context,
                     const struct queue_job *job);

/* Starts an admitted job, or a running one again. A job that cannot be started is
 * settled and *failed* (that is no error). `reason` is kept in the job's history, "" at
 * first. Errors: PPT_EDB, PPT_ESTATE (cancelled meanwhile, or the lease is lost),
 * PPT_ENOMEM. */
int attempt_start(const struct attempt_context *context, int64_t job_id,
                  const char *reason, struct error *err);

/* A job whose start is prepared while others still have the cores: priced and compared
 * with its reservation, its directory made and locked, its plan signed for the attempt
 * that would come next. Nothing is written down and nothing runs, so it costs nothing
 * to drop it, or to die with it. Only for launchers with is_over: with these, a plan
 * alone starts nothing. Caller frees. Errors: as attempt_start, PPT_ESTATE (another
 * launcher's job), and all that could be the job's own fault: a start will say so
 * again. `job`: its row, of which what has a text of its own is not used. */
struct attempt_staged;
int attempt_stage(const struct attempt_context *context, const struct queue_job *job,
                  struct attempt_staged **ret_staged, struct error *err);
void attempt_staged_free(struct attempt_staged *staged);
int64_t attempt_staged_id(const struct attempt_staged *staged);

/* May it still be started? Not under another lease, nor after a while. */
bool attempt_staged_is_fresh(const struct attempt_context *context,
                             const struct attempt_staged *staged);

/* attempt_start of fresh ones, written down by one call and begun one after the other;
 * frees them. is_ahead[i] is that one's context->is_ahead; context->ranks is not used.
 * *ret_job_id: of the one whose error is returned; the others may have been started.
 * Errors: as attempt_start. */
#define ATTEMPT_MAX_GROUP 32
int attempt_start_group(const struct attempt_context *context,
                        struct attempt_staged **staged, const bool *is_ahead, int n,
                        int64_t *ret_job_id, struct error *err);

/* What became of a running job that was looked after. */
enum attempt_fate {
    ATTEMPT_RUNS,
    ATTEMPT_ENDED,   /* its room and maybe its reservation are free again */
    ATTEMPT_BILLED,  /* the same once context->bills are paid */
    ATTEMPT_RETURNED /* not begun, and has no room: to be started when it has some */
};
#define ATTEMPT_AGAIN "was taken back before it began; trying again"

/* Looks after a running job: asks it to stop or kills it where that is due; settles it
 * or starts it again when its processes have gone. Errors: as above, PPT_EIO (try again
 * later). */
int attempt_watch(const struct attempt_context *context, const struct queue_job *job,
                  enum attempt_fate *ret_fate, struct error *err);

/* Was it taken to follow others, and waits for them? Then it has no room. */
bool attempt_is_ahead(const struct attempt_context *context,
                      const struct queue_job *job);

#endif
