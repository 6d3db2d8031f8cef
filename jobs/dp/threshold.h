/* The clip norm of a step, and the grid that goes with it: fixed, or following a
 * quantile of the gradients' norms (Andrew et al. 2021, arXiv 1905.03871). For jobs/dp
 * and jobs/fl, whose gradients are clients' updates.
 *
 * With `clipping: quantile` a step releases two answers from one sample as one vector:
 * the sum of gradients clipped to C, and behind it, as one coordinate more, weight
 * times the sum of votes. A vote is 1/2 where the gradient was short enough, -1/2 where
 * it was clipped, 0 where it was refused (damaged records). The vector gets Gaussian
 * noise of one size.
 *
 * The sensitivity that is enforced. Let s be the noise multiplier that the step is
 * priced at, s_b the count's noise, s_g = (s^-2 - (2 s_b)^-2)^(-1/2) (split.h) and r =
 * s_g / (2 s_b). One record adds a gradient of norm at most `clip` and a vote times
 * weight, weight / 2 at most: together sqrt(clip^2 + weight^2 / 4) in L2. The grid is
 * planned for S = C sqrt(1 + r^2) over n_params + 1 coordinates, so a part may be
 * `inner` = S - sqrt(n_params + 1) step long before rounding (grid.h); weight / 2 is r
 * C rounded up to whole steps and clip = sqrt(inner^2 - weight^2 / 4), rounded down. So
 * no record moves the rounded vector by more than S, and its noise is s S: one release
 * of the Gaussian mechanism with multiplier s, which is what was priced, whatever C is.
 * As sqrt(1 + r^2) = s_g / s, the gradients have noise s S = s_g C, and the votes' sum
 * s S / weight = s_b, as was asked for, or less where weight is few steps.
 * Votes are counted in halves, exactly, and multiplied by a whole number of steps:
 * where that product is no longer exact it is beyond what grid_round cuts at.
 *
 * The next step's C is computed from what was released and public constants only. It is
 * one float, behind the parameters, so ranks and checkpoints get it as they get those.
 */
#ifndef PPT_JOBS_DP_THRESHOLD_H
#define PPT_JOBS_DP_THRESHOLD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "jobs/spec/spec.h"
#include "kernels/grid.h"

struct threshold {
    struct spec_clipping clipping;
    double first_norm; /* the spec's clip_norm */
    double multiplier; /* s */
    double ratio;      /* r; 0: the clip norm is fixed */
    int64_t n_params, n_parts;

    /* Of this step. */
    double norm;      /* C */
    double clip;      /* an example's gradient may be so long */
    double weight;    /* of a vote of 1 in the sum */
    struct grid grid; /* of sums and noise */
};

/* How far C may go from the spec's clip_norm. */
#define THRESHOLD_MAX_FACTOR 0x1p20

/* For sums of n_params coordinates from n_parts ranks; C is the spec's clip_norm.
 * gradient_noise and count_noise are s_g and s_b, used with CLIP_QUANTILE only.
 * Errors: PPT_ERANGE (no such noise on any grid). */
int threshold_open(struct threshold *threshold, const struct spec_privacy *privacy,
                   double multiplier, double gradient_noise, double count_noise,
                   int64_t n_params, int64_t n_parts, struct error *err);

/* Another C. Errors: PPT_ERANGE (not within THRESHOLD_MAX_FACTOR of the first). */
int threshold_set(struct threshold *threshold, double norm, struct error *err);

/* C of the next step from the released coordinate behind the gradients: C e^(-rate (b -
 * quantile)), where b = released / weight / expected_votes + 1/2 is the noisy fraction
 * that was short enough. Within what threshold_set takes. */
float threshold_next(const struct threshold *threshold, double released,
                     double expected_votes);

#endif
