/* The least noise, or the most of anything else, that meets a target: always ending on
 * the safe side.
 *
 * The first meets it by a job's price (renyi.h): jobs are planned with it. The others
 * meet it by any accountant's.
 */
#ifndef PPT_JOBS_PRIVACY_CALIBRATE_H
#define PPT_JOBS_PRIVACY_CALIBRATE_H

#include <stdint.h>

#include "base/error.h"
#include "jobs/privacy/cost.h"
#include "jobs/privacy/renyi.h"

#define CALIBRATE_MIN_NOISE 0.05
#define CALIBRATE_MAX_NOISE 1e6
#define CALIBRATE_MAX_STEPS INT64_C(1000000000000)

/* The smallest noise multiplier (to a relative 1e-5, rounded up) for which `training` -
 * releases of SUBSAMPLED_GAUSSIAN or RANDOM_ALLOCATION, whose own multiplier is not
 * looked at - and the n_others < RENYI_MAX_RELEASES ones of the same plan (add/remove;
 * NULL where n_others is 0) are (epsilon, delta)-DP by renyi_epsilon. The answer is
 * checked by pricing it.
 * Errors: PPT_ERANGE where no multiplier in [CALIBRATE_MIN_NOISE, CALIBRATE_MAX_NOISE]
 * suffices or a parameter is out of range (count: [1, CALIBRATE_MAX_STEPS]). */
int calibrate_noise_multiplier(double epsilon, double delta,
                               const struct renyi_release *training,
                               const struct renyi_release *others, int n_others,
                               double *ret_noise_multiplier, struct error *err);

/* epsilon of a plan at delta; must fall with noise and grow with counts and rates. A
 * PPT_ERANGE while searching counts as too much. */
typedef int calibrate_price(const struct renyi_release *releases, int n, double delta,
                            double *ret_epsilon, struct error *err);

/* "sample_rate", which is everybody's and so in no kind's own list. */
extern const struct mechanism_parameter calibrate_sample_rate;

/* The least private value of a parameter (privacy != 0) of releases[which].mechanism
 * with which the whole plan meets the target by `price`, to a relative 1e-6, rounded to
 * the private side: the smallest noise, the largest epsilon or sample rate. The value
 * given there is ignored; the answer was priced.
 * Errors: PPT_ERANGE where no value in the parameter's range does, or what else is
 * given is out of range; those of `price`. */
int calibrate_parameter(calibrate_price *price, const struct renyi_release *releases,
                        int n, int which, const struct mechanism_parameter *parameter,
                        double epsilon, double delta, double *ret_value,
                        struct error *err);

/* The largest count of releases[which], at most max_count, with which the plan meets
 * the target by `price`; 0 if one is too many. Errors: as above. */
int calibrate_count(calibrate_price *price, const struct renyi_release *releases, int n,
                    int which, int64_t max_count, double epsilon, double delta,
                    int64_t *ret_count, struct error *err);

#endif
