/* One layer of a net, as a table of what it can do. A new kind of layer is one new file
 * and one row in layer.c.
 *
 * Book-keeping style (Bu et al. 2022, arXiv 2210.00038): one forward and one backward
 * pass over a micro-batch leave each layer its input x and its output gradients dy;
 * from those come first each example's squared norm and then, once all layers' norms
 * gave the clip factors, the weighted sum of the gradients. No array is as large as
 * micro-batch times parameters, save a layer's own where that is smaller than twice the
 * activations it keeps anyway (conv2d, group norm).
 */
#ifndef PPT_JOBS_MODEL_LAYER_H
#define PPT_JOBS_MODEL_LAYER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "jobs/spec/spec.h"
#include "kernels/kernels.h"

/* Examples that are added up in float; more of them are added up in double. */
#define LAYER_GROUP 256
#define LAYER_TEMPS 5

/* One example: h x w places of c channels, channel-last. Flat data is 1 x 1 x c, a
 * sequence of T tokens T x 1 x c. */
struct shape {
    int64_t h, w, c;
};

struct layer {
    const struct layer_ops *ops;
    struct spec_layer spec;
    int number; /* in the spec's order, from 0: for messages and tensor names; the
                   layers before it lie at layer[-1], layer[-2], ... */
    struct shape in, out;
    int64_t n_params, offset; /* its block of the flat parameters: weight, then bias */
    int64_t n_weights;
    /* Of a base: in the net's frozen parameters, weight then bias. n_params then counts
     * low-rank factors only. */
    int64_t n_frozen, frozen_offset;
    const float *frozen;  /* bound by net_alloc */
    struct window window; /* conv2d and pools */
    int64_t n_tokens; /* of the data set: ids lie below it; 0: records are no tokens */
    bool is_private;  /* per-example norms will be asked for */

    /* Bound by net_alloc, in the memory of its kernels. A layer that works in place has
     * y == x and dy == dx. */
    int64_t max_n;
    int64_t chunk;    /* examples whose unfolded gradients are held at once */
    int64_t group;    /* examples added up in one product by layer_sum_outer */
    float *x, *y;     /* [max_n, in], [max_n, out] */
    float *dy, *dx;   /* the same of the gradients; dx NULL where nobody needs it */
    const float *ids; /* [max_n, places] of tokens, 0: padding; NULL: there are none */
    float *own;       /* max_n * own_floats(layer) */
    float *shared;    /* shared_floats(layer); contents last for one call */
    double *temp;     /* LAYER_TEMPS * max_n; contents last for one call */
};

struct layer_ops {
    const char *name;
    bool is_in_place;  /* forward writes y over x, backward dx over dy */
    bool needs_output; /* backward reads y: no layer may write over it */
    /* Fills out, n_params, n_weights, window from in and spec.
     * Errors: PPT_ESPEC naming the layer. */
    int (*shape)(struct layer *layer, struct error *err);
    /* Floats of workspace an example and a net need; NULL: none. */
    int64_t (*own_floats)(const struct layer *layer);
    int64_t (*shared_floats)(const struct layer *layer);

    /* On the first n examples; params is the layer's own block. */
    void (*forward)(struct layer *layer, const struct kernels *kernels,
                    const float *params, int64_t n);
    void (*backward)(struct layer *layer, const struct kernels *kernels,
                     const float *params, int64_t n);
    /* For layers with parameters, after backward. norms: square[i] += an upper bound of
     * the squared norm of example i's gradient; slack[i] += a bound on the norm of the
     * rounding that sum() will add for it. sum: grad[n_params] = sum_i factor[i] g_i
     * (factor NULL: all 1); a factor of 0 keeps the example out whatever it holds. May
     * overwrite x and dy. */
    void (*norms)(struct layer *layer, const struct kernels *kernels, int64_t n,
                  double *square, double *slack);
    void (*sum)(struct layer *layer, const struct kernels *kernels, int64_t n,
                const float *factor, float *grad);
};

extern const struct layer_ops layer_linear, layer_conv2d, layer_max_pool,
    layer_avg_pool, layer_group_norm, layer_layer_norm, layer_relu, layer_tanh,
    layer_tempered_sigmoid, layer_gelu, layer_flatten, layer_residual, layer_embedding,
    layer_position, layer_attention, layer_token_mean, layer_lstm, layer_adapter;

/* The table of a layer, by its kind and whether it has low-rank factors. */
const struct layer_ops *layer_ops_of(const struct spec_layer *spec);

static inline int64_t layer_size(struct shape shape)
{
    return shape.h * shape.w * shape.c;
}

/* Sets PPT_ESPEC "model.layers[3] (conv2d): ..." and returns it. */
int layer_error(const struct layer *layer, struct error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Fills window and out from in and spec; shared by conv2d and the pools. */
int layer_slide(struct layer *layer, int64_t stride, int64_t pad, struct error *err);

/* k u / (1 - k u), u = 2^-24: the bound on a sum of k float products. */
double layer_gamma(int64_t k);

/* grad[d, p] = sum_i A_i^T G_i of a[n, t, d] and g[n, t, p], layer->group examples a
 * product; the products are added up in double. At most LAYER_GROUP in private nets, so
 * that rounding does not grow with the micro-batch; few on a device, where one product
 * of a long sum and a small result leaves most of it idle. d p is at most n_weights.
 * Uses shared: layer_group_floats. */
void layer_sum_outer(const struct layer *layer, const struct kernels *kernels,
                     int64_t n, int64_t t, int64_t d, int64_t p, const float *a,
                     const float *g, float *grad);
int64_t layer_group_floats(const struct layer *layer);

#endif
