/* The kernels against plain definitions in double. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu.h"

static const struct kernels *const k = &kernels_cpu;

static uint64_t seed;

static float uniform(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (float)((double)(seed >> 11) * 0x1p-52 - 1.0);
}

static void fill(float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        x[i] = uniform();
    }
}

static void setup(void)
{
    seed = 0x2545f4914f6cdd1du;
}

static const struct window windows[] = {
    {.h = 28, .w = 28, .c = 1, .size = 8, .stride = 2, .pad = 3, 14, 14},
    {.h = 6, .w = 7, .c = 5, .size = 3, .stride = 1, .pad = 1, 6, 7},
    {.h = 5, .w = 4, .c = 3, .size = 2, .stride = 2, .pad = 0, 2, 2},
    {.h = 9, .w = 9, .c = 17, .size = 4, .stride = 3, .pad = 2, 4, 4},
};

/* Element (ky, kx, c) of the window at (oy, ox), or -1 in the padding. */
static int64_t source(const struct window *w, int64_t oy, int64_t ox, int64_t j)
{
    int64_t c = j % w->c, kx = j / w->c % w->size, ky = j / w->c / w->size;
    int64_t y = oy * w->stride + ky - w->pad, x = ox * w->stride + kx - w->pad;
    bool is_in = y >= 0 && y < w->h && x >= 0 && x < w->w;
    return is_in ? (y * w->w + x) * w->c + c : -1;
}

/* A CPU that OpenBLAS does not know by its number gets the kernels of its features. */
START_TEST(products_use_the_cpu)
{
    ck_assert_str_eq(gemm_core_wanted("Prescott", true, true), "SkylakeX");
    ck_assert_str_eq(gemm_core_wanted("Prescott", true, false), "Haswell");
    ck_assert_ptr_null(gemm_core_wanted("Prescott", false, false));
    ck_assert_ptr_null(gemm_core_wanted("Zen", true, true));
    ck_assert_ptr_null(gemm_core_wanted("Cooperlake", true, true));
    ck_assert_uint_gt(strlen(kernels_cpu_products()), 0);
}
END_TEST

/* Also after the choice of other kernels behind a product's back. */
START_TEST(products)
{
    enum { M = 37, N = 53, K = 71 };
    float a[M * K], b[K * N], c[M * N];
    fill(a, M * K);
    fill(b, K * N);
    for (int round = 0; round < 3; round++) {
        if (round > 0) {
            k->set_threads(round);
        }
        fill(c, M * N);
        float before = c[5];
        k->gemm(false, false, M, N, K, a, b, 1.0f, c);
        double sum = (double)before;
        for (int l = 0; l < K; l++) {
            sum += (double)a[l] * (double)b[l * N + 5];
        }
        ck_assert_double_eq_tol((double)c[5], sum, 1e-5);
    }
}
END_TEST

START_TEST(unfold_and_fold)
{
    const struct window *w = &windows[_i];
    int64_t n = 3, image = w->h * w->w * w->c, d = w->size * w->size * w->c;
    int64_t t = w->out_h * w->out_w;
    float *x = malloc((size_t)(n * image) * 4), *cols = malloc((size_t)(n * t * d) * 4);
    float *scratch =
        malloc((size_t)((w->h + 2 * w->pad) * (w->w + 2 * w->pad) * w->c) * 4);
    float *back = malloc((size_t)(n * image) * 4);
    double *expected = calloc((size_t)(n * image), sizeof *expected);
    fill(x, n * image);
    k->unfold(w, n, x, cols, scratch);
    for (int64_t i = 0; i < n * t * d; i++) {
        int64_t place = i / d % t;
        int64_t at = source(w, place / w->out_w, place % w->out_w, i % d);
        float wanted = at < 0 ? 0.0f : x[i / d / t * image + at];
        ck_assert_float_eq(cols[i], wanted);
    }
    k->fold(w, n, cols, back, scratch);
    for (int64_t i = 0; i < n * t * d; i++) {
        int64_t place = i / d % t;
        int64_t at = source(w, place / w->out_w, place % w->out_w, i % d);
        if (at >= 0) {
            expected[i / d / t * image + at] += (double)cols[i];
        }
    }
    for (int64_t i = 0; i < n * image; i++) {
        ck_assert_double_eq_tol((double)back[i], expected[i], 1e-4);
    }
    free(x), free(cols), free(scratch), free(back), free(expected);
}
END_TEST

static const struct window pools[] = {
    {.h = 14, .w = 14, .c = 16, .size = 2, .stride = 1, .pad = 0, 13, 13},
    {.h = 7, .w = 6, .c = 3, .size = 3, .stride = 2, .pad = 0, 3, 2},
    {.h = 8, .w = 8, .c = 5, .size = 2, .stride = 2, .pad = 0, 4, 4},
};

START_TEST(pooling)
{
    const struct window *w = &pools[_i];
    int64_t n = 2, image = w->h * w->w * w->c, out = w->out_h * w->out_w * w->c;
    float *x = malloc((size_t)(n * image) * 4), *y = malloc((size_t)(n * out) * 4);
    float *dy = malloc((size_t)(n * out) * 4), *dx = malloc((size_t)(n * image) * 4);
    float *mean = malloc((size_t)(n * out) * 4),
          *dmean = malloc((size_t)(n * image) * 4);
    int32_t *index = malloc((size_t)(n * out) * 4);
    double *max_back = calloc((size_t)(n * image), sizeof *max_back);
    double *mean_back = calloc((size_t)(n * image), sizeof *mean_back);
    fill(x, n * image);
    fill(dy, n * out);
    k->max_pool_forward(w, n, x, y, index);
    k->max_pool_backward(w, n, dy, index, dx);
    k->avg_pool_forward(w, n, x, mean);
    k->avg_pool_backward(w, n, dy, dmean);
    for (int64_t i = 0; i < n * out; i++) {
        int64_t place = i % out / w->c, base = i / out * image, best = -1;
        double sum = 0.0;
        for (int64_t j = i % w->c; j < w->size * w->size * w->c; j += w->c) {
            int64_t at = base + source(w, place / w->out_w, place % w->out_w, j);
            best = best < 0 || x[at] > x[best] ? at : best;
            sum += (double)x[at];
            mean_back[at] += (double)dy[i] / (double)(w->size * w->size);
        }
        max_back[best] += (double)dy[i];
        ck_assert_float_eq(y[i], x[best]);
        ck_assert_double_eq_tol((double)mean[i], sum / (double)(w->size * w->size),
                                1e-6);
    }
    for (int64_t i = 0; i < n * image; i++) {
        ck_assert_double_eq_tol((double)dx[i], max_back[i], 1e-5);
        ck_assert_double_eq_tol((double)dmean[i], mean_back[i], 1e-5);
    }
    free(x), free(y), free(dy), free(dx), free(mean), free(dmean), free(index);
    free(max_back), free(mean_back);
}
END_TEST

static double phi(double x)
{
    return 0.5 * erfc(-x / sqrt(2.0));
}

/* Values and derivatives of both, against libm's in double. */
START_TEST(squash_and_gelu_are_close)
{
    enum { N = 20000 };
    const struct squash s = {1.5f, 3.0f, 0.25f};
    float *x = malloc(N * sizeof *x), *y = malloc(N * sizeof *y);
    float *ones = malloc(N * sizeof *ones), *dx = malloc(N * sizeof *dx);
    for (int i = 0; i < N; i++) {
        double size = pow(10.0, -6.0 + 8.0 * i / N);
        x[i] = (float)(i % 2 == 0 ? size : -size);
        y[i] = x[i];
        ones[i] = 1.0f;
    }
    k->squash_forward(&s, N, y);
    k->gelu_backward(N, x, ones, dx);
    for (int i = 0; i < N; i++) {
        double u = (double)x[i], share = 1.0 / (1.0 + exp(-3.0 * u));
        ck_assert_double_eq_tol((double)y[i], 1.5 * share - 0.25, 1e-6);
        double slope = phi(u) + u * exp(-u * u / 2.0) / sqrt(2.0 * acos(-1.0));
        ck_assert_double_eq_tol((double)dx[i], slope, 1e-6);
    }
    k->squash_backward(&s, N, y, ones);
    k->gelu_forward(N, x, y);
    for (int i = 0; i < N; i++) {
        double u = (double)x[i], share = 1.0 / (1.0 + exp(-3.0 * u));
        ck_assert_double_eq_tol((double)ones[i], 4.5 * share * (1.0 - share), 4e-6);
        ck_assert_double_eq_tol((double)y[i], u * phi(u), 1e-7 + 2.5e-7 * fabs(u));
    }
    float odd[4] = {3e38f, -3e38f, NAN, INFINITY}, one[4] = {1, 1, 1, 1}, out[4];
    k->gelu_backward(4, odd, one, out);
    ck_assert(out[0] == 1.0f && out[1] == 0.0f && isnan(out[2]));
    k->gelu_forward(4, odd, out);
    ck_assert(out[0] == odd[0] && out[1] == 0.0f && isnan(out[2]) && isinf(out[3]));
    k->squash_forward(&s, 4, odd);
    ck_assert(odd[0] == 1.25f && odd[1] == -0.25f && isnan(odd[2]) && odd[3] == 1.25f);
    free(x), free(y), free(ones), free(dx);
}
END_TEST

/* The header promises a relative error of 1e-6 for tanh everywhere. */
START_TEST(tanh_is_close)
{
    enum { N = 400000 };
    float *x = malloc(N * sizeof *x), *y = malloc(N * sizeof *y);
    for (int i = 0; i < N; i++) {
        double size = pow(10.0, -6.0 + 8.0 * i / N);
        x[i] = (float)(i % 2 == 0 ? size : -size);
        y[i] = x[i];
    }
    k->tanh_forward(N, y);
    double worst = 0.0;
    for (int i = 0; i < N; i++) {
        double exact = tanh((double)x[i]);
        worst = fmax(worst, fabs((double)y[i] - exact) / fabs(exact));
    }
    ck_assert_double_lt(worst, 1e-6);
    float special[4] = {0.0f, INFINITY, -INFINITY, NAN};
    k->tanh_forward(4, special);
    ck_assert_float_eq(special[0], 0.0f);
    ck_assert_float_eq(special[1], 1.0f);
    ck_assert_float_eq(special[2], -1.0f);
    ck_assert(isnan(special[3]));
    free(x), free(y);
}
END_TEST

START_TEST(activations_backward)
{
    float y[5] = {-0.5f, 0.0f, 0.25f, 0.9f, 1.0f};
    float relu[5] = {1, 1, 1, 1, 1}, tanh_grad[5] = {1, 1, 1, 1, 1};
    k->relu_backward(5, y, relu);
    k->tanh_backward(5, y, tanh_grad);
    for (int i = 0; i < 5; i++) {
        ck_assert_float_eq(relu[i], y[i] > 0.0f ? 1.0f : 0.0f);
        ck_assert_double_eq_tol((double)tanh_grad[i], 1.0 - (double)y[i] * (double)y[i],
                                1e-7);
    }
}
END_TEST

START_TEST(cross_entropy)
{
    enum { N = 50, C = 10 };
    float logits[N * C], grad[N * C];
    int32_t label[N];
    double loss[N];
    fill(logits, N * C);
    for (int i = 0; i < N; i++) {
        label[i] = (int32_t)(i % C);
        for (int j = 0; j < C; j++) {
            logits[i * C + j] *= i < 40 ? 5.0f : 80.0f;
        }
    }
    k->xent(N, C, logits, label, grad, loss);
    int64_t n_correct = 0;
    for (int i = 0; i < N; i++) {
        const float *row = logits + i * C;
        double sum = 0.0, max = -INFINITY;
        for (int j = 0; j < C; j++) {
            max = fmax(max, (double)row[j]);
        }
        for (int j = 0; j < C; j++) {
            sum += exp((double)row[j] - max);
        }
        ck_assert_double_eq_tol(loss[i], log(sum) + max - (double)row[label[i]], 1e-4);
        for (int j = 0; j < C; j++) {
            double wanted = exp((double)row[j] - max) / sum - (j == label[i]);
            ck_assert_double_eq_tol((double)grad[i * C + j], wanted, 1e-6);
        }
        n_correct += (double)row[label[i]] == max;
    }
    ck_assert_int_eq(k->xent_correct(N, C, logits, label), n_correct);
    logits[label[0]] = INFINITY;
    logits[(label[0] + 1) % C] = NAN;
    ck_assert_int_eq(k->xent_correct(1, C, logits, label), 0);
}
END_TEST

/* Against their definitions, and the gradients against differences. */
START_TEST(other_losses)
{
    enum { N = 30, C = 5 };
    float logits[N * C], grad[N * C], more[N * C];
    int32_t label[N];
    double loss[N], moved[N];
    fill(logits, N * C);
    for (int i = 0; i < N; i++) {
        label[i] = (int32_t)(i % C);
    }
    for (int way = 0; way < 2; way++) {
        void (*of)(int64_t, int64_t, const float *, const int32_t *, float *,
                   double *) = way == 0 ? k->mse : k->hinge;
        of(N, C, logits, label, grad, loss);
        for (int i = 0; i < N; i++) {
            const float *z = logits + i * C;
            double sum = 0.0;
            for (int j = 0; j < C; j++) {
                double off = (double)z[j] - (j == label[i]);
                double margin = 1.0 - (double)z[label[i]] + (double)z[j];
                sum += way == 0 ? off * off : j == label[i] ? 0.0 : fmax(0.0, margin);
            }
            ck_assert_double_eq_tol(loss[i], sum / C, 1e-6);
        }
        for (int j = 0; j < C; j++) {
            memcpy(more, logits, sizeof more);
            for (int i = 0; i < N; i++) {
                more[i * C + j] += 0x1p-10f;
            }
            of(N, C, more, label, NULL, moved);
            for (int i = 0; i < N; i++) {
                ck_assert_double_eq_tol((moved[i] - loss[i]) * 0x1p10,
                                        (double)grad[i * C + j], 1e-3);
            }
        }
        more[0] = NAN, more[C + 2] = INFINITY, label[2] = C;
        of(3, C, more, label, grad, loss);
        ck_assert(isnan(loss[0]) && isnan(grad[0]) && !isnan(grad[C]));
        ck_assert(isnan(loss[2]) && isinf(loss[1]));
        label[2] = 2;
    }
}
END_TEST

/* Gradients that are little but noise: the corrected second moment is the signal's. */
START_TEST(adam_without_the_noise)
{
    enum { N = 2000, STEPS = 400 };
    static float param[N], mean[N], square[N];
    static double grad[N];
    struct optim optim = {.learning_rate = 1e-3,
                          .beta1 = 0.9,
                          .beta2 = 0.99,
                          .noise_square = 1.0,
                          .noise_floor = 0.04};
    for (int step = 1; step <= STEPS; step++) {
        for (int i = 0; i < N; i++) { /* noise of variance 1, and a signal of 3 */
            grad[i] = sqrt(3.0) * (double)uniform() + (i % 2 == 0 ? 3.0 : 0.0);
        }
        optim.step = step;
        k->adam(&optim, N, grad, param, mean, square);
    }
    double moved = 0.0;
    for (int i = 0; i < N; i += 2) {
        moved += (double)param[i] / (N / 2);
    }
    /* each step is rate * 3 / sqrt(9 + 1 - 1); plain Adam's would be 0.949 of it */
    ck_assert_double_eq_tol(moved / (-1e-3 * STEPS), 1.0, 0.01);
    grad[0] = 1.0, param[0] = mean[0] = square[0] = 0.0f, optim.step = 1;
    k->adam(&optim, 1, grad, param, mean, square); /* 1 - 1 < the floor */
    ck_assert_double_eq_tol((double)param[0], -1e-3 / 0.2, 1e-8);
}
END_TEST

START_TEST(updates)
{
    enum { N = 19 };
    double grad[N];
    float sgd[N], momentum[N], velocity[N] = {0}, adam[N], mean[N] = {0},
                               square[N] = {0};
    double p[N], v[N] = {0}, q[N], m[N] = {0}, s[N] = {0}, plain[N];
    for (int i = 0; i < N; i++) {
        sgd[i] = momentum[i] = adam[i] = uniform();
        plain[i] = p[i] = q[i] = (double)sgd[i];
    }
    for (int step = 1; step <= 5; step++) {
        struct optim optim = {.learning_rate = 0.1 / step,
                              .momentum = 0.9,
                              .beta1 = 0.9,
                              .beta2 = 0.99,
                              .step = step};
        for (int i = 0; i < N; i++) {
            grad[i] = (double)uniform();
            plain[i] -= optim.learning_rate * grad[i];
            v[i] = 0.9 * v[i] + grad[i];
            p[i] -= optim.learning_rate * v[i];
            m[i] = 0.9 * m[i] + 0.1 * grad[i];
            s[i] = 0.99 * s[i] + 0.01 * grad[i] * grad[i];
            q[i] -= optim.learning_rate * (m[i] / (1.0 - pow(0.9, step))) /
                    (sqrt(s[i] / (1.0 - pow(0.99, step))) + 1e-8);
        }
        k->sgd(&optim, N, grad, sgd);
        k->momentum(&optim, N, grad, momentum, velocity);
        k->adam(&optim, N, grad, adam, mean, square);
    }
    for (int i = 0; i < N; i++) {
        ck_assert_double_eq_tol((double)sgd[i], plain[i], 1e-6);
        ck_assert_double_eq_tol((double)momentum[i], p[i], 1e-6);
        ck_assert_double_eq_tol((double)adam[i], q[i], 1e-5);
    }
}
END_TEST

/* Steps of one coordinate, worked out by hand from the algorithm: v is 0.25 at first, a
 * square of 1 takes it up by half of 1, one of 0.04 down by half of 0.04, and equal
 * ones leave it. */
START_TEST(yogi_goes_up_and_down_evenly)
{
    static const double grads[] = {1.0, 0.2, 0.0}, squares[] = {0.75, 0.73, 0.73};
    struct optim optim = {
        .learning_rate = 2.0, .beta1 = 0.75, .beta2 = 0.5, .tau = 0.5};
    float param = 3.0f, mean = 0.0f, square = 0.0f;
    double at = 3.0, m = 0.0;
    for (int i = 0; i < 3; i++) {
        k->yogi(&optim, 1, &grads[i], &param, &mean, &square);
        m = 0.75 * m + 0.25 * grads[i];
        at -= 2.0 * m / (sqrt(squares[i]) + 0.5);
        ck_assert_double_eq_tol((double)square, squares[i] - 0.25, 1e-7);
        ck_assert_double_eq_tol((double)mean, m, 1e-7);
        ck_assert_double_eq_tol((double)param, at, 1e-6);
    }
    const double equal = 0.5; /* its square is v at the start */
    square = 0.0f;
    k->yogi(&optim, 1, &equal, &param, &mean, &square);
    ck_assert_float_eq(square, 0.0f);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kernels");
    TCase *tcase = tcase_create("loops");
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, products_use_the_cpu);
    tcase_add_test(tcase, products);
    tcase_add_loop_test(tcase, unfold_and_fold, 0, 4);
    tcase_add_loop_test(tcase, pooling, 0, 3);
    tcase_add_test(tcase, tanh_is_close);
    tcase_add_test(tcase, squash_and_gelu_are_close);
    tcase_add_test(tcase, activations_backward);
    tcase_add_test(tcase, cross_entropy);
    tcase_add_test(tcase, other_losses);
    tcase_add_test(tcase, adam_without_the_noise);
    tcase_add_test(tcase, updates);
    tcase_add_test(tcase, yogi_goes_up_and_down_evenly);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
