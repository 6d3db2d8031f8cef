/* Twins of norm.c: a block an example's group, or a thread an example's channel. Floors
 * with n_values = n n_places c: forward 8 n_values bytes (x is read three times, twice
 * from cache), backward 12, each 8. */
#include "kernels/cuda.h"

#include <math.h>

/* Value k of group `ig` lies at this index; width channels, side by side. */
static __device__ inline int64_t value_at(const struct grouping &s, int64_t width,
                                          int64_t ig, int64_t k)
{
    return (ig / s.groups * s.n_places + k / width) * s.c + ig % s.groups * width +
           k % width;
}

static __global__ void forward(struct grouping s, int64_t n, const float *x,
                               const float *scale, const float *shift, float *y,
                               float *stats)
{
    int64_t width = s.c / s.groups, count = width * s.n_places;
    CUDA_EACH_BLOCK(ig, n * s.groups)
    {
        double sum = 0.0, square = 0.0;
        for (int64_t k = threadIdx.x; k < count; k += blockDim.x) {
            sum += (double)x[value_at(s, width, ig, k)];
        }
        double mean = cuda_block_sum(sum) / (double)count;
        for (int64_t k = threadIdx.x; k < count; k += blockDim.x) {
            double off = (double)x[value_at(s, width, ig, k)] - mean;
            square += off * off;
        }
        square = cuda_block_sum(square);
        float middle = (float)mean;
        float inverse = (float)(1.0 / sqrt(square / (double)count + 1e-5));
        for (int64_t k = threadIdx.x; k < count; k += blockDim.x) {
            int64_t at = value_at(s, width, ig, k), j = at % s.c;
            y[at] = (x[at] - middle) * inverse * scale[j] + shift[j];
        }
        if (threadIdx.x == 0) {
            stats[ig * 2] = middle;
            stats[ig * 2 + 1] = inverse;
        }
    }
}

static __global__ void backward(struct grouping s, int64_t n, const float *x,
                                const float *scale, const float *stats, const float *dy,
                                float *dx)
{
    int64_t width = s.c / s.groups, count = width * s.n_places;
    CUDA_EACH_BLOCK(ig, n * s.groups)
    {
        float mean = stats[ig * 2], inverse = stats[ig * 2 + 1];
        double sum = 0.0, dot = 0.0;
        for (int64_t k = threadIdx.x; k < count; k += blockDim.x) {
            int64_t at = value_at(s, width, ig, k);
            double d = (double)(dy[at] * scale[at % s.c]);
            sum += d;
            dot += d * (double)((x[at] - mean) * inverse);
        }
        float mean_d = (float)(cuda_block_sum(sum) / (double)count);
        float mean_dot = (float)(cuda_block_sum(dot) / (double)count);
        for (int64_t k = threadIdx.x; k < count; k += blockDim.x) {
            int64_t at = value_at(s, width, ig, k);
            float hat = (x[at] - mean) * inverse;
            dx[at] = inverse * (dy[at] * scale[at % s.c] - mean_d - hat * mean_dot);
        }
    }
}

static __global__ void gradient_each(struct grouping s, int64_t n, const float *x,
                                     const float *stats, const float *dy, float *each)
{
    int64_t width = s.c / s.groups;
    CUDA_EACH(ij, n * s.c)
    {
        int64_t i = ij / s.c, j = ij % s.c;
        const float *stat = stats + (i * s.groups + j / width) * 2;
        double d_scale = 0.0, d_shift = 0.0;
        for (int64_t t = 0; t < s.n_places; t++) {
            int64_t at = (i * s.n_places + t) * s.c + j;
            d_scale += (double)dy[at] * (double)((x[at] - stat[0]) * stat[1]);
            d_shift += (double)dy[at];
        }
        each[i * 2 * s.c + j] = (float)d_scale;
        each[i * 2 * s.c + s.c + j] = (float)d_shift;
    }
}

static __global__ void layer_gradient_each(int64_t n, int64_t places, int64_t c,
                                           const float *x, const float *stats,
                                           const float *dy, float *each)
{
    CUDA_EACH(ij, n * c)
    {
        int64_t i = ij / c, j = ij % c;
        double d_scale = 0.0, d_shift = 0.0;
        for (int64_t t = i * places; t < (i + 1) * places; t++) {
            double d = (double)dy[t * c + j];
            d_scale += d * (double)((x[t * c + j] - stats[2 * t]) * stats[2 * t + 1]);
            d_shift += d;
        }
        each[i * 2 * c + j] = (float)d_scale;
        each[i * 2 * c + c + j] = (float)d_shift;
    }
}

void cuda_group_norm_forward(const struct grouping *grouping, int64_t n, const float *x,
                             const float *scale, const float *shift, float *y,
                             float *stats)
{
    CUDA_LAUNCH(forward, cuda_rows(n * grouping->groups), CUDA_THREADS, *grouping, n, x,
                scale, shift, y, stats);
}

void cuda_group_norm_backward(const struct grouping *grouping, int64_t n,
                              const float *x, const float *scale, const float *stats,
                              const float *dy, float *dx)
{
    if (dx != NULL) {
        CUDA_LAUNCH(backward, cuda_rows(n * grouping->groups), CUDA_THREADS, *grouping,
                    n, x, scale, stats, dy, dx);
    }
}

void cuda_group_norm_each(const struct grouping *grouping, int64_t n, const float *x,
                          const float *stats, const float *dy, float *each)
{
    CUDA_LAUNCH(gradient_each, cuda_blocks(n * grouping->c), CUDA_THREADS, *grouping, n,
                x, stats, dy, each);
}

void cuda_layer_norm_each(int64_t n, int64_t places, int64_t c, const float *x,
                          const float *stats, const float *dy, float *each)
{
    CUDA_LAUNCH(layer_gradient_each, cuda_blocks(n * c), CUDA_THREADS, n, places, c, x,
                stats, dy, each);
}
