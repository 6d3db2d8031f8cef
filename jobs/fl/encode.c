#include "jobs/fl/encode.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/ring.h"

enum { MOST_DRAWS = 400 }; /* 0.61^400: after that rounding goes towards zero */

/* The largest power of two up to n. */
static uint32_t block_size(uint32_t n)
{
    uint32_t size = 1;
    while (size <= n / 2) {
        size *= 2;
    }
    return size;
}

int encode_scale(const struct encode_terms *terms, uint32_t n_clients, int n_bits,
                 double noise_std, double spread, double *ret_scale, struct error *err)
{
    const double n = n_clients, c = terms->clip_norm;
    const double d = block_size(terms->n_values);
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

/* In place and orthonormal; n a power of two. */
static void hadamard(double *x, uint32_t n)
{
    const double factor = 1.0 / sqrt((double)n);
    for (uint32_t half = 1; half < n; half *= 2) {
        for (uint32_t at = 0; at < n; at += 2 * half) {
            for (uint32_t i = at; i < at + half; i++) {
                double a = x[i], b = x[i + half];
                x[i] = a + b;
                x[i + half] = a - b;
            }
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        x[i] *= factor;
    }
}

/* Signs of the first (0) or the last (1) block. */
static void flip(const struct encode_terms *terms, uint64_t which, double *x,
                 uint32_t n)
{
    struct crypto_stream *stream = crypto_stream_new(terms->rotation);
    uint64_t word = 0;
    crypto_stream_seek(stream, 1 + which, 0);
    for (uint32_t i = 0; i < n; i++) {
        if (i % 64 == 0) {
            crypto_stream_read(stream, &word, sizeof word);
        }
        x[i] = word >> (i % 64) & 1 ? -x[i] : x[i];
    }
    crypto_stream_free(stream);
}

static void rotate(const struct encode_terms *terms, double *x)
{
    const uint32_t n = block_size(terms->n_values), rest = terms->n_values - n;
    flip(terms, 0, x, n);
    hadamard(x, n);
    if (rest > 0) {
        flip(terms, 1, x + rest, n);
        hadamard(x + rest, n);
    }
}

static void rotate_back(const struct encode_terms *terms, double *x)
{
    const uint32_t n = block_size(terms->n_values), rest = terms->n_values - n;
    if (rest > 0) {
        hadamard(x + rest, n);
        flip(terms, 1, x + rest, n);
    }
    hadamard(x, n);
    flip(terms, 0, x, n);
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
    rotate(terms, x);
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
    rotate_back(terms, x);
    for (uint32_t i = 0; i < terms->n_values; i++) {
        ret_update[i] = (float)x[i];
    }
    free(x);
    return 0;
}
