#include "jobs/fl/encode.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/fl/rotation.h"
#include "kernels/ring.h"

enum { MOST_DRAWS = 400 }; /* 0.61^400: after that rounding goes towards zero */

int encode_scale(const struct encode_terms *terms, uint32_t n_clients, int n_bits,
                 double noise_std, double spread, double *ret_scale, struct error *err)
{
    const double n = n_clients, c = terms->clip_norm;
    const double d = rotation_block(terms->n_values);
    /* What rounding adds is a quarter at most for each client; formula of the paper's
     * section 5: the ring holds 2 k standard deviations. */
    double room = ldexp(1.0, 2 * n_bits) - n * spread * spread;
    double variance = c * c * n * n / d + n * noise_std * noise_std;
    double scale = room > 0.0 ? sqrt(room) / (2.0 * spread * sqrt(variance)) : 0.0;
    if (!(scale * c >= 1.0)) {
        error_set(err, PPT_ERANGE, "%d bits are too few for the sum of %u clients",
                  n_bits, (unsigned)n_clients);
        return error_hint(err, "take more bits, fewer clients a round or less noise");
    }
    *ret_scale = fmin(scale, ldexp(1.0, 26) / c);
    return 0;
}

double encode_bound(const struct encode_terms *terms)
{
    const double d = terms->n_values, cs = terms->clip_norm * terms->scale;
    double often = sqrt(cs * cs + d / 4.0 + cs + sqrt(d) / 2.0);
    return fmin(cs + sqrt(d), often);
}

/* update times min(1, c / norm) and the scale; zeros where it is not finite. */
static void clip(const struct encode_terms *terms, const float *update, double *ret_x)
{
    double square = 0.0;
    for (uint32_t i = 0; i < terms->n_values; i++) {
        square += (double)update[i] * (double)update[i];
    }
    double norm = sqrt(square);
    double factor = norm > terms->clip_norm ? terms->clip_norm / norm : 1.0;
    for (uint32_t i = 0; i < terms->n_values; i++) {
        ret_x[i] = isfinite(norm) ? (double)update[i] * factor * terms->scale : 0.0;
    }
}

/* Rounds each coordinate up with the probability of its fraction, or all of them
 * towards zero; the square of the norm of what came out. */
static double round_all(const double *x, uint32_t n, struct crypto_stream *random,
                        bool is_towards_zero, uint32_t *ret_ring)
{
    double square = 0.0;
    for (uint32_t i = 0; i < n; i++) {
        double whole = floor(x[i]);
        uint64_t word;
        crypto_stream_read(random, &word, sizeof word);
        if (is_towards_zero) {
            whole = trunc(x[i]);
        } else if ((double)(word >> 11) * 0x1p-53 < x[i] - whole) {
            whole += 1.0;
        }
        square += whole * whole; /* whole numbers below 2^53: exact */
        ret_ring[i] = ring_of((int64_t)whole);
    }
    return square;
}

static int check_terms(const struct encode_terms *terms, struct error *err)
{
    bool is_good = terms->n_values > 0 && terms->clip_norm > 0.0 &&
                   terms->scale > 0.0 && terms->clip_norm * terms->scale <= 0x1p26 &&
                   terms->n_values <= INT32_MAX / 4;
    return is_good
               ? 0
               : error_set(err, PPT_ERANGE,
                           "an update of %u values, clip norm %g and scale %g cannot "
                           "be encoded",
                           (unsigned)terms->n_values, terms->clip_norm, terms->scale);
}

int encode_update(const struct encode_terms *terms, const float *update,
                  struct crypto_stream *random, uint32_t *ret_ring, struct error *err)
{
    int rc = check_terms(terms, err);
    if (rc != 0) {
        return rc;
    }
    const double bound = encode_bound(terms), most = bound * bound * (1.0 - 0x1p-40);
    double *x = malloc(terms->n_values * sizeof *x);
    if (x == NULL) {
        return error_set(err, PPT_ENOMEM, "no memory for an update");
    }
    clip(terms, update, x);
    rotation_turn(terms->rotation, x, terms->n_values);
    int n_draws = 0;
    while (round_all(x, terms->n_values, random, n_draws >= MOST_DRAWS, ret_ring) >
           most) {
        n_draws++;
    }
    crypto_wipe(x, terms->n_values * sizeof *x);
    free(x);
    return 0;
}

int encode_decode(const struct encode_terms *terms, const uint32_t *sum, int n_bits,
                  float *ret_update, struct error *err)
{
    int rc = check_terms(terms, err);
    if (rc != 0) {
        return rc;
    }
    double *x = malloc(terms->n_values * sizeof *x);
    if (x == NULL) {
        return error_set(err, PPT_ENOMEM, "no memory for an update");
    }
    for (uint32_t i = 0; i < terms->n_values; i++) {
        x[i] = (double)ring_signed(sum[i], n_bits) / terms->scale;
    }
    rotation_turn_back(terms->rotation, x, terms->n_values);
    for (uint32_t i = 0; i < terms->n_values; i++) {
        ret_update[i] = (float)x[i];
    }
    free(x);
    return 0;
}
