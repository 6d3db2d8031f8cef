/* Every kernel of kernels_cuda beside its twin of kernels_cpu, on random arrays of
 * shapes that fit no block, with rows of NaN and Inf. Exit 77 without a device. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/device.h"
#include "tests/twins/compare.h"
#include "tests/twins/twin.h"

/* Tolerances, relative to each value and, where sums cancel, absolute. */
static const double float_rounding = 0x1p-22;  /* a few roundings to float */
static const double double_rounding = 0x1p-40; /* sums in double, in another order */
static const double float_sum = 0x1p-19; /* sums in float of some hundred values */

static const struct kernels *const cpu = &kernels_cpu, *const dev = &kernels_cuda;

/* Both twins with the same scalars; C and D name the two arrays of a twin. */
#define C(twin) ((twin).cpu)
#define D(twin) ((twin).dev)

static const int64_t lens[] = {0, 1, 2, 31, 255, 256, 257, 1000, 4099};
enum { N_LENS = sizeof lens / sizeof *lens };

/* NaN, infinities and zeros of both signs into the array, where it has room. */
static void poison(struct twin *x)
{
    const float odd[] = {NAN, INFINITY, -INFINITY, 0.0f, -0.0f, 1e-40f, 3e38f};
    for (int64_t i = 0; i < 7 && i * 3 < x->n; i++) {
        ((float *)x->cpu)[i * 3] = odd[i];
    }
    twin_send(x);
}

static void activations(int64_t len)
{
    struct twin x = twin_floats(len), y = twin_floats(len), dy = twin_floats(len);
    poison(&x);
    cpu->tanh_forward(len, C(x)), dev->tanh_forward(len, D(x));
    twin_near("tanh_forward", &x, 1e-6, 0.0);
    poison(&dy);
    cpu->tanh_backward(len, C(y), C(dy)), dev->tanh_backward(len, D(y), D(dy));
    twin_near("tanh_backward", &dy, float_rounding, float_rounding);
    struct squash squash = {1.7f, 3.0f, 0.6f};
    cpu->squash_backward(&squash, len, C(y), C(dy));
    dev->squash_backward(&squash, len, D(y), D(dy));
    twin_near("squash_backward", &dy, float_rounding, 8 * float_rounding);
    cpu->gelu_forward(len, C(y), C(x)), dev->gelu_forward(len, D(y), D(x));
    twin_near("gelu_forward", &x, float_rounding, float_rounding);
    poison(&y);
    cpu->gelu_backward(len, C(y), C(dy), C(x));
    dev->gelu_backward(len, D(y), D(dy), D(x));
    twin_near("gelu_backward", &x, float_rounding, 16 * float_rounding);
    cpu->relu_backward(len, C(y), C(dy)), dev->relu_backward(len, D(y), D(dy));
    twin_near("relu_backward", &dy, float_rounding, float_rounding);
    cpu->relu_forward(len, C(y)), dev->relu_forward(len, D(y));
    twin_same("relu_forward", &y);
    cpu->squash_forward(&squash, len, C(y)), dev->squash_forward(&squash, len, D(y));
    twin_near("squash_forward", &y, float_rounding, float_rounding);
    twin_free(&x), twin_free(&y), twin_free(&dy);
}

static void updates(int64_t n)
{
    struct optim optim = {.learning_rate = 0.1,
                          .momentum = 0.9,
                          .beta1 = 0.9,
                          .beta2 = 0.999,
                          .tau = 0.01,
                          .step = 1 + n % 7,
                          .noise_square = n % 2 == 0 ? 0.0 : 0.3,
                          .noise_floor = n % 2 == 0 ? 0.0 : 1e-3};
    struct twin grad = twin_doubles(n), param = twin_floats(n), v = twin_floats(n);
    struct twin mean = twin_floats(n), square = twin_floats(n);
    for (int64_t i = 0; i < n; i++) {
        ((float *)square.cpu)[i] = fabsf(((float *)square.cpu)[i]);
    }
    if (n > 3) {
        ((double *)grad.cpu)[1] = NAN, ((double *)grad.cpu)[2] = INFINITY;
    }
    twin_send(&square), twin_send(&grad);
    cpu->sgd(&optim, n, C(grad), C(param)), dev->sgd(&optim, n, D(grad), D(param));
    twin_near("sgd", &param, float_rounding, float_rounding);
    cpu->momentum(&optim, n, C(grad), C(param), C(v));
    dev->momentum(&optim, n, D(grad), D(param), D(v));
    twin_near("momentum", &param, float_rounding, float_rounding);
    twin_near("momentum's velocity", &v, float_rounding, float_rounding);
    cpu->adam(&optim, n, C(grad), C(param), C(mean), C(square));
    dev->adam(&optim, n, D(grad), D(param), D(mean), D(square));
    twin_near("adam", &param, float_rounding, 4 * float_rounding);
    twin_near("adam's mean", &mean, float_rounding, float_rounding);
    twin_near("adam's square", &square, float_rounding, float_rounding);
    cpu->yogi(&optim, n, C(grad), C(param), C(mean), C(square));
    dev->yogi(&optim, n, D(grad), D(param), D(mean), D(square));
    twin_near("yogi", &param, float_rounding, 16 * float_rounding);
    twin_near("yogi's mean", &mean, float_rounding, float_rounding);
    twin_near("yogi's square", &square, float_rounding, 4 * float_rounding);
    twin_free(&grad), twin_free(&param), twin_free(&v);
    twin_free(&mean), twin_free(&square);
}

/* Factors with 0 among them, and rows that only a factor of 0 may hide. */
static struct twin hiding_factors(int64_t n)
{
    struct twin factor = twin_floats(n);
    for (int64_t i = 0; i < n; i++) {
        float *f = (float *)factor.cpu + i;
        *f = i % 3 == 0 ? 0.0f : fabsf(*f) / 2.0f;
    }
    twin_send(&factor);
    return factor;
}

static void clipping(int64_t n, int64_t len)
{
    struct twin x = twin_floats(n * len), square = twin_doubles(n),
                sum = twin_floats(len);
    struct twin factor = hiding_factors(n), total = twin_doubles(len);
    cpu->square_rows(n, len, C(x), C(square)),
        dev->square_rows(n, len, D(x), D(square));
    twin_near("square_rows", &square, double_rounding, 0.0);
    for (int64_t j = 0; j < len && n > 0; j++) { /* row 0: a factor of 0 hides it */
        ((float *)x.cpu)[j] = j % 2 ? NAN : INFINITY;
    }
    twin_send(&x);
    cpu->weighted_sum(n, len, C(factor), C(x), C(sum));
    dev->weighted_sum(n, len, D(factor), D(x), D(sum));
    twin_same("weighted_sum", &sum);
    cpu->accumulate(len, C(sum), C(total)), dev->accumulate(len, D(sum), D(total));
    twin_same("accumulate", &total);
    cpu->scale_rows(n, len, C(factor), C(x)), dev->scale_rows(n, len, D(factor), D(x));
    twin_same("scale_rows", &x);
    if (n > 1 && len > 1) {
        ((float *)x.cpu)[len] = NAN;
        twin_send(&x);
    }
    cpu->square_rows(n, len, C(x), C(square)),
        dev->square_rows(n, len, D(x), D(square));
    twin_near("square_rows with NaN", &square, double_rounding, 0.0);
    twin_free(&x), twin_free(&square), twin_free(&sum);
    twin_free(&factor), twin_free(&total);
}

/* Per-example scalars: what norms become bounds by, and what is kept out of sums. */
static void bounds(int64_t n, int64_t d, int64_t p)
{
    struct twin x = twin_floats(n * d), g = twin_floats(n * p);
    struct twin square = twin_doubles(n), slack = twin_doubles(n);
    struct twin in[5];
    for (int i = 0; i < 5; i++) {
        in[i] = twin_doubles(n);
        for (int64_t j = 0; i > 0 && j < n; j++) { /* only ghost squares may be < 0 */
            ((double *)in[i].cpu)[j] = fabs(((double *)in[i].cpu)[j]);
        }
        twin_send(&in[i]);
    }
    for (int64_t j = 0; j < n; j++) { /* nor these: a difference would show roundings */
        ((double *)square.cpu)[j] = fabs(((double *)square.cpu)[j]);
        ((double *)slack.cpu)[j] = fabs(((double *)slack.cpu)[j]);
    }
    twin_send(&square), twin_send(&slack);
    poison(&x);
    cpu->add_square_rows(n, d, C(x), C(square));
    dev->add_square_rows(n, d, D(x), D(square));
    twin_near("add_square_rows", &square, double_rounding, double_rounding);
    if (n > 3 && d > 0) {
        ((float *)x.cpu)[3 * d] = 2e15f;
        ((double *)in[0].cpu)[1] = NAN, ((double *)in[2].cpu)[2] = 2e30;
        twin_send(&x), twin_send(&in[0]), twin_send(&in[2]);
    }
    cpu->outer_norms(n, d, p, 1e-4, C(x), C(g), C(square), C(slack));
    dev->outer_norms(n, d, p, 1e-4, D(x), D(g), D(square), D(slack));
    twin_near("outer_norms", &square, 0x1p-18, double_rounding);
    twin_near("outer_norms' slack", &slack, 0x1p-18, double_rounding);
    twin_send(&square), twin_send(&slack); /* ghost_norms adds to the same values */
    cpu->ghost_norms(n, d, 1e-4, C(in[0]), C(in[1]), C(in[2]), C(in[3]), C(in[4]),
                     C(square), C(slack));
    dev->ghost_norms(n, d, 1e-4, D(in[0]), D(in[1]), D(in[2]), D(in[3]), D(in[4]),
                     D(square), D(slack));
    twin_near("ghost_norms", &square, double_rounding, double_rounding);
    twin_near("ghost_norms' slack", &slack, double_rounding, double_rounding);
    for (int i = 0; i < 5; i++) {
        twin_free(&in[i]);
    }
    twin_free(&x), twin_free(&g), twin_free(&square), twin_free(&slack);
}

static void rows_and_totals(int64_t n, int64_t len)
{
    struct twin x = twin_floats(n * len), factor = hiding_factors(n);
    struct twin y = twin_floats(n * len), sum = twin_floats(n * (len + 3) + len);
    struct twin total = twin_doubles(1), values = twin_doubles(n);
    poison(&x);
    cpu->channels_last(n, len, 1, C(x), C(y)),
        dev->channels_last(n, len, 1, D(x), D(y));
    twin_same("channels_last of one channel", &y);
    cpu->channels_last(1, len, n, C(x), C(y)),
        dev->channels_last(1, len, n, D(x), D(y));
    twin_same("channels_last", &y);
    cpu->drop_rows(n, len, C(factor), C(x)), dev->drop_rows(n, len, D(factor), D(x));
    twin_same("drop_rows", &x);
    cpu->sum_rows_each(n, 1, len, C(x), C(sum), len + 3);
    dev->sum_rows_each(n, 1, len, D(x), D(sum), len + 3);
    twin_same("sum_rows_each of one row", &sum);
    cpu->sum_rows_each(1, n, len, C(x), C(sum), len);
    dev->sum_rows_each(1, n, len, D(x), D(sum), len);
    twin_same("sum_rows_each of one example", &sum);
    cpu->add_total(n, C(values), C(total)), dev->add_total(n, D(values), D(total));
    twin_near("add_total", &total, double_rounding, double_rounding);
    for (int64_t i = 0; i < n; i++) { /* some of them whole */
        float *f = (float *)factor.cpu + i;
        *f = i % 3 == 1 ? 1.0f : *f;
    }
    twin_send(&factor);
    cpu->add_votes(n, C(factor), C(total)), dev->add_votes(n, D(factor), D(total));
    twin_near("add_votes", &total, double_rounding, double_rounding);
    cpu->divide(n, 3.7, C(values)), dev->divide(n, 3.7, D(values));
    twin_same("divide", &values);
    twin_free(&x), twin_free(&factor), twin_free(&y), twin_free(&sum);
    twin_free(&total), twin_free(&values);
}

/* So many rows that a block shares a column: in double, so one rounding to float. */
static void tall(int64_t rows, int64_t cols)
{
    struct twin x = twin_floats(rows * cols), sum = twin_floats(cols);
    cpu->sum_rows(rows, cols, C(x), C(sum)), dev->sum_rows(rows, cols, D(x), D(sum));
    twin_near("sum_rows of many rows", &sum, 0x1p-23, 0x1p-40);
    twin_free(&x), twin_free(&sum);
}

/* The fused kernel beside its four parts, and beside itself: it must not vary. */
static void fused(int64_t n, int64_t len)
{
    struct twin x = twin_floats(n * len), square = twin_doubles(n),
                slack = twin_doubles(n);
    struct twin factor = twin_floats(n), sum = twin_floats(len),
                total = twin_doubles(len);
    void *again = NULL;
    poison(&x);
    memset(slack.cpu, 0, (size_t)n * sizeof(double));
    cpu->square_rows(n, len, C(x), C(square));
    cpu->clip_factors(n, 3.0, C(square), C(slack), C(factor));
    cpu->weighted_sum(n, len, C(factor), C(x), C(sum));
    twin_expect("memory", device_alloc((size_t)len * sizeof(double), &again));
    device_copy(again, D(total), (size_t)len * sizeof(double));
    cpu->accumulate(len, C(sum), C(total));
    device_clip_accumulate(n, len, 3.0, D(x), D(factor), D(total));
    twin_near("clip_accumulate's factors", &factor, 0x1p-23, 0.0);
    twin_near("clip_accumulate", &total, float_sum, float_sum);
    device_clip_accumulate(n, len, 3.0, D(x), D(factor), again);
    struct twin other = {.cpu = malloc((size_t)len * sizeof(double) + 1),
                         .dev = again,
                         .n = len,
                         .size = sizeof(double)};
    twin_expect("download",
                device_download(other.cpu, D(total), (size_t)len * sizeof(double)));
    twin_same("clip_accumulate a second time", &other);
    twin_free(&other);
    twin_free(&x), twin_free(&square), twin_free(&slack);
    twin_free(&factor), twin_free(&sum), twin_free(&total);
}

/* Without slack nothing can be contracted, so sqrt, *, / and the rounding are those of
 * IEEE 754 and the factors the CPU's bit for bit; with it they may differ by one unit
 * in the last place. Never above clip / norm. */
static void factors(int64_t n)
{
    struct twin square = twin_doubles(n), slack = twin_doubles(n),
                factor = twin_floats(n);
    for (int64_t i = 0; i < n; i++) {
        double *s = (double *)square.cpu + i, *k = (double *)slack.cpu + i;
        *s = *s * *s * 10.0, *k = i % 2 ? fabs(*k) * 1e-9 : 0.0;
        *s = i % 11 == 3 ? NAN : i % 11 == 4 ? INFINITY : i % 11 == 5 ? 1e30 : *s;
        *s = i % 11 == 6 ? 0.0 : i % 11 == 7 ? 1.0 : *s;
    }
    twin_send(&square), twin_send(&slack);
    cpu->clip_factors(n, 1.0, C(square), C(slack), C(factor));
    dev->clip_factors(n, 1.0, D(square), D(slack), D(factor));
    twin_near("clip_factors", &factor, 0x1p-23, 0.0);
    memset(slack.cpu, 0, (size_t)n * sizeof(double));
    twin_send(&slack);
    cpu->clip_factors(n, 1.0, C(square), C(slack), C(factor));
    dev->clip_factors(n, 1.0, D(square), D(slack), D(factor));
    twin_same("clip_factors without slack", &factor);
    float *got = malloc((size_t)n * sizeof *got + 1);
    twin_expect("download", device_download(got, D(factor), (size_t)n * sizeof *got));
    for (int64_t i = 0; i < n; i++) {
        double s = ((double *)square.cpu)[i];
        bool is_hidden = !(s < 1e24);
        twin_expect("clip_factors: an upper bound",
                    is_hidden ? got[i] == 0.0f
                              : (double)got[i] * sqrt(s) <= 1.0 && got[i] <= 1.0f);
    }
    free(got);
    struct twin other = twin_floats(n);
    cpu->auto_factors(n, 2.0, 0.01, C(square), C(slack), C(other));
    dev->auto_factors(n, 2.0, 0.01, D(square), D(slack), D(other));
    twin_same("auto_factors", &other);
    cpu->drop_factors(n, C(factor), C(other)),
        dev->drop_factors(n, D(factor), D(other));
    twin_same("drop_factors", &other);
    twin_free(&square), twin_free(&slack), twin_free(&factor), twin_free(&other);
}

static void ghost(int64_t n, int64_t t, int64_t d, int64_t p)
{
    struct twin a = twin_floats(n * t * d), g = twin_floats(n * t * p);
    struct twin square = twin_doubles(n), error = twin_doubles(n);
    struct twin each = twin_floats(n * d * p);
    cpu->ghost_square(n, t, d, p, C(a), C(g), C(square), C(error));
    dev->ghost_square(n, t, d, p, D(a), D(g), D(square), D(error));
    twin_near("ghost_square", &square, double_rounding, 1e-9);
    twin_near("ghost_square's error", &error, double_rounding, 0.0);
    cpu->outer_each(n, t, d, p, C(a), C(g), C(each), d * p);
    dev->outer_each(n, t, d, p, D(a), D(g), D(each), d * p);
    twin_near("outer_each", &each, float_sum, float_sum * 10.0);
    twin_free(&a), twin_free(&g), twin_free(&square), twin_free(&error);
    twin_free(&each);
}

static void product(int64_t m, int64_t n, int64_t k)
{
    for (int flags = 0; flags < 8; flags++) {
        bool a_t = flags & 1, b_t = flags & 2;
        float beta = flags & 4 ? 1.0f : 0.0f;
        struct twin a = twin_floats(m * k), b = twin_floats(k * n),
                    c = twin_floats(m * n);
        cpu->gemm(a_t, b_t, m, n, k, C(a), C(b), beta, C(c));
        dev->gemm(a_t, b_t, m, n, k, D(a), D(b), beta, D(c));
        twin_near("gemm", &c, float_sum, float_sum * 16.0);
        twin_free(&a), twin_free(&b), twin_free(&c);
    }
    struct twin y = twin_floats(m * n), bias = twin_floats(n), sum = twin_floats(n);
    poison(&y);
    cpu->sum_rows(m, n, C(y), C(sum)), dev->sum_rows(m, n, D(y), D(sum));
    twin_near("sum_rows", &sum, 0x1p-23, 0.0);
    cpu->add_bias(m, n, C(bias), C(y)), dev->add_bias(m, n, D(bias), D(y));
    twin_same("add_bias", &y);
    twin_free(&y), twin_free(&bias), twin_free(&sum);
}

static void all(void)
{
    for (int i = 0; i < N_LENS; i++) {
        activations(lens[i]);
        updates(lens[i]);
        factors(lens[i]);
        for (int64_t n = 0; n < 40; n = 3 * n + 1) {
            clipping(n, lens[i]);
            fused(n, lens[i]);
            bounds(n, lens[i], n);
            rows_and_totals(n, lens[i]);
        }
    }
    for (int i = 0; i < 12; i++) {
        int64_t shape[4];
        for (int j = 0; j < 4; j++) {
            shape[j] = (int64_t)(twin_random() % (i < 4 ? 3 : 34)) + (j > 0);
        }
        ghost(shape[0], shape[1], shape[2], shape[3]);
        product(shape[0], shape[1], shape[2] * shape[3]);
    }
    tall(64, 8), tall(1000, 3), tall(2049, 41), tall(777, 300);
    compare_layers();
    compare_tokens();
    compare_grid();
}

/* compare [beside]: all, or only what the order of streams can spoil. */
int main(int argc, char **argv)
{
    if (device_count() == 0 || !device_use(0)) {
        printf("skipped: no CUDA device\n");
        return 77;
    }
    if (argc < 2 || strcmp(argv[1], "beside") != 0) {
        all();
    }
    compare_beside();
    twin_expect("nothing failed on the device", device_sync());
    const char *text = device_error();
    printf("twins: %ld checks, %ld failed%s%s\n", twin_n_checks, twin_n_faults,
           text != NULL ? ": " : "", text != NULL ? text : "");
    return twin_n_faults == 0 ? 0 : 1;
}
