/* One attempt of a job: from an admitted row to processes, and from dead processes to a
 * settled row.
 */
#ifndef PPT_SCHEDULER_ATTEMPT_H
#define PPT_SCHEDULER_ATTEMPT_H

#include <stdbool.h>

#include "base/error.h"
#include "scheduler/ledger.h"
#include "scheduler/loop.h"
#include "scheduler/queue.h"

/* The loop's connection and right to write; both change when the database was away. */
struct attempt_context {
    const struct loop *loop;
    struct launcher *allocation; /* for jobs in their users' allocations */
    struct db *db;
    const struct ledger_lease *lease;
    const int64_t *renewed_at_ms; /* when the lease was, by the monotonic clock */
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

/* Looks after a running job: asks it to stop or kills it where that is due; settles it
 * or starts it again when its processes have gone. *ret_ended: its room and maybe its
 * reservation are free again. Errors: as above, PPT_EIO (try again later). */
int attempt_watch(const struct attempt_context *context, const struct queue_job *job,
                  bool *ret_ended, struct error *err);

#endif
