/* Layers without parameters that keep an example's size: all but GELU work in place. */
#include "jobs/model/layer.h"

static int same_shape(struct layer *layer, struct error *err)
{
    (void)err;
    layer->out = layer->in;
    return 0;
}

static int flat_shape(struct layer *layer, struct error *err)
{
    (void)err;
    layer->out = (struct shape){1, 1, layer_size(layer->in)};
    return 0;
}

static void relu_forward(struct layer *layer, const struct kernels *kernels,
                         const float *params, int64_t n)
{
    (void)params;
    kernels->relu_forward(n * layer_size(layer->out), layer->y);
}

static void relu_backward(struct layer *layer, const struct kernels *kernels,
                          const float *params, int64_t n)
{
    (void)params;
    kernels->relu_backward(n * layer_size(layer->out), layer->y, layer->dy);
}

static void tanh_forward(struct layer *layer, const struct kernels *kernels,
                         const float *params, int64_t n)
{
    (void)params;
    kernels->tanh_forward(n * layer_size(layer->out), layer->y);
}

static void tanh_backward(struct layer *layer, const struct kernels *kernels,
                          const float *params, int64_t n)
{
    (void)params;
    kernels->tanh_backward(n * layer_size(layer->out), layer->y, layer->dy);
}

static struct squash squash_of(const struct layer *layer)
{
    return (struct squash){.scale = (float)layer->spec.scale,
                           .steepness = (float)layer->spec.inverse_temperature,
                           .offset = (float)layer->spec.offset};
}

static void squash_forward(struct layer *layer, const struct kernels *kernels,
                           const float *params, int64_t n)
{
    struct squash squash = squash_of(layer);
    (void)params;
    kernels->squash_forward(&squash, n * layer_size(layer->out), layer->y);
}

static void squash_backward(struct layer *layer, const struct kernels *kernels,
                            const float *params, int64_t n)
{
    struct squash squash = squash_of(layer);
    (void)params;
    kernels->squash_backward(&squash, n * layer_size(layer->out), layer->y, layer->dy);
}

static void gelu_forward(struct layer *layer, const struct kernels *kernels,
                         const float *params, int64_t n)
{
    (void)params;
    kernels->gelu_forward(n * layer_size(layer->out), layer->x, layer->y);
}

static void gelu_backward(struct layer *layer, const struct kernels *kernels,
                          const float *params, int64_t n)
{
    (void)params;
    if (layer->dx != NULL) {
        kernels->gelu_backward(n * layer_size(layer->out), layer->x, layer->dy,
                               layer->dx);
    }
}

static void pass(struct layer *layer, const struct kernels *kernels,
                 const float *params, int64_t n)
{
    (void)layer, (void)kernels, (void)params, (void)n;
}

const struct layer_ops layer_relu = {
    .name = "relu",
    .is_in_place = true,
    .needs_output = true,
    .shape = same_shape,
    .forward = relu_forward,
    .backward = relu_backward,
};

const struct layer_ops layer_tanh = {
    .name = "tanh",
    .is_in_place = true,
    .needs_output = true,
    .shape = same_shape,
    .forward = tanh_forward,
    .backward = tanh_backward,
};

const struct layer_ops layer_tempered_sigmoid = {
    .name = "tempered_sigmoid",
    .is_in_place = true,
    .needs_output = true,
    .shape = same_shape,
    .forward = squash_forward,
    .backward = squash_backward,
};

const struct layer_ops layer_gelu = {
    .name = "gelu",
    .shape = same_shape,
    .forward = gelu_forward,
    .backward = gelu_backward,
};

const struct layer_ops layer_flatten = {
    .name = "flatten",
    .is_in_place = true,
    .shape = flat_shape,
    .forward = pass,
    .backward = pass,
};
