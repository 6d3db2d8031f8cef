#include "jobs/dp/trainer.h"

#include <stdlib.h>
#include <string.h>

#include "jobs/dp/fixed.h"
#include "jobs/dp/schedule.h"
#include "jobs/dp/votes.h"
#include "jobs/privacy/price_split.h"

static int n_optimizer_states(const struct trainer *trainer)
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

int trainer_n_states(const struct trainer *trainer)
{
    return n_optimizer_states(trainer) + trainer->n_own_states;
}

float *trainer_own_states(const struct trainer *trainer)
{
    return trainer->state + n_optimizer_states(trainer) * trainer->n_slice;
}

static bool is_fixed(const struct trainer *trainer)
{
    return trainer->spec->training.sum == SUM_FIXED;
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
    trainer->expected_examples = trainer->expected_batch;
    *ret_split = train;
    return 0;
}

/* What a rank may spend on activations: half of its share of the job's memory, or what
 * is little on any device. */
static size_t net_limit(const struct spec *spec, const struct memory *memory)
{
    if (!memory->is_host) {
        return 4 * memory->near_bytes;
    }
    int64_t ranks = spec->resources.ranks > 0 ? spec->resources.ranks : 1;
    int64_t bytes = spec->resources.memory_bytes;
    return bytes > 0 ? (size_t)(bytes / ranks / 2) : (size_t)1 << 30;
}

/* Parameters that pad the last slice have no gradient, so they do not count. */
static int plan_threshold(struct trainer *trainer, struct error *err)
{
    const struct spec *spec = trainer->spec;
    const struct price *price = &trainer->plan->price;
    double gradient_noise = 0.0, count_noise = 0.0;
    int rc = 0;
    if (spec->privacy.clipping.mode == CLIP_QUANTILE) {
        rc = price_split_noise(spec, price, &gradient_noise, &count_noise, err);
        trainer->n_kept++;
    }
    if (rc == 0) {
        rc = threshold_open(&trainer->threshold, &spec->privacy,
                            price->noise_multiplier, gradient_noise, count_noise,
                            trainer->net.n_params, trainer->env->comm->size, err);
    }
    return rc;
}

/* Copies on the host of what ranks exchange. */
static bool allocate_copies(struct trainer *trainer, const struct memory *memory)
{
    size_t padded = (size_t)trainer->n_padded, slice = (size_t)trainer->n_slice;
    trainer->host_params = memory->stage(padded * sizeof *trainer->host_params);
    trainer->host_updated = memory->stage(slice * sizeof *trainer->host_updated);
    trainer->host_sum = memory->stage(padded * sizeof *trainer->host_sum);
    trainer->host_slice = memory->stage(slice * sizeof *trainer->host_slice);
    return trainer->host_params != NULL && trainer->host_updated != NULL &&
           trainer->host_sum != NULL && trainer->host_slice != NULL;
}

static int allocate(struct trainer *trainer, const struct memory *memory,
                    struct error *err)
{
    int64_t size = trainer->env->comm->size;
    int64_t share = (trainer->n_kept + size - 1) / size;
    trainer->n_slice = (share + 15) / 16 * 16; /* even: draws come in pairs */
    trainer->n_padded = trainer->n_slice * size;
    size_t padded = (size_t)trainer->n_padded, slice = (size_t)trainer->n_slice;
    trainer->indices = calloc((size_t)trainer->net.max_n, sizeof *trainer->indices);
    trainer->params = memory->alloc(padded * sizeof *trainer->params);
    trainer->sum = memory->alloc(padded * sizeof *trainer->sum);
    trainer->slice = memory->alloc(slice * sizeof *trainer->slice);
    trainer->updated = memory->alloc(slice * sizeof *trainer->updated);
    trainer->state = memory->alloc((size_t)trainer_n_states(trainer) * slice *
                                   sizeof *trainer->state);
    trainer->loss = memory->alloc(sizeof *trainer->loss);
    if (trainer->indices == NULL || trainer->params == NULL || trainer->sum == NULL ||
        trainer->slice == NULL || trainer->updated == NULL || trainer->state == NULL ||
        trainer->loss == NULL ||
        (!memory->is_host && !allocate_copies(trainer, memory))) {
        return error_set(err, PPT_ENOMEM, "cannot allocate %lld parameters",
                         (long long)trainer->net.n_params);
    }
    return 0;
}

/* Initial weights are made on the host, where the seed means the same on every one. */
static int first_params(struct trainer *trainer, struct error *err)
{
    const struct memory *memory = trainer->env->kernels->memory;
    float *params = memory->is_host ? trainer->params : trainer->host_params;
    net_init(&trainer->net, trainer->spec->training.seed, params);
    if (votes_are_taken(trainer)) {
        params[trainer->net.n_params] = (float)trainer->spec->privacy.clip_norm;
    }
    memory->upload(trainer->params, params, (size_t)trainer->n_padded * sizeof *params);
    int rc = trainer_check(trainer, err);
    return rc != 0 ? rc : votes_heed(trainer, err);
}

/* What the spec's base holds, to where the net keeps it. */
static int load_base(struct trainer *trainer, struct error *err)
{
    struct net *net = &trainer->net;
    struct io *io = trainer->env->io;
    struct net_tensor tensors[NET_MAX_TENSORS];
    if (net->n_frozen == 0) {
        return 0;
    }
    if (io->base_read == NULL) {
        return error_set(err, PPT_ESTATE, "model.base: nothing can read it here");
    }
    float *frozen = malloc((size_t)net->n_frozen * sizeof *frozen);
    int rc =
        frozen == NULL ? error_set(err, PPT_ENOMEM, "no memory for model.base") : 0;
    int n = net_frozen_tensors(net, tensors);
    for (int i = 0; rc == 0 && i < n; i++) {
        struct tensor_view wanted = {.name = tensors[i].name,
                                     .n_dims = tensors[i].n_dims};
        memcpy(wanted.dims, tensors[i].dims, sizeof wanted.dims);
        rc = io->base_read(io, &wanted, frozen + tensors[i].offset, err);
    }
    if (rc == 0) {
        net_set_frozen(net, frozen);
        rc = trainer_check(trainer, err);
    }
    free(frozen);
    return rc;
}

int trainer_open(struct trainer *trainer, const struct plan *plan,
                 const struct spec *spec, const struct manifest *manifest,
                 struct env *env, const struct trainer_source *source,
                 struct error *err)
{
    const struct memory *memory = env->kernels->memory;
    const struct manifest_split *split = NULL;
    *trainer = (struct trainer){.plan = plan, .spec = spec, .env = env};
    trainer->is_private = spec->privacy.is_private;
    trainer->adds_noise = trainer->is_private && (source == NULL || !source->has_noise);
    int rc = read_plan(trainer, manifest, &split, err);
    if (source != NULL) {
        trainer->expected_batch = source->divisor;
        trainer->expected_examples = source->expected_examples;
        trainer->n_own_states = source->n_states;
    }
    if (rc == 0) {
        rc = net_build(&spec->model, split, trainer->is_private && source == NULL,
                       &trainer->net, err);
    }
    trainer->n_kept = trainer->net.n_params;
    trainer->net.objective = spec->training.loss;
    trainer->net.clipping = spec->privacy.clipping;
    if (rc == 0 && trainer->is_private) {
        rc = plan_threshold(trainer, err);
    }
    if (rc == 0) {
        rc = fixed_plan(trainer, err);
    }
    if (rc == 0) {
        rc = net_alloc(&trainer->net, memory,
                       is_fixed(trainer) ? 1
                                         : net_micro_batch(&trainer->net, memory,
                                                           net_limit(spec, memory)),
                       err);
    }
    if (rc == 0) {
        rc = load_base(trainer, err);
    }
    if (rc == 0) {
        rc = allocate(trainer, memory, err);
    }
    if (rc == 0 && source == NULL) {
        rc = feed_open(&trainer->feed, env->io->train, env->sampling_key,
                       trainer->sample_rate, plan->price.n_bins, trainer->n_steps,
                       (size_t)trainer->net.max_n, err);
    }
    if (rc == 0 && trainer->adds_noise) {
        rc = noise_open(&trainer->noise, env->kernels, env->noise_key, trainer->n_slice,
                        err);
    }
    if (rc == 0) {
        rc = first_params(trainer, err);
    }
    if (rc != 0) {
        trainer_close(trainer);
    }
    return rc;
}

void trainer_close(struct trainer *trainer)
{
    feed_close(&trainer->feed);
    noise_close(&trainer->noise);
    net_free(&trainer->net);
    free(trainer->indices);
    if (trainer->env != NULL) {
        const struct memory *memory = trainer->env->kernels->memory;
        memory->free(trainer->params);
        memory->free(trainer->sum);
        memory->free(trainer->slice);
        memory->free(trainer->updated);
        memory->free(trainer->state);
        memory->free(trainer->loss);
        memory->unstage(trainer->host_params);
        memory->unstage(trainer->host_updated);
        memory->unstage(trainer->host_sum);
        memory->unstage(trainer->host_slice);
    }
    *trainer = (struct trainer){0};
}

size_t trainer_memory_bytes(const struct trainer *trainer)
{
    const struct memory *memory = trainer->env->kernels->memory;
    size_t padded = (size_t)trainer->n_padded, slice = (size_t)trainer->n_slice;
    size_t own = padded * (sizeof *trainer->params + sizeof *trainer->sum) +
                 slice * (sizeof *trainer->slice + sizeof *trainer->updated +
                          (size_t)trainer_n_states(trainer) * sizeof *trainer->state);
    if (!memory->is_host) { /* its copies; the rest lies on the device */
        return padded * (sizeof *trainer->host_params + sizeof *trainer->host_sum) +
               slice * (sizeof *trainer->host_updated + sizeof *trainer->host_slice);
    }
    bool is_ahead = trainer->spec->resources.cores_per_rank > 1;
    return own + net_memory_bytes(&trainer->net, memory, trainer->net.max_n) +
           (size_t)trainer->net.max_n * sizeof *trainer->indices +
           noise_memory_bytes(&trainer->noise, is_ahead);
}

int trainer_check(const struct trainer *trainer, struct error *err)
{
    const char *fault = trainer->env->kernels->memory->fault();
    return fault == NULL ? 0 : error_set(err, PPT_ESTATE, "the device: %s", fault);
}

int trainer_params(struct trainer *trainer, const float **ret_params, struct error *err)
{
    const struct memory *memory = trainer->env->kernels->memory;
    if (memory->is_host) {
        *ret_params = trainer->params;
        return 0;
    }
    memory->download(trainer->host_params, trainer->params,
                     (size_t)trainer->n_padded * sizeof *trainer->params);
    int rc = trainer_check(trainer, err);
    if (rc == 0) {
        *ret_params = trainer->host_params;
    }
    return rc;
}

void trainer_take_loss(struct trainer *trainer, double *ret_sum, double *ret_count)
{
    const struct memory *memory = trainer->env->kernels->memory;
    memory->download(ret_sum, trainer->loss, sizeof *ret_sum);
    memory->zero(trainer->loss, sizeof *trainer->loss);
    *ret_count = trainer->loss_count;
    trainer->loss_count = 0.0;
}

/* The first n records of net->read and net->label. */
static void add_micro_batch(struct trainer *trainer, size_t n)
{
    const struct kernels *kernels = trainer->env->kernels;
    struct net *net = &trainer->net;
    net_forward(net, kernels, trainer->params, (int64_t)n);
    net_backward(net, kernels, trainer->params, (int64_t)n);
    if (trainer->is_private) {
        net_clipped_sum(net, kernels, trainer->threshold.clip, (int64_t)n);
        votes_add(trainer, (int64_t)n);
    } else {
        net_plain_sum(net, kernels, (int64_t)n);
        kernels->add_total((int64_t)n, net->loss, trainer->loss);
        trainer->loss_count += (double)n;
    }
    if (is_fixed(trainer)) { /* one record's gradient */
        kernels->grid_add(&trainer->threshold.grid, net->n_params, net->grad,
                          trainer->sum);
    } else {
        kernels->accumulate(net->n_params, net->grad, trainer->sum);
    }
}

int trainer_n_threads(const struct env *env, const struct spec *spec)
{
    int64_t n = env->n_threads > 0 ? env->n_threads : spec->resources.cores_per_rank;
    return n > 1 ? (int)n : 1;
}

/* The step is paid for: its noise may be drawn while its gradients are computed, where
 * the rank has a core to spare. With one, the thread would take it from other ranks. */
static void begin_noise(struct trainer *trainer)
{
    int64_t n = trainer->n_slice;
    if (trainer_n_threads(trainer->env, trainer->spec) < 2) {
        return;
    }
    noise_begin(&trainer->noise, &trainer->threshold.grid, (uint64_t)trainer->step,
                trainer->env->comm->rank * n, n);
}

int trainer_gradient(struct trainer *trainer, struct error *err)
{
    trainer->env->kernels->memory->zero(trainer->sum, (size_t)trainer->n_padded *
                                                          sizeof *trainer->sum);
    struct net *net = &trainer->net;
    size_t n = 0;
    if (trainer->is_private) {
        begin_noise(trainer);
    }
    feed_begin(&trainer->feed, trainer->step);
    do {
        int rc = feed_next(&trainer->feed, (size_t)net->max_n, net->read, net->label,
                           &n, err);
        if (rc != 0) {
            return rc;
        }
        if (n > 0) {
            add_micro_batch(trainer, n);
        }
    } while (n > 0);
    return 0;
}

static void add_noise(struct trainer *trainer)
{
    int64_t n = trainer->n_slice;
    noise_add(&trainer->noise, &trainer->threshold.grid, (uint64_t)trainer->step,
              trainer->env->comm->rank * n, n, trainer->slice);
}

/* Of the noise in one value of the averaged gradient: public, like all that it is made
 * of. */
static double noise_variance(const struct trainer *trainer)
{
    const struct grid *grid = &trainer->threshold.grid;
    double std = grid->std_steps * grid->step / trainer->expected_batch;
    return std * std;
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
        .noise_floor = training->noise_floor,
        .noise_square = training->noise_floor > 0.0 ? noise_variance(trainer) : 0.0,
    };
    int64_t n = trainer->n_slice;
    kernels->memory->copy(trainer->updated,
                          trainer->params + trainer->env->comm->rank * n,
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

/* This rank's slice of the total over ranks. */
static int reduce(struct trainer *trainer, struct error *err)
{
    struct comm *comm = trainer->env->comm;
    const struct memory *memory = trainer->env->kernels->memory;
    size_t n = (size_t)trainer->n_slice, n_bytes = n * sizeof *trainer->slice;
    if (memory->is_host) {
        return comm->ops->reduce_scatter_f64(comm, trainer->sum, trainer->slice, n,
                                             err);
    }
    if (comm->size == 1) {
        memory->copy(trainer->slice, trainer->sum, n_bytes);
        return 0;
    }
    memory->download(trainer->host_sum, trainer->sum, (size_t)comm->size * n_bytes);
    int rc = trainer_check(trainer, err);
    if (rc == 0) {
        rc = comm->ops->reduce_scatter_f64(comm, trainer->host_sum, trainer->host_slice,
                                           n, err);
    }
    if (rc == 0) {
        memory->upload(trainer->slice, trainer->host_slice, n_bytes);
    }
    return rc;
}

/* Everybody's slices, updated, to everybody. */
static int gather(struct trainer *trainer, struct error *err)
{
    struct comm *comm = trainer->env->comm;
    const struct memory *memory = trainer->env->kernels->memory;
    size_t n = (size_t)trainer->n_slice, n_bytes = n * sizeof *trainer->updated;
    if (memory->is_host) {
        return comm->ops->all_gather_f32(comm, trainer->updated, trainer->params, n,
                                         err);
    }
    if (comm->size == 1) {
        memory->copy(trainer->params, trainer->updated, n_bytes);
        return trainer_check(trainer, err);
    }
    memory->download(trainer->host_updated, trainer->updated, n_bytes);
    int rc = trainer_check(trainer, err);
    if (rc == 0) {
        rc = comm->ops->all_gather_f32(comm, trainer->host_updated,
                                       trainer->host_params, n, err);
    }
    if (rc == 0) {
        memory->upload(trainer->params, trainer->host_params,
                       (size_t)comm->size * n_bytes);
    }
    return rc;
}

int trainer_total(struct trainer *trainer, struct error *err)
{
    const struct kernels *kernels = trainer->env->kernels;
    if (trainer->is_private) { /* before they are added up: whole steps add exactly */
        votes_weigh(trainer);
        kernels->grid_round(&trainer->threshold.grid, trainer->n_padded, trainer->sum);
    }
    int rc = reduce(trainer, err);
    if (rc != 0) {
        return rc;
    }
    if (trainer->adds_noise) {
        add_noise(trainer);
    }
    return 0;
}

int trainer_apply(struct trainer *trainer, struct error *err)
{
    const struct kernels *kernels = trainer->env->kernels;
    float next_norm = votes_take(trainer);
    kernels->divide(trainer->n_slice, trainer->expected_batch, trainer->slice);
    update(trainer);
    votes_tell(trainer, next_norm);
    int rc = gather(trainer, err);
    if (rc == 0) {
        rc = votes_heed(trainer, err);
    }
    if (rc == 0) {
        trainer->step++;
    }
    return rc;
}

int trainer_release(struct trainer *trainer, struct error *err)
{
    int rc = trainer_total(trainer, err);
    return rc != 0 ? rc : trainer_apply(trainer, err);
}
