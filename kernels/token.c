/* Sequences of tokens: their embedding, what tells their places, their mean. Ids come
 * as floats, as all records do; 0 and whatever is no id is padding. */
#include "kernels/cpu.h"

#include <math.h>
#include <string.h>

enum { BLOCK = 128 };

static inline bool is_padding(const float *ids, int64_t at)
{
    return ids != NULL && !(ids[at] >= 1.0f);
}

/* The row of the table, or 0 for padding. False for NaN. */
static inline int64_t row_of(const struct tokens *s, float id)
{
    return id >= 1.0f && id < (float)s->n_tokens ? (int64_t)id : 0;
}

void token_embed(const struct tokens *tokens, int64_t n, const float *ids,
                 const float *table, float *y)
{
    size_t bytes = (size_t)tokens->c * sizeof *y;
    for (int64_t at = 0; at < n * tokens->n_places; at++) {
        int64_t row = row_of(tokens, ids[at]);
        if (row == 0) {
            memset(y + at * tokens->c, 0, bytes);
        } else {
            memcpy(y + at * tokens->c, table + row * tokens->c, bytes);
        }
    }
}

/* The squared norm of the sum of those rows of dy, from place `first` on, that have
 * its token; and the squares of the rows themselves onto *size. */
static inline double square_of_token(const struct tokens *s, int64_t first,
                                     const float *ids, const float *dy, double *size)
{
    double square = 0.0;
    for (int64_t j0 = 0; j0 < s->c; j0 += BLOCK) {
        int64_t width = s->c - j0 < BLOCK ? s->c - j0 : BLOCK;
        double sum[BLOCK] = {0};
        for (int64_t t = first; t < s->n_places; t++) {
            const float *row = dy + t * s->c + j0;
            if (ids[t] != ids[first]) {
                continue;
            }
            for (int64_t j = 0; j < width; j++) {
                sum[j] += (double)row[j];
                *size += (double)row[j] * (double)row[j];
            }
        }
        for (int64_t j = 0; j < width; j++) {
            square += sum[j] * sum[j];
        }
    }
    return square;
}

static bool is_repeated(const float *ids, int64_t t)
{
    int64_t before = 0;
    while (before < t && ids[before] != ids[t]) {
        before++;
    }
    return before < t;
}

CPU_CLONES void token_embed_norms(const struct tokens *tokens, int64_t n,
                                  const float *ids, const float *dy, double *square,
                                  double *slack)
{
    const struct tokens s = *tokens;
    for (int64_t i = 0; i < n; i++) {
        const float *own = ids + i * s.n_places;
        double sum = 0.0, size = 0.0;
        for (int64_t t = 0; t < s.n_places; t++) {
            if (row_of(&s, own[t]) > 0 && !is_repeated(own, t)) {
                sum += square_of_token(&s, t, own, dy + i * s.n_places * s.c, &size);
            }
        }
        square[i] += sum;
        slack[i] += 0x1p-50 * (double)s.n_places * sqrt((double)s.n_places * size);
    }
}

CPU_CLONES void token_embed_sum(const struct tokens *tokens, int64_t n,
                                const float *factor, const float *ids, const float *dy,
                                double *scratch, float *grad)
{
    const struct tokens s = *tokens;
    memset(scratch, 0, (size_t)(s.n_tokens * s.c) * sizeof *scratch);
    for (int64_t at = 0; at < n * s.n_places; at++) {
        double weight = factor == NULL ? 1.0 : (double)factor[at / s.n_places];
        double *sum = scratch + row_of(&s, ids[at]) * s.c;
        const float *row = dy + at * s.c;
        if (weight == 0.0 || sum == scratch) {
            continue;
        }
        for (int64_t j = 0; j < s.c; j++) {
            sum[j] += weight * (double)row[j];
        }
    }
    for (int64_t j = 0; j < s.n_tokens * s.c; j++) {
        grad[j] = (float)scratch[j];
    }
}

void token_waves(int64_t places, int64_t c, float *table)
{
    for (int64_t j = 0; j < c; j++) {
        double rate = exp(-log(10000.0) * (double)(j - j % 2) / (double)c);
        for (int64_t t = 0; t < places; t++) {
            double angle = (double)t * rate;
            table[t * c + j] = (float)(j % 2 == 0 ? sin(angle) : cos(angle));
        }
    }
}

static inline int64_t count_tokens(const struct tokens *s, int64_t i, const float *ids)
{
    int64_t n = 0;
    for (int64_t t = 0; t < s->n_places; t++) {
        n += !is_padding(ids, i * s->n_places + t);
    }
    return n;
}

CPU_CLONES void token_mean_forward(const struct tokens *tokens, int64_t n,
                                   const float *ids, const float *x, float *y)
{
    const struct tokens s = *tokens;
    for (int64_t i = 0; i < n; i++) {
        int64_t count = count_tokens(&s, i, ids);
        double share = count > 0 ? 1.0 / (double)count : 0.0;
        for (int64_t j0 = 0; j0 < s.c; j0 += BLOCK) {
            int64_t width = s.c - j0 < BLOCK ? s.c - j0 : BLOCK;
            double sum[BLOCK] = {0};
            for (int64_t at = i * s.n_places; at < (i + 1) * s.n_places; at++) {
                for (int64_t j = 0; j < width && !is_padding(ids, at); j++) {
                    sum[j] += (double)x[at * s.c + j0 + j];
                }
            }
            for (int64_t j = 0; j < width; j++) {
                y[i * s.c + j0 + j] = (float)(sum[j] * share);
            }
        }
    }
}

CPU_CLONES void token_mean_backward(const struct tokens *tokens, int64_t n,
                                    const float *ids, const float *dy, float *dx)
{
    const struct tokens s = *tokens;
    for (int64_t i = 0; i < n; i++) {
        int64_t count = count_tokens(&s, i, ids);
        double share = count > 0 ? 1.0 / (double)count : 0.0;
        for (int64_t at = i * s.n_places; at < (i + 1) * s.n_places; at++) {
            bool is_out = is_padding(ids, at);
            for (int64_t j = 0; j < s.c; j++) {
                float part = (float)((double)dy[i * s.c + j] * share);
                dx[at * s.c + j] = is_out ? 0.0f : part;
            }
        }
    }
}
