/* What each kernel moves a second on this device, beside a device-to-device copy of the
 * same run: bytes are the floor in the kernel's header. One JSON object a line. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "kernels/device.h"

enum { N_RUNS = 20 };

static double copy_rate; /* GB/s, read and written */

static float *floats;
static float *more_floats;
static double *doubles;
static double *more_doubles;
static uint64_t *words;

static const int64_t len = 1 << 26; /* 64 Mi floats: past the second-level cache */
static const int64_t rows = 256;

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void must(bool is_done)
{
    if (!is_done) {
        const char *text = device_error();
        fprintf(stderr, "bench: %s\n", text != NULL ? text : "failed");
        exit(1);
    }
}

/* Seconds of one call, the mean over N_RUNS after two to warm up. */
static double time_of(void (*call)(void))
{
    call(), call();
    must(device_sync());
    double start = now_s();
    for (int i = 0; i < N_RUNS; i++) {
        call();
    }
    must(device_sync());
    return (now_s() - start) / N_RUNS;
}

static void measure(const char *name, double n_bytes, void (*call)(void))
{
    double rate = n_bytes / time_of(call) * 1e-9;
    printf("{\"bench\":\"cuda\",\"case\":\"%s\",\"value\":%.1f,\"unit\":\"GB/s\","
           "\"peer\":\"copy\",\"peer_value\":%.1f,\"ratio\":%.3f}\n",
           name, rate, copy_rate, rate / copy_rate);
}

static const struct window pool_window = {64, 64, 64, 2, 2, 0, 32, 32};
static const struct window conv_window = {32, 32, 16, 3, 1, 1, 32, 32};
static const struct grouping groups = {1024, 64, 8};
static const struct optim optim = {
    .learning_rate = 0.1, .momentum = 0.9, .beta1 = 0.9, .beta2 = 0.999, .step = 3};
static const struct grid grid = {0x1p-20, 1000.0, 0x1p40};

static void copy(void)
{
    must(device_copy(more_floats, floats, (size_t)len * sizeof(float)));
}

static void relu(void)
{
    kernels_cuda.relu_forward(len, floats);
}

static void tanh_forward(void)
{
    kernels_cuda.tanh_forward(len, floats);
}

static void square_rows(void)
{
    kernels_cuda.square_rows(rows, len / rows, floats, doubles);
}

static void weighted_sum(void)
{
    kernels_cuda.weighted_sum(rows, len / rows, more_floats, floats, (float *)doubles);
}

static void scale_rows(void)
{
    kernels_cuda.scale_rows(rows, len / rows, more_floats, floats);
}

static void clip_accumulate(void)
{
    device_clip_accumulate(rows, len / rows, 1.0, floats, more_floats, doubles);
}

static void accumulate(void)
{
    kernels_cuda.accumulate(len, floats, doubles);
}

static void add_bias(void)
{
    kernels_cuda.add_bias(len / 1024, 1024, more_floats, floats);
}

static void sum_rows(void)
{
    kernels_cuda.sum_rows(rows, len / rows, floats, more_floats);
}

static void max_pool(void)
{
    kernels_cuda.max_pool_forward(&pool_window, len / (64 * 64 * 64), floats,
                                  more_floats, (int32_t *)words);
}

static void max_pool_back(void)
{
    kernels_cuda.max_pool_backward(&pool_window, len / (64 * 64 * 64), more_floats,
                                   (int32_t *)words, floats);
}

static void unfold(void) /* 256 images become 9 times as long: 37.7 M floats */
{
    kernels_cuda.unfold(&conv_window, 256, floats, more_floats, NULL);
}

static void group_norm(void)
{
    kernels_cuda.group_norm_forward(&groups, len / (1024 * 64), floats, more_floats,
                                    more_floats + 64, more_floats + 128,
                                    (float *)doubles);
}

static void xent(void)
{
    kernels_cuda.xent(len / 1024, 1024, floats, (const int32_t *)words, more_floats,
                      doubles);
}

static void adam(void)
{
    kernels_cuda.adam(&optim, len / 2, doubles, floats, more_floats,
                      more_floats + len / 2);
}

static void sgd(void)
{
    kernels_cuda.sgd(&optim, len, doubles, floats);
}

static void random_words(void)
{
    static const uint8_t key[32] = {1};
    device_random_words(key, 0, 0, len, words);
}

static void extra(void *state, int64_t pair, uint64_t ret_words[GRID_EXTRA_WORDS])
{
    (void)state;
    for (int i = 0; i < GRID_EXTRA_WORDS; i++) {
        ret_words[i] = ((uint64_t)pair + (uint64_t)i) * 0x9e3779b97f4a7c15u;
    }
}

static void round_to_grid(void)
{
    kernels_cuda.grid_round(&grid, len, doubles);
}

static void noise(void) /* a model of a million parameters */
{
    struct grid_source source = {extra, NULL};
    kernels_cuda.grid_noise(&grid, 1 << 20, words, &source, doubles);
}

static void product(void)
{
    kernels_cuda.gemm(false, true, 4096, 4096, 4096, floats, floats + (1 << 24), 0.0f,
                      more_floats);
}

static void get(void *ret_array, int64_t n_bytes)
{
    must(device_alloc((size_t)n_bytes, ret_array));
    must(device_zero(*(void **)ret_array, (size_t)n_bytes));
}

int main(void)
{
    if (device_count() == 0 || !device_use(0)) {
        printf("skipped: no CUDA device\n");
        return 77;
    }
    double n = (double)len;
    get(&floats, len * 4), get(&more_floats, len * 4 + 1024), get(&words, len * 8);
    get(&doubles, len * 8), get(&more_doubles, 1024);
    copy_rate = 8.0 * n / time_of(copy) * 1e-9;
    measure("copy", 8.0 * n, copy);
    measure("relu_forward", 8.0 * n, relu);
    measure("tanh_forward", 8.0 * n, tanh_forward);
    measure("add_bias", 8.0 * n, add_bias);
    measure("sum_rows", 4.0 * n, sum_rows);
    measure("unfold", 4.0 * 256 * 16384 * 10, unfold);
    measure("max_pool_forward", 6.0 * n, max_pool);
    measure("max_pool_backward", 6.0 * n, max_pool_back);
    measure("group_norm_forward", 8.0 * n, group_norm);
    measure("xent", 8.0 * n, xent);
    measure("square_rows", 4.0 * n, square_rows);
    measure("scale_rows", 8.0 * n, scale_rows);
    measure("weighted_sum", 4.0 * n, weighted_sum);
    measure("clip_accumulate", 8.0 * n, clip_accumulate);
    measure("accumulate", 20.0 * n, accumulate);
    measure("sgd", 16.0 * n, sgd);
    measure("adam", 16.0 * n, adam);
    measure("grid_round", 16.0 * n, round_to_grid);
    measure("random_words", 8.0 * n, random_words);
    measure("grid_noise", 24.0 * (1 << 20), noise);
    printf("{\"bench\":\"cuda\",\"case\":\"gemm 4096\",\"value\":%.2f,"
           "\"unit\":\"TFLOP/s\",\"peer\":null,\"peer_value\":null,\"ratio\":null}\n",
           2.0 * 4096 * 4096 * 4096 / time_of(product) * 1e-12);
    return 0;
}
