/* Normal draws from random bits: Box and Muller's method in double, with polynomials in
 * place of log, sin and cos so that the loops become vector code. Each polynomial's
 * remainder is below 2^-53; the draws agree with the library's functions to 1e-14
 * (tests/unit/kernels/check_noise.c). */
#include "kernels/cpu.h"

#include <math.h>
#include <string.h>

enum { PAIRS = 64 }; /* in one pass: all of its arrays stay in the first-level cache */

static inline double as_double(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint64_t as_bits(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* An integer below 2^52 as a double, by way of 2^52's bit pattern: a vector of 64-bit
 * integers has no direct conversion before AVX-512. */
static inline double small_integer(uint64_t integer)
{
    return as_double(0x4330000000000000u | integer) - 0x1p52;
}

/* The upper 53 bits as k / 2^53, k = 0 .. 2^53 - 1, exact. */
static inline double uniform(uint64_t bits)
{
    double high = small_integer(bits >> 38),
           low = small_integer(bits >> 11 & 0x7ffffff);
    return high * 0x1p-26 + low * 0x1p-53;
}

/* Natural logarithm of u in (0, 1]: u = 2^e m with m in [sqrt(1/2), sqrt(2)), and
 * log m = 2 (f + f^3/3 + f^5/5 + ...), f = (m - 1)/(m + 1), |f| < 0.1716. */
static inline double log_uniform(double u)
{
    uint64_t bits = as_bits(u);
    uint64_t offset = bits - 0x3fe6a09e667f3bcdu + 0x4000000000000000u;
    double e = small_integer(offset >> 52) - 1024.0;
    double m = as_double((offset & 0xfffffffffffffu) + 0x3fe6a09e667f3bcdu);
    double f = (m - 1.0) / (m + 1.0), s = f * f;
    double sum = 1.0 / 23.0;
    sum = sum * s + 1.0 / 21.0;
    sum = sum * s + 1.0 / 19.0;
    sum = sum * s + 1.0 / 17.0;
    sum = sum * s + 1.0 / 15.0;
    sum = sum * s + 1.0 / 13.0;
    sum = sum * s + 1.0 / 11.0;
    sum = sum * s + 1.0 / 9.0;
    sum = sum * s + 1.0 / 7.0;
    sum = sum * s + 1.0 / 5.0;
    sum = sum * s + 1.0 / 3.0;
    return e * 0.6931471805599453 + 2.0 * (f + f * s * sum);
}

/* sin and cos of an angle in [-pi/4, pi/4], Taylor to degrees 17 and 18. */
static inline double sin_small(double t)
{
    double s = t * t;
    double sum = 1.0 / 355687428096000.0;
    sum = sum * s - 1.0 / 1307674368000.0;
    sum = sum * s + 1.0 / 6227020800.0;
    sum = sum * s - 1.0 / 39916800.0;
    sum = sum * s + 1.0 / 362880.0;
    sum = sum * s - 1.0 / 5040.0;
    sum = sum * s + 1.0 / 120.0;
    sum = sum * s - 1.0 / 6.0;
    return t + t * s * sum;
}

static inline double cos_small(double t)
{
    double s = t * t;
    double sum = -1.0 / 6402373705728000.0;
    sum = sum * s + 1.0 / 20922789888000.0;
    sum = sum * s - 1.0 / 87178291200.0;
    sum = sum * s + 1.0 / 479001600.0;
    sum = sum * s - 1.0 / 3628800.0;
    sum = sum * s + 1.0 / 40320.0;
    sum = sum * s - 1.0 / 720.0;
    sum = sum * s + 1.0 / 24.0;
    sum = sum * s - 0.5;
    return 1.0 + s * sum;
}

/* Pair i: radius sqrt(-2 log u), angle 2 pi v, turned by whole quarters. */
static inline void draw_pairs(int64_t n_pairs, const uint64_t *restrict bits,
                              double *restrict first, double *restrict second)
{
    for (int64_t i = 0; i < n_pairs; i++) {
        double u = uniform(bits[2 * i]) + 0x1p-53; /* in (0, 1] */
        double v = uniform(bits[2 * i + 1]);
        double radius = sqrt(-2.0 * log_uniform(u));
        double quarter = (4.0 * v + 0x1.8p52) - 0x1.8p52; /* to the nearest integer */
        double t = (v - 0.25 * quarter) * 6.283185307179586;
        double s = sin_small(t), c = cos_small(t);
        bool is_half = quarter == 2.0, is_first = quarter == 1.0;
        bool is_third = quarter == 3.0;
        double x = is_first || is_third ? s : c, y = is_first || is_third ? c : s;
        x = is_first || is_half ? -x : x;
        y = is_half || is_third ? -y : y;
        first[i] = radius * x;
        second[i] = radius * y;
    }
}

CPU_CLONES void noise_gaussian(int64_t n, const uint64_t *bits, double std, double *x)
{
    double first[PAIRS], second[PAIRS];
    for (int64_t at = 0; at < n; at += 2 * PAIRS) {
        int64_t n_pairs = (n - at) / 2 < PAIRS ? (n - at) / 2 : PAIRS;
        draw_pairs(n_pairs, bits + at, first, second);
        for (int64_t i = 0; i < n_pairs; i++) {
            x[at + 2 * i] += std * first[i];
            x[at + 2 * i + 1] += std * second[i];
        }
    }
    /* a draw is a secret: with it the sum it hides can be had back */
    memset(first, 0, sizeof first);
    memset(second, 0, sizeof second);
    __asm__ volatile("" : : "r"(first), "r"(second) : "memory");
}
