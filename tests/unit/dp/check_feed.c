/* Reading ahead changes nothing but when records are read: every step gets the sample
 * that the sampler draws for it, whatever the memory, and no record is read twice in a
 * stretch. */
#include <check.h>
#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/dp/feed.h"
#include "tests/unit/dp/world.h"

enum { N = 500, N_STEPS = 60, MAX = 7, RECORD_BYTES = 16 };
static const unsigned char key[CRYPTO_KEY_SIZE] = {9, 8, 7};
static const int64_t overhead =
    sizeof(struct stretch_draw) + 2 * sizeof(struct stretch_key) + RECORD_BYTES;

static struct error err;
static int64_t n_fetched, n_fetches, most_fetched, fail_at;
static int64_t seen[N]; /* how often a record was read */
static bool ascends;

/* A record is its number twice; the label is its number too. */
static int fetch(struct rows *rows, const int64_t *indices, size_t n, void *records,
                 struct error *ret_err)
{
    int64_t *at = records;
    if (n_fetches % 3 == 0) { /* sometimes the reader is late, sometimes the trainer */
        sched_yield();
    }
    for (size_t i = 0; i < n; i++) {
        ascends = ascends && indices[i] >= 0 && indices[i] < rows->n_rows &&
                  (i == 0 || indices[i] > indices[i - 1]);
        at[2 * i] = at[2 * i + 1] = indices[i];
        seen[indices[i]]++;
    }
    n_fetched += (int64_t)n;
    n_fetches++;
    most_fetched = (int64_t)n > most_fetched ? (int64_t)n : most_fetched;
    if (n_fetches == fail_at) {
        return error_set(ret_err, PPT_EIO, "the disk is gone");
    }
    return 0;
}

static int decode(struct rows *rows, const void *record, float *x, int32_t *y,
                  struct error *ret_err)
{
    int64_t number[2];
    (void)rows, (void)ret_err;
    memcpy(number, record, sizeof number);
    x[0] = (float)number[0];
    x[1] = (float)(2 * number[1]);
    *y = (int32_t)number[0];
    return 0;
}

static int read_rows(struct rows *rows, const int64_t *indices, size_t n, float *x,
                     int32_t *y, struct error *ret_err)
{
    for (size_t i = 0; i < n; i++) {
        const int64_t number[2] = {indices[i], indices[i]};
        decode(rows, number, x + 2 * i, y + i, ret_err);
    }
    return 0;
}

static struct rows rows_of(int64_t n_rows, size_t ahead_bytes)
{
    n_fetched = n_fetches = most_fetched = fail_at = 0;
    memset(seen, 0, sizeof seen);
    ascends = true;
    return (struct rows){.n_rows = n_rows,
                         .n_features = 2,
                         .n_classes = N,
                         .record_bytes = RECORD_BYTES,
                         .ahead_bytes = ahead_bytes,
                         .read = read_rows,
                         .fetch = fetch,
                         .decode = decode};
}

static double rate_near(double rate)
{
    return floor(rate * 0x1p53) * 0x1p-53;
}

/* The whole sample of a step out of the feed, at most `max` records at a time. */
static size_t collect(struct feed *feed, int64_t step, size_t max, int64_t *ret_records)
{
    float x[2 * MAX];
    int32_t y[MAX];
    size_t n_all = 0, n;
    feed_begin(feed, step);
    do {
        ck_assert_int_eq(feed_next(feed, max, x, y, &n, &err), 0);
        ck_assert_uint_le(n, max);
        for (size_t i = 0; i < n; i++) {
            ck_assert(x[2 * i] == (float)y[i] && x[2 * i + 1] == (float)(2 * y[i]));
            ret_records[n_all++] = y[i];
        }
    } while (n == max);
    if (n > 0) {
        ck_assert_int_eq(feed_next(feed, max, x, y, &n, &err), 0);
        ck_assert_uint_eq(n, 0);
    }
    return n_all;
}

/* Rates from empty to full samples; memory for one draw, a few, many steps. */
START_TEST(every_step_gets_its_sample)
{
    const double rates[] = {0.0001, 0.01, 0.3, 1.0};
    const int64_t draws[] = {1, 2, 3, 10, 100, 1000, 100000};
    for (size_t r = 0; r < 4; r++) {
        for (size_t d = 0; d < 7; d++) {
            double rate = rate_near(rates[r]);
            int64_t first = _i == 0 ? 0 : 17; /* resumed */
            struct rows rows = rows_of(N, (size_t)(2 * draws[d] * overhead));
            struct sampler sampler;
            struct feed feed;
            ck_assert_int_eq(sampler_open(&sampler, key, rate, N, &err), 0);
            ck_assert_int_eq(
                feed_open(&feed, &rows, key, rate, 0, false, N_STEPS, MAX, &err), 0);
            for (int64_t step = first; step < N_STEPS; step++) {
                int64_t want[N + 1], got[N + 1];
                size_t n_want,
                    n_got = collect(&feed, step, (size_t)(1 + step % MAX), got);
                sampler_begin(&sampler, step);
                n_want = sampler_next(&sampler, want, N + 1);
                ck_assert_uint_eq(n_got, n_want);
                ck_assert_int_eq(memcmp(want, got, n_want * sizeof *want), 0);
            }
            ck_assert(ascends);
            ck_assert_int_le(most_fetched, draws[d]);
            feed_close(&feed);
            sampler_close(&sampler);
        }
    }
}
END_TEST

/* All steps in one stretch: one sweep, each record once however often it is drawn. */
START_TEST(one_sweep_reads_a_record_once)
{
    struct rows rows = rows_of(N, (size_t)(2 * N * N_STEPS * overhead));
    struct feed feed;
    int64_t got[N + 1];
    ck_assert_int_eq(feed_open(&feed, &rows, key, 0.5, 0, false, N_STEPS, MAX, &err),
                     0);
    for (int64_t step = 0; step < N_STEPS; step++) {
        collect(&feed, step, MAX, got);
    }
    ck_assert_int_eq(n_fetched, N);
    for (int i = 0; i < N; i++) {
        ck_assert_int_eq(seen[i], 1);
    }
    feed_close(&feed);
}
END_TEST

/* Memory is that of the header's formula, and no more draws than fit are read. */
START_TEST(memory_is_bounded)
{
    struct rows rows = rows_of(N, (size_t)(2 * (10 * overhead + overhead - 1)));
    struct feed feed;
    ck_assert_int_eq(feed_open(&feed, &rows, key, 1.0, 0, false, N_STEPS, MAX, &err),
                     0);
    ck_assert_int_eq(overhead, RECORD_BYTES + 56);
    ck_assert_int_eq(feed.stretches[1].n_max, 10);
    feed_close(&feed);
    rows = rows_of(N, 1);
    ck_assert_int_eq(feed_open(&feed, &rows, key, 1.0, 0, false, N_STEPS, MAX, &err),
                     0);
    ck_assert_int_eq(feed.stretches[0].n_max, 1);
    feed_close(&feed);
}
END_TEST

/* The reader is a stretch ahead, and ends when it is told, wherever it is. */
START_TEST(closing_in_the_middle)
{
    for (int n_calls = 0; n_calls < 30; n_calls++) {
        struct rows rows = rows_of(N, (size_t)(2 * 20 * overhead));
        struct feed feed;
        float x[2 * MAX];
        int32_t y[MAX];
        size_t n;
        ck_assert_int_eq(
            feed_open(&feed, &rows, key, 1.0, 0, false, N_STEPS, MAX, &err), 0);
        feed_begin(&feed, 0);
        for (int i = 0; i < n_calls; i++) {
            ck_assert_int_eq(feed_next(&feed, MAX, x, y, &n, &err), 0);
            ck_assert_uint_eq(n, MAX);
        }
        feed_close(&feed);
        /* What was served, the rest of its stretch, and two more at most. */
        ck_assert_int_le(n_fetched, (n_calls * MAX + 19) / 20 * 20 + 40);
    }
}
END_TEST

START_TEST(a_rank_without_records)
{
    struct rows rows = rows_of(0, 1000);
    struct feed feed;
    int64_t got[1];
    ck_assert_int_eq(feed_open(&feed, &rows, key, 0.5, 0, false, 1000000, MAX, &err),
                     0);
    for (int64_t step = 0; step < 70000; step++) {
        ck_assert_uint_eq(collect(&feed, step, MAX, got), 0);
    }
    ck_assert_int_eq(n_fetches, 0);
    feed_close(&feed);
}
END_TEST

START_TEST(a_fault_comes_through)
{
    struct rows rows = rows_of(N, (size_t)(50 * overhead));
    struct feed feed;
    float x[2 * MAX];
    int32_t y[MAX];
    size_t n = 99;
    int rc = 0;
    fail_at = 3;
    ck_assert_int_eq(feed_open(&feed, &rows, key, 1.0, 0, false, N_STEPS, MAX, &err),
                     0);
    feed_begin(&feed, 0);
    for (int i = 0; i < N && rc == 0; i++) {
        rc = feed_next(&feed, MAX, x, y, &n, &err);
    }
    ck_assert_int_eq(rc, -PPT_EIO);
    ck_assert_str_eq(err.text, "the disk is gone");
    feed_close(&feed);
    feed_close(&feed); /* twice is allowed */
}
END_TEST

/* A whole training reading ahead gives the very bits of one that does not. */
START_TEST(a_training_reads_ahead)
{
    int64_t dims[1] = {12};
    struct world_data train = world_blobs(240, 12, 3, 0.8, 1);
    struct manifest manifest = world_manifest(train.n, 1, 1, dims, 3);
    struct spec spec = world_spec(PRESET_MLP, false);
    struct plan plan = world_plan(&spec, &manifest, 0.0, 50);
    struct world plain = {.size = 2,
                          .train = &train,
                          .plan = &plan,
                          .spec = &spec,
                          .manifest = &manifest,
                          .sampling_key = {1}};
    struct world ahead = plain;
    ahead.ahead_bytes = 100 * (12 * sizeof(float) + sizeof(int32_t) + 56);
    world_run(&plain);
    world_run(&ahead);
    for (int r = 0; r < 2; r++) {
        ck_assert_int_eq(plain.rc[r], 0);
        ck_assert_int_eq(ahead.rc[r], 0);
    }
    ck_assert_int_gt(plain.n_model, 0);
    ck_assert_int_eq(plain.n_model, ahead.n_model);
    ck_assert_int_eq(
        memcmp(plain.model, ahead.model, (size_t)plain.n_model * sizeof *plain.model),
        0);
    world_free(&plain);
    world_free(&ahead);
    world_data_free(&train);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dp");
    TCase *tcase = tcase_create("feed");
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, every_step_gets_its_sample, 0, 2);
    tcase_add_test(tcase, one_sweep_reads_a_record_once);
    tcase_add_test(tcase, memory_is_bounded);
    tcase_add_test(tcase, closing_in_the_middle);
    tcase_add_test(tcase, a_rank_without_records);
    tcase_add_test(tcase, a_fault_comes_through);
    tcase_add_test(tcase, a_training_reads_ahead);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
