/* Norms of each example's gradient, clip factors, and the sums they weight.
 *
 * What is added to a sum must never be longer than the clip norm, so each rounding here
 * is accounted for: squares are exact in double (24 + 24 bits fit in 53) or their sum
 * is raised by a bound, sums carry a bound where they cancel, factors are rounded
 * towards zero. */
#include "kernels/cpu.h"

#include <math.h>
#include <string.h>

enum { LANES = 8 }; /* independent partial sums, so that the loops become vectors */

static inline double dot(int64_t len, const float *restrict x, const float *restrict y)
{
    double lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= len; i += LANES) {
        for (int j = 0; j < LANES; j++) {
            lane[j] += (double)x[i + j] * (double)y[i + j];
        }
    }
    for (int j = 0; i + j < len; j++) {
        lane[j] += (double)x[i + j] * (double)y[i + j];
    }
    double sum = 0.0;
    for (int j = 0; j < LANES; j++) {
        sum += lane[j];
    }
    return sum;
}

CPU_CLONES void clip_square_rows(int64_t n, int64_t len, const float *x, double *square)
{
    for (int64_t i = 0; i < n; i++) {
        square[i] = dot(len, x + i * len, x + i * len);
    }
}

CPU_CLONES void clip_add_square_rows(int64_t n, int64_t len, const float *x,
                                     double *square)
{
    for (int64_t i = 0; i < n; i++) {
        square[i] += dot(len, x + i * len, x + i * len);
    }
}

/* An upper bound of the sum of squares, at most 1 + 2^-18 times it, plus len 2^-149;
 * Inf where a float overflows. A lane adds up 16 squares in float, all positive: off by
 * a factor of 1 + 17 2^-24 at most, and 2^-150 for each square that underflows. */
static inline double square_above(int64_t len, const float *restrict x)
{
    enum { WIDTH = 64, DEPTH = 16 };
    double sum = 0.0;
    int64_t i = 0;
    while (i + WIDTH <= len) {
        float lane[WIDTH] = {0};
        for (int k = 0; k < DEPTH && i + WIDTH <= len; k++, i += WIDTH) {
            for (int j = 0; j < WIDTH; j++) {
                lane[j] += x[i + j] * x[i + j];
            }
        }
        double block[LANES] = {0};
        for (int j = 0; j < WIDTH; j += LANES) {
            for (int k = 0; k < LANES; k++) {
                block[k] += (double)lane[j + k];
            }
        }
        for (int k = 0; k < LANES; k++) {
            sum += block[k];
        }
    }
    sum += dot(len - i, x + i, x + i);
    return sum * (1.0 + 0x1p-19) + (double)len * 0x1p-149;
}

CPU_CLONES void clip_outer_norms(int64_t n, int64_t d, int64_t p, double gamma,
                                 const float *x, const float *g, double *square,
                                 double *slack)
{
    for (int64_t i = 0; i < n; i++) {
        double xx = square_above(d, x + i * d), gg = dot(p, g + i * p, g + i * p);
        double weight = xx <= 1e30 ? xx * gg : INFINITY;
        square[i] += weight + gg;
        slack[i] += gamma * sqrt(weight);
    }
}

void clip_ghost_norms(int64_t n, int64_t t, double gamma, const double *ghost,
                      const double *error, const double *aa, const double *gg,
                      const double *bias, double *square, double *slack)
{
    for (int64_t i = 0; i < n; i++) {
        double known = ghost[i] > 0.0 || isnan(ghost[i]) ? ghost[i] : 0.0;
        square[i] += (aa[i] <= 1e30 ? known + error[i] : INFINITY) + bias[i];
        /* the bias is summed in double: its rounding is t g at 2^-52 and 2^-24 g */
        slack[i] += gamma * sqrt(aa[i] * gg[i]) + 0x1p-23 * sqrt((double)t * gg[i]);
    }
}

/* Each of the t^2 terms is a product of two dot products of d and p terms; by the
 * standard bound (Higham, Accuracy and Stability, section 3.1) the error is at most
 * gamma_k * sum |a_s|.|a_t| |g_s|.|g_t| with k = d + p + t^2 + 2, and that sum is at
 * most (sum_t |a_t| |g_t|)^2 by Cauchy and Schwarz. */
CPU_CLONES void clip_ghost_square(int64_t n, int64_t t, int64_t d, int64_t p,
                                  const float *a, const float *g, double *square,
                                  double *error)
{
    double gamma = (double)(d + p + t * t + 16) * 0x1p-52;
    for (int64_t i = 0; i < n; i++) {
        const float *a_i = a + i * t * d, *g_i = g + i * t * p;
        double sum = 0.0, size = 0.0;
        for (int64_t s = 0; s < t; s++) {
            double aa = dot(d, a_i + s * d, a_i + s * d);
            double gg = dot(p, g_i + s * p, g_i + s * p);
            sum += aa * gg;
            size += sqrt(aa * gg);
            for (int64_t r = 0; r < s; r++) {
                sum += 2.0 * dot(d, a_i + s * d, a_i + r * d) *
                       dot(p, g_i + s * p, g_i + r * p);
            }
        }
        square[i] = sum;
        error[i] = gamma * size * size;
    }
}

/* Above the norm, with all that a sum's rounding may add to it. */
static inline double norm_above(double square, double slack)
{
    return sqrt(square) * (1.0 + 0x1p-20) + slack;
}

static inline float towards_zero(double x)
{
    float rounded = (float)x;
    return (double)rounded > x ? nextafterf(rounded, 0.0f) : rounded;
}

void clip_factors(int64_t n, double clip, const double *square, const double *slack,
                  float *factor)
{
    for (int64_t i = 0; i < n; i++) {
        double up = norm_above(square[i], slack[i]);
        float rounded = towards_zero(up <= clip ? 1.0 : clip / up);
        factor[i] = up <= 1e12 * clip ? rounded : 0.0f; /* false for NaN */
    }
}

void clip_auto_factors(int64_t n, double clip, double gamma, const double *square,
                       const double *slack, float *factor)
{
    for (int64_t i = 0; i < n; i++) {
        double up = norm_above(square[i], slack[i]);
        float rounded = towards_zero(clip / (up + gamma));
        factor[i] = up <= 1e12 * clip ? rounded : 0.0f; /* false for NaN */
    }
}

void clip_drop_factors(int64_t n, const float *by, float *factor)
{
    for (int64_t i = 0; i < n; i++) {
        factor[i] = by[i] == 0.0f ? 0.0f : factor[i];
    }
}

CPU_CLONES void clip_scale_rows(int64_t n, int64_t len, const float *factor, float *x)
{
    for (int64_t i = 0; i < n; i++) {
        float *row = x + i * len;
        if (factor[i] == 0.0f) {
            memset(row, 0, (size_t)len * sizeof *row);
            continue;
        }
        for (int64_t j = 0; j < len; j++) {
            row[j] *= factor[i];
        }
    }
}

void clip_drop_rows(int64_t n, int64_t len, const float *factor, float *x)
{
    for (int64_t i = 0; i < n; i++) {
        if (factor[i] == 0.0f) {
            memset(x + i * len, 0, (size_t)len * sizeof *x);
        }
    }
}

CPU_CLONES void clip_weighted_sum(int64_t n, int64_t len, const float *factor,
                                  const float *each, float *sum)
{
    enum { BLOCK = 256 };
    for (int64_t j0 = 0; j0 < len; j0 += BLOCK) {
        int64_t width = len - j0 < BLOCK ? len - j0 : BLOCK;
        double block[BLOCK] = {0};
        for (int64_t i = 0; i < n; i++) {
            const float *row = each + i * len + j0;
            double weight = (double)factor[i];
            for (int64_t j = 0; j < width; j++) {
                double term = weight * (double)row[j];
                block[j] += weight == 0.0 ? 0.0 : term;
            }
        }
        for (int64_t j = 0; j < width; j++) {
            sum[j0 + j] = (float)block[j];
        }
    }
}

CPU_CLONES void clip_accumulate(int64_t len, const float *restrict x,
                                double *restrict sum)
{
    for (int64_t i = 0; i < len; i++) {
        sum[i] += (double)x[i];
    }
}

void clip_add_total(int64_t n, const double *x, double *total)
{
    for (int64_t i = 0; i < n; i++) {
        *total += x[i];
    }
}

void clip_add_votes(int64_t n, const float *factor, double *total)
{
    for (int64_t i = 0; i < n; i++) {
        *total += factor[i] == 0.0f ? 0.0 : factor[i] == 1.0f ? 0.5 : -0.5;
    }
}

CPU_CLONES void clip_divide(int64_t n, double by, double *x)
{
    for (int64_t i = 0; i < n; i++) {
        x[i] /= by;
    }
}
