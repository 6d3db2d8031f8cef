/* Noise that several lanes draw in parts, stopped anywhere, is the noise of one call;
 * it is added once and wiped. */
#include <check.h>
#include <stdlib.h>

#include "jobs/dp/early.h"
#include "jobs/dp/lanes.h"

enum { N_LANES = 3, N = 100 * EARLY_PART + 34, FIRST = 4096 };

/* So wide that in most steps some pairs are in doubt. */
static const struct grid grid = {0x1p-30, 0x1p32, 0x1p50};
static const unsigned char key[CRYPTO_KEY_SIZE] = {7};
static struct noise noise[N_LANES], plain;
static struct lanes lanes;
static struct early early;
static double *x, *y;

static void setup(void)
{
    for (int i = 0; i < N_LANES; i++) {
        ck_assert_int_eq(noise_open(&noise[i], &kernels_cpu, key, EARLY_PART, NULL), 0);
    }
    ck_assert_int_eq(noise_open(&plain, &kernels_cpu, key, N, NULL), 0);
    ck_assert_int_eq(lanes_open(&lanes, N_LANES, NULL), 0);
    ck_assert_int_eq(early_open(&early, N, N_LANES, NULL), 0);
    x = calloc(N, sizeof *x);
    y = calloc(N, sizeof *y);
    ck_assert(x != NULL && y != NULL);
}

static void teardown(void)
{
    early_close(&early);
    early_close(&early); /* a zeroed one */
    lanes_close(&lanes);
    for (int i = 0; i < N_LANES; i++) {
        noise_close(&noise[i]);
    }
    noise_close(&plain);
    free(x);
    free(y);
}

static void draw(void *state, int lane)
{
    (void)state;
    early_draw(&early, &noise[lane], lane);
}

static void work_out(void *state, int lane)
{
    (void)state;
    early_exact(&early, &noise[lane], lane);
}

/* Until so many draws have been taken, or soon after. */
static void draw_up_to(int64_t n)
{
    if (early_begin_drawing(&early)) {
        lanes_begin(&lanes, draw, NULL);
        while (atomic_load(&early.next) < n) {
        }
        ck_assert(early_stop_drawing(&early));
        lanes_end(&lanes);
    }
    ck_assert(!early_stop_drawing(&early)); /* nobody draws any more */
}

static int64_t n_doubts(void)
{
    int64_t n = 0;
    for (int lane = 0; lane < N_LANES; lane++) {
        n += early.lanes[lane].n_doubts;
    }
    return n;
}

static void expect_wiped(void)
{
    int64_t n_left = n_doubts();
    for (int64_t i = 0; i < N; i++) {
        n_left += early.drawn[i] != 0.0;
    }
    ck_assert_msg(n_left == 0, "%lld draws are still there", (long long)n_left);
}

/* As the trainer does it: drawn twice, for a moment or to the end; then the rest. */
START_TEST(wherever_it_stops)
{
    static const int64_t stops[] = {0, 1, N / 10, N / 2, N};
    enum { N_STOPS = sizeof stops / sizeof stops[0] };
    int64_t all_doubts = 0;
    int n_cut = 0, n_whole = 0;
    /* on a busy machine lanes are seldom stopped in time */
    for (uint64_t step = 0; step < 8 * N_STOPS || (n_cut == 0 && step < 4000 * N_STOPS);
         step++) {
        int64_t n = step % 3 == 0 ? EARLY_PART / 2 : N;
        early_begin(&early, &grid, step, FIRST, n);
        draw_up_to(stops[step % N_STOPS] < n ? stops[step % N_STOPS] : n);
        draw_up_to(stops[step % 3] < n ? stops[step % 3] : n);
        int64_t n_early = early_settle(&early, &grid, step, FIRST, n, x);
        ck_assert_int_eq(early.wish.n, n);
        ck_assert_int_le(n_early, n);
        if (early_begin_drawing(&early)) {
            n_cut += n_early > 0;
            lanes_run(&lanes, draw, NULL);
            ck_assert(early_stop_drawing(&early));
        } else {
            n_whole += n_early == n;
        }
        all_doubts += n_doubts();
        lanes_run(&lanes, work_out, NULL);
        early_add(&early, 0, n_early / 4 * 2);
        early_add(&early, n_early / 4 * 2, n_early);
        early_end(&early);
        noise_add(&plain, &grid, step, FIRST, n, y);
        ck_assert_mem_eq(x, y, (size_t)n * sizeof *x);
        expect_wiped();
    }
    ck_assert_int_gt(n_cut, 0); /* stopped in time at least once */
    ck_assert_int_gt(n_whole, 0);
    ck_assert_int_gt(all_doubts, 0);
}
END_TEST

/* Draws that somebody else was to have, or that a step given up has left, are wiped. */
START_TEST(other_wishes)
{
    struct grid wider = grid;
    wider.std_steps *= 2.0;
    for (int i = 0; i < 6; i++) {
        early_begin(&early, &grid, 5, FIRST, N);
        draw_up_to(N);
        ck_assert_double_ne(early.drawn[0], 0.0);
        if (i == 0) {
            ck_assert_int_eq(early_settle(&early, &grid, 6, FIRST, N, x), 0);
        } else if (i == 1) {
            ck_assert_int_eq(early_settle(&early, &grid, 5, 0, N, x), 0);
        } else if (i == 2) {
            ck_assert_int_eq(early_settle(&early, &grid, 5, FIRST, N - 2, x), 0);
        } else if (i == 3) {
            ck_assert_int_eq(early_settle(&early, &wider, 5, FIRST, N, x), 0);
        } else if (i == 4) {
            early_begin(&early, &grid, 6, FIRST, N);
        } else {
            wider.std_steps = GRID_MAX_STD_STEPS; /* too many in doubt */
            early_begin(&early, &wider, 6, FIRST, N);
            ck_assert(!early_begin_drawing(&early));
            ck_assert_int_eq(early_settle(&early, &wider, 6, FIRST, N, x), 0);
        }
        expect_wiped();
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dp");
    TCase *tcase = tcase_create("early");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, wherever_it_stops);
    tcase_add_test(tcase, other_wishes);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
