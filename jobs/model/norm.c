/* Group norm and layer norm: scale[c], then shift[c]. An example's gradient is 2 c
 * floats, so all of a micro-batch are computed and kept. Layer norm is over the
 * channels of each place, as Keras has it. */
#include "jobs/model/layer.h"

static int shape(struct layer *layer, struct error *err)
{
    int64_t groups = layer->spec.groups;
    if (groups < 1 || layer->in.c % groups != 0) {
        return layer_error(layer, err, "groups %lld does not divide its %lld channels",
                           (long long)groups, (long long)layer->in.c);
    }
    layer->out = layer->in;
    layer->n_weights = layer->in.c;
    layer->n_params = 2 * layer->in.c;
    return 0;
}

static struct grouping grouping_of(const struct layer *layer)
{
    return (struct grouping){.n_places = layer->in.h * layer->in.w,
                             .c = layer->in.c,
                             .groups = layer->spec.groups};
}

static int64_t own_floats(const struct layer *layer)
{
    return 2 * layer->spec.groups + layer->n_params;
}

static float *each_of(const struct layer *layer)
{
    return layer->own + layer->max_n * 2 * layer->spec.groups;
}

static void forward(struct layer *layer, const struct kernels *kernels,
                    const float *params, int64_t n)
{
    struct grouping grouping = grouping_of(layer);
    kernels->group_norm_forward(&grouping, n, layer->x, params,
                                params + layer->n_weights, layer->y, layer->own);
}

static void backward(struct layer *layer, const struct kernels *kernels,
                     const float *params, int64_t n)
{
    struct grouping grouping = grouping_of(layer);
    if (layer->n_params > 0) {
        kernels->group_norm_each(&grouping, n, layer->x, layer->own, layer->dy,
                                 each_of(layer));
    }
    if (layer->dx != NULL) {
        kernels->group_norm_backward(&grouping, n, layer->x, params, layer->own,
                                     layer->dy, layer->dx);
    }
}

static void norms(struct layer *layer, const struct kernels *kernels, int64_t n,
                  double *square, double *slack)
{
    (void)slack;
    kernels->add_square_rows(n, layer->n_params, each_of(layer), square);
}

static void sum(struct layer *layer, const struct kernels *kernels, int64_t n,
                const float *factor, float *grad)
{
    if (factor != NULL) {
        kernels->weighted_sum(n, layer->n_params, factor, each_of(layer), grad);
    } else {
        kernels->sum_rows(n, layer->n_params, each_of(layer), grad);
    }
}

const struct layer_ops layer_group_norm = {
    .name = "group_norm",
    .shape = shape,
    .own_floats = own_floats,
    .forward = forward,
    .backward = backward,
    .norms = norms,
    .sum = sum,
};

static int layer_shape(struct layer *layer, struct error *err)
{
    (void)err;
    layer->out = layer->in;
    layer->n_weights = layer->in.c;
    layer->n_params = 2 * layer->in.c;
    return 0;
}

static int64_t places_of(const struct layer *layer)
{
    return layer->in.h * layer->in.w;
}

static int64_t layer_own_floats(const struct layer *layer)
{
    return 2 * places_of(layer) + layer->n_params;
}

static float *layer_each_of(const struct layer *layer)
{
    return layer->own + layer->max_n * 2 * places_of(layer);
}

/* Each place stands for an example of group norm. */
static struct grouping place_of(const struct layer *layer)
{
    return (struct grouping){.n_places = 1, .c = layer->in.c, .groups = 1};
}

static void layer_forward(struct layer *layer, const struct kernels *kernels,
                          const float *params, int64_t n)
{
    struct grouping place = place_of(layer);
    kernels->group_norm_forward(&place, n * places_of(layer), layer->x, params,
                                params + layer->n_weights, layer->y, layer->own);
}

static void layer_backward(struct layer *layer, const struct kernels *kernels,
                           const float *params, int64_t n)
{
    struct grouping place = place_of(layer);
    int64_t places = places_of(layer);
    if (layer->n_params > 0) {
        kernels->layer_norm_each(n, places, layer->in.c, layer->x, layer->own,
                                 layer->dy, layer_each_of(layer));
    }
    if (layer->dx != NULL) {
        kernels->group_norm_backward(&place, n * places, layer->x, params, layer->own,
                                     layer->dy, layer->dx);
    }
}

static void layer_norms(struct layer *layer, const struct kernels *kernels, int64_t n,
                        double *square, double *slack)
{
    (void)slack;
    kernels->add_square_rows(n, layer->n_params, layer_each_of(layer), square);
}

static void layer_sum(struct layer *layer, const struct kernels *kernels, int64_t n,
                      const float *factor, float *grad)
{
    if (factor != NULL) {
        kernels->weighted_sum(n, layer->n_params, factor, layer_each_of(layer), grad);
    } else {
        kernels->sum_rows(n, layer->n_params, layer_each_of(layer), grad);
    }
}

const struct layer_ops layer_layer_norm = {
    .name = "layer_norm",
    .shape = layer_shape,
    .own_floats = layer_own_floats,
    .forward = layer_forward,
    .backward = layer_backward,
    .norms = layer_norms,
    .sum = layer_sum,
};
