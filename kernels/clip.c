/* Norms of each example's gradient, clip factors, and the sums they weight.
 *
 * What is added to a sum must never be longer than the clip norm, so each rounding here
 * is accounted for: squares are exact in double (24 + 24 bits fit in 53) or their sum
 * is raised by a bound, sums carry a bound where they cancel, factors are rounded
 * towards zero. */
#include "kernels/cpu.h"

#include <math.h>
#include <string.h>

/* So many sums at once, so that they become vectors. */
enum { LANES = 8 };
typedef double wide __attribute__((vector_size(LANES * sizeof(double))));
typedef float narrow __attribute__((vector_size(LANES * sizeof(float))));

CPU_INLINE double total(const wide *x)
{
    const wide v = *x;
    return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}

CPU_INLINE double dot(int64_t len, const float *restrict x, const float *restrict y)
{
    wide lanes = {0};
    double sum = 0.0;
    int64_t i = 0;
    for (; i + LANES <= len; i += LANES) {
        narrow a, b;
        memcpy(&a, x + i, sizeof a);
        memcpy(&b, y + i, sizeof b);
        lanes += __builtin_convertvector(a, wide) * __builtin_convertvector(b, wide);
    }
    for (; i < len; i++) {
        sum += (double)x[i] * (double)y[i];
    }
    return total(&lanes) + sum;
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
 * Inf where a float overflows. A lane adds up 16 squares in float and then eight lanes
 * are added, all positive: off by a factor of 1 + 20 2^-24 at most, and 2^-150 for each
 * square that underflows. */
CPU_INLINE double square_above(int64_t len, const float *restrict x)
{
    enum { DEPTH = 16, ROW = 8 * LANES };
    wide sums = {0};
    int64_t i = 0;
    while (i + ROW <= len) {
        narrow lanes[8] = {0};
        for (int k = 0; k < DEPTH && i + ROW <= len; k++, i += ROW) {
            for (int j = 0; j < 8; j++) {
                narrow v;
                memcpy(&v, x + i + j * LANES, sizeof v);
                lanes[j] += v * v;
            }
        }
        for (int half = 4; half > 0; half /= 2) {
            for (int j = 0; j < half; j++) {
                lanes[j] += lanes[j + half];
            }
        }
        sums += __builtin_convertvector(lanes[0], wide);
    }
    double sum = total(&sums) + dot(len - i, x + i, x + i);
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

/* Gram matrices are made in tiles, from rows that were made double once a tile; TALL
 * times BROAD sums stay in registers. */
enum { SIDE = 16, DEPTH = 128, TALL = 4, BROAD = 2 };

struct panel {
    double row[SIDE][DEPTH + LANES];
};

/* Columns from .. from + width - 1 of the rows s .. of x[t, len]; zeros behind the last
 * row and up to whole vectors. */
CPU_INLINE void fill_panel(int64_t t, int64_t len, const float *x, int64_t s,
                           int64_t from, int64_t width, struct panel *ret_panel)
{
    for (int64_t i = 0; i < SIDE; i++) {
        double *row = ret_panel->row[i];
        int64_t n = s + i < t ? width : 0;
        for (int64_t k = 0; k < n; k++) {
            row[k] = (double)x[(s + i) * len + from + k];
        }
        for (int64_t k = n; k < width + LANES && k < DEPTH; k++) {
            row[k] = 0.0;
        }
    }
}

/* tile[i .. ][j .. ] += the dot products of TALL rows and BROAD rows. */
CPU_INLINE void add_dots(int64_t width, const struct panel *tall,
                         const struct panel *broad, int64_t i, int64_t j,
                         double tile[SIDE][SIDE])
{
    wide sum[TALL][BROAD] = {{{0.0}}};
    for (int64_t k = 0; k < width; k += LANES) {
        for (int a = 0; a < TALL; a++) {
            for (int b = 0; b < BROAD; b++) {
                sum[a][b] += *(const wide *)&tall->row[i + a][k] *
                             *(const wide *)&broad->row[j + b][k];
            }
        }
    }
    for (int a = 0; a < TALL; a++) {
        for (int b = 0; b < BROAD; b++) {
            const double *part = (const double *)&sum[a][b];
            tile[i + a][j + b] += ((part[0] + part[4]) + (part[1] + part[5])) +
                                  ((part[2] + part[6]) + (part[3] + part[7]));
        }
    }
}

/* The dot products of the rows s .. and r .. of x[t, len]; of those on and below the
 * diagonal, where s is r. */
CPU_INLINE void gram_tile(int64_t t, int64_t len, const float *x, int64_t s, int64_t r,
                          double tile[SIDE][SIDE])
{
    _Alignas(64) struct panel left, right;
    memset(tile, 0, SIDE * sizeof *tile);
    for (int64_t from = 0; from < len; from += DEPTH) {
        int64_t width = len - from < DEPTH ? len - from : DEPTH;
        fill_panel(t, len, x, s, from, width, &left);
        fill_panel(t, len, x, r, from, width, &right);
        for (int64_t i = 0; i < SIDE && s + i < t; i += TALL) {
            int64_t end = s == r ? i + TALL : t - r;
            for (int64_t j = 0; j < SIDE && j < end; j += BROAD) {
                add_dots(width, &left, &right, i, j, tile);
            }
        }
    }
}

/* Each of the t^2 terms is a product of two dot products of d and p terms; by the
 * standard bound (Higham, Accuracy and Stability, section 3.1), in whatever order they
 * are added, the error is at most gamma_k * sum |a_s|.|a_t| |g_s|.|g_t| with
 * k = d + p + t^2 + 2, and that sum is at most (sum_t |a_t| |g_t|)^2 by Cauchy and
 * Schwarz. Both Gram matrices are symmetric: half of each is made. */
CPU_CLONES void clip_ghost_square(int64_t n, int64_t t, int64_t d, int64_t p,
                                  const float *a, const float *g, double *square,
                                  double *error)
{
    double gamma = (double)(d + p + t * t + 16) * 0x1p-52;
    double aa[SIDE][SIDE], gg[SIDE][SIDE];
    for (int64_t i = 0; i < n; i++) {
        double sum = 0.0, size = 0.0;
        for (int64_t s = 0; s < t; s += SIDE) {
            for (int64_t r = 0; r <= s; r += SIDE) {
                gram_tile(t, d, a + i * t * d, s, r, aa);
                gram_tile(t, p, g + i * t * p, s, r, gg);
                for (int64_t j = 0; j < SIDE && s + j < t; j++) {
                    int64_t end = s == r ? j : SIDE;
                    for (int64_t l = 0; l < end; l++) {
                        sum += 2.0 * (aa[j][l] * gg[j][l]);
                    }
                    sum += s == r ? aa[j][j] * gg[j][j] : 0.0;
                    size += s == r ? sqrt(aa[j][j] * gg[j][j]) : 0.0;
                }
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
