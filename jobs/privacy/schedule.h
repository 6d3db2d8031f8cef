/* Noise that changes from epoch to epoch by a rule fixed beforehand: equal in every
 * epoch, or less and less. What the rule looks at is public (the epoch's number), so
 * the plan is pre-committed and pld.h prices it as a whole.
 */
#ifndef PPT_JOBS_PRIVACY_SCHEDULE_H
#define PPT_JOBS_PRIVACY_SCHEDULE_H

#include <stdint.h>

#include "base/error.h"
#include "jobs/privacy/pld.h"

struct schedule {
    int n_epochs;            /* 1 to PLD_MAX_RELEASES */
    int64_t steps_per_epoch; /* Poisson-subsampled Gaussian steps */
    double sample_rate;
    double decay; /* epoch e's noise multiplier is the first one's times decay^e; in
                   * [0.5, 1], 1: uniform */
};

/* The plan: one release an epoch, or one for all where they are equal. The noises have
 * to be in pair.h's range when they are priced. Errors: PPT_ERANGE. */
int schedule_releases(const struct schedule *schedule, double first_noise_multiplier,
                      struct pld_release ret_releases[PLD_MAX_RELEASES],
                      int *ret_n_releases, struct error *err);

/* The smallest first noise multiplier, to a relative 1e-4 and rounded up, with which
 * the schedule costs at most epsilon at delta under add_remove; the answer was priced.
 * Errors: PPT_ERANGE, PPT_ENOMEM. */
int schedule_noise_multiplier(const struct schedule *schedule, double epsilon,
                              double delta, double *ret_first_noise_multiplier,
                              struct error *err);

#endif
