/* The one allocation of a net: who gets which part of it, and how much that is. The
 * same walk sizes and binds, so the two cannot differ. */
#include "jobs/model/net.h"

#include <stdlib.h>
#include <string.h>

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

static void bind_layers(struct net *net, struct carver *carver, int64_t max_n)
{
    float *x = net->read, *dx = NULL;
    if (net->in.c > 1 && net->in.h * net->in.w > 1) {
        x = carve_floats(carver, max_n * net->n_features);
    }
    float *shared = carve_floats(carver, most_shared(net));
    double *temp = carve(carver, (size_t)max_n, 4 * sizeof(double));
    bool is_read_again = false; /* would writing over x spoil an earlier backward? */
    for (int i = 0; i < net->n_layers; i++) {
        struct layer *layer = &net->layers[i];
        int64_t out = max_n * layer_size(layer->out);
        bool writes = layer->spec.kind != LAYER_FLATTEN;
        bool is_alias = layer->ops->is_in_place && !(is_read_again && writes);
        layer->max_n = max_n;
        layer->shared = shared;
        layer->temp = temp;
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

static void bind(struct net *net, struct carver *carver, int64_t max_n)
{
    size_t n = (size_t)max_n;
    net->max_n = max_n;
    net->read = carve_floats(carver, max_n * net->n_features);
    net->label = carve(carver, n, sizeof *net->label);
    net->loss = carve(carver, n, sizeof *net->loss);
    net->square = carve(carver, n, sizeof *net->square);
    net->slack = carve(carver, n, sizeof *net->slack);
    net->factor = carve_floats(carver, max_n);
    net->grad = carve_floats(carver, net->n_params);
    bind_layers(net, carver, max_n);
}

size_t net_memory_bytes(const struct net *net, int64_t max_n)
{
    struct net copy = *net;
    struct carver carver = {0};
    bind(&copy, &carver, max_n);
    return carver.used;
}

int64_t net_micro_batch(const struct net *net, size_t limit_bytes)
{
    enum { LEAST = 16, MOST = 256 };
    size_t near_caches = 4u << 20;
    size_t one = net_memory_bytes(net, 1), two = net_memory_bytes(net, 2);
    size_t each = two > one ? two - one : 1;
    int64_t n = (int64_t)(near_caches / each);
    n = n < LEAST ? LEAST : n > MOST ? MOST : n;
    n -= n % 8;
    while (n > 1 && net_memory_bytes(net, n) > limit_bytes) {
        n /= 2;
    }
    return n;
}

int net_alloc(struct net *net, int64_t max_n, struct error *err)
{
    size_t bytes = net_memory_bytes(net, max_n);
    void *memory = aligned_alloc(ALIGN, bytes);
    if (memory == NULL) {
        error_set(err, PPT_ENOMEM,
                  "cannot allocate %zu bytes for a micro-batch of %lld", bytes,
                  (long long)max_n);
        return error_hint(err, "give the job more memory or make the model smaller");
    }
    memset(memory, 0, bytes);
    struct carver carver = {.base = memory};
    bind(net, &carver, max_n);
    net->memory = memory;
    return 0;
}
