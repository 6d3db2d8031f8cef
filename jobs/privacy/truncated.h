/* Poisson samples cut to a largest size: a batch of more than `most` records keeps a
 * uniformly random `most` of them. Which of two subsampled Gaussians a step is depends
 * on the other records alone:
 *   whole  a record comes in with chance rate[0] and moves the sum by 1
 *   cut    it takes another one's place with chance rate[1] and moves the sum by 2
 * with chances weight[0] and weight[1]. Giving away which of them it was only helps the
 * adversary; pld.md, section 9, proves that the pair dominates.
 *
 * Internal to jobs/privacy: pld.h is the way in, with noise PAIR_TRUNCATED. Tighter
 * than arXiv 2508.15089 as implemented elsewhere, whose cut batches move by 4.
 */
#ifndef PPT_JOBS_PRIVACY_TRUNCATED_H
#define PPT_JOBS_PRIVACY_TRUNCATED_H

#include <stdint.h>

#include "base/error.h"

#define TRUNCATED_MAX_RECORDS 1000000

/* Weights and rates are rounded up, so that the weights sum to 1 and a little; a batch
 * that is never cut has weight[1] = 0. */
struct truncated {
    double weight[2], rate[2];
};

/* n_records (1 to TRUNCATED_MAX_RECORDS, of the larger of two neighbouring data sets),
 * each sampled alone at `rate` in [2^-53, 1), at most `most` >= 1 of them kept. The
 * price does not grow with n_records, nor fall: where that is private, ask for every
 * number it may be. Errors: PPT_ERANGE. */
int truncated_init(struct truncated *truncated, int64_t n_records, double rate,
                   int64_t most, struct error *err);

/* Errors: PPT_ERANGE, for what truncated_init has not made. */
int truncated_check(const struct truncated *truncated, struct error *err);

#endif
