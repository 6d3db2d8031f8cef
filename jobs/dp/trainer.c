#include "jobs/dp/trainer.h"

#include <stdlib.h>
#include <string.h>

#include "jobs/dp/fixed.h"
#include "jobs/dp/schedule.h"
#include "jobs/dp/step_noise.h"
#include "jobs/dp/votes.h"
#include "jobs/privacy/price_split.h"

static int n_optimizer_states(const struct trainer *trainer)
{
    switch (trainer->spec->training.optimizer) {
    case OPTIMIZER_MOMENTUM:
        return 1;
    case OPTIMIZER_ADAM:
    case OPTIMIZER_YOGI:
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
    trainer->expected_votes = trainer->expected_batch;
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

/* One for each core, where memory allows; the host's only, as a device is shared out by
 * itself. With one record a micro-batch there is nothing to share. */
static int plan_lanes(const struct trainer *trainer, const struct memory *memory,
                      const struct trainer_source *source)
{
    const struct net *net = &trainer->net;
    int n = trainer_n_threads(trainer->env, trainer->spec);
    size_t each = net_memory_bytes(net, memory, 1) -
                  (size_t)net->n_frozen * sizeof *net->frozen +
                  (size_t)net->n_params * sizeof *trainer->sum;
    size_t room = net_limit(trainer->spec, memory) / (each > 0 ? each : 1);
    if (!memory->is_host || is_fixed(trainer) || source != NULL) {
        return 1;
    }
    n = n < LANES_MOST ? n : LANES_MOST;
    return room >= (size_t)n ? n : room > 1 ? (int)room : 1;
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
    trainer->indices = calloc((size_t)trainer_round(trainer), sizeof *trainer->indices);
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

static struct net *net_of(struct trainer *trainer, int lane)
{
    return lane == 0 ? &trainer->net : &trainer->more[lane - 1].net;
}

static double *sum_of(struct trainer *trainer, int lane)
{
    return lane == 0 ? trainer->sum : trainer->more[lane - 1].sum;
}

/* The nets of all lanes, and where their records are read to. */
static int allocate_lanes(struct trainer *trainer, const struct memory *memory, int n,
                          struct error *err)
{
    struct net *net = &trainer->net;
    const struct net built = *net;
    size_t limit = net_limit(trainer->spec, memory) / (size_t)n;
    int64_t max_n = is_fixed(trainer) ? 1 : net_micro_batch(net, memory, limit);
    int rc = lanes_open(&trainer->lanes, n, err);
    if (rc == 0) {
        rc = net_alloc(net, memory, max_n, err);
    }
    if (rc != 0 || n == 1) {
        return rc;
    }
    size_t most = (size_t)trainer_round(trainer);
    trainer->more = calloc((size_t)n - 1, sizeof *trainer->more);
    trainer->label = malloc(most * sizeof *trainer->label);
    trainer->read = malloc(most * (size_t)net->n_features * sizeof *trainer->read);
    if (trainer->more == NULL || trainer->label == NULL || trainer->read == NULL) {
        return error_set(err, PPT_ENOMEM, "cannot allocate %zu records", most);
    }
    for (int i = 0; rc == 0 && i < n - 1; i++) {
        trainer->more[i].net = built;
        trainer->more[i].net.base = net;
        rc = net_alloc(&trainer->more[i].net, memory, max_n, err);
    }
    return rc;
}

/* What else lanes have of their own, once the sum's length is known. */
static int allocate_sums(struct trainer *trainer, const struct memory *memory,
                         struct error *err)
{
    for (int i = 0; i < trainer->lanes.n - 1; i++) {
        struct trainer_lane *lane = &trainer->more[i];
        lane->sum = memory->alloc((size_t)trainer->n_padded * sizeof *lane->sum);
        if (lane->sum == NULL) {
            return error_set(err, PPT_ENOMEM, "cannot allocate %lld parameters",
                             (long long)trainer->net.n_params);
        }
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
        trainer->has_source = true;
        trainer->expected_batch = source->divisor;
        trainer->expected_votes = source->expected_votes;
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
        rc = allocate_lanes(trainer, memory, plan_lanes(trainer, memory, source), err);
    }
    if (rc == 0) {
        rc = load_base(trainer, err);
    }
    if (rc == 0) {
        rc = allocate(trainer, memory, err);
    }
    if (rc == 0) {
        rc = allocate_sums(trainer, memory, err);
    }
    if (rc == 0 && source == NULL) {
        rc =
            feed_open(&trainer->feed, env->io->train, env->sampling_key,
                      trainer->sample_rate, plan->price.n_bins, plan->price.n_bands > 0,
                      trainer->n_steps, (size_t)trainer_round(trainer), err);
    }
    if (rc == 0 && source == NULL && memory->beside != NULL) {
        rc = loader_open(&trainer->loader, &trainer->feed, &trainer->net,
                         trainer->n_steps, err);
    }
    if (rc == 0 && trainer->adds_noise) {
        rc = step_noise_open(trainer, err);
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
    loader_close(&trainer->loader);
    feed_close(&trainer->feed);
    for (int i = 0; trainer->more != NULL && i < trainer->lanes.n - 1; i++) {
        noise_close(&trainer->more[i].noise);
        net_free(&trainer->more[i].net);
        trainer->env->kernels->memory->free(trainer->more[i].sum);
    }
    lanes_close(&trainer->lanes);
    noise_close(&trainer->noise);
    early_close(&trainer->early);
    correlated_close(&trainer->past);
    net_free(&trainer->net);
    free(trainer->more);
    free(trainer->read);
    free(trainer->label);
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
    if (!memory->is_host) { /* its copies and records; the rest lies on the device */
        size_t n_blocks = trainer->loader.lift != NULL ? 3 : 1;
        return padded * (sizeof *trainer->host_params + sizeof *trainer->host_sum) +
               slice * (sizeof *trainer->host_updated + sizeof *trainer->host_slice) +
               n_blocks * net_block_bytes(&trainer->net, trainer->net.max_n);
    }
    own += correlated_memory_bytes(&trainer->past);
    own += early_memory_bytes(&trainer->early);
    size_t n_more = (size_t)trainer->lanes.n - 1;
    size_t round = (size_t)trainer_round(trainer);
    size_t record = (size_t)trainer->net.n_features * sizeof *trainer->read +
                    sizeof *trainer->label;
    if (n_more == 0) {
        bool is_ahead = trainer_n_threads(trainer->env, trainer->spec) > 1;
        own += noise_memory_bytes(&trainer->noise, is_ahead);
    } else {
        own += n_more * padded * sizeof *trainer->sum + round * record;
        own += noise_memory_bytes(&trainer->noise, false) * (n_more + 1);
    }
    for (size_t i = 0; i < n_more; i++) {
        own += net_memory_bytes(&trainer->more[i].net, memory, trainer->net.max_n);
    }
    return own + net_memory_bytes(&trainer->net, memory, trainer->net.max_n) +
           round * sizeof *trainer->indices;
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
    for (int i = 0; i < trainer->lanes.n - 1; i++) {
        *ret_sum += trainer->more[i].loss;
        trainer->more[i].loss = 0.0;
    }
    *ret_count = trainer->loss_count;
    trainer->loss_count = 0.0;
}

int64_t trainer_round(const struct trainer *trainer)
{
    return trainer->lanes.n * trainer->net.max_n;
}

float *trainer_records(struct trainer *trainer, int32_t **ret_label)
{
    bool is_shared = trainer->lanes.n > 1;
    *ret_label = is_shared ? trainer->label : trainer->net.label;
    return is_shared ? trainer->read : trainer->net.read;
}

/* Copied by the lane itself, to the caches near its core. */
struct net *trainer_take_part(struct trainer *trainer, int lane, int64_t n,
                              int64_t *ret_n)
{
    struct net *net = net_of(trainer, lane);
    int64_t n_lanes = trainer->lanes.n, width = net->n_features;
    int64_t from = n * lane / n_lanes, to = n * (lane + 1) / n_lanes;
    *ret_n = to - from;
    if (n_lanes > 1) {
        memcpy(net->read, trainer->read + from * width,
               (size_t)((to - from) * width) * sizeof *net->read);
        memcpy(net->label, trainer->label + from,
               (size_t)(to - from) * sizeof *net->label);
    }
    return net;
}

/* A lane's part of a round's n records. */
struct round_part {
    struct trainer *trainer;
    int64_t n;
};

static void add_micro_batch(void *state, int lane)
{
    const struct round_part *part = state;
    struct trainer *trainer = part->trainer;
    const struct kernels *kernels = trainer->env->kernels;
    int64_t n;
    struct net *net = trainer_take_part(trainer, lane, part->n, &n);
    double *sum = sum_of(trainer, lane);
    if (n == 0) {
        return;
    }
    net_forward(net, kernels, trainer->params, n);
    net_backward(net, kernels, trainer->params, n);
    if (trainer->is_private) {
        net_clipped_sum(net, kernels, trainer->threshold.clip, n);
        votes_add(trainer, net, sum, n);
    } else {
        net_plain_sum(net, kernels, n);
        kernels->add_total(n, net->loss,
                           lane == 0 ? trainer->loss : &trainer->more[lane - 1].loss);
    }
    if (is_fixed(trainer)) { /* one record's gradient */
        kernels->grid_add(&trainer->threshold.grid, net->n_params, net->grad, sum);
    } else {
        kernels->accumulate(net->n_params, net->grad, sum);
    }
}

static void clear_sum(void *state, int lane)
{
    struct trainer *trainer = state;
    trainer->env->kernels->memory->zero(
        sum_of(trainer, lane), (size_t)trainer->n_padded * sizeof *trainer->sum);
}

/* A lane's part of the parameters: the lanes' sums, in their order. */
static void add_sums(void *state, int lane)
{
    struct trainer *trainer = state;
    int64_t from, to;
    lanes_part(&trainer->lanes, lane, trainer->n_padded, &from, &to);
    for (int i = 1; i < trainer->lanes.n; i++) {
        grid_add_sum(to - from, sum_of(trainer, i) + from, trainer->sum + from);
    }
}

int trainer_n_threads(const struct env *env, const struct spec *spec)
{
    int64_t n = env->n_threads > 0 ? env->n_threads : spec->resources.cores_per_rank;
    return n > 1 ? (int)n : 1;
}

/* Reads a round's records, *ret_n of them, while the other lanes draw noise; on a
 * device they have been read already. */
static int read_round(struct trainer *trainer, size_t *ret_n, struct error *err)
{
    int32_t *label;
    if (trainer->loader.lift != NULL) {
        return loader_next(&trainer->loader, ret_n, err);
    }
    float *records = trainer_records(trainer, &label);
    step_noise_meanwhile(trainer);
    int rc = feed_next(&trainer->feed, (size_t)trainer_round(trainer), records, label,
                       ret_n, err);
    step_noise_pause(trainer);
    return rc;
}

int trainer_gradient(struct trainer *trainer, struct error *err)
{
    size_t n = 0;
    lanes_run(&trainer->lanes, clear_sum, trainer);
    if (trainer->is_private) {
        step_noise_begin(trainer);
    }
    bool is_loaded = trainer->loader.lift != NULL;
    if (is_loaded) {
        loader_begin(&trainer->loader, trainer->step);
    } else {
        feed_begin(&trainer->feed, trainer->step);
    }
    do {
        int rc = read_round(trainer, &n, err);
        if (rc != 0) {
            return rc;
        }
        if (n > 0) {
            struct round_part part = {trainer, (int64_t)n};
            lanes_run(&trainer->lanes, add_micro_batch, &part);
            trainer->loss_count += trainer->is_private ? 0.0 : (double)n;
        }
        if (is_loaded) {
            loader_ahead(&trainer->loader);
        }
    } while (n > 0);
    lanes_run(&trainer->lanes, add_sums, trainer);
    return 0;
}

static void round_part(void *state, int lane)
{
    struct trainer *trainer = state;
    int64_t from, to;
    lanes_part(&trainer->lanes, lane, trainer->n_padded, &from, &to);
    trainer->env->kernels->grid_round(&trainer->threshold.grid, to - from,
                                      trainer->sum + from);
}

/* Of the noise in one value of the averaged gradient: public, like all that it is made
 * of. */
static double noise_variance(const struct trainer *trainer)
{
    const struct grid *grid = &trainer->threshold.grid;
    double std = grid->std_steps * grid->step / trainer->expected_batch;
    return std * std;
}

/* Of a lane's part of the slice. */
static void update(void *state, int lane)
{
    struct trainer *trainer = state;
    const struct kernels *kernels = trainer->env->kernels;
    const struct spec_training *training = &trainer->spec->training;
    struct optim optim = {
        .learning_rate = schedule_rate(training, trainer->step, trainer->n_steps),
        .momentum = training->momentum,
        .beta1 = training->beta1,
        .beta2 = training->beta2,
        .step = trainer->step + 1,
        .tau = training->tau,
        .noise_floor = training->noise_floor,
        .noise_square = training->noise_floor > 0.0 ? noise_variance(trainer) : 0.0,
    };
    int64_t from, to;
    lanes_part(&trainer->lanes, lane, trainer->n_slice, &from, &to);
    int64_t n = to - from;
    double *slice = trainer->slice + from;
    float *updated = trainer->updated + from, *states = trainer->state + from;
    kernels->divide(n, trainer->expected_batch, slice);
    kernels->memory->copy(
        updated, trainer->params + trainer->env->comm->rank * trainer->n_slice + from,
        (size_t)n * sizeof *updated);
    switch (training->optimizer) {
    case OPTIMIZER_MOMENTUM:
        kernels->momentum(&optim, n, slice, updated, states);
        break;
    case OPTIMIZER_ADAM:
        kernels->adam(&optim, n, slice, updated, states, states + trainer->n_slice);
        break;
    case OPTIMIZER_YOGI:
        kernels->yogi(&optim, n, slice, updated, states, states + trainer->n_slice);
        break;
    default:
        kernels->sgd(&optim, n, slice, updated);
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
    if (comm->device != NULL) {
        int rc = trainer_check(trainer, err);
        return rc != 0 ? rc
                       : comm->device->reduce_scatter_f64(comm->device, trainer->sum,
                                                          trainer->slice, n, err);
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
    if (comm->device != NULL) {
        int rc = trainer_check(trainer, err);
        return rc != 0 ? rc
                       : comm->device->all_gather_f32(comm->device, trainer->updated,
                                                      trainer->params, n, err);
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
    step_noise_aside(trainer);
    if (trainer->is_private) { /* before they are added up: whole steps add exactly */
        votes_weigh(trainer);
        lanes_run(&trainer->lanes, round_part, trainer);
    }
    step_noise_meanwhile(trainer);
    int rc = reduce(trainer, err);
    step_noise_pause(trainer);
    if (rc != 0) {
        return rc;
    }
    return trainer->adds_noise ? step_noise_add(trainer, err) : 0;
}

int trainer_apply(struct trainer *trainer, struct error *err)
{
    float next_norm = votes_take(trainer);
    lanes_run(&trainer->lanes, update, trainer);
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
