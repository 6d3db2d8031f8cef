/* Which of the admitted jobs start now, and on which nodes: a pure function of the
 * queue's order, the room that is free, what runs and how long each job has waited.
 *
 * The order itself (priority, then the accounts that used least of late, then arrival)
 * is the database's, see queue_for_start. Here: strict order; a job that does not fit
 * may be overtaken by others, but only until it has waited for `patience_s`. From then
 * on its room is reserved for the moment at which, by the time limits of what runs, it
 * will be there; those behind it pass only if they end before that or leave it that
 * room, so that no job starves and no core waits in vain.
 */
#ifndef PPT_SCHEDULER_POLICY_H
#define PPT_SCHEDULER_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "scheduler/places.h"

struct policy_job {
    struct places_room rank; /* what each of its ranks needs */
    int64_t n_ranks;         /* 0: it takes no room of ours */
    int64_t waited_s;        /* since it was admitted */
    int64_t lasts_s;         /* at most, once it has started */
};

/* What holds room now, and until when at the latest. */
struct policy_holder {
    struct places_room rank;
    int64_t ranks[PLACES_MAX]; /* on each node */
    int64_t ends_s;            /* from now; less than nothing: overdue */
};

struct policy_site {
    const struct places *whole; /* all there is */
    struct places room;         /* what of it is free */
    const struct policy_holder *holders;
    int n_holders;
    int64_t patience_s;
};

struct policy_choice {
    bool starts;
    int64_t ranks[PLACES_MAX]; /* where it does */
};

/* Decides on each of jobs[n], given in the queue's order, and returns how many start. A
 * job that does not even fit into all there is (the site was made smaller) holds nobody
 * up. Errors: none; without memory nobody passes a job whose room is reserved. */
int policy_choose(const struct policy_site *site, const struct policy_job *jobs, int n,
                  struct policy_choice *ret_choices);

#endif
