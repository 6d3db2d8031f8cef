/* What it costs that clients bring the noise: in epsilon, in accuracy and in time,
 * beside noise by the server. bench_fl_noise [--json]
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "jobs/fl/encode.h"
#include "jobs/fl/fl_run.h"
#include "jobs/fl/secure.h"
#include "jobs/fl/share.h"
#include "jobs/privacy/meter.h"
#include "jobs/privacy/renyi.h"
#include "kernels/kernels.h"
#include "kernels/ring.h"
#include "tests/bench/figure.h"
#include "tests/unit/dp/world.h"

enum { N_CLIENTS = 1000, N_BITS = 16, N_SEEDS = 100, N_ROUNDS = 1 };

static const char *const kinds[NOISE_KIND_N] = {"rounded Gaussian", "discrete Gaussian",
                                                "Skellam"};

static void check(int rc, const struct error *err)
{
    if (rc != 0) {
        fprintf(stderr, "bench_fl_noise: %s\n", err->text);
        exit(1);
    }
}

/* Of this process: one rank plays everybody, and who else is on the machine does not
 * count. */
static double cpu_s(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* Clip norm 1; together the clients' noise has standard deviation 1. */
static struct encode_terms terms_of(uint32_t n_values)
{
    struct encode_terms terms = {.n_values = n_values, .clip_norm = 1.0};
    struct error err = {0};
    check(encode_scale(&terms, N_CLIENTS, N_BITS, 1.0 / sqrt(N_CLIENTS), SECURE_SPREAD,
                       &terms.scale, &err),
          &err);
    return terms;
}

static double epsilon_of(struct mechanism mechanism)
{
    struct renyi_release release = {mechanism, 1};
    struct error err = {0};
    double epsilon = 0;
    check(renyi_epsilon(&release, 1, 1e-5, &epsilon, NULL, &err), &err);
    return epsilon;
}

/* One release of 2^17 coordinates with noise of the clip norm's size: what was lost to
 * rounding and whole numbers stands in epsilon. */
static void show_epsilon(void)
{
    struct encode_terms terms = terms_of(1 << 17);
    double bound = encode_bound(&terms), std = terms.scale;
    double variance = std * std - SHARE_EXTRA_VARIANCE;
    struct mechanism central = {
        .kind = MECHANISM_GAUSSIAN, .noise_multiplier = 1, .sample_rate = 1};
    struct mechanism gaussian = central, skellam = {.kind = MECHANISM_SKELLAM,
                                                    .sample_rate = 1,
                                                    .variance = variance,
                                                    .sensitivity = bound};
    gaussian.noise_multiplier = sqrt(variance) / bound;
    skellam.sensitivity_l1 = fmin(sqrt((double)terms.n_values), bound) * bound;
    double base = epsilon_of(central), ours = epsilon_of(gaussian);
    figure_show("epsilon at 1e-5, 1000 clients, 16 bits: Gaussian", ours, "",
                "noise by the server", base, base / ours);
    ours = epsilon_of(skellam);
    figure_show("the same: Skellam", ours, "", "noise by the server", base,
                base / ours);
}

/* The squared error of the decoded mean of 1000 clients over that of real noise by the
 * server at the same price: updates of the clip norm's length all but alike, so that
 * the ring is as full as it gets. */
static double error_ratio(enum spec_noise_kind kind, uint32_t n_values)
{
    struct encode_terms terms = terms_of(n_values);
    struct share share;
    struct share_plan plan = {.kind = kind,
                              .multiplier = 1.0,
                              .sensitivity = encode_bound(&terms),
                              .n_min = N_CLIENTS};
    struct error err = {0};
    uint32_t *sum = calloc(n_values, sizeof *sum), *ring = malloc(n_values * 4);
    float *update = malloc(n_values * sizeof *update);
    float *mean = malloc(n_values * sizeof *mean);
    double square = 0.0;
    for (int seed = 0; seed < N_SEEDS; seed++) {
        unsigned char key[CRYPTO_KEY_SIZE] = {(unsigned char)seed, 1};
        unsigned char rounding[CRYPTO_KEY_SIZE] = {(unsigned char)seed, 2};
        struct crypto_stream *stream = crypto_stream_new(rounding);
        terms.rotation[0] = (unsigned char)seed;
        check(share_open(&share, &plan, n_values, &kernels_cpu, key, &err), &err);
        for (uint32_t j = 0; j < n_values; j++)
            update[j] = (float)(sin(0.37 * (j + 1.0) * (seed + 1)) /
                                sqrt(0.5 * n_values) * 0.99);
        memset(sum, 0, n_values * sizeof *sum);
        for (int c = 0; c < N_CLIENTS; c++) {
            crypto_stream_seek(stream, (uint64_t)c, 0);
            check(encode_update(&terms, update, stream, ring, &err), &err);
            share_add(&share, (uint64_t)c, ring);
            ring_add(sum, ring, n_values);
        }
        check(encode_decode(&terms, sum, N_BITS, mean, &err), &err);
        for (uint32_t j = 0; j < n_values; j++) {
            double d = (double)mean[j] / N_CLIENTS - (double)update[j];
            square += d * d;
        }
        share_close(&share);
        crypto_stream_free(stream);
    }
    free(sum);
    free(ring);
    free(update);
    free(mean);
    return square / N_SEEDS / (n_values / (double)N_CLIENTS / N_CLIENTS);
}

/* A federation of 100 clients, all in every round, 101,770 coordinates of 20 bits. */
struct job {
    struct spec spec;
    struct plan plan;
    struct manifest manifest;
    struct world_data train;
    double began_s, ended_s;
};

static void make_job(struct job *job, bool is_private, enum spec_noise_kind kind)
{
    int64_t dims[1] = {784};
    job->train = world_blobs(100, 784, 10, 0.8, 1);
    job->manifest = world_manifest(100, 1, 1, dims, 10);
    job->spec = world_spec(PRESET_MLP, false);
    struct spec *spec = &job->spec;
    spec->kind = JOB_FL;
    spec->model.hidden = 128;
    spec->training.epochs = 1;
    spec->training.steps = 0;
    spec->training.batch_size = 10;
    spec->privacy.is_private = is_private;
    spec->privacy.unit = UNIT_USER;
    spec->privacy.clip_norm = 1.0;
    spec->federation = (struct spec_federation){
        .rounds = N_ROUNDS,
        .partition = PARTITION_USERS,
        .cohort = 100,
        .selection = is_private ? SELECTION_POISSON : SELECTION_FIXED,
        .server = {.learning_rate = 1.0},
        .aggregation = AGGREGATION_SECAGG,
        .secagg = {.bits = 20,
                   .max_norm = is_private ? 0.0 : 1.0,
                   .corrupt = 0.1,
                   .dropout = 0.1,
                   .min_clients = 50}};
    if (is_private)
        spec->federation.noise = (struct spec_noise){.by = NOISE_BY_CLIENTS,
                                                     .kind = kind,
                                                     .participants = 100,
                                                     .min_survivors = 80};
    job->plan = world_plan(spec, &job->manifest, is_private ? 1.0 : 0.0, N_ROUNDS);
    struct price *price = &job->plan.price;
    price->sample_rate = 1.0;
    price->unit = UNIT_USER;
    price->releases[0].mechanism.sample_rate = 1.0;
    if (is_private && kind == NOISE_SKELLAM)
        price->releases[0].mechanism = price_skellam(1.0, 1.0);
}

/* Seconds of CPU time a round. */
static double round_s(bool is_private, enum spec_noise_kind kind)
{
    static struct job job;
    struct error err = {0};
    char path[] = "/tmp/bench_fl_noise.XXXXXX";
    make_job(&job, is_private, kind);
    struct world world = {.size = 1,
                          .train = &job.train,
                          .plan = &job.plan,
                          .spec = &job.spec,
                          .manifest = &job.manifest,
                          .run = fl_run,
                          .is_whole = true};
    if (is_private) {
        close(mkstemp(path));
        unlink(path);
        check(meter_create(path, &err), &err);
        check(meter_open(path, 1, &job.plan.price, &world.meter, &err), &err);
    }
    double began_s = cpu_s();
    world_run(&world);
    double took_s = cpu_s() - began_s;
    check(world.rc[0], &world.err[0]);
    if (is_private) {
        meter_close(world.meter);
        unlink(path);
    }
    world_free(&world);
    world_data_free(&job.train);
    return took_s / N_ROUNDS;
}

enum { N_RUNS = 3 };

static void show_rounds(void)
{
    double plain[N_RUNS], noisy[NOISE_KIND_N][N_RUNS];
    for (int r = 0; r < N_RUNS; r++) { /* in turns, as machines change */
        plain[r] = round_s(false, NOISE_ROUNDED_GAUSSIAN);
        for (int k = 0; k < NOISE_KIND_N; k++) {
            noisy[k][r] = round_s(true, (enum spec_noise_kind)k);
        }
    }
    double base = 1e3 * figure_median(plain, N_RUNS);
    for (int k = 0; k < NOISE_KIND_N; k++) {
        char title[96];
        double ms = 1e3 * figure_median(noisy[k], N_RUNS);
        snprintf(title, sizeof title, "CPU, a round of 100 clients, 101,770 values: %s",
                 kinds[k]);
        figure_show(title, ms, "ms", "without privacy", base, base / ms);
    }
}

int main(int argc, char **argv)
{
    figure_begin("fl_noise", argc > 1 && strcmp(argv[1], "--json") == 0);
    show_epsilon();
    for (int k = 0; k < NOISE_KIND_N; k++) {
        char title[96];
        double ratio = error_ratio((enum spec_noise_kind)k, 1 << 11);
        snprintf(title, sizeof title, "squared error of the mean, 100 seeds: %s",
                 kinds[k]);
        figure_show(title, ratio, "", "noise by the server", 1.0, 1.0 / ratio);
    }
    show_rounds();
    figure_end();
    return 0;
}
