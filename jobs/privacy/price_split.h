/* How a training step's noise is divided where the clip norm follows a quantile. */
#ifndef PPT_JOBS_PRIVACY_PRICE_SPLIT_H
#define PPT_JOBS_PRIVACY_PRICE_SPLIT_H

#include "base/error.h"

struct spec;
struct price;

/* With `clipping: quantile` a step's release covers two answers (split.h): the
 * gradients, with noise multiplier *ret_gradient_noise, and the count of short ones,
 * with standard deviation *ret_count_noise: the spec's, or where that is 0 the larger
 * of a twentieth of batch_size, or of a federation's cohort, and the step's noise
 * multiplier. Refused where the gradients' noise would be more than 7 times the step's.
 * Errors: PPT_ERANGE (price_job has refused such a spec). */
int price_split_noise(const struct spec *spec, const struct price *price,
                      double *ret_gradient_noise, double *ret_count_noise,
                      struct error *err);

#endif
