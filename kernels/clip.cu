/* Twins of clip.c; the same roundings are accounted for in the same way.
 *
 * Floors: square_rows 4 n len bytes, 2 n len flops in double; ghost_square 4 n t (d +
 * p) bytes, n t^2 (d + p) flops in double (bound by these: a thread a pair of places);
 * clip_factors and auto_factors 20 n bytes; drop_factors 12 n; scale_rows 8 n len bytes; weighted_sum 4 (n + 1) len bytes;
 * accumulate 20 len bytes; outer_norms 4 n (d + p) bytes; ghost_norms 72 n; drop_rows
 * 4 n and what it clears; add_total 8 n; add_votes 4 n; divide 16 n. */
#include "kernels/cuda.h"

#include <math.h>

enum { LANES = 8 }; /* loads in flight in each thread, and partial sums */

/* The sum of squares of row[len], the same to all threads of a block. */
static __device__ inline double block_square(int64_t len, const float *row)
{
    double lane[LANES] = {0.0};
    int64_t j = threadIdx.x, stride = blockDim.x;
    for (; j + (LANES - 1) * stride < len; j += LANES * stride) {
#pragma unroll
        for (int k = 0; k < LANES; k++) {
            double value = (double)row[j + k * stride];
            lane[k] += value * value;
        }
    }
    for (; j < len; j += stride) {
        lane[0] += (double)row[j] * (double)row[j];
    }
    double sum = 0.0;
#pragma unroll
    for (int k = 0; k < LANES; k++) {
        sum += lane[k];
    }
    return cuda_block_sum(sum);
}

static __global__ void square_rows(int64_t n, int64_t len, const float *x,
                                   bool is_added, double *square)
{
    CUDA_EACH_BLOCK(i, n)
    {
        double sum = block_square(len, x + i * len);
        if (threadIdx.x == 0) {
            square[i] = is_added ? square[i] + sum : sum;
        }
    }
}

static __global__ void outer_norms(int64_t n, int64_t d, int64_t p, double gamma,
                                   const float *x, const float *g, double *square,
                                   double *slack)
{
    CUDA_EACH_BLOCK(i, n)
    {
        double xx = block_square(d, x + i * d), gg = block_square(p, g + i * p);
        if (threadIdx.x == 0) {
            double weight = xx <= 1e30 ? xx * gg : INFINITY;
            square[i] += weight + gg;
            slack[i] += gamma * sqrt(weight);
        }
    }
}

static __global__ void ghost_norms(int64_t n, int64_t t, double gamma,
                                   const double *ghost, const double *error,
                                   const double *aa, const double *gg,
                                   const double *bias, double *square, double *slack)
{
    CUDA_EACH(i, n)
    {
        double known = ghost[i] <= 0.0 ? 0.0 : ghost[i]; /* NaN stays */
        square[i] += (aa[i] <= 1e30 ? known + error[i] : INFINITY) + bias[i];
        slack[i] += gamma * sqrt(aa[i] * gg[i]) + 0x1p-23 * sqrt((double)t * gg[i]);
    }
}

static __device__ inline double dot(int64_t len, const float *x, const float *y)
{
    double sum = 0.0;
    for (int64_t i = 0; i < len; i++) {
        sum += (double)x[i] * (double)y[i];
    }
    return sum;
}

/* The bound is that of clip.c: it does not depend on the order of the additions. */
static __global__ void ghost_square(int64_t n, int64_t t, int64_t d, int64_t p,
                                    const float *a, const float *g, double *square,
                                    double *error)
{
    double gamma = (double)(d + p + t * t + 16) * 0x1p-52;
    CUDA_EACH_BLOCK(i, n)
    {
        const float *a_i = a + i * t * d, *g_i = g + i * t * p;
        double sum = 0.0, size = 0.0;
        for (int64_t pair = threadIdx.x; pair < t * t; pair += blockDim.x) {
            int64_t s = pair / t, r = pair % t;
            if (r > s) {
                continue;
            }
            double term =
                dot(d, a_i + s * d, a_i + r * d) * dot(p, g_i + s * p, g_i + r * p);
            sum += r == s ? term : 2.0 * term;
            size += r == s ? sqrt(term) : 0.0;
        }
        sum = cuda_block_sum(sum);
        size = cuda_block_sum(size);
        if (threadIdx.x == 0) {
            square[i] = sum;
            error[i] = gamma * size * size;
        }
    }
}

static __device__ inline float towards_zero(double x)
{
    float rounded = (float)x;
    return (double)rounded > x ? nextafterf(rounded, 0.0f) : rounded;
}

/* min(1, clip / up) rounded towards zero; 0 where up is NaN, Inf or far above. */
static __device__ inline float factor_of(double clip, double square, double slack)
{
    double up = sqrt(square) * (1.0 + 0x1p-20) + slack;
    float rounded = towards_zero(up <= clip ? 1.0 : clip / up);
    return up <= 1e12 * clip ? rounded : 0.0f;
}

static __global__ void factors(int64_t n, double clip, const double *square,
                               const double *slack, float *factor)
{
    CUDA_EACH(i, n)
    {
        factor[i] = factor_of(clip, square[i], slack[i]);
    }
}

static __global__ void auto_factors(int64_t n, double clip, double gamma,
                                    const double *square, const double *slack,
                                    float *factor)
{
    CUDA_EACH(i, n)
    {
        double up = sqrt(square[i]) * (1.0 + 0x1p-20) + slack[i];
        float rounded = towards_zero(clip / (up + gamma));
        factor[i] = up <= 1e12 * clip ? rounded : 0.0f;
    }
}

static __global__ void drop_factors(int64_t n, const float *by, float *factor)
{
    CUDA_EACH(i, n)
    {
        factor[i] = by[i] == 0.0f ? 0.0f : factor[i];
    }
}

static __global__ void scale_rows(int64_t n, int64_t len, const float *factor, float *x)
{
    CUDA_EACH(at, n * len)
    {
        float weight = factor[at / len];
        x[at] = weight == 0.0f ? 0.0f : x[at] * weight; /* not NaN times 0 */
    }
}

static __global__ void drop_rows(int64_t n, int64_t len, const float *factor, float *x)
{
    CUDA_EACH_BLOCK(i, n)
    {
        for (int64_t j = threadIdx.x; factor[i] == 0.0f && j < len; j += blockDim.x) {
            x[i * len + j] = 0.0f;
        }
    }
}

/* A thread a column, rows in order: the products are exact in double, so this is the
 * CPU's sum bit for bit. */
static __device__ inline double column_sum(int64_t n, int64_t len, int64_t j,
                                           const float *factor, const float *each)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) {
        double weight = (double)factor[i];
        sum += weight == 0.0 ? 0.0 : weight * (double)each[i * len + j];
    }
    return sum;
}

static __global__ void weighted_sum(int64_t n, int64_t len, const float *factor,
                                    const float *each, float *sum)
{
    CUDA_EACH(j, len)
    {
        sum[j] = (float)column_sum(n, len, j, factor, each);
    }
}

static __global__ void accumulate(int64_t len, const float *x, double *sum)
{
    CUDA_EACH(i, len)
    {
        sum[i] += (double)x[i];
    }
}

/* One block. */
static __global__ void add_total(int64_t n, const double *x, double *total)
{
    double mine = 0.0;
    CUDA_EACH(i, n)
    {
        mine += x[i];
    }
    mine = cuda_block_sum(mine);
    if (threadIdx.x == 0) {
        *total += mine;
    }
}

/* One block. Halves: exact in any order. */
static __global__ void add_votes(int64_t n, const float *factor, double *total)
{
    double mine = 0.0;
    CUDA_EACH(i, n)
    {
        mine += factor[i] == 0.0f ? 0.0 : factor[i] == 1.0f ? 0.5 : -0.5;
    }
    mine = cuda_block_sum(mine);
    if (threadIdx.x == 0) {
        *total += mine;
    }
}

static __global__ void divide(int64_t n, double by, double *x)
{
    CUDA_EACH(i, n)
    {
        x[i] /= by;
    }
}

static __global__ void norm_and_factor(int64_t n, int64_t len, double clip,
                                       const float *each, float *factor)
{
    CUDA_EACH_BLOCK(i, n)
    {
        double sum = block_square(len, each + i * len);
        if (threadIdx.x == 0) {
            factor[i] = factor_of(clip, sum, 0.0);
        }
    }
}

/* Rounded to float between the two sums, as weighted_sum and accumulate do. */
static __global__ void add_weighted(int64_t n, int64_t len, const float *factor,
                                    const float *each, double *sum)
{
    CUDA_EACH(j, len)
    {
        sum[j] += (double)(float)column_sum(n, len, j, factor, each);
    }
}

void cuda_square_rows(int64_t n, int64_t len, const float *x, double *square)
{
    CUDA_LAUNCH(square_rows, cuda_rows(n), CUDA_THREADS, n, len, x, false, square);
}

void cuda_add_square_rows(int64_t n, int64_t len, const float *x, double *square)
{
    CUDA_LAUNCH(square_rows, cuda_rows(n), CUDA_THREADS, n, len, x, true, square);
}

void cuda_outer_norms(int64_t n, int64_t d, int64_t p, double gamma, const float *x,
                      const float *g, double *square, double *slack)
{
    CUDA_LAUNCH(outer_norms, cuda_rows(n), CUDA_THREADS, n, d, p, gamma, x, g, square,
                slack);
}

void cuda_ghost_norms(int64_t n, int64_t t, double gamma, const double *ghost,
                      const double *error, const double *aa, const double *gg,
                      const double *bias, double *square, double *slack)
{
    CUDA_LAUNCH(ghost_norms, cuda_blocks(n), CUDA_THREADS, n, t, gamma, ghost, error,
                aa, gg, bias, square, slack);
}

void cuda_ghost_square(int64_t n, int64_t t, int64_t d, int64_t p, const float *a,
                       const float *g, double *square, double *error)
{
    CUDA_LAUNCH(ghost_square, cuda_rows(n), CUDA_THREADS, n, t, d, p, a, g, square,
                error);
}

void cuda_clip_factors(int64_t n, double clip, const double *square,
                       const double *slack, float *factor)
{
    CUDA_LAUNCH(factors, cuda_blocks(n), CUDA_THREADS, n, clip, square, slack, factor);
}

void cuda_auto_factors(int64_t n, double clip, double gamma, const double *square,
                       const double *slack, float *factor)
{
    CUDA_LAUNCH(auto_factors, cuda_blocks(n), CUDA_THREADS, n, clip, gamma, square,
                slack, factor);
}

void cuda_drop_factors(int64_t n, const float *by, float *factor)
{
    CUDA_LAUNCH(drop_factors, cuda_blocks(n), CUDA_THREADS, n, by, factor);
}

void cuda_scale_rows(int64_t n, int64_t len, const float *factor, float *x)
{
    CUDA_LAUNCH(scale_rows, cuda_blocks(n * len), CUDA_THREADS, n, len, factor, x);
}

void cuda_drop_rows(int64_t n, int64_t len, const float *factor, float *x)
{
    CUDA_LAUNCH(drop_rows, cuda_rows(n), CUDA_THREADS, n, len, factor, x);
}

void cuda_weighted_sum(int64_t n, int64_t len, const float *factor, const float *each,
                       float *sum)
{
    CUDA_LAUNCH(weighted_sum, cuda_blocks(len), CUDA_THREADS, n, len, factor, each,
                sum);
}

void cuda_accumulate(int64_t len, const float *x, double *sum)
{
    CUDA_LAUNCH(accumulate, cuda_blocks(len), CUDA_THREADS, len, x, sum);
}

void cuda_add_total(int64_t n, const double *x, double *total)
{
    CUDA_LAUNCH(add_total, 1, CUDA_THREADS, n, x, total);
}

void cuda_add_votes(int64_t n, const float *factor, double *total)
{
    CUDA_LAUNCH(add_votes, 1, CUDA_THREADS, n, factor, total);
}

void cuda_divide(int64_t n, double by, double *x)
{
    CUDA_LAUNCH(divide, cuda_blocks(n), CUDA_THREADS, n, by, x);
}

extern "C" void device_clip_accumulate(int64_t n, int64_t len, double clip,
                                       const float *each, float *factor, double *sum)
{
    CUDA_LAUNCH(norm_and_factor, cuda_rows(n), CUDA_THREADS, n, len, clip, each,
                factor);
    CUDA_LAUNCH(add_weighted, cuda_blocks(len), CUDA_THREADS, n, len, factor, each,
                sum);
}
