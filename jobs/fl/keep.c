#include "jobs/fl/keep.h"

#include <stdlib.h>

static int owner(void *state, int64_t i)
{
    const struct keep *keep = state;
    return (int)(i / keep->n_vectors % keep->comm->size);
}

static const float *look(void *state, int64_t i)
{
    const struct keep *keep = state;
    return keep->vectors[i];
}

static float *make(void *state, int64_t i)
{
    struct keep *keep = state;
    if (keep->vectors[i] == NULL) {
        keep->vectors[i] = calloc((size_t)keep->n_params, sizeof **keep->vectors);
    }
    return keep->vectors[i];
}

static int check_memory(const struct keep *keep, const struct spec *spec,
                        struct error *err)
{
    double bytes = 4.0 * (double)keep->n_clients * (double)keep->n_vectors *
                   (double)keep->n_params;
    if (bytes <= 0.5 * (double)spec->resources.memory_bytes) {
        return 0;
    }
    error_set(err, PPT_ESPEC,
              "resources.memory: what %lld clients remember takes %.0f MiB, more than "
              "half of it",
              (long long)keep->n_clients, bytes / 0x1p20);
    return error_hint(err, "expect more memory, or make fewer clients");
}

static void plan(struct keep *keep, const struct spec_federation *federation)
{
    bool has_own =
        federation->personal.is_on && federation->personal.kind == PERSONAL_APFL;
    const bool is_needed[KEEP_N] = {
        [KEEP_MOMENTUM] = federation->client_momentum > 0.0,
        [KEEP_RESIDUAL] = spec_compress_leaves_out(&federation->compress),
        [KEEP_CONTROL] = federation->correction == CORRECTION_SCAFFOLD,
        [KEEP_OWN] = has_own,
        [KEEP_SHARE] = has_own,
    };
    for (int what = 0; what < KEEP_N; what++) {
        keep->at[what] = is_needed[what] ? (int)keep->n_vectors++ : -1;
    }
}

int keep_open(struct keep *keep, const struct spec *spec, struct trainer *trainer,
              int64_t n_clients, struct error *err)
{
    *keep = (struct keep){.comm = trainer->env->comm,
                          .n_clients = n_clients,
                          .n_params = trainer->net.n_params};
    plan(keep, &spec->federation);
    if (keep->n_vectors == 0) {
        return 0;
    }
    int rc = check_memory(keep, spec, err);
    if (rc != 0) {
        return rc;
    }
    keep->vectors = calloc((size_t)(n_clients * keep->n_vectors) + 1, sizeof(float *));
    if (keep->vectors == NULL) {
        return error_set(err, PPT_ENOMEM, "no memory for what clients remember");
    }
    keep->store = (struct trainer_store){.n_arrays = n_clients * keep->n_vectors,
                                         .owner = owner,
                                         .look = look,
                                         .make = make,
                                         .state = keep};
    trainer->store = &keep->store;
    return 0;
}

void keep_close(struct keep *keep)
{
    for (int64_t i = 0; keep->vectors != NULL && i < keep->store.n_arrays; i++) {
        free(keep->vectors[i]);
    }
    free(keep->vectors);
    *keep = (struct keep){0};
}

int keep_player(const struct keep *keep, int64_t i, int64_t client)
{
    return (int)((keep->n_vectors > 0 ? client : i) % keep->comm->size);
}

float *keep_vector(struct keep *keep, int64_t client, enum keep_what what)
{
    return make(keep, client * keep->n_vectors + keep->at[what]);
}

bool keep_has(const struct keep *keep, int64_t client, enum keep_what what)
{
    return keep->vectors[client * keep->n_vectors + keep->at[what]] != NULL;
}
