/* Twins of token.c. Floors, with n_values = n places c: embed 8 n_values bytes,
 * embed_norms 4 n_values, embed_sum 4 n_values and 4 n_tokens c (it reads all ids once
 * for each token: n_tokens n places reads, which all but the first find in cache),
 * waves 4 places c, mean each way 4 (n_values + n c). */
#include "kernels/cuda.h"

#include <math.h>

static __device__ inline bool is_padding(const float *ids, int64_t at)
{
    return ids != NULL && !(ids[at] >= 1.0f);
}

/* The row of the table, or 0 for padding. False for NaN. */
static __device__ inline int64_t row_of(const struct tokens &s, float id)
{
    return id >= 1.0f && id < (float)s.n_tokens ? (int64_t)id : 0;
}

static __global__ void embed(struct tokens s, int64_t n, const float *ids,
                             const float *table, float *y)
{
    CUDA_EACH(at, n * s.n_places * s.c)
    {
        int64_t row = row_of(s, ids[at / s.c]);
        y[at] = row == 0 ? 0.0f : table[row * s.c + at % s.c];
    }
}

static __device__ inline bool is_repeated(const float *ids, int64_t t)
{
    int64_t before = 0;
    while (before < t && ids[before] != ids[t]) {
        before++;
    }
    return before < t;
}

/* A block an example; its threads share the channels. */
static __global__ void embed_norms(struct tokens s, int64_t n, const float *ids,
                                   const float *dy, double *square, double *slack)
{
    CUDA_EACH_BLOCK(i, n)
    {
        const float *own = ids + i * s.n_places, *from = dy + i * s.n_places * s.c;
        double mine = 0.0, size = 0.0;
        for (int64_t t = 0; t < s.n_places; t++) {
            if (row_of(s, own[t]) == 0 || is_repeated(own, t)) {
                continue;
            }
            for (int64_t j = threadIdx.x; j < s.c; j += blockDim.x) {
                double sum = 0.0;
                for (int64_t r = t; r < s.n_places; r++) {
                    double value = (double)from[r * s.c + j];
                    sum += own[r] == own[t] ? value : 0.0;
                    size += own[r] == own[t] ? value * value : 0.0;
                }
                mine += sum * sum;
            }
        }
        mine = cuda_block_sum(mine);
        size = cuda_block_sum(size);
        if (threadIdx.x == 0) {
            square[i] += mine;
            slack[i] += 0x1p-50 * (double)s.n_places * sqrt((double)s.n_places * size);
        }
    }
}

/* A block a token, a thread a channel: each looks through all places, in order. */
static __global__ void embed_sum(struct tokens s, int64_t n, const float *factor,
                                 const float *ids, const float *dy, float *grad)
{
    CUDA_EACH_BLOCK(row, s.n_tokens)
    {
        for (int64_t j = threadIdx.x; j < s.c; j += blockDim.x) {
            double sum = 0.0;
            for (int64_t at = 0; row > 0 && at < n * s.n_places; at++) {
                if (row_of(s, ids[at]) != row) {
                    continue;
                }
                double weight = factor == NULL ? 1.0 : (double)factor[at / s.n_places];
                double term = weight * (double)dy[at * s.c + j];
                sum += weight == 0.0 ? 0.0 : term;
            }
            grad[row * s.c + j] = (float)sum;
        }
    }
}

static __global__ void waves(int64_t places, int64_t c, float *table)
{
    CUDA_EACH(at, places * c)
    {
        int64_t t = at / c, j = at % c;
        double rate = exp(-log(10000.0) * (double)(j - j % 2) / (double)c);
        double angle = (double)t * rate;
        table[at] = (float)(j % 2 == 0 ? sin(angle) : cos(angle));
    }
}

static __device__ inline double share_of(const struct tokens &s, int64_t i,
                                         const float *ids)
{
    int64_t count = 0;
    for (int64_t t = 0; t < s.n_places; t++) {
        count += !is_padding(ids, i * s.n_places + t);
    }
    return count > 0 ? 1.0 / (double)count : 0.0;
}

static __global__ void mean_forward(struct tokens s, int64_t n, const float *ids,
                                    const float *x, float *y)
{
    CUDA_EACH(ij, n * s.c)
    {
        int64_t i = ij / s.c, j = ij % s.c;
        double sum = 0.0;
        for (int64_t at = i * s.n_places; at < (i + 1) * s.n_places; at++) {
            double value = (double)x[at * s.c + j];
            sum += is_padding(ids, at) ? 0.0 : value;
        }
        y[ij] = (float)(sum * share_of(s, i, ids));
    }
}

static __global__ void mean_backward(struct tokens s, int64_t n, const float *ids,
                                     const float *dy, float *dx)
{
    CUDA_EACH(ij, n * s.c)
    {
        int64_t i = ij / s.c, j = ij % s.c;
        float part = (float)((double)dy[ij] * share_of(s, i, ids));
        for (int64_t at = i * s.n_places; at < (i + 1) * s.n_places; at++) {
            dx[at * s.c + j] = is_padding(ids, at) ? 0.0f : part;
        }
    }
}

void cuda_embed(const struct tokens *tokens, int64_t n, const float *ids,
                const float *table, float *y)
{
    CUDA_LAUNCH(embed, cuda_blocks(n * tokens->n_places * tokens->c), CUDA_THREADS,
                *tokens, n, ids, table, y);
}

void cuda_embed_norms(const struct tokens *tokens, int64_t n, const float *ids,
                      const float *dy, double *square, double *slack)
{
    CUDA_LAUNCH(embed_norms, cuda_rows(n), CUDA_THREADS, *tokens, n, ids, dy, square,
                slack);
}

void cuda_embed_sum(const struct tokens *tokens, int64_t n, const float *factor,
                    const float *ids, const float *dy, double *scratch, float *grad)
{
    (void)scratch; /* sums are the threads' own */
    CUDA_LAUNCH(embed_sum, cuda_rows(tokens->n_tokens), CUDA_THREADS, *tokens, n,
                factor, ids, dy, grad);
}

void cuda_waves(int64_t places, int64_t c, float *table)
{
    CUDA_LAUNCH(waves, cuda_blocks(places * c), CUDA_THREADS, places, c, table);
}

void cuda_mean_forward(const struct tokens *tokens, int64_t n, const float *ids,
                       const float *x, float *y)
{
    CUDA_LAUNCH(mean_forward, cuda_blocks(n * tokens->c), CUDA_THREADS, *tokens, n, ids,
                x, y);
}

void cuda_mean_backward(const struct tokens *tokens, int64_t n, const float *ids,
                        const float *dy, float *dx)
{
    CUDA_LAUNCH(mean_backward, cuda_blocks(n * tokens->c), CUDA_THREADS, *tokens, n,
                ids, dy, dx);
}
