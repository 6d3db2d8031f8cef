/* Devices by a virtual clock: who is there, who is late, and the same after a stop. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/fl/device.h"

enum { N = 300, COHORT = 20, ASKED = 26 };

static int64_t first[N + 1];
static struct partition partition = {.n_clients = N, .first = first};
static struct spec spec;
static struct device device;
static struct cohort cohort;
static const unsigned char key[CRYPTO_KEY_SIZE] = {7};

static void setup(void)
{
    for (int c = 0; c <= N; c++) {
        first[c] = 40 * c;
    }
    memset(&spec, 0, sizeof spec);
    spec.training.epochs = 2;
    spec.training.batch_size = 10;
    spec.training.seed = 11;
    spec.federation.cohort = COHORT;
    spec.federation.selection = SELECTION_FIXED;
    spec.federation.devices = (struct spec_devices){.is_on = true,
                                                    .over_commit = 1.3,
                                                    .examples_per_s = 100,
                                                    .bytes_per_s = 1000,
                                                    .spread = 1,
                                                    .availability = 1,
                                                    .period_s = 86400};
}

static void open_all(void)
{
    struct error err = {0};
    ck_assert_int_eq(device_open(&device, &spec, &partition, 500, NULL, &err), 0);
    ck_assert_int_eq(cohort_open(&cohort, spec.federation.selection, 1.0,
                                 device_asked(&spec.federation, partition.n_clients), 0,
                                 &partition, key, &err),
                     0);
}

static void close_all(void)
{
    device_close(&device);
    cohort_close(&cohort);
}

/* Of those who were asked the fastest are kept, and the round is as long as the slowest
 * of them takes. */
START_TEST(the_first_finishers_are_kept)
{
    int64_t asked[ASKED];
    open_all();
    ck_assert_int_eq(device_asked(&spec.federation, N), ASKED);
    ck_assert_int_eq(device_asked(&spec.federation, 22), 22);
    for (int64_t round = 0; round < 50; round++) {
        double before = device.clock_s, slowest = 0.0;
        cohort_draw(&cohort, round, NULL);
        ck_assert_int_eq(cohort.n, ASKED);
        memcpy(asked, cohort.members, sizeof asked);
        device_draw(&device, &cohort, round);
        ck_assert_int_eq(cohort.n, COHORT);
        ck_assert_int_eq(device.n_late, ASKED - COHORT);
        for (int i = 0; i < COHORT; i++) {
            ck_assert(i == 0 || cohort.members[i] > cohort.members[i - 1]);
            slowest = fmax(slowest, device_time_s(&device, cohort.members[i]));
        }
        ck_assert_double_eq_tol(device.clock_s - before, slowest, 1e-6);
        int64_t n_slower = 0;
        for (int i = 0; i < ASKED; i++) {
            n_slower += device_time_s(&device, asked[i]) > slowest;
        }
        ck_assert_int_eq(n_slower, ASKED - COHORT);
    }
    close_all();
}
END_TEST

/* Twice 40 examples at 100 a second and a model of 500 floats there and back at 1000
 * bytes a second, without spread; steps count by their batches. */
START_TEST(times_are_as_stated)
{
    spec.federation.devices.spread = 0;
    open_all();
    ck_assert_double_eq_tol(device_time_s(&device, 5), 0.8 + 4.0, 1e-12);
    spec.training.epochs = 0;
    spec.training.steps = 3;
    ck_assert_double_eq_tol(device_time_s(&device, 5), 0.3 + 4.0, 1e-12);
    close_all();
}
END_TEST

/* A share of the clients is there at any time, and others at another. */
START_TEST(who_is_there_changes)
{
    bool once[N] = {false};
    spec.federation.devices.availability = 0.25;
    spec.federation.devices.period_s = 100; /* a round takes some seconds */
    open_all();
    for (int64_t round = 0; round < 60; round++) {
        int64_t n = 0;
        device_draw(&device, &cohort, round);
        for (int c = 0; c < N; c++) {
            n += device.is_there[c];
            once[c] = once[c] || device.is_there[c];
        }
        ck_assert(n > 45 && n < 105); /* 75, and five standard deviations */
        for (int64_t i = 0; i < cohort.n; i++) {
            ck_assert(device.is_there[cohort.members[i]]);
        }
    }
    for (int c = 0; c < N; c++) {
        ck_assert(once[c]);
    }
    close_all();
}
END_TEST

/* With one client that is seldom there the round waits for it. */
START_TEST(a_round_waits_for_somebody)
{
    spec.federation.devices.availability = 0.02;
    spec.federation.cohort = 1;
    partition.n_clients = 1;
    open_all();
    for (int64_t round = 0; round < 5; round++) {
        device_draw(&device, &cohort, round);
        ck_assert_int_eq(cohort.n, 1);
    }
    ck_assert_double_gt(device.clock_s, 0.0);
    close_all();
    partition.n_clients = N;
}
END_TEST

/* A run that goes on from round 30 has the cohorts and the clock of one that did not
 * stop. */
START_TEST(the_clock_comes_back)
{
    int64_t members[COHORT];
    spec.federation.devices.availability = 0.5;
    spec.federation.selection = (enum spec_selection)_i;
    open_all();
    for (int64_t round = 0; round <= 30; round++) {
        device_draw(&device, &cohort, round);
    }
    double clock_s = device.clock_s;
    memcpy(members, cohort.members, sizeof members);
    close_all();
    open_all();
    device_draw(&device, &cohort, 30);
    ck_assert(device.clock_s == clock_s);
    ck_assert_mem_eq(cohort.members, members, sizeof members);
    close_all();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("device");
    TCase *tcase = tcase_create("device");
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, the_first_finishers_are_kept);
    tcase_add_test(tcase, times_are_as_stated);
    tcase_add_test(tcase, who_is_there_changes);
    tcase_add_test(tcase, a_round_waits_for_somebody);
    tcase_add_loop_test(tcase, the_clock_comes_back, SELECTION_FIXED, SELECTION_DEALT);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
