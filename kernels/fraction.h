/* Fractions of 256 binary places and exp(-x) of them: the last word on the few
 * candidates that staircase.c cannot decide in double. Private to this room.
 *
 * Hidden: everything but in fraction_rate and fraction_divide, whose arguments are
 * public. One fixed sequence of additions, multiplications and masks of whole numbers;
 * no branch, index, shift or division by a value. Bounds: kernels/samplers.md.
 */
#ifndef PPT_KERNELS_FRACTION_H
#define PPT_KERNELS_FRACTION_H

#include <stdint.h>

/* The sum of limb[i] 2^(64 i - 256): in [0, 1). */
struct fraction {
    uint64_t limb[4];
};

/* r 2^-20, cut after 320 places: limb[i] 2^(64 i - 320). */
struct fraction_rate {
    uint64_t limb[5];
};

/* r = a / b < 2^16; 1 <= b <= 2^63. */
struct fraction_rate fraction_rate(uint64_t a, uint64_t b);

/* exp(-q r), off by less than 2^-232, where q r < 2^16. */
struct fraction fraction_exp(uint64_t q, const struct fraction_rate *rate);

/* part / whole, rounded down; part < whole. */
struct fraction fraction_divide(struct fraction part, const struct fraction *whole);

/* 1 where x < y, else 0. */
uint64_t fraction_is_less(const struct fraction *x, const struct fraction *y);

/* Of the sum, which is below 1. */
struct fraction fraction_add(struct fraction x, const struct fraction *y);

#endif
