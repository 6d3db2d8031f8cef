/* The functions behind kernels_cpu, one file each group; what they do is said at their
 * slots in kernels/kernels.h. Private to this room.
 */
#ifndef PPT_KERNELS_CPU_H
#define PPT_KERNELS_CPU_H

#include "kernels/kernels.h"

/* One function, compiled for plain x86-64, AVX2 and AVX-512; the loader picks. Not
 * under sanitizers, whose start-up does not survive the loader's choice, nor elsewhere.
 */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) &&                 \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define CPU_CLONES                                                                     \
    __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CPU_CLONES
#endif
/* What a function compiled so calls in its loops: left to itself, the compiler may make
 * one copy of it, for plain x86-64. */
#define CPU_INLINE static inline __attribute__((always_inline))

/* Products by OpenBLAS (gemm.c is its door), and what goes with them. */
void gemm_set_threads(int n_threads);
const char *gemm_core(void);
/* The family of kernels, by OpenBLAS's name, to take instead of the one that it found:
 * NULL where that is no fallback, or the CPU has neither x86-64-v3 nor v4. */
const char *gemm_core_wanted(const char *found, bool has_v3, bool has_v4);
void gemm_f32(bool a_transposed, bool b_transposed, int64_t m, int64_t n, int64_t k,
              const float *a, const float *b, float beta, float *c);
/* c = scale op(a) op(b) of matrices whose rows are so many floats apart. */
void gemm_part(bool a_transposed, bool b_transposed, int64_t m, int64_t n, int64_t k,
               float scale, const float *a, int64_t a_stride, const float *b,
               int64_t b_stride, float *c, int64_t c_stride);
void gemm_outer_each(int64_t n, int64_t t, int64_t d, int64_t p, const float *a,
                     const float *g, float *each, int64_t stride);
void gemm_add_bias(int64_t rows, int64_t cols, const float *bias, float *y);
void gemm_sum_rows(int64_t rows, int64_t cols, const float *x, float *sum);
void gemm_sum_rows_each(int64_t n, int64_t rows, int64_t cols, const float *x,
                        float *sum, int64_t stride);

/* Windows of images as rows of a matrix, and back. */
void conv2d_unfold(const struct window *window, int64_t n, const float *x, float *cols,
                   float *scratch);
void conv2d_fold(const struct window *window, int64_t n, const float *cols, float *x,
                 float *scratch);
void conv2d_channels_last(int64_t n, int64_t places, int64_t c, const float *x,
                          float *y);

/* Pooling. */
void pool_max_forward(const struct window *window, int64_t n, const float *x, float *y,
                      int32_t *index);
void pool_max_backward(const struct window *window, int64_t n, const float *dy,
                       const int32_t *index, float *dx);
void pool_avg_forward(const struct window *window, int64_t n, const float *x, float *y);
void pool_avg_backward(const struct window *window, int64_t n, const float *dy,
                       float *dx);

/* Group normalisation. */
void norm_forward(const struct grouping *grouping, int64_t n, const float *x,
                  const float *scale, const float *shift, float *y, float *stats);
void norm_backward(const struct grouping *grouping, int64_t n, const float *x,
                   const float *scale, const float *stats, const float *dy, float *dx);
void norm_each(const struct grouping *grouping, int64_t n, const float *x,
               const float *stats, const float *dy, float *each);
void norm_layer_each(int64_t n, int64_t places, int64_t c, const float *x,
                     const float *stats, const float *dy, float *each);

/* Activations. */
void act_relu_forward(int64_t len, float *x);
void act_relu_backward(int64_t len, const float *y, float *dy);
void act_tanh_forward(int64_t len, float *x);
void act_tanh_backward(int64_t len, const float *y, float *dy);
void act_squash_forward(const struct squash *squash, int64_t len, float *x);
void act_squash_backward(const struct squash *squash, int64_t len, const float *y,
                         float *dy);
void act_scale(int64_t len, float by, float *x);
void act_gelu_forward(int64_t len, const float *x, float *y);
void act_gelu_backward(int64_t len, const float *x, const float *dy, float *dx);

/* Sequences of tokens. */
void token_embed(const struct tokens *tokens, int64_t n, const float *ids,
                 const float *table, float *y);
void token_embed_norms(const struct tokens *tokens, int64_t n, const float *ids,
                       const float *dy, double *square, double *slack);
void token_embed_sum(const struct tokens *tokens, int64_t n, const float *factor,
                     const float *ids, const float *dy, double *scratch, float *grad);
void token_waves(int64_t places, int64_t c, float *table);
void token_mean_forward(const struct tokens *tokens, int64_t n, const float *ids,
                        const float *x, float *y);
void token_mean_backward(const struct tokens *tokens, int64_t n, const float *ids,
                         const float *dy, float *dx);
void attention_forward(const struct heads *heads, int64_t n, const float *ids,
                       const float *x, float *y, float *share);
void attention_backward(const struct heads *heads, int64_t n, const float *x,
                        const float *dy, float *share, float *scratch, float *dx);
void lstm_forward(const struct tokens *tokens, int64_t t, int64_t n, const float *ids,
                  const float *step, float *gates, float *cell, float *before,
                  float *state, float *y);
void lstm_backward(const struct tokens *tokens, int64_t t, int64_t n, const float *ids,
                   const float *cell, const float *dy, float *gates, float *step,
                   float *dstate, float *dcell);

/* Softmax cross-entropy. */
void xent_grad(int64_t n, int64_t classes, const float *logits, const int32_t *label,
               float *grad, double *loss);
int64_t xent_correct(int64_t n, int64_t classes, const float *logits,
                     const int32_t *label);

/* Other losses. */
void loss_mse(int64_t n, int64_t classes, const float *logits, const int32_t *label,
              float *grad, double *loss);
void loss_hinge(int64_t n, int64_t classes, const float *logits, const int32_t *label,
                float *grad, double *loss);

/* Norms, clip factors, weighted sums. */
void clip_square_rows(int64_t n, int64_t len, const float *x, double *square);
void clip_add_square_rows(int64_t n, int64_t len, const float *x, double *square);
void clip_outer_norms(int64_t n, int64_t d, int64_t p, double gamma, const float *x,
                      const float *g, double *square, double *slack);
void clip_ghost_norms(int64_t n, int64_t t, double gamma, const double *ghost,
                      const double *error, const double *aa, const double *gg,
                      const double *bias, double *square, double *slack);
void clip_ghost_square(int64_t n, int64_t t, int64_t d, int64_t p, const float *a,
                       const float *g, double *square, double *error);
void clip_factors(int64_t n, double clip, const double *square, const double *slack,
                  float *factor);
void clip_auto_factors(int64_t n, double clip, double gamma, const double *square,
                       const double *slack, float *factor);
void clip_drop_factors(int64_t n, const float *by, float *factor);
void clip_scale_rows(int64_t n, int64_t len, const float *factor, float *x);
void clip_drop_rows(int64_t n, int64_t len, const float *factor, float *x);
void clip_weighted_sum(int64_t n, int64_t len, const float *factor, const float *each,
                       float *sum);
void clip_accumulate(int64_t len, const float *x, double *sum);
void clip_add_total(int64_t n, const double *x, double *total);
void clip_add_votes(int64_t n, const float *factor, double *total);
void clip_divide(int64_t n, double by, double *x);

/* Updates. */
void optim_sgd(const struct optim *optim, int64_t n, const double *grad, float *param);
void optim_momentum(const struct optim *optim, int64_t n, const double *grad,
                    float *param, float *velocity);
void optim_adam(const struct optim *optim, int64_t n, const double *grad, float *param,
                float *mean, float *square);
void optim_yogi(const struct optim *optim, int64_t n, const double *grad, float *param,
                float *mean, float *square);

#endif
