/* Balls in bins: the deck, the deal, and runs whose epochs are paid for whole.
 * Keys are fixed; for a key drawn at random a statistical bound would fail with a
 * probability under 1e-6 (5.5 standard deviations; for chi-square of its normal
 * approximation, with at least 100 degrees of freedom, 1e-5). */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "jobs/dp/deck.h"
#include "jobs/dp/feed.h"
#include "jobs/dp/sampler.h"
#include "jobs/privacy/meter.h"
#include "tests/unit/dp/world.h"

static const double max_sigmas = 5.5;
static const unsigned char key[CRYPTO_KEY_SIZE] = {7, 8, 9};
static struct error err;

/* The deck against a plain array of flags, over sizes at the edges of words and
 * counts. */
START_TEST(deck_finds_what_is_left)
{
    const int64_t sizes[] = {1, 63, 64, 65, 4095, 4096, 4097, 12345};
    for (size_t s = 0; s < 8; s++) {
        int64_t n = sizes[s], n_left = n;
        bool *is_left = malloc((size_t)n * sizeof *is_left);
        struct deck deck;
        memset(is_left, true, (size_t)n * sizeof *is_left);
        ck_assert_int_eq(deck_open(&deck, n, &err), 0);
        ck_assert_int_eq(deck_find(&deck, 0, 0), n); /* empty */
        deck_fill(&deck);
        srand(1);
        for (int i = 0; i < 600; i++) {
            int64_t from = rand() % (n + 1), gap = rand() % (n + 2), at = from;
            int64_t left = gap;
            for (; at < n && (!is_left[at] || left > 0); at++) {
                left -= is_left[at];
            }
            int64_t found = deck_find(&deck, from, (uint64_t)gap);
            ck_assert_int_eq(found, at);
            if (found < n && i % 3 != 0) {
                deck_take(&deck, found);
                is_left[found] = false;
                n_left--;
            }
            ck_assert_int_eq(deck.n_left, n_left);
        }
        ck_assert_int_eq(deck_find(&deck, 0, UINT64_MAX), n);
        deck_fill(&deck);
        ck_assert_int_eq(deck_find(&deck, 0, (uint64_t)n - 1), n - 1);
        deck_close(&deck);
        free(is_left);
    }
}
END_TEST

/* The bins of all records in an epoch: each record exactly once. */
static void deal(struct sampler *sampler, int64_t epoch, int64_t *ret_bins)
{
    int64_t n_bins = sampler->n_bins, records[16], n_dealt = 0;
    for (int64_t i = 0; i < sampler->n_rows; i++) {
        ret_bins[i] = -1;
    }
    bool is_sound = true; /* an assertion is a system call: one for all */
    for (int64_t bin = 0; bin < n_bins; bin++) {
        size_t n;
        int64_t last = -1;
        sampler_begin(sampler, epoch * n_bins + bin);
        while ((n = sampler_next(sampler, records, 16)) > 0) {
            for (size_t i = 0; i < n; i++) {
                is_sound = is_sound && records[i] > last && ret_bins[records[i]] < 0;
                last = records[i];
                ret_bins[records[i]] = bin;
                n_dealt++;
            }
        }
    }
    ck_assert(is_sound);
    ck_assert_int_eq(n_dealt, sampler->n_rows);
}

/* Each record's bin is uniform, independent of its neighbour's and of its own in the
 * epoch before: three tables of chi-square. */
START_TEST(bins_are_uniform_and_independent)
{
    enum { N = 5000, EPOCHS = 60 };
    const int64_t all_bins[] = {11, 12, 101};
    int64_t n_bins = all_bins[_i];
    static int64_t bins[N], before[N];
    size_t cells = (size_t)(n_bins * n_bins);
    double *single = calloc((size_t)n_bins, sizeof *single);
    double *beside = calloc(cells, sizeof *beside),
           *after = calloc(cells, sizeof *after);
    struct sampler sampler;
    ck_assert_int_eq(sampler_open_dealt(&sampler, key, n_bins, false, N, &err), 0);
    for (int epoch = 0; epoch < EPOCHS; epoch++) {
        deal(&sampler, epoch, bins);
        for (int i = 0; i < N; i++) {
            single[bins[i]]++;
            if (i % 2 == 1) {
                beside[bins[i - 1] * n_bins + bins[i]]++;
            }
            if (epoch % 2 == 1) {
                after[before[i] * n_bins + bins[i]]++;
            }
            before[i] = bins[i];
        }
    }
    double chi = 0.0, chi_beside = 0.0, chi_after = 0.0;
    double share = (double)N * EPOCHS / (double)n_bins;
    double pairs = (double)N * EPOCHS / 2.0 / (double)cells;
    for (int64_t b = 0; b < n_bins; b++) {
        chi += (single[b] - share) * (single[b] - share) / share;
    }
    for (size_t c = 0; c < cells; c++) {
        chi_beside += (beside[c] - pairs) * (beside[c] - pairs) / pairs;
        chi_after += (after[c] - pairs) * (after[c] - pairs) / pairs;
    }
    double free_1 = (double)n_bins - 1, free_2 = (double)cells - 1;
    if (n_bins > 100) {
        ck_assert_double_lt(fabs(chi - free_1), max_sigmas * sqrt(2 * free_1));
    }
    ck_assert_double_lt(fabs(chi_beside - free_2), max_sigmas * sqrt(2 * free_2));
    ck_assert_double_lt(fabs(chi_after - free_2), max_sigmas * sqrt(2 * free_2));
    sampler_close(&sampler);
    free(single);
    free(beside);
    free(after);
}
END_TEST

/* A step is the same whenever it is asked for, also as the first of a process, and
 * whether or not the one before was read to its end. */
START_TEST(a_deal_is_its_own)
{
    enum { N = 700, BINS = 7 };
    static int64_t bins[N], records[N];
    struct sampler whole, late;
    ck_assert_int_eq(sampler_open_dealt(&whole, key, BINS, false, N, &err), 0);
    deal(&whole, 3, bins);
    for (int64_t bin = 0; bin < BINS; bin++) {
        ck_assert_int_eq(sampler_open_dealt(&late, key, BINS, false, N, &err), 0);
        for (int64_t ask = bin; ask < BINS; ask++) { /* only the first is read whole */
            sampler_begin(&late, 3 * BINS + ask);
            size_t n = sampler_next(&late, records, ask == bin ? N : 3);
            for (size_t i = 0; i < n; i++) {
                ck_assert_int_eq(bins[records[i]], ask);
            }
        }
        sampler_close(&late);
    }
    sampler_close(&whole);
    /* no records, one bin, more bins than records */
    ck_assert_int_eq(sampler_open_dealt(&late, key, 5, false, 0, &err), 0);
    deal(&late, 0, bins);
    sampler_close(&late);
    ck_assert_int_eq(sampler_open_dealt(&late, key, 1, false, N, &err), 0);
    deal(&late, 4, bins);
    sampler_close(&late);
    ck_assert_int_eq(sampler_open_dealt(&late, key, 1000, false, 3, &err), 0);
    deal(&late, 2, bins);
    sampler_close(&late);
}
END_TEST

static struct world_data train, test;
static struct manifest manifest;
static struct spec spec;
static struct plan plan;
static char meter_path[64];

enum { EPOCHS = 6, BINS = 8 };

static void setup(void)
{
    int64_t dims[1] = {12};
    train = world_blobs(240, 12, 3, 0.8, 1);
    test = world_blobs(60, 12, 3, 0.8, 2);
    manifest = world_manifest(train.n, test.n, 1, dims, 3);
    spec = world_spec(PRESET_MLP, true);
    spec.training.sampling = SAMPLE_BALLS_IN_BINS;
    spec.training.batch_size = 240 / BINS;
    plan = world_plan(&spec, &manifest, 1.0, EPOCHS * BINS);
    strcpy(meter_path, "/tmp/check_dealt.XXXXXX");
    int fd = mkstemp(meter_path);
    ck_assert_int_ge(fd, 0);
    close(fd);
    unlink(meter_path);
}

static void teardown(void)
{
    unlink(meter_path);
    world_data_free(&train);
    world_data_free(&test);
}

static struct world world_of(int size)
{
    return (struct world){.size = size,
                          .train = &train,
                          .test = &test,
                          .plan = &plan,
                          .spec = &spec,
                          .manifest = &manifest};
}

static void run(struct world *world, int attempt)
{
    if (attempt == 1) {
        ck_assert_int_eq(meter_create(meter_path, &err), 0);
    }
    ck_assert_int_eq(meter_open(meter_path, attempt, &plan.price, &world->meter, &err),
                     0);
    world_run(world);
    meter_close(world->meter);
}

/* Read ahead or not, the models are the same, and each epoch is one use. */
START_TEST(feeds_deal_alike)
{
    const size_t ahead[] = {0, 1, 4000, 1 << 20};
    float *first = NULL;
    for (size_t a = 0; a < 4; a++) {
        struct world world = world_of(1);
        world.ahead_bytes = ahead[a];
        run(&world, 1);
        ck_assert_msg(world.rc[0] == 0, "%s", world.err[0].text);
        ck_assert_int_eq(world.report[0].n_steps, EPOCHS * BINS);
        ck_assert_int_eq(world.report[0].used[0], EPOCHS);
        if (a == 0) {
            first = malloc((size_t)world.n_model * sizeof *first);
            memcpy(first, world.model, (size_t)world.n_model * sizeof *first);
        }
        ck_assert_mem_eq(first, world.model, (size_t)world.n_model * sizeof *first);
        unlink(meter_path);
        world_free(&world);
    }
    free(first);
}
END_TEST

static int64_t n_sums_seen;

static void count_sums(void *state, int rank, const double *send, size_t n)
{
    (void)state;
    (void)send;
    (void)n;
    n_sums_seen += rank == 0;
}

/* As many epochs as the meter allows, none of them begun without it. */
START_TEST(epochs_are_paid_before_their_first_step)
{
    struct world world = world_of(3);
    world.on_sum = count_sums;
    n_sums_seen = 0;
    ck_assert_int_eq(meter_create(meter_path, &err), 0);
    ck_assert_int_eq(meter_open(meter_path, 1, &plan.price, &world.meter, &err), 0);
    /* two are gone already */
    ck_assert_int_eq(meter_charge(world.meter, 0, 2, &err), 0);
    meter_close(world.meter);
    run(&world, 2);
    for (int r = 0; r < 3; r++) {
        ck_assert_msg(world.rc[r] == 0, "%s", world.err[r].text);
        ck_assert_int_eq(world.report[r].n_steps, (EPOCHS - 2) * BINS);
    }
    ck_assert_int_eq(n_sums_seen, (EPOCHS - 2) * BINS);
    ck_assert_int_eq(world.report[0].used[0], EPOCHS);
    world_free(&world);
}
END_TEST

/* Stopped somewhere, most likely inside an epoch, and gone on with: that epoch is paid
 * for twice, so the meter refuses the last one's steps. */
START_TEST(a_broken_epoch_is_paid_twice)
{
    struct world world = world_of(2);
    spec.training.checkpoint_every = 3;
    ck_assert_int_eq(meter_create(meter_path, &err), 0);
    ck_assert_int_eq(meter_open(meter_path, 1, &plan.price, &world.meter, &err), 0);
    world.stop_after_reads =
        3 * BINS / 2; /* leases end at epochs and where they like */
    world_run(&world);
    meter_close(world.meter);
    ck_assert_int_eq(world.rc[0], -PPT_EINTERRUPTED);
    int64_t done = world.report[0].n_steps, paid = world.report[0].used[0];
    ck_assert_int_eq(paid, (done + BINS - 1) / BINS);
    world.stop_after_reads = 0;
    memset((void *)world.stop, 0, sizeof world.stop);
    run(&world, 2);
    ck_assert_msg(world.rc[0] == 0, "%s", world.err[0].text);
    bool is_broken = done % BINS != 0;
    ck_assert_int_eq(world.report[0].n_steps, (EPOCHS - is_broken) * BINS);
    ck_assert_int_eq(world.report[0].used[0], EPOCHS);
    world_free(&world);
}
END_TEST

/* A price of other bins, of part of an epoch, of a Poisson sample, or one that the spec
 * does not ask for. */
START_TEST(only_what_was_priced)
{
    for (int fault = 0; fault < 5; fault++) {
        struct world world = world_of(2);
        spec.training.sampling = SAMPLE_BALLS_IN_BINS;
        plan = world_plan(&spec, &manifest, 1.0, EPOCHS * BINS);
        struct price_release *release = &plan.price.releases[0];
        spec.training.sampling = fault == 0 ? SAMPLE_POISSON : SAMPLE_BALLS_IN_BINS;
        release->mechanism.bins += fault == 1;
        if (fault == 3) {
            release->mechanism.kind = MECHANISM_SUBSAMPLED_GAUSSIAN;
        }
        plan.price.n_bins = fault == 4 ? 0 : plan.price.n_bins;
        plan.price.n_steps += fault == 2;
        unlink(meter_path);
        run(&world, 1);
        ck_assert_int_eq(world.rc[0], -PPT_EINTERNAL);
        ck_assert_int_eq(world.rc[1], -PPT_EINTERNAL);
        ck_assert_int_eq(world.n_models_saved, 0);
        world_free(&world);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dealt");
    TCase *deals = tcase_create("deals"), *runs = tcase_create("runs");
    tcase_set_timeout(deals, 60);
    tcase_add_test(deals, deck_finds_what_is_left);
    tcase_add_loop_test(deals, bins_are_uniform_and_independent, 0, 3);
    tcase_add_test(deals, a_deal_is_its_own);
    suite_add_tcase(suite, deals);
    tcase_set_timeout(runs, 60);
    tcase_add_checked_fixture(runs, setup, teardown);
    tcase_add_test(runs, feeds_deal_alike);
    tcase_add_test(runs, epochs_are_paid_before_their_first_step);
    tcase_add_test(runs, a_broken_epoch_is_paid_twice);
    tcase_add_test(runs, only_what_was_priced);
    suite_add_tcase(suite, runs);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
