/* Every kind of layer: gradients against finite differences, norms and clipped sums
 * against one example at a time, and examples that are not numbers. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/model/net.h"
#include "kernels/kernels.h"

enum { N = 5, PROBES = 12 };
static const struct kernels *const k = &kernels_cpu;

struct sample {
    const char *name;
    enum spec_preset preset;
    struct manifest_split split;
    int n_layers;
    struct spec_layer layers[15];
};

/* The middle ones hold each layer that the presets do not: a convolution whose norms
 * are ghosts, one whose gradients are kept, group norm, pools of both kinds and
 * strides, activations in a row (the second may not write over the first),
 * channels-first input.
 */
static const struct sample samples[] = {
    {"logistic", PRESET_LOGISTIC, {.n_dims = 1, .dims = {9}, .n_classes = 4}, 0, {{0}}},
    {"mlp", PRESET_MLP, {.n_dims = 2, .dims = {4, 4}, .n_classes = 3}, 0, {{0}}},
    {"cnn", PRESET_CNN, {.n_dims = 2, .dims = {28, 28}, .n_classes = 10}, 0, {{0}}},
    {"ghost",
     PRESET_LAYERS,
     {.n_dims = 3, .dims = {8, 6, 6}, .n_classes = 3},
     8,
     {{.kind = LAYER_GROUP_NORM, .groups = 2},
      {.kind = LAYER_CONV2D, .out = 64, .kernel = 3, .stride = 3},
      {.kind = LAYER_TANH},
      {.kind = LAYER_CONV2D, .out = 40, .kernel = 2, .padding = 1},
      {.kind = LAYER_TANH},
      {.kind = LAYER_AVG_POOL, .kernel = 2, .stride = 1},
      {.kind = LAYER_FLATTEN},
      {.kind = LAYER_LINEAR}}},
    {"kept",
     PRESET_LAYERS,
     {.n_dims = 3, .dims = {3, 9, 8}, .n_classes = 4},
     12,
     {{.kind = LAYER_TANH},
      {.kind = LAYER_CONV2D, .out = 6, .kernel = 3, .padding = 1},
      {.kind = LAYER_GROUP_NORM, .groups = 3},
      {.kind = LAYER_RELU},
      {.kind = LAYER_TANH},
      {.kind = LAYER_MAX_POOL, .kernel = 2},
      {.kind = LAYER_CONV2D, .out = 5, .kernel = 2},
      {.kind = LAYER_AVG_POOL, .kernel = 2, .stride = 1},
      {.kind = LAYER_FLATTEN},
      {.kind = LAYER_LINEAR, .out = 7},
      {.kind = LAYER_TANH},
      {.kind = LAYER_LINEAR}}},
    {"smooth",
     PRESET_LAYERS,
     {.n_dims = 3, .dims = {4, 6, 5}, .n_classes = 3},
     11,
     {{.kind = LAYER_LAYER_NORM},
      {.kind = LAYER_CONV2D, .out = 6, .kernel = 3, .padding = 1},
      {.kind = LAYER_TEMPERED_SIGMOID,
       .scale = 1.5,
       .inverse_temperature = 3,
       .offset = 0.5},
      {.kind = LAYER_GELU},
      {.kind = LAYER_LAYER_NORM},
      {.kind = LAYER_MAX_POOL, .kernel = 2},
      {.kind = LAYER_FLATTEN},
      {.kind = LAYER_LINEAR, .out = 9},
      {.kind = LAYER_LAYER_NORM},
      {.kind = LAYER_GELU},
      {.kind = LAYER_LINEAR}}},
    {"shortcuts",
     PRESET_LAYERS,
     {.n_dims = 3, .dims = {4, 6, 5}, .n_classes = 3},
     12,
     {{.kind = LAYER_TANH},
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
    /* Norms of weights and of recurrent weights: both kept, one of them, both ghosts;
     * padding at the end of most records. */
    {"recurrent",
     PRESET_LAYERS,
     {.n_dims = 1, .dims = {6}, .n_classes = 3, .n_tokens = 7},
     5,
     {{.kind = LAYER_EMBEDDING, .out = 8},
      {.kind = LAYER_LSTM, .out = 8},
      {.kind = LAYER_LSTM, .out = 20},
      {.kind = LAYER_LSTM, .out = 24, .states = STATES_LAST},
      {.kind = LAYER_LINEAR}}},
    /* factors of which some count for more or less, around a frozen lstm */
    {"recurrent adapters",
     PRESET_LAYERS,
     {.n_dims = 1, .dims = {6}, .n_classes = 3, .n_tokens = 7},
     7,
     {{.kind = LAYER_EMBEDDING, .out = 8},
      {.kind = LAYER_LINEAR, .out = 12, .rank = 2, .alpha = 0.5},
      {.kind = LAYER_LSTM, .out = 10},
      {.kind = LAYER_LINEAR, .out = 14, .rank = 4, .alpha = 8},
      {.kind = LAYER_TOKEN_MEAN},
      {.kind = LAYER_TANH},
      {.kind = LAYER_LINEAR}}},
    /* Low-rank factors at one place (ghost norms) and at several (one of them kept),
     * between frozen layers of every kind that has parameters. */
    {"adapters",
     PRESET_LAYERS,
     {.n_dims = 1, .dims = {6}, .n_classes = 3, .n_tokens = 7},
     12,
     {{.kind = LAYER_EMBEDDING, .out = 8},
      {.kind = LAYER_POSITION},
      {.kind = LAYER_LAYER_NORM},
      {.kind = LAYER_LINEAR, .out = 24, .rank = 2},
      {.kind = LAYER_ATTENTION, .heads = 2},
      {.kind = LAYER_LINEAR, .out = 40},
      {.kind = LAYER_LINEAR, .out = 40, .rank = 30},
      {.kind = LAYER_TOKEN_MEAN},
      {.kind = LAYER_LAYER_NORM},
      {.kind = LAYER_LINEAR, .out = 20, .rank = 3},
      {.kind = LAYER_TANH},
      {.kind = LAYER_LINEAR}}},
    /* tokens that come again and padding; linear layers at places of both ways */
    {"sequence",
     PRESET_LAYERS,
     {.n_dims = 1, .dims = {6}, .n_classes = 3, .n_tokens = 7},
     15,
     {{.kind = LAYER_EMBEDDING, .out = 8},
      {.kind = LAYER_POSITION},
      {.kind = LAYER_LAYER_NORM},
      {.kind = LAYER_LINEAR, .out = 24},
      {.kind = LAYER_ATTENTION, .heads = 2},
      {.kind = LAYER_LINEAR, .out = 8},
      {.kind = LAYER_RESIDUAL, .over = 4},
      {.kind = LAYER_POSITION, .position = POSITION_WAVES},
      {.kind = LAYER_LINEAR, .out = 40},
      {.kind = LAYER_TANH},
      {.kind = LAYER_LINEAR, .out = 42},
      {.kind = LAYER_ATTENTION, .heads = 7, .mask = MASK_CAUSAL},
      {.kind = LAYER_GELU},
      {.kind = LAYER_TOKEN_MEAN},
      {.kind = LAYER_LINEAR}}},
};
enum { SEQUENCE = sizeof samples / sizeof samples[0] - 1 }; /* the last one */
enum { ADAPTERS = SEQUENCE - 1, RECURRENT = ADAPTERS - 2 };
enum { N_SAMPLES = sizeof samples / sizeof samples[0] };

static uint64_t seed;

static float uniform(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (float)((double)(seed >> 11) * 0x1p-52 - 1.0);
}

struct bench {
    struct net net;
    float *params, *x;
    int32_t y[N];
};

static struct spec_model model_of(const struct sample *sample)
{
    struct spec_model model = {.preset = sample->preset, .hidden = 6};
    model.n_layers = sample->n_layers;
    memcpy(model.layers, sample->layers, sizeof sample->layers);
    for (int l = 0; l < model.n_layers; l++) {
        if (model.layers[l].rank > 0) {
            strcpy(model.base.file, "base.h5");
        }
    }
    return model;
}

static const struct spec_clipping clippings[] = {
    {.mode = CLIP_FLAT},
    {.mode = CLIP_PER_LAYER},
    {.mode = CLIP_AUTOMATIC, .gamma = 0.01}};
enum { N_CLIPPINGS = sizeof clippings / sizeof clippings[0] };

static struct bench open_bench_clipping(int i, bool is_private,
                                        struct spec_clipping clipping)
{
    struct bench b;
    struct error err = {0};
    struct spec_model model = model_of(&samples[i]);
    seed = 88172645463325252u + (uint64_t)i;
    ck_assert_int_eq(net_build(&model, &samples[i].split, is_private, &b.net, &err), 0);
    b.net.clipping = clipping;
    ck_assert_int_eq(net_alloc(&b.net, k->memory, N, &err), 0);
    b.params = malloc((size_t)b.net.n_params * sizeof *b.params);
    b.x = malloc((size_t)(N * b.net.n_features) * sizeof *b.x);
    net_init(&b.net, 3, b.params);
    for (int64_t j = 0; j < b.net.n_params; j++) {
        b.params[j] += 0.05f * uniform(); /* biases too */
    }
    for (int64_t j = 0; j < N * b.net.n_features; j++) {
        b.x[j] = uniform();
    }
    float *frozen = malloc((size_t)(b.net.n_frozen + 1) * sizeof *frozen);
    for (int64_t j = 0; j < b.net.n_frozen; j++) {
        frozen[j] = 0.7f * uniform();
    }
    net_set_frozen(&b.net, frozen);
    free(frozen);
    for (int j = 0; j < N; j++) {
        b.y[j] = (int32_t)(j % b.net.n_classes);
    }
    for (int64_t j = 0; b.net.n_tokens > 0 && j < N * b.net.n_features; j++) {
        b.x[j] = j % 6 < 6 - j / 6 % 3 ? floorf(3.5f * (b.x[j] + 1.0f)) : 0.0f;
    }
    return b;
}

static struct bench open_bench(int i, bool is_private)
{
    return open_bench_clipping(i, is_private, clippings[CLIP_FLAT]);
}

static void close_bench(struct bench *b)
{
    net_free(&b->net);
    free(b->params);
    free(b->x);
}

/* Forward and backward of examples first .. first + n - 1. */
static void pass(struct bench *b, int first, int n)
{
    int64_t features = b->net.n_features;
    memcpy(b->net.read, b->x + first * features, (size_t)(n * features) * sizeof *b->x);
    memcpy(b->net.label, b->y + first, (size_t)n * sizeof *b->y);
    net_forward(&b->net, k, b->params, n);
    net_backward(&b->net, k, b->params, n);
}

static double loss(struct bench *b)
{
    double sum = 0.0;
    pass(b, 0, N);
    for (int i = 0; i < N; i++) {
        sum += b->net.loss[i];
    }
    return sum;
}

static float *grad_of(struct bench *b, int first, int n)
{
    size_t bytes = (size_t)b->net.n_params * sizeof(float);
    float *grad = malloc(bytes);
    pass(b, first, n);
    net_plain_sum(&b->net, k, n);
    memcpy(grad, b->net.grad, bytes);
    return grad;
}

static double norm(const float *x, int64_t n)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) {
        sum += (double)x[i] * (double)x[i];
    }
    return sqrt(sum);
}

/* d loss / d v by central differences, v of norm 1 in the layer's block. */
static double slope(struct bench *b, const struct layer *layer, const double *v)
{
    const double step = 2e-4; /* small: max_pool has kinks */
    size_t bytes = (size_t)layer->n_params * sizeof(float);
    float *block = b->params + layer->offset, *saved = malloc(bytes);
    memcpy(saved, block, bytes);
    double at[2];
    for (int side = 0; side < 2; side++) {
        for (int64_t j = 0; j < layer->n_params; j++) {
            block[j] = (float)((double)saved[j] + (side == 0 ? -step : step) * v[j]);
        }
        at[side] = loss(b);
    }
    memcpy(block, saved, bytes);
    free(saved);
    return (at[1] - at[0]) / (2.0 * step);
}

/* Along the gradient itself, along random directions, and along single parameters. */
static void probe(struct bench *b, const struct layer *layer, const float *grad,
                  int way)
{
    int64_t n = layer->n_params;
    const float *g = grad + layer->offset;
    double *v = calloc((size_t)n, sizeof *v), size = 0.0, expected = 0.0;
    for (int64_t j = 0; j < n; j++) {
        v[j] = way == 0 ? (double)g[j] : way < PROBES / 2 ? (double)uniform() : 0.0;
    }
    if (way >= PROBES / 2) { /* the last one is a bias */
        v[way == PROBES - 1 ? n - 1 : (int64_t)(seed % (uint64_t)n)] = 1.0;
        uniform();
    }
    for (int64_t j = 0; j < n; j++) {
        size += v[j] * v[j];
    }
    for (int64_t j = 0; j < n; j++) {
        v[j] /= sqrt(size);
        expected += v[j] * (double)g[j];
    }
    double measured = slope(b, layer, v);
    ck_assert_msg(fabs(measured - expected) <= 2e-3 * norm(g, n) + 6e-3,
                  "%s, layer %d (%s), way %d: measured %g, computed %g of norm %g",
                  "finite differences", layer->number, layer->ops->name, way, measured,
                  expected, norm(g, n));
    free(v);
}

START_TEST(gradients)
{
    struct bench b = open_bench(_i, false);
    float *grad = grad_of(&b, 0, N);
    for (int i = 0; i < b.net.n_layers; i++) {
        const struct layer *layer = &b.net.layers[i];
        for (int way = 0; layer->n_params > 0 && way < PROBES; way++) {
            probe(&b, layer, grad, way);
        }
    }
    free(grad);
    close_bench(&b);
}
END_TEST

/* sum += the example's gradient as the mode shortens it, by net.h's formulas. */
static void add_clipped(const struct net *net, double clip, const float *grad,
                        double *sum)
{
    double whole = norm(grad, net->n_params), n_layers = 0.0;
    for (int l = 0; l < net->n_layers; l++) {
        n_layers += net->layers[l].n_params > 0;
    }
    for (int l = 0; l < net->n_layers; l++) {
        const struct layer *layer = &net->layers[l];
        double part = norm(grad + layer->offset, layer->n_params);
        double factor = fmin(1.0, clip / whole);
        if (net->clipping.mode == CLIP_PER_LAYER) {
            factor = part > 0.0 ? fmin(1.0, clip / sqrt(n_layers) / part) : 1.0;
        } else if (net->clipping.mode == CLIP_AUTOMATIC) {
            factor = clip / (whole + net->clipping.gamma);
        }
        for (int64_t j = 0; j < layer->n_params; j++) {
            sum[layer->offset + j] += factor * (double)grad[layer->offset + j];
        }
    }
}

/* The clip norm is in the middle of the norms, so some are clipped and some are not. */
START_TEST(norms_and_clipped_sum)
{
    struct bench b =
        open_bench_clipping(_i / N_CLIPPINGS, true, clippings[_i % N_CLIPPINGS]);
    int64_t n_params = b.net.n_params;
    float *each[N];
    double *sum = calloc((size_t)n_params, sizeof *sum), norms[N], clip = 0.0;
    for (int i = 0; i < N; i++) {
        each[i] = grad_of(&b, i, 1);
        norms[i] = norm(each[i], n_params);
        clip += norms[i] / N;
    }
    for (int i = 0; i < N; i++) {
        add_clipped(&b.net, clip, each[i], sum);
    }
    pass(&b, 0, N);
    net_clipped_sum(&b.net, k, clip, N);
    for (int i = 0; i < N && b.net.clipping.mode != CLIP_PER_LAYER; i++) {
        double up = sqrt(b.net.square[i]) + b.net.slack[i];
        ck_assert_double_ge(up, norms[i] * (1.0 - 1e-6));
        ck_assert_double_le(up, norms[i] * (1.0 + 1e-3));
    }
    double off = 0.0;
    for (int64_t j = 0; j < n_params; j++) {
        double d = (double)b.net.grad[j] - sum[j];
        off += d * d;
    }
    ck_assert_double_lt(sqrt(off), 4e-3 * clip); /* the margin is 1e-3 an example */
    for (int i = 0; i < N; i++) {
        free(each[i]);
    }
    free(sum);
    close_bench(&b);
}
END_TEST

/* Whatever stands in such an example, the sum is that of the others, to the bit the
 * same for each kind of rubbish. */
START_TEST(rubbish_adds_nothing)
{
    const float rubbish[] = {NAN, INFINITY, -INFINITY, 3e38f, -1e30f};
    struct bench b =
        open_bench_clipping(_i / N_CLIPPINGS, true, clippings[_i % N_CLIPPINGS]);
    size_t bytes = (size_t)b.net.n_params * sizeof(float);
    float *first = malloc(bytes);
    double *others = calloc((size_t)b.net.n_params, sizeof *others);
    for (int i = 0; i < N; i++) {
        float *grad = grad_of(&b, i, 1);
        if (i != 2) {
            add_clipped(&b.net, 0.5, grad, others);
        }
        free(grad);
    }
    /* a tanh in front makes numbers of infinities */
    int n_kinds = samples[_i / N_CLIPPINGS].layers[0].kind == LAYER_TANH ? 1 : 3;
    for (int kind = 0; kind < n_kinds; kind++) {
        for (int64_t j = 0; j < b.net.n_features; j++) {
            b.x[2 * b.net.n_features + j] =
                kind == 0 || j % 3 == 0 ? rubbish[kind] : b.x[j];
        }
        pass(&b, 0, N);
        net_clipped_sum(&b.net, k, 0.5, N);
        for (int f = 0; f < net_n_factors(&b.net); f++) {
            ck_assert_float_eq(b.net.factor[f * N + 2], 0.0f);
        }
        if (kind == 0) {
            memcpy(first, b.net.grad, bytes);
        }
        ck_assert_mem_eq(first, b.net.grad, bytes);
    }
    for (int64_t j = 0; j < b.net.n_params; j++) {
        ck_assert_double_eq_tol((double)first[j], others[j], 2e-3);
    }
    /* huge but finite: may be squashed to something usable, may not pass the bound */
    for (int kind = 3; kind < 5; kind++) {
        for (int64_t j = 0; j < b.net.n_features; j++) {
            b.x[2 * b.net.n_features + j] = rubbish[kind];
        }
        pass(&b, 0, N);
        net_clipped_sum(&b.net, k, 0.5, N);
        double off = 0.0;
        for (int64_t j = 0; j < b.net.n_params; j++) {
            double d = (double)b.net.grad[j] - (double)first[j];
            off += d * d;
        }
        ck_assert_double_le(sqrt(off), 0.5);
    }
    free(first), free(others);
    close_bench(&b);
}
END_TEST

/* What is no id is padding, and padding is as if the record were shorter. */
/* A token whose vector is no number, in one record alone. */
START_TEST(rubbish_on_the_way_adds_nothing)
{
    const float rubbish[] = {NAN, INFINITY, -INFINITY};
    struct bench b = open_bench_clipping(RECURRENT, true, clippings[_i]);
    float *row = b.params + 6 * b.net.layers[0].out.c, *first = NULL;
    size_t bytes = (size_t)b.net.n_params * sizeof(float);
    for (int64_t j = 0; j < N * b.net.n_features; j++) {
        b.x[j] = b.x[j] == 6.0f ? 5.0f : b.x[j];
    }
    b.x[2 * b.net.n_features + 1] = 6.0f;
    for (int kind = 0; kind < 3; kind++) {
        row[3] = rubbish[kind];
        pass(&b, 0, N);
        net_clipped_sum(&b.net, k, 0.5, N);
        for (int f = 0; f < net_n_factors(&b.net); f++) {
            ck_assert_float_eq(b.net.factor[f * N + 2], 0.0f);
            ck_assert_float_gt(b.net.factor[f * N + 1], 0.0f);
        }
        if (kind == 0) {
            first = malloc(bytes);
            memcpy(first, b.net.grad, bytes);
            ck_assert_double_gt(norm(first, b.net.n_params), 0.1);
        }
        ck_assert_mem_eq(first, b.net.grad, bytes);
    }
    free(first);
    close_bench(&b);
}
END_TEST

/* A sequence of `places` by the same parameters; the gradient's norm, and logits. */
static double of_record(const struct bench *b, int64_t places, const float *ids,
                        float logits[3])
{
    struct bench one = {.params = b->params};
    struct spec_model model = model_of(&samples[RECURRENT]);
    struct manifest_split split = samples[RECURRENT].split;
    split.dims[0] = places;
    ck_assert_int_eq(net_build(&model, &split, true, &one.net, NULL), 0);
    ck_assert_int_eq(net_alloc(&one.net, k->memory, 1, NULL), 0);
    memcpy(one.net.read, ids, (size_t)places * sizeof *ids);
    one.net.label[0] = 1;
    memcpy(logits, net_forward(&one.net, k, one.params, 1), 3 * sizeof *logits);
    net_backward(&one.net, k, one.params, 1);
    net_plain_sum(&one.net, k, 1);
    double size = norm(one.net.grad, one.net.n_params);
    net_free(&one.net);
    return size;
}

START_TEST(a_state_is_held_over_padding)
{
    const float records[][6] = {
        {3, 5, 1, 0, 0, 0}, {0, 3, 0, 5, 0, 1}, {0, 0, 0, 3, 5, 1}, {3, 5, 1, 1, 0, 0}};
    struct bench b = open_bench(RECURRENT, true);
    float expected[3], logits[3];
    double size = of_record(&b, 3, records[0], expected);
    ck_assert_double_gt(size, 0.1);
    for (int i = 0; i < 4; i++) {
        double found = of_record(&b, 6, records[i], logits);
        bool is_same = fabs(found / size - 1.0) < 1e-5;
        for (int j = 0; j < 3; j++) {
            is_same = is_same && fabsf(logits[j] - expected[j]) < 1e-5f;
        }
        ck_assert_int_eq(is_same, i < 3); /* the last one holds a token more */
    }
    close_bench(&b);
}
END_TEST

START_TEST(padding_is_not_there)
{
    const float rubbish[] = {NAN, INFINITY, -1.0f, 7.0f, 0.0f};
    struct bench b = open_bench(SEQUENCE, true), shorter = b;
    size_t bytes = (size_t)b.net.n_params * sizeof(float);
    float *first = malloc(bytes);
    for (int kind = 0; kind < 5; kind++) {
        b.x[3] = b.x[4] = b.x[5] = rubbish[4 - kind];
        pass(&b, 0, 1);
        net_clipped_sum(&b.net, k, 1e9, 1);
        if (kind == 0) {
            memcpy(first, b.net.grad, bytes);
        }
        /* 7 and INFINITY have no vector, but are no padding to attention */
        if (rubbish[4 - kind] < 1.0f || isnan(rubbish[4 - kind])) {
            ck_assert_mem_eq(first, b.net.grad, bytes);
        }
        for (int64_t j = 0; j < b.net.n_params; j++) {
            ck_assert(isfinite(b.net.grad[j]));
        }
    }
    const struct layer *table = &b.net.layers[0];
    for (int64_t j = 0; j < table->out.c; j++) { /* row 0 is nobody's */
        ck_assert_float_eq(first[table->offset + j], 0.0f);
    }
    struct error err = {0};
    struct spec_model model = model_of(&samples[SEQUENCE]);
    struct manifest_split split = samples[SEQUENCE].split;
    split.dims[0] = 3;
    ck_assert_int_eq(net_build(&model, &split, true, &shorter.net, &err), 0);
    ck_assert_int_eq(net_alloc(&shorter.net, k->memory, N, &err), 0);
    const struct layer *place = &b.net.layers[1];
    shorter.params = malloc(bytes);
    memcpy(shorter.params, b.params, bytes);
    memmove(shorter.params + place->offset + 3 * place->out.c,
            b.params + place->offset + place->n_params,
            bytes - (size_t)(place->offset + place->n_params) * sizeof(float));
    b.x[3] = b.x[4] = b.x[5] = 0.0f;
    memcpy(shorter.net.read, b.x, 3 * sizeof *b.x);
    shorter.net.label[0] = b.y[0];
    const float *logits = net_forward(&shorter.net, k, shorter.params, 1);
    pass(&b, 0, 1);
    for (int j = 0; j < 3; j++) {
        ck_assert_float_eq_tol(logits[j], b.net.layers[b.net.n_layers - 1].y[j], 1e-5f);
    }
    net_free(&shorter.net);
    free(shorter.params), free(first);
    close_bench(&b);
}
END_TEST

/* net.h's formula, spelt out for the cnn; nothing grows with the data set. */
START_TEST(memory)
{
    struct net net;
    struct error err = {0};
    struct spec_model model = {.preset = PRESET_CNN};
    struct manifest_split split = {.n_dims = 2, .dims = {28, 28}, .n_classes = 10};
    ck_assert_int_eq(net_build(&model, &split, true, &net, &err), 0);
    ck_assert_int_eq(net.n_params, 26010);
    double outs = 2.0 * (16 * 196 + 16 * 169 + 32 * 25 + 32 * 16 + 32 + 10);
    double own = 196 * 64 + 1040 + 16 * 169 + 25 * 256 + 8224 + 32 * 16;
    double m = 64, shared = 34 * 34 + 8 * 196 * 64;
    double bytes = 4 * m * (784 + outs + own) + 4 * (shared + 26010) + 72 * m;
    ck_assert_double_eq_tol((double)net_memory_bytes(&net, k->memory, 64) / bytes, 1.0,
                            0.01);
    ck_assert_uint_le(
        net_memory_bytes(&net, k->memory, net_micro_batch(&net, k->memory, 2u << 20)),
        2u << 20);
    ck_assert_int_eq(net_micro_batch(&net, k->memory, 1), 1);
}
END_TEST

/* Adapting a transformer, private costs a fifth more memory than plain at most. */
START_TEST(memory_of_adapters)
{
    struct error err = {0};
    struct manifest_split split = {
        .n_dims = 1, .dims = {64}, .n_classes = 2, .n_tokens = 256};
    struct spec_model model = {.preset = PRESET_LAYERS,
                               .n_layers = 12,
                               .layers = {{.kind = LAYER_EMBEDDING, .out = 64},
                                          {.kind = LAYER_LAYER_NORM},
                                          {.kind = LAYER_LINEAR, .out = 192, .rank = 4},
                                          {.kind = LAYER_ATTENTION, .heads = 4},
                                          {.kind = LAYER_LINEAR, .out = 64, .rank = 4},
                                          {.kind = LAYER_RESIDUAL, .over = 4},
                                          {.kind = LAYER_LINEAR, .out = 256, .rank = 4},
                                          {.kind = LAYER_GELU},
                                          {.kind = LAYER_LINEAR, .out = 64, .rank = 4},
                                          {.kind = LAYER_RESIDUAL, .over = 3},
                                          {.kind = LAYER_TOKEN_MEAN},
                                          {.kind = LAYER_LINEAR}},
                               .base = {.file = "base.h5"}};
    struct net private, plain;
    ck_assert_int_eq(net_build(&model, &split, true, &private, &err), 0);
    ck_assert_int_eq(net_build(&model, &split, false, &plain, &err), 0);
    double of_private = (double)net_memory_bytes(&private, k->memory, 64);
    double of_plain = (double)net_memory_bytes(&plain, k->memory, 64);
    ck_assert_double_le(of_private, 1.2 * of_plain);
    ck_assert_double_ge(of_private, of_plain);
}
END_TEST

/* The formula in net.h. */
START_TEST(memory_of_an_lstm)
{
    enum { M = 64, T = 30, E = 8, C = 16 };
    struct error err = {0};
    struct manifest_split split = {
        .n_dims = 1, .dims = {T}, .n_classes = 2, .n_tokens = 50};
    struct spec_model model = {
        .preset = PRESET_LAYERS,
        .n_layers = 3,
        .layers = {{.kind = LAYER_EMBEDDING, .out = E},
                   {.kind = LAYER_LSTM, .out = C, .states = STATES_LAST},
                   {.kind = LAYER_LINEAR}}};
    struct net net;
    ck_assert_int_eq(net_build(&model, &split, true, &net, &err), 0);
    int64_t u = C * 4 * C, w = (E + 1) * 4 * C; /* both small enough to be kept */
    int64_t own = 6 * T * C + u + w, outs = T * E + C + 2;
    double bytes = 4.0 * M * (double)(T + 2 * outs + own) +
                   4.0 * (double)(M * 6 * C + net.n_params) + 72.0 * M;
    ck_assert_int_eq(net.layers[1].n_params, u + w);
    ck_assert_double_eq_tol((double)net_memory_bytes(&net, k->memory, M) / bytes, 1.0,
                            0.01);
}
END_TEST

static void refused(struct spec_layer layer, struct spec_layer last, const char *words)
{
    struct net net;
    struct error err = {0};
    struct spec_model model = {.preset = PRESET_LAYERS, .n_layers = 3};
    struct manifest_split split = {.n_dims = 2, .dims = {6, 6}, .n_classes = 3};
    model.layers[0] = layer;
    model.layers[1] = (struct spec_layer){.kind = LAYER_TANH};
    model.layers[2] = last;
    ck_assert_int_eq(net_build(&model, &split, true, &net, &err), -PPT_ESPEC);
    ck_assert_msg(strstr(err.text, words) != NULL, "%s", err.text);
}

START_TEST(shapes_that_do_not_fit)
{
    struct spec_layer linear = {.kind = LAYER_LINEAR};
    struct spec_layer flatten = {.kind = LAYER_FLATTEN};
    refused((struct spec_layer){.kind = LAYER_CONV2D, .out = 4, .kernel = 7}, linear,
            "model.layers[0] (conv2d): kernel 7 is larger than its input of 6 x 6");
    refused((struct spec_layer){.kind = LAYER_CONV2D, .out = 4, .kernel = 3}, linear,
            "model.layers[2] (linear): its input is 4 x 4 places of 4 channels; put a "
            "flatten layer before it");
    refused((struct spec_layer){.kind = LAYER_GROUP_NORM, .groups = 2}, flatten,
            "model.layers[0] (group_norm): groups 2 does not divide its 1 channels");
    refused(flatten, flatten,
            "model.layers[2] (flatten): the last layer gives 1 x 1 x 36 values but the "
            "data set has 3 classes");
    refused(flatten, (struct spec_layer){.kind = LAYER_LINEAR, .out = 5},
            "model.layers[2] (linear): the last layer gives 1 x 1 x 5 values");
    refused((struct spec_layer){.kind = LAYER_MAX_POOL}, linear,
            "model.layers[0] (max_pool): kernel 0");
    refused(flatten, (struct spec_layer){.kind = LAYER_RESIDUAL, .over = 2},
            "model.layers[2] (residual): the 2 layers before it make 1 x 1 x 36 of 6 x "
            "6 x 1 values: expected the same");
    refused(flatten, (struct spec_layer){.kind = LAYER_RESIDUAL, .over = 3},
            "model.layers[2] (residual): over 3: expected 1 to 2, the layers before");
}
END_TEST

/* Two nets of one base: the second takes no memory for it, and computes the same. */
START_TEST(nets_share_a_base)
{
    int i = 0;
    while (strcmp(samples[i].name, "adapters") != 0) {
        i++;
    }
    struct bench b = open_bench(i, true);
    struct spec_model model = model_of(&samples[i]);
    struct net second;
    ck_assert_int_eq(net_build(&model, &samples[i].split, true, &second, NULL), 0);
    size_t alone = net_memory_bytes(&second, k->memory, N);
    second.base = &b.net;
    ck_assert_uint_le(net_memory_bytes(&second, k->memory, N) +
                          (size_t)second.n_frozen * sizeof(float),
                      alone);
    ck_assert_int_eq(net_alloc(&second, k->memory, N, NULL), 0);
    memcpy(b.net.read, b.x, (size_t)(N * b.net.n_features) * sizeof *b.x);
    memcpy(second.read, b.x, (size_t)(N * b.net.n_features) * sizeof *b.x);
    const float *first = net_forward(&b.net, k, b.params, N);
    const float *logits = net_forward(&second, k, b.params, N);
    ck_assert_mem_eq(first, logits, (size_t)(N * second.n_classes) * sizeof *logits);
    ck_assert_float_ne(logits[0], 0.0f);
    net_free(&second);
    close_bench(&b);
}
END_TEST

/* What is trained and what is not, by name; the factors begin as no change. */
START_TEST(a_base_is_frozen)
{
    struct bench b = open_bench(ADAPTERS, true);
    struct net_tensor own[NET_MAX_TENSORS], frozen[NET_MAX_TENSORS];
    int n = net_tensors(&b.net, own), n_frozen = net_frozen_tensors(&b.net, frozen);
    ck_assert_int_eq(n, 8);
    ck_assert_str_eq(own[0].name, "3.linear.lora_a");
    ck_assert(own[0].dims[0] == 8 && own[0].dims[1] == 2 && own[0].n_dims == 2);
    ck_assert_str_eq(own[1].name, "3.linear.lora_b");
    ck_assert(own[1].dims[0] == 2 && own[1].dims[1] == 24);
    ck_assert_int_eq(own[1].offset, 16);
    ck_assert_str_eq(own[7].name, "11.linear.bias");
    ck_assert_int_eq(n_frozen, 14);
    ck_assert_str_eq(frozen[0].name, "0.embedding.weight");
    ck_assert(frozen[0].dims[0] == 7 && frozen[0].dims[1] == 8);
    ck_assert_str_eq(frozen[4].name, "3.linear.weight");
    ck_assert_str_eq(frozen[13].name, "9.linear.bias");
    ck_assert_int_eq(frozen[13].offset + frozen[13].dims[0], b.net.n_frozen);
    net_init(&b.net, 3, b.params);
    for (int64_t j = 0; j < 48; j++) {
        ck_assert_float_eq(b.params[own[1].offset + j], 0.0f);
    }
    ck_assert_float_ne(b.params[0], 0.0f);
    close_bench(&b);
}
END_TEST

START_TEST(sequences_that_do_not_fit)
{
    struct net net;
    struct error err = {0};
    struct manifest_split split = {
        .n_dims = 1, .dims = {6}, .n_classes = 3, .n_tokens = 9};
    struct spec_model model = {.preset = PRESET_LOGISTIC};
    ck_assert_int_eq(net_build(&model, &split, true, &net, &err), -PPT_ESPEC);
    ck_assert_ptr_nonnull(
        strstr(err.text, "expected layers that begin with embedding"));
    struct spec_layer heads = {.kind = LAYER_ATTENTION, .heads = 2};
    model = (struct spec_model){.preset = PRESET_LAYERS,
                                .n_layers = 2,
                                .layers = {{.kind = LAYER_EMBEDDING, .out = 9}, heads}};
    ck_assert_int_eq(net_build(&model, &split, true, &net, &err), -PPT_ESPEC);
    ck_assert_ptr_nonnull(strstr(err.text, "its 9 channels are not queries, keys and "
                                           "values of 2 heads: expected a multiple of "
                                           "6"));
    split.n_tokens = 0;
    ck_assert_int_eq(net_build(&model, &split, true, &net, &err), -PPT_ESPEC);
    ck_assert_ptr_nonnull(
        strstr(err.text, "the records of this data set are no tokens"));
}
END_TEST

START_TEST(tensors_and_seeds)
{
    struct bench b = open_bench(2, true);
    struct net_tensor tensors[NET_MAX_TENSORS];
    int n = net_tensors(&b.net, tensors);
    int64_t next = 0;
    ck_assert_int_eq(n, 8);
    ck_assert_str_eq(tensors[0].name, "0.conv2d.weight");
    ck_assert_str_eq(tensors[7].name, "9.linear.bias");
    for (int i = 0; i < n; i++) {
        int64_t len = 1;
        for (int d = 0; d < tensors[i].n_dims; d++) {
            len *= tensors[i].dims[d];
        }
        ck_assert_int_eq(tensors[i].offset, next);
        next += len;
    }
    ck_assert_int_eq(next, b.net.n_params);
    size_t bytes = (size_t)b.net.n_params * sizeof(float);
    float *other = malloc(bytes);
    net_init(&b.net, 5, b.params);
    net_init(&b.net, 5, other);
    ck_assert_mem_eq(b.params, other, bytes);
    net_init(&b.net, 6, other);
    ck_assert_int_ne(memcmp(b.params, other, bytes), 0);
    free(other);
    close_bench(&b);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model");
    TCase *tcase = tcase_create("net");
    tcase_set_timeout(tcase, 60);
    k->set_threads(1);
    tcase_add_loop_test(tcase, gradients, 0, N_SAMPLES);
    tcase_add_loop_test(tcase, norms_and_clipped_sum, 0, N_SAMPLES * N_CLIPPINGS);
    tcase_add_loop_test(tcase, rubbish_adds_nothing, 0, RECURRENT * N_CLIPPINGS);
    tcase_add_loop_test(tcase, rubbish_on_the_way_adds_nothing, 0, N_CLIPPINGS);
    tcase_add_test(tcase, padding_is_not_there);
    tcase_add_test(tcase, a_state_is_held_over_padding);
    tcase_add_test(tcase, a_base_is_frozen);
    tcase_add_test(tcase, nets_share_a_base);
    tcase_add_test(tcase, sequences_that_do_not_fit);
    tcase_add_test(tcase, memory);
    tcase_add_test(tcase, memory_of_adapters);
    tcase_add_test(tcase, memory_of_an_lstm);
    tcase_add_test(tcase, shapes_that_do_not_fit);
    tcase_add_test(tcase, tensors_and_seeds);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
