/* Vectors over the integers modulo 2^n_bits, 1 to 32 bits: sums, masks and the packed
 * form that travels.
 *
 * In memory a coordinate is a uint32_t whose bits above n_bits are left as they fall
 * (adding and subtracting do not mind) and are cut off when it is packed. Guarantee: no
 * branch and no address depends on a coordinate. Masks take random words from the
 * caller, like all noise here: this room knows no cryptography.
 */
#ifndef PPT_KERNELS_RING_H
#define PPT_KERNELS_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RING_MAX_BITS 32

/* acc += x and acc -= x, n coordinates. */
void ring_add(uint32_t *acc, const uint32_t *x, size_t n);
void ring_sub(uint32_t *acc, const uint32_t *x, size_t n);

/* acc[n] += (or -=) the next n words of the stream behind `random`, which fills
 * words[n] with uniform random bits and goes on from call to call. Drawn piece by
 * piece. */
void ring_mask(uint32_t *acc, size_t n, bool is_minus,
               void (*random)(void *state, uint32_t *ret_words, size_t n), void *state);

/* Bytes of n packed coordinates: ceil(n * n_bits / 8). */
size_t ring_size_bytes(size_t n, int n_bits);

/* Packs x[n], lowest bits of a coordinate first, into ring_size_bytes bytes; spare bits
 * of the last byte are 0. */
void ring_pack(const uint32_t *x, size_t n, int n_bits, unsigned char *ret_bytes);

/* acc[n] += the coordinates packed in `bytes`. False, with acc as it was, where a spare
 * bit is set: a vector has one packed form. */
bool ring_add_packed(uint32_t *acc, size_t n, int n_bits, const unsigned char *bytes);

/* A coordinate as the number in [-2^(n_bits-1), 2^(n_bits-1)) that it stands for, and
 * the coordinate of a number. */
static inline int64_t ring_signed(uint32_t x, int n_bits)
{
    uint32_t up = x << (32 - n_bits);
    return (int64_t)(int32_t)up >> (32 - n_bits);
}

static inline uint32_t ring_of(int64_t value)
{
    return (uint32_t)(uint64_t)value;
}

#endif
