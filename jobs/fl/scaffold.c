#include "jobs/fl/scaffold.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/dp/schedule.h"
#include "jobs/fl/stack.h"

int scaffold_n_states(const struct spec_federation *federation)
{
    return federation->correction == CORRECTION_SCAFFOLD ? 1 : 0;
}

int scaffold_n_vectors(const struct spec_federation *federation)
{
    return 1 + scaffold_n_states(federation);
}

/* Clients with records, and the steps of one of them. */
static void count(struct scaffold *scaffold, const struct partition *partition)
{
    const struct spec_training *training = &scaffold->spec->training;
    int64_t batch = training->batch_size, n_batches = 0;
    for (int64_t c = 0; c < partition->n_clients; c++) {
        int64_t size = partition_size(partition, c);
        scaffold->n_clients += size > 0;
        n_batches += size / batch + (size % batch > 0);
    }
    scaffold->n_steps = training->steps > 0
                            ? (double)training->steps
                            : (double)training->epochs * (double)n_batches /
                                  (double)scaffold->n_clients;
}

int scaffold_open(struct scaffold *scaffold, const struct spec *spec,
                  struct trainer *trainer, const struct partition *partition,
                  struct error *err)
{
    size_t n_padded = (size_t)trainer->n_padded;
    *scaffold = (struct scaffold){0};
    if (scaffold_n_states(&spec->federation) == 0) {
        return 0;
    }
    scaffold->spec = spec;
    count(scaffold, partition);
    scaffold->common = malloc(n_padded * sizeof *scaffold->common);
    scaffold->sum = malloc(n_padded * sizeof *scaffold->sum);
    scaffold->slice = malloc((size_t)trainer->n_slice * sizeof *scaffold->slice);
    if (scaffold->common == NULL || scaffold->sum == NULL || scaffold->slice == NULL) {
        scaffold_close(scaffold);
        return error_set(err, PPT_ENOMEM, "no memory for the server's control");
    }
    scaffold->trainer = trainer;
    return 0;
}

void scaffold_close(struct scaffold *scaffold)
{
    free(scaffold->common);
    free(scaffold->sum);
    free(scaffold->slice);
    *scaffold = (struct scaffold){0};
}

int scaffold_begin(struct scaffold *scaffold, struct error *err)
{
    struct trainer *trainer = scaffold->trainer;
    if (trainer == NULL) {
        return 0;
    }
    struct comm *comm = trainer->env->comm;
    memset(scaffold->sum, 0, (size_t)trainer->n_padded * sizeof *scaffold->sum);
    return comm->ops->all_gather_f32(comm, trainer_own_states(trainer),
                                     scaffold->common, (size_t)trainer->n_slice, err);
}

int scaffold_move(struct scaffold *scaffold, const float *after, double rate,
                  int64_t n_steps, float *own, struct error *err)
{
    const struct trainer *trainer = scaffold->trainer;
    double way = (double)n_steps * rate, n = (double)scaffold->n_clients;
    for (int64_t j = 0; j < trainer->net.n_params; j++) {
        double moved = (double)trainer->params[j] - (double)after[j];
        double next = (double)own[j] - (double)scaffold->common[j] + moved / way;
        double change = (double)(float)next - (double)own[j];
        if (!(fabs(change) <= STACK_MOST)) {
            error_set(err, PPT_ERANGE,
                      "training diverged: a client's control is not finite, or moves "
                      "too far");
            return error_hint(err, "lower training.learning_rate");
        }
        scaffold->sum[j] += STACK_STEP * nearbyint(change / n / STACK_STEP);
        own[j] = (float)next;
    }
    return 0;
}

int scaffold_end(struct scaffold *scaffold, struct error *err)
{
    struct trainer *trainer = scaffold->trainer;
    if (trainer == NULL) {
        return 0;
    }
    struct comm *comm = trainer->env->comm;
    float *control = trainer_own_states(trainer);
    int rc = comm->ops->reduce_scatter_f64(comm, scaffold->sum, scaffold->slice,
                                           (size_t)trainer->n_slice, err);
    for (int64_t j = 0; rc == 0 && j < trainer->n_slice; j++) {
        control[j] = (float)((double)control[j] + scaffold->slice[j]);
    }
    return rc;
}

double scaffold_unit(const struct scaffold *scaffold)
{
    const struct trainer *trainer = scaffold->trainer;
    return scaffold->n_steps *
           schedule_rate(&scaffold->spec->training, trainer->step, trainer->n_steps);
}

void scaffold_propose(const struct scaffold *scaffold, const float *after, double rate,
                      int64_t n_steps, float *ret)
{
    const struct trainer *trainer = scaffold->trainer;
    double unit = scaffold_unit(scaffold), way = (double)n_steps * rate;
    for (int64_t j = 0; j < trainer->net.n_params; j++) {
        double moved = (double)trainer->params[j] - (double)after[j];
        ret[j] = n_steps == 0
                     ? 0.0F
                     : (float)(unit * (moved / way - (double)scaffold->common[j]));
    }
}

void scaffold_take(const struct scaffold *scaffold, const float *sent, float *own)
{
    double unit = scaffold_unit(scaffold);
    for (int64_t j = 0; j < scaffold->trainer->net.n_params; j++) {
        own[j] = (float)((double)own[j] + (double)sent[j] / unit);
    }
}

void scaffold_grow(const struct scaffold *scaffold, const float *sum)
{
    const struct trainer *trainer = scaffold->trainer;
    int64_t n = trainer->n_slice, first = trainer->env->comm->rank * n;
    double divisor = scaffold_unit(scaffold) * (double)scaffold->n_clients;
    float *control = trainer_own_states(trainer);
    for (int64_t j = 0; j < n && first + j < trainer->net.n_params; j++) {
        control[j] = (float)((double)control[j] + (double)sum[first + j] / divisor);
    }
}
