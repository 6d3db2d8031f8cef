/* Convolution as a matrix product: with T places, D = kernel^2 * channels in and P
 * channels out, example i has unfolded inputs A_i (T x D) and gradients G_i (T x P),
 * and its weight gradient is A_i^T G_i.
 *
 * Two ways to the norms. Kept: where (D + 1) P <= 2 T (D + P), the gradients of a
 * micro- batch are no larger than twice A and G, so each is computed and kept; its norm
 * is that of the very floats which are summed later, and the sum costs no second
 * product. Ghost: otherwise the norm comes from A A^T and G G^T in double. That sum
 * cancels, so the bound on its error is added, as is the bound on the rounding of the
 * product that sums: a near-zero gradient out of large A and G is clipped as if it were
 * large.
 */
#include "jobs/model/layer.h"

#include <math.h>

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
    int64_t t = places(layer), d = depth(layer), p = layer->out.c;
    return layer->is_private && (d + 1) * p <= 2 * t * (d + p);
}

static float *cols_of(const struct layer *layer)
{
    return layer->own;
}

static float *kept_of(const struct layer *layer)
{
    return layer->own + layer->max_n * places(layer) * depth(layer);
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

/* Examples whose unfolded input gradients are computed at once: enough for the product
 * to be fast, few enough for them to stay in the cache. */
enum { CHUNK = 8 };

static int64_t padded_floats(const struct layer *layer)
{
    const struct window *w = &layer->window;
    return (w->h + 2 * w->pad) * (w->w + 2 * w->pad) * w->c;
}

static int64_t shared_floats(const struct layer *layer)
{
    return padded_floats(layer) + CHUNK * places(layer) * depth(layer);
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
    for (int64_t from = 0; from < n; from += CHUNK) {
        int64_t end = from + CHUNK < n ? from + CHUNK : n;
        kernels->gemm(false, true, (end - from) * t, d, p, layer->dy + from * t * p,
                      params, 0.0f, dcols);
        for (int64_t i = from; i < end; i++) {
            kernels->fold(&layer->window, dcols + (i - from) * t * d,
                          layer->dx + i * layer_size(layer->in), layer->shared);
        }
    }
}

static void norms_kept(struct layer *layer, const struct kernels *kernels, int64_t n,
                       double *square)
{
    int64_t t = places(layer), d = depth(layer), p = layer->out.c;
    float *kept = kept_of(layer);
    kernels->outer_each(n, t, d, p, cols_of(layer), layer->dy, kept, layer->n_params);
    for (int64_t i = 0; i < n; i++) {
        kernels->sum_rows(t, p, layer->dy + i * t * p,
                          kept + i * layer->n_params + layer->n_weights);
    }
    kernels->square_rows(n, layer->n_params, kept, layer->temp);
    for (int64_t i = 0; i < n; i++) {
        square[i] += layer->temp[i];
    }
}

static void norms_ghost(struct layer *layer, const struct kernels *kernels, int64_t n,
                        double *square, double *slack)
{
    int64_t t = places(layer), d = depth(layer), p = layer->out.c, m = layer->max_n;
    double *weight = layer->temp, *error = layer->temp + m;
    double *aa = layer->temp + 2 * m, *gg = layer->temp + 3 * m;
    double gamma = layer_gamma(n * t + 2);
    kernels->ghost_square(n, t, d, p, cols_of(layer), layer->dy, weight, error);
    kernels->square_rows(n, t * d, cols_of(layer), aa);
    kernels->square_rows(n, t * p, layer->dy, gg);
    for (int64_t i = 0; i < n; i++) {
        float *bias = layer->shared;
        double bias_square;
        kernels->sum_rows(t, p, layer->dy + i * t * p, bias);
        kernels->square_rows(1, p, bias, &bias_square);
        double known = weight[i] > 0.0 || isnan(weight[i]) ? weight[i] : 0.0;
        square[i] += (aa[i] <= 1e30 ? known + error[i] : INFINITY) + bias_square;
        /* the bias is summed in double: its rounding is t g at 2^-52 and 2^-24 g */
        slack[i] += gamma * sqrt(aa[i] * gg[i]) + 0x1p-23 * sqrt((double)t * gg[i]);
    }
}

static void norms(struct layer *layer, const struct kernels *kernels, int64_t n,
                  double *square, double *slack)
{
    if (is_kept(layer)) {
        norms_kept(layer, kernels, n, square);
    } else {
        norms_ghost(layer, kernels, n, square, slack);
    }
}

static void sum(struct layer *layer, const struct kernels *kernels, int64_t n,
                const float *factor, float *grad)
{
    int64_t t = places(layer), d = depth(layer), p = layer->out.c;
    if (factor != NULL && is_kept(layer)) {
        kernels->weighted_sum(n, layer->n_params, factor, kept_of(layer), grad);
        return;
    }
    if (factor != NULL) {
        kernels->scale_rows(n, t * p, factor, layer->dy);
        layer_drop_rows(n, t * d, factor, cols_of(layer));
    }
    kernels->gemm(true, false, d, p, n * t, cols_of(layer), layer->dy, 0.0f, grad);
    kernels->sum_rows(n * t, p, layer->dy, grad + layer->n_weights);
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
