/* Layers of sequences: the embedding of tokens, what tells their places, and the mean
 * over them. Ids stand in the record itself; padding (0) gives zeros and takes no
 * gradient. */
#include "jobs/model/layer.h"

static int64_t places(const struct layer *layer)
{
    return layer->in.h * layer->in.w;
}

/* embedding: table[n_tokens, out], no bias; row 0 is never used. */

static int embedding_shape(struct layer *layer, struct error *err)
{
    if (layer->n_tokens == 0) {
        return layer_error(layer, err, "the records of this data set are no tokens");
    }
    if (layer->number != 0) {
        return layer_error(layer, err, "expected it as the first layer");
    }
    layer->out = (struct shape){layer->in.c, 1, layer->spec.out};
    layer->n_weights = layer->n_params = layer->n_tokens * layer->spec.out;
    return 0;
}

static struct tokens tokens_of(const struct layer *layer)
{
    return (struct tokens){
        .n_places = layer->out.h, .c = layer->out.c, .n_tokens = layer->n_tokens};
}

/* Sums in double. */
static int64_t embedding_shared_floats(const struct layer *layer)
{
    return 2 * layer->n_params;
}

static void embedding_forward(struct layer *layer, const struct kernels *kernels,
                              const float *params, int64_t n)
{
    struct tokens tokens = tokens_of(layer);
    kernels->embed(&tokens, n, layer->x, params, layer->y);
}

static void no_backward(struct layer *layer, const struct kernels *kernels,
                        const float *params, int64_t n)
{
    (void)layer, (void)kernels, (void)params, (void)n;
}

static void embedding_norms(struct layer *layer, const struct kernels *kernels,
                            int64_t n, double *square, double *slack)
{
    struct tokens tokens = tokens_of(layer);
    kernels->embed_norms(&tokens, n, layer->x, layer->dy, square, slack);
}

static void embedding_sum(struct layer *layer, const struct kernels *kernels, int64_t n,
                          const float *factor, float *grad)
{
    struct tokens tokens = tokens_of(layer);
    kernels->embed_sum(&tokens, n, factor, layer->x, layer->dy,
                       (double *)(void *)layer->shared, grad);
}

const struct layer_ops layer_embedding = {
    .name = "embedding",
    .shape = embedding_shape,
    .shared_floats = embedding_shared_floats,
    .forward = embedding_forward,
    .backward = no_backward,
    .norms = embedding_norms,
    .sum = embedding_sum,
};

/* position: adds a vector to each place, learnt [places, c] or waves. A learnt one's
 * gradient is dy itself, so nothing is kept but dy. */

static int position_shape(struct layer *layer, struct error *err)
{
    (void)err;
    layer->out = layer->in;
    if (layer->spec.position == POSITION_LEARNT) {
        layer->n_weights = layer->n_params = layer_size(layer->in);
    }
    return 0;
}

static int64_t position_shared_floats(const struct layer *layer)
{
    return layer_size(layer->in);
}

static void position_forward(struct layer *layer, const struct kernels *kernels,
                             const float *params, int64_t n)
{
    int64_t len = layer_size(layer->in);
    const float *table = params;
    if (layer->spec.position == POSITION_WAVES) {
        kernels->waves(places(layer), layer->in.c, layer->shared);
        table = layer->shared;
    }
    kernels->memory->copy(layer->y, layer->x, (size_t)(n * len) * sizeof *layer->y);
    kernels->add_bias(n, len, table, layer->y);
}

static void position_backward(struct layer *layer, const struct kernels *kernels,
                              const float *params, int64_t n)
{
    (void)params;
    if (layer->dx != NULL) {
        kernels->memory->copy(layer->dx, layer->dy,
                              (size_t)(n * layer_size(layer->in)) * sizeof *layer->dx);
    }
}

static void position_norms(struct layer *layer, const struct kernels *kernels,
                           int64_t n, double *square, double *slack)
{
    (void)slack;
    kernels->add_square_rows(n, layer->n_params, layer->dy, square);
}

static void position_sum(struct layer *layer, const struct kernels *kernels, int64_t n,
                         const float *factor, float *grad)
{
    if (factor != NULL) {
        kernels->weighted_sum(n, layer->n_params, factor, layer->dy, grad);
    } else {
        kernels->sum_rows(n, layer->n_params, layer->dy, grad);
    }
}

const struct layer_ops layer_position = {
    .name = "position",
    .shape = position_shape,
    .shared_floats = position_shared_floats,
    .forward = position_forward,
    .backward = position_backward,
    .norms = position_norms,
    .sum = position_sum,
};

/* token_mean: over the places that are no padding. */

static int mean_shape(struct layer *layer, struct error *err)
{
    (void)err;
    layer->out = (struct shape){1, 1, layer->in.c};
    return 0;
}

static struct tokens mean_of(const struct layer *layer)
{
    return (struct tokens){.n_places = places(layer), .c = layer->in.c};
}

static void mean_forward(struct layer *layer, const struct kernels *kernels,
                         const float *params, int64_t n)
{
    struct tokens tokens = mean_of(layer);
    (void)params;
    kernels->mean_forward(&tokens, n, layer->ids, layer->x, layer->y);
}

static void mean_backward(struct layer *layer, const struct kernels *kernels,
                          const float *params, int64_t n)
{
    struct tokens tokens = mean_of(layer);
    (void)params;
    if (layer->dx != NULL) {
        kernels->mean_backward(&tokens, n, layer->ids, layer->dy, layer->dx);
    }
}

const struct layer_ops layer_token_mean = {
    .name = "token_mean",
    .shape = mean_shape,
    .forward = mean_forward,
    .backward = mean_backward,
};
