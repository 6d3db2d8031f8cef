/* Random draws of a federation: keys for one purpose each, and what is drawn from their
 * streams. Public keys come from the spec's seed, so that a run can be repeated; secret
 * ones from a key that is fresh in every process: a cohort that a price counts on being
 * secret must come from one. */
#ifndef PPT_JOBS_FL_DRAW_H
#define PPT_JOBS_FL_DRAW_H

#include <stdint.h>

#include "base/crypto.h"

/* "purpose" in a word or two; another for each use of a key. */
void draw_key_public(int64_t seed, const char *purpose,
                     unsigned char ret_key[CRYPTO_KEY_SIZE]);
/* `master` is 32 random bytes, secret. */
void draw_key_secret(const unsigned char master[CRYPTO_KEY_SIZE], const char *purpose,
                     unsigned char ret_key[CRYPTO_KEY_SIZE]);

/* Uniform on 0 .. n - 1 (n > 0), off by n 2^-64 at most: not for what is priced. */
int64_t draw_below(struct crypto_stream *stream, int64_t n);

/* Uniform on (0, 1), a multiple of 2^-53. */
double draw_uniform(struct crypto_stream *stream);

/* With mean 0 and standard deviation 1 (Box, Muller 1958): not for what is priced. */
double draw_normal(struct crypto_stream *stream);

/* Gamma with this shape > 0 and scale 1 (Marsaglia, Tsang 2000). */
double draw_gamma(struct crypto_stream *stream, double shape);

/* Fisher and Yates. */
void draw_shuffle(struct crypto_stream *stream, int64_t *items, int64_t n);

#endif
