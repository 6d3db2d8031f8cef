/* Which of the admitted jobs start now: a pure function of the queue's order, the room
 * that is free and how long each job has waited.
 *
 * The order itself (priority, then the accounts that used least of late, then arrival)
 * is the database's, see queue_for_start. Here: strict order; a job that does not fit
 * may be overtaken by smaller ones, but only until it has waited for `patience_s`;
 * from then on nothing behind it starts until it does, so that no job starves.
 */
#ifndef PPT_SCHEDULER_POLICY_H
#define PPT_SCHEDULER_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "scheduler/nodes.h"

struct policy_job {
    struct nodes_room need;
    int64_t waited_s; /* since it was admitted */
};

/* Sets ret_starts[i] for each of jobs[n], given in the queue's order, and returns how
 * many are true. `whole`: all that the node has; a job that does not even fit there
 * (the node was made smaller) holds nobody up. `room`: what of it is free now. */
int policy_choose(const struct policy_job *jobs, int n, const struct nodes_room *whole,
                  struct nodes_room room, int64_t patience_s, bool *ret_starts);

#endif
