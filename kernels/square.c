#include "kernels/square.h"

#include "kernels/cpu.h"

enum { LANES = 8 };

CPU_INLINE double fold(const double *lane)
{
    return ((lane[0] + lane[4]) + (lane[1] + lane[5])) +
           ((lane[2] + lane[6]) + (lane[3] + lane[7]));
}

/* A block's sum is below 2^22 (but for its rounding), so either part is below 2^43
 * units in size, and 64 of them below 2^49. Adding a number with the wanted last place
 * rounds to it, and taking it off again, like the difference of the two, is without
 * rounding. */
CPU_CLONES
void square_between(int64_t n, const double *a, const double *b, double *ret_high,
                    double *ret_low)
{
    double high = 0.0, low = 0.0;
    for (int64_t j = 0; j < n; j += SQUARE_BLOCK) {
        double lane[LANES] = {0.0};
        for (int half = 0; half < SQUARE_BLOCK; half += LANES) {
            for (int k = 0; k < LANES; k++) {
                double d = a[j + half + k] - b[j + half + k];
                lane[k] += d * d;
            }
        }
        double square = fold(lane), coarse = (square + 0x1.8p32) - 0x1.8p32;
        high += coarse;
        low += ((square - coarse) + 0x1.8p-12) - 0x1.8p-12;
    }
    *ret_high = high;
    *ret_low = low;
}
