/* Layers and losses against independent frameworks' numbers: tests/vectors/layers.txt
 * and recurrent.txt, which tests/dev/make_layers.py and make_recurrent.py explain. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/model/net.h"
#include "kernels/kernels.h"

/* Ours is in float, the vectors' arithmetic in double. */
static const double tolerance = 2e-5;

enum { N = 4, N_PROBES = 6 };
static const struct kernels *const k = &kernels_cpu;

struct sample {
    const char *name, *file;
    struct shape in;
    struct spec_model model;
    enum spec_loss loss;
};

static float hashed(int64_t i, int64_t salt);

#define SMOOTH                                                                         \
    {                                                                                  \
        .n_layers = 11, .layers = {                                                    \
            {.kind = LAYER_LAYER_NORM},                                                \
            {.kind = LAYER_CONV2D, .out = 6, .kernel = 3, .padding = 1},               \
            {.kind = LAYER_TEMPERED_SIGMOID,                                           \
             .scale = 1.5,                                                             \
             .inverse_temperature = 3,                                                 \
             .offset = 0.5},                                                           \
            {.kind = LAYER_GELU},                                                      \
            {.kind = LAYER_LAYER_NORM},                                                \
            {.kind = LAYER_MAX_POOL, .kernel = 2},                                     \
            {.kind = LAYER_FLATTEN},                                                   \
            {.kind = LAYER_LINEAR, .out = 9},                                          \
            {.kind = LAYER_LAYER_NORM},                                                \
            {.kind = LAYER_GELU},                                                      \
            {.kind = LAYER_LINEAR}                                                     \
        }                                                                              \
    }

enum { TOKENS = 11, SEQUENCE = 7 };

static const struct sample samples[] = {
    {"recurrent",
     "recurrent",
     {1, 1, SEQUENCE},
     {.n_layers = 7,
      .layers = {{.kind = LAYER_EMBEDDING, .out = 8},
                 {.kind = LAYER_LSTM, .out = 6},
                 {.kind = LAYER_LINEAR, .out = 9},
                 {.kind = LAYER_TANH},
                 {.kind = LAYER_LSTM, .out = 15},
                 {.kind = LAYER_TOKEN_MEAN},
                 {.kind = LAYER_LINEAR}}},
     LOSS_CROSS_ENTROPY},
    {"last_state",
     "recurrent",
     {1, 1, SEQUENCE},
     {.n_layers = 3,
      .layers = {{.kind = LAYER_EMBEDDING, .out = 8},
                 {.kind = LAYER_LSTM, .out = 12, .states = STATES_LAST},
                 {.kind = LAYER_LINEAR}}},
     LOSS_CROSS_ENTROPY},
    {"scaled_adapters",
     "recurrent",
     {1, 1, SEQUENCE},
     {.n_layers = 6,
      .layers = {{.kind = LAYER_EMBEDDING, .out = 8},
                 {.kind = LAYER_LINEAR, .out = 10, .rank = 2, .alpha = 0.5},
                 {.kind = LAYER_LSTM, .out = 6},
                 {.kind = LAYER_LINEAR, .out = 9, .rank = 3, .alpha = 16},
                 {.kind = LAYER_TOKEN_MEAN},
                 {.kind = LAYER_LINEAR}},
      .base = {.file = "base.h5"}},
     LOSS_CROSS_ENTROPY},
    {"adapters",
     "layers",
     {1, 1, SEQUENCE},
     {.n_layers = 8,
      .layers = {{.kind = LAYER_EMBEDDING, .out = 8},
                 {.kind = LAYER_LAYER_NORM},
                 {.kind = LAYER_LINEAR, .out = 24, .rank = 3},
                 {.kind = LAYER_ATTENTION, .heads = 2},
                 {.kind = LAYER_TOKEN_MEAN},
                 {.kind = LAYER_LINEAR, .out = 10, .rank = 2},
                 {.kind = LAYER_GELU},
                 {.kind = LAYER_LINEAR}},
      .base = {.file = "base.h5"}},
     LOSS_CROSS_ENTROPY},
    {"sequence",
     "layers",
     {1, 1, SEQUENCE},
     {.n_layers = 17,
      .layers = {{.kind = LAYER_EMBEDDING, .out = 8},
                 {.kind = LAYER_POSITION},
                 {.kind = LAYER_POSITION, .position = POSITION_WAVES},
                 {.kind = LAYER_LAYER_NORM},
                 {.kind = LAYER_LINEAR, .out = 24},
                 {.kind = LAYER_ATTENTION, .heads = 2},
                 {.kind = LAYER_LINEAR, .out = 8},
                 {.kind = LAYER_RESIDUAL, .over = 4},
                 {.kind = LAYER_LAYER_NORM},
                 {.kind = LAYER_LINEAR, .out = 12},
                 {.kind = LAYER_GELU},
                 {.kind = LAYER_LINEAR, .out = 8},
                 {.kind = LAYER_RESIDUAL, .over = 4},
                 {.kind = LAYER_LINEAR, .out = 9},
                 {.kind = LAYER_ATTENTION, .heads = 3, .mask = MASK_CAUSAL},
                 {.kind = LAYER_TOKEN_MEAN},
                 {.kind = LAYER_LINEAR}}},
     LOSS_CROSS_ENTROPY},
    {"classic",
     "layers",
     {9, 8, 3},
     {.n_layers = 9,
      .layers = {{.kind = LAYER_CONV2D, .out = 6, .kernel = 3, .padding = 1},
                 {.kind = LAYER_GROUP_NORM, .groups = 3},
                 {.kind = LAYER_RELU},
                 {.kind = LAYER_MAX_POOL, .kernel = 2},
                 {.kind = LAYER_CONV2D, .out = 5, .kernel = 2},
                 {.kind = LAYER_TANH},
                 {.kind = LAYER_AVG_POOL, .kernel = 2, .stride = 1},
                 {.kind = LAYER_FLATTEN},
                 {.kind = LAYER_LINEAR}}},
     LOSS_CROSS_ENTROPY},
    {"shortcuts",
     "layers",
     {6, 5, 4},
     {.n_layers = 12,
      .layers = {{.kind = LAYER_TANH},
                 {.kind = LAYER_RESIDUAL, .over = 1},
                 {.kind = LAYER_CONV2D, .out = 4, .kernel = 3, .padding = 1},
                 {.kind = LAYER_RELU},
                 {.kind = LAYER_CONV2D, .out = 4, .kernel = 3, .padding = 1},
                 {.kind = LAYER_TANH},
                 {.kind = LAYER_CONV2D, .out = 4, .kernel = 1},
                 {.kind = LAYER_RESIDUAL, .over = 2},
                 {.kind = LAYER_GELU},
                 {.kind = LAYER_RESIDUAL, .over = 6},
                 {.kind = LAYER_FLATTEN},
                 {.kind = LAYER_LINEAR}}},
     LOSS_CROSS_ENTROPY},
    {"smooth", "layers", {6, 5, 4}, SMOOTH, LOSS_CROSS_ENTROPY},
    {"mse", "layers", {6, 5, 4}, SMOOTH, LOSS_MSE},
    {"hinge", "layers", {6, 5, 4}, SMOOTH, LOSS_HINGE},
};
enum { N_SAMPLES = sizeof samples / sizeof samples[0] };

/* What the file says of one net. */
struct vector {
    long long n_params;
    double loss[N], norm[N], probe[N_PROBES];
};

static float hashed(int64_t i, int64_t salt)
{
    uint32_t at = (uint32_t)(i + salt * 1000003) * 2654435761u + 12345u;
    at ^= at >> 15;
    at *= 2246822519u;
    at ^= at >> 13;
    return (float)(at >> 8) * 0x1p-24f - 0.5f;
}

static void read_line(FILE *file, const char *word, double *values, int n)
{
    char found[16];
    ck_assert_int_eq(fscanf(file, "%15s", found), 1);
    ck_assert_str_eq(found, word);
    for (int i = 0; i < n; i++) {
        ck_assert_int_eq(fscanf(file, "%lf", &values[i]), 1);
    }
}

static struct vector read_vector(const struct sample *sample)
{
    struct vector vector;
    char path[1024], line[256], found[64];
    snprintf(path, sizeof path, "%s/tests/vectors/%s.txt", getenv("PPT_SOURCE_DIR"),
             sample->file);
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "net %63s %lld", found, &vector.n_params) != 2 ||
            strcmp(found, sample->name) != 0) {
            continue;
        }
        read_line(file, "loss", vector.loss, N);
        read_line(file, "norm", vector.norm, N);
        read_line(file, "probe", vector.probe, N_PROBES);
        fclose(file);
        return vector;
    }
    ck_abort_msg("no vector of %s", sample->name);
}

static void build(const struct sample *sample, bool is_private, struct net *ret_net)
{
    struct error err = {0};
    struct spec_model model = sample->model;
    struct shape in = sample->in;
    struct manifest_split split = {
        .n_dims = 3, .dims = {in.c, in.h, in.w}, .n_classes = 4};
    if (model.layers[0].kind == LAYER_EMBEDDING) {
        split.n_dims = 1;
        split.n_tokens = TOKENS;
    }
    model.preset = PRESET_LAYERS;
    ck_assert_msg(net_build(&model, &split, is_private, ret_net, &err) == 0, "%s",
                  err.text);
    ret_net->objective = sample->loss;
    ck_assert_int_eq(net_alloc(ret_net, k->memory, N, &err), 0);
    float *frozen = malloc((size_t)(ret_net->n_frozen + 1) * sizeof *frozen);
    for (int64_t i = 0; i < ret_net->n_frozen; i++) {
        frozen[i] = hashed(i, 9);
    }
    net_set_frozen(ret_net, frozen);
    free(frozen);
}

/* Ids out of the same numbers; the last places of most records are padding. */
static void fill_ids(struct net *net, int first, int n)
{
    for (int at = 0; at < n * SEQUENCE; at++) {
        int64_t i = first * SEQUENCE + at, place = at % SEQUENCE;
        float id = floorf((2.0f * hashed(i, 2) + 1.0f) * 5.5f);
        bool is_last = i >= SEQUENCE && place >= 5;
        if (net->n_frozen > 0) {
            net->read[at] = i == 0 ? 3.0f : fmaxf(id, 1.0f);
        } else if (net->layers[1].spec.kind == LAYER_LSTM) {
            net->read[at] = i == 0 ? 3.0f : is_last ? 0.0f : fmaxf(id, 1.0f);
        } else {
            net->read[at] = i == 0 ? 3.0f : is_last ? 0.0f : id;
        }
    }
}

/* Records first .. first + n - 1, whose hash goes over (h, w, c), as they lie in files:
 * (c, h, w). */
static void pass(struct net *net, const float *params, int first, int n)
{
    int64_t c = net->in.c, places = net->in.h * net->in.w, len = net->n_features;
    for (int i = 0; i < n; i++) {
        for (int64_t j = 0; j < len; j++) {
            net->read[i * len + j % c * places + j / c] =
                2.0f * hashed((first + i) * len + j, 2);
        }
        net->label[i] = (first + i) % 4;
    }
    if (net->n_tokens > 0) {
        fill_ids(net, first, n);
    }
    net_forward(net, k, params, n);
    net_backward(net, k, params, n);
}

static double norm(const float *x, int64_t n)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) {
        sum += (double)x[i] * (double)x[i];
    }
    return sqrt(sum);
}

START_TEST(as_the_framework_has_it)
{
    const struct sample *sample = &samples[_i];
    struct vector vector = read_vector(sample);
    struct net net, private;
    build(sample, false, &net);
    build(sample, true, &private);
    ck_assert_int_eq(net.n_params, vector.n_params);
    float *params = malloc((size_t)net.n_params * sizeof *params);
    for (int64_t i = 0; i < net.n_params; i++) {
        params[i] = hashed(i, 1);
    }
    double size = 0.0;
    for (int i = 0; i < N; i++) {
        pass(&net, params, i, 1);
        net_plain_sum(&net, k, 1);
        ck_assert_double_eq_tol(net.loss[0], vector.loss[i], tolerance);
        ck_assert_double_eq_tol(norm(net.grad, net.n_params) / vector.norm[i], 1.0,
                                tolerance);
        size += vector.norm[i];
    }
    pass(&net, params, 0, N);
    net_plain_sum(&net, k, N);
    for (int j = 0; j < N_PROBES; j++) {
        double sum = 0.0;
        for (int64_t i = 0; i < net.n_params; i++) {
            sum += (double)net.grad[i] * (double)hashed(i, 3 + j);
        }
        ck_assert_double_eq_tol(sum, vector.probe[j], tolerance * size);
    }
    pass(&private, params, 0, N);
    net_clipped_sum(&private, k, 1e9, N);
    for (int i = 0; i < N; i++) { /* bounds from above, and close ones */
        double up = sqrt(private.square[i]) + private.slack[i];
        ck_assert_double_ge(up, vector.norm[i] * (1.0 - tolerance));
        ck_assert_double_le(up, vector.norm[i] * 1.001);
    }
    net_free(&net), net_free(&private);
    free(params);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("layers");
    TCase *tcase = tcase_create("vectors");
    k->set_threads(1);
    tcase_add_loop_test(tcase, as_the_framework_has_it, 0, N_SAMPLES);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
