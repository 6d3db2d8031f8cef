#include "jobs/fl/personal.h"

#include <math.h>
#include <stdlib.h>

#include "kernels/kernels.h"

/* Of one client, by a model's parameters. */
static int count_correct(struct round *round, const float *params, int64_t client,
                         int64_t *ret_n, struct error *err)
{
    struct trainer *trainer = &round->trainer;
    const struct kernels *kernels = trainer->env->kernels;
    struct rows *rows = trainer->env->io->train;
    struct net *net = &trainer->net;
    const int64_t *held = partition_held(&round->partition, client);
    int64_t n_held = partition_n_held(&round->partition, client), n_correct = 0;
    for (int64_t at = 0; at < n_held; at += net->max_n) {
        int64_t n = n_held - at < net->max_n ? n_held - at : net->max_n;
        int rc = rows->read(rows, held + at, (size_t)n, net->read, net->label, err);
        if (rc != 0) {
            return rc;
        }
        const float *logits = net_forward(net, kernels, params, n);
        n_correct += kernels->xent_correct(n, net->n_classes, logits, net->target);
    }
    *ret_n = n_correct;
    return 0;
}

/* The work: those with a say, who have records that were held out. */
static int begin(struct round *round, struct error *err)
{
    int64_t n = 0, n_clients = round->partition.n_clients;
    int64_t *clients = malloc(((size_t)n_clients + 1) * sizeof *clients);
    if (clients == NULL) {
        return error_set(err, PPT_ENOMEM, "no memory for a list of clients");
    }
    for (int64_t c = 0; c < n_clients; c++) {
        if (partition_n_held(&round->partition, c) > 0 &&
            consent_allows(&round->consent, c)) {
            clients[n++] = c;
        }
    }
    int rc = pull_begin(&round->pull, clients, n, err);
    free(clients);
    return rc;
}

/* What this rank's clients got right, [n_clients] of the common model and of their own.
 */
static int play(struct round *round, double *common, double *own, struct error *err)
{
    int64_t c = 0;
    int rc = begin(round, err);
    while (rc == 0) {
        int64_t n_common = 0, n_own = 0;
        rc = pull_next(&round->pull, &c, err);
        if (rc != 0 || c < 0) {
            break;
        }
        rc = count_correct(round, round->trainer.params, c, &n_common, err);
        if (rc == 0) {
            rc = local_personalise(&round->local, c, err);
        }
        if (rc == 0) {
            rc = count_correct(round, round->local.params, c, &n_own, err);
        }
        common[c] = (double)n_common / (double)partition_n_held(&round->partition, c);
        own[c] = (double)n_own / (double)partition_n_held(&round->partition, c);
    }
    return rc;
}

static int compare(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

double personal_quantile(double *values, int64_t n, double share)
{
    qsort(values, (size_t)n, sizeof *values, compare);
    int64_t k = (int64_t)ceil((double)n * share);
    return values[k > 0 ? k - 1 : 0];
}

static struct personal_spread spread_of(double *values, int64_t n)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) {
        sum += values[i];
    }
    return (struct personal_spread){.mean = sum / (double)n,
                                    .low = personal_quantile(values, n, 0.1),
                                    .median = personal_quantile(values, n, 0.5),
                                    .high = personal_quantile(values, n, 0.9)};
}

/* Those of the clients that have a say, moved to the front. */
static int64_t pack(const struct round *round, double *values)
{
    int64_t n = 0;
    for (int64_t c = 0; c < round->partition.n_clients; c++) {
        if (partition_n_held(&round->partition, c) > 0 &&
            consent_allows(&round->consent, c)) {
            values[n++] = values[c];
        }
    }
    return n;
}

int personal_run(struct round *round, struct personal_outcome *ret_outcome,
                 struct error *err)
{
    const struct partition *partition = &round->partition;
    struct comm *comm = round->trainer.env->comm;
    size_t n_clients = (size_t)partition->n_clients;
    struct personal_outcome outcome = {0};
    double *values = calloc(2 * n_clients + 1, sizeof *values);
    if (values == NULL) {
        return error_set(err, PPT_ENOMEM, "no memory for the clients' own figures");
    }
    int rc = play(round, values, values + n_clients, err);
    if (rc == 0) { /* each is one rank's, and 0 on the others */
        rc = comm->ops->sum_f64(comm, values, 2 * n_clients, err);
    }
    for (int64_t c = 0; c < partition->n_clients; c++) {
        bool counts = consent_allows(&round->consent, c);
        outcome.n_records += counts ? partition_n_held(partition, c) : 0;
    }
    outcome.n_clients = pack(round, values);
    pack(round, values + n_clients);
    if (rc == 0 && outcome.n_clients == 0) {
        error_set(err, PPT_ESPEC,
                  "federation.personal: no client that consents has a record held out");
        rc = error_hint(err, "raise holdout, or make fewer clients up");
    }
    if (rc == 0) {
        outcome.common = spread_of(values, outcome.n_clients);
        outcome.own = spread_of(values + n_clients, outcome.n_clients);
        *ret_outcome = outcome;
    }
    free(values);
    return rc;
}
