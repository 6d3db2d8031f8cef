/* Clipping must bound what an example adds, whatever its floats are. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"

static const struct kernels *const k = &kernels_cpu;

enum { T = 512, D = 4, P = 4, SEEDS = 200 };

/* |A^T G| of a[t, d] and g[t, p] in extended precision. */
static double norm_of(int t, int d, int p, const float *a, const float *g)
{
    long double square = 0.0L;
    for (int i = 0; i < d; i++) {
        for (int j = 0; j < p; j++) {
            long double sum = 0.0L;
            for (int s = 0; s < t; s++) {
                sum += (long double)a[s * d + i] * (long double)g[s * p + j];
            }
            square += sum * sum;
        }
    }
    return (double)sqrtl(square);
}

static double true_norm(const float *a, const float *g)
{
    return norm_of(T, D, P, a, g);
}

/* The ghost norm as it is usually written: Gram matrices and their sum in float. */
static double float_norm(const float *a, const float *g)
{
    float *aa = malloc(sizeof(float) * T * T), *gg = malloc(sizeof(float) * T * T);
    float sum = 0.0f;
    k->gemm(false, true, T, T, D, a, a, 0.0f, aa);
    k->gemm(false, true, T, T, P, g, g, 0.0f, gg);
    for (int i = 0; i < T * T; i++) {
        sum += aa[i] * gg[i];
    }
    free(aa), free(gg);
    return sum > 0.0f ? (double)sqrtf(sum) : 0.0;
}

/* Output gradients that nearly alternate in sign over places whose inputs are alike:
 * the terms of the ghost norm cancel almost wholly. */
static void make_alternating(uint64_t seed, float *a, float *g)
{
    seed = seed * 0x9e3779b97f4a7c15u + 1;
    for (int i = 0; i < T * D; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        double off = (double)(seed >> 11) * 0x1p-52 - 1.0;
        a[i] = i < D ? (float)(1.0 + 0.5 * off) : a[i % D];
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        off = (double)(seed >> 11) * 0x1p-52 - 1.0;
        double sign = i / P % 2 == 0 ? 1.0 : -1.0;
        g[i] = (float)(sign * (1.0 + i % P) * (1.0 + 3e-4 * off));
    }
}

/* Sums in float, raised by a bound: never below the truth, and hardly above it, also
 * where every addition rounds down or squares are too small for a float. */
START_TEST(outer_norms_are_upper_bounds)
{
    enum { MOST = 5000 };
    static const float values[] = {1.0f,   1.0000001f, 1.9999999f, 0.30000001f,  1e-3f,
                                   3e-23f, 1e-30f,     1e10f,      3.1622776e14f};
    static const int64_t lens[] = {1, 63, 64, 65, 784, 1024, 1087, 4097, MOST};
    float *x = malloc(MOST * sizeof *x), one = 1.0f;
    uint64_t seed = 1;
    for (size_t v = 0; v < 2 * sizeof values / sizeof *values; v++) {
        for (size_t l = 0; l < sizeof lens / sizeof *lens; l++) {
            long double truth = 0.0L;
            double square = 0.0, slack = 0.0;
            for (int64_t i = 0; i < lens[l]; i++) {
                seed = seed * 6364136223846793005u + 1442695040888963407u;
                float part = (float)(seed >> 40) * 0x1p-24f;
                x[i] = values[v / 2] * (v % 2 == 0 ? 1.0f : part);
                truth += (long double)x[i] * (long double)x[i];
            }
            k->outer_norms(1, lens[l], 1, 1.0, x, &one, &square, &slack);
            if (truth > 1e30L) {
                ck_assert(isinf(square));
                continue;
            }
            long double room = 1.0L + (long double)lens[l] * 0x1p-52L;
            ck_assert((long double)square * room >= truth + 1.0L);
            ck_assert((long double)(slack * slack) * room * room >= truth);
            ck_assert((long double)(slack * slack) <=
                      truth * (1.0L + 0x1p-18L) + (long double)lens[l] * 0x1p-148L);
        }
    }
    free(x);
}
END_TEST

/* The finding that this room is built around: computed in float, the norm of such an
 * example comes out far too small, so that it is not clipped at all. Ours never is
 * below the truth, and what the example adds stays within the clip norm. */
START_TEST(alternating_gradients_are_bounded)
{
    static float a[T * D], g[T * P], sum[D * P];
    int n_fooled = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        make_alternating(seed, a, g);
        double exact = true_norm(a, g), square, error;
        n_fooled += float_norm(a, g) < 0.9 * exact;
        k->ghost_square(1, T, D, P, a, g, &square, &error);
        ck_assert_double_le(fabs(square - exact * exact), error);
        double up_square = fmax(square, 0.0) + error, gamma = (T + 2) * 0x1p-24;
        double aa, gg, clip = 0.3 * exact, slack;
        float factor;
        k->square_rows(1, T * D, a, &aa);
        k->square_rows(1, T * P, g, &gg);
        slack = 1.001 * gamma * sqrt(aa * gg);
        k->clip_factors(1, clip, &up_square, &slack, &factor);
        ck_assert_double_le((double)factor * exact, clip);
        ck_assert_double_gt((double)factor * exact, 0.0);
        k->scale_rows(1, T * P, &factor, g);
        k->gemm(true, false, D, P, T, a, g, 0.0f, sum);
        double added;
        k->square_rows(1, D * P, sum, &added);
        ck_assert_double_le(sqrt(added), clip);
    }
    ck_assert_int_gt(n_fooled, SEEDS / 4); /* else the test shows nothing */
}
END_TEST

/* Whatever the sizes are: blocks and vectors have ends. */
START_TEST(ghost_is_the_norm)
{
    enum { N = 3, MOST = 20 * 40 };
    static const int sizes[][3] = {{1, 1, 1},  {1, 9, 3},   {2, 8, 16}, {3, 7, 5},
                                   {4, 16, 8}, {5, 17, 33}, {6, 1, 40}, {7, 40, 1},
                                   {9, 31, 9}, {20, 40, 23}};
    float a[N * MOST], g[N * MOST];
    uint64_t seed = 9;
    for (int i = 0; i < N * MOST; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        a[i] = (float)((double)(seed >> 11) * 0x1p-52 - 1.0);
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        g[i] = (float)((double)(seed >> 11) * 0x1p-52 - 1.0);
    }
    for (size_t c = 0; c < sizeof sizes / sizeof *sizes; c++) {
        int t = sizes[c][0], d = sizes[c][1], p = sizes[c][2];
        double square[N], error[N];
        k->ghost_square(N, t, d, p, a, g, square, error);
        for (int i = 0; i < N; i++) {
            double exact = norm_of(t, d, p, a + i * t * d, g + i * t * p);
            ck_assert_double_eq_tol(sqrt(square[i]) / exact, 1.0, 1e-10);
            ck_assert_double_lt(error[i], 1e-6 * square[i]);
            ck_assert_double_gt(error[i], 0.0);
        }
    }
}
END_TEST

START_TEST(factors)
{
    double square[8] = {0.0, 1.0, 4.0, 100.0, NAN, INFINITY, 1e30, -1.0};
    double slack[8] = {0.0, 0.0, 0.0, 10.0, 0.0, 0.0, 0.0, 0.0};
    float factor[8];
    k->clip_factors(8, 2.0, square, slack, factor);
    ck_assert_float_eq(factor[0], 1.0f);
    ck_assert_float_eq(factor[1], 1.0f);
    ck_assert_float_lt(factor[2], 1.0f); /* at the bound: up is a little larger */
    ck_assert_float_gt(factor[2], 0.99999f);
    ck_assert_double_eq_tol((double)factor[3], 0.1, 1e-6);
    for (int i = 4; i < 8; i++) {
        ck_assert_float_eq(factor[i], 0.0f);
    }
    for (int i = 1; i <= 1000; i++) {
        double up = 2.0 + i * 0.0137, s = up * up, none = 0.0;
        k->clip_factors(1, 2.0, &s, &none, factor);
        ck_assert_double_le((double)factor[0] * up, 2.0);
    }
}
END_TEST

START_TEST(votes_are_halves)
{
    const float below = nextafterf(1.0f, 0.0f);
    const float factor[] = {1.0f, 0.0f, below, 1e-30f, 1.0f, 1.0f, 0.0f};
    double total = 0x1p50;
    kernels_cpu.add_votes(7, factor, &total);
    ck_assert_double_eq(total, 0x1p50 + 0.5);
    kernels_cpu.add_votes(2, factor + 2, &total);
    ck_assert_double_eq(total, 0x1p50 - 0.5);
    kernels_cpu.add_votes(0, factor, &total);
    ck_assert_double_eq(total, 0x1p50 - 0.5);
}
END_TEST

/* Automatic clipping: always shorter than the bound, and refused like the others. */
START_TEST(automatic_factors)
{
    double square[8] = {0.0, 1.0, 4.0, 100.0, NAN, INFINITY, 1e30, -1.0};
    double slack[8] = {0.0, 0.0, 0.0, 10.0, 0.0, 0.0, 0.0, 0.0};
    float factor[8];
    k->auto_factors(8, 2.0, 0.01, square, slack, factor);
    const double expected[4] = {200.0, 2.0 / 1.01, 2.0 / 2.01, 2.0 / 20.01};
    for (int i = 0; i < 4; i++) {
        ck_assert_double_eq_tol((double)factor[i], expected[i], 2e-6 * expected[i]);
        ck_assert_double_le((double)factor[i], expected[i]);
    }
    for (int i = 4; i < 8; i++) {
        ck_assert_float_eq(factor[i], 0.0f);
    }
    float kept[8] = {1.0f, 0.0f, 0.5f, 1e-12f, 1.0f, 1.0f, 1.0f, 1.0f};
    k->drop_factors(8, kept, factor);
    ck_assert_float_gt(factor[0], 0.0f);
    ck_assert_float_eq(factor[1], 0.0f);
    ck_assert_float_gt(factor[2], 0.0f);
    ck_assert_float_gt(factor[3], 0.0f);
    for (int i = 1; i <= 2000; i++) {
        double norm = exp(0.03 * i - 30.0), s = norm * norm, none = 0.0;
        k->auto_factors(1, 2.0, 1e-6, &s, &none, factor);
        ck_assert_double_lt((double)factor[0] * norm, 2.0);
    }
}
END_TEST

START_TEST(a_zero_factor_hides_any_row)
{
    enum { N = 4, LEN = 300 };
    static float x[N * LEN], y[N * LEN], sum[LEN];
    float factor[N] = {0.5f, 0.0f, 0.0f, 0.25f};
    for (int i = 0; i < N * LEN; i++) {
        x[i] = (float)(i % 7);
    }
    for (int i = 0; i < LEN; i++) {
        x[LEN + i] = i % 2 == 0 ? NAN : INFINITY;
        x[2 * LEN + i] = -INFINITY;
    }
    memcpy(y, x, sizeof y);
    k->weighted_sum(N, LEN, factor, x, sum);
    k->scale_rows(N, LEN, factor, y);
    for (int i = 0; i < LEN; i++) {
        ck_assert_float_eq(sum[i], 0.5f * x[i] + 0.25f * x[3 * LEN + i]);
        ck_assert_float_eq(y[i], 0.5f * x[i]);
        ck_assert_float_eq(y[LEN + i], 0.0f);
        ck_assert_float_eq(y[2 * LEN + i], 0.0f);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kernels");
    TCase *tcase = tcase_create("clip");
    tcase_add_test(tcase, outer_norms_are_upper_bounds);
    tcase_add_test(tcase, alternating_gradients_are_bounded);
    tcase_add_test(tcase, ghost_is_the_norm);
    tcase_add_test(tcase, factors);
    tcase_add_test(tcase, automatic_factors);
    tcase_add_test(tcase, votes_are_halves);
    tcase_add_test(tcase, a_zero_factor_hides_any_row);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
