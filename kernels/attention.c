/* Scaled dot-product attention (Vaswani et al. 2017, arXiv 1706.03762), example by
 * example and head by head: the products are OpenBLAS's, on parts of the rows. */
#include "kernels/cpu.h"

#include <math.h>

#include "kernels/fastmath.h"

/* May query t look at key r? Padding neither looks nor is looked at. */
static inline bool is_seen(const struct heads *s, const float *ids, int64_t t,
                           int64_t r)
{
    return (ids == NULL || (ids[t] >= 1.0f && ids[r] >= 1.0f)) &&
           !(s->is_causal && r > t);
}

/* Row t of scores becomes its softmax over the keys that are seen; 0 elsewhere, and
 * everywhere if none is. */
static void soften(const struct heads *s, const float *ids, int64_t t, float *row)
{
    float most = -INFINITY;
    double sum = 0.0;
    for (int64_t r = 0; r < s->n_places; r++) {
        most = is_seen(s, ids, t, r) && row[r] > most ? row[r] : most;
    }
    for (int64_t r = 0; r < s->n_places; r++) {
        float part = is_seen(s, ids, t, r) ? fastmath_exp_negative(row[r] - most) : 0;
        row[r] = part;
        sum += (double)part;
    }
    float share = sum == 0.0 ? 0.0f : (float)(1.0 / sum);
    for (int64_t r = 0; r < s->n_places; r++) {
        row[r] *= share;
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
            for (int64_t r = 0; r < t; r++) {
                soften(heads, own, r, p + r * t);
            }
            gemm_part(false, false, t, width, t, 1.0f, p, t, v, 3 * c,
                      y + i * t * c + h * width, c);
        }
    }
}

/* The scores' gradients over the shares p: p (dp - sum over the row of p dp). */
CPU_CLONES static void harden(int64_t t, const float *restrict dp, float *restrict p)
{
    for (int64_t r = 0; r < t; r++) {
        double dot = 0.0;
        for (int64_t j = 0; j < t; j++) {
            dot += (double)p[r * t + j] * (double)dp[r * t + j];
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
