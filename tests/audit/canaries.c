/* T4 (Steinke, Nasr, Jagielski 2023, arXiv 2305.08846): what one run of the real worker
 * proves.
 *
 * canaries data FILE.h5 COINS        a data set in which a fair coin has decided of
 * each canary, a record with one feature of its own, whether it is there; the coins are
 * kept canaries score DIR KEY.pub COINS [OTHER_DIR] guesses the coins from the model in
 * the job's directory; OTHER_DIR: of the same job run again
 *
 * Chance: what is judged fails a sound worker with a probability below 10^-6. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "base/log.h"
#include "base/pathsafe.h"
#include "jobs/model/net.h"
#include "jobs/plan.h"
#include "tests/audit/stats.h"
#include "worker/data_h5.h"
#include "worker/digest.h"
#include "worker/import.h"

enum {
    N_CANARIES = 4096,
    N_SHARED = 8, /* features of the other records */
    N_FEATURES = N_CANARIES + N_SHARED,
    N_OTHERS = 500,
    N_NOMINAL = 2500,
    N_CLASSES = 2,
    N_GUESSES = 128 /* of those that are in, and as many of those that are out */
};

static const double Z_SURE = 5.7; /* P(normal > 5.7) = 6e-9 */
static const double CHI2_LEVEL = 1e-8;

static struct error err;
static int n_failed;

static void judge(bool holds, const char *words, double value, double limit)
{
    printf("%s %.4f (%.4f)%s\n", words, value, limit, holds ? "" : ": NOT SO");
    n_failed += !holds;
}

static int write_record(struct data_split *split, int64_t *at, const unsigned char *x,
                        unsigned char y)
{
    int rc = h5_data_write(split->x, *at, 1, x, &err);
    if (rc == 0)
        rc = h5_data_write(split->y, *at, 1, &y, &err);
    ++*at;
    return rc;
}

/* Labels take turns, so that the canaries' gradients of the biases cancel. */
static int write_records(struct data_split *split, const unsigned char *coins)
{
    static unsigned char x[N_FEATURES];
    int64_t at = 0;
    int rc = 0;
    for (int i = 0; rc == 0 && i < N_CANARIES; i++) {
        x[i] = 255;
        if (coins[i] == 1)
            rc = write_record(split, &at, x, (unsigned char)(i % N_CLASSES));
        x[i] = 0;
    }
    for (int i = 0; rc == 0 && i < N_OTHERS; i++) {
        crypto_random(x + N_CANARIES, N_SHARED);
        rc = write_record(split, &at, x, x[N_CANARIES] > 127);
    }
    return rc;
}

static int write_manifest(const char *path)
{
    char manifest_path[MANIFEST_PATH_SIZE];
    struct manifest manifest = {.name = "canaries", .n_splits = 1};
    const char *slash = strrchr(path, '/');
    snprintf(manifest.file, sizeof manifest.file, "%s", slash ? slash + 1 : path);
    manifest.splits[0] = (struct manifest_split){.name = "train",
                                                 .nominal_count = N_NOMINAL,
                                                 .x_type = TYPE_UINT8,
                                                 .n_dims = 1,
                                                 .dims = {N_FEATURES},
                                                 .n_classes = N_CLASSES};
    int rc = digest_file(path, &comm_alone, manifest.digest, &err);
    if (rc == 0)
        rc = import_manifest_path(path, manifest_path, &err);
    FILE *file = rc == 0 ? fopen(manifest_path, "w") : NULL;
    if (file == NULL)
        return rc != 0 ? rc : error_errno(&err, PPT_EIO, "%s", manifest_path);
    rc = manifest_write(&manifest, file, &err);
    fclose(file);
    return rc;
}

static int make_data(const char *path, const char *coins_path)
{
    unsigned char coins[N_CANARIES];
    struct data_h5 data;
    struct data_split split = {.n_rows = N_OTHERS,
                               .x_type = TYPE_UINT8,
                               .y_type = TYPE_UINT8,
                               .n_dims = 1,
                               .dims = {N_FEATURES},
                               .n_classes = N_CLASSES};
    crypto_random(coins, sizeof coins);
    for (int i = 0; i < N_CANARIES; i++) {
        coins[i] &= 1;
        split.n_rows += coins[i];
    }
    int rc = pathsafe_write_new(coins_path, coins, sizeof coins, 0600, &err);
    if (rc == 0)
        rc = data_h5_create(path, UNIT_EXAMPLE, RELATION_ADD_REMOVE, &data, &err);
    if (rc != 0)
        return rc;
    rc = data_h5_add(&data, "train", &split, &err);
    if (rc == 0)
        rc = write_records(&split, coins);
    data_split_close(&split);
    int close_rc = data_h5_close(&data, rc == 0 ? &err : NULL);
    rc = rc != 0 ? rc : close_rc;
    return rc != 0 ? rc : write_manifest(path);
}

/* A finished job: what it was to do, and for each feature what its two weights moved
 * by, in standard deviations of all steps' noise: `signal` along the gradients of
 * records, positive for what is there, and `idle` across them, where there is noise
 * only. */
struct job {
    struct plan plan;
    struct spec spec;
    struct manifest manifest;
    double signal[N_FEATURES], idle[N_FEATURES];
    double mu; /* of the whole job's trade-off curve for one canary */
};

static int read_weights(const struct job *job, const struct net_tensor *tensor,
                        float *ret_weights)
{
    char path[PLAN_PATH_SIZE], name[128];
    struct h5 *file;
    struct h5_data *data;
    int rc = plan_path(&job->plan, job->spec.output.model, path, &err);
    if (rc == 0)
        rc = h5_open(path, &file, &err);
    if (rc != 0)
        return rc;
    snprintf(name, sizeof name, "tensors/%s", tensor->name);
    rc = h5_data_open(file, name, &data, &err);
    if (rc == 0) {
        rc = h5_data_read(data, 0, N_FEATURES, ret_weights, &err);
        h5_data_close(data);
    }
    h5_close(file, NULL);
    return rc;
}

static void measure(struct job *job, const float *first, const float *last)
{
    const struct price *price = &job->plan.price;
    double batch = price->sample_rate * (double)job->manifest.splits[0].nominal_count;
    double unit = job->spec.training.learning_rate * job->spec.privacy.clip_norm /
                  batch * price->noise_multiplier * sqrt((double)price->n_steps);
    for (int i = 0; i < N_FEATURES; i++) {
        double d[2] = {(double)last[2 * i] - (double)first[2 * i],
                       (double)last[2 * i + 1] - (double)first[2 * i + 1]};
        double sign = i % N_CLASSES == 0 ? 1.0 : -1.0;
        job->signal[i] = sign * (d[0] - d[1]) / sqrt(2.0) / unit;
        job->idle[i] = (d[0] + d[1]) / sqrt(2.0) / unit;
    }
    job->mu = sqrt((double)price->n_steps) / price->noise_multiplier;
}

static int read_job(const char *directory, const char *key_path, struct job *job)
{
    static float first[N_FEATURES * N_CLASSES + N_CLASSES],
        last[N_FEATURES * N_CLASSES];
    unsigned char public_key[CRYPTO_KEY_SIZE];
    struct net_tensor tensors[NET_MAX_TENSORS];
    struct net net;
    int rc = pathsafe_read_public(key_path, public_key, sizeof public_key, &err);
    if (rc == 0)
        rc = plan_load(directory, public_key, NULL, &job->plan, &job->spec,
                       &job->manifest, &err);
    if (rc == 0)
        rc = net_build(&job->spec.model, &job->manifest.splits[0], true, &net, &err);
    if (rc == 0 && (net.n_params != (int64_t)(sizeof first / sizeof first[0]) ||
                    job->plan.price.sample_rate != 1.0))
        rc = error_set(&err, PPT_ESPEC, "the job is not that of tests/audit");
    if (rc != 0)
        return rc;
    net_init(&net, job->spec.training.seed, first);
    net_tensors(&net, tensors);
    rc = read_weights(job, &tensors[0], last);
    if (rc == 0)
        measure(job, first, last);
    return rc;
}

/* P(v or more of r guesses are right), bounded for an (epsilon, delta)-private run over
 * m coins: 2305.08846, theorem 5.2. */
static double luck(double epsilon, double delta, int r, int v)
{
    double p = 1.0 / (1.0 + exp(-epsilon)), all = stats_binomial_tail(r, p, v);
    double most = 0.0;
    for (int i = 1; i <= v; i++) {
        most = fmax(most, (stats_binomial_tail(r, p, v - i) - all) / i);
    }
    return all + 2.0 * N_CANARIES * delta * most;
}

/* The largest epsilon under which so much luck happens less than once in 20 runs. */
static double proven(double delta, int r, int v)
{
    double low = 0.0, high = 50.0;
    for (int i = 0; i < 60; i++) {
        double middle = 0.5 * (low + high);
        if (luck(middle, delta, r, v) <= 0.05) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void judge_guesses(const struct job *job, const unsigned char *coins)
{
    static double sorted[N_CANARIES];
    double delta = job->plan.price.delta;
    double price = stats_epsilon(job->mu, 1.0, delta);
    int n_right = 0;
    memcpy(sorted, job->signal, sizeof sorted);
    qsort(sorted, N_CANARIES, sizeof sorted[0], by_value);
    for (int i = 0; i < N_CANARIES; i++) {
        bool is_in = job->signal[i] >= sorted[N_CANARIES - N_GUESSES];
        bool is_out = job->signal[i] <= sorted[N_GUESSES - 1];
        n_right += (is_in && coins[i] == 1) || (is_out && coins[i] == 0);
    }
    double epsilon = proven(delta, 2 * N_GUESSES, n_right);
    printf("%d of %d guesses are right; charged epsilon %.4f\n", n_right, 2 * N_GUESSES,
           job->plan.price.epsilon);
    judge(epsilon <= price, "epsilon proven by one run (its price):", epsilon, price);
    judge(epsilon >= 0.1 * price,
          "  enough to show that it can see (0.1 of it):", epsilon, 0.1 * price);
}

/* The canaries are independent draws from one trade-off curve, since their directions
 * are orthogonal: their mean, in or out, shows its mu. */
static void judge_mean(const struct job *job, const unsigned char *coins)
{
    double sum[2] = {0.0, 0.0}, n[2] = {0.0, 0.0}, delta = job->plan.price.delta;
    for (int i = 0; i < N_CANARIES; i++) {
        sum[coins[i]] += job->signal[i];
        n[coins[i]] += 1.0;
    }
    double mu = sum[1] / n[1] - sum[0] / n[0];
    double error = sqrt(1.0 / n[0] + 1.0 / n[1]);
    judge(mu - Z_SURE * error <= job->mu, "mu measured (its price):", mu, job->mu);
    judge(mu + Z_SURE * error >= 0.99 * job->mu, "  no less than there is:", mu,
          0.99 * job->mu);
    double surely = fmax(mu - Z_SURE * error, 0.01);
    judge(stats_epsilon(surely, 1.0, delta) <= stats_epsilon(job->mu, 1.0, delta),
          "epsilon proven by the mean (its price):", stats_epsilon(surely, 1.0, delta),
          stats_epsilon(job->mu, 1.0, delta));
}

static void judge_noise(const struct job *job, const struct job *other)
{
    double sum = 0.0;
    for (int i = 0; i < N_FEATURES; i++) {
        sum += job->idle[i] * job->idle[i];
    }
    judge(stats_chi2_tail(N_FEATURES, sum) > CHI2_LEVEL,
          "noise over what was paid for:", sqrt(sum / N_FEATURES), 1.0);
    if (other != NULL) {
        double z = stats_correlation(job->idle, other->idle, N_FEATURES);
        judge(fabs(z) < Z_SURE,
              "correlation with the noise of another run:", z / sqrt(N_FEATURES), 0.0);
    }
}

static int score(int argc, char **argv)
{
    static struct job job, other;
    unsigned char coins[N_CANARIES];
    FILE *file = fopen(argv[4], "rb");
    if (file == NULL || fread(coins, 1, sizeof coins, file) != sizeof coins)
        return error_errno(&err, PPT_EIO, "%s", argv[4]);
    fclose(file);
    int rc = read_job(argv[2], argv[3], &job);
    if (rc == 0 && argc > 5)
        rc = read_job(argv[5], argv[3], &other);
    if (rc != 0)
        return rc;
    judge_guesses(&job, coins);
    judge_mean(&job, coins);
    judge_noise(&job, argc > 5 ? &other : NULL);
    if (n_failed > 0)
        return error_set(&err, PPT_EDATA, "%d things are not as they should be",
                         n_failed);
    return 0;
}

int main(int argc, char **argv)
{
    log_init("canaries", false);
    int rc = -PPT_EUSAGE;
    if (argc == 4 && strcmp(argv[1], "data") == 0)
        rc = make_data(argv[2], argv[3]);
    else if (argc >= 5 && strcmp(argv[1], "score") == 0)
        rc = score(argc, argv);
    else
        error_set(&err, PPT_EUSAGE, "canaries data|score ...");
    return rc == 0 ? 0 : log_error(&err);
}
