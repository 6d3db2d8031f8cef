#include "jobs/fl/pull.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/dp/lease.h"

struct pull_item {
    double examples;
    int64_t client;
    int player; /* where shares are made beforehand */
};

static int start_counter(struct pull *pull, struct error *err)
{
    struct comm *comm = pull->comm;
    int64_t number = 0;
    int rc = 0;
    if (comm->ops->take == NULL) {
        return 0;
    }
    if (comm->rank == 0) {
        rc = comm->ops->take(comm, &number, err);
    }
    if (rc == 0) {
        rc = comm->ops->broadcast(comm, &number, sizeof number, 0, err);
    }
    pull->first = number + 1;
    return rc;
}

int pull_open(struct pull *pull, struct comm *comm, const struct spec *spec,
              const struct partition *partition, const struct keep *keep,
              struct error *err)
{
    *pull = (struct pull){
        .comm = comm, .spec = spec, .partition = partition, .keep = keep, .b = 1.0};
    pull->items = malloc(((size_t)partition->n_clients + 1) * sizeof *pull->items);
    pull->load = malloc((size_t)comm->size * sizeof *pull->load);
    int rc = pull->items != NULL && pull->load != NULL
                 ? start_counter(pull, err)
                 : error_set(err, PPT_ENOMEM, "no memory for a list of clients");
    if (rc != 0) {
        pull_close(pull);
    }
    return rc;
}

void pull_close(struct pull *pull)
{
    free(pull->items);
    free(pull->load);
    *pull = (struct pull){0};
}

double pull_examples(const struct spec_training *training, int64_t n_records)
{
    int64_t batch = training->batch_size;
    int64_t n_batches = (n_records + batch - 1) / batch;
    if (training->steps == 0 || n_records == 0) {
        return (double)n_records * (double)training->epochs;
    }
    int64_t rest = training->steps % n_batches * batch;
    return (double)(training->steps / n_batches) * (double)n_records + (double)rest;
}

void pull_fit(const double sums[PULL_SUMS], double *ret_a, double *ret_b)
{
    double n = sums[PULL_N], x = sums[PULL_X], y = sums[PULL_Y];
    double spread = n * sums[PULL_XX] - x * x;
    double b = (n * sums[PULL_XY] - x * y) / spread;
    *ret_a = 0.0;
    *ret_b = 1.0;
    if (spread > 0.0 && b > 0.0 && isfinite(b)) {
        *ret_a = fmax(0.0, (y - b * x) / n);
        *ret_b = b;
    }
}

static int by_cost(const void *a, const void *b)
{
    const struct pull_item *x = a, *y = b;
    return x->examples != y->examples
               ? (x->examples < y->examples) - (x->examples > y->examples)
               : (x->client > y->client) - (x->client < y->client);
}

/* After 1, 2, 4, 8, ... lists, so that short rounds are not made of telling. */
static int tell_times(struct pull *pull, struct error *err)
{
    int64_t n = pull->n_lists++;
    if (n == 0 || (n & (n - 1)) != 0) {
        return 0;
    }
    int rc = pull->comm->ops->sum_f64(pull->comm, pull->own, PULL_SUMS, err);
    for (int i = 0; rc == 0 && i < PULL_SUMS; i++) {
        pull->known[i] += pull->own[i];
        pull->own[i] = 0.0;
    }
    pull_fit(pull->known, &pull->a, &pull->b);
    return rc;
}

static void share_out(struct pull *pull)
{
    int size = pull->comm->size;
    memset(pull->load, 0, (size_t)size * sizeof *pull->load);
    for (int64_t i = 0; i < pull->n; i++) {
        struct pull_item *item = &pull->items[i];
        item->player = 0;
        for (int r = 1; r < size; r++) {
            item->player = pull->load[r] < pull->load[item->player] ? r : item->player;
        }
        if (pull->keep->n_vectors > 0) {
            item->player = keep_player(pull->keep, i, item->client);
        }
        pull->load[item->player] += pull->a + pull->b * item->examples;
    }
}

int pull_begin(struct pull *pull, const int64_t *clients, int64_t n, struct error *err)
{
    int rc = tell_times(pull, err);
    pull->n = n;
    pull->at = 0;
    pull->began_s = -1.0;
    for (int64_t i = 0; i < n; i++) {
        int64_t n_records = partition_size(pull->partition, clients[i]);
        pull->items[i] = (struct pull_item){
            .examples = pull_examples(&pull->spec->training, n_records),
            .client = clients[i]};
    }
    qsort(pull->items, (size_t)n, sizeof *pull->items, by_cost);
    pull->is_counted = pull->comm->ops->take != NULL && pull->keep->n_vectors == 0;
    if (!pull->is_counted) {
        share_out(pull);
    }
    return rc;
}

/* What the client before has taken. */
static void note_time(struct pull *pull)
{
    double now_s = lease_clock_s();
    if (pull->began_s >= 0.0) {
        double x = pull->items[pull->at - 1].examples, y = now_s - pull->began_s;
        pull->own[PULL_N] += 1.0;
        pull->own[PULL_X] += x;
        pull->own[PULL_XX] += x * x;
        pull->own[PULL_Y] += y;
        pull->own[PULL_XY] += x * y;
    }
    pull->began_s = now_s;
}

/* Each rank takes one number beyond the list, so the next one's first is known. */
static int take(struct pull *pull, struct error *err)
{
    int64_t number = 0;
    int rc = pull->comm->ops->take(pull->comm, &number, err);
    pull->at = number - pull->first;
    if (rc == 0 && pull->at < 0) {
        rc = error_set(err, PPT_EINTERNAL, "a number of work that is done");
    }
    if (rc == 0 && pull->at >= pull->n) {
        pull->at = pull->n;
        pull->first += pull->n + pull->comm->size;
    }
    return rc;
}

int pull_next(struct pull *pull, int64_t *ret_client, struct error *err)
{
    int rc = 0;
    note_time(pull);
    if (pull->is_counted) {
        rc = take(pull, err);
    } else {
        while (pull->at < pull->n && pull->items[pull->at].player != pull->comm->rank) {
            pull->at++;
        }
    }
    *ret_client = rc == 0 && pull->at < pull->n ? pull->items[pull->at].client : -1;
    pull->at++; /* behind it */
    return rc;
}
