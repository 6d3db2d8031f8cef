/* Draws from the Skellam law of variance v, in 64ths: the difference of two Poisson
 * variables of mean v/2 each, mass e^{-v} I_|x|(v). Sums of such draws are of the same
 * family, so shares of noise add up exactly (Agarwal, Kairouz, Liu 2021, arXiv
 * 2110.04995). Private to this room, but for tests.
 *
 * Guarantee: a draw is the Skellam law's but for a statistical distance below 2^-104,
 * so 2^42 draws together are below 2^-62, the smallest delta the ledger counts. The
 * chances that |x| >= k are found in integers: I_{k-1}(v) = I_{k+1}(v) + (2k/v) I_k(v)
 * downwards from a k so large that the start does not matter (Miller's algorithm), once
 * to find their total and once more from a start over that total, then cut to units of
 * 2^-127; a draw takes 127 random bits and one for the sign. All terms are positive, so
 * each step's rounding down, 2^-127 of a term at most, is all that is lost.
 * Not hidden: from who shares the caches, what was drawn: the table is searched by it.
 */
#ifndef PPT_JOBS_FL_SKELLAM_H
#define PPT_JOBS_FL_SKELLAM_H

#include <stdint.h>

#include "base/crypto.h"
#include "base/error.h"

#define SKELLAM_LEAST_VARIANCE 16
#define SKELLAM_MOST_VARIANCE (INT64_C(1) << 32)
#define SKELLAM_SLICES (127 * 256) /* by the first digit that is 1, and 8 more */

struct skellam {
    unsigned __int128 *least; /* [n]: |x| > i with chance least[i] 2^-127 */
    uint64_t *code;           /* [n]: their highest 58 digits, as they are searched */
    int64_t n;                /* |x| is n at most */
    int32_t *begin; /* [SKELLAM_SLICES]: where to begin for codes of one slice */
    int64_t span;   /* so many of them from there are enough */
};

/* Of variance sixty_fourths / 64. Caller closes. Takes 0.1 s and 25 MB for the largest.
 * Errors: PPT_ERANGE (variance out of its range), PPT_ENOMEM. */
int skellam_open(struct skellam *skellam, int64_t sixty_fourths, struct error *err);
void skellam_close(struct skellam *skellam); /* a zeroed one too */

/* n draws, 16 bytes of the stream each. Draws are secrets: the caller wipes x. */
void skellam_draw(const struct skellam *skellam, int64_t n,
                  struct crypto_stream *stream, int64_t *x);

#endif
