/* The learning rate of each step: a function of the spec and the step alone. */
#ifndef PPT_JOBS_DP_SCHEDULE_H
#define PPT_JOBS_DP_SCHEDULE_H

#include <stdint.h>

#include "jobs/spec/spec.h"

/* Rate of step 0 .. n_steps-1. cosine: from learning_rate down to 0 along half a wave
 * (Loshchilov, Hutter 2017, arXiv 1608.03983); step: times schedule_factor after every
 * schedule_every steps. */
double schedule_rate(const struct spec_training *training, int64_t step,
                     int64_t n_steps);

#endif
