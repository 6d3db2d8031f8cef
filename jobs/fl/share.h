/* A client's share of the noise on a secure sum: whole numbers that it adds to its
 * vector before it is masked, so that the server sees no sum without noise (Kairouz,
 * Liu, Steinke 2021, arXiv 2102.06387). Private to this room, but for tests.
 *
 * How much: n_min shares together make up the noise that is priced; more are more.
 * Guarantee (Gaussian kinds): the sum of n_min or more shares on a vector of whole
 * numbers whose L2 sensitivity is `sensitivity` costs, sampled or not, at any order and
 * in both directions, what real Gaussian noise of `multiplier` times the sensitivity
 * does, but for 2^-180 nats (noise.md). For that a share has standard deviation
 * SHARE_LEAST_STD or more and all n_min of them together SHARE_EXTRA_VARIANCE more
 * variance than the real noise. Skellam: n_min or more shares are Skellam noise of
 * `multiplier` times the sensitivity or more, and that is PRICE_SKELLAM_SENSITIVITY or
 * more, as price_skellam prices it.
 * Draws of one substream of one key are the same draws: a substream is used once.
 */
#ifndef PPT_JOBS_FL_SHARE_H
#define PPT_JOBS_FL_SHARE_H

#include <stdint.h>

#include "base/crypto.h"
#include "base/error.h"
#include "jobs/dp/noise.h"
#include "jobs/fl/skellam.h"
#include "jobs/spec/spec.h"
#include "kernels/staircase.h"

#define SHARE_LEAST_STD 4.0
#define SHARE_EXTRA_VARIANCE 9.0
#define SHARE_MOST (1 << 20) /* shares on one sum */

struct share_plan {
    enum spec_noise_kind kind;
    double multiplier;  /* priced: of all shares together, over the sensitivity */
    double sensitivity; /* L2, of whole numbers; > 0 */
    int64_t n_min;      /* 1 .. SHARE_MOST */
};

struct share {
    enum spec_noise_kind kind;
    double std; /* of a share, rounded up */
    uint32_t n_values;
    /* rounded_gaussian */
    struct grid grid;
    struct noise noise;
    double *draws; /* [n_draws], zeros between calls */
    uint32_t n_draws;
    /* discrete_gaussian, skellam */
    struct staircase staircase;
    struct skellam skellam;
    struct crypto_stream *stream;
    int64_t *numbers; /* [n_draws] */
};

/* For vectors of n_values. Copies the key, which is secret and fresh. Close with
 * share_close, which wipes. Errors: PPT_ERANGE (noise so small that a share would have
 * less than SHARE_LEAST_STD, or larger than can be drawn; Skellam: too small a
 * sensitivity), PPT_ENOMEM. */
int share_open(struct share *share, const struct share_plan *plan, uint32_t n_values,
               const struct kernels *kernels, const unsigned char key[CRYPTO_KEY_SIZE],
               struct error *err);
void share_close(struct share *share); /* a zeroed one too */

/* ring[n_values] += the share of this substream, below NOISE_STEPS. */
void share_add(struct share *share, uint64_t substream, uint32_t *ring);

#endif
