/* The one allocation of a net: who gets which part of it, and how much that is. The
 * same walk sizes and binds, so the two cannot differ. */
#include "jobs/model/net.h"

enum { ALIGN = 64 };

/* Hands out parts of `base`, or only counts them where base is NULL. */
struct carver {
    unsigned char *base;
    size_t used;
};

static void *carve(struct carver *carver, size_t n, size_t size)
{
    size_t at = carver->used;
    carver->used = (at + n * size + ALIGN - 1) / ALIGN * ALIGN;
    return carver->base == NULL ? NULL : carver->base + at;
}

static float *carve_floats(struct carver *carver, int64_t n)
{
    return carve(carver, (size_t)n, sizeof(float));
}

static int64_t most_shared(const struct net *net)
{
    int64_t most = 0;
    for (int i = 0; i < net->n_layers; i++) {
        const struct layer *layer = &net->layers[i];
        int64_t floats =
            layer->ops->shared_floats == NULL ? 0 : layer->ops->shared_floats(layer);
        most = floats > most ? floats : most;
    }
    return most;
}

/* Unfolded gradients: on the host enough for a product to be fast and few enough to
 * stay in the cache; elsewhere all, as each call has its price. */
static int64_t chunk_of(const struct memory *memory, int64_t max_n)
{
    enum { HOST_CHUNK = 8 };
    return memory->is_host && max_n > HOST_CHUNK ? HOST_CHUNK : max_n;
}

/* A product of a plain net on the host takes all examples. On a device it takes as many
 * as make some hundred places, and no fewer than keep the products' own array as small
 * as inputs and gradients are. */
static int64_t group_of(const struct layer *layer, const struct memory *memory,
                        int64_t max_n)
{
    enum { PLACES = 512 };
    int64_t group = layer->is_private ? LAYER_GROUP : max_n;
    int64_t p = layer->out.c, t = layer->out.h * layer->out.w;
    if (!memory->is_host && layer->n_weights > 0) {
        int64_t least = layer->n_weights / (t * (layer->n_weights / p + p)) + 1;
        int64_t wanted = PLACES / t > least ? PLACES / t : least;
        group = wanted < LAYER_GROUP ? wanted : LAYER_GROUP;
    }
    return group < max_n ? group : max_n;
}

/* Does a shortcut begin at layer i's input? */
static bool is_kept(const struct net *net, int i)
{
    for (int j = i + 1; j < net->n_layers; j++) {
        const struct spec_layer *spec = &net->layers[j].spec;
        if (spec->kind == LAYER_RESIDUAL && j - spec->over == i) {
            return true;
        }
    }
    return false;
}

static void bind_layers(struct net *net, struct carver *carver, int64_t max_n)
{
    float *x = net->input, *dx = NULL;
    if (net->in.c > 1 && net->in.h * net->in.w > 1) {
        x = carve_floats(carver, max_n * net->n_features);
    }
    float *shared = carve_floats(carver, most_shared(net));
    double *temp = carve(carver, (size_t)max_n, LAYER_TEMPS * sizeof(double));
    bool is_read_again = false; /* would writing over x spoil an earlier backward,
                                   or a shortcut? */
    for (int i = 0; i < net->n_layers; i++) {
        struct layer *layer = &net->layers[i];
        int64_t out = max_n * layer_size(layer->out);
        bool writes = layer->spec.kind != LAYER_FLATTEN;
        is_read_again = is_read_again || is_kept(net, i);
        bool is_alias = layer->ops->is_in_place && !(is_read_again && writes);
        layer->shared = shared;
        layer->temp = temp;
        layer->ids = net->n_tokens > 0 ? net->input : NULL;
        layer->x = x;
        layer->dx = dx;
        layer->y = is_alias ? x : carve_floats(carver, out);
        layer->dy = NULL;
        if (i >= net->first) {
            layer->dy = is_alias && i > net->first ? dx : carve_floats(carver, out);
        }
        if (layer->ops->own_floats != NULL) {
            layer->own = carve_floats(carver, max_n * layer->ops->own_floats(layer));
        }
        is_read_again = layer->ops->needs_output || (is_alias && is_read_again);
        x = layer->y;
        dx = layer->dy;
    }
}

/* Records and labels, laid out in the same way where they are read to and where they
 * are worked on. */
static void bind_records(const struct net *net, struct carver *carver, int64_t max_n,
                         int32_t **ret_label, float **ret_x)
{
    *ret_label = carve(carver, (size_t)max_n, sizeof **ret_label);
    *ret_x = carve_floats(carver, max_n * net->n_features);
}

static void bind(struct net *net, const struct memory *memory, struct carver *carver,
                 int64_t max_n)
{
    size_t n = (size_t)max_n;
    net->max_n = max_n;
    for (int i = 0; i < net->n_layers; i++) {
        net->layers[i].max_n = max_n;
        net->layers[i].chunk = chunk_of(memory, max_n);
        net->layers[i].group = group_of(&net->layers[i], memory, max_n);
    }
    bind_records(net, carver, max_n, &net->target, &net->input);
    net->label = net->target;
    net->read = net->input;
    net->loss = carve(carver, n, sizeof *net->loss);
    net->square = carve(carver, n, sizeof *net->square);
    net->slack = carve(carver, n, sizeof *net->slack);
    net->factor = carve_floats(carver, net_n_factors(net) * max_n);
    net->grad = carve_floats(carver, net->n_params);
    net->frozen =
        net->base != NULL ? net->base->frozen : carve_floats(carver, net->n_frozen);
    for (int i = 0; i < net->n_layers; i++) {
        if (net->frozen != NULL) {
            net->layers[i].frozen = net->frozen + net->layers[i].frozen_offset;
        }
    }
    bind_layers(net, carver, max_n);
}

size_t net_memory_bytes(const struct net *net, const struct memory *memory,
                        int64_t max_n)
{
    struct net copy = *net;
    struct carver carver = {0};
    bind(&copy, memory, &carver, max_n);
    return carver.used;
}

int64_t net_micro_batch(const struct net *net, const struct memory *memory,
                        size_t limit_bytes)
{
    enum { LEAST = 16 };
    size_t one = net_memory_bytes(net, memory, 1);
    size_t two = net_memory_bytes(net, memory, 2);
    size_t each = two > one ? two - one : 1;
    int64_t n = (int64_t)(memory->near_bytes / each);
    n = n < LEAST ? LEAST : n > memory->most_examples ? memory->most_examples : n;
    n -= n % 8;
    while (n > 1 && net_memory_bytes(net, memory, n) > limit_bytes) {
        n /= 2;
    }
    return n;
}

size_t net_block_bytes(const struct net *net, int64_t n)
{
    struct carver carver = {0};
    (void)carve(&carver, (size_t)net->max_n, sizeof *net->label);
    return carver.used + (size_t)(n * net->n_features) * sizeof *net->read;
}

void net_block(const struct net *net, void *block, int32_t **ret_label, float **ret_x)
{
    struct carver carver = {.base = block};
    bind_records(net, &carver, net->max_n, ret_label, ret_x);
}

/* Where records are read to, if the kernels' memory is not the host's. */
static bool stage_records(struct net *net)
{
    if (net->place->is_host) {
        return true;
    }
    net->staged = net->place->stage(net_block_bytes(net, net->max_n));
    net_block(net, net->staged, &net->label, &net->read);
    return net->staged != NULL;
}

int net_alloc(struct net *net, const struct memory *memory, int64_t max_n,
              struct error *err)
{
    size_t bytes = net_memory_bytes(net, memory, max_n);
    struct carver carver = {.base = memory->alloc(bytes)};
    net->place = memory;
    net->memory = carver.base;
    if (net->memory != NULL) {
        bind(net, memory, &carver, max_n);
    }
    if (net->memory == NULL || !stage_records(net)) {
        net_free(net);
        error_set(err, PPT_ENOMEM,
                  "cannot allocate %zu bytes for a micro-batch of %lld", bytes,
                  (long long)max_n);
        return error_hint(err, "give the job more memory or make the model smaller");
    }
    return 0;
}

void net_free(struct net *net)
{
    if (net->place != NULL) {
        net->place->free(net->memory);
        net->place->unstage(net->staged);
    }
    net->memory = net->staged = NULL;
}
