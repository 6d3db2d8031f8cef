/* Multi-head attention of each place to all, or to those before it (Vaswani et al.
 * 2017, arXiv 1706.03762). It has no parameters: queries, keys and values are three
 * thirds of its input's channels, made by a linear layer before it; another one behind
 * it mixes the heads. So their norms are those of linear layers. */
#include "jobs/model/layer.h"

static int shape(struct layer *layer, struct error *err)
{
    int64_t heads = layer->spec.heads;
    if (layer->in.c % (3 * heads) != 0) {
        return layer_error(layer, err,
                           "its %lld channels are not queries, keys and values of %lld "
                           "heads: expected a multiple of %lld",
                           (long long)layer->in.c, (long long)heads,
                           (long long)(3 * heads));
    }
    layer->out = layer->in;
    layer->out.c = layer->in.c / 3;
    return 0;
}

static struct heads heads_of(const struct layer *layer)
{
    return (struct heads){.n_places = layer->in.h * layer->in.w,
                          .c = layer->out.c,
                          .heads = layer->spec.heads,
                          .is_causal = layer->spec.mask == MASK_CAUSAL};
}

/* The shares, kept for backward. */
static int64_t own_floats(const struct layer *layer)
{
    struct heads heads = heads_of(layer);
    return heads.heads * heads.n_places * heads.n_places;
}

static int64_t shared_floats(const struct layer *layer)
{
    struct heads heads = heads_of(layer);
    return heads.n_places * heads.n_places;
}

static void forward(struct layer *layer, const struct kernels *kernels,
                    const float *params, int64_t n)
{
    struct heads heads = heads_of(layer);
    (void)params;
    kernels->attention_forward(&heads, n, layer->ids, layer->x, layer->y, layer->own);
}

static void backward(struct layer *layer, const struct kernels *kernels,
                     const float *params, int64_t n)
{
    struct heads heads = heads_of(layer);
    (void)params;
    if (layer->dx != NULL) {
        kernels->attention_backward(&heads, n, layer->x, layer->dy, layer->own,
                                    layer->shared, layer->dx);
    }
}

const struct layer_ops layer_attention = {
    .name = "attention",
    .shape = shape,
    .own_floats = own_floats,
    .shared_floats = shared_floats,
    .forward = forward,
    .backward = backward,
};
