#include "jobs/dp/trainer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/dp/schedule.h"

int trainer_n_states(const struct trainer *trainer)
{
    switch (trainer->spec->training.optimizer) {
    case OPTIMIZER_MOMENTUM:
        return 1;
    case OPTIMIZER_ADAM:
        return 2;
    default:
        return 0;
    }
}

/* Public figures only: the plan's, the spec's and the manifest's. */
static int read_plan(struct trainer *trainer, const struct manifest *manifest,
                     const struct manifest_split **ret_split, struct error *err)
{
    const struct spec *spec = trainer->spec;
    const struct manifest_split *train = manifest_split(manifest, spec->dataset.train);
    if (train == NULL || train->nominal_count < 1) {
        return error_set(err, PPT_ESPEC,
                         "dataset.train: the manifest has no split \"%s\" with a "
                         "nominal count",
                         spec->dataset.train);
    }
    const struct manifest_split *test = manifest_split(manifest, spec->dataset.test);
    trainer->nominal_test = test == NULL ? 0 : test->nominal_count;
    trainer->n_steps = trainer->plan->price.n_steps;
    trainer->sample_rate = trainer->plan->price.sample_rate;
    trainer->expected_batch = trainer->sample_rate * (double)train->nominal_count;
    *ret_split = train;
    return 0;
}

/* What a rank may spend on activations: half of its share. */
static size_t net_limit(const struct spec *spec)
{
    int64_t ranks = spec->resources.ranks > 0 ? spec->resources.ranks : 1;
    int64_t memory = spec->resources.memory_bytes;
    return memory > 0 ? (size_t)(memory / ranks / 2) : (size_t)1 << 30;
}

/* Parameters that pad the last slice have no gradient, so they do not count. */
static int plan_grid(struct trainer *trainer, struct error *err)
{
    double clip_norm = trainer->spec->privacy.clip_norm;
    double multiplier = trainer->plan->price.noise_multiplier;
    if (!grid_plan(clip_norm, multiplier, trainer->net.n_params,
                   trainer->env->comm->size, &trainer->grid, &trainer->clip_norm)) {
        return error_set(err, PPT_ERANGE,
                         "no noise with multiplier %g and clip norm %g for %lld "
                         "parameters: the multiplier times the root of their number "
                         "may be 2^23 at most",
                         multiplier, clip_norm, (long long)trainer->net.n_params);
    }
    return 0;
}

static int allocate(struct trainer *trainer, struct error *err)
{
    int64_t size = trainer->env->comm->size;
    int64_t share = (trainer->net.n_params + size - 1) / size;
    trainer->n_slice = (share + 15) / 16 * 16; /* even: draws come in pairs */
    trainer->n_padded = trainer->n_slice * size;
    size_t padded = (size_t)trainer->n_padded, slice = (size_t)trainer->n_slice;
    trainer->indices = calloc((size_t)trainer->net.max_n, sizeof *trainer->indices);
    trainer->params = calloc(padded, sizeof *trainer->params);
    trainer->sum = calloc(padded, sizeof *trainer->sum);
    trainer->slice = calloc(slice, sizeof *trainer->slice);
    trainer->updated = calloc(slice, sizeof *trainer->updated);
    trainer->state = calloc(2 * slice, sizeof *trainer->state);
    trainer->bits = calloc(slice, sizeof *trainer->bits);
    if (trainer->indices == NULL || trainer->params == NULL || trainer->sum == NULL ||
        trainer->slice == NULL || trainer->updated == NULL || trainer->state == NULL ||
        trainer->bits == NULL) {
        return error_set(err, PPT_ENOMEM, "cannot allocate %lld parameters",
                         (long long)trainer->net.n_params);
    }
    return 0;
}

int trainer_open(struct trainer *trainer, const struct plan *plan,
                 const struct spec *spec, const struct manifest *manifest,
                 struct env *env, struct error *err)
{
    const struct manifest_split *split = NULL;
    *trainer = (struct trainer){.plan = plan, .spec = spec, .env = env};
    trainer->is_private = spec->privacy.is_private;
    int rc = read_plan(trainer, manifest, &split, err);
    if (rc == 0) {
        rc = net_build(&spec->model, split, trainer->is_private, &trainer->net, err);
    }
    if (rc == 0 && trainer->is_private) {
        rc = plan_grid(trainer, err);
    }
    if (rc == 0) {
        rc = net_alloc(&trainer->net, net_micro_batch(&trainer->net, net_limit(spec)),
                       err);
    }
    if (rc == 0) {
        rc = allocate(trainer, err);
    }
    if (rc == 0) {
        rc = sampler_open(&trainer->sampler, env->sampling_key, trainer->sample_rate,
                          env->io->train->n_rows, err);
    }
    if (rc != 0) {
        trainer_close(trainer);
        return rc;
    }
    if (trainer->is_private) {
        trainer->noise = crypto_stream_new(env->noise_key);
    }
    net_init(&trainer->net, spec->training.seed, trainer->params);
    return 0;
}

void trainer_close(struct trainer *trainer)
{
    sampler_close(&trainer->sampler);
    if (trainer->noise != NULL) {
        crypto_stream_free(trainer->noise);
    }
    if (trainer->bits != NULL) {
        crypto_wipe(trainer->bits, (size_t)trainer->n_slice * sizeof *trainer->bits);
    }
    net_free(&trainer->net);
    free(trainer->indices);
    free(trainer->params);
    free(trainer->sum);
    free(trainer->slice);
    free(trainer->updated);
    free(trainer->state);
    free(trainer->bits);
    *trainer = (struct trainer){0};
}

static int add_micro_batch(struct trainer *trainer, size_t n, struct error *err)
{
    const struct kernels *kernels = trainer->env->kernels;
    struct rows *rows = trainer->env->io->train;
    struct net *net = &trainer->net;
    int rc = rows->read(rows, trainer->indices, n, net->read, net->label, err);
    if (rc != 0) {
        return rc;
    }
    net_forward(net, kernels, trainer->params, (int64_t)n);
    net_backward(net, kernels, trainer->params, (int64_t)n);
    if (trainer->is_private) {
        net_clipped_sum(net, kernels, trainer->clip_norm, (int64_t)n);
    } else {
        net_plain_sum(net, kernels, (int64_t)n);
        for (size_t i = 0; i < n; i++) {
            trainer->loss_sum += net->loss[i];
        }
        trainer->loss_count += (double)n;
    }
    kernels->accumulate(net->n_params, net->grad, trainer->sum);
    return 0;
}

int trainer_gradient(struct trainer *trainer, struct error *err)
{
    memset(trainer->sum, 0, (size_t)trainer->n_padded * sizeof *trainer->sum);
    sampler_begin(&trainer->sampler, trainer->step);
    size_t max = (size_t)trainer->net.max_n, n;
    while ((n = sampler_next(&trainer->sampler, trainer->indices, max)) > 0) {
        int rc = add_micro_batch(trainer, n, err);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

/* Where a pair's bits stand in the stream: block `pair` of the substream, and the few
 * more that a pair may need from block 2^63 + 4 pair on. A key lives in one process and
 * a step runs once in it, so no position is ever used twice. */
struct position {
    struct crypto_stream *stream;
    uint64_t substream, first_pair;
};

static void read_extra(void *state, int64_t pair, uint64_t ret_words[GRID_EXTRA_WORDS])
{
    const struct position *position = state;
    uint64_t block = 4 * (position->first_pair + (uint64_t)pair);
    crypto_stream_seek(position->stream, position->substream, (1ull << 63) + block);
    crypto_stream_read(position->stream, ret_words,
                       GRID_EXTRA_WORDS * sizeof *ret_words);
}

void trainer_add_noise(struct trainer *trainer, const struct grid *grid,
                       uint64_t substream, int64_t first, int64_t n, double *x)
{
    struct position position = {trainer->noise, substream, (uint64_t)first / 2};
    struct grid_source source = {read_extra, &position};
    size_t len = (size_t)n * sizeof *trainer->bits;
    crypto_stream_seek(trainer->noise, substream, position.first_pair);
    crypto_stream_read(trainer->noise, trainer->bits, len);
    trainer->env->kernels->grid_noise(grid, n, trainer->bits, &source, x);
    crypto_wipe(trainer->bits, len);
}

static void add_noise(struct trainer *trainer)
{
    int64_t n = trainer->n_slice;
    trainer_add_noise(trainer, &trainer->grid, (uint64_t)trainer->step,
                      trainer->env->comm->rank * n, n, trainer->slice);
}

static void update(struct trainer *trainer)
{
    const struct kernels *kernels = trainer->env->kernels;
    const struct spec_training *training = &trainer->spec->training;
    struct optim optim = {
        .learning_rate = schedule_rate(training, trainer->step, trainer->n_steps),
        .momentum = training->momentum,
        .beta1 = training->beta1,
        .beta2 = training->beta2,
        .step = trainer->step + 1,
    };
    int64_t n = trainer->n_slice;
    memcpy(trainer->updated, trainer->params + trainer->env->comm->rank * n,
           (size_t)n * sizeof *trainer->updated);
    switch (training->optimizer) {
    case OPTIMIZER_MOMENTUM:
        kernels->momentum(&optim, n, trainer->slice, trainer->updated, trainer->state);
        break;
    case OPTIMIZER_ADAM:
        kernels->adam(&optim, n, trainer->slice, trainer->updated, trainer->state,
                      trainer->state + n);
        break;
    default:
        kernels->sgd(&optim, n, trainer->slice, trainer->updated);
    }
}

int trainer_release(struct trainer *trainer, struct error *err)
{
    struct comm *comm = trainer->env->comm;
    int64_t n = trainer->n_slice;
    if (trainer->is_private) { /* before they are added up: whole steps add exactly */
        trainer->env->kernels->grid_round(&trainer->grid, trainer->n_padded,
                                          trainer->sum);
    }
    int rc = comm->ops->reduce_scatter_f64(comm, trainer->sum, trainer->slice,
                                           (size_t)n, err);
    if (rc != 0) {
        return rc;
    }
    if (trainer->is_private) {
        add_noise(trainer);
    }
    for (int64_t i = 0; i < n; i++) {
        trainer->slice[i] /= trainer->expected_batch;
    }
    update(trainer);
    rc = comm->ops->all_gather_f32(comm, trainer->updated, trainer->params, (size_t)n,
                                   err);
    if (rc == 0) {
        trainer->step++;
    }
    return rc;
}
