/* Twins of pool.c, a thread a result; backward gathers, so no two threads add to one
 * place. Floors, with n_in and n_out values: max forward 4 n_in + 8 n_out bytes,
 * backward 8 n_out + 4 n_in; avg each way 4 (n_in + n_out). */
#include "kernels/cuda.h"

/* Where output `at` of n out_h out_w c begins in x. */
static __device__ inline int64_t window_start(const struct window &w, int64_t at)
{
    int64_t ch = at % w.c, ox = at / w.c % w.out_w, row = at / w.c / w.out_w;
    int64_t i = row / w.out_h, oy = row % w.out_h;
    return ((i * w.h + oy * w.stride) * w.w + ox * w.stride) * w.c + ch;
}

static __global__ void max_forward(struct window w, int64_t n, const float *x, float *y,
                                   int32_t *index)
{
    CUDA_EACH(at, n * w.out_h * w.out_w * w.c)
    {
        const float *from = x + window_start(w, at);
        float best = *from;
        int32_t won = 0, place = 0;
        for (int64_t ky = 0; ky < w.size; ky++) {
            for (int64_t kx = 0; kx < w.size; kx++, place++) {
                float other = from[(ky * w.w + kx) * w.c];
                won = other > best ? place : won; /* false for NaN */
                best = other > best ? other : best;
            }
        }
        y[at] = best;
        index[at] = won;
    }
}

static __global__ void avg_forward(struct window w, int64_t n, const float *x, float *y)
{
    float share = 1.0f / (float)(w.size * w.size);
    CUDA_EACH(at, n * w.out_h * w.out_w * w.c)
    {
        const float *from = x + window_start(w, at);
        float sum = 0.0f;
        for (int64_t ky = 0; ky < w.size; ky++) {
            for (int64_t kx = 0; kx < w.size; kx++) {
                sum += from[(ky * w.w + kx) * w.c];
            }
        }
        y[at] = sum * share;
    }
}

/* What comes back to input `at`: from each window over it, all of dy's value (average,
 * index NULL) or what its winner gets, in the CPU's order: rows down; within a row
 * windows from right to left with a stride of 1 and from left to right otherwise. */
static __device__ inline float gather(const struct window &w, int64_t at,
                                      const float *dy, const int32_t *index,
                                      float share)
{
    int64_t ch = at % w.c, ix = at / w.c % w.w, row = at / w.c / w.w;
    int64_t i = row / w.h, iy = row % w.h;
    int64_t first = ix < w.size ? 0 : (ix - w.size) / w.stride + 1;
    int64_t last = ix / w.stride < w.out_w ? ix / w.stride : w.out_w - 1;
    float sum = 0.0f;
    for (int64_t oy = iy < w.size ? 0 : (iy - w.size) / w.stride + 1;
         oy < w.out_h && oy * w.stride <= iy; oy++) {
        for (int64_t k = 0; k <= last - first; k++) {
            int64_t ox = w.stride == 1 ? last - k : first + k;
            int64_t from = ((i * w.out_h + oy) * w.out_w + ox) * w.c + ch;
            int64_t place = (iy - oy * w.stride) * w.size + ix - ox * w.stride;
            if (index == NULL) {
                sum += share * dy[from];
            } else {
                sum += index[from] == place ? dy[from] : 0.0f;
            }
        }
    }
    return sum;
}

static __global__ void backward(struct window w, int64_t n, const float *dy,
                                const int32_t *index, float *dx)
{
    float share = 1.0f / (float)(w.size * w.size);
    CUDA_EACH(at, n * w.h * w.w * w.c)
    {
        dx[at] = gather(w, at, dy, index, share);
    }
}

void cuda_max_pool_forward(const struct window *window, int64_t n, const float *x,
                           float *y, int32_t *index)
{
    struct window w = *window;
    CUDA_LAUNCH(max_forward, cuda_blocks(n * w.out_h * w.out_w * w.c), CUDA_THREADS, w,
                n, x, y, index);
}

void cuda_max_pool_backward(const struct window *window, int64_t n, const float *dy,
                            const int32_t *index, float *dx)
{
    struct window w = *window;
    CUDA_LAUNCH(backward, cuda_blocks(n * w.h * w.w * w.c), CUDA_THREADS, w, n, dy,
                index, dx);
}

void cuda_avg_pool_forward(const struct window *window, int64_t n, const float *x,
                           float *y)
{
    struct window w = *window;
    CUDA_LAUNCH(avg_forward, cuda_blocks(n * w.out_h * w.out_w * w.c), CUDA_THREADS, w,
                n, x, y);
}

void cuda_avg_pool_backward(const struct window *window, int64_t n, const float *dy,
                            float *dx)
{
    struct window w = *window;
    const int32_t *no_index = NULL;
    CUDA_LAUNCH(backward, cuda_blocks(n * w.h * w.w * w.c), CUDA_THREADS, w, n, dy,
                no_index, dx);
}
