/* What the device kernels share: a grid over a range, a block's sum, launches.
 * Private to the room's .cu files; C++ only.
 *
 * Sums are made in one fixed order (a block's by a tree over its threads), never with
 * floating-point atomics: the same call gives the same bits again on the same device.
 * Tests compile the same files for the CPU: they define PPT_SIMT and stand in for
 * cuda_runtime.h and the launch (tests/twins/simt.h).
 */
#ifndef PPT_KERNELS_CUDA_H
#define PPT_KERNELS_CUDA_H

#ifndef PPT_SIMT
#include <cublas_v2.h>
#include <cuda_runtime.h>

#define CUDA_LAUNCH(kernel, n_blocks, n_threads, ...)                                  \
    do {                                                                               \
        kernel<<<(unsigned)(n_blocks), (unsigned)(n_threads), 0, cuda_stream()>>>(     \
            __VA_ARGS__);                                                              \
        cuda_check(cudaGetLastError(), #kernel);                                       \
    } while (0)
#endif

#include <stddef.h>
#include <stdint.h>

extern "C" {
#include "kernels/device.h"
#include "kernels/kernels.h"
}

enum { CUDA_THREADS = 256 };
static const int64_t cuda_max_blocks = 4096;

/* The stream of the calling thread; remembers a failure for device_error; true if there
 * was none. device.cu. */
cudaStream_t cuda_stream(void);
bool cuda_check(cudaError_t status, const char *what);

/* lift.cu. */
extern const struct beside cuda_beside;

/* Threads walk over 0 .. n - 1 in steps of the whole grid. */
#define CUDA_EACH(i, n)                                                                \
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < (n);          \
         i += (int64_t)gridDim.x * blockDim.x)

/* Blocks walk over 0 .. n - 1. The range is the same for all threads of a block. */
#define CUDA_EACH_BLOCK(i, n) for (int64_t i = blockIdx.x; i < (n); i += gridDim.x)

/* Blocks for n threads' work; at least 1. */
static inline int64_t cuda_blocks(int64_t n)
{
    int64_t n_blocks = (n + CUDA_THREADS - 1) / CUDA_THREADS;
    return n_blocks < 1 ? 1 : n_blocks < cuda_max_blocks ? n_blocks : cuda_max_blocks;
}

/* Blocks for n rows, a block each; at least 1. */
static inline int64_t cuda_rows(int64_t n)
{
    return n < 1 ? 1 : n < cuda_max_blocks ? n : cuda_max_blocks;
}

#if defined(__CUDACC__) || defined(PPT_SIMT)
/* The sum of every thread's value, to all threads of a block of at most CUDA_THREADS, a
 * power of two. All of the block's threads must call it. */
static __device__ inline double cuda_block_sum(double mine)
{
    __shared__ double part[CUDA_THREADS];
    part[threadIdx.x] = mine;
    __syncthreads();
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) {
            part[threadIdx.x] += part[threadIdx.x + half];
        }
        __syncthreads();
    }
    double sum = part[0];
    __syncthreads(); /* part may be written again only when all have read it */
    return sum;
}

/* The greatest of the block's values, to all its threads. NaN may be lost: what is then
 * computed from the row is NaN all the same, as exp(NaN) enters its sum. */
static __device__ inline float cuda_block_max(float mine)
{
    __shared__ float part[CUDA_THREADS];
    part[threadIdx.x] = mine;
    __syncthreads();
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half && part[threadIdx.x + half] > part[threadIdx.x]) {
            part[threadIdx.x] = part[threadIdx.x + half];
        }
        __syncthreads();
    }
    float max = part[0];
    __syncthreads();
    return max;
}
#endif

/* The slots of kernels_cuda, one file each group (device pointers). */
void cuda_set_threads(int n_threads);
void cuda_gemm(bool a_transposed, bool b_transposed, int64_t m, int64_t n, int64_t k,
               const float *a, const float *b, float beta, float *c);
void cuda_outer_each(int64_t n, int64_t t, int64_t d, int64_t p, const float *a,
                     const float *g, float *each, int64_t stride);
void cuda_add_bias(int64_t rows, int64_t cols, const float *bias, float *y);
void cuda_sum_rows(int64_t rows, int64_t cols, const float *x, float *sum);
void cuda_sum_rows_each(int64_t n, int64_t rows, int64_t cols, const float *x,
                        float *sum, int64_t stride);
void cuda_unfold(const struct window *window, int64_t n, const float *x, float *cols,
                 float *scratch);
void cuda_fold(const struct window *window, int64_t n, const float *cols, float *x,
               float *scratch);
void cuda_channels_last(int64_t n, int64_t places, int64_t c, const float *x, float *y);
void cuda_max_pool_forward(const struct window *window, int64_t n, const float *x,
                           float *y, int32_t *index);
void cuda_max_pool_backward(const struct window *window, int64_t n, const float *dy,
                            const int32_t *index, float *dx);
void cuda_avg_pool_forward(const struct window *window, int64_t n, const float *x,
                           float *y);
void cuda_avg_pool_backward(const struct window *window, int64_t n, const float *dy,
                            float *dx);
void cuda_group_norm_forward(const struct grouping *grouping, int64_t n, const float *x,
                             const float *scale, const float *shift, float *y,
                             float *stats);
void cuda_group_norm_backward(const struct grouping *grouping, int64_t n,
                              const float *x, const float *scale, const float *stats,
                              const float *dy, float *dx);
void cuda_group_norm_each(const struct grouping *grouping, int64_t n, const float *x,
                          const float *stats, const float *dy, float *each);
void cuda_layer_norm_each(int64_t n, int64_t places, int64_t c, const float *x,
                          const float *stats, const float *dy, float *each);
void cuda_relu_forward(int64_t len, float *x);
void cuda_relu_backward(int64_t len, const float *y, float *dy);
void cuda_tanh_forward(int64_t len, float *x);
void cuda_tanh_backward(int64_t len, const float *y, float *dy);
void cuda_squash_forward(const struct squash *squash, int64_t len, float *x);
void cuda_squash_backward(const struct squash *squash, int64_t len, const float *y,
                          float *dy);
void cuda_gelu_forward(int64_t len, const float *x, float *y);
void cuda_gelu_backward(int64_t len, const float *x, const float *dy, float *dx);
void cuda_embed(const struct tokens *tokens, int64_t n, const float *ids,
                const float *table, float *y);
void cuda_embed_norms(const struct tokens *tokens, int64_t n, const float *ids,
                      const float *dy, double *square, double *slack);
void cuda_embed_sum(const struct tokens *tokens, int64_t n, const float *factor,
                    const float *ids, const float *dy, double *scratch, float *grad);
void cuda_waves(int64_t places, int64_t c, float *table);
void cuda_mean_forward(const struct tokens *tokens, int64_t n, const float *ids,
                       const float *x, float *y);
void cuda_mean_backward(const struct tokens *tokens, int64_t n, const float *ids,
                        const float *dy, float *dx);
void cuda_attention_forward(const struct heads *heads, int64_t n, const float *ids,
                            const float *x, float *y, float *share);
void cuda_attention_backward(const struct heads *heads, int64_t n, const float *x,
                             const float *dy, float *share, float *scratch, float *dx);
void cuda_scale(int64_t len, float by, float *x);
void cuda_lstm_forward(const struct tokens *tokens, int64_t t, int64_t n,
                       const float *ids, const float *step, float *gates, float *cell,
                       float *before, float *state, float *y);
void cuda_lstm_backward(const struct tokens *tokens, int64_t t, int64_t n,
                        const float *ids, const float *cell, const float *dy,
                        float *gates, float *step, float *dstate, float *dcell);
void cuda_xent(int64_t n, int64_t classes, const float *logits, const int32_t *label,
               float *grad, double *loss);
void cuda_mse(int64_t n, int64_t classes, const float *logits, const int32_t *label,
              float *grad, double *loss);
void cuda_hinge(int64_t n, int64_t classes, const float *logits, const int32_t *label,
                float *grad, double *loss);
int64_t cuda_xent_correct(int64_t n, int64_t classes, const float *logits,
                          const int32_t *label);
void cuda_square_rows(int64_t n, int64_t len, const float *x, double *square);
void cuda_add_square_rows(int64_t n, int64_t len, const float *x, double *square);
void cuda_outer_norms(int64_t n, int64_t d, int64_t p, double gamma, const float *x,
                      const float *g, double *square, double *slack);
void cuda_ghost_norms(int64_t n, int64_t t, double gamma, const double *ghost,
                      const double *error, const double *aa, const double *gg,
                      const double *bias, double *square, double *slack);
void cuda_ghost_square(int64_t n, int64_t t, int64_t d, int64_t p, const float *a,
                       const float *g, double *square, double *error);
void cuda_clip_factors(int64_t n, double clip, const double *square,
                       const double *slack, float *factor);
void cuda_auto_factors(int64_t n, double clip, double gamma, const double *square,
                       const double *slack, float *factor);
void cuda_drop_factors(int64_t n, const float *by, float *factor);
void cuda_scale_rows(int64_t n, int64_t len, const float *factor, float *x);
void cuda_drop_rows(int64_t n, int64_t len, const float *factor, float *x);
void cuda_weighted_sum(int64_t n, int64_t len, const float *factor, const float *each,
                       float *sum);
void cuda_accumulate(int64_t len, const float *x, double *sum);
void cuda_add_total(int64_t n, const double *x, double *total);
void cuda_add_votes(int64_t n, const float *factor, double *total);
void cuda_divide(int64_t n, double by, double *x);
void cuda_grid_add(const struct grid *grid, int64_t n, const float *x, double *sum);
void cuda_grid_round(const struct grid *grid, int64_t n, double *x);
void cuda_grid_noise(const struct grid *grid, int64_t n, const uint64_t *bits,
                     const struct grid_source *source, double *x);
void cuda_grid_add_drawn(int64_t n, double *drawn, double *x);
void cuda_sgd(const struct optim *optim, int64_t n, const double *grad, float *param);
void cuda_momentum(const struct optim *optim, int64_t n, const double *grad,
                   float *param, float *velocity);
void cuda_adam(const struct optim *optim, int64_t n, const double *grad, float *param,
               float *mean, float *square);
void cuda_yogi(const struct optim *optim, int64_t n, const double *grad, float *param,
               float *mean, float *square);

#endif
