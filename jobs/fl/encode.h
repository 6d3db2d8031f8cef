/* A client's update as a vector of the ring, and back from the sum of many: clip,
 * rotate at random (rotation.h), scale, round at random to integers (Kairouz, Liu,
 * Steinke: The distributed discrete Gaussian mechanism for federated learning with
 * secure aggregation, ICML 2021, algorithms 1 and 2).
 *
 * Guarantees:
 * - whatever the update holds, the integers' L2 norm is at most encode_bound, checked
 * in whole numbers after all rounding: it is the sensitivity of the sum to one client;
 *   noise for privacy is integers that the caller adds and prices, none is added here;
 * - an update with a NaN or an infinity gives zeros;
 * - on average over the random bits the integers are the clipped, rotated, scaled
 * update (but for the vectors that are drawn anew: bias below a rounding step). Limits:
 * a sum that leaves the ring wraps around and decodes to nonsense; encode_scale keeps
 * `spread` standard deviations free. How often a vector was drawn anew can be seen in
 * the time that encoding takes.
 */
#ifndef PPT_JOBS_FL_ENCODE_H
#define PPT_JOBS_FL_ENCODE_H

#include <stdint.h>

#include "base/crypto.h"
#include "base/error.h"

/* Public, the same for all clients of a round. */
struct encode_terms {
    uint32_t n_values; /* of an update, as of the encoded vector */
    double clip_norm;  /* L2; > 0 */
    double scale;      /* integers to a unit; > 0 */
    unsigned char rotation[CRYPTO_KEY_SIZE]; /* seed of the signs: the session's id */
};

/* The scale with which the sum over n_clients vectors, each with integer noise of
 * standard deviation noise_std (of the unscaled update; 0: none), keeps `spread`
 * standard deviations of a coordinate within a ring of n_bits. n_values, clip_norm of
 * the terms are used. Errors: PPT_ERANGE (too few bits for so many clients: below one
 * integer a clip norm). */
int encode_scale(const struct encode_terms *terms, uint32_t n_clients, int n_bits,
                 double noise_std, double spread, double *ret_scale, struct error *err);

/* The largest L2 norm of an encoded vector: the lesser of c s + sqrt(d) and
 * sqrt((c s)^2 + d/4 + c s + sqrt(d)/2), which a rounding at random exceeds with
 * probability below e^-1/2. */
double encode_bound(const struct encode_terms *terms);

/* update[n_values] to ret_ring[n_values]; private random bits of the client from
 * `random`. Errors: PPT_ERANGE (terms that cannot be: norm or scale not positive, or
 * their product above 2^26), PPT_ENOMEM. */
int encode_update(const struct encode_terms *terms, const float *update,
                  struct crypto_stream *random, uint32_t *ret_ring, struct error *err);

/* The sum of updates that a sum of encoded vectors modulo 2^n_bits stands for.
 * Errors: PPT_ENOMEM. */
int encode_decode(const struct encode_terms *terms, const uint32_t *sum, int n_bits,
                  float *ret_update, struct error *err);

#endif
