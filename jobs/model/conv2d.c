/* Convolution as a matrix product: with T places, D = kernel^2 * channels in and P
 * channels out, example i has unfolded inputs A_i (T x D); outer.h has the norms. */
#include "jobs/model/outer.h"

static int64_t places(const struct layer *layer)
{
    return layer->window.out_h * layer->window.out_w;
}

static int64_t depth(const struct layer *layer)
{
    return layer->window.size * layer->window.size * layer->window.c;
}

static bool is_kept(const struct layer *layer)
{
    return outer_is_kept(layer, places(layer), depth(layer), layer->out.c);
}

static float *cols_of(const struct layer *layer)
{
    return layer->own;
}

static struct outer outer_of(const struct layer *layer)
{
    int64_t t = places(layer), d = depth(layer);
    return (struct outer){.t = t,
                          .d = d,
                          .p = layer->out.c,
                          .has_bias = true,
                          .a = cols_of(layer),
                          .g = layer->dy,
                          .kept = is_kept(layer) ? layer->own + layer->max_n * t * d
                                                 : NULL};
}

static int shape(struct layer *layer, struct error *err)
{
    int64_t stride = layer->spec.stride == 0 ? 1 : layer->spec.stride;
    if (layer->spec.out < 1) {
        return layer_error(layer, err, "out must be at least 1");
    }
    int rc = layer_slide(layer, stride, layer->spec.padding, err);
    if (rc != 0) {
        return rc;
    }
    layer->out.c = layer->spec.out;
    layer->n_weights = depth(layer) * layer->out.c;
    layer->n_params = layer->n_weights + layer->out.c;
    return 0;
}

static int64_t own_floats(const struct layer *layer)
{
    int64_t kept = is_kept(layer) ? layer->n_params : 0;
    return places(layer) * depth(layer) + kept;
}

static int64_t padded_floats(const struct layer *layer)
{
    const struct window *w = &layer->window;
    return (w->h + 2 * w->pad) * (w->w + 2 * w->pad) * w->c;
}

static int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* What backward, the ghost norms' bias and the sum need, one after the other. */
static int64_t shared_floats(const struct layer *layer)
{
    int64_t back = padded_floats(layer) + layer->chunk * places(layer) * depth(layer);
    return most(back, outer_shared_floats(layer, layer->out.c));
}

static void forward(struct layer *layer, const struct kernels *kernels,
                    const float *params, int64_t n)
{
    int64_t t = places(layer), d = depth(layer), p = layer->out.c;
    kernels->unfold(&layer->window, n, layer->x, cols_of(layer), layer->shared);
    kernels->gemm(false, false, n * t, p, d, cols_of(layer), params, 0.0f, layer->y);
    kernels->add_bias(n * t, p, params + layer->n_weights, layer->y);
}

static void backward(struct layer *layer, const struct kernels *kernels,
                     const float *params, int64_t n)
{
    int64_t t = places(layer), d = depth(layer), p = layer->out.c;
    float *dcols = layer->shared + padded_floats(layer);
    if (layer->dx == NULL) {
        return;
    }
    for (int64_t from = 0; from < n; from += layer->chunk) {
        int64_t m = n - from < layer->chunk ? n - from : layer->chunk;
        kernels->gemm(false, true, m * t, d, p, layer->dy + from * t * p, params, 0.0f,
                      dcols);
        kernels->fold(&layer->window, m, dcols,
                      layer->dx + from * layer_size(layer->in), layer->shared);
    }
}

static void norms(struct layer *layer, const struct kernels *kernels, int64_t n,
                  double *square, double *slack)
{
    struct outer outer = outer_of(layer);
    outer_norms(layer, kernels, &outer, n, square, slack);
}

static void sum(struct layer *layer, const struct kernels *kernels, int64_t n,
                const float *factor, float *grad)
{
    struct outer outer = outer_of(layer);
    outer_sum(layer, kernels, &outer, n, factor, grad);
}

const struct layer_ops layer_conv2d = {
    .name = "conv2d",
    .shape = shape,
    .own_floats = own_floats,
    .shared_floats = shared_floats,
    .forward = forward,
    .backward = backward,
    .norms = norms,
    .sum = sum,
};
