/* y = x W + b, W[in, out]. An example's gradient is the outer product of x and dy, so
 * its norm is the product of theirs (Goodfellow 2015): nothing cancels. */
#include "jobs/model/layer.h"

static int shape(struct layer *layer, struct error *err)
{
    if (layer->in.h != 1 || layer->in.w != 1) {
        return layer_error(
            layer, err,
            "its input is %lld x %lld places of %lld channels; put a flatten "
            "layer before it",
            (long long)layer->in.h, (long long)layer->in.w, (long long)layer->in.c);
    }
    if (layer->spec.out < 1) {
        return layer_error(layer, err, "out must be at least 1");
    }
    layer->out = (struct shape){1, 1, layer->spec.out};
    layer->n_weights = layer->in.c * layer->out.c;
    layer->n_params = layer->n_weights + layer->out.c;
    return 0;
}

static void forward(struct layer *layer, const struct kernels *kernels,
                    const float *params, int64_t n)
{
    int64_t d = layer->in.c, p = layer->out.c;
    kernels->gemm(false, false, n, p, d, layer->x, params, 0.0f, layer->y);
    kernels->add_bias(n, p, params + layer->n_weights, layer->y);
}

static void backward(struct layer *layer, const struct kernels *kernels,
                     const float *params, int64_t n)
{
    if (layer->dx != NULL) {
        kernels->gemm(false, true, n, layer->in.c, layer->out.c, layer->dy, params,
                      0.0f, layer->dx);
    }
}

static void norms(struct layer *layer, const struct kernels *kernels, int64_t n,
                  double *square, double *slack)
{
    double gamma = layer_gamma((n < layer->group ? n : layer->group) + 2);
    kernels->outer_norms(n, layer->in.c, layer->out.c, gamma, layer->x, layer->dy,
                         square, slack);
}

static void sum(struct layer *layer, const struct kernels *kernels, int64_t n,
                const float *factor, float *grad)
{
    int64_t d = layer->in.c, p = layer->out.c;
    if (factor != NULL) {
        kernels->scale_rows(n, p, factor, layer->dy);
        kernels->drop_rows(n, d, factor, layer->x); /* 0 times NaN is NaN */
    }
    layer_sum_outer(layer, kernels, n, 1, layer->x, layer->dy, grad);
    kernels->sum_rows(n, p, layer->dy, grad + layer->n_weights);
}

const struct layer_ops layer_linear = {
    .name = "linear",
    .shape = shape,
    .shared_floats = layer_group_floats,
    .forward = forward,
    .backward = backward,
    .norms = norms,
    .sum = sum,
};
