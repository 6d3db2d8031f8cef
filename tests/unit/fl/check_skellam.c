/* The Skellam law's table: published digits, and its moments over the whole range of
 * variances; and that draws are searched in it right. */
#include <check.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "jobs/fl/skellam.h"

/* In 64ths. */
static struct skellam open(int64_t variance)
{
    struct skellam skellam;
    struct error err = {0};
    ck_assert_msg(skellam_open(&skellam, variance, &err) == 0, "%s", err.text);
    return skellam;
}

START_TEST(chances_have_their_digits)
{
    char path[512], line[256];
    int n_rows = 0;
    int64_t variance, k, open_variance = 0;
    uint64_t high, low;
    struct skellam skellam = {0};
    snprintf(path, sizeof path, "%s/tests/vectors/skellam.txt",
             getenv("PPT_SOURCE_DIR"));
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "%" SCNd64 " %" SCNd64 " %16" SCNx64 "%16" SCNx64, &variance,
                   &k, &high, &low) != 4) {
            continue;
        }
        if (variance != open_variance) {
            skellam_close(&skellam);
            skellam = open(64 * (open_variance = variance));
        }
        unsigned __int128 exact = (unsigned __int128)high << 64 | low;
        unsigned __int128 found = skellam.least[k - 1];
        unsigned __int128 off = found > exact ? found - exact : exact - found;
        ck_assert_msg(off < 1 << 12, "%s off by %" PRIu64, line, (uint64_t)off);
        n_rows++;
    }
    fclose(file);
    skellam_close(&skellam);
    ck_assert_int_eq(n_rows, 28);
}
END_TEST

/* E x^2 = v and E x^4 = 3 v^2 + v, added up from the chances that |x| >= k. */
START_TEST(moments)
{
    static const int64_t variances[] = {16 * 64, 16 * 64 + 1, 300 * 64 + 63,
                                        54321,   640000000,   INT64_C(1) << 38};
    struct skellam skellam = open(variances[_i]);
    long double v = (long double)variances[_i] / 64, second = 0, fourth = 0;
    for (int64_t k = skellam.n; k > 0; k--) {
        long double chance = (long double)skellam.least[k - 1] * 0x1p-127L;
        long double x = (long double)k, below = x - 1;
        second += (x * x - below * below) * chance;
        fourth += (x * x * x * x - below * below * below * below) * chance;
    }
    ck_assert_double_lt((double)fabsl(second / v - 1), 1e-15);
    ck_assert_double_lt((double)fabsl(fourth / (3 * v * v + v) - 1), 1e-15);
    skellam_close(&skellam);
}
END_TEST

/* Each draw is the place of its bits among the chances. */
START_TEST(draws_are_found_in_the_table)
{
    enum { N = 1000 };
    static const int64_t variances[] = {1024, 64000, 54321};
    static int64_t x[N];
    unsigned char key[CRYPTO_KEY_SIZE] = {3};
    struct skellam skellam = open(variances[_i]);
    struct crypto_stream *stream = crypto_stream_new(key);
    skellam_draw(&skellam, N, stream, x);
    crypto_stream_seek(stream, 0, 0);
    for (int i = 0; i < N; i++) {
        unsigned __int128 word;
        int64_t rank = 0;
        crypto_stream_read(stream, &word, sizeof word);
        while (rank < skellam.n && skellam.least[rank] > word << 1 >> 1) {
            rank++;
        }
        ck_assert_int_eq(x[i], word >> 127 != 0 ? -rank : rank);
    }
    crypto_stream_free(stream);
    skellam_close(&skellam);
}
END_TEST

START_TEST(variances_out_of_range)
{
    struct skellam skellam;
    struct error err = {0};
    ck_assert_int_eq(skellam_open(&skellam, 1023, &err), -PPT_ERANGE);
    ck_assert_int_eq(skellam_open(&skellam, (INT64_C(1) << 38) + 1, &err), -PPT_ERANGE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fl");
    TCase *tcase = tcase_create("skellam");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, chances_have_their_digits);
    tcase_add_loop_test(tcase, moments, 0, 6);
    tcase_add_loop_test(tcase, draws_are_found_in_the_table, 0, 3);
    tcase_add_test(tcase, variances_out_of_range);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
