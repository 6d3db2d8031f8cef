/* Steps are paid for in leases: rank 0 has the meter make a few steps durable at once,
 * so that a job does not wait for the disk at every step, and all ranks hear of it
 * before any of them draws noise. Between leases the ranks also agree on stopping.
 */
#ifndef PPT_JOBS_DP_LEASE_H
#define PPT_JOBS_DP_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "jobs/env.h"

#define LEASE_MAX_STEPS 64
#define LEASE_TARGET_S 1.0

enum lease_answer {
    LEASE_GO,      /* n_left steps may run */
    LEASE_STOP,    /* some rank was asked to stop; nothing was charged */
    LEASE_REFUSED, /* the meter has no step left: keep the model as it is */
};

struct lease {
    int64_t n_bins;   /* steps of an epoch that is paid for whole; 0: each for itself */
    int64_t n_paid;   /* rank 0: of such an epoch, paid for and not leased yet */
    int64_t n_left;   /* charged and not yet run */
    int64_t n_last;   /* size of the last one */
    double started_s; /* of the last one; rank 0 */
    double step_time_s; /* of the last lease; rank 0; 0 before the first */
};

/* Every rank calls it when n_left is 0. Asks the meter for as many steps as take about
 * LEASE_TARGET_S, 1 to LEASE_MAX_STEPS, at most n_wanted, which is all that are left;
 * with n_bins for an epoch before the first step that this process makes in it. Jobs
 * that are not private are leased steps without a meter. Errors: PPT_EIO (the charge is
 * unknown), PPT_ECOMM. */
int lease_renew(struct lease *lease, struct env *env, bool is_private, int64_t n_wanted,
                enum lease_answer *ret_answer, struct error *err);

/* Seconds of a clock that never goes back. */
double lease_clock_s(void);

#endif
