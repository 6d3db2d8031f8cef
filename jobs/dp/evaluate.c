#include "jobs/dp/evaluate.h"

#include <stdlib.h>

#include "jobs/dp/verdict.h"
#include "jobs/privacy/meter.h"

/* A round of n records; how many are correct in each lane's part. */
struct round_count {
    struct trainer *trainer;
    int64_t n, n_correct[LANES_MOST];
};

static void count_part(void *state, int lane)
{
    struct round_count *count = state;
    struct trainer *trainer = count->trainer;
    const struct kernels *kernels = trainer->env->kernels;
    int64_t n;
    struct net *net = trainer_take_part(trainer, lane, count->n, &n);
    count->n_correct[lane] = 0;
    if (n > 0) {
        const float *logits = net_forward(net, kernels, trainer->params, n);
        count->n_correct[lane] =
            kernels->xent_correct(n, net->n_classes, logits, net->target);
    }
}

/* Correct ones among this rank's share of the split. */
static int count_correct(struct trainer *trainer, double *ret_correct,
                         struct error *err)
{
    struct rows *rows = trainer->env->io->test;
    struct round_count count = {.trainer = trainer};
    int32_t *label;
    float *records = trainer_records(trainer, &label);
    int64_t n_correct = 0, most = trainer_round(trainer);
    for (int64_t at = 0; at < rows->n_rows; at += most) {
        int64_t left = rows->n_rows - at;
        int64_t n = left < most ? left : most;
        for (int64_t i = 0; i < n; i++) {
            trainer->indices[i] = at + i;
        }
        int rc = rows->read(rows, trainer->indices, (size_t)n, records, label, err);
        if (rc != 0) {
            return rc;
        }
        count.n = n;
        lanes_run(&trainer->lanes, count_part, &count);
        for (int lane = 0; lane < trainer->lanes.n; lane++) {
            n_correct += count.n_correct[lane];
        }
    }
    *ret_correct = (double)n_correct;
    return trainer_check(trainer, err);
}

int evaluate_public(struct trainer *trainer, double *ret_accuracy, struct error *err)
{
    struct comm *comm = trainer->env->comm;
    double counts[2] = {0.0, (double)trainer->env->io->test->n_rows};
    int rc = count_correct(trainer, &counts[0], err);
    if (rc == 0) {
        rc = comm->ops->sum_f64(comm, counts, 2, err);
    }
    if (rc != 0) {
        return rc;
    }
    if (counts[1] < 1.0) {
        return error_set(err, PPT_ESPEC, "dataset.test: the test split is empty");
    }
    *ret_accuracy = counts[0] / counts[1];
    return 0;
}

static int pay(struct trainer *trainer, int64_t *ret_is_paid, struct error *err)
{
    struct env *env = trainer->env;
    int rc = 0;
    if (env->comm->rank == 0) {
        rc = meter_charge(env->meter, PRICE_EVALUATION, 1, err);
        *ret_is_paid = rc == 0;
        rc = rc == -PPT_EMETER ? 0 : rc;
    }
    rc = verdict_share(env->comm, rc, err);
    if (rc != 0) {
        return rc;
    }
    return env->comm->ops->broadcast(env->comm, ret_is_paid, sizeof *ret_is_paid, 0,
                                     err);
}

int evaluate_paid(struct trainer *trainer, bool *ret_is_paid, double *ret_accuracy,
                  struct error *err)
{
    struct comm *comm = trainer->env->comm;
    struct grid grid;
    int64_t is_paid = 0;
    double std = trainer->spec->training.evaluation_noise;
    if (!grid_for_integers(std, &grid)) {
        return error_set(err, PPT_ERANGE,
                         "training.evaluation_noise: expected 2^-40 to 2^40, not %g",
                         std);
    }
    int rc = pay(trainer, &is_paid, err);
    if (rc != 0 || is_paid == 0) {
        *ret_is_paid = false;
        return rc;
    }
    double *counts = calloc((size_t)comm->size, sizeof *counts), total = 0.0;
    if (counts == NULL) {
        return error_set(err, PPT_ENOMEM, "cannot allocate the evaluation's counts");
    }
    rc = count_correct(trainer, &counts[0], err);
    if (rc == 0) {
        rc = comm->ops->reduce_scatter_f64(comm, counts, &total, 1, err);
    }
    free(counts);
    if (rc != 0) {
        return rc;
    }
    double accuracy = 0.0;
    if (comm->rank == 0) {
        noise_add_value(&trainer->noise, &grid, NOISE_EVALUATION, &total);
        accuracy = total / (double)trainer->nominal_test;
    }
    *ret_accuracy = accuracy < 0.0 ? 0.0 : accuracy > 1.0 ? 1.0 : accuracy;
    *ret_is_paid = true;
    return 0;
}
