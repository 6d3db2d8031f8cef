/* The samples of a rank's own records, in ascending order, a few at a time: Poisson, or
 * dealt (balls in bins).
 *
 * Poisson: each record is in a step's sample independently with probability k / 2^53,
 * the exact rate of the price; ranks draw independently. The gap before the next record
 * is geometric, and the binary digits of a geometric variable are independent: digit j
 * is 1 with probability r/(1+r), r = (1 - k/2^53)^(2^j). Each digit is drawn by
 * comparing random bits with a 128-bit threshold, the first 16 alone where they differ.
 * Guarantee: a gap's law is within 2^-112 (2/q + 64) in total variation of the exact
 * one: below 2^-57 for the smallest rate there is, below 2^-90 for q >= 2^-20. Gaps are
 * 64-bit. Cost: the sample's size times log2(1/q), whatever the number of records.
 *
 * Dealt: each record falls into one of the n_bins steps of an epoch, uniformly and
 * independently of all else, afresh each epoch. Bin by bin: of the records that are
 * left (deck.h), bin j takes each with probability 1/(n_bins - j), by the same gaps,
 * whose q is that; the last bin takes all. The bound on a bin's law is the one above.
 * Who begins in the middle of an epoch gets the rest of a whole deal: what falls into
 * its earlier bins is drawn and dropped.
 *
 * Dealt in a fixed order: one deal for all epochs of a process. So a record's steps are
 * n_bins apart, one in each epoch, and they are drawn independently of other records: a
 * record more or less changes nobody else's law.
 */
#ifndef PPT_JOBS_DP_SAMPLER_H
#define PPT_JOBS_DP_SAMPLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/crypto.h"
#include "base/error.h"
#include "jobs/dp/deck.h"

enum { SAMPLER_DIGITS = 61, SAMPLER_PIECES = 2048 };

struct sampler {
    struct crypto_stream *stream;
    int64_t n_rows;
    int64_t next; /* the next record to hand out, or >= n_rows */
    int n_digits; /* those above are 0 but for a chance below 2^-120 */
    unsigned __int128 threshold[SAMPLER_DIGITS];
    uint16_t first[SAMPLER_DIGITS];  /* the highest 16 bits of each */
    uint16_t pieces[SAMPLER_PIECES]; /* random bits */
    int n_used;
    /* Dealt only. */
    int64_t n_bins; /* 0: Poisson */
    bool is_fixed;  /* every epoch is dealt as the first */
    int64_t step;   /* begun last; -1: none */
    struct deck deck;
};

/* sample_rate is k / 2^53 with 1 <= k <= 2^53. Close with sampler_close, which wipes.
 * Errors: PPT_ERANGE (another rate). */
int sampler_open(struct sampler *sampler, const unsigned char key[CRYPTO_KEY_SIZE],
                 double sample_rate, int64_t n_rows, struct error *err);

/* The same for records that are dealt into n_bins >= 1 steps an epoch, the first of
 * which is a multiple of n_bins; is_fixed: in each epoch as in every other.
 * Errors: PPT_ENOMEM. */
int sampler_open_dealt(struct sampler *sampler,
                       const unsigned char key[CRYPTO_KEY_SIZE], int64_t n_bins,
                       bool is_fixed, int64_t n_rows, struct error *err);
void sampler_close(struct sampler *sampler);

/* Starts the sample of a step; each step's (each epoch's, if dealt; in a fixed order
 * all epochs' together) is independent of all others and, under one key, the same
 * whenever it is asked for. Dealt steps are cheap in their order. */
void sampler_begin(struct sampler *sampler, int64_t step);

/* The next at most max indices, ascending; returns how many: fewer than max only at the
 * end of the sample, 0 after it. */
size_t sampler_next(struct sampler *sampler, int64_t *ret_indices, size_t max);

#endif
