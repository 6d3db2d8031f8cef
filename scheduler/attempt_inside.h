/* Between attempt.c (starting, ending) and attempt_watch.c (living, dying) only. */
#ifndef PPT_SCHEDULER_ATTEMPT_INSIDE_H
#define PPT_SCHEDULER_ATTEMPT_INSIDE_H

#include "scheduler/attempt.h"
#include "scheduler/settle.h"

/* The site's, or that of its user's allocation. */
struct launcher *attempt_launcher(const struct attempt_context *context,
                                  const struct queue_job *job);

/* Ends a job of which nothing runs by the verdict: with the bills of this round, or at
 * once. `report` may be NULL. Errors: those of settle_cost and queue_finish. */
int attempt_finish(const struct attempt_context *context, const struct queue_job *job,
                   const struct settle_verdict *verdict, const struct report *report,
                   enum attempt_fate *ret_fate, struct error *err);

#endif
