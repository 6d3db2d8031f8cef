/* The table of numeric kernels: the only way the engine does arithmetic on arrays.
 *
 * Pure loops: no log, no I/O, nothing of the other rooms, and no allocation but that of
 * `memory`. kernels_cpu is the definition; another device is another table, and its
 * `memory` says where the arrays lie that its slots read and write; structs, keys and
 * what is returned lie on the host in every table. Images are channel-last: one example
 * is h x w x c floats, batches are n such examples in a row. Matrices are row-major and
 * dense. NaN and Inf go through every kernel by the rules of IEEE 754 and never
 * leave their own example, except where a slot says otherwise.
 * Threads: any thread may call any slot on buffers of its own.
 */
#ifndef PPT_KERNELS_KERNELS_H
#define PPT_KERNELS_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/grid.h"
#include "kernels/memory.h"

/* A square window that slides over an image h x w x c and gives out_h x out_w places.
 * pad counts zeros on each side. */
struct window {
    int64_t h, w, c;
    int64_t size, stride, pad;
    int64_t out_h, out_w;
};

/* Group normalisation of h*w places by c channels in `groups` groups. */
struct grouping {
    int64_t n_places, c, groups;
};

/* scale / (1 + exp(-steepness x)) - offset; scale is not 0. */
struct squash {
    float scale, steepness, offset;
};

/* Sequences of n_places tokens of c channels each; a token is an id below n_tokens. */
struct tokens {
    int64_t n_places, c, n_tokens;
};

/* Attention among n_places with c channels in `heads` heads, which divide c. */
struct heads {
    int64_t n_places, c, heads;
    bool is_causal; /* a place sees those before it and itself only */
};

struct optim {
    double learning_rate;
    double momentum;     /* momentum */
    double beta1, beta2; /* adam, yogi */
    double tau;          /* yogi */
    int64_t step;        /* adam: 1 for the first update */
    /* adam: variance of the noise in each gradient's value, and the least that its
     * average square is taken for without it; 0 and 0: plain */
    double noise_square, noise_floor;
};

struct kernels {
    const char *name;
    const struct memory *memory;

    /* Threads that a call may use; once, at start. */
    void (*set_threads)(int n_threads);

    /* c[m,n] = op(a) op(b) + beta c, beta 0 or 1; op(a) is m x k, op(b) is k x n,
     * op is the transpose where the flag says so. */
    void (*gemm)(bool a_transposed, bool b_transposed, int64_t m, int64_t n, int64_t k,
                 const float *a, const float *b, float beta, float *c);
    /* y[rows, cols] += bias[cols]. */
    void (*add_bias)(int64_t rows, int64_t cols, const float *bias, float *y);
    /* sum[cols] = column sums of x[rows, cols], accumulated in double. */
    void (*sum_rows)(int64_t rows, int64_t cols, const float *x, float *sum);
    /* The same for each x[n, rows, cols]: sum[i * stride ...] gets cols sums. */
    void (*sum_rows_each)(int64_t n, int64_t rows, int64_t cols, const float *x,
                          float *sum, int64_t stride);

    /* cols[n * out_h * out_w, size * size * c] from x[n, h, w, c]; `scratch` holds
     * (h + 2 pad)(w + 2 pad) c floats. */
    void (*unfold)(const struct window *window, int64_t n, const float *x, float *cols,
                   float *scratch);
    /* The transpose: each x[n, h, w, c] = sum over its cols. Same scratch. */
    void (*fold)(const struct window *window, int64_t n, const float *cols, float *x,
                 float *scratch);
    /* y[n, places, c] from x[n, c, places]. */
    void (*channels_last)(int64_t n, int64_t places, int64_t c, const float *x,
                          float *y);

    /* y = max over the window (no padding), index[] = which place of the window won;
     * backward sends dy there. Overwrites dx. */
    void (*max_pool_forward)(const struct window *window, int64_t n, const float *x,
                             float *y, int32_t *index);
    void (*max_pool_backward)(const struct window *window, int64_t n, const float *dy,
                              const int32_t *index, float *dx);
    void (*avg_pool_forward)(const struct window *window, int64_t n, const float *x,
                             float *y);
    void (*avg_pool_backward)(const struct window *window, int64_t n, const float *dy,
                              float *dx);

    /* y = scale * xhat + shift with mean and variance of each example's groups (Wu, He
     * 2018, arXiv 1803.08494), epsilon 1e-5. stats[n, groups, 2] = mean, 1/std. */
    void (*group_norm_forward)(const struct grouping *grouping, int64_t n,
                               const float *x, const float *scale, const float *shift,
                               float *y, float *stats);
    /* dx may be NULL. */
    void (*group_norm_backward)(const struct grouping *grouping, int64_t n,
                                const float *x, const float *scale, const float *stats,
                                const float *dy, float *dx);
    /* Each example's own gradient: each[n, 2 c] = d scale, d shift. */
    void (*group_norm_each)(const struct grouping *grouping, int64_t n, const float *x,
                            const float *stats, const float *dy, float *each);
    /* Layer normalisation (Ba et al. 2016, arXiv 1607.06450) of each place's c channels
     * is group normalisation of n * places examples of one place and one group; its
     * parameters are shared by an example's places: stats[n, places, 2], each[n, 2 c] =
     * d scale, d shift, summed over places. */
    void (*layer_norm_each)(int64_t n, int64_t places, int64_t c, const float *x,
                            const float *stats, const float *dy, float *each);

    /* In place. tanh: relative error at most 1e-6. */
    void (*relu_forward)(int64_t len, float *x);
    void (*relu_backward)(int64_t len, const float *y, float *dy);
    void (*tanh_forward)(int64_t len, float *x);
    void (*tanh_backward)(int64_t len, const float *y, float *dy);
    /* In place. Tempered sigmoids (Papernot et al. 2020, arXiv 2007.14191). */
    void (*squash_forward)(const struct squash *squash, int64_t len, float *x);
    void (*squash_backward)(const struct squash *squash, int64_t len, const float *y,
                            float *dy);
    /* y = x P(N(0, 1) <= x) (Hendrycks, Gimpel 2016, arXiv 1606.08415; the exact one,
     * not that by tanh), off by at most 2e-7 |x|; backward reads x again. */
    void (*gelu_forward)(int64_t len, const float *x, float *y);
    void (*gelu_backward)(int64_t len, const float *x, const float *dy, float *dx);

    /* Tokens: ids[n, places] are whole numbers as floats; 0, and whatever is no id, is
     * padding. y[n, places, c] = the row of table[n_tokens, c] of each, 0 for padding.
     */
    void (*embed)(const struct tokens *tokens, int64_t n, const float *ids,
                  const float *table, float *y);
    /* An example's gradient of the table has a row for each token that it holds, the
     * sum of dy where it stands: square[i] += the squares of these rows, slack[i] += a
     * bound on the rounding of the double sums here and in embed_sum. Never an array of
     * the table's size an example. */
    void (*embed_norms)(const struct tokens *tokens, int64_t n, const float *ids,
                        const float *dy, double *square, double *slack);
    /* grad[n_tokens, c] = sum_i factor[i] g_i, added up in double (factor NULL: all 1;
     * an example whose factor is 0 is not read); scratch has as many doubles. */
    void (*embed_sum)(const struct tokens *tokens, int64_t n, const float *factor,
                      const float *ids, const float *dy, double *scratch, float *grad);
    /* table[places, c]: sin(t r_j) at even j, cos(t r_j) at odd ones, with r_j =
     * 10000^(-2 floor(j / 2) / c) (Vaswani et al. 2017, arXiv 1706.03762). */
    void (*waves)(int64_t places, int64_t c, float *table);
    /* y[n, c] = mean of x[n, places, c] over the places that are no padding (ids NULL:
     * over all), 0 where all are; n_tokens is not read. Backward overwrites dx. */
    void (*mean_forward)(const struct tokens *tokens, int64_t n, const float *ids,
                         const float *x, float *y);
    void (*mean_backward)(const struct tokens *tokens, int64_t n, const float *ids,
                          const float *dy, float *dx);
    /* x[n, places, 3 c] holds queries, keys and values, each of heads x width channels.
     * For each head share[n, heads, places, places] = softmax over the keys of q.k /
     * sqrt(width), over those that are no padding and, if is_causal, not behind the
     * query; y[n, places, c] = share times values. A query that is padding gives 0. The
     * same paper. Backward overwrites share and dx; scratch has places^2 floats. */
    void (*attention_forward)(const struct heads *heads, int64_t n, const float *ids,
                              const float *x, float *y, float *share);
    void (*attention_backward)(const struct heads *heads, int64_t n, const float *x,
                               const float *dy, float *share, float *scratch,
                               float *dx);

    /* x[len] *= by. */
    void (*scale)(int64_t len, float by, float *x);

    /* Long short-term memory (Hochreiter, Schmidhuber 1997, Neural Computation 9(8);
     * the forget gate of Gers et al. 2000), place t of n examples, c = tokens->c; after
     * those of lower t. gates[n, places, 4 c] holds at t what the gates take from the
     * input, in the order in, forget, new, out; step[n, 4 c] what they take from
     * state[n, c], the state before. With s = 1 / (1 + exp(-.)) of their sums, tanh for
     * new: cell = forget cell_before + in new; state = out tanh(cell). gates becomes
     * s; cell[n, places, c] and before[n, places, c] (the state before) are filled at
     * t, state is replaced, and y[n, places, c] gets it too unless NULL. Padding
     * leaves cell and state as they were. n_tokens is not read. */
    void (*lstm_forward)(const struct tokens *tokens, int64_t t, int64_t n,
                         const float *ids, const float *step, float *gates, float *cell,
                         float *before, float *state, float *y);
    /* The same backward, from the highest t on: dstate[n, c] and dcell[n, c] are the
     * gradients of state and cell after t, dy (NULL: none) joins dstate. gates becomes
     * the gradient of the gates' sums, step[n, 4 c] the same at t alone; dcell becomes
     * that before t, and dstate what reaches the state before t past the gates (padding
     * hands it on, else 0): step times the recurrent weights comes to it. */
    void (*lstm_backward)(const struct tokens *tokens, int64_t t, int64_t n,
                          const float *ids, const float *cell, const float *dy,
                          float *gates, float *step, float *dstate, float *dcell);

    /* Softmax cross-entropy of each row: grad[n, classes] = softmax - onehot(label),
     * loss[n] in nats. Either may be NULL. */
    void (*xent)(int64_t n, int64_t classes, const float *logits, const int32_t *label,
                 float *grad, double *loss);
    /* Other losses, by the same rules. mse: the mean over the classes of (logit -
     * onehot(label))^2. hinge: the sum over the other classes of max(0, 1 - logit at
     * the label + logit), divided by the number of classes (Weston, Watkins 1999). */
    void (*mse)(int64_t n, int64_t classes, const float *logits, const int32_t *label,
                float *grad, double *loss);
    void (*hinge)(int64_t n, int64_t classes, const float *logits, const int32_t *label,
                  float *grad, double *loss);
    /* How many rows have their largest logit at the label; a row with a NaN counts as
     * wrong. */
    int64_t (*xent_correct)(int64_t n, int64_t classes, const float *logits,
                            const int32_t *label);

    /* square[n] = sum of squares of each row of x[n, len], in double: exact to a
     * relative len * 2^-52. */
    void (*square_rows)(int64_t n, int64_t len, const float *x, double *square);
    /* The same added to square[n]. */
    void (*add_square_rows)(int64_t n, int64_t len, const float *x, double *square);
    /* A linear layer's gradient is x_i^T g_i and, for the bias, g_i (x[n, d], g[n, p]):
     * square[i] += |x_i|^2 |g_i|^2 + |g_i|^2, slack[i] += gamma |x_i| |g_i|. |x_i|^2 is
     * never below its true value by more than square_rows', nor above it by more than a
     * relative 2^-18 and d 2^-149. Inf where it is above 1e30: larger inputs times
     * factors below FLT_MIN would round absolutely. */
    void (*outer_norms)(int64_t n, int64_t d, int64_t p, double gamma, const float *x,
                        const float *g, double *square, double *slack);
    /* Ghost norm: square[i] = |A_i^T G_i|_F^2 = <A_i A_i^T, G_i G_i^T> from a[n, t, d]
     * and g[n, t, p] without the product (Goodfellow 2015, arXiv 1510.01799; Li et al.
     * 2021, arXiv 2110.05679), every product and sum in double. error[i] bounds the
     * absolute rounding error of square[i]: the sum cancels. */
    void (*ghost_square)(int64_t n, int64_t t, int64_t d, int64_t p, const float *a,
                         const float *g, double *square, double *error);
    /* From ghost_square's two results, |A_i|^2, |G_i|^2 and |column sums of G_i|^2:
     * square[i] += max(ghost, 0) + error + bias, Inf where |A_i|^2 is above 1e30;
     * slack[i] += gamma |A_i| |G_i| + 2^-23 sqrt(t) |G_i|, the rounding of the product
     * that sums and of the sums of t values in float. */
    void (*ghost_norms)(int64_t n, int64_t t, double gamma, const double *ghost,
                        const double *error, const double *aa, const double *gg,
                        const double *bias, double *square, double *slack);
    /* each[i * stride ...] = A_i^T G_i (d x p), one product an example. */
    void (*outer_each)(int64_t n, int64_t t, int64_t d, int64_t p, const float *a,
                       const float *g, float *each, int64_t stride);
    /* factor[i] = min(1, clip / up), rounded towards zero, where up = sqrt(square[i])
     * (1 + 2^-20) + slack[i]; 0 where up is NaN, Inf or above 1e12 clip. */
    void (*clip_factors)(int64_t n, double clip, const double *square,
                         const double *slack, float *factor);
    /* factor[i] = clip / (up + gamma), gamma > 0, rounded towards zero; 0 as above.
     * Each row times its factor is shorter than clip (Bu et al. 2022, arXiv
     * 2206.07136). */
    void (*auto_factors)(int64_t n, double clip, double gamma, const double *square,
                         const double *slack, float *factor);
    /* factor[i] = 0 where by[i] is 0. */
    void (*drop_factors)(int64_t n, const float *by, float *factor);
    /* Row i of x[n, len] times factor[i]; a factor of 0 gives zeros, whatever the row
     * holds. */
    void (*scale_rows)(int64_t n, int64_t len, const float *factor, float *x);
    /* Rows whose factor is 0 become zeros, the others stay. */
    void (*drop_rows)(int64_t n, int64_t len, const float *factor, float *x);
    /* sum[len] = sum_i factor[i] each[i, len]; rows with a factor of 0 are not read
     * into the sum. */
    void (*weighted_sum)(int64_t n, int64_t len, const float *factor, const float *each,
                         float *sum);
    /* sum[len] += x[len]. */
    void (*accumulate)(int64_t len, const float *x, double *sum);
    /* *total += x[0] + ... + x[n - 1], in an order of its own. */
    void (*add_total)(int64_t n, const double *x, double *total);
    /* *total += 1/2 for each factor of 1, -1/2 for each below 1, 0 for each of 0: exact
     * while its size is below 2^51. */
    void (*add_votes)(int64_t n, const float *factor, double *total);
    /* x[n] /= by. */
    void (*divide)(int64_t n, double by, double *x);

    /* words[n], n <= 2^35, of a cryptographic stream that begins anew with each (key,
     * stream, step): none may be used twice. NULL: this table makes no random bits, its
     * caller does. */
    void (*random_words)(const uint8_t key[32], uint32_t stream, uint64_t step,
                         int64_t n, uint64_t *words);
    /* Sums to a grid, and Gaussian noise on it: kernels/grid.h. */
    void (*grid_round)(const struct grid *grid, int64_t n, double *x);
    void (*grid_add)(const struct grid *grid, int64_t n, const float *x, double *sum);
    void (*grid_noise)(const struct grid *grid, int64_t n, const uint64_t *bits,
                       const struct grid_source *source, double *x);
    void (*grid_add_drawn)(int64_t n, double *drawn, double *x);

    /* One update of param[n] from grad[n]; the states are zero before the first. */
    void (*sgd)(const struct optim *optim, int64_t n, const double *grad, float *param);
    /* v = momentum v + grad; param -= learning_rate v (Polyak 1964). */
    void (*momentum)(const struct optim *optim, int64_t n, const double *grad,
                     float *param, float *velocity);
    /* Kingma, Ba 2015 (arXiv 1412.6980), epsilon 1e-8, with bias correction; of the
     * average square, max(it - noise_square, noise_floor) is used (Tang et al. 2023,
     * arXiv 2312.14334). */
    void (*adam)(const struct optim *optim, int64_t n, const double *grad, float *param,
                 float *mean, float *square);
    /* m = beta1 m + (1 - beta1) g, v -= (1 - beta2) g^2 sign(v - g^2), param -=
     * learning_rate m / (sqrt(v) + tau), from m = 0 and v = tau^2 (Reddi et al. 2021,
     * arXiv 2003.00295, algorithm 2, where it takes steps up). `square` is v - tau^2.
     */
    void (*yogi)(const struct optim *optim, int64_t n, const double *grad, float *param,
                 float *mean, float *square);
};

extern const struct kernels kernels_cpu;

/* The family of OpenBLAS's kernels that makes the CPU's products, by its name there:
 * "Cooperlake". Of the processor, unless OPENBLAS_CORETYPE names another. */
const char *kernels_cpu_products(void);

#endif
