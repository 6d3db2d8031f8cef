/* One budget of noise for two answers from the same sample: adaptive clipping.
 *
 * Each step of adaptive quantile clipping (Andrew et al. 2021, arXiv 1905.03871,
 * section 2 and Theorem 1) releases, from one sample, the sum of gradients clipped to
 * norm C and the count of those that were below C. Proof that both cost as much as one
 * answer with noise multiplier s: let the count be of b_i - 1/2 in {-1/2, 1/2}, so that
 * a record moves it by 1/2. Divide the gradients' part by s_g C and the count by s_b;
 * one record moves the pair, which now has unit noise in every coordinate, by at most
 * sqrt(1/s_g^2 + 1/(2 s_b)^2) in L2. So the pair is one Gaussian answer with 1/s^2 =
 * 1/s_g^2 + 1/(2 s_b)^2, and stays one under any sampling, because both parts see the
 * same sample. C of the next step is post-processing.
 */
#ifndef PPT_JOBS_PRIVACY_SPLIT_H
#define PPT_JOBS_PRIVACY_SPLIT_H

#include "base/error.h"

/* The gradients' noise multiplier (over C) that leaves room for a count with standard
 * deviation count_noise inside a step priced at noise_multiplier: (s^-2 - (2
 * s_b)^-2)^(-1/2), rounded up.
 * Errors: PPT_ERANGE (NaN, not positive, or noise_multiplier >= 2 count_noise: the
 * count alone would cost more than the step). */
int split_gradient_noise(double noise_multiplier, double count_noise,
                         double *ret_gradient_noise, struct error *err);

#endif
