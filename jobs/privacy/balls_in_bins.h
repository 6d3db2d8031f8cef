/* Balls in bins: each record falls into one step of every epoch, uniformly and
 * independently, so that an epoch reads every record once. The price without Monte
 * Carlo.
 *
 * Step noise is Gaussian. With t bins and Y_i independent lognormals of mean 1, an
 * epoch's likelihood ratio is W = (Y_1 + ... + Y_t)/t, and
 *     delta(epsilon) = E[(W - e^epsilon)+] when a record is removed,
 *                      E[(1 - e^epsilon W)+] when one is added,
 * both expectations of convex functions. The law of W is computed on a grid of
 * logarithms by doubling, each value replaced by a mean-preserving spread: an upper
 * bound with log2 t splits instead of t. Epochs then compose as in compose.h. pld.md,
 * section 6, has the proof, also for gradients that depend on earlier steps.
 *
 * Guarantee: upper bounds, rounded up, for add/remove. The bin of each record must be
 * drawn uniformly, secretly, and afresh each epoch; one shuffled deal into bins of
 * fixed size is NOT covered. Like pld.h this reports a pre-committed plan; it is no
 * filter.
 */
#ifndef PPT_JOBS_PRIVACY_BALLS_IN_BINS_H
#define PPT_JOBS_PRIVACY_BALLS_IN_BINS_H

#include <stdint.h>

#include "base/error.h"

struct balls_in_bins {
    double noise_multiplier; /* of each step, over the sensitivity; [0.2, 1000] */
    int64_t n_bins;          /* steps an epoch; [1, 1000000] */
    int64_t n_epochs;        /* [1, 10000] */
};

/* Each direction's answer; what is reported is the larger one. */
struct balls_in_bins_detail {
    double remove, add;
};

/* The smallest epsilon >= 0 at delta in [1e-30, 1); typically within 1e-3 of the truth
 * up to 100 epochs. ret_detail may be NULL. Errors: PPT_ERANGE, PPT_ENOMEM. */
int balls_in_bins_epsilon(const struct balls_in_bins *plan, double delta,
                          double *ret_epsilon, struct balls_in_bins_detail *ret_detail,
                          struct error *err);

/* The smallest delta at epsilon in [0, 600]. Errors: the same. */
int balls_in_bins_delta(const struct balls_in_bins *plan, double epsilon,
                        double *ret_delta, struct balls_in_bins_detail *ret_detail,
                        struct error *err);

#endif
