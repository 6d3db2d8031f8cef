/* What privacy costs in time: private and plain steps of the same engine, model and
 * batch, taken in turns on one core (and, for the noise, another where there is one:
 * `taskset -c 0` takes it away); and what a sample costs out of 10^9 records.
 * bench_engine [--json] [--batch N] [--pairs N] */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/opt.h"
#include "jobs/dp/lease.h"
#include "jobs/dp/sampler.h"
#include "jobs/dp/trainer.h"
#include "kernels/kernels.h"
#include "tests/bench/figure.h"
#include "tests/unit/dp/world.h"

enum { N_RECORDS = 60000, MOST_PAIRS = 1000 };

static bool is_json;
static int64_t batch = 256, n_pairs = 40;

/* One rank's view of records in memory. */
static int read_rows(struct rows *rows, const int64_t *indices, size_t n, float *x,
                     int32_t *y, struct error *err)
{
    const struct world_data *data = rows->state;
    (void)err;
    for (size_t i = 0; i < n; i++) {
        memcpy(x + i * data->n_features,
               data->x + (size_t)indices[i] * data->n_features,
               data->n_features * sizeof *x);
        y[i] = data->y[indices[i]];
    }
    return 0;
}

/* Seconds of one step. */
static int time_step(struct trainer *trainer, double *ret_s, struct error *err)
{
    double started_s = lease_clock_s();
    int rc = trainer_gradient(trainer, err);
    if (rc == 0) {
        rc = trainer_release(trainer, err);
    }
    *ret_s = lease_clock_s() - started_s;
    return rc;
}

/* A private trainer (0) and a plain one (1) over the same records. Their samples
 * differ: of two that are the same, the second finds its records in the caches. */
static int compare(const struct world_data *data, enum spec_preset preset,
                   const char *name, struct error *err)
{
    static double times[2][MOST_PAIRS];
    int64_t dims[2] = {28, 28};
    struct manifest manifest = world_manifest(data->n, 0, 2, dims, 10);
    struct rows rows = {.n_rows = data->n,
                        .n_features = data->n_features,
                        .n_classes = 10,
                        .state = (void *)(uintptr_t)data,
                        .read = read_rows};
    struct io io = {.train = &rows};
    struct env envs[2];
    struct spec specs[2];
    struct plan plans[2];
    struct trainer trainers[2] = {{0}};
    int rc = 0;
    for (int i = 0; rc == 0 && i < 2; i++) {
        envs[i] = (struct env){.comm = &comm_alone, .io = &io, .kernels = &kernels_cpu};
        envs[i].sampling_key[0] = (unsigned char)i;
        specs[i] = world_spec(preset, i == 0);
        specs[i].model.hidden = 128;
        specs[i].resources.cores_per_rank = 2;
        specs[i].training.batch_size = batch;
        plans[i] = world_plan(&specs[i], &manifest, 1.0, n_pairs + 2);
        rc = trainer_open(&trainers[i], &plans[i], &specs[i], &manifest, &envs[i], NULL,
                          err);
    }
    for (int64_t step = -2; rc == 0 && step < n_pairs; step++) { /* two to warm up */
        for (int i = 0; rc == 0 && i < 2; i++) {
            rc = time_step(&trainers[i], &times[i][step < 0 ? 0 : step], err);
        }
    }
    trainer_close(&trainers[0]);
    trainer_close(&trainers[1]);
    if (rc == 0) {
        char label[64];
        double private_s = figure_median(times[0], (size_t)n_pairs),
               plain_s = figure_median(times[1], (size_t)n_pairs);
        snprintf(label, sizeof label, "%s dp step, batch %lld", name, (long long)batch);
        figure_show(label, private_s * 1e3, "ms", "plain step", plain_s * 1e3,
                    plain_s / private_s);
        snprintf(label, sizeof label, "%s dp examples", name);
        figure_show(label, (double)batch / private_s, "1/s/core", NULL, 0.0, 0.0);
    }
    return rc;
}

/* 10^9 records at 10^-5, against drawing a number for each record. */
static int time_sampler(struct error *err)
{
    const int64_t n_rows = 1000000000;
    const unsigned char key[CRYPTO_KEY_SIZE] = {1};
    static int64_t indices[20000];
    static double times[100];
    struct sampler sampler;
    int rc = sampler_open(&sampler, key, floor(1e-5 * 0x1p53) * 0x1p-53, n_rows, err);
    if (rc != 0) {
        return rc;
    }
    for (int64_t step = 0; step < 100; step++) {
        double started_s = lease_clock_s();
        sampler_begin(&sampler, step);
        sampler_next(&sampler, indices, 20000);
        times[step] = lease_clock_s() - started_s;
    }
    uint64_t words[512], n_hits = 0;
    double started_s = lease_clock_s();
    for (int i = 0; i < 20000; i++) { /* 10^7 of the 10^9 */
        crypto_stream_read(sampler.stream, words, sizeof words);
        for (int j = 0; j < 512; j++) {
            n_hits += words[j] >> 11 < 90071992547;
        }
    }
    double mask_s = (lease_clock_s() - started_s) * (1e9 / (20000.0 * 512.0));
    sampler_close(&sampler);
    double gaps_s = figure_median(times, 100);
    figure_show("sample of 1e9 at 1e-5", gaps_s * 1e3, "ms", "one draw a record",
                n_hits > 0 ? mask_s * 1e3 : NAN, mask_s / gaps_s);
    return 0;
}

int main(int argc, char **argv)
{
    const struct opt options[] = {
        {.name = "json", .type = OPT_FLAG, .value = &is_json, .help = "JSON lines"},
        {.name = "batch",
         .type = OPT_INTEGER,
         .value = &batch,
         .argument = "N",
         .help = "expected batch size (256)"},
        {.name = "pairs",
         .type = OPT_INTEGER,
         .value = &n_pairs,
         .argument = "N",
         .help = "steps of each sort (40)"},
    };
    const struct opt_program program = {.name = "bench_engine",
                                        .usage = "[--json]",
                                        .summary = "What privacy costs in time.",
                                        .options = options,
                                        .n_options = 3};
    struct error err = {0};
    int n_operands;
    log_init("bench_engine", false);
    if (opt_parse(&program, argc, argv, &n_operands, &err) != 0) {
        return log_error(&err);
    }
    n_pairs = n_pairs < 1 ? 1 : n_pairs > MOST_PAIRS ? MOST_PAIRS : n_pairs;
    batch = batch < 1 ? 1 : batch > N_RECORDS ? N_RECORDS : batch;
    figure_begin("engine", is_json);
    struct world_data data = world_blobs(N_RECORDS, 784, 10, 1.0, 1);
    kernels_cpu.set_threads(1);
    int rc = compare(&data, PRESET_LOGISTIC, "logistic", &err);
    if (rc == 0) {
        rc = compare(&data, PRESET_MLP, "mlp", &err);
    }
    if (rc == 0) {
        rc = compare(&data, PRESET_CNN, "cnn", &err);
    }
    if (rc == 0) {
        rc = time_sampler(&err);
    }
    figure_end();
    world_data_free(&data);
    return rc == 0 ? 0 : log_error(&err);
}
