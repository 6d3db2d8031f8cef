/* Normal draws: against the library's functions, and as a distribution. The key is
 * fixed, so a run is reproducible; for a key drawn at random each bound below would
 * fail with a probability under 1e-6 (moments and correlations: 5.5 standard
 * deviations; Kolmogorov-Smirnov: 2 exp(-2 * 2.75^2)). */
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "base/crypto.h"
#include "kernels/kernels.h"

enum { N = 1 << 20 };
static const double max_sigmas = 5.5, max_ks = 2.75;

/* Draws of one step: the stream as the engine uses it. */
static double *draw(uint64_t step)
{
    unsigned char key[CRYPTO_KEY_SIZE] = {7};
    struct crypto_stream *stream = crypto_stream_new(key);
    uint64_t *bits = malloc(N * sizeof *bits);
    double *x = calloc(N, sizeof *x);
    crypto_stream_seek(stream, step, 0);
    crypto_stream_read(stream, bits, N * sizeof *bits);
    kernels_cpu.gaussian(N, bits, 1.0, x);
    crypto_stream_free(stream);
    free(bits);
    return x;
}

static void compare(uint64_t first, uint64_t second)
{
    uint64_t bits[2] = {first, second};
    double x[2] = {0.0, 0.0};
    kernels_cpu.gaussian(2, bits, 1.0, x);
    double u = (double)((first >> 11) + 1) * 0x1p-53,
           v = (double)(second >> 11) * 0x1p-53;
    double radius = sqrt(-2.0 * log(u));
    ck_assert_double_eq_tol(x[0], radius * cos(2.0 * M_PI * v), 1e-14 * (radius + 1.0));
    ck_assert_double_eq_tol(x[1], radius * sin(2.0 * M_PI * v), 1e-14 * (radius + 1.0));
}

START_TEST(agrees_with_the_library)
{
    uint64_t state = 1, edges[] = {0,
                                   1u << 11,
                                   UINT64_MAX,
                                   UINT64_MAX / 2,
                                   UINT64_MAX / 4,
                                   UINT64_MAX / 8 * 3,
                                   1ull << 63};
    for (int i = 0; i < 7; i++) {
        for (int j = 0; j < 7; j++) {
            compare(edges[i], edges[j]);
        }
    }
    for (int i = 0; i < 100000; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        uint64_t first = state >> (i % 50);
        state = state * 6364136223846793005u + 1442695040888963407u;
        compare(first, state);
    }
}
END_TEST

START_TEST(moments)
{
    double *x = draw(3), sum[5] = {0};
    for (int i = 0; i < N; i++) {
        double power = 1.0;
        for (int p = 1; p <= 4; p++) {
            power *= x[i];
            sum[p] += power / N;
        }
    }
    /* variances of x, x^2, x^3, x^4: 1, 2, 15, 96 */
    double root = sqrt((double)N);
    ck_assert_double_lt(fabs(sum[1]), max_sigmas / root);
    ck_assert_double_lt(fabs(sum[2] - 1.0), max_sigmas * sqrt(2.0) / root);
    ck_assert_double_lt(fabs(sum[3]), max_sigmas * sqrt(15.0) / root);
    ck_assert_double_lt(fabs(sum[4] - 3.0), max_sigmas * sqrt(96.0) / root);
    free(x);
}
END_TEST

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

START_TEST(kolmogorov_smirnov)
{
    double *x = draw(4), worst = 0.0;
    qsort(x, N, sizeof *x, ascending);
    for (int i = 0; i < N; i++) {
        double cdf = 0.5 * erfc(-x[i] / sqrt(2.0));
        worst = fmax(worst, fmax(cdf - (double)i / N, (double)(i + 1) / N - cdf));
    }
    ck_assert_double_lt(worst * sqrt((double)N), max_ks);
    free(x);
}
END_TEST

static double correlation(const double *x, const double *y, int lag, bool of_squares)
{
    double sum = 0.0;
    int n = N - lag;
    for (int i = 0; i < n; i++) {
        double a = x[i + lag], b = y[i];
        /* (a^2 - 1)/sqrt 2 has variance 1 */
        sum += of_squares ? (a * a - 1.0) * (b * b - 1.0) / 2.0 : a * b;
    }
    return sum / sqrt((double)n);
}

START_TEST(independent)
{
    double *x = draw(5), *y = draw(6);
    ck_assert_double_lt(fabs(correlation(x, y, 0, false)), max_sigmas);
    ck_assert_double_lt(fabs(correlation(x, y, 0, true)), max_sigmas);
    for (int lag = 1; lag <= 3; lag++) { /* lag 1: the two halves of a pair */
        ck_assert_double_lt(fabs(correlation(x, x, lag, false)), max_sigmas);
        ck_assert_double_lt(fabs(correlation(x, x, lag, true)), max_sigmas);
    }
    free(x), free(y);
}
END_TEST

START_TEST(scales_and_adds)
{
    uint64_t bits[4] = {1ull << 60, 2ull << 61, 3ull << 60, 5ull << 60};
    double unit[4] = {0}, scaled[4] = {1.0, 2.0, 3.0, 4.0};
    kernels_cpu.gaussian(4, bits, 1.0, unit);
    kernels_cpu.gaussian(4, bits, 2.5, scaled);
    for (int i = 0; i < 4; i++) {
        ck_assert_double_eq_tol(scaled[i], 1.0 + i + 2.5 * unit[i], 1e-14);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kernels");
    TCase *tcase = tcase_create("noise");
    tcase_add_test(tcase, agrees_with_the_library);
    tcase_add_test(tcase, moments);
    tcase_add_test(tcase, kolmogorov_smirnov);
    tcase_add_test(tcase, independent);
    tcase_add_test(tcase, scales_and_adds);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
