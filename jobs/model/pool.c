#include "jobs/model/layer.h"

static int shape(struct layer *layer, struct error *err)
{
    int64_t stride = layer->spec.stride == 0 ? layer->spec.kernel : layer->spec.stride;
    return layer_slide(layer, stride, 0, err);
}

/* The winners' places, 32 bits each like a float. */
static int64_t max_own_floats(const struct layer *layer)
{
    return layer_size(layer->out);
}

static void max_forward(struct layer *layer, const struct kernels *kernels,
                        const float *params, int64_t n)
{
    (void)params;
    kernels->max_pool_forward(&layer->window, n, layer->x, layer->y,
                              (int32_t *)(void *)layer->own);
}

static void max_backward(struct layer *layer, const struct kernels *kernels,
                         const float *params, int64_t n)
{
    (void)params;
    if (layer->dx != NULL) {
        kernels->max_pool_backward(&layer->window, n, layer->dy,
                                   (int32_t *)(void *)layer->own, layer->dx);
    }
}

static void avg_forward(struct layer *layer, const struct kernels *kernels,
                        const float *params, int64_t n)
{
    (void)params;
    kernels->avg_pool_forward(&layer->window, n, layer->x, layer->y);
}

static void avg_backward(struct layer *layer, const struct kernels *kernels,
                         const float *params, int64_t n)
{
    (void)params;
    if (layer->dx != NULL) {
        kernels->avg_pool_backward(&layer->window, n, layer->dy, layer->dx);
    }
}

const struct layer_ops layer_max_pool = {
    .name = "max_pool",
    .shape = shape,
    .own_floats = max_own_floats,
    .forward = max_forward,
    .backward = max_backward,
};

const struct layer_ops layer_avg_pool = {
    .name = "avg_pool",
    .shape = shape,
    .forward = avg_forward,
    .backward = avg_backward,
};
