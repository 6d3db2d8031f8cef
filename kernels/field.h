/* Arithmetic modulo the prime p = 2^61 - 1.
 *
 * Elements are uint64_t below p. Guarantees: no branch and no address depends on an
 * element, and a 64-bit product is constant time on every machine that we build for; so
 * who measures time learns nothing of a secret. Arguments out of range are a bug of the
 * caller: field_is_element tells what came from outside apart.
 */
#ifndef PPT_KERNELS_FIELD_H
#define PPT_KERNELS_FIELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FIELD_PRIME ((UINT64_C(1) << 61) - 1)

/* Bytes that one element can carry, whatever they are, and the elements of a secret of
 * so many bytes. */
#define FIELD_BYTES 7
#define FIELD_WORDS(n_bytes) (((n_bytes) + FIELD_BYTES - 1) / FIELD_BYTES)

static inline bool field_is_element(uint64_t x)
{
    return x < FIELD_PRIME;
}

/* x or x - p, for x below 2 p. */
static inline uint64_t field_once(uint64_t x)
{
    uint64_t less = x - FIELD_PRIME;
    return less + (FIELD_PRIME & (0 - (less >> 63)));
}

static inline uint64_t field_add(uint64_t a, uint64_t b)
{
    return field_once(a + b);
}

static inline uint64_t field_sub(uint64_t a, uint64_t b)
{
    return field_once(a + FIELD_PRIME - b);
}

/* Any 128-bit number modulo p: 2^61 is 1. */
static inline uint64_t field_reduce(unsigned __int128 x)
{
    uint64_t low = (uint64_t)x & FIELD_PRIME;
    uint64_t middle = (uint64_t)(x >> 61) & FIELD_PRIME;
    uint64_t high = (uint64_t)(x >> 122);
    return field_once(field_once(low + middle) + high);
}

static inline uint64_t field_mul(uint64_t a, uint64_t b)
{
    return field_reduce((unsigned __int128)a * b);
}

/* An element from 128 random bits: within 2^-67 of uniform (statistical distance). */
static inline uint64_t field_random(uint64_t low, uint64_t high)
{
    return field_reduce((unsigned __int128)high << 64 | low);
}

/* 1 / a, by a^(p - 2); 0 for 0. */
uint64_t field_inverse(uint64_t a);

/* len bytes to FIELD_WORDS(len) elements, 7 bytes each, little end first, and back.
 * field_unpack is false, and its output zeroed, where an element holds more than its
 * bytes. */
void field_pack(const void *bytes, size_t len, uint64_t *ret_words);
bool field_unpack(const uint64_t *words, size_t len, void *ret_bytes);

#endif
