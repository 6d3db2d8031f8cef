/* T1 (Re:cord-play, arXiv 2602.17454): one step with and without a record, under the
 * same keys, so that all other records and all noise are the same. The sums that are
 * sent may differ by the clip norm; what else anybody could see may not differ at all:
 * collectives and their sizes, how much noise is drawn and from where, the divisor,
 * what is told. Every layer x way to clip x 1, 2, 4 ranks x batch x record. No chance
 * is involved. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "jobs/privacy/price_split.h"
#include "tests/audit/audit.h"
#include "tests/audit/draws.h"

enum {
    N_OTHERS = 23,
    NOMINAL = 40,
    N_CLASSES = 3,
    MAX_PARAMS = 20000,
    SAID_MAX = 4096
};

static const double clip_norm = 0.05, learning_rate = 20.0;

static const struct {
    const char *name;
    int n_dims;
    int64_t dims[3];
    int n_layers;
    struct spec_layer layers[5];
} nets[] = {
    {"linear", 1, {12}, 1, {{.kind = LAYER_LINEAR}}},
    {"two linear",
     1,
     {12},
     2,
     {{.kind = LAYER_LINEAR, .out = 5}, {.kind = LAYER_LINEAR}}},
    {"tanh",
     1,
     {12},
     3,
     {{.kind = LAYER_LINEAR, .out = 7}, {.kind = LAYER_TANH}, {.kind = LAYER_LINEAR}}},
    {"relu",
     1,
     {12},
     3,
     {{.kind = LAYER_LINEAR, .out = 7}, {.kind = LAYER_RELU}, {.kind = LAYER_LINEAR}}},
    {"flatten", 2, {4, 4}, 2, {{.kind = LAYER_FLATTEN}, {.kind = LAYER_LINEAR}}},
    {"conv2d, gradients kept",
     2,
     {8, 8},
     3,
     {{.kind = LAYER_CONV2D, .out = 4, .kernel = 3, .stride = 1},
      {.kind = LAYER_FLATTEN},
      {.kind = LAYER_LINEAR}}},
    {"conv2d, ghost norms",
     3,
     {8, 6, 6},
     3,
     {{.kind = LAYER_CONV2D, .out = 64, .kernel = 3, .stride = 3},
      {.kind = LAYER_FLATTEN},
      {.kind = LAYER_LINEAR}}},
    {"max_pool",
     2,
     {8, 8},
     4,
     {{.kind = LAYER_CONV2D, .out = 4, .kernel = 3, .stride = 1},
      {.kind = LAYER_MAX_POOL, .kernel = 2, .stride = 2},
      {.kind = LAYER_FLATTEN},
      {.kind = LAYER_LINEAR}}},
    {"avg_pool",
     2,
     {8, 8},
     4,
     {{.kind = LAYER_CONV2D, .out = 4, .kernel = 3, .stride = 1},
      {.kind = LAYER_AVG_POOL, .kernel = 2, .stride = 2},
      {.kind = LAYER_FLATTEN},
      {.kind = LAYER_LINEAR}}},
    {"group_norm",
     3,
     {4, 4, 4},
     3,
     {{.kind = LAYER_GROUP_NORM, .groups = 2},
      {.kind = LAYER_FLATTEN},
      {.kind = LAYER_LINEAR}}},
};
enum { N_NETS = sizeof nets / sizeof nets[0] };

static const struct {
    const char *name;
    int64_t n_others;
    double rate;
} batches[] = {
    {"everybody", N_OTHERS, 1.0},
    {"three in four", N_OTHERS, 0.75},
    {"hardly any", N_OTHERS, 0.015625},
    {"empty without it", 0, 1.0},
};
enum { N_BATCHES = sizeof batches / sizeof batches[0] };

/* Features of the record: 0 stands for a record like the others. */
static const float records[] = {0.0f, 1e4f, 3e38f, NAN, INFINITY};
enum { N_RECORDS = sizeof records / sizeof records[0] };

/* All that one run lets anybody see. */
struct view {
    pthread_mutex_t lock;
    double sum[MAX_PARAMS]; /* before noise, over all ranks */
    size_t n_sum;
    char said[SAID_MAX]; /* progress, stdout and stderr, without the clock's figures */
    size_t said_len;
    struct draws draws;
    struct world world;
};

static const struct {
    const char *name;
    struct spec_clipping clipping;
    enum spec_sum sum;
} modes[] = {
    {"flat", {.mode = CLIP_FLAT}, SUM_FLOAT},
    {"per layer", {.mode = CLIP_PER_LAYER}, SUM_FLOAT},
    {"automatic", {.mode = CLIP_AUTOMATIC, .gamma = 1e-3}, SUM_FLOAT},
    {"quantile", {.mode = CLIP_QUANTILE, .quantile = 0.5, .rate = 0.2}, SUM_FLOAT},
    {"flat, fixed point", {.mode = CLIP_FLAT}, SUM_FIXED},
    {"per layer, fixed point", {.mode = CLIP_PER_LAYER}, SUM_FIXED},
};
enum { N_MODES = sizeof modes / sizeof modes[0] };

struct scene {
    const char *net, *mode, *batch;
    int size, at; /* ranks; which has the record */
    float record;
};

static struct spec spec;
static struct plan plan;
static struct manifest manifest;
static int capture = -1;

static void add_sum(void *state, int rank, const double *send, size_t n)
{
    struct view *view = state;
    (void)rank;
    if (n > MAX_PARAMS) {
        audit_stop("%zu parameters", n);
    }
    pthread_mutex_lock(&view->lock);
    view->n_sum = n;
    for (size_t i = 0; i < n; i++) {
        view->sum[i] += send[i];
    }
    pthread_mutex_unlock(&view->lock);
}

static void add_progress(void *state, const struct progress *progress)
{
    struct view *view = state;
    size_t left = SAID_MAX - view->said_len;
    int len =
        snprintf(view->said + view->said_len, left,
                 "step %lld of %lld, epsilon %.17g, loss %d %.17g, test %d %.17g\n",
                 (long long)progress->step, (long long)progress->n_steps,
                 progress->epsilon, progress->has_loss, progress->loss,
                 progress->has_test_accuracy, progress->test_accuracy);
    view->said_len += (size_t)len < left ? (size_t)len : left;
}

/* The same records with `record` put behind those of rank `at`. */
static struct world_data with_record(const struct world_data *others, int64_t behind,
                                     float record)
{
    size_t d = others->n_features;
    struct world_data data = world_blobs(others->n + 1, d, N_CLASSES, 0.5, 99);
    memcpy(data.x, others->x, (size_t)behind * d * sizeof *data.x);
    memcpy(data.x + (size_t)(behind + 1) * d, others->x + (size_t)behind * d,
           (size_t)(others->n - behind) * d * sizeof *data.x);
    memcpy(data.y, others->y, (size_t)behind * sizeof *data.y);
    memcpy(data.y + behind + 1, others->y + behind,
           (size_t)(others->n - behind) * sizeof *data.y);
    for (size_t j = 0; record != 0.0f && j < d; j++) {
        data.x[(size_t)behind * d + j] = j % 3 == 1 ? 1.0f : record;
    }
    return data;
}

static void run(struct view *view, const struct world_data *data,
                const unsigned char *keys)
{
    struct world *world = &view->world;
    struct meter *meter = audit_meter(&plan, 1);
    pthread_mutex_init(&view->lock, NULL);
    world->train = data;
    world->plan = &plan;
    world->spec = &spec;
    world->manifest = &manifest;
    world->meter = meter;
    world->is_split = world->keeps_calls = true;
    world->on_sum = add_sum;
    world->progress = add_progress;
    world->on_sum_state = world->progress_state = view;
    memcpy(world->noise_key, keys, sizeof world->noise_key);
    memcpy(world->sampling_key, keys + sizeof world->noise_key,
           sizeof world->sampling_key);
    fflush(stdout);
    int old[2] = {dup(1), dup(2)};
    if (ftruncate(capture, 0) != 0 || lseek(capture, 0, SEEK_SET) != 0 ||
        dup2(capture, 1) < 0 || dup2(capture, 2) < 0) {
        audit_stop("cannot catch what is printed");
    }
    draws_begin();
    world_run(world);
    view->draws = draws_of_noise(world->sampling_key, world->size);
    fflush(stdout);
    dup2(old[0], 1);
    dup2(old[1], 2);
    close(old[0]);
    close(old[1]);
    ssize_t len =
        pread(capture, view->said + view->said_len, SAID_MAX - view->said_len, 0);
    view->said_len += len > 0 ? (size_t)len : 0;
    audit_meter_close(meter);
    for (int r = 0; r < world->size; r++) {
        if (world->rc[r] != 0) {
            audit_stop("rank %d: %s", r, world->err[r].text);
        }
    }
}

static bool same_calls(const struct world *a, const struct world *b)
{
    for (int r = 0; r < a->size; r++) {
        if (a->n_calls[r] != b->n_calls[r] || a->n_calls[r] == 0) {
            return false;
        }
        for (size_t i = 0; i < a->n_calls[r]; i++) {
            if (a->calls[r][i].name != b->calls[r][i].name ||
                a->calls[r][i].n != b->calls[r][i].n) {
                return false;
            }
        }
    }
    return true;
}

static bool same_draws(const struct draws *a, const struct draws *b, int n_ranks)
{
    bool is_same = a->n == b->n && a->n >= n_ranks;
    for (int i = 0; is_same && i < a->n; i++) {
        is_same = memcmp(&a->streams[i], &b->streams[i], sizeof a->streams[i]) == 0 &&
                  a->streams[i].n_bytes > 0;
    }
    return is_same;
}

/* Without what a clock says. */
static bool same_reports(const struct world *a, const struct world *b)
{
    for (int r = 0; r < a->size; r++) {
        const struct report *x = &a->report[r], *y = &b->report[r];
        if (x->outcome != y->outcome || x->error_code != y->error_code ||
            strcmp(x->error_text, y->error_text) != 0 || x->n_steps != y->n_steps ||
            memcmp(x->used, y->used, sizeof x->used) != 0 ||
            x->has_test_accuracy != y->has_test_accuracy ||
            x->test_accuracy != y->test_accuracy || strcmp(x->model, y->model) != 0) {
            return false;
        }
    }
    return a->n_model == b->n_model && a->n_models_saved == b->n_models_saved &&
           a->n_checkpoints_saved == b->n_checkpoints_saved;
}

/* With the same noise over the same public divisor, parameters differ by the difference
 * of the sums times learning_rate / divisor and by rounding, 2^-24 of a parameter.
 * Returns the largest excess over that, in standard deviations of the noise. */
static double excess(const struct view *with, const struct view *without,
                     double expected_batch)
{
    double gain = learning_rate / expected_batch, noise = gain * clip_norm, worst = 0.0;
    for (int64_t i = 0; i < with->world.n_model; i++) {
        double p = without->world.model[i], q = with->world.model[i];
        double told = -gain * (with->sum[i] - without->sum[i]);
        double rest = fabs(q - p - told) - 0x1p-23 * (fabs(p) + fabs(q));
        worst = fmax(worst, rest / noise);
    }
    return worst;
}

/* What a sum may differ by: its noise has this times the multiplier that is paid for.
 * With votes beside the gradients that noise is what split.h says for the gradients. */
static double most_distance(void)
{
    double gradient_noise, count_noise;
    if (spec.privacy.clipping.mode != CLIP_QUANTILE) {
        return clip_norm;
    }
    if (price_split_noise(&spec, &plan.price, &gradient_noise, &count_noise, NULL) !=
        0) {
        audit_stop("no noise for gradients and votes");
    }
    return clip_norm * gradient_noise / plan.price.noise_multiplier;
}

static void judge(const struct scene *scene, const struct view *with,
                  const struct view *without, double expected_batch, bool is_sampled)
{
    char name[160];
    double square = 0.0;
    snprintf(name, sizeof name, "%s, %s, %d ranks, %s, record %g on rank %d",
             scene->net, scene->mode, scene->size, scene->batch, (double)scene->record,
             scene->at);
    for (size_t i = 0; i < with->n_sum; i++) {
        double d = with->sum[i] - without->sum[i];
        square += d * d;
    }
    double distance = sqrt(square), limit = most_distance();
    audit_judge(distance <= limit, "sensitivity", "%s: sums differ by %.9g > %g", name,
                distance, limit);
    audit_judge(same_calls(&with->world, &without->world), "collectives", "%s", name);
    audit_judge(same_draws(&with->draws, &without->draws, scene->size), "draws", "%s",
                name);
    audit_judge(with->said_len == without->said_len && with->said_len > 0 &&
                    memcmp(with->said, without->said, with->said_len) == 0,
                "output", "%s: \"%.*s\" is not \"%.*s\"", name, (int)with->said_len,
                with->said, (int)without->said_len, without->said);
    audit_judge(same_reports(&with->world, &without->world), "report", "%s", name);
    double off = excess(with, without, expected_batch);
    audit_judge(off < 1e-5, "divisor",
                "%s: noise or divisor differ by %.3g standard deviations", name, off);
    if (!isfinite(scene->record)) {
        audit_judge(distance < 1e-4 * clip_norm, "not numbers", "%s: adds %.9g", name,
                    distance);
    }
    /* An audit whose record has no effect would see nothing. */
    if (scene->record == 0.0f && is_sampled) {
        audit_judge(distance > 0.97 * limit, "signal", "%s: adds only %.9g", name,
                    distance);
    }
}

static void play(struct scene *scene, const struct world_data *others, double rate)
{
    static struct view with, without;
    unsigned char keys[64], at;
    int64_t starts[WORLD_MAX_RANKS + 1];
    audit_random(keys, sizeof keys);
    audit_random(&at, 1);
    scene->at = at % scene->size;
    for (int r = 0; r <= scene->size; r++) {
        starts[r] = others->n * r / scene->size;
    }
    memset(&with, 0, sizeof with);
    memset(&without, 0, sizeof without);
    with.world.size = without.world.size = scene->size;
    for (int r = 0; r <= scene->size; r++) {
        without.world.starts[r] = starts[r];
        with.world.starts[r] = starts[r] + (r > scene->at);
    }
    struct world_data data = with_record(others, starts[scene->at + 1], scene->record);
    run(&without, others, keys);
    run(&with, &data, keys);
    judge(scene, &with, &without, rate * NOMINAL, rate == 1.0);
    world_data_free(&data);
    world_free(&with.world);
    world_free(&without.world);
}

static void use(int net, int mode, int batch)
{
    manifest = world_manifest(NOMINAL, 0, nets[net].n_dims, nets[net].dims, N_CLASSES);
    spec = world_spec(PRESET_LAYERS, true);
    spec.model.n_layers = nets[net].n_layers;
    memcpy(spec.model.layers, nets[net].layers, sizeof nets[net].layers);
    spec.privacy.clip_norm = clip_norm;
    spec.privacy.clipping = modes[mode].clipping;
    spec.training.sum = modes[mode].sum;
    spec.training.learning_rate = learning_rate;
    plan = world_plan(&spec, &manifest, 1.0, 1);
    plan.price.sample_rate = batches[batch].rate;
    plan.price.releases[0].mechanism.sample_rate = batches[batch].rate;
}

void audit_step(void)
{
    FILE *file = tmpfile();
    if (file == NULL) {
        audit_stop("no temporary file");
    }
    capture = fileno(file);
    for (int n = 0; n < N_NETS * N_MODES * N_BATCHES; n++) {
        int net = n / (N_MODES * N_BATCHES), mode = n / N_BATCHES % N_MODES;
        int batch = n % N_BATCHES;
        use(net, mode, batch);
        size_t d = 1;
        for (int i = 0; i < nets[net].n_dims; i++) {
            d *= (size_t)nets[net].dims[i];
        }
        struct world_data others =
            world_blobs(batches[batch].n_others, d, N_CLASSES, 0.5, 5);
        for (int size = 1; size <= 4; size *= 2) {
            for (int record = 0; record < N_RECORDS; record++) {
                struct scene scene = {.net = nets[net].name,
                                      .mode = modes[mode].name,
                                      .batch = batches[batch].name,
                                      .size = size,
                                      .record = records[record]};
                play(&scene, &others, batches[batch].rate);
            }
        }
        world_data_free(&others);
    }
    fclose(file);
}
