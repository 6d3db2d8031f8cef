/* What privacy costs in time: private and plain steps of the same engine, model and
 * batch (one a transformer whose frozen base gets low-rank factors), taken in turns, in
 * a lane for each core; examples a second beside Opacus and PyTorch on as many threads,
 * where PPT_PYTHON names an interpreter that has them; the two ways to norms; and what
 * a sample costs out of 10^9 records. bench_engine [--json] [--batch N] [--pairs N]
 * [--cores N] [--only NAME] */
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
#include "tests/bench/engine/beside.h"
#include "tests/bench/figure.h"
#include "tests/unit/dp/world.h"

enum { N_RECORDS = 60000, MOST_PAIRS = 1000 };
enum { LENGTH = 64, N_TOKENS = 256 };

static bool is_json;
static int64_t batch = 256, n_pairs = 200, n_cores = BESIDE_THREADS;
static const char *only = "";

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

/* Texts of any length up to LENGTH, in the records' floats. */
static struct world_data texts(void)
{
    struct world_data data = world_blobs(N_RECORDS / 4, LENGTH, 10, 1.0, 2);
    for (int64_t i = 0; i < data.n; i++) {
        int64_t len = LENGTH / 2 + i % (LENGTH / 2);
        for (int64_t t = 0; t < LENGTH; t++) {
            data.x[i * LENGTH + t] =
                t < len ? (float)(1 + (i * 31 + t * t) % 255) : 0.0f;
        }
    }
    return data;
}

/* Seconds of a step, medians. */
struct pair {
    double private_s, plain_s;
};

/* A private trainer (0) and a plain one (1) over the same records. Their samples
 * differ: of two that are the same, the second finds its records in the caches. */
static int measure(const struct world_data *data, const struct spec_model *model,
                   struct pair *ret_pair, struct error *err)
{
    static double times[2][MOST_PAIRS];
    const bool is_text = model->base.file[0] != '\0';
    const int64_t image[2] = {28, 28}, text = LENGTH;
    struct manifest manifest =
        world_manifest(data->n, 0, is_text ? 1 : 2, is_text ? &text : image, 10);
    manifest.splits[0].n_tokens = is_text ? N_TOKENS : 0;
    struct rows rows = {.n_rows = data->n,
                        .n_features = data->n_features,
                        .n_classes = 10,
                        .state = (void *)(uintptr_t)data,
                        .read = read_rows};
    struct io io = {.train = &rows, .base_read = world_read_base};
    struct env envs[2];
    struct spec specs[2];
    struct plan plans[2];
    struct trainer trainers[2] = {{0}};
    int rc = 0;
    for (int i = 0; rc == 0 && i < 2; i++) {
        envs[i] = (struct env){.comm = &comm_alone, .io = &io, .kernels = &kernels_cpu};
        envs[i].sampling_key[0] = (unsigned char)i;
        specs[i] = world_spec(PRESET_MLP, i == 0);
        specs[i].model = *model;
        specs[i].resources.cores_per_rank = n_cores;
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
        *ret_pair = (struct pair){figure_median(times[0], (size_t)n_pairs),
                                  figure_median(times[1], (size_t)n_pairs)};
    }
    return rc;
}

static bool is_wanted(const char *name)
{
    return strncmp(name, only, strlen(only)) == 0;
}

static int compare(const struct world_data *data, const struct spec_model *model,
                   const char *name, bool has_peer, struct error *err)
{
    char label[64];
    struct pair pair;
    if (!is_wanted(name)) {
        return 0;
    }
    int rc = measure(data, model, &pair, err);
    if (rc == 0) {
        snprintf(label, sizeof label, "%s dp step, batch %lld, %lld cores", name,
                 (long long)batch, (long long)n_cores);
        figure_show(label, pair.private_s * 1e3, "ms", "plain step", pair.plain_s * 1e3,
                    pair.plain_s / pair.private_s);
        snprintf(label, sizeof label, "%s dp examples", name);
        figure_show(label, (double)batch / pair.private_s, "1/s", NULL, 0.0, 0.0);
    }
    if (rc == 0 && has_peer && n_cores == BESIDE_THREADS) {
        beside_show(name, batch, n_pairs, pair.private_s, pair.plain_s);
    }
    return rc;
}

/* One linear layer over sequences: N examples of t places, d inputs, p outputs. */
enum { N = 64, ROUNDS = 15 };
struct sequence_layer {
    int64_t t, d, p;
    float *a, *g, *each, *grad;
};

/* Norms and clipped sum as jobs/model/outer.h has them where gradients are kept. */
static double time_kept(const struct sequence_layer *l)
{
    double started_s = lease_clock_s(), square[N], none[N] = {0};
    float factor[N];
    int64_t len = l->d * l->p;
    kernels_cpu.outer_each(N, l->t, l->d, l->p, l->a, l->g, l->each, len);
    kernels_cpu.square_rows(N, len, l->each, square);
    kernels_cpu.clip_factors(N, 1.0, square, none, factor);
    kernels_cpu.weighted_sum(N, len, factor, l->each, l->grad);
    return lease_clock_s() - started_s;
}

/* The same by ghost norms; g is scaled, by factors that leave it what it is. */
static double time_ghost(const struct sequence_layer *l)
{
    double started_s = lease_clock_s(), square[N], error[N];
    float factor[N];
    kernels_cpu.ghost_square(N, l->t, l->d, l->p, l->a, l->g, square, error);
    kernels_cpu.clip_factors(N, 1e9, square, error, factor);
    kernels_cpu.scale_rows(N, l->t * l->p, factor, l->g);
    kernels_cpu.gemm(true, false, l->d, l->p, N * l->t, l->a, l->g, 0.0f, l->grad);
    return lease_clock_s() - started_s;
}

static int time_layer(struct sequence_layer layer, struct error *err)
{
    char label[64];
    double kept[ROUNDS], ghost[ROUNDS];
    int64_t n_a = N * layer.t * layer.d, n_g = N * layer.t * layer.p;
    layer.a = calloc((size_t)n_a, sizeof *layer.a);
    layer.g = calloc((size_t)n_g, sizeof *layer.g);
    layer.each = calloc((size_t)(N * layer.d * layer.p), sizeof *layer.each);
    layer.grad = calloc((size_t)(layer.d * layer.p), sizeof *layer.grad);
    bool is_there =
        layer.a != NULL && layer.g != NULL && layer.each != NULL && layer.grad != NULL;
    for (int64_t i = 0; is_there && i < n_a; i++) {
        layer.a[i] = (float)(i * 7919 % 31 - 15) * 0.01f;
    }
    for (int64_t i = 0; is_there && i < n_g; i++) {
        layer.g[i] = (float)(i * 7919 % 29 - 14) * 0.01f;
    }
    for (int round = 0; is_there && round < ROUNDS; round++) {
        kept[round] = time_kept(&layer);
        ghost[round] = time_ghost(&layer);
    }
    free(layer.a), free(layer.g), free(layer.each), free(layer.grad);
    if (!is_there) {
        return error_set(err, PPT_ENOMEM, "cannot allocate %d gradients", N);
    }
    double kept_s = figure_median(kept, ROUNDS), ghost_s = figure_median(ghost, ROUNDS);
    snprintf(label, sizeof label, "norms and sum %lld x %lld x %lld, ghost",
             (long long)layer.t, (long long)layer.d, (long long)layer.p);
    figure_show(label, ghost_s * 1e3, "ms", "kept", kept_s * 1e3, kept_s / ghost_s);
    return 0;
}

/* Sizes on both sides of the rule between the two ways, d p <= 2 t (d + p). */
static int time_norms(struct error *err)
{
    static const struct sequence_layer layers[] = {
        {.t = 16, .d = 128, .p = 256},  {.t = 28, .d = 156, .p = 512},
        {.t = 64, .d = 512, .p = 512},  {.t = 100, .d = 768, .p = 768},
        {.t = 100, .d = 512, .p = 512}, {.t = 64, .d = 256, .p = 256},
        {.t = 128, .d = 384, .p = 384}, {.t = 49, .d = 256, .p = 32},
    };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof layers / sizeof *layers; i++) {
        rc = is_wanted("norms") ? time_layer(layers[i], err) : 0;
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
    if (!is_wanted("sampler")) {
        return 0;
    }
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
         .help = "steps of each sort (200)"},
        {.name = "cores",
         .type = OPT_INTEGER,
         .value = &n_cores,
         .argument = "N",
         .help = "cores of a step (2, as the peers have)"},
        {.name = "only",
         .type = OPT_STRING,
         .value = &only,
         .argument = "NAME",
         .help = "the model whose name begins so, or \"sampler\""},
    };
    const struct opt_program program = {.name = "bench_engine",
                                        .usage = "[--json]",
                                        .summary = "What privacy costs in time.",
                                        .options = options,
                                        .n_options = 5};
    struct error err = {0};
    int n_operands;
    log_init("bench_engine", false);
    if (opt_parse(&program, argc, argv, &n_operands, &err) != 0) {
        return log_error(&err);
    }
    n_pairs = n_pairs < 1 ? 1 : n_pairs > MOST_PAIRS ? MOST_PAIRS : n_pairs;
    batch = batch < 1 ? 1 : batch > N_RECORDS ? N_RECORDS : batch;
    kernels_cpu.set_threads(1);
    log_info("OpenBLAS's kernels for %s%s", kernels_cpu_products(),
             getenv("OPENBLAS_CORETYPE") == NULL
                 ? ""
                 : ", because OPENBLAS_CORETYPE says so: not those of this processor");
    figure_begin("engine", is_json);
    struct world_data data = world_blobs(N_RECORDS, 784, 10, 1.0, 1);
    struct world_data words = texts();
    const struct spec_model logistic = {.preset = PRESET_LOGISTIC},
                            mlp = {.preset = PRESET_MLP, .hidden = 128},
                            cnn = {.preset = PRESET_CNN},
                            adapters = world_transformer();
    int rc = compare(&data, &logistic, "logistic", false, &err);
    if (rc == 0) {
        rc = compare(&data, &mlp, "mlp", true, &err);
    }
    if (rc == 0) {
        rc = compare(&data, &cnn, "cnn", true, &err);
    }
    if (rc == 0) {
        rc = compare(&words, &adapters, "transformer, lora", false, &err);
    }
    if (rc == 0) {
        rc = time_norms(&err);
    }
    if (rc == 0) {
        rc = time_sampler(&err);
    }
    figure_end();
    world_data_free(&data);
    world_data_free(&words);
    return rc == 0 ? 0 : log_error(&err);
}
