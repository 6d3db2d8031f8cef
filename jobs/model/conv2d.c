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
    return most(back, most(layer->max_n * layer->out.c, layer_group_floats(layer)));
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

static void norms_kept(struct layer *layer, const struct kernels *kernels, int64_t n,
                       double *square)
{
    int64_t t = places(layer), d = depth(layer), p = layer->out.c;
    float *kept = kept_of(layer);
    kernels->outer_each(n, t, d, p, cols_of(layer), layer->dy, kept, layer->n_params);
    kernels->sum_rows_each(n, t, p, layer->dy, kept + layer->n_weights,
                           layer->n_params);
    kernels->add_square_rows(n, layer->n_params, kept, square);
}

static void norms_ghost(struct layer *layer, const struct kernels *kernels, int64_t n,
                        double *square, double *slack)
{
    int64_t t = places(layer), d = depth(layer), p = layer->out.c, m = layer->max_n;
    double *ghost = layer->temp, *error = layer->temp + m, *aa = layer->temp + 2 * m;
    double *gg = layer->temp + 3 * m, *bias = layer->temp + 4 * m;
    double gamma = layer_gamma((n < layer->group ? n : layer->group) * t + 2);
    kernels->ghost_square(n, t, d, p, cols_of(layer), layer->dy, ghost, error);
    kernels->square_rows(n, t * d, cols_of(layer), aa);
    kernels->square_rows(n, t * p, layer->dy, gg);
    kernels->sum_rows_each(n, t, p, layer->dy, layer->shared, p);
    kernels->square_rows(n, p, layer->shared, bias);
    kernels->ghost_norms(n, t, gamma, ghost, error, aa, gg, bias, square, slack);
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
        kernels->drop_rows(n, t * d, factor, cols_of(layer));
    }
    layer_sum_outer(layer, kernels, n, t, cols_of(layer), layer->dy, grad);
    kernels->sum_rows_each(n, t, p, layer->dy, layer->shared, p);
    kernels->sum_rows(n, p, layer->shared, grad + layer->n_weights);
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
