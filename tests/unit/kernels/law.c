#include "tests/unit/kernels/law.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

struct law_stream law_open(unsigned char seed)
{
    unsigned char key[CRYPTO_KEY_SIZE] = {seed};
    return (struct law_stream){.crypto = crypto_stream_new(key)};
}

void law_words(void *state, uint64_t *ret_words, int64_t n)
{
    struct law_stream *stream = state;
    crypto_stream_read(stream->crypto, ret_words, (size_t)n * sizeof *ret_words);
    stream->n_words += n;
}

double law_total_weight(const struct law_tested *tested)
{
    double total = 0.0;
    for (int64_t k = LAW_REACH; k > 0; k--) {
        total += 2.0 * tested->weight(tested->of, k);
    }
    return total + tested->weight(tested->of, 0);
}

/* Quantile of chi-square by Wilson and Hilferty (1931). */
static double chi_square_limit(int df)
{
    double part = 2.0 / (9.0 * df);
    return df * pow(1.0 - part + LAW_MAX_SIGMAS * sqrt(part), 3.0);
}

static int cell_of(int64_t k, int n_cells, int64_t width)
{
    double cell = floor((double)k / (double)width) + n_cells / 2;
    return (int)fmin(fmax(cell, 0.0), n_cells - 1.0);
}

void law_check(const struct law_tested *tested, int64_t n_draws, int n_cells,
               int64_t width, int64_t far, unsigned char seed)
{
    struct law_stream stream = law_open(seed);
    struct discrete_source source = {law_words, &stream};
    int64_t *x = malloc(LAW_BLOCK * sizeof *x);
    double *count = calloc((size_t)n_cells, sizeof *count);
    double *expected = calloc((size_t)n_cells, sizeof *expected);
    double n = 0.0, n_far = 0.0, far_weight = 0.0, total = law_total_weight(tested);
    for (; n < (double)n_draws; n += LAW_BLOCK) {
        tested->draw(tested->of, LAW_BLOCK, &source, x);
        for (int i = 0; i < LAW_BLOCK; i++) {
            count[cell_of(x[i], n_cells, width)]++;
            n_far += llabs((long long)x[i]) > far;
        }
    }
    for (int64_t k = -LAW_REACH; k <= LAW_REACH; k++) {
        double share = tested->weight(tested->of, k) / total;
        expected[cell_of(k, n_cells, width)] += n * share;
        far_weight += llabs((long long)k) > far ? share : 0.0;
    }
    double chi_square = 0.0;
    for (int i = 0; i < n_cells; i++) {
        ck_assert_double_gt(expected[i], 20.0);
        chi_square += (count[i] - expected[i]) * (count[i] - expected[i]) / expected[i];
    }
    ck_assert_double_lt(chi_square, chi_square_limit(n_cells - 1));
    ck_assert_double_gt(n * far_weight, 20.0);
    ck_assert_double_lt(fabs(n_far - n * far_weight),
                        LAW_MAX_SIGMAS * sqrt(n * far_weight) + 6.0);
    crypto_stream_free(stream.crypto);
    free(x);
    free(count);
    free(expected);
}
