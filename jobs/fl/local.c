#include "jobs/fl/local.h"

#include <stdlib.h>
#include <string.h>

#include "jobs/dp/schedule.h"
#include "jobs/fl/draw.h"
#include "jobs/fl/shape.h"
#include "kernels/kernels.h"

int local_open(struct local *local, struct trainer *trainer, const struct spec *spec,
               const struct partition *partition, const struct attack *attack,
               struct keep *keep, struct compress *compress,
               const struct scaffold *scaffold, struct error *err)
{
    unsigned char key[CRYPTO_KEY_SIZE];
    size_t n_params = (size_t)trainer->net.n_params;
    int64_t largest = 1, batch = spec->training.batch_size;
    for (int64_t c = 0; c < partition->n_clients; c++) {
        int64_t size = partition_size(partition, c);
        largest = size > largest ? size : largest;
    }
    batch = batch < largest ? batch : largest;
    *local = (struct local){.trainer = trainer,
                            .spec = spec,
                            .partition = partition,
                            .attack = attack,
                            .keep = keep,
                            .compress = compress,
                            .scaffold = scaffold};
    local->order = malloc((size_t)largest * sizeof *local->order);
    local->batch = malloc((size_t)batch * sizeof *local->batch);
    local->params = malloc(n_params * sizeof *local->params);
    local->grad = malloc((n_params + n_params % 2) * sizeof *local->grad);
    if (local->order == NULL || local->batch == NULL || local->params == NULL ||
        local->grad == NULL) {
        local_close(local);
        return error_set(err, PPT_ENOMEM, "no memory for a client's training");
    }
    draw_key_public(spec->training.seed, "local", key);
    local->stream = crypto_stream_new(key);
    int rc = apfl_open(&local->apfl, spec, trainer->net.n_params, err);
    if (rc != 0) {
        local_close(local);
    }
    return rc;
}

void local_close(struct local *local)
{
    if (local->stream != NULL) {
        crypto_stream_free(local->stream);
    }
    apfl_close(&local->apfl);
    free(local->order);
    free(local->batch);
    free(local->params);
    free(local->grad);
    *local = (struct local){0};
}

static int compare(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* grad += the gradients at `params` of the n records that the net has. */
static void add_at(struct local *local, const float *params, int64_t n, double *grad)
{
    struct net *net = &local->trainer->net;
    const struct kernels *kernels = local->trainer->env->kernels;
    net_forward(net, kernels, params, n);
    net_backward(net, kernels, params, n);
    net_plain_sum(net, kernels, n);
    kernels->accumulate(net->n_params, net->grad, grad);
}

/* grad += the gradients of n records, ascending, n <= net.max_n. */
static int add_gradients(struct local *local, const int64_t *indices, int64_t n,
                         struct error *err)
{
    struct trainer *trainer = local->trainer;
    const struct kernels *kernels = trainer->env->kernels;
    struct rows *rows = trainer->env->io->train;
    struct net *net = &trainer->net;
    int rc = rows->read(rows, indices, (size_t)n, net->read, net->label, err);
    if (rc != 0) {
        return rc;
    }
    for (int64_t i = 0; local->is_turned && i < n; i++) {
        net->label[i] = (int32_t)rows->n_classes - 1 - net->label[i];
    }
    add_at(local, local->params, n, local->grad);
    if (!trainer->is_private) { /* else nobody may look at it */
        kernels->add_total(n, net->loss, trainer->loss);
        trainer->loss_count += (double)n;
    }
    if (local->apfl.own != NULL) {
        add_at(local, local->apfl.mixed, n, local->apfl.grad);
    }
    return 0;
}

/* FedProx (Li et al. 2020, arXiv 1812.06127): the gradient of mu/2 |w - w_t|^2. */
static void add_prox(struct local *local)
{
    for (int64_t j = local->from; local->prox > 0.0 && j < local->to; j++) {
        local->grad[j] += local->prox * ((double)local->params[j] -
                                         (double)local->trainer->params[j]);
    }
}

/* SCAFFOLD's correction of a client's drift. */
static void add_control(struct local *local)
{
    for (int64_t j = local->from; local->control != NULL && j < local->to; j++) {
        local->grad[j] +=
            (double)local->scaffold->common[j] - (double)local->control[j];
    }
}

/* The next step's, of n records' gradients: n = 0 of nobody's. */
static int run_batch(struct local *local, const int64_t *records, int64_t n,
                     struct error *err)
{
    struct trainer *trainer = local->trainer;
    const struct kernels *kernels = trainer->env->kernels;
    const struct optim optim = {.learning_rate = local->learning_rate};
    int64_t n_params = trainer->net.n_params, max_n = trainer->net.max_n;
    int64_t n_even = n_params + n_params % 2;
    memcpy(local->batch, records, (size_t)n * sizeof *local->batch);
    qsort(local->batch, (size_t)n, sizeof *local->batch, compare);
    memset(local->grad, 0, (size_t)n_even * sizeof *local->grad);
    apfl_mix(&local->apfl, local->params);
    for (int64_t at = 0; at < n; at += max_n) {
        int64_t part = n - at < max_n ? n - at : max_n;
        int rc = add_gradients(local, local->batch + at, part, err);
        if (rc != 0) {
            return rc;
        }
    }
    kernels->divide(n_params, n > 0 ? (double)n : 1.0, local->grad);
    if (local->walk != NULL) {
        walk_step(local->walk, n_even, local->grad);
    }
    if (local->apfl.own != NULL) {
        kernels->divide(n_params, (double)n, local->apfl.grad);
        apfl_step(&local->apfl, local->params, local->learning_rate);
    }
    add_prox(local);
    add_control(local);
    kernels->sgd(&optim, local->to - local->from, local->grad + local->from,
                 local->params + local->from);
    local->n_steps++;
    return 0;
}

/* One pass over the client's records in a new order, at most *n_left steps. */
static int run_epoch(struct local *local, int64_t n, int64_t *n_left, struct error *err)
{
    int64_t batch = local->spec->training.batch_size;
    int rc = 0;
    draw_shuffle(local->stream, local->order, n);
    for (int64_t at = 0; rc == 0 && at<n && * n_left> 0; at += batch) {
        int64_t part = n - at < batch ? n - at : batch;
        rc = run_batch(local, local->order + at, part, err);
        (*n_left)--;
    }
    return rc;
}

/* What the client sends is its momentum. */
static int add_momentum(struct local *local, int64_t client, struct error *err)
{
    double beta = local->spec->federation.client_momentum;
    if (!(beta > 0.0)) {
        return 0;
    }
    const float *from = local->trainer->params;
    float *kept = keep_vector(local->keep, client, KEEP_MOMENTUM);
    if (kept == NULL) {
        return error_set(err, PPT_ENOMEM, "no memory for a client's momentum");
    }
    for (int64_t j = 0; j < local->trainer->net.n_params; j++) {
        double update = (double)local->params[j] - (double)from[j];
        kept[j] = (float)(beta * (double)kept[j] + (1.0 - beta) * update);
        local->params[j] = from[j] + kept[j];
    }
    return 0;
}

/* What is no update is sent as it is, for the server to refuse. */
static int send(struct local *local, int64_t client, struct error *err)
{
    const struct trainer *trainer = local->trainer;
    const struct spec_federation *federation = &local->spec->federation;
    int64_t n = trainer->net.n_params;
    /* secure.h has its own count of bytes */
    bool is_masked = federation->aggregation == AGGREGATION_SECAGG;
    int64_t most = is_masked ? 0 : federation->max_client_bytes;
    if (!federation->compress.is_on) {
        return 0;
    }
    float *residual = NULL;
    if (spec_compress_leaves_out(&federation->compress)) {
        residual = keep_vector(local->keep, client, KEEP_RESIDUAL);
        if (residual == NULL) {
            return error_set(err, PPT_ENOMEM, "no memory for what a client left out");
        }
    }
    for (int64_t j = 0; j < n; j++) {
        local->params[j] -= trainer->params[j];
    }
    int rc = stack_is_update(local->params, n)
                 ? compress_send(local->compress, trainer->step, client, most,
                                 local->params, residual, err)
                 : 0;
    for (int64_t j = 0; j < n; j++) {
        local->params[j] += trainer->params[j];
    }
    return rc;
}

static int64_t size_of(const struct local *local, int64_t client)
{
    return client == LOCAL_NOBODY ? 0 : partition_size(local->partition, client);
}

/* Trains the parameters from .. to - 1 for so many passes or steps. */
static int fit(struct local *local, int64_t client, int64_t from, int64_t to,
               int64_t n_epochs, int64_t n_steps, struct error *err)
{
    int64_t n = size_of(local, client);
    int rc = 0;
    local->from = from;
    local->to = to;
    for (int64_t e = 0; rc == 0 && n > 0 && n_steps > 0 && e < n_epochs; e++) {
        rc = run_epoch(local, n, &n_steps, err);
    }
    for (; rc == 0 && local->walk != NULL && n_steps > 0; n_steps--) {
        rc = run_batch(local, local->order, 0, err);
    }
    return rc;
}

/* The model that was handed out, the client's records, and its draws of this round; of
 * the one that never comes, for a model of its own. */
static void begin(struct local *local, int64_t client, int64_t round)
{
    const struct partition *partition = local->partition;
    const struct trainer *trainer = local->trainer;
    int64_t last = trainer->n_steps - 1;
    memcpy(local->params, trainer->params,
           (size_t)trainer->net.n_params * sizeof *local->params);
    if (client != LOCAL_NOBODY) {
        memcpy(local->order, partition->rows + partition->first[client],
               (size_t)partition_size(partition, client) * sizeof *local->order);
        crypto_stream_seek(local->stream, partition_id(partition, client),
                           (uint64_t)round << 32);
    }
    local->control = NULL;
    apfl_end(&local->apfl);
    local->n_steps = 0;
    local->learning_rate = schedule_rate(&local->spec->training,
                                         round < last ? round : last, trainer->n_steps);
}

/* The client's own control, where there are some. */
static int find_control(struct local *local, int64_t client, struct error *err)
{
    if (local->scaffold == NULL) {
        return 0;
    }
    local->control = keep_vector(local->keep, client, KEEP_CONTROL);
    return local->control != NULL
               ? 0
               : error_set(err, PPT_ENOMEM, "no memory for a client's control");
}

/* Where the last layer's parameters begin. */
static int64_t head_of(const struct net *net)
{
    return net->layers[net->n_layers - 1].offset;
}

/* The last layer alone, from the one that was handed out. */
static int fit_head(struct local *local, int64_t client, struct error *err)
{
    const struct net *net = &local->trainer->net;
    local->prox = 0.0;
    return fit(local, client, head_of(net), net->n_params,
               local->spec->federation.personal.epochs, INT64_MAX, err);
}

int local_train(struct local *local, int64_t client, struct error *err)
{
    const struct trainer *trainer = local->trainer;
    const struct spec_training *training = &local->spec->training;
    const struct spec_personal *personal = &local->spec->federation.personal;
    bool has_head = personal->is_on && personal->kind == PERSONAL_FEDREP;
    int64_t n_params = trainer->net.n_params, head = head_of(&trainer->net);
    local->is_turned =
        client != LOCAL_NOBODY && attack_turns_labels(local->attack, client);
    begin(local, client, trainer->step);
    int rc = find_control(local, client, err);
    if (rc == 0) {
        rc = apfl_begin(&local->apfl, local->keep, client, trainer->params, err);
    }
    if (rc == 0 && has_head) {
        rc = fit_head(local, client, err);
    }
    if (rc == 0) {
        local->prox = local->spec->federation.prox;
        rc = fit(local, client, 0, has_head ? head : n_params,
                 training->steps > 0 ? INT64_MAX : training->epochs,
                 training->steps > 0 ? training->steps : INT64_MAX, err);
    }
    if (has_head) {
        memcpy(local->params + head, trainer->params + head,
               (size_t)(n_params - head) * sizeof *local->params);
    }
    if (rc != 0 || size_of(local, client) == 0) {
        return rc;
    }
    if (trainer->is_private) {
        shape_update(&local->spec->privacy, &trainer->net, trainer->params,
                     local->params);
    }
    rc = add_momentum(local, client, err);
    return rc != 0 ? rc : send(local, client, err);
}

int local_personalise(struct local *local, int64_t client, struct error *err)
{
    const struct spec_personal *personal = &local->spec->federation.personal;
    local->is_turned = false;
    begin(local, client, local->trainer->n_steps);
    if (personal->kind == PERSONAL_FEDREP) {
        return fit_head(local, client, err);
    }
    if (personal->kind == PERSONAL_APFL) {
        return apfl_use(&local->apfl, local->keep, client, local->params, err);
    }
    local->prox = personal->lambda; /* 0 with fine_tune */
    return fit(local, client, 0, local->trainer->net.n_params, personal->epochs,
               INT64_MAX, err);
}
