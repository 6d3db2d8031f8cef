/* Memory: what a rank takes is what the formula says, a private job's is little more
 * than a plain one's, and the batch does not matter: it is worked off in micro-batches,
 * with the same result. Each case is a process of its own, and the kernel says how much
 * it had at most. Records are made when they are read, so none are held. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "jobs/dp/footprint.h"
#include "jobs/dp/trainer.h"
#include "tests/unit/dp/world.h"

enum { N_RECORDS = 20000, N_FEATURES = 784, N_PLACES = 64, N_TOKENS = 256 };

/* Memory of a sanitized program is mostly the sanitizer's. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static const bool is_measured = false;
#else
static const bool is_measured = true;
#endif

struct wish {
    enum spec_preset preset; /* PRESET_LAYERS: the transformer, with adapters */
    int64_t hidden, batch;
    bool is_private;
    size_t near_bytes; /* 0: as the kernels have it */
};

struct outcome {
    double before, most, formula; /* bytes */
    double early;                 /* of the formula: used if there was time to draw */
    struct footprint_engine foretold; /* the formula's, before anything was opened */
    int64_t micro_batch;
    double sum[8]; /* some parameters after the steps */
};

static int make_rows(struct rows *rows, const int64_t *indices, size_t n, float *x,
                     int32_t *y, struct error *err)
{
    bool is_text = rows->n_features == N_PLACES;
    (void)err;
    for (size_t i = 0; i < n; i++) {
        uint64_t state = (uint64_t)indices[i] * 0x9e3779b97f4a7c15u + 1;
        for (size_t j = 0; j < rows->n_features; j++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            x[i * rows->n_features + j] =
                is_text ? (float)(state >> 56) : (float)(state >> 40) * 0x1p-24f;
        }
        y[i] = (int32_t)(indices[i] % 10);
    }
    return 0;
}

/* VmHWM or VmRSS of this process, in bytes. */
static double memory_of(const char *key)
{
    char line[256];
    double kib = NAN;
    FILE *status = fopen("/proc/self/status", "re");
    while (status != NULL && fgets(line, sizeof line, status) != NULL) {
        if (strncmp(line, key, strlen(key)) == 0) {
            kib = strtod(line + strlen(key) + 1, NULL);
        }
    }
    if (status != NULL) {
        fclose(status);
    }
    return kib * 1024.0;
}

static void forget_most(void)
{
    FILE *file = fopen("/proc/self/clear_refs", "we");
    if (file != NULL) {
        fputs("5", file);
        fclose(file);
    }
}

/* Two steps of a trainer like that of one rank with two cores. */
static int work(const struct wish *wish, struct outcome *ret_outcome)
{
    bool is_text = wish->preset == PRESET_LAYERS;
    int64_t image[2] = {28, 28}, text = N_PLACES;
    struct kernels kernels = kernels_cpu;
    struct memory memory = memory_host;
    struct manifest manifest =
        world_manifest(N_RECORDS, 0, is_text ? 1 : 2, is_text ? &text : image, 10);
    struct rows rows = {.n_rows = N_RECORDS,
                        .n_features = is_text ? N_PLACES : N_FEATURES,
                        .n_classes = 10,
                        .read = make_rows};
    struct io io = {.train = &rows, .base_read = world_read_base};
    struct env env = {.comm = &comm_alone, .io = &io, .kernels = &kernels};
    struct spec spec = world_spec(wish->preset, wish->is_private);
    struct trainer trainer = {0};
    struct error err = {0};
    manifest.splits[0].n_tokens = is_text ? N_TOKENS : 0;
    if (is_text) {
        spec.model = world_transformer();
    }
    spec.model.hidden = wish->hidden;
    spec.resources.cores_per_rank = 2;
    spec.training.batch_size = wish->batch;
    spec.training.learning_rate = 0.01;
    memory.near_bytes = wish->near_bytes > 0 ? wish->near_bytes : memory.near_bytes;
    kernels.memory = &memory;
    struct plan plan = world_plan(&spec, &manifest, 1e-6, 2);
    static float a[256 * 256], c[256 * 256]; /* the product's own buffers first */
    kernels_cpu.gemm(false, false, 256, 256, 256, a, a, 0.0f, c);
    forget_most();
    ret_outcome->before = memory_of("VmRSS:");
    int rc = trainer_open(&trainer, &plan, &spec, &manifest, &env, NULL, &err);
    for (int i = 0; rc == 0 && i < 2; i++) {
        rc = trainer_gradient(&trainer, &err);
        rc = rc == 0 ? trainer_release(&trainer, &err) : rc;
    }
    if (rc == 0) {
        ret_outcome->most = memory_of("VmHWM:");
        ret_outcome->formula = (double)trainer_memory_bytes(&trainer);
        ret_outcome->early = (double)early_memory_bytes(&trainer.early);
        ret_outcome->micro_batch = trainer.net.max_n;
        spec.training.steps = 2;
        spec.privacy.noise_multiplier = spec.privacy.is_private ? 1.0 : 0.0;
        rc = footprint_trainer(&spec, &manifest, 2, &ret_outcome->foretold, &err);
        for (int64_t i = 0; i < trainer.net.n_params; i++) {
            ret_outcome->sum[i % 8] += fabs((double)trainer.params[i]);
        }
    } else {
        fprintf(stderr, "%s\n", err.text);
    }
    trainer_close(&trainer);
    return rc;
}

static struct outcome outcome_of(struct wish wish)
{
    struct outcome outcome = {0};
    int ends[2], status;
    ck_assert_int_eq(pipe(ends), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        bool is_told = work(&wish, &outcome) == 0 &&
                       write(ends[1], &outcome, sizeof outcome) == sizeof outcome;
        _exit(is_told ? 0 : 1);
    }
    close(ends[1]);
    ck_assert_int_eq(read(ends[0], &outcome, sizeof outcome), sizeof outcome);
    close(ends[0]);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    return outcome;
}

static const struct {
    const char *name;
    enum spec_preset preset;
    int64_t hidden;
} models[] = {
    {"logistic", PRESET_LOGISTIC, 0},
    {"mlp", PRESET_MLP, 128},
    {"mlp of 3.3 million", PRESET_MLP, 4096},
    {"cnn", PRESET_CNN, 0},
    {"transformer with adapters", PRESET_LAYERS, 0},
};
enum { N_MODELS = 5 };

static const double mib = 1024.0 * 1024.0;
/* What libraries and a thread take once, whatever the model; the products' library
 * keeps a buffer for each lane, of which a larger product touches more. */
static const double spare = 6.0 * 1024.0 * 1024.0;

/* The formula misses stacks, the table of pages and what malloc rounds up. */
START_TEST(private_is_little_more_than_plain)
{
    struct wish wish = {
        .preset = models[_i].preset, .hidden = models[_i].hidden, .batch = 256};
    struct outcome plain = outcome_of(wish);
    wish.is_private = true;
    struct outcome private = outcome_of(wish);
    ck_assert_int_eq(private.foretold.bytes, (int64_t) private.formula);
    ck_assert_int_eq(plain.foretold.bytes, (int64_t)plain.formula);
    ck_assert_int_eq(private.foretold.micro_batch, private.micro_batch);
    double rank = private.most - private.before, of_plain = plain.most - plain.before;
    printf("%s: private %.1f MiB (formula %.1f, whole process %.1f), plain %.1f (%.1f, "
           "%.1f), %.2f times\n",
           models[_i].name, rank / mib, private.formula / mib, private.most / mib,
           of_plain / mib, plain.formula / mib, plain.most / mib,
           private.most / plain.most);
    fflush(stdout);
    if (is_measured) {
        ck_assert_double_le(private.most, 1.2 * plain.most);
        ck_assert_double_le(rank, 1.02 * private.formula + spare);
        ck_assert_double_ge(rank, 0.6 * private.formula - spare);
        ck_assert_double_le(of_plain, 1.02 * plain.formula + spare);
    }
}
END_TEST

/* From 64 to 20000 records a step. In the steps of few records lanes may find no time
 * to draw noise early, and what would hold it stays untouched. */
START_TEST(batches_cost_no_memory)
{
    struct wish wish = {.preset = models[_i].preset,
                        .hidden = models[_i].hidden,
                        .batch = 64,
                        .is_private = true};
    struct outcome small = outcome_of(wish);
    wish.batch = !is_measured ? 1000 : _i == 2 || _i == 4 ? 4000 : N_RECORDS;
    struct outcome large = outcome_of(wish);
    ck_assert_double_eq(small.formula, large.formula);
    if (is_measured) {
        ck_assert_double_le(large.most, small.most + small.early + 4.0 * mib);
    }
}
END_TEST

/* One batch, cut into pieces of other sizes: the same model, but for rounding. */
START_TEST(pieces_give_the_same_model)
{
    struct wish wish = {.preset = models[_i].preset,
                        .hidden = models[_i].hidden,
                        .batch = 1000,
                        .is_private = true,
                        .near_bytes = 1 << 16};
    struct outcome small = outcome_of(wish);
    wish.near_bytes = (size_t)1 << 27;
    struct outcome large = outcome_of(wish);
    ck_assert_int_ge(large.micro_batch, 4 * small.micro_batch);
    ck_assert_double_gt(large.formula, small.formula);
    for (int i = 0; i < 8; i++) {
        ck_assert_double_gt(small.sum[i], 0.0);
        ck_assert_double_eq_tol(small.sum[i], large.sum[i], 1e-6 * large.sum[i]);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dp");
    TCase *tcase = tcase_create("memory");
    tcase_set_timeout(tcase, 100);
    tcase_add_loop_test(tcase, private_is_little_more_than_plain, 0, N_MODELS);
    tcase_add_loop_test(tcase, batches_cost_no_memory, 0, N_MODELS);
    tcase_add_loop_test(tcase, pieces_give_the_same_model, 0, N_MODELS);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
