/* Layers without parameters that keep an example's size: all work in place. */
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

const struct layer_ops layer_flatten = {
    .name = "flatten",
    .is_in_place = true,
    .shape = flat_shape,
    .forward = pass,
    .backward = pass,
};
