/* Noise drawn ahead is the noise that would have been drawn, whoever draws it; it is
 * added once and wiped. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "jobs/dp/noise.h"

enum { N = 2 * GRID_CHUNK + 34 };

static const struct grid grid = {0x1p-20, 0x1p21, 0x1p50};
static const unsigned char key[CRYPTO_KEY_SIZE] = {7};
static struct noise ahead, plain;
static double *x, *y;

static void setup(void)
{
    ck_assert_int_eq(noise_open(&ahead, &kernels_cpu, key, N, NULL), 0);
    ck_assert_int_eq(noise_open(&plain, &kernels_cpu, key, N, NULL), 0);
    x = calloc(N, sizeof *x);
    y = calloc(N, sizeof *y);
    ck_assert(x != NULL && y != NULL);
    for (int i = 0; i < N; i++) {
        x[i] = y[i] = 0x1p-20 * (double)(i * 37 - N);
    }
}

static void teardown(void)
{
    noise_close(&ahead);
    noise_close(&plain);
    free(x);
    free(y);
}

static void rest(long ns)
{
    struct timespec pause = {0, ns};
    nanosleep(&pause, NULL);
}

static void expect_wiped(int64_t n)
{
    int64_t n_left = 0;
    for (int64_t i = 0; i < n; i++) {
        n_left += ahead.drawn[i] != 0.0;
    }
    ck_assert_msg(n_left == 0, "%lld draws are still there", (long long)n_left);
}

/* From "the caller does not wait" over "the thread is in the middle of it" to "it is
 * done long since". */
START_TEST(whoever_draws)
{
    static const long rests_ns[] = {0, 1000, 60000, 300000, 50000000};
    enum { N_RESTS = sizeof rests_ns / sizeof rests_ns[0] };
    for (uint64_t step = 0; step < 4 * N_RESTS; step++) {
        int64_t n = step % 3 == 0 ? N : 2 + (int64_t)(step % 3) * 64;
        int64_t first = (int64_t)(step % 2) * n;
        noise_begin(&ahead, &grid, step, first, n);
        rest(rests_ns[step % N_RESTS]);
        noise_add(&ahead, &grid, step, first, n, x);
        noise_add(&plain, &grid, step, first, n, y);
        ck_assert_mem_eq(x, y, (size_t)n * sizeof *x);
        expect_wiped(N);
    }
}
END_TEST

/* Of many draws only the first half is drawn ahead; all are added. */
START_TEST(half_of_many)
{
    int64_t n = 2 * NOISE_WHOLE + 1234;
    struct noise early, late;
    double *a = calloc((size_t)n, sizeof *a), *b = calloc((size_t)n, sizeof *b);
    ck_assert(a != NULL && b != NULL);
    ck_assert_int_eq(noise_open(&early, &kernels_cpu, key, n, NULL), 0);
    ck_assert_int_eq(noise_open(&late, &kernels_cpu, key, n, NULL), 0);
    ck_assert_int_eq(early.n_ahead, n / 4 * 2);
    ck_assert_int_eq(early.max_bits, GRID_CHUNK);
    noise_begin(&early, &grid, 3, 2 * n, n);
    rest(1000000);
    noise_add(&early, &grid, 3, 2 * n, n, a);
    noise_add(&late, &grid, 3, 2 * n, n, b);
    ck_assert_mem_eq(a, b, (size_t)n * sizeof *a);
    ck_assert_double_ne(a[n - 1], 0.0);
    ck_assert(late.drawn == NULL); /* who draws nothing ahead pays for nothing */
    noise_close(&early);
    noise_close(&late);
    free(a);
    free(b);
}
END_TEST

/* What was not wished for is drawn apart, and the wish is kept; one that nobody wants
 * any more is wiped and is not part of the next. */
START_TEST(other_wishes)
{
    struct grid wider = grid;
    wider.std_steps *= 2.0;
    noise_begin(&ahead, &grid, 5, 0, N);
    rest(20000000);
    noise_add(&ahead, &grid, 6, 0, 64, x);  /* another substream, */
    noise_add(&ahead, &grid, 5, 64, 64, x); /* another place, */
    noise_add(&ahead, &wider, 5, 0, 64, x); /* another grid */
    noise_add(&ahead, &grid, 5, 0, N, x);   /* this one */
    noise_add_value(&ahead, &grid, 9, &x[1]);
    noise_add(&plain, &grid, 6, 0, 64, y);
    noise_add(&plain, &grid, 5, 64, 64, y);
    noise_add(&plain, &wider, 5, 0, 64, y);
    noise_add(&plain, &grid, 5, 0, N, y);
    noise_add_value(&plain, &grid, 9, &y[1]);
    ck_assert_mem_eq(x, y, N * sizeof *x);

    noise_begin(&ahead, &grid, 10, 0, N);
    rest(_i * 20000000);
    noise_begin(&ahead, &grid, 11, 0, 64);
    rest(_i * 20000000);
    noise_add(&ahead, &grid, 11, 0, 64, x);
    noise_add(&plain, &grid, 11, 0, 64, y);
    ck_assert_mem_eq(x, y, N * sizeof *x);
    expect_wiped(N);
}
END_TEST

/* Closing does not wait for more than the draw in hand. */
START_TEST(closes_whenever)
{
    for (long ns = 0; ns < 2000000; ns += 250000) {
        struct noise noise;
        ck_assert_int_eq(noise_open(&noise, &kernels_cpu, key, N, NULL), 0);
        noise_begin(&noise, &grid, 1, 0, N);
        rest(ns);
        noise_close(&noise);
    }
    struct noise never = {0};
    noise_close(&never);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("noise");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, half_of_many);
    tcase_add_test(tcase, whoever_draws);
    tcase_add_loop_test(tcase, other_wishes, 0, 2);
    tcase_add_test(tcase, closes_whenever);
    Suite *suite = suite_create("noise");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
