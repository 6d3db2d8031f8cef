/* A net: the layers of a spec fitted to a data set's shape, and the work memory of one
 * micro-batch, allocated once.
 *
 * The parameters are one flat array of n_params floats that belongs to the caller; each
 * layer's block is weight then bias. Layouts: linear.weight [in, out], conv2d.weight
 * [kernel, kernel, in, out], flatten in the order (h, w, c); embedding.weight [tokens,
 * out] and position.weight [places, c] have no bias; lstm.recurrent [out, 4 out] comes
 * before lstm.weight [in, 4 out].
 *
 * Memory of a net of L layers with micro-batches of m examples (net_memory_bytes):
 *   4 m (features + sum over layers of [2 out + own]) + 4 (largest shared + n_params)
 *   + 72 m bytes of per-example scalars (4 m more for each further layer with
 *   parameters, where each has clip factors of its own),
 * where layers in place count no `out`, own = T D for conv2d (plus its n_params where
 * T is so large that per-example gradients are kept, see conv2d.c), out for max_pool,
 * 2 groups + 2 c for group_norm, 2 h w + 2 c for layer_norm, out for residual, heads
 * T^2 for attention, 6 T out for lstm (`shared` 6 m out), and n_params for a linear
 * layer at T > 1 places where it keeps gradients as conv2d does; 2 T rank for low-rank
 * factors, and theirs where they are kept; `shared` of embedding is twice its
 * parameters. 4 n_frozen for a base, unless another net's serve. Records with c > 1
 * channels add 4 m features.
 */
#ifndef PPT_JOBS_MODEL_NET_H
#define PPT_JOBS_MODEL_NET_H

#include "jobs/manifest.h"
#include "jobs/model/layer.h"

#define NET_MAX_TENSORS (3 * SPEC_MAX_LAYERS)

struct net {
    int n_layers;
    struct layer layers[SPEC_MAX_LAYERS];
    int first; /* the first layer with parameters: backward stops there */
    struct shape in;
    int64_t n_features, n_classes, n_params;
    int64_t n_frozen; /* parameters of a base, which are never trained */
    int64_t n_tokens; /* 0: records are no tokens */
    bool is_private;
    /* Of the same spec: its frozen parameters serve this net too. NULL: own ones. Set
     * before net_alloc, valid until net_free. */
    const struct net *base;
    enum spec_loss objective;      /* cross_entropy, unless the owner sets another */
    struct spec_clipping clipping; /* flat; the caller may set another */

    /* Set by net_alloc. */
    int64_t max_n;  /* examples in a micro-batch */
    float *read;    /* [max_n, n_features]: where records are read to, on the host */
    int32_t *label; /* [max_n], on the host too */
    /* In the memory of the kernels, which may be the host's: then read is input and
     * label target. */
    const struct memory *place;
    float *input;
    int32_t *target;
    /* The records of the next net_forward are the block that this lift was sent last,
     * which net_forward takes; NULL: they are in read. */
    struct lift *arriving;
    double *loss; /* of each example, after net_backward; not of private nets */
    double *square, *slack;
    float *factor; /* [net_n_factors, max_n] */
    float *grad;   /* n_params: the last sum */
    float *frozen; /* n_frozen; net_set_frozen */
    void *memory, *staged;
};

/* The layers of spec for records of this split; presets are spelt out here:
 *   logistic  flatten, linear
 *   mlp       flatten, linear hidden, relu, linear
 *   cnn       conv2d 16 8x8 stride 2 padding 3, tanh, max_pool 2 stride 1,
 *             conv2d 32 4x4 stride 2, tanh, max_pool 2 stride 1, flatten, linear 32,
 *             tanh, linear (the usual small private net for 28 x 28 images)
 * Allocates nothing. Errors: PPT_ESPEC "model.layers[i] (name): ..." */
int net_build(const struct spec_model *model, const struct manifest_split *split,
              bool is_private, struct net *ret_net, struct error *err);

/* How many clip factors an example has: 1, or with per-layer clipping the number of
 * layers with parameters. */
int net_n_factors(const struct net *net);

/* Bytes of `memory` that net_alloc will take for micro-batches of max_n. */
size_t net_memory_bytes(const struct net *net, const struct memory *memory,
                        int64_t max_n);

/* A micro-batch of 16 or more examples whose activations stay as near as `memory` says
 * is best and within limit_bytes (at least 1). Independent of any batch size. */
int64_t net_micro_batch(const struct net *net, const struct memory *memory,
                        size_t limit_bytes);

/* The one allocation (and one of host memory for records, if `memory` is elsewhere).
 * Caller frees. Errors: PPT_ENOMEM. */
int net_alloc(struct net *net, const struct memory *memory, int64_t max_n,
              struct error *err);
void net_free(struct net *net);

/* A micro-batch's labels and records as one block of host memory, of which net_forward
 * takes the first bytes: how many they are for n records, and where they lie in it. */
size_t net_block_bytes(const struct net *net, int64_t n);
void net_block(const struct net *net, void *block, int32_t **ret_label, float **ret_x);

/* With model.base every layer but the last is frozen: n_params then counts low-rank
 * factors and the last layer, n_frozen the others' parameters. Those are given once,
 * after net_alloc, in the order of net_frozen_tensors, by the host. */
void net_set_frozen(struct net *net, const float *frozen);

/* Initial weights from the seed alone: uniform on +-sqrt(3 / fan_in) (variance
 * 1 / fan_in; rows of tables have variance 1 / c), zero biases (an lstm's forget
 * gate: 1), the norms' scale 1 and shift 0. */
void net_init(const struct net *net, int64_t seed, float *params);

/* Logits [n, n_classes] of the first n records in net->read, or of those that are
 * arriving, in the kernels' memory,
 * which must be that of net_alloc; valid until the next call. params lie there too.
 * n <= max_n. */
const float *net_forward(struct net *net, const struct kernels *kernels,
                         const float *params, int64_t n);

/* After net_forward, with net->label filled: every layer's output gradients. */
void net_backward(struct net *net, const struct kernels *kernels, const float *params,
                  int64_t n);

/* After net_backward: net->grad = sum_i c_i g_i, each term of norm at most clip_norm.
 * An example with NaN or Inf anywhere has c_i = 0 and adds exactly nothing.
 * By net->clipping, with n_i an upper bound of |g_i| that holds for the computed terms:
 *   flat       c_i = min(1, C / n_i), so |c_i g_i| <= C
 *   per layer  a c_i,l for each of the L layers with parameters, by that rule with
 *              C / sqrt(L): |c_i g_i|^2 = sum_l |c_i,l g_i,l|^2 <= L (C / sqrt(L))^2
 *              (McMahan et al. 2018, arXiv 1710.06963)
 *   automatic  c_i = C / (n_i + gamma), so |c_i g_i| <= C n_i / (n_i + gamma) < C
 *              (AUTO-S: Bu et al. 2022, arXiv 2206.07136)
 * all with C = clip_norm less a margin for rounding (net.c). */
void net_clipped_sum(struct net *net, const struct kernels *kernels, double clip_norm,
                     int64_t n);

/* After net_backward: net->grad = sum_i g_i, unclipped. */
void net_plain_sum(struct net *net, const struct kernels *kernels, int64_t n);

/* One parameter tensor. */
struct net_tensor {
    char name[64]; /* "0.conv2d.weight" */
    int n_dims;
    int64_t dims[4];
    int64_t offset;
};

/* Fills at most NET_MAX_TENSORS, in the order of the flat array; returns how many.
 * Low-rank factors are "3.linear.lora_a" [in, rank] and "3.linear.lora_b" [rank, out].
 */
int net_tensors(const struct net *net, struct net_tensor *ret_tensors);

/* The same of the frozen parameters, under the names of a net without a base. */
int net_frozen_tensors(const struct net *net, struct net_tensor *ret_tensors);

#endif
