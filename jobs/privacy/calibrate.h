/* The least noise that meets a target, always ending on the safe side. */
#ifndef PPT_JOBS_PRIVACY_CALIBRATE_H
#define PPT_JOBS_PRIVACY_CALIBRATE_H

#include <stdint.h>

#include "base/error.h"
#include "jobs/privacy/cost.h"

#define CALIBRATE_MIN_NOISE 0.05
#define CALIBRATE_MAX_NOISE 1e6
#define CALIBRATE_MAX_STEPS INT64_C(1000000000000)

/* The smallest noise multiplier (to a relative 1e-6, rounded up) for which n_steps
 * subsampled Gaussian releases at sample_rate, plus the cost `already` (may be NULL),
 * are (epsilon, delta)-DP by cost_epsilon. The answer is checked by pricing it.
 * Errors: PPT_ERANGE where no multiplier in [CALIBRATE_MIN_NOISE, CALIBRATE_MAX_NOISE]
 * suffices or a parameter is out of range (n_steps: [1, CALIBRATE_MAX_STEPS]). */
int calibrate_noise_multiplier(double epsilon, double delta, double sample_rate,
                               int64_t n_steps, const struct cost *already,
                               double *ret_noise_multiplier, struct error *err);

/* The largest number of steps, at most max_steps, that meets the target; 0 if none.
 * Errors: PPT_ERANGE (max_steps: [1, CALIBRATE_MAX_STEPS]). */
int calibrate_steps(double epsilon, double delta, double sample_rate,
                    double noise_multiplier, int64_t max_steps, int64_t *ret_n_steps,
                    struct error *err);

#endif
