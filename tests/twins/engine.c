#include "tests/twins/engine.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_CLASSES = 10 };

/* jobs/manifest.c's, which would bring a YAML parser with it. */
const struct manifest_split *manifest_split(const struct manifest *manifest,
                                            const char *name)
{
    for (int s = 0; s < manifest->n_splits; s++) {
        if (strcmp(manifest->splits[s].name, name) == 0) {
            return &manifest->splits[s];
        }
    }
    return NULL;
}

static void must(bool is_right, const char *words)
{
    if (!is_right) {
        printf("FAIL: %s\n", words);
        exit(1);
    }
}

/* xorshift64* (Vigna 2016). */
static double uniform(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (double)(*state * 0x2545f4914f6cdd1du >> 11) * 0x1p-52 - 1.0;
}

struct engine_records engine_records(int64_t n, int n_dims, const int64_t *dims)
{
    struct engine_records records = {.n = n, .n_features = 1};
    uint64_t state = 42;
    for (int i = 0; i < n_dims; i++) {
        records.n_features *= dims[i];
    }
    records.x = malloc((size_t)(n * records.n_features) * sizeof *records.x);
    records.y = malloc((size_t)n * sizeof *records.y);
    must(records.x != NULL && records.y != NULL, "no memory for records");
    for (int64_t i = 0; i < n; i++) {
        uint64_t centre = 0x9e3779b97f4a7c15u * (uint64_t)(i % N_CLASSES + 1);
        records.y[i] = (int32_t)(i % N_CLASSES);
        for (int64_t j = 0; j < records.n_features; j++) {
            records.x[i * records.n_features + j] =
                (float)(0.5 * uniform(&centre) + 0.5 * uniform(&state));
        }
    }
    return records;
}

void engine_records_to_ids(struct engine_records *records, int64_t n_tokens)
{
    for (int64_t i = 0; i < records->n * records->n_features; i++) {
        records->x[i] = floorf(fabsf(records->x[i]) * (float)n_tokens);
    }
}

void engine_records_free(struct engine_records *records)
{
    free(records->x);
    free(records->y);
}

static int read_rows(struct rows *rows, const int64_t *indices, size_t n, float *x,
                     int32_t *y, struct error *err)
{
    const struct engine_records *records = rows->state;
    size_t len = (size_t)records->n_features;
    (void)err;
    for (size_t i = 0; i < n; i++) {
        y[i] = records->y[indices[i]];
        if (!records->is_resident) {
            memcpy(x + i * len, records->x + (size_t)indices[i] * len, len * sizeof *x);
        }
    }
    return 0;
}

/* The same numbers for every table. */
static int read_base(struct io *io, const struct tensor_view *wanted, float *ret_values,
                     struct error *err)
{
    uint64_t state = 77;
    int64_t n = 1;
    (void)io, (void)err;
    for (int d = 0; d < wanted->n_dims; d++) {
        n *= wanted->dims[d];
    }
    for (int64_t i = 0; i < n; i++) {
        ret_values[i] = (float)(0.5 * uniform(&state));
    }
    return 0;
}

static struct spec spec_of(const struct engine_wish *wish)
{
    struct spec spec = {.name = "engine", .kind = JOB_DP};
    strcpy(spec.dataset.train, "train");
    spec.dataset.std = 1.0;
    spec.model.preset = wish->preset;
    spec.model.hidden = wish->hidden;
    spec.model.n_layers = wish->n_layers;
    memcpy(spec.model.layers, wish->layers, sizeof wish->layers);
    strcpy(spec.model.base.file, wish->has_base ? "base.h5" : "");
    spec.privacy.is_private = wish->is_private;
    spec.privacy.clip_norm = 1.0;
    spec.privacy.clipping = wish->clipping;
    spec.training.optimizer = wish->optimizer;
    spec.training.sum = wish->sum;
    spec.training.batch_size = wish->batch;
    spec.training.learning_rate = wish->optimizer == OPTIMIZER_ADAM ? 0.01 : 0.1;
    spec.training.momentum = 0.9;
    spec.training.beta1 = 0.9;
    spec.training.beta2 = 0.999;
    spec.training.seed = 1;
    spec.resources.ranks = 1;
    return spec;
}

static struct manifest manifest_of(const struct engine_wish *wish, int64_t n)
{
    struct manifest manifest = {.name = "engine", .n_splits = 1};
    struct manifest_split *split = &manifest.splits[0];
    strcpy(split->name, "train");
    split->nominal_count = n;
    split->x_type = TYPE_FLOAT32;
    split->n_dims = wish->n_dims;
    memcpy(split->dims, wish->dims, sizeof wish->dims);
    split->n_classes = N_CLASSES;
    split->n_tokens = wish->n_tokens;
    return manifest;
}

struct engine *engine_open(const struct engine_wish *wish,
                           struct engine_records *records,
                           const struct kernels *kernels)
{
    struct engine *engine = calloc(1, sizeof *engine);
    struct error err = {0};
    must(engine != NULL, "no memory for an engine");
    double rate = (double)wish->batch / (double)records->n;
    engine->spec = spec_of(wish);
    engine->manifest = manifest_of(wish, records->n);
    engine->plan.price.is_private = wish->is_private;
    engine->plan.price.sample_rate = floor(rate * 0x1p53) * 0x1p-53;
    engine->plan.price.noise_multiplier = 1.0;
    engine->plan.price.n_steps = wish->n_steps > 0 ? wish->n_steps : 1000000;
    engine->rows = (struct rows){.n_rows = records->n,
                                 .n_features = (size_t)records->n_features,
                                 .n_classes = N_CLASSES,
                                 .state = records,
                                 .read = read_rows};
    engine->io.train = &engine->rows;
    engine->io.base_read = read_base;
    engine->env.comm = &comm_alone;
    engine->env.io = &engine->io;
    engine->env.kernels = kernels;
    engine->env.noise_key[0] = 3;
    engine->env.sampling_key[0] = 5;
    int rc = trainer_open(&engine->trainer, &engine->plan, &engine->spec,
                          &engine->manifest, &engine->env, NULL, &err);
    must(rc == 0, err.text);
    return engine;
}

void engine_close(struct engine *engine)
{
    trainer_close(&engine->trainer);
    free(engine);
}

void engine_step(struct engine *engine)
{
    struct error err = {0};
    int rc = trainer_gradient(&engine->trainer, &err);
    if (rc == 0) {
        rc = trainer_release(&engine->trainer, &err);
    }
    must(rc == 0, err.text);
}
