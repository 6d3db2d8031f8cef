/* Whole steps of training by kernels_cuda beside the same steps by kernels_cpu: the
 * same records, samples and noise, so that parameters may differ by what float sums in
 * another order do. Exit 77 without a device. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/device.h"
#include "tests/twins/engine.h"
#include "tests/twins/twin.h"

/* Of the largest parameter: float sums of some hundred values, a few steps of them.
 * Adam divides a gradient by its size, so rounding counts where one is nearly 0. */
static const double tolerance = 2e-5, adam_tolerance = 1e-3;

/* The CPU's table with the device's stream of random words. */
static struct kernels cpu;

static double difference(struct engine *a, struct engine *b, double *ret_size)
{
    const float *x = NULL, *y = NULL;
    struct error err = {0};
    int rc = trainer_params(&a->trainer, &x, &err);
    rc = rc == 0 ? trainer_params(&b->trainer, &y, &err) : rc;
    if (rc != 0) {
        printf("%s\n", err.text);
        exit(1);
    }
    double most = 0.0, size = 0.0;
    for (int64_t i = 0; i < a->trainer.net.n_params; i++) {
        double off = fabs((double)x[i] - (double)y[i]);
        most = off > most || isnan(off) ? off : most;
        size = fmax(size, fabs((double)x[i]));
    }
    *ret_size = size;
    return most;
}

static void steps(const char *name, const struct engine_wish *wish, int64_t n_records,
                  int n_steps)
{
    struct engine_records records = engine_records(n_records, wish->n_dims, wish->dims);
    if (wish->n_tokens > 0) {
        engine_records_to_ids(&records, wish->n_tokens);
    }
    struct engine *host = engine_open(wish, &records, &cpu);
    struct engine *device = engine_open(wish, &records, &kernels_cuda);
    double size = 0.0, before = 0.0, off = difference(host, device, &size);
    twin_expect("the same initial weights", off == 0.0 && size > 0.0);
    for (int i = 0; i < n_steps; i++) {
        engine_step(host);
        engine_step(device);
    }
    off = difference(host, device, &before);
    printf("%s, %s, %s: parameters differ by at most %.2g of %.2g\n", name,
           wish->is_private ? "private" : "plain",
           wish->optimizer == OPTIMIZER_ADAM ? "adam" : "sgd or momentum", off, before);
    bool is_adam = wish->optimizer == OPTIMIZER_ADAM;
    twin_expect(name, off <= (is_adam ? adam_tolerance : tolerance) * before);
    if (!wish->is_private) {
        double loss[2][2];
        trainer_take_loss(&host->trainer, &loss[0][0], &loss[0][1]);
        trainer_take_loss(&device->trainer, &loss[1][0], &loss[1][1]);
        twin_expect("the same loss", loss[0][1] == loss[1][1] && loss[0][0] > 0.0 &&
                                         fabs(loss[0][0] / loss[1][0] - 1.0) < 1e-5);
    }
    engine_close(host);
    engine_close(device);
    engine_records_free(&records);
}

/* Noise that was drawn in the second queue before it is asked for is the same, from the
 * first on; so it is when the step before was given up, and when another step than the
 * one that was drawn is asked for. */
static void noise_aside(struct noise *host, const unsigned char key[CRYPTO_KEY_SIZE],
                        const struct grid *grid, int64_t n, struct twin *x)
{
    enum { N = 9 };
    const uint64_t drawn[N] = {20, 21, 22, 23, 25, 27, 29, 31, 33};
    const uint64_t added[N] = {20, 0, 22, 24, 26, 28, 30, 32, 33};
    struct noise device;
    struct error err = {0};
    twin_expect("noise", noise_open(&device, &kernels_cuda, key, n, &err) == 0);
    for (int i = 0; i < N; i++) {
        noise_draw_aside(&device, grid, drawn[i], 0, n);
        if (added[i] != 0) {
            noise_add(host, grid, added[i], 0, n, x->cpu);
            noise_add(&device, grid, added[i], 0, n, x->dev);
        }
    }
    twin_same("the same noise, drawn aside", x);
    noise_close(&device);
}

/* Draws for zeros: whole numbers of steps, the same ones bit for bit; others in another
 * step; one value on the host. */
static void noise(int64_t n)
{
    struct grid grid = {0x1p-20, 0x1p26, 0x1p50};
    struct noise host, device;
    struct error err = {0};
    const unsigned char key[CRYPTO_KEY_SIZE] = {11};
    struct twin x = twin_doubles(n);
    kernels_cpu.grid_round(&grid, n, x.cpu);
    twin_send(&x);
    twin_expect("noise", noise_open(&host, &cpu, key, n, &err) == 0 &&
                             noise_open(&device, &kernels_cuda, key, n, &err) == 0);
    noise_add(&host, &grid, 7, 0, n, x.cpu);
    noise_add(&device, &grid, 7, 0, n, x.dev);
    twin_same("the same noise", &x);
    double *first = calloc((size_t)n, sizeof *first), one[2] = {1.0, 1.0};
    noise_add(&host, &grid, 8, 0, n, first);
    int64_t n_equal = 0;
    for (int64_t i = 0; i < n; i++) {
        n_equal += first[i] == ((double *)x.cpu)[i];
    }
    twin_expect("another step, other noise", n_equal < n / 100 + 2);
    noise_aside(&host, key, &grid, n, &x);
    noise_add_value(&host, &grid, NOISE_EVALUATION, &one[0]);
    noise_add_value(&device, &grid, NOISE_EVALUATION, &one[1]);
    twin_expect("one value", one[0] == one[1] && one[0] != 1.0);
    free(first);
    noise_close(&host);
    noise_close(&device);
    twin_free(&x);
}

static struct engine_wish image(enum spec_preset preset, bool is_private)
{
    return (struct engine_wish){.preset = preset,
                                .optimizer = OPTIMIZER_SGD,
                                .is_private = is_private,
                                .batch = 24,
                                .hidden = 20,
                                .n_dims = 2,
                                .dims = {28, 28}};
}

/* Colours, group norm, a convolution with ghost norms, and layers that copy. */
static struct engine_wish layers(bool is_private)
{
    return (struct engine_wish){
        .preset = PRESET_LAYERS,
        .optimizer = OPTIMIZER_MOMENTUM,
        .is_private = is_private,
        .batch = 5,
        .n_dims = 3,
        .dims = {3, 9, 8},
        .n_layers = 10,
        .layers = {{.kind = LAYER_CONV2D, .out = 6, .kernel = 3, .padding = 1},
                   {.kind = LAYER_GROUP_NORM, .groups = 3},
                   {.kind = LAYER_GELU},
                   {.kind = LAYER_TANH},
                   {.kind = LAYER_RESIDUAL, .over = 2},
                   {.kind = LAYER_LAYER_NORM},
                   {.kind = LAYER_AVG_POOL, .kernel = 2},
                   {.kind = LAYER_CONV2D, .out = 64, .kernel = 3, .stride = 3},
                   {.kind = LAYER_FLATTEN},
                   {.kind = LAYER_LINEAR}}};
}

/* Attention of both kinds, both positions, lstms and linear layers at places; with a
 * base, low-rank factors in three of them. */
static struct engine_wish sequence(bool is_private, bool has_base)
{
    int64_t rank = has_base ? 2 : 0;
    return (struct engine_wish){
        .preset = PRESET_LAYERS,
        .optimizer = OPTIMIZER_MOMENTUM,
        .is_private = is_private,
        .batch = 4,
        .n_dims = 1,
        .dims = {6},
        .n_layers = 13,
        .layers = {{.kind = LAYER_EMBEDDING, .out = 8},
                   {.kind = LAYER_POSITION},
                   {.kind = LAYER_POSITION, .position = POSITION_WAVES},
                   {.kind = LAYER_LAYER_NORM},
                   {.kind = LAYER_LINEAR, .out = 24, .rank = rank},
                   {.kind = LAYER_ATTENTION, .heads = 2},
                   {.kind = LAYER_LINEAR, .out = 8, .rank = rank},
                   {.kind = LAYER_RESIDUAL, .over = 4},
                   {.kind = LAYER_LINEAR, .out = 30, .rank = rank, .alpha = rank / 3.0},
                   {.kind = LAYER_ATTENTION, .heads = 5, .mask = MASK_CAUSAL},
                   {.kind = LAYER_LSTM, .out = 7},
                   {.kind = has_base ? LAYER_TOKEN_MEAN : LAYER_LSTM,
                    .out = 19,
                    .states = STATES_LAST},
                   {.kind = LAYER_LINEAR}},
        .n_tokens = 11,
        .has_base = has_base};
}

/* With sums in fixed point each record is a micro-batch, so that the loader's blocks
 * are used again within a step. */
static void record_by_record(bool is_private)
{
    struct engine_wish wish = image(PRESET_MLP, is_private);
    wish.sum = SUM_FIXED;
    wish.batch = 6;
    steps("mlp, record by record", &wish, 60, 3);
}

static int n_reads, fails_at;
static int (*read_well)(struct rows *rows, const int64_t *indices, size_t n, float *x,
                        int32_t *y, struct error *err);

static int read_or_fail(struct rows *rows, const int64_t *indices, size_t n, float *x,
                        int32_t *y, struct error *err)
{
    n_reads++;
    return n_reads == fails_at ? error_set(err, PPT_EDATA, "this one is damaged")
                               : read_well(rows, indices, n, x, y, err);
}

/* A micro-batch that was read ahead and is damaged spoils its own step and not the one
 * before, and behind the last step nothing is read. */
static void read_ahead(int damaged)
{
    struct engine_wish wish = image(PRESET_LOGISTIC, true);
    wish.n_steps = 3;
    struct engine_records records = engine_records(200, wish.n_dims, wish.dims);
    struct engine *engine = engine_open(&wish, &records, &kernels_cuda);
    struct error err = {0};
    int rc = 0, n_done = 0;
    read_well = engine->rows.read;
    engine->rows.read = read_or_fail;
    n_reads = 0, fails_at = damaged;
    while (rc == 0 && n_done < wish.n_steps) {
        rc = trainer_gradient(&engine->trainer, &err);
        rc = rc == 0 ? trainer_release(&engine->trainer, &err) : rc;
        n_done += rc == 0;
    }
    if (damaged > 0) {
        twin_expect("the damaged step", n_done == damaged - 1 && rc == -PPT_EDATA);
        twin_expect("its error", strcmp(err.text, "this one is damaged") == 0);
    } else {
        twin_expect("a micro-batch a step", rc == 0 && n_reads == wish.n_steps);
    }
    engine_close(engine);
    engine_records_free(&records);
}

static void all(void)
{
    for (int is_private = 1; is_private >= 0; is_private--) {
        struct engine_wish wish = image(PRESET_LOGISTIC, is_private);
        steps("logistic", &wish, 200, 3);
        wish.batch = 700; /* more than are summed in float */
        wish.n_dims = 1, wish.dims[0] = 30;
        steps("logistic, many examples", &wish, 1000, 2);
        wish = image(PRESET_MLP, is_private);
        wish.optimizer = OPTIMIZER_ADAM;
        steps("mlp", &wish, 200, 3);
        wish = image(PRESET_CNN, is_private);
        wish.batch = 6;
        steps("cnn", &wish, 60, 2);
        wish = layers(is_private);
        steps("layers", &wish, 40, 2);
        wish = sequence(is_private, false);
        steps("sequence", &wish, 30, 2);
        wish = sequence(is_private, true);
        steps("adapters", &wish, 30, 2);
    }
    struct engine_wish clipped = layers(true);
    clipped.clipping.mode = CLIP_PER_LAYER;
    steps("layers, each clipped", &clipped, 40, 2);
    clipped.clipping = (struct spec_clipping){.mode = CLIP_AUTOMATIC, .gamma = 0.01};
    steps("layers, clipped automatically", &clipped, 40, 2);
}

/* What the order of streams can spoil. */
static void beside(void)
{
    noise(2), noise(256), noise(20002);
    record_by_record(true), record_by_record(false);
    read_ahead(0), read_ahead(1), read_ahead(3);
    struct engine_wish wish = image(PRESET_LOGISTIC, true);
    steps("logistic, many steps", &wish, 200, 6);
    struct engine_wish clipped = layers(true);
    clipped.clipping = (struct spec_clipping){
        .mode = CLIP_QUANTILE, .quantile = 0.5, .count_noise = 2.0, .rate = 0.2};
    steps("layers, clipped at a quantile", &clipped, 40, 2);
}

/* engine_compare [beside]: all, or only what the order of streams can spoil. */
int main(int argc, char **argv)
{
    if (device_count() == 0 || !device_use(0)) {
        printf("skipped: no CUDA device\n");
        return 77;
    }
    cpu = kernels_cpu;
    cpu.random_words = engine_random_words;
    if (argc < 2 || strcmp(argv[1], "beside") != 0) {
        all();
    }
    beside();
    twin_expect("nothing failed on the device", device_sync());
    const char *text = device_error();
    printf("engine: %ld checks, %ld failed%s%s\n", twin_n_checks, twin_n_faults,
           text != NULL ? ": " : "", text != NULL ? text : "");
    return twin_n_faults == 0 ? 0 : 1;
}
