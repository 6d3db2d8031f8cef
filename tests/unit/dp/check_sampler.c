/* Poisson sampling: exact in the mean, in the spread, in the gaps, and at the extremes.
 * The key is fixed, so a run is reproducible; for a key drawn at random each bound
 * would fail with a probability under 1e-6 (5.5 standard deviations; for chi-square, of
 * its normal approximation, with at least 100 degrees of freedom 1e-5). */
#include <check.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/dp/sampler.h"

static const double max_sigmas = 5.5;
static const unsigned char key[CRYPTO_KEY_SIZE] = {1, 2, 3};

static double rate_near(double rate)
{
    return floor(rate * 0x1p53) * 0x1p-53;
}

static struct sampler open_sampler(double rate, int64_t n_rows)
{
    struct sampler sampler;
    struct error err = {0};
    ck_assert_int_eq(sampler_open(&sampler, key, rate, n_rows, &err), 0);
    return sampler;
}

/* How often each record came, and how often together with its neighbour. */
START_TEST(inclusion_counts)
{
    enum { N = 1000, STEPS = 20000 };
    const double rates[] = {0.05, 0.37, 0.9};
    double q = rate_near(rates[_i]);
    struct sampler sampler = open_sampler(q, N);
    int64_t *counts = calloc(N, sizeof *counts), indices[16];
    double sizes = 0.0, squares = 0.0, pairs = 0.0;
    bool is_sorted = true; /* an assertion is a system call: one for all */
    for (int64_t step = 0; step < STEPS; step++) {
        double size = 0.0;
        int64_t previous = -2;
        size_t n;
        sampler_begin(&sampler, step);
        while ((n = sampler_next(&sampler, indices, 16)) > 0) {
            for (size_t i = 0; i < n; i++) {
                is_sorted = is_sorted && indices[i] > previous && indices[i] < N;
                pairs += indices[i] == previous + 1 && previous >= 0;
                previous = indices[i];
                counts[previous]++;
            }
            size += (double)n;
        }
        sizes += size;
        squares += (size - N * q) * (size - N * q);
    }
    ck_assert(is_sorted);
    double chi = 0.0, variance = N * q * (1.0 - q);
    for (int i = 0; i < N; i++) {
        double off = (double)counts[i] - STEPS * q;
        chi += off * off / (STEPS * q * (1.0 - q));
    }
    ck_assert_double_lt(fabs(chi - N), max_sigmas * sqrt(2.0 * N));
    ck_assert_double_lt(fabs(sizes - (double)N * STEPS * q),
                        max_sigmas * sqrt(STEPS * variance));
    /* the sample variance of a binomial: about 2 V^2 / STEPS */
    ck_assert_double_lt(fabs(squares / STEPS - variance),
                        max_sigmas * variance * sqrt(2.0 / STEPS) * 1.01);
    /* neighbours: n q^2 pairs a step; variance n q^2 (1 - q^2) + 2 n q^3 (1 - q) */
    double spread = q * q * (1.0 - q * q) + 2.0 * q * q * q * (1.0 - q);
    ck_assert_double_lt(fabs(pairs - (N - 1.0) * STEPS * q * q),
                        max_sigmas * sqrt((N - 1.0) * STEPS * spread));
    free(counts);
    sampler_close(&sampler);
}
END_TEST

/* Gaps of one endless sample against q (1 - q)^j. */
START_TEST(gap_distribution)
{
    enum { GAPS = 2000000, BINS = 120 };
    double q = rate_near(0.03), chi = 0.0, tail = 1.0;
    struct sampler sampler = open_sampler(q, INT64_MAX);
    int64_t *counts = calloc(BINS + 1, sizeof *counts), previous = -1, index;
    size_t n_drawn = 0;
    sampler_begin(&sampler, 0);
    for (int i = 0; i < GAPS; i++) {
        n_drawn += sampler_next(&sampler, &index, 1);
        int64_t gap = index - previous - 1;
        counts[gap < BINS ? gap : BINS]++;
        previous = index;
    }
    ck_assert_uint_eq(n_drawn, GAPS);
    for (int j = 0; j <= BINS; j++) {
        double expected = GAPS * (j < BINS ? tail * q : tail);
        double off = (double)counts[j] - expected;
        chi += off * off / expected;
        tail *= 1.0 - q;
    }
    ck_assert_double_lt(fabs(chi - BINS), max_sigmas * sqrt(2.0 * BINS));
    free(counts);
    sampler_close(&sampler);
}
END_TEST

/* Tiny rates over more records than there are: the mean of many sizes. A 53-bit rate is
 * off by nothing; one in float would be off by 19 % at 1e-7. */
START_TEST(tiny_rates)
{
    const struct {
        double rate;
        int64_t n_rows, steps;
    } cases[] = {
        {1e-8, 1ll << 40, 40}, {0x1p-53, 1ll << 60, 4000}, {3e-5, 1ll << 30, 30}};
    double q = cases[_i].rate == 0x1p-53 ? 0x1p-53 : rate_near(cases[_i].rate);
    struct sampler sampler = open_sampler(q, cases[_i].n_rows);
    double expected = q * (double)cases[_i].n_rows * (double)cases[_i].steps, got = 0.0;
    int64_t indices[64];
    for (int64_t step = 0; step < cases[_i].steps; step++) {
        size_t n;
        sampler_begin(&sampler, step);
        while ((n = sampler_next(&sampler, indices, 64)) > 0) {
            got += (double)n;
            ck_assert(indices[n - 1] < cases[_i].n_rows);
        }
    }
    ck_assert_double_lt(fabs(got - expected), max_sigmas * sqrt(expected));
    sampler_close(&sampler);
}
END_TEST

START_TEST(extremes)
{
    int64_t indices[10];
    struct sampler all = open_sampler(1.0, 7), none = open_sampler(0.5, 0);
    for (int step = 0; step < 5; step++) {
        sampler_begin(&all, step);
        ck_assert_uint_eq(sampler_next(&all, indices, 10), 7);
        for (int i = 0; i < 7; i++) {
            ck_assert_int_eq(indices[i], i);
        }
        ck_assert_uint_eq(sampler_next(&all, indices, 10), 0);
        sampler_begin(&none, step);
        ck_assert_uint_eq(sampler_next(&none, indices, 10), 0);
    }
    sampler_close(&all);
    sampler_close(&none);
    const double refused[] = {0.0, -0.5, 1.5, NAN, INFINITY, 0x1p-54, 0x1.8p-53};
    for (int i = 0; i < 7; i++) {
        struct error err = {0};
        ck_assert_int_eq(sampler_open(&all, key, refused[i], 7, &err), -PPT_ERANGE);
    }
}
END_TEST

/* A digit is 1 just where its 128 bits are below the threshold, whichever of them it is
 * that differs: 16 bits decide nearly always, so statistics would not see the others.
 */
START_TEST(all_bits_count)
{
    const unsigned __int128 one = 1, high = (unsigned __int128)0x8123 << 112;
    const unsigned __int128 threshold = high | one << 90 | one << 70 | one << 47 | 3;
    const struct {
        unsigned __int128 bits;
        int digit;
    } cases[] = {{threshold, 0},
                 {threshold - 1, 1},
                 {threshold + 1, 0},
                 {threshold - (one << 46), 1},
                 {threshold + (one << 48), 0},
                 {threshold - (one << 48), 1},
                 {threshold - (one << 111), 1},
                 {threshold + (one << 111), 0},
                 {high, 1},
                 {0, 1},
                 {~(unsigned __int128)0, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sampler sampler = open_sampler(0.5, 1000);
        int64_t index = -1;
        sampler_begin(&sampler, 0);
        sampler.n_digits = 1;
        sampler.threshold[0] = threshold;
        sampler.first[0] = (uint16_t)(threshold >> 112);
        uint64_t middle = (uint64_t)(cases[i].bits >> 48);
        uint64_t last = (uint64_t)cases[i].bits << 16 | 0xffff;
        sampler.pieces[0] = (uint16_t)(cases[i].bits >> 112);
        memcpy(sampler.pieces + 1, &middle, sizeof middle);
        memcpy(sampler.pieces + 5, &last, sizeof last);
        sampler.n_used = 0;
        sampler.next = 5;
        ck_assert_uint_eq(sampler_next(&sampler, &index, 1), 1);
        ck_assert_int_eq(index, 5);
        ck_assert_int_eq(sampler.next - 6, cases[i].digit);
        sampler_close(&sampler);
    }
}
END_TEST

/* No bit is used for two draws. */
START_TEST(bits_are_used_once)
{
    struct sampler sampler = open_sampler(rate_near(1e-5), 1ll << 50);
    int64_t index;
    sampler_begin(&sampler, 0);
    for (int i = 0; i < 10000; i++) {
        int before = sampler.n_used;
        ck_assert_uint_eq(sampler_next(&sampler, &index, 1), 1);
        int used = sampler.n_used - (sampler.n_used < before ? 0 : before);
        ck_assert_int_ge(used, sampler.n_digits);
        ck_assert_int_le(sampler.n_used, SAMPLER_PIECES);
    }
    sampler_close(&sampler);
}
END_TEST

static size_t draw(struct sampler *sampler, int64_t step, size_t max, int64_t *indices)
{
    size_t n, total = 0;
    sampler_begin(sampler, step);
    while ((n = sampler_next(sampler, indices + total, max)) > 0) {
        total += n;
    }
    return total;
}

START_TEST(a_step_is_its_own)
{
    enum { N = 5000 };
    static int64_t a[N], b[N], c[N];
    struct sampler sampler = open_sampler(0.125, N);
    size_t n_a = draw(&sampler, 8, 1, a), n_c = draw(&sampler, 9, 64, c);
    size_t n_b = draw(&sampler, 8, 100, b);
    ck_assert_uint_eq(n_a, n_b);
    ck_assert_mem_eq(a, b, n_a * sizeof *a);
    ck_assert(n_c != n_a || memcmp(a, c, n_a * sizeof *a) != 0);
    sampler_close(&sampler);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dp");
    TCase *tcase = tcase_create("sampler");
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, inclusion_counts, 0, 3);
    tcase_add_test(tcase, gap_distribution);
    tcase_add_loop_test(tcase, tiny_rates, 0, 3);
    tcase_add_test(tcase, extremes);
    tcase_add_test(tcase, all_bits_count);
    tcase_add_test(tcase, bits_are_used_once);
    tcase_add_test(tcase, a_step_is_its_own);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
