/* The meter: what it says after crashes, torn and damaged files, full disks. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "jobs/privacy/meter.h"

#define N_KILLS 50
#define RECORD_SIZE 32
/* Of the first attempt: that it begins, and three charges. */
#define THREE (4 * RECORD_SIZE)

static char directory[64], path[128];

static int n_syncs;

/* In place of the library's: counts, and does the same. */
int fdatasync(int fd)
{
    n_syncs++;
    return (int)syscall(SYS_fdatasync, fd);
}

static void make_directory(void)
{
    strcpy(directory, "/tmp/check_meter.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/meter", directory);
    ck_assert_int_eq(meter_create(path, NULL), 0);
}

static void make_anew(void)
{
    unlink(path);
    ck_assert_int_eq(meter_create(path, NULL), 0);
}

static void remove_directory(void)
{
    unlink(path);
    rmdir(directory);
}

static const struct price price = {
    .is_private = true,
    .n_releases = 2,
    .releases = {{.name = "training-step", .count = 1000000000},
                 {.name = "evaluation", .count = 3}},
};

static struct meter *open_meter(int attempt)
{
    struct meter *meter = NULL;
    struct error err = {0};
    int rc = meter_open(path, attempt, &price, &meter, &err);
    ck_assert_msg(rc == 0, "%s", err.text);
    return meter;
}

static void charge(struct meter *meter, int release, int64_t n)
{
    struct error err = {0};
    int rc = meter_charge(meter, release, n, &err);
    ck_assert_msg(rc == 0, "%s", err.text);
}

static int64_t used(int release, bool want_damaged)
{
    int64_t all[PRICE_MAX_RELEASES];
    bool is_damaged;
    struct error err = {0};
    int rc = meter_read(path, &price, all, &is_damaged, &err);
    ck_assert_msg(rc == 0, "%s", err.text);
    ck_assert_int_eq(is_damaged, want_damaged);
    return all[release];
}

static off_t file_size(void)
{
    struct stat st;
    ck_assert_int_eq(stat(path, &st), 0);
    return st.st_size;
}

START_TEST(counts_add_up_over_attempts)
{
    ck_assert_int_eq(used(0, false), 0);
    struct meter *meter = open_meter(1);
    charge(meter, 0, 100);
    charge(meter, 1, 1);
    charge(meter, 0, 50);
    ck_assert_int_eq(meter_left(meter, 0), 1000000000 - 150);
    ck_assert_int_eq(used(0, false), 150); /* while it is open */
    meter_close(meter);
    meter = open_meter(2);
    ck_assert_int_eq(meter_left(meter, 0), 1000000000 - 150);
    ck_assert_int_eq(meter_left(meter, 1), 2);
    charge(meter, 0, 7);
    charge(meter, 1, 2);
    meter_close(meter);
    ck_assert_int_eq(used(0, false), 157);
    ck_assert_int_eq(used(1, false), 3);
    ck_assert_int_eq(used(2, false), 0);
    struct stat st;
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_mode & 0777, 0600);
}
END_TEST

START_TEST(the_step_too_far_is_refused)
{
    struct meter *meter = open_meter(1);
    struct error err = {0};
    charge(meter, 1, 2);
    ck_assert_int_eq(meter_charge(meter, 1, 2, &err), -PPT_EMETER);
    ck_assert(strstr(err.text, "expected at most the 1 left of 3 reserved") != NULL);
    ck_assert_int_eq(meter_charge(meter, 1, INT64_MAX, &err), -PPT_EMETER);
    charge(meter, 1, 1);
    ck_assert_int_eq(meter_charge(meter, 1, 1, &err), -PPT_EMETER);
    ck_assert_int_eq(meter_charge(meter, 0, 0, &err), -PPT_ERANGE);
    ck_assert_int_eq(meter_charge(meter, 0, -1, &err), -PPT_ERANGE);
    ck_assert_int_eq(meter_charge(meter, 2, 1, &err), -PPT_ERANGE);
    ck_assert_int_eq(meter_charge(meter, -1, 1, &err), -PPT_ERANGE);
    charge(meter, 0, 5); /* a refusal breaks nothing */
    meter_close(meter);
    ck_assert_int_eq(used(1, false), 3);
    ck_assert_int_eq(used(0, false), 5);
}
END_TEST

START_TEST(one_at_a_time)
{
    struct meter *first = open_meter(1), *second = NULL;
    struct error err = {0};
    ck_assert_int_eq(meter_open(path, 2, &price, &second, &err), -PPT_ESTATE);
    ck_assert(strstr(err.text, "in use by another process") != NULL);
    ck_assert_ptr_null(second);
    charge(first, 0, 1);
    meter_close(first);
    second = open_meter(2);
    charge(second, 0, 1);
    meter_close(second);
    /* a late attempt 1 must not go on */
    ck_assert_int_eq(meter_open(path, 1, &price, &first, &err), -PPT_ESTATE);
    ck_assert(strstr(err.text, "attempt 2") != NULL);
    ck_assert_int_eq(meter_open(path, 0, &price, &first, &err), -PPT_ERANGE);
}
END_TEST

static void three_charges(void)
{
    struct meter *meter = open_meter(1);
    for (int i = 0; i < 3; i++)
        charge(meter, 0, 10);
    meter_close(meter);
    ck_assert_int_eq(file_size(), THREE);
}

START_TEST(a_torn_record_is_ignored)
{
    for (int cut = 1; cut < RECORD_SIZE; cut++) {
        make_anew();
        three_charges();
        ck_assert_int_eq(truncate(path, THREE - cut), 0);
        ck_assert_int_eq(used(0, false), 20);
        struct meter *meter = open_meter(2); /* cuts it off and begins */
        ck_assert_int_eq(file_size(), THREE);
        charge(meter, 0, 1);
        meter_close(meter);
        ck_assert_int_eq(used(0, false), 21);
        /* the file grew, the data never came: zeros */
        ck_assert_int_eq(truncate(path, THREE + 2 * RECORD_SIZE), 0);
        ck_assert_int_eq(used(0, false), 21);
        meter = open_meter(3);
        charge(meter, 0, 1);
        meter_close(meter);
        ck_assert_int_eq(used(0, false), 22);
    }
}
END_TEST

static void flip(off_t offset, unsigned char mask)
{
    unsigned char byte;
    int fd = open(path, O_RDWR);
    ck_assert(fd >= 0 && pread(fd, &byte, 1, offset) == 1);
    byte ^= mask;
    ck_assert(pwrite(fd, &byte, 1, offset) == 1);
    close(fd);
}

START_TEST(any_flipped_bit_counts_as_all_used)
{
    three_charges();
    for (off_t offset = 0; offset < THREE; offset++) {
        unsigned char mask = (unsigned char)(1 << offset % 8);
        flip(offset, mask);
        ck_assert_int_eq(used(0, true), 1000000000);
        ck_assert_int_eq(used(1, true), 3);
        struct meter *meter = NULL;
        struct error err = {0};
        ck_assert_int_eq(meter_open(path, 2, &price, &meter, &err), -PPT_ETRUST);
        ck_assert_int_eq(file_size(), THREE); /* evidence stays */
        flip(offset, mask);
        ck_assert_int_eq(used(0, false), 30);
    }
}
END_TEST

START_TEST(other_damage_counts_as_all_used)
{
    char good[THREE], bad[6 * RECORD_SIZE];
    three_charges();
    FILE *file = fopen(path, "r");
    ck_assert_uint_eq(fread(good, 1, sizeof good, file), sizeof good);
    fclose(file);
    const struct {
        const char *what;
        int order[6], n; /* records 0 to 3 of the good file, 4: zeros */
    } cases[] = {
        {"a charge is missing", {0, 1, 3}, 3},
        {"a charge stands twice", {0, 1, 2, 2, 3}, 5},
        {"the beginning is missing", {1, 2}, 2},
        {"a second beginning", {0, 0, 1}, 3},
        {"zeros before a record", {0, 1, 4, 2}, 4},
        {"records swapped", {0, 1, 3, 2}, 4},
        {"two records of zeros", {0, 1, 2, 4, 4}, 5},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (int j = 0; j < cases[i].n; j++) {
            char *to = bad + j * RECORD_SIZE;
            memset(to, 0, RECORD_SIZE);
            if (cases[i].order[j] < 4)
                memcpy(to, good + cases[i].order[j] * RECORD_SIZE, RECORD_SIZE);
        }
        file = fopen(path, "w");
        fwrite(bad, RECORD_SIZE, (size_t)cases[i].n, file);
        fclose(file);
        int64_t all[PRICE_MAX_RELEASES];
        bool is_damaged = false;
        ck_assert_int_eq(meter_read(path, &price, all, &is_damaged, NULL), 0);
        ck_assert_msg(is_damaged, "%s", cases[i].what);
    }
    /* charges of a larger reservation than this price */
    struct price small = price;
    make_anew();
    three_charges();
    small.releases[0].count = 29;
    int64_t all[PRICE_MAX_RELEASES];
    bool is_damaged = false;
    ck_assert_int_eq(meter_read(path, &small, all, &is_damaged, NULL), 0);
    ck_assert(is_damaged && all[0] == 29);
}
END_TEST

START_TEST(a_full_disk_charges_nothing_more)
{
    struct rlimit old, tight;
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
    struct meter *meter = open_meter(1);
    struct error err = {0};
    for (int i = 0; i < 3; i++)
        charge(meter, 0, 10);
    tight = old;
    tight.rlim_cur = THREE + 9; /* a part of the record fits */
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &tight), 0);
    ck_assert_int_eq(meter_charge(meter, 0, 10, &err), -PPT_EIO);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
    /* what is on disk is unknown now: this meter never charges again */
    ck_assert_int_eq(meter_charge(meter, 0, 10, &err), -PPT_EIO);
    ck_assert(strstr(err.text, "an earlier charge failed") != NULL);
    meter_close(meter);
    ck_assert_int_eq(file_size(), THREE + 9);
    ck_assert_int_eq(used(0, false), 30);
    meter = open_meter(2);
    charge(meter, 0, 1);
    meter_close(meter);
    ck_assert_int_eq(used(0, false), 31);
}
END_TEST

START_TEST(unreadable_places_are_errors)
{
    struct meter *meter = NULL;
    struct error err = {0};
    char beyond[192];
    snprintf(beyond, sizeof beyond, "%s/none/meter", directory);
    ck_assert_int_eq(meter_create(beyond, &err), -PPT_EIO);
    unlink(path);
    ck_assert_int_eq(symlink("/etc/hostname", path), 0);
    ck_assert_int_eq(meter_open(path, 1, &price, &meter, &err), -PPT_EIO);
    int64_t all[PRICE_MAX_RELEASES];
    bool is_damaged;
    ck_assert_int_eq(meter_read(path, &price, all, &is_damaged, &err), -PPT_EIO);
    ck_assert_int_eq(meter_read(directory, &price, all, &is_damaged, &err), -PPT_EIO);
    ck_assert_int_eq(meter_end(path, &price, all, &is_damaged, &err), -PPT_EIO);
}
END_TEST

/* What settlement is told. */
static int64_t end(bool want_damaged)
{
    int64_t all[PRICE_MAX_RELEASES];
    bool is_damaged;
    struct error err = {0};
    int rc = meter_end(path, &price, all, &is_damaged, &err);
    ck_assert_msg(rc == 0, "%s", err.text);
    ck_assert_int_eq(is_damaged, want_damaged);
    return all[0];
}

static void nothing_can_be_charged(enum ppt_error code, const char *why)
{
    struct meter *meter = NULL;
    for (int attempt = 1; attempt < 4; attempt++) {
        struct error err = {0};
        ck_assert_int_eq(meter_open(path, attempt, &price, &meter, &err), -(int)code);
        ck_assert_msg(strstr(err.text, why) != NULL, "%s", err.text);
    }
}

START_TEST(ended_is_ended)
{
    three_charges();
    ck_assert_int_eq(end(false), 30);
    off_t size = file_size();
    ck_assert_int_eq(used(0, false), 30); /* to look at it stays what it was */
    nothing_can_be_charged(PPT_ESTATE, "is settled");
    ck_assert_int_eq(end(false), 30); /* a settlement that was interrupted */
    ck_assert_int_eq(file_size(), size);
    flip(THREE + 8, 1);
    ck_assert_int_eq(end(true), 1000000000);
    nothing_can_be_charged(PPT_ETRUST, "damaged");
}
END_TEST

START_TEST(an_unused_one_can_be_ended)
{
    ck_assert_int_eq(end(false), 0);
    nothing_can_be_charged(PPT_ESTATE, "is settled");
}
END_TEST

START_TEST(a_torn_record_does_not_hide_the_end)
{
    for (int cut = 0; cut < RECORD_SIZE; cut++) {
        make_anew();
        three_charges();
        ck_assert_int_eq(truncate(path, THREE - cut), 0);
        ck_assert_int_eq(end(false), cut == 0 ? 30 : 20);
        nothing_can_be_charged(PPT_ESTATE, "is settled");
        /* an end that did not reach the disk is none: the settlement has not happened
         */
        ck_assert_int_eq(truncate(path, file_size() - 1), 0);
        struct meter *meter = open_meter(2);
        charge(meter, 0, 1);
        meter_close(meter);
        ck_assert_int_eq(end(false), cut == 0 ? 31 : 21);
    }
}
END_TEST

static int64_t last_attempt(void)
{
    int64_t attempt = -1;
    struct error err = {0};
    int rc = meter_last_attempt(path, &price, &attempt, &err);
    ck_assert_msg(rc == 0, "%s", err.text);
    return attempt;
}

START_TEST(it_tells_which_attempts_have_begun)
{
    struct meter *meter;
    int64_t attempt;
    ck_assert_int_eq(last_attempt(), 0);
    for (int i = 1; i <= 3; i++) {
        meter = open_meter(i);
        ck_assert_int_eq(last_attempt(), i); /* before any charge */
        meter_close(meter);
        meter = open_meter(i); /* the same once more */
        meter_close(meter);
        ck_assert_int_eq(file_size(), i * RECORD_SIZE);
    }
    ck_assert_int_eq(meter_open(path, 2, &price, &meter, NULL), -PPT_ESTATE);
    ck_assert_int_eq(truncate(path, 3 * RECORD_SIZE - 1),
                     0); /* its open never returned */
    ck_assert_int_eq(last_attempt(), 2);
    ck_assert_int_eq(end(false), 0);
    ck_assert_int_eq(last_attempt(), 2);
    flip(8, 1);
    ck_assert_int_eq(meter_last_attempt(path, &price, &attempt, NULL), -PPT_ETRUST);
    unlink(path);
    ck_assert_int_eq(meter_last_attempt(path, &price, &attempt, NULL), -PPT_ETRUST);
}
END_TEST

/* That an attempt has begun is there at once, and on disk with its first charge. */
START_TEST(a_beginning_can_wait_for_the_first_charge)
{
    struct meter *meter = NULL;
    struct error err = {0};
    n_syncs = 0;
    ck_assert_int_eq(meter_open_soon(path, 1, &price, &meter, &err), 0);
    ck_assert_int_eq(n_syncs, 0);
    ck_assert_int_eq(last_attempt(), 1);
    charge(meter, 0, 5);
    ck_assert_int_eq(n_syncs, 1);
    meter_close(meter);
    n_syncs = 0;
    meter = open_meter(2); /* not so where nobody says that it can */
    ck_assert_int_eq(n_syncs, 1);
    meter_close(meter);
    ck_assert_int_eq(end(false), 5);
}
END_TEST

static bool keep_beginning(int64_t attempt)
{
    bool has_begun = false;
    struct error err = {0};
    int rc = meter_keep_beginning(path, &price, attempt, &has_begun, &err);
    ck_assert_msg(rc == 0, "%s", err.text);
    return has_begun;
}

START_TEST(a_beginning_is_brought_to_disk)
{
    struct meter *meter = NULL;
    bool has_begun = true;
    ck_assert(!keep_beginning(1));
    ck_assert_int_eq(meter_open_soon(path, 1, &price, &meter, NULL), 0);
    n_syncs = 0;
    ck_assert(keep_beginning(1)); /* while it runs */
    ck_assert_int_eq(n_syncs, 1);
    ck_assert(!keep_beginning(2));
    meter_close(meter);
    ck_assert(keep_beginning(1));
    flip(8, 1);
    ck_assert_int_eq(meter_keep_beginning(path, &price, 1, &has_begun, NULL),
                     -PPT_ETRUST);
    ck_assert(!has_begun);
}
END_TEST

START_TEST(a_living_run_keeps_it_open)
{
    int64_t all[PRICE_MAX_RELEASES];
    bool is_damaged;
    struct error err = {0};
    struct meter *meter = open_meter(1);
    ck_assert_int_eq(meter_end(path, &price, all, &is_damaged, &err), -PPT_ESTATE);
    charge(meter, 0, 5);
    meter_close(meter);
    ck_assert_int_eq(end(false), 5);
}
END_TEST

START_TEST(without_one_nothing_runs_and_all_is_used)
{
    three_charges();
    unlink(path);
    nothing_can_be_charged(PPT_ESTATE, "there is no meter");
    ck_assert_int_eq(end(true), 1000000000);
    ck_assert_int_eq(access(path, F_OK), -1);
}
END_TEST

/* Charges for ever, announcing each total only after the charge has returned. */
static void charge_until_killed(int attempt, int64_t before, int announce)
{
    struct meter *meter = NULL;
    if (meter_open(path, attempt, &price, &meter, NULL) != 0)
        _exit(3);
    for (int64_t total = before + 1;; total++) {
        if (meter_charge(meter, 0, 1, NULL) != 0)
            _exit(4);
        if (write(announce, &total, sizeof total) != sizeof total)
            _exit(5);
    }
}

START_TEST(kills_lose_no_charge)
{
    int64_t before = 0;
    int n_with_charges = 0;
    srand(11);
    for (int attempt = 1; attempt <= N_KILLS; attempt++) {
        int ends[2];
        ck_assert_int_eq(pipe(ends), 0);
        pid_t child = fork();
        ck_assert(child >= 0);
        if (child == 0) {
            close(ends[0]);
            charge_until_killed(attempt, before, ends[1]);
        }
        close(ends[1]);
        int64_t total, announced = before;
        /* wait for the first charge, mostly, so that the kill hits the loop */
        if (attempt % 5 != 0 && read(ends[0], &total, sizeof total) == sizeof total)
            announced = total;
        usleep((useconds_t)(rand() % 10000));
        kill(child, SIGKILL);
        while (read(ends[0], &total, sizeof total) == sizeof total)
            announced = total;
        close(ends[0]);
        int status;
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_msg(WIFSIGNALED(status), "the child ended by itself: %d", status);
        int64_t said = used(0, false);
        ck_assert_msg(said >= announced && said <= announced + 1,
                      "kill %d: the meter says %lld, released were %lld", attempt,
                      (long long)said, (long long)announced);
        n_with_charges += said > before;
        before = said;
    }
    ck_assert_int_gt(n_with_charges, N_KILLS / 2);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("meter");
    tcase_set_timeout(tcase, 100);
    tcase_add_checked_fixture(tcase, make_directory, remove_directory);
    tcase_add_test(tcase, counts_add_up_over_attempts);
    tcase_add_test(tcase, the_step_too_far_is_refused);
    tcase_add_test(tcase, one_at_a_time);
    tcase_add_test(tcase, a_torn_record_is_ignored);
    tcase_add_test(tcase, any_flipped_bit_counts_as_all_used);
    tcase_add_test(tcase, other_damage_counts_as_all_used);
    tcase_add_test(tcase, a_full_disk_charges_nothing_more);
    tcase_add_test(tcase, unreadable_places_are_errors);
    tcase_add_test(tcase, ended_is_ended);
    tcase_add_test(tcase, an_unused_one_can_be_ended);
    tcase_add_test(tcase, a_torn_record_does_not_hide_the_end);
    tcase_add_test(tcase, it_tells_which_attempts_have_begun);
    tcase_add_test(tcase, a_beginning_can_wait_for_the_first_charge);
    tcase_add_test(tcase, a_beginning_is_brought_to_disk);
    tcase_add_test(tcase, a_living_run_keeps_it_open);
    tcase_add_test(tcase, without_one_nothing_runs_and_all_is_used);
    tcase_add_test(tcase, kills_lose_no_charge);
    Suite *suite = suite_create("meter");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
