/* y = x + what went into the `over` layers before it (He et al. 2016, arXiv
 * 1512.03385).
 *
 * Works in place on x; the layers' own input is kept by net_memory.c, which lets no
 * layer write over it. Backward keeps a copy of dy, since the layers below may write
 * over theirs, and net_backward adds it where the shortcut began. */
#include "jobs/model/layer.h"

static const struct layer *source_of(const struct layer *layer)
{
    return layer - layer->spec.over;
}

static int shape(struct layer *layer, struct error *err)
{
    if (layer->spec.over < 1 || layer->spec.over > layer->number) {
        return layer_error(layer, err, "over %lld: expected 1 to %d, the layers before",
                           (long long)layer->spec.over, layer->number);
    }
    const struct shape *from = &source_of(layer)->in, *to = &layer->in;
    if (from->h != to->h || from->w != to->w || from->c != to->c) {
        return layer_error(layer, err,
                           "the %lld layers before it make %lld x %lld x %lld of "
                           "%lld x %lld x %lld values: expected the same",
                           (long long)layer->spec.over, (long long)to->h,
                           (long long)to->w, (long long)to->c, (long long)from->h,
                           (long long)from->w, (long long)from->c);
    }
    layer->out = layer->in;
    return 0;
}

static int64_t own_floats(const struct layer *layer)
{
    return layer_size(layer->out);
}

static void forward(struct layer *layer, const struct kernels *kernels,
                    const float *params, int64_t n)
{
    (void)params;
    kernels->add_bias(1, n * layer_size(layer->out), source_of(layer)->x, layer->y);
}

static void backward(struct layer *layer, const struct kernels *kernels,
                     const float *params, int64_t n)
{
    (void)params;
    kernels->memory->copy(layer->own, layer->dy,
                          (size_t)(n * layer_size(layer->out)) * sizeof *layer->own);
}

const struct layer_ops layer_residual = {
    .name = "residual",
    .is_in_place = true,
    .shape = shape,
    .own_floats = own_floats,
    .forward = forward,
    .backward = backward,
};
