#include "jobs/fl/rotation.h"

#include <math.h>

uint32_t rotation_block(uint32_t n)
{
    uint32_t size = 1;
    while (size <= n / 2) {
        size *= 2;
    }
    return size;
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
static void flip(const unsigned char key[CRYPTO_KEY_SIZE], uint64_t which, double *x,
                 uint32_t n)
{
    struct crypto_stream *stream = crypto_stream_new(key);
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

void rotation_turn(const unsigned char key[CRYPTO_KEY_SIZE], double *x, uint32_t n)
{
    const uint32_t block = rotation_block(n), rest = n - block;
    flip(key, 0, x, block);
    hadamard(x, block);
    if (rest > 0) {
        flip(key, 1, x + rest, block);
        hadamard(x + rest, block);
    }
}

void rotation_turn_back(const unsigned char key[CRYPTO_KEY_SIZE], double *x, uint32_t n)
{
    const uint32_t block = rotation_block(n), rest = n - block;
    if (rest > 0) {
        hadamard(x + rest, block);
        flip(key, 1, x + rest, block);
    }
    hadamard(x, block);
    flip(key, 0, x, block);
}
