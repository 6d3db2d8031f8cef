#include "tests/unit/dp/world.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/dp/dp_run.h"
#include "jobs/privacy/correlation.h"
#include "kernels/kernels.h"

struct seat {
    struct comm_device device; /* first */
    struct comm *comm;
    struct world *world;
    int rank;
    int64_t first; /* of the rank's records */
    const struct world_data *data;
    int64_t n_reads;
    bool is_train;
};

static struct world *world_of(struct comm *comm)
{
    return ((struct seat *)comm->state)->world;
}

static void record(struct comm *comm, char name, size_t n)
{
    struct world *world = world_of(comm);
    if (world->keeps_calls && world->n_calls[comm->rank] < WORLD_MAX_CALLS) {
        size_t at = world->n_calls[comm->rank]++;
        world->calls[comm->rank][at] = (struct world_call){name, n};
    }
}

/* Everybody shows a buffer; between the two barriers all may read all. */
static void show(struct comm *comm, const void *data)
{
    struct world *world = world_of(comm);
    world->shared[comm->rank] = data;
    pthread_barrier_wait(&world->barrier);
}

static void hide(struct comm *comm)
{
    pthread_barrier_wait(&world_of(comm)->barrier);
}

static int sum_f64(struct comm *comm, double *data, size_t n, struct error *err)
{
    (void)err;
    record(comm, 's', n);
    double *total = calloc(n, sizeof *total);
    show(comm, data);
    for (int r = 0; r < comm->size; r++) {
        for (size_t i = 0; i < n; i++) {
            total[i] += ((const double *)world_of(comm)->shared[r])[i];
        }
    }
    hide(comm);
    memcpy(data, total, n * sizeof *data);
    free(total);
    return 0;
}

static int max_i64(struct comm *comm, int64_t *data, size_t n, struct error *err)
{
    (void)err;
    record(comm, 'm', n);
    int64_t *most = malloc(n * sizeof *most);
    memcpy(most, data, n * sizeof *most);
    show(comm, data);
    for (int r = 0; r < comm->size; r++) {
        for (size_t i = 0; i < n; i++) {
            int64_t other = ((const int64_t *)world_of(comm)->shared[r])[i];
            most[i] = other > most[i] ? other : most[i];
        }
    }
    hide(comm);
    memcpy(data, most, n * sizeof *data);
    free(most);
    return 0;
}

static int add_slices(struct comm *comm, char name, const double *send, double *recv,
                      size_t n_slice)
{
    struct world *world = world_of(comm);
    record(comm, name, n_slice);
    if (world->on_sum != NULL) {
        world->on_sum(world->on_sum_state, comm->rank, send,
                      n_slice * (size_t)comm->size);
    }
    show(comm, send);
    memset(recv, 0, n_slice * sizeof *recv);
    for (int r = 0; r < comm->size; r++) {
        const double *from = world->shared[r];
        for (size_t i = 0; i < n_slice; i++) {
            recv[i] += from[(size_t)comm->rank * n_slice + i];
        }
    }
    hide(comm);
    return 0;
}

static int reduce_scatter_f64(struct comm *comm, const double *send, double *recv,
                              size_t n_slice, struct error *err)
{
    (void)err;
    return add_slices(comm, 'r', send, recv, n_slice);
}

static int gather_slices(struct comm *comm, char name, const float *send, float *recv,
                         size_t n_slice)
{
    record(comm, name, n_slice);
    show(comm, send);
    for (int r = 0; r < comm->size; r++) {
        memcpy(recv + (size_t)r * n_slice, world_of(comm)->shared[r],
               n_slice * sizeof *recv);
    }
    hide(comm);
    return 0;
}

static int all_gather_f32(struct comm *comm, const float *send, float *recv,
                          size_t n_slice, struct error *err)
{
    (void)err;
    return gather_slices(comm, 'g', send, recv, n_slice);
}

static int device_reduce_scatter_f64(struct comm_device *device, const double *send,
                                     double *recv, size_t n_slice, struct error *err)
{
    (void)err;
    return add_slices(((struct seat *)device)->comm, 'R', send, recv, n_slice);
}

static int device_all_gather_f32(struct comm_device *device, const float *send,
                                 float *recv, size_t n_slice, struct error *err)
{
    (void)err;
    return gather_slices(((struct seat *)device)->comm, 'G', send, recv, n_slice);
}

static int broadcast(struct comm *comm, void *data, size_t len, int root,
                     struct error *err)
{
    (void)err;
    record(comm, 'b', len);
    show(comm, data);
    if (comm->rank != root) {
        memcpy(data, world_of(comm)->shared[root], len);
    }
    hide(comm);
    return 0;
}

static int barrier(struct comm *comm, struct error *err)
{
    (void)err;
    record(comm, 'B', 0);
    show(comm, NULL);
    hide(comm);
    return 0;
}

static int take(struct comm *comm, int64_t *ret_number, struct error *err)
{
    (void)err;
    *ret_number = atomic_fetch_add(&world_of(comm)->n_taken, 1);
    return 0;
}

static const struct comm_ops thread_ops = {
    .sum_f64 = sum_f64,
    .max_i64 = max_i64,
    .reduce_scatter_f64 = reduce_scatter_f64,
    .all_gather_f32 = all_gather_f32,
    .broadcast = broadcast,
    .barrier = barrier,
    .take = take,
};

static const struct comm_ops thread_ops_without = {
    .sum_f64 = sum_f64,
    .max_i64 = max_i64,
    .reduce_scatter_f64 = reduce_scatter_f64,
    .all_gather_f32 = all_gather_f32,
    .broadcast = broadcast,
    .barrier = barrier,
};

static int read_rows(struct rows *rows, const int64_t *indices, size_t n, float *x,
                     int32_t *y, struct error *err)
{
    struct seat *seat = rows->state;
    const struct world_data *data = seat->data;
    (void)err;
    for (size_t i = 0; i < n; i++) {
        int64_t at = seat->first + indices[i];
        memcpy(x + i * data->n_features, data->x + (size_t)at * data->n_features,
               data->n_features * sizeof *x);
        y[i] = data->y[at];
    }
    seat->n_reads++;
    if (seat->is_train && seat->world->stop_after_reads > 0 &&
        seat->rank == seat->world->stop_rank &&
        seat->n_reads >= seat->world->stop_after_reads) {
        seat->world->stop[seat->rank] = 1;
    }
    return 0;
}

/* Stored as the floats, then the label. */
static int fetch_rows(struct rows *rows, const int64_t *indices, size_t n,
                      void *records, struct error *err)
{
    size_t x_bytes = rows->n_features * sizeof(float);
    for (size_t i = 0; i < n; i++) {
        char *record = (char *)records + i * rows->record_bytes;
        float x[64];
        int32_t y;
        read_rows(rows, indices + i, 1, x, &y, err);
        memcpy(record, x, x_bytes);
        memcpy(record + x_bytes, &y, sizeof y);
    }
    return 0;
}

static int decode_row(struct rows *rows, const void *record, float *x, int32_t *y,
                      struct error *err)
{
    size_t x_bytes = rows->n_features * sizeof(float);
    (void)err;
    memcpy(x, record, x_bytes);
    memcpy(y, (const char *)record + x_bytes, sizeof *y);
    return 0;
}

static int checkpoint_begin(struct io *io, uint64_t len, struct error *err)
{
    struct world *world = io->state;
    (void)err;
    world->checkpoint_new = malloc(len);
    world->checkpoint_new_len = len;
    world->checkpoint_at = 0;
    return 0;
}

static int checkpoint_put(struct io *io, const void *data, size_t len,
                          struct error *err)
{
    struct world *world = io->state;
    if (world->checkpoint_fails_at > 0 &&
        world->checkpoint_at + len >= world->checkpoint_fails_at) {
        return error_set(err, PPT_EIO, "the disk is full");
    }
    if (len > world->checkpoint_new_len - world->checkpoint_at) {
        return error_set(err, PPT_EINTERNAL, "more than was announced");
    }
    memcpy((char *)world->checkpoint_new + world->checkpoint_at, data, len);
    world->checkpoint_at += len;
    return 0;
}

static int checkpoint_end(struct io *io, int rc, struct error *err)
{
    struct world *world = io->state;
    if (rc == 0 && world->checkpoint_at != world->checkpoint_new_len) {
        rc = error_set(err, PPT_EINTERNAL, "less than was announced");
    }
    if (rc != 0) {
        free(world->checkpoint_new);
    } else {
        free(world->checkpoint);
        world->checkpoint = world->checkpoint_new;
        world->checkpoint_len = world->checkpoint_new_len;
        world->n_checkpoints_saved++;
    }
    world->checkpoint_new = NULL;
    return rc;
}

static int checkpoint_open(struct io *io, bool *ret_is_there, uint64_t *ret_len,
                           struct error *err)
{
    struct world *world = io->state;
    (void)err;
    *ret_is_there = world->checkpoint != NULL;
    *ret_len = world->checkpoint_len;
    world->checkpoint_at = 0;
    return 0;
}

static int checkpoint_get(struct io *io, void *ret_data, size_t len, struct error *err)
{
    struct world *world = io->state;
    if (len > world->checkpoint_len - world->checkpoint_at ||
        (world->checkpoint_fails_at > 0 &&
         world->checkpoint_at + len >= world->checkpoint_fails_at)) {
        return error_set(err, PPT_ETRUST, "damaged checkpoint");
    }
    memcpy(ret_data, (char *)world->checkpoint + world->checkpoint_at, len);
    world->checkpoint_at += len;
    return 0;
}

static void checkpoint_close(struct io *io)
{
    struct world *world = io->state;
    world->n_checkpoints_closed++;
}

static int model_save(struct io *io, const struct tensor_view *tensors, int n_tensors,
                      struct error *err)
{
    struct world *world = io->state;
    (void)err;
    world->n_model = 0;
    for (int i = 0; i < n_tensors; i++) {
        int64_t len = 1;
        for (int d = 0; d < tensors[i].n_dims; d++) {
            len *= tensors[i].dims[d];
        }
        size_t bytes = (size_t)(world->n_model + len) * sizeof *world->model;
        world->model = realloc(world->model, bytes);
        memcpy(world->model + world->n_model, tensors[i].data,
               (size_t)len * sizeof *world->model);
        world->n_model += len;
    }
    world->n_models_saved++;
    return 0;
}

static int read_users(struct rows *rows, int64_t *ret_users, struct error *err)
{
    struct seat *seat = rows->state;
    (void)err;
    memcpy(ret_users, seat->data->users + seat->first,
           (size_t)rows->n_rows * sizeof *ret_users);
    return 0;
}

static int trace(struct io *io, char **ret_text, size_t *ret_len, struct error *err)
{
    const struct world *world = io->state;
    (void)err;
    *ret_text = strdup(world->trace);
    *ret_len = strlen(world->trace);
    return 0;
}

static int consents(struct io *io, char **ret_text, size_t *ret_len, struct error *err)
{
    struct world *world = io->state;
    int last = world->n_consents - 1, at = world->n_looks++;
    const char *now = world->consents[at < last ? at : last];
    const char *before =
        at == 0 ? NULL : world->consents[at - 1 < last ? at - 1 : last];
    (void)err;
    *ret_text = now == before ? NULL : strdup(now);
    *ret_len = now == before ? 0 : strlen(now);
    return 0;
}

static int note(struct io *io, const char *line, struct error *err)
{
    struct world *world = io->state;
    (void)err;
    strncat(world->notes, line, world->notes_size - strlen(world->notes) - 1);
    return 0;
}

static struct rows rows_of(struct seat *seat, const struct world_data *data,
                           int64_t first, int64_t end)
{
    seat->data = data;
    seat->first = first;
    return (struct rows){.n_rows = end - first,
                         .n_features = data->n_features,
                         .n_classes = data->n_classes,
                         .state = seat,
                         .record_bytes =
                             data->n_features * sizeof(float) + sizeof(int32_t),
                         .ahead_bytes = seat->is_train ? seat->world->ahead_bytes : 0,
                         .read = read_rows,
                         .users = data->users != NULL ? read_users : NULL,
                         .fetch = fetch_rows,
                         .decode = decode_row};
}

static void *run_rank(void *state)
{
    struct seat *seat = state;
    struct world *world = seat->world;
    int rank = seat->rank;
    struct seat train_seat = {.world = world, .rank = rank, .is_train = true};
    struct seat test_seat = {.world = world, .rank = rank};
    int64_t n = world->train->n;
    int64_t first = world->is_split ? world->starts[rank] : n * rank / world->size;
    int64_t end =
        world->is_split ? world->starts[rank + 1] : n * (rank + 1) / world->size;
    if (world->is_whole) {
        first = 0;
        end = n;
    }
    struct rows train = rows_of(&train_seat, world->train, first, end), test;
    struct comm comm = {.rank = rank,
                        .size = world->size,
                        .ops =
                            world->has_no_counter ? &thread_ops_without : &thread_ops,
                        .state = seat,
                        .device = world->has_devices ? &seat->device : NULL};
    seat->comm = &comm;
    struct io io = {.train = &train,
                    .state = world,
                    .checkpoint_begin = checkpoint_begin,
                    .checkpoint_put = checkpoint_put,
                    .checkpoint_end = checkpoint_end,
                    .checkpoint_open = checkpoint_open,
                    .checkpoint_get = checkpoint_get,
                    .checkpoint_close = checkpoint_close,
                    .model_save = model_save,
                    .consents = world->consents != NULL ? consents : NULL,
                    .trace = world->trace != NULL ? trace : NULL,
                    .note = world->notes != NULL ? note : NULL};
    if (world->test != NULL) {
        n = world->test->n;
        test = rows_of(&test_seat, world->test, n * rank / world->size,
                       n * (rank + 1) / world->size);
        io.test = &test;
    }
    struct env env = {
        .comm = &comm,
        .io = &io,
        .kernels = world->kernels == NULL ? &kernels_cpu : world->kernels,
        .meter = rank == 0 ? world->meter : NULL,
        .progress = rank == 0 ? world->progress : NULL,
        .progress_state = world->progress_state,
        .stop = &world->stop[rank],
    };
    memcpy(env.noise_key, world->noise_key, sizeof env.noise_key);
    memcpy(env.sampling_key, world->sampling_key, sizeof env.sampling_key);
    env.noise_key[0] ^= (unsigned char)rank;
    env.sampling_key[0] ^= (unsigned char)rank;
    world->rc[rank] = (world->run == NULL ? dp_run : world->run)(
        world->plan, world->spec, world->manifest, &env, &world->report[rank],
        &world->err[rank]);
    return NULL;
}

void world_run(struct world *world)
{
    world->n_looks = 0;
    struct seat seats[WORLD_MAX_RANKS];
    pthread_t threads[WORLD_MAX_RANKS];
    pthread_barrier_init(&world->barrier, NULL, (unsigned)world->size);
    for (int r = 0; r < world->size; r++) {
        seats[r] =
            (struct seat){.device = {device_reduce_scatter_f64, device_all_gather_f32},
                          .world = world,
                          .rank = r};
        world->stop[r] = 0;
        world->n_calls[r] = 0;
        if (world->keeps_calls && world->calls[r] == NULL) {
            world->calls[r] = calloc(WORLD_MAX_CALLS, sizeof *world->calls[r]);
        }
        world->err[r] = (struct error){0};
    }
    for (int r = 1; r < world->size; r++) {
        pthread_create(&threads[r], NULL, run_rank, &seats[r]);
    }
    run_rank(&seats[0]);
    for (int r = 1; r < world->size; r++) {
        pthread_join(threads[r], NULL);
    }
    pthread_barrier_destroy(&world->barrier);
}

void world_free(struct world *world)
{
    free(world->checkpoint);
    free(world->model);
    for (int r = 0; r < WORLD_MAX_RANKS; r++) {
        free(world->calls[r]);
    }
}

/* xorshift64* (Vigna 2016): reproducible test data. */
static double uniform(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (double)(*state * 0x2545f4914f6cdd1du >> 11) * 0x1p-53;
}

struct world_data world_blobs(int64_t n, size_t n_features, int64_t n_classes,
                              double spread, uint64_t seed)
{
    struct world_data data = {.n = n, .n_features = n_features, .n_classes = n_classes};
    data.x = calloc((size_t)n * n_features + 1, sizeof *data.x);
    data.y = calloc((size_t)n + 1, sizeof *data.y);
    for (int64_t i = 0; i < n; i++) {
        uint64_t centre = 0x9e3779b97f4a7c15u * (uint64_t)(i % n_classes + 1);
        data.y[i] = (int32_t)(i % n_classes);
        for (size_t j = 0; j < n_features; j++) {
            double at = 2.0 * uniform(&centre) - 1.0;
            double off = 2.0 * uniform(&seed) - 1.0;
            data.x[(size_t)i * n_features + j] = (float)(at + spread * off);
        }
    }
    return data;
}

void world_data_free(struct world_data *data)
{
    free(data->x);
    free(data->y);
    free(data->users);
}

struct manifest world_manifest(int64_t n_train, int64_t n_test, int n_dims,
                               const int64_t *dims, int64_t n_classes)
{
    struct manifest manifest = {.name = "world", .n_splits = 2};
    const char *names[2] = {"train", "test"};
    for (int s = 0; s < 2; s++) {
        struct manifest_split *split = &manifest.splits[s];
        strcpy(split->name, names[s]);
        split->nominal_count = s == 0 ? n_train : n_test;
        split->x_type = TYPE_FLOAT32;
        split->n_dims = n_dims;
        memcpy(split->dims, dims, (size_t)n_dims * sizeof *dims);
        split->n_classes = n_classes;
    }
    return manifest;
}

struct spec world_spec(enum spec_preset preset, bool is_private)
{
    struct spec spec = {.name = "world", .kind = JOB_DP};
    strcpy(spec.dataset.train, "train");
    strcpy(spec.dataset.test, "test");
    spec.dataset.std = 1.0;
    spec.model.preset = preset;
    spec.model.hidden = 16;
    spec.privacy.is_private = is_private;
    spec.privacy.delta = 1e-6;
    spec.privacy.clip_norm = 1.0;
    spec.training.batch_size = 32;
    spec.training.learning_rate = 0.1;
    spec.training.momentum = 0.9;
    spec.training.beta1 = 0.9;
    spec.training.beta2 = 0.999;
    spec.training.seed = 1;
    spec.training.evaluation = EVALUATION_NONE;
    spec.resources.ranks = 1;
    spec.resources.cores_per_rank = 1;
    return spec;
}

struct plan world_plan(const struct spec *spec, const struct manifest *manifest,
                       double noise_multiplier, int64_t n_steps)
{
    struct plan plan = {.job_id = 7, .attempt = 1};
    double rate =
        (double)spec->training.batch_size / (double)manifest->splits[0].nominal_count;
    memset(plan.spec_sha256, 'a', SPEC_HEX_SIZE - 1);
    plan.price.is_private = spec->privacy.is_private;
    plan.price.delta = 1e-6;
    plan.price.sample_rate = floor(rate * 0x1p53) * 0x1p-53;
    plan.price.noise_multiplier = noise_multiplier;
    plan.price.n_steps = n_steps;
    if (plan.price.is_private) {
        plan.price.n_releases = 1;
        plan.price.releases[0] =
            (struct price_release){.name = "training-step",
                                   .mechanism = {.kind = MECHANISM_SUBSAMPLED_GAUSSIAN,
                                                 .noise_multiplier = noise_multiplier,
                                                 .sample_rate = plan.price.sample_rate},
                                   .count = n_steps};
    }
    if (spec->training.sampling != SAMPLE_POISSON) {
        int64_t n = manifest->splits[0].nominal_count,
                batch = spec->training.batch_size;
        plan.price.n_bins = (n + batch - 1) / batch;
        plan.price.sample_rate = 1.0 / (double)plan.price.n_bins;
        plan.price.releases[0].mechanism =
            (struct mechanism){.kind = MECHANISM_RANDOM_ALLOCATION,
                               .noise_multiplier = noise_multiplier,
                               .sample_rate = 1.0,
                               .bins = (double)plan.price.n_bins};
        plan.price.releases[0].count = n_steps / plan.price.n_bins;
    }
    if (spec->training.sampling == SAMPLE_FIXED_ORDER) {
        int64_t n_bands = correlation_bands(spec->training.bands, plan.price.n_bins);
        plan.price.n_bands = n_bands;
        plan.price.releases[0].mechanism = (struct mechanism){
            .kind = MECHANISM_GAUSSIAN,
            .noise_multiplier = correlation_priced(noise_multiplier, n_bands),
            .sample_rate = 1.0};
    }
    return plan;
}

int world_read_base(struct io *io, const struct tensor_view *wanted, float *ret_values,
                    struct error *err)
{
    int64_t n = 1;
    (void)io, (void)err;
    for (int d = 0; d < wanted->n_dims; d++) {
        n *= wanted->dims[d];
    }
    for (int64_t i = 0; i < n; i++) {
        ret_values[i] = (float)((i * 7919) % 31 - 15) * 0.01f;
    }
    return 0;
}

static void add_layer(struct spec_model *model, struct spec_layer layer)
{
    model->layers[model->n_layers++] = layer;
}

struct spec_model world_transformer(void)
{
    enum { WIDTH = 64, RANK = 4, N_BLOCKS = 2 };
    struct spec_model model = {.preset = PRESET_LAYERS, .base = {.file = "base.h5"}};
    const struct spec_layer norm = {.kind = LAYER_LAYER_NORM},
                            add_4 = {.kind = LAYER_RESIDUAL, .over = 4};
    const int64_t outs[] = {3 * WIDTH, WIDTH, 4 * WIDTH, WIDTH};
    add_layer(&model, (struct spec_layer){.kind = LAYER_EMBEDDING, .out = WIDTH});
    add_layer(&model, (struct spec_layer){.kind = LAYER_POSITION});
    for (int half = 0; half < 2 * N_BLOCKS; half++) {
        const int64_t *out = outs + half % 2 * 2;
        bool is_attention = half % 2 == 0;
        add_layer(&model, norm);
        add_layer(&model, (struct spec_layer){
                              .kind = LAYER_LINEAR, .out = out[0], .rank = RANK});
        add_layer(&model, (struct spec_layer){.kind = is_attention ? LAYER_ATTENTION
                                                                   : LAYER_GELU,
                                              .heads = is_attention ? 4 : 0});
        add_layer(&model, (struct spec_layer){
                              .kind = LAYER_LINEAR, .out = out[1], .rank = RANK});
        add_layer(&model, add_4);
    }
    add_layer(&model, (struct spec_layer){.kind = LAYER_TOKEN_MEAN});
    add_layer(&model, (struct spec_layer){.kind = LAYER_LINEAR});
    return model;
}
