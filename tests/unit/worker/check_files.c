/* What a run leaves behind: digests, files in their places, progress; and its flags. */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/crypto.h"
#include "jobs/comm.h"
#include "tests/unit/worker/scratch.h"
#include "worker/digest.h"
#include "worker/files.h"
#include "worker/progress.h"
#include "worker/stop.h"

static struct error err;

/* Against the definition, over two blocks, the second short. */
START_TEST(the_digest_is_that_of_the_blocks)
{
    static unsigned char block[MANIFEST_BLOCK_BYTES];
    unsigned char hashes[2][CRYPTO_SHA256_SIZE];
    char want[MANIFEST_HEX_SIZE], got[MANIFEST_HEX_SIZE];
    const char *path = scratch_path("big");
    for (size_t i = 0; i < sizeof block; i++)
        block[i] = (unsigned char)(i * 2654435761u >> 13);
    FILE *file = fopen(path, "w");
    fwrite(block, 1, sizeof block, file);
    fwrite(block, 1, 1000, file);
    fclose(file);
    crypto_sha256(block, sizeof block, hashes[0]);
    crypto_sha256(block, 1000, hashes[1]);
    crypto_sha256_hex(hashes, sizeof hashes, want);
    ck_assert_int_eq(digest_file(path, &comm_alone, got, &err), 0);
    ck_assert_str_eq(got, want);
    scratch_write("none", "", 0);
    crypto_sha256_hex("", 0, want);
    ck_assert_int_eq(digest_file(scratch_path("none"), &comm_alone, got, &err), 0);
    ck_assert_str_eq(got, want);
    ck_assert_int_eq(digest_file(scratch_path("absent"), &comm_alone, got, &err),
                     -PPT_ENOTFOUND);
}
END_TEST

static struct {
    int n, fails_at; /* -1: never */
    struct stat of[4];
} syncs;

/* In place of the library's: tells what is synced, and can fail. */
int fsync(int fd)
{
    ck_assert_int_eq(fstat(fd, &syncs.of[syncs.n % 4]), 0);
    return syncs.n++ == syncs.fails_at ? -1 : (int)syscall(SYS_fsync, fd);
}

/* Both are on disk at the end: the file, which has its name by then, and the names. */
START_TEST(a_file_and_its_name_are_synced_together)
{
    char temporary[256], path[256];
    struct stat st;
    snprintf(temporary, sizeof temporary, "%s", scratch_path("new.tmp"));
    snprintf(path, sizeof path, "%s", scratch_path("new"));
    for (int fails_at = -1; fails_at < 2; fails_at++) {
        memset(&syncs, 0, sizeof syncs);
        syncs.fails_at = fails_at;
        scratch_write("new", "old", 3);
        scratch_write("new.tmp", "young", 5);
        ck_assert_int_eq(stat(temporary, &st), 0);
        int rc = files_replace_unsynced(temporary, path, &err);
        ck_assert_int_ne(access(temporary, F_OK), 0);
        ck_assert_uint_eq(syncs.of[0].st_ino, st.st_ino);
        if (fails_at >= 0) { /* nobody takes it for whole */
            ck_assert_int_eq(rc, -PPT_EIO);
            ck_assert_int_ne(access(path, F_OK), 0);
            continue;
        }
        ck_assert_int_eq(rc, 0);
        ck_assert_int_eq(syncs.n, 2);
        ck_assert(S_ISDIR(syncs.of[1].st_mode));
        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_uint_eq(syncs.of[0].st_ino, st.st_ino);
        ck_assert_int_eq(st.st_size, 5);
    }
    ck_assert_int_eq(files_replace_unsynced(temporary, path, &err), -PPT_EIO);
}
END_TEST

START_TEST(progress_is_one_line_a_second)
{
    char *text = NULL;
    size_t len = 0;
    struct progress_line line = {.file = open_memstream(&text, &len)};
    struct progress p = {
        .n_steps = 100, .epsilon = 1.5, .expected_examples_per_s = 1e4};
    for (p.step = 1; p.step <= 100; p.step++)
        progress_show(&line, &p);
    progress_end(&line);
    fclose(line.file);
    ck_assert_str_eq(text,
                     "ppt-worker: step 1/100, epsilon 1.500, 10000 examples/s\n"
                     "ppt-worker: step 100/100, epsilon 1.500, 10000 examples/s\n");
    free(text);
}
END_TEST

START_TEST(progress_shows_what_is_public)
{
    char *text = NULL;
    size_t len = 0;
    struct progress_line line = {.file = open_memstream(&text, &len),
                                 .is_terminal = true};
    struct progress p = {.step = 10, .n_steps = 100};
    progress_show(&line, &p);
    usleep(1100000);
    p.step = 20;
    p.has_loss = p.has_test_accuracy = true;
    p.loss = 0.25;
    p.test_accuracy = 0.975;
    progress_show(&line, &p);
    progress_end(&line);
    fclose(line.file);
    ck_assert_str_eq(text,
                     "\r\033[Kstep 10/100, 0 examples/s\r\033[Kstep 20/100, "
                     "loss 0.2500, test accuracy 97.50 %, 0 examples/s, 9 s left\n");
    free(text);
}
END_TEST

static const int signals[] = {SIGTERM, SIGINT, SIGUSR1};

START_TEST(signals_set_the_flag)
{
    stop_watch();
    ck_assert_int_eq(stop_requested, 0);
    raise(signals[_i]);
    ck_assert_int_eq(stop_requested, 1);
}
END_TEST

START_TEST(the_clock_can_be_stopped)
{
    stop_within(1);
    stop_at_ease();
    usleep(1300000);
    ck_assert_int_eq(stop_overdue, 0);
    stop_within(1);
    usleep(1300000);
    usleep(100000);
    ck_assert_int_eq(stop_overdue, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("files");
    TCase *tc = tcase_create("files");
    tcase_add_checked_fixture(tc, scratch_setup, scratch_teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, the_digest_is_that_of_the_blocks);
    tcase_add_test(tc, a_file_and_its_name_are_synced_together);
    tcase_add_test(tc, progress_is_one_line_a_second);
    tcase_add_test(tc, progress_shows_what_is_public);
    tcase_add_loop_test(tc, signals_set_the_flag, 0, 3);
    tcase_add_test(tc, the_clock_can_be_stopped);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
