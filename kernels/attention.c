/* Scaled dot-product attention (Vaswani et al. 2017, arXiv 1706.03762), example by
 * example and head by head: the products are OpenBLAS's, on parts of the rows. */
#include "kernels/cpu.h"

#include <math.h>

#include "kernels/fastmath.h"

enum { LANES = 16 }; /* independent partial results: the loops become vectors */

/* Padding neither looks nor is looked at; ids NULL: there is none. */
CPU_INLINE bool is_token(const float *ids, int64_t r)
{
    return ids == NULL || ids[r] >= 1.0f;
}

/* high[j] = the highest of the tokens' scores, of `width` from r on. */
CPU_INLINE void raise_high(const float *row, const float *ids, int64_t r, int width,
                           float *high)
{
    for (int j = 0; j < width; j++) {
        float score = is_token(ids, r + j) ? row[r + j] : -INFINITY;
        high[j] = score > high[j] ? score : high[j];
    }
}

/* Those scores' exponentials, added to sums. */
CPU_INLINE void exponentials(float *row, const float *ids, float most, int64_t r,
                             int width, double *sums)
{
    for (int j = 0; j < width; j++) {
        float part = fastmath_exp_negative(row[r + j] - most);
        row[r + j] = is_token(ids, r + j) ? part : 0.0f;
        sums[j] += (double)row[r + j];
    }
}

/* A row of scores becomes its softmax over the n first keys that are tokens; 0
 * elsewhere, and everywhere if none is. Returns what exponentials were multiplied by.
 */
CPU_INLINE float soften(int64_t n, const float *ids, float *row)
{
    float high[LANES], most = -INFINITY;
    double sums[LANES] = {0}, sum = 0.0;
    int rest = (int)(n % LANES);
    int64_t whole = n - rest;
    for (int j = 0; j < LANES; j++) {
        high[j] = -INFINITY;
    }
    for (int64_t r = 0; r < whole; r += LANES) {
        raise_high(row, ids, r, LANES, high);
    }
    raise_high(row, ids, whole, rest, high);
    for (int j = 0; j < LANES; j++) {
        most = high[j] > most ? high[j] : most;
    }
    for (int64_t r = 0; r < whole; r += LANES) {
        exponentials(row, ids, most, r, LANES, sums);
    }
    exponentials(row, ids, most, whole, rest, sums);
    for (int j = 0; j < LANES; j++) {
        sum += sums[j];
    }
    float share = sum == 0.0 ? 0.0f : (float)(1.0 / sum);
    for (int64_t r = 0; r < n; r++) {
        row[r] *= share;
    }
    return share;
}

/* One head's scores, t x t. A causal query sees the places up to its own. */
CPU_INLINE void soften_rows(int64_t t, bool is_causal, const float *ids, float *scores)
{
    for (int64_t r = 0; r < t; r++) {
        int64_t seen = !is_token(ids, r) ? 0 : is_causal ? r + 1 : t;
        float share = soften(seen, ids, scores + r * t);
        for (int64_t j = seen; j < t; j++) {
            scores[r * t + j] = 0.0f * share; /* NaN in a row of NaN */
        }
    }
}

CPU_CLONES static void soften_all(int64_t t, bool is_causal, const float *ids,
                                  float *scores)
{
    if (ids == NULL) { /* a loop of its own, without masks */
        soften_rows(t, is_causal, NULL, scores);
    } else {
        soften_rows(t, is_causal, ids, scores);
    }
}

void attention_forward(const struct heads *heads, int64_t n, const float *ids,
                       const float *x, float *y, float *share)
{
    int64_t t = heads->n_places, c = heads->c, width = c / heads->heads;
    float scale = (float)(1.0 / sqrt((double)width));
    for (int64_t i = 0; i < n; i++) {
        const float *own = ids == NULL ? NULL : ids + i * t;
        for (int64_t h = 0; h < heads->heads; h++) {
            const float *q = x + i * t * 3 * c + h * width, *k = q + c, *v = k + c;
            float *p = share + (i * heads->heads + h) * t * t;
            gemm_part(false, true, t, t, width, scale, q, 3 * c, k, 3 * c, p, t);
            soften_all(t, heads->is_causal, own, p);
            gemm_part(false, false, t, width, t, 1.0f, p, t, v, 3 * c,
                      y + i * t * c + h * width, c);
        }
    }
}

/* The scores' gradients over the shares p: p (dp - sum over the row of p dp). */
CPU_CLONES static void harden(int64_t t, const float *restrict dp, float *restrict p)
{
    for (int64_t r = 0; r < t; r++) {
        double dots[LANES] = {0}, dot = 0.0;
        int64_t at = 0;
        for (; at + LANES <= t; at += LANES) {
            for (int j = 0; j < LANES; j++) {
                dots[j] += (double)p[r * t + at + j] * (double)dp[r * t + at + j];
            }
        }
        for (int j = 0; at + j < t; j++) {
            dots[j] += (double)p[r * t + at + j] * (double)dp[r * t + at + j];
        }
        for (int j = 0; j < LANES; j++) {
            dot += dots[j];
        }
        for (int64_t j = 0; j < t; j++) {
            float p_j = p[r * t + j];
            p[r * t + j] = p_j == 0.0f ? 0.0f : p_j * (dp[r * t + j] - (float)dot);
        }
    }
}

void attention_backward(const struct heads *heads, int64_t n, const float *x,
                        const float *dy, float *share, float *scratch, float *dx)
{
    int64_t t = heads->n_places, c = heads->c, width = c / heads->heads;
    float scale = (float)(1.0 / sqrt((double)width));
    for (int64_t i = 0; i < n; i++) {
        for (int64_t h = 0; h < heads->heads; h++) {
            int64_t at = i * t * 3 * c + h * width;
            const float *q = x + at, *k = q + c, *v = k + c;
            float *dq = dx + at, *dk = dq + c, *dv = dk + c;
            const float *own_dy = dy + i * t * c + h * width;
            float *p = share + (i * heads->heads + h) * t * t;
            gemm_part(true, false, t, width, t, 1.0f, p, t, own_dy, c, dv, 3 * c);
            gemm_part(false, true, t, t, width, 1.0f, own_dy, c, v, 3 * c, scratch, t);
            harden(t, scratch, p);
            gemm_part(false, false, t, width, t, scale, p, t, k, 3 * c, dq, 3 * c);
            gemm_part(true, false, t, width, t, scale, p, t, q, 3 * c, dk, 3 * c);
        }
    }
}
