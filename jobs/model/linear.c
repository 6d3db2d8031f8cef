/* y = x W + b, W[in, out], at each place of a sequence. With one place an example's
 * gradient is the outer product of x and dy, so its norm is the product of theirs
 * (Goodfellow 2015): nothing cancels. With more, outer.h has the norms. */
#include "jobs/model/outer.h"

static int64_t places(const struct layer *layer)
{
    return layer->in.h * layer->in.w;
}

static int shape(struct layer *layer, struct error *err)
{
    if (places(layer) != 1 && layer->n_tokens == 0) {
        return layer_error(
            layer, err,
            "its input is %lld x %lld places of %lld channels; put a flatten "
            "layer before it",
            (long long)layer->in.h, (long long)layer->in.w, (long long)layer->in.c);
    }
    if (layer->spec.out < 1) {
        return layer_error(layer, err, "out must be at least 1");
    }
    layer->out = (struct shape){layer->in.h, layer->in.w, layer->spec.out};
    layer->n_weights = layer->in.c * layer->out.c;
    layer->n_params = layer->n_weights + layer->out.c;
    return 0;
}

static bool is_kept(const struct layer *layer)
{
    int64_t t = places(layer);
    return t > 1 && outer_is_kept(layer, t, layer->in.c, layer->out.c);
}

static int64_t own_floats(const struct layer *layer)
{
    return is_kept(layer) ? layer->n_params : 0;
}

static int64_t shared_floats(const struct layer *layer)
{
    return places(layer) == 1 ? layer_group_floats(layer)
                              : outer_shared_floats(layer, layer->out.c);
}

static struct outer outer_of(const struct layer *layer)
{
    return (struct outer){.t = places(layer),
                          .d = layer->in.c,
                          .p = layer->out.c,
                          .has_bias = true,
                          .a = layer->x,
                          .g = layer->dy,
                          .kept = is_kept(layer) ? layer->own : NULL};
}

static void forward(struct layer *layer, const struct kernels *kernels,
                    const float *params, int64_t n)
{
    int64_t rows = n * places(layer), d = layer->in.c, p = layer->out.c;
    kernels->gemm(false, false, rows, p, d, layer->x, params, 0.0f, layer->y);
    kernels->add_bias(rows, p, params + d * p, layer->y); /* an adapter's too */
}

static void backward(struct layer *layer, const struct kernels *kernels,
                     const float *params, int64_t n)
{
    if (layer->dx != NULL) {
        kernels->gemm(false, true, n * places(layer), layer->in.c, layer->out.c,
                      layer->dy, params, 0.0f, layer->dx);
    }
}

static void norms(struct layer *layer, const struct kernels *kernels, int64_t n,
                  double *square, double *slack)
{
    struct outer outer = outer_of(layer);
    if (outer.t > 1) {
        outer_norms(layer, kernels, &outer, n, square, slack);
        return;
    }
    double gamma = layer_gamma((n < layer->group ? n : layer->group) + 2);
    kernels->outer_norms(n, layer->in.c, layer->out.c, gamma, layer->x, layer->dy,
                         square, slack);
}

static void sum(struct layer *layer, const struct kernels *kernels, int64_t n,
                const float *factor, float *grad)
{
    struct outer outer = outer_of(layer);
    outer_sum(layer, kernels, &outer, n, factor, grad);
}

const struct layer_ops layer_linear = {
    .name = "linear",
    .shape = shape,
    .own_floats = own_floats,
    .shared_floats = shared_floats,
    .forward = forward,
    .backward = backward,
    .norms = norms,
    .sum = sum,
};
