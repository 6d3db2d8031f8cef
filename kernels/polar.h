/* A pair of normal draws to 180 binary places, rounded to integers: the last word on
 * the few draws that grid.c cannot decide in double. Private to this room.
 *
 * Box and Muller's pair from reals U, V in [0, 1): z = sqrt(-2 ln U) cos 2 pi V and
 * sqrt(-2 ln U) sin 2 pi V, in fixed point with 192 binary places.
 * Guarantee: the integers are those nearest to std_steps * z for the real U and V that
 * the bits begin, but for an event of probability below 2^-178 (1 + std_steps)^2 over
 * uniform bits (derivation: kernels/samplers.md).
 * Hidden: everything. One fixed sequence of additions, multiplications and masks of
 * whole numbers; no branch, index, shift or whole division by a value that depends on
 * the bits. A quotient and a root begin in double: their time is hidden as far as
 * kernels/grid.h assumes of doubles.
 */
#ifndef PPT_KERNELS_POLAR_H
#define PPT_KERNELS_POLAR_H

#include <stdint.h>

enum { POLAR_EXTRA_WORDS = 8 };

/* U = 0.bits[0] extra[0..3] and V = 0.bits[1] extra[4..5], each word 64 binary digits,
 * the highest first. 0 < std_steps <= 2^40. */
void polar_round(double std_steps, const uint64_t bits[2],
                 const uint64_t extra[POLAR_EXTRA_WORDS], int64_t ret[2]);

#endif
