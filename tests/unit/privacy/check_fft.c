/* The transform against known spectra and against sums in extended precision, within
 * the bound that its header derives. */
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "jobs/privacy/fft.h"

static struct error err;
static uint64_t state;

static double uniform(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 11) * 0x1p-53 - 0.5;
}

static struct fft *new_fft(size_t n)
{
    struct fft *fft = NULL;
    ck_assert_msg(fft_new(n, &fft, &err) == 0, "%s", err.text);
    return fft;
}

START_TEST(known_spectra)
{
    enum { N = 16 };
    struct fft *fft = new_fft(N);
    for (size_t at = 0; at < N; at++) { /* an impulse turns into a wave */
        double data[N + 2] = {0};
        data[at] = 1;
        fft_forward(fft, data);
        for (size_t k = 0; k <= N / 2; k++) {
            double angle = 2 * M_PI * (double)(at * k % N) / N;
            ck_assert_double_eq_tol(data[2 * k], cos(angle), 1e-15);
            ck_assert_double_eq_tol(data[2 * k + 1], -sin(angle), 1e-15);
        }
    }
    double constant[N + 2];
    for (size_t j = 0; j < N; j++)
        constant[j] = 3;
    fft_forward(fft, constant);
    ck_assert_double_eq(constant[0], 48);
    for (size_t i = 1; i < N + 2; i++)
        ck_assert_double_eq_tol(constant[i], 0, 1e-14);
    fft_free(fft);
}
END_TEST

/* Sums of squares of a - b and of b over the whole spectrum of n reals. */
static void compare(const double *half, const long double *re, const long double *im,
                    size_t n, double *ret_difference, double *ret_norm)
{
    long double difference = 0, norm = 0;
    for (size_t k = 0; k <= n / 2; k++) {
        long double weight = k == 0 || k == n / 2 ? 1 : 2;
        long double x = half[2 * k] - re[k], y = half[2 * k + 1] - im[k];
        difference += weight * (x * x + y * y);
        norm += weight * (re[k] * re[k] + im[k] * im[k]);
    }
    *ret_difference = (double)sqrtl(difference);
    *ret_norm = (double)sqrtl(norm);
}

/* Lengths 4 to 2048: odd and even powers of two take different last passes. */
START_TEST(error_is_within_the_bound)
{
    size_t n = (size_t)4 << _i;
    struct fft *fft = new_fft(n);
    double *data = malloc((n + 2) * sizeof *data), *input = malloc(n * sizeof *input);
    long double *re = calloc(n, sizeof *re), *im = calloc(n, sizeof *im);
    state = (uint64_t)_i;
    for (size_t j = 0; j < n; j++)
        data[j] = input[j] = uniform() * exp(20 * uniform());
    for (size_t k = 0; k <= n / 2; k++) {
        for (size_t j = 0; j < n; j++) {
            long double angle =
                2 * 3.14159265358979323846264L * (long double)(j * k % n) / n;
            re[k] += input[j] * cosl(angle);
            im[k] -= input[j] * sinl(angle);
        }
    }
    fft_forward(fft, data);
    double difference, norm;
    compare(data, re, im, n, &difference, &norm);
    ck_assert_double_le(difference, fft_error(n) * norm);

    /* back: the exact inverse of what fft_forward gave is the input up to its error */
    fft_inverse(fft, data);
    double off = 0, square = 0;
    for (size_t j = 0; j < n; j++) {
        off += (data[j] - input[j]) * (data[j] - input[j]);
        square += input[j] * input[j];
    }
    ck_assert_double_le(sqrt(off), 2 * fft_error(n) * sqrt(square));
    free(data);
    free(input);
    free(re);
    free(im);
    fft_free(fft);
}
END_TEST

START_TEST(convolution_of_dice)
{
    /* 64 throws of a coin: binomial coefficients over 2^64 */
    enum { N = 128 };
    struct fft *fft = new_fft(N);
    double data[N + 2] = {0.5, 0.5}, expected = 0x1p-64;
    fft_forward(fft, data);
    for (size_t k = 0; k <= N / 2; k++) {
        double re = data[2 * k], im = data[2 * k + 1];
        for (int squaring = 0; squaring < 6; squaring++) {
            double held = re * re - im * im;
            im = 2 * re * im;
            re = held;
        }
        data[2 * k] = re;
        data[2 * k + 1] = im;
    }
    fft_inverse(fft, data);
    for (int i = 0; i <= 64; i++) {
        ck_assert_double_eq_tol(data[i], expected, 1e-15);
        expected *= (double)(64 - i) / (i + 1);
    }
    fft_free(fft);
}
END_TEST

START_TEST(other_lengths_are_refused)
{
    const size_t wrong[] = {0, 1, 2, 3, 6, 1000, (size_t)1 << 25};
    struct fft *fft = NULL;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        ck_assert_int_eq(fft_new(wrong[i], &fft, &err), -PPT_ERANGE);
    ck_assert_ptr_null(fft);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fft");
    TCase *tcase = tcase_create("fft");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, known_spectra);
    tcase_add_loop_test(tcase, error_is_within_the_bound, 0, 10);
    tcase_add_test(tcase, convolution_of_dice);
    tcase_add_test(tcase, other_lengths_are_refused);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
