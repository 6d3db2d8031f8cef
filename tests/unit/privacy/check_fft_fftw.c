/* The transform against FFTW in extended precision at the lengths accountants use.
 * Built only where FFTW is installed (development; it is no part of the product). */
#include <check.h>
#include <fftw3.h>
#include <math.h>
#include <stdlib.h>

#include "jobs/privacy/fft.h"

/* Lengths 2^12 to 2^20; a random signal, or a law as narrow as accountants' are. */
START_TEST(agrees_with_fftw)
{
    size_t n = (size_t)1 << (12 + _i / 2);
    struct error err;
    struct fft *fft = NULL;
    ck_assert_msg(fft_new(n, &fft, &err) == 0, "%s", err.text);
    double *data = malloc((n + 2) * sizeof *data);
    long double *in = malloc(n * sizeof *in);
    fftwl_complex *out = fftwl_malloc((n / 2 + 1) * sizeof *out);
    fftwl_plan plan = fftwl_plan_dft_r2c_1d((int)n, in, out, FFTW_ESTIMATE);
    srand48(_i);
    for (size_t j = 0; j < n; j++) {
        double x = (double)j / 40 - 5;
        data[j] = _i % 2 == 0 ? drand48() - 0.5 : 0.01 * exp(-0.5 * x * x);
        in[j] = data[j];
    }
    fftwl_execute(plan);
    fft_forward(fft, data);
    long double difference = 0, norm = 0;
    for (size_t k = 0; k <= n / 2; k++) {
        long double weight = k == 0 || k == n / 2 ? 1 : 2;
        long double x = data[2 * k] - out[k][0], y = data[2 * k + 1] - out[k][1];
        difference += weight * (x * x + y * y);
        norm += weight * (out[k][0] * out[k][0] + out[k][1] * out[k][1]);
    }
    ck_assert_double_le((double)sqrtl(difference / norm), fft_error(n));
    fft_inverse(fft, data);
    difference = norm = 0;
    for (size_t j = 0; j < n; j++) {
        difference += (data[j] - in[j]) * (data[j] - in[j]);
        norm += in[j] * in[j];
    }
    ck_assert_double_le((double)sqrtl(difference / norm), 2 * fft_error(n));
    fftwl_destroy_plan(plan);
    fftwl_free(out);
    free(in);
    free(data);
    fft_free(fft);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fft_fftw");
    TCase *tcase = tcase_create("fft_fftw");
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, agrees_with_fftw, 0, 18);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
