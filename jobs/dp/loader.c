#include "jobs/dp/loader.h"

#include <assert.h>

int loader_open(struct loader *loader, struct feed *feed, struct net *net,
                int64_t n_steps, struct error *err)
{
    const struct beside *beside = net->place->beside;
    *loader =
        (struct loader){.feed = feed, .net = net, .beside = beside, .n_steps = n_steps};
    loader->lift = beside->lift_open(net_block_bytes(net, net->max_n));
    return loader->lift != NULL
               ? 0
               : error_set(err, PPT_ENOMEM,
                           "cannot allocate what brings %lld records to the device",
                           (long long)net->max_n);
}

void loader_close(struct loader *loader)
{
    if (loader->lift != NULL) {
        loader->beside->lift_close(loader->lift);
    }
    *loader = (struct loader){0};
}

void loader_begin(struct loader *loader, int64_t step)
{
    if (!loader->is_ahead) {
        loader->step = step;
        feed_begin(loader->feed, step);
    }
    assert(loader->step == step);
}

/* The step's next micro-batch, or its end. */
static void read_on(struct loader *loader)
{
    int32_t *label;
    float *x;
    const struct net *net = loader->net;
    net_block(net, loader->beside->lift_room(loader->lift), &label, &x);
    loader->n = 0;
    loader->rc =
        feed_next(loader->feed, (size_t)net->max_n, x, label, &loader->n, &loader->err);
    if (loader->rc == 0 && loader->n > 0) {
        loader->beside->lift_send(loader->lift,
                                  net_block_bytes(net, (int64_t)loader->n));
    }
    loader->is_ahead = true;
}

int loader_next(struct loader *loader, size_t *ret_n, struct error *err)
{
    if (!loader->is_ahead) {
        read_on(loader);
    }
    if (loader->rc != 0) {
        *err = loader->err;
        return loader->rc;
    }
    loader->is_ahead = false;
    loader->net->arriving = loader->n > 0 ? loader->lift : NULL;
    *ret_n = loader->n;
    return 0;
}

void loader_ahead(struct loader *loader)
{
    bool is_end = loader->n == 0;
    if (is_end && loader->step + 1 == loader->n_steps) {
        return;
    }
    if (is_end) {
        loader->step++;
        feed_begin(loader->feed, loader->step);
    }
    read_on(loader);
}
