/* One record more or less (Re:cord-play, arXiv 2602.17454): the same step is run with
 * and without a record, under the same keys, so that all others are sampled alike. The
 * sums that are sent must lie on the grid and differ by at most the clip norm, and
 * nothing else may differ: which collectives run, their sizes, the divisor. Each model
 * x ranks x record. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "jobs/privacy/meter.h"
#include "kernels/grid.h"
#include "tests/unit/dp/world.h"

enum { N = 40, MAX_PARAMS = 40000 };

struct total {
    pthread_mutex_t lock;
    double sum[MAX_PARAMS];
    size_t n;
};

static void add(void *state, int rank, const double *send, size_t n)
{
    struct total *total = state;
    (void)rank;
    pthread_mutex_lock(&total->lock);
    total->n = n;
    for (size_t i = 0; i < n; i++) {
        total->sum[i] += send[i];
    }
    pthread_mutex_unlock(&total->lock);
}

static const struct {
    enum spec_preset preset;
    int n_dims;
    int64_t dims[3];
} models[] = {
    {PRESET_LOGISTIC, 2, {6, 6}},
    {PRESET_MLP, 2, {6, 6}},
    {PRESET_CNN, 2, {28, 28}},
    {PRESET_LAYERS, 3, {8, 6, 6}}, /* ghost norms, group norm: check_net.c says why */
};
enum { N_MODELS = 4 };

static const struct spec_layer layers[] = {
    {.kind = LAYER_GROUP_NORM, .groups = 2},
    {.kind = LAYER_CONV2D, .out = 64, .kernel = 3, .stride = 3},
    {.kind = LAYER_RELU},
    {.kind = LAYER_FLATTEN},
    {.kind = LAYER_LINEAR},
};

/* What the record's features are: as the others, and as an attacker would have them. */
static const float attacks[] = {0.0f, 1e4f, 1e15f, 3e38f, -1e-30f, NAN, INFINITY};
enum { N_ATTACKS = 7 };

static struct spec spec;
static struct plan plan;
static struct manifest manifest;
static struct world_data data;
static char meter_path[64];

static void setup_model(int model)
{
    size_t n_features = 1;
    for (int i = 0; i < models[model].n_dims; i++) {
        n_features *= (size_t)models[model].dims[i];
    }
    data = world_blobs(N, n_features, 3, 0.5, 5);
    manifest = world_manifest(N, 0, models[model].n_dims, models[model].dims, 3);
    spec = world_spec(models[model].preset, true);
    spec.model.n_layers = 5;
    memcpy(spec.model.layers, layers, sizeof layers);
    spec.privacy.clip_norm = 0.7;
    spec.training.batch_size = 30;
    plan = world_plan(&spec, &manifest, 1.0, 1);
}

static void run(struct world *world, struct total *total, int64_t n_records, int key)
{
    struct error err = {0};
    for (int r = 0; r <= world->size; r++) {
        world->starts[r] = r == world->size ? n_records : r * 12;
    }
    memset(total->sum, 0, sizeof total->sum);
    world->on_sum = add;
    world->on_sum_state = total;
    world->sampling_key[9] = (unsigned char)key;
    world->keeps_calls = world->is_split = true;
    unlink(meter_path);
    ck_assert_int_eq(meter_create(meter_path, &err), 0);
    ck_assert_int_eq(meter_open(meter_path, 1, &plan.price, &world->meter, &err), 0);
    world_run(world);
    meter_close(world->meter);
    for (int r = 0; r < world->size; r++) {
        ck_assert_msg(world->rc[r] == 0, "%s", world->err[r].text);
    }
}

static void same_calls(const struct world *a, const struct world *b)
{
    for (int r = 0; r < a->size; r++) {
        ck_assert_uint_eq(a->n_calls[r], b->n_calls[r]);
        for (size_t i = 0; i < a->n_calls[r]; i++) {
            ck_assert_int_eq(a->calls[r][i].name, b->calls[r][i].name);
            ck_assert_uint_eq(a->calls[r][i].n, b->calls[r][i].n);
        }
    }
}

START_TEST(adds_at_most_the_clip_norm)
{
    static struct total with = {.lock = PTHREAD_MUTEX_INITIALIZER},
                        without = {.lock = PTHREAD_MUTEX_INITIALIZER};
    int model = _i / 3, size = _i % 3 + 1, n_present = 0;
    strcpy(meter_path, "/tmp/check_record.XXXXXX");
    int fd = mkstemp(meter_path);
    ck_assert_int_ge(fd, 0);
    close(fd);
    setup_model(model);
    for (int attack = 0; attack < 2 * N_ATTACKS; attack++) {
        float *record = data.x + (N - 1) * data.n_features;
        float value = attacks[attack / 2];
        struct world a = {.size = size,
                          .train = &data,
                          .plan = &plan,
                          .spec = &spec,
                          .manifest = &manifest};
        struct world b = a;
        for (size_t j = 0; value != 0.0f && j < data.n_features; j++) {
            record[j] = j % 3 == 1 ? 1.0f : value;
        }
        run(&a, &with, N, attack % 2);
        run(&b, &without, N - 1, attack % 2);
        same_calls(&a, &b);
        double square = 0.0, clip;
        struct grid grid;
        ck_assert(
            grid_plan(spec.privacy.clip_norm, 1.0, a.n_model, size, &grid, &clip));
        for (size_t i = 0; i < with.n; i++) {
            ck_assert_double_eq(fmod(with.sum[i], grid.step), 0.0);
            double d = with.sum[i] - without.sum[i];
            square += d * d;
        }
        ck_assert_double_le(sqrt(square), spec.privacy.clip_norm);
        /* 1e4: large, so clipped, and clipped no further than needed */
        n_present += value == 1e4f && sqrt(square) > 0.98 * spec.privacy.clip_norm;
        ck_assert(!isnan(value) || sqrt(square) < 1e-4);
        world_free(&a);
        world_free(&b);
    }
    /* sampled at 3/4: in the sample under one of the two keys. Group norm makes a
     * record's size vanish, tanh may saturate: there a gradient need not be large */
    ck_assert(n_present > 0 || model >= 2);
    world_data_free(&data);
    unlink(meter_path);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dp");
    TCase *tcase = tcase_create("record");
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, adds_at_most_the_clip_norm, 0, 3 * N_MODELS);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
