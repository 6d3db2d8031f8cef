/* exp and the like as short polynomials without branches, so that loops around them
 * become vector code. Private to this room.
 */
#ifndef PPT_KERNELS_FASTMATH_H
#define PPT_KERNELS_FASTMATH_H

#include <stdint.h>
#include <string.h>

#ifdef __CUDACC__ /* the device kernels share these */
#define FASTMATH static __device__ inline
#else
#define FASTMATH static inline
#endif

/* exp(x) for x <= 0; below -80 the value at -80. Relative error at most 2e-7. NaN gives
 * NaN. Taylor's polynomial of 2^f on |f| <= 1/2 to degree 7 (remainder 5e-9). */
FASTMATH float fastmath_exp_negative(float x)
{
    x = x < -80.0f ? -80.0f : x;
    float scaled = x * 1.44269504f;
    float shifted = scaled + 12582912.0f; /* 1.5 * 2^23: rounds to an integer */
    float whole = shifted - 12582912.0f;
    float f = (x - whole * 0.693145752f) - whole * 1.42860677e-6f; /* ln 2, two parts */
    float e = 1.0f / 5040.0f;
    e = e * f + 1.0f / 720.0f;
    e = e * f + 1.0f / 120.0f;
    e = e * f + 1.0f / 24.0f;
    e = e * f + 1.0f / 6.0f;
    e = e * f + 0.5f;
    e = e * f + 1.0f;
    e = e * f + 1.0f;
    int32_t power;
    memcpy(&power, &shifted, sizeof power);
    power = (int32_t)((uint32_t)(power - 0x4b400000 + 127) << 23);
    float scale;
    memcpy(&scale, &power, sizeof scale);
    return e * scale;
}

/* tanh(x), relative error at most 1e-6: (1 - t) / (1 + t) with t = exp(-2|x|), and
 * Taylor's polynomial to x^9 where that difference would cancel. */
FASTMATH float fastmath_tanh(float x)
{
    float size = x < 0.0f ? -x : x;
    float t = fastmath_exp_negative(-2.0f * size);
    float large = (1.0f - t) / (1.0f + t);
    large = x < 0.0f ? -large : large;
    float s = x * x;
    float small = 62.0f / 2835.0f;
    small = small * s - 17.0f / 315.0f;
    small = small * s + 2.0f / 15.0f;
    small = small * s - 1.0f / 3.0f;
    small = x + x * s * small;
    return size < 0.25f ? small : large;
}

/* 1 / (1 + exp(-x)), relative error at most 1e-6 for x >= -80; never below 0 nor above
 * 1. */
FASTMATH float fastmath_sigmoid(float x)
{
    float t = fastmath_exp_negative(x < 0.0f ? x : -x);
    return (x < 0.0f ? t : 1.0f) / (1.0f + t);
}

/* The normal distribution's cumulative function, absolute error at most 2e-7, and its
 * density. Beyond 12.6 both are at their limits (what is left there is below 1e-34).
 * Abramowitz, Stegun, Handbook of Mathematical Functions, 7.1.26. */
FASTMATH float fastmath_normal(float x, float *ret_density)
{
    float size = x < 0.0f ? -x : x;
    float near = size > 12.6f ? 12.6f : size; /* NaN stays */
    float e = fastmath_exp_negative(-0.5f * near * near);
    e = size > 12.6f ? 0.0f : e;
    float t = 1.0f / (1.0f + 0.3275911f * 0.707106781f * near);
    float tail = 1.061405429f;
    tail = tail * t - 1.453152027f;
    tail = tail * t + 1.421413741f;
    tail = tail * t - 0.284496736f;
    tail = tail * t + 0.254829592f;
    tail = 0.5f * tail * t * e;
    *ret_density = 0.398942280f * e;
    return x < 0.0f ? tail : 1.0f - tail;
}

#endif
