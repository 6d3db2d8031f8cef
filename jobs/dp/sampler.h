/* True Poisson samples of a rank's own records, in ascending order, a few at a time.
 *
 * Each record is in a step's sample independently with probability k / 2^53, the exact
 * rate of the price; ranks draw independently. The gap before the next record is
 * geometric, and the binary digits of a geometric variable are independent: digit j is
 * 1 with probability r/(1+r), r = (1 - k/2^53)^(2^j). Each digit is drawn by comparing
 * random bits with a 128-bit threshold.
 * Guarantee: a gap's law is within 2^-112 (2/q + 64) in total variation of the exact
 * one: below 2^-57 for the smallest rate there is, below 2^-90 for q >= 2^-20. Gaps are
 * 64-bit. Cost: the sample's size times log2(1/q), whatever the number of records.
 */
#ifndef PPT_JOBS_DP_SAMPLER_H
#define PPT_JOBS_DP_SAMPLER_H

#include <stddef.h>
#include <stdint.h>

#include "base/crypto.h"
#include "base/error.h"

enum { SAMPLER_DIGITS = 61, SAMPLER_WORDS = 512 };

struct sampler {
    struct crypto_stream *stream;
    int64_t n_rows;
    int64_t next; /* the next record to hand out, or >= n_rows */
    int n_digits; /* those above are 0 but for a chance below 2^-120 */
    unsigned __int128 threshold[SAMPLER_DIGITS];
    uint64_t words[SAMPLER_WORDS];
    int n_used; /* of words */
};

/* sample_rate is k / 2^53 with 1 <= k <= 2^53. Close with sampler_close, which wipes.
 * Errors: PPT_ERANGE (another rate). */
int sampler_open(struct sampler *sampler, const unsigned char key[CRYPTO_KEY_SIZE],
                 double sample_rate, int64_t n_rows, struct error *err);
void sampler_close(struct sampler *sampler);

/* Starts the sample of a step; each step's is independent of all others and, under one
 * key, the same whenever it is asked for. */
void sampler_begin(struct sampler *sampler, int64_t step);

/* The next at most max indices, ascending; returns how many: fewer than max only at the
 * end of the sample, 0 after it. */
size_t sampler_next(struct sampler *sampler, int64_t *ret_indices, size_t max);

#endif
