/* Squared distances that add up exactly. A sum of squares over a block of SQUARE_BLOCK
 * coordinates is made in double and rounded to 2^-64; sums of blocks are then whole
 * numbers, the same in any order.
 */
#ifndef PPT_KERNELS_SQUARE_H
#define PPT_KERNELS_SQUARE_H

#include <stdint.h>

#define SQUARE_BLOCK 16
#define SQUARE_MOST 1024 /* coordinates: sums of so many blocks are exact in double */

/* Sum of (a_j - b_j)^2, n coordinates, a multiple of SQUARE_BLOCK and at most
 * SQUARE_MOST, no two further apart than 512: *ret_high is a whole number of 2^-20 and
 * *ret_low, which may be negative, one of 2^-64; their sum is the distance. */
void square_between(int64_t n, const double *a, const double *b, double *ret_high,
                    double *ret_low);

#endif
