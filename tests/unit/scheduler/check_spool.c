/* The scheduler's directory: one user at a time, state that survives, locks that live
 * exactly as long as the processes that inherited them. */
#include "scheduler/spool.h"

#include <check.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/pathsafe.h"

static char top[64], root[80], directory[SPOOL_PATH_SIZE];
static struct error err;
static struct spool spool;
static struct spool_state first;

static void setup(void)
{
    memset(&err, 0, sizeof err);
    strcpy(top, "/tmp/check_spool.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(top));
    snprintf(root, sizeof root, "%s/spool", top);
    ck_assert_int_eq(spool_open(root, &spool, &err), 0);
}

static void teardown(void)
{
    char command[128];
    spool_close(&spool);
    snprintf(command, sizeof command, "rm -rf %s", top);
    ck_assert_int_eq(system(command), 0);
}

static unsigned mode_of(const char *path)
{
    struct stat st;
    ck_assert_int_eq(stat(path, &st), 0);
    return st.st_mode & 07777;
}

START_TEST(one_scheduler_a_spool)
{
    struct spool other;
    ck_assert_int_eq(spool_open(root, &other, &err), -PPT_ESTATE);
    ck_assert_ptr_nonnull(strstr(err.text, "another ppt-schedd"));
    spool_close(&spool);
    ck_assert_int_eq(spool_open(root, &spool, &err), 0);
}
END_TEST

START_TEST(a_spool_that_others_can_write_is_refused)
{
    struct spool other;
    char open_root[80];
    snprintf(open_root, sizeof open_root, "%s/open", top);
    ck_assert_int_eq(mkdir(open_root, 0700), 0);
    ck_assert_int_eq(chmod(open_root, 0770), 0);
    ck_assert_int_eq(spool_open(open_root, &other, &err), -PPT_ETRUST);
    ck_assert_int_eq(spool_open("/nonexistent/spool", &other, &err), -PPT_EIO);
}
END_TEST

/* Elsewhere it is as it was. */
START_TEST(on_ext4_its_directories_are_spread)
{
    struct statfs fs;
    int flags = 0, fd = open(root, O_RDONLY | O_DIRECTORY);
    ck_assert_int_eq(fstatfs(fd, &fs), 0);
    if (fs.f_type == EXT4_SUPER_MAGIC) {
        ck_assert_int_eq(ioctl(fd, FS_IOC_GETFLAGS, &flags), 0);
        ck_assert_int_ne(flags & FS_TOPDIR_FL, 0);
    }
    close(fd);
}
END_TEST

START_TEST(a_jobs_directory_is_private)
{
    char again[SPOOL_PATH_SIZE];
    umask(0);
    ck_assert_int_eq(spool_job(&spool, 17, directory, &first, &err), 0);
    ck_assert_int_eq(mode_of(directory), 0700);
    ck_assert_int_eq(spool_job(&spool, 17, again, &first, &err), 0);
    ck_assert_str_eq(directory, again);
    ck_assert_ptr_nonnull(strstr(directory, "/spool/17"));
}
END_TEST

START_TEST(state_comes_back_as_it_was)
{
    struct spool_state state = {3,          1700000000, SPOOL_STOP_TIME,
                                1700000009, 2,          1,
                                1700000005, 2,          7,
                                1700000011, 9,          "",
                                false},
                       read;
    ck_assert_int_eq(spool_job(&spool, 1, directory, &first, &err), 0);
    ck_assert_int_eq(spool_load(directory, &read, &err), 0);
    ck_assert_int_eq(read.started_attempt, 0);
    ck_assert_int_eq(read.stop, SPOOL_STOP_NONE);
    ck_assert_int_eq(spool_save(directory, &state, &err), 0);
    ck_assert_int_eq(spool_load(directory, &read, &err), 0);
    ck_assert_int_eq(read.started_attempt, 3);
    ck_assert_int_eq(read.started_at_s, 1700000000);
    ck_assert_int_eq(read.stop, SPOOL_STOP_TIME);
    ck_assert_int_eq(read.stop_at_s, 1700000009);
    ck_assert_int_eq(read.n_losses, 2);
    ck_assert_int_eq(read.last_loss, 1);
    ck_assert_int_eq(read.missing_since_s, 1700000005);
    ck_assert_int_eq(read.n_early, 2);
    ck_assert_int_eq(read.last_early, 7);
    ck_assert_int_eq(read.held_since_s, 1700000011);
    ck_assert_int_eq(read.ahead_attempt, 9);
    /* an existing state is not made empty */
    ck_assert_int_eq(spool_job(&spool, 1, directory, &first, &err), 0);
    ck_assert_int_eq(spool_load(directory, &read, &err), 0);
    ck_assert_int_eq(read.n_losses, 2);
}
END_TEST

START_TEST(damaged_and_missing_states_are_told_apart)
{
    struct spool_state read;
    char path[SPOOL_PATH_SIZE];
    ck_assert_int_eq(spool_job(&spool, 1, directory, &first, &err), 0);
    ck_assert_int_eq(spool_path(directory, "scheduler.json", path, &err), 0);
    FILE *file = fopen(path, "w");
    fputs("{\"started_attempt\": -1}", file);
    fclose(file);
    ck_assert_int_eq(spool_load(directory, &read, &err), -PPT_ETRUST);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(spool_load(directory, &read, &err), -PPT_ENOTFOUND);
}
END_TEST

static void put(const char *text, const char *how)
{
    char path[SPOOL_PATH_SIZE];
    ck_assert_int_eq(spool_path(directory, "scheduler.json", path, &err), 0);
    FILE *file = fopen(path, how);
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

/* What the last interrupted save left is as if it had never been, and spoils neither
 * the save before it nor the next. */
START_TEST(an_interrupted_save_has_not_happened)
{
    struct spool_state state = {.started_attempt = 1}, read;
    ck_assert_int_eq(spool_job(&spool, 1, directory, &first, &err), 0);
    ck_assert_int_eq(spool_save(directory, &state, &err), 0);
    put("\n{\"started_attempt\": 2, \"started", "a");
    ck_assert_int_eq(spool_load(directory, &read, &err), 0);
    ck_assert_int_eq(read.started_attempt, 1);
    state.started_attempt = 3;
    ck_assert_int_eq(spool_save(directory, &state, &err), 0);
    ck_assert_int_eq(spool_load(directory, &read, &err), 0);
    ck_assert_int_eq(read.started_attempt, 3);
    put("\n{\"started_attempt\": 4}\n", "a"); /* whole, and not a state */
    ck_assert_int_eq(spool_load(directory, &read, &err), -PPT_ETRUST);
}
END_TEST

/* Another boot of the machine in all that was noted: as after a power cut. */
static void cut_power(void)
{
    char path[SPOOL_PATH_SIZE], *text;
    size_t len;
    ck_assert_int_eq(spool_path(directory, "scheduler.json", path, &err), 0);
    ck_assert_int_eq(pathsafe_read_file(path, 4096, &text, &len, &err), 0);
    for (char *at = text; (at = strstr(at, "\"boot\": \"")) != NULL; at++)
        at[9] = at[9] == 'f' ? '0' : 'f';
    put(text, "w");
    free(text);
}

START_TEST(what_was_noted_is_in_doubt_after_a_power_cut)
{
    struct spool_state state = {.started_attempt = 1}, read;
    ck_assert_int_eq(spool_job(&spool, 1, directory, &first, &err), 0);
    ck_assert_int_eq(spool_load(directory, &read, &err), 0);
    ck_assert(read.boot[0] != '\0' && !read.is_doubtful);
    cut_power();
    ck_assert_int_eq(spool_load(directory, &read, &err), 0);
    ck_assert(read.is_doubtful);

    ck_assert_int_eq(spool_note(directory, &state, &err), 0);
    ck_assert_int_eq(spool_load(directory, &read, &err), 0);
    ck_assert_int_eq(read.started_attempt, 1);
    ck_assert(!read.is_doubtful);
    cut_power();
    ck_assert_int_eq(spool_load(directory, &read, &err), 0);
    ck_assert(read.is_doubtful);
    ck_assert_int_eq(spool_save(directory, &read, &err), 0); /* saving heals nothing */
    ck_assert_int_eq(spool_load(directory, &read, &err), 0);
    ck_assert(read.is_doubtful);

    ck_assert_int_eq(spool_note(directory, &state, &err), 0);
    ck_assert_int_eq(spool_keep(directory, &state, &err), 0);
    ck_assert_str_eq(state.boot, "");
    cut_power();
    ck_assert_int_eq(spool_load(directory, &read, &err), 0);
    ck_assert(read.started_attempt == 1 && !read.is_doubtful);
}
END_TEST

/* Its name was on disk and nothing else. */
START_TEST(an_empty_state_is_none)
{
    struct spool_state read;
    ck_assert_int_eq(spool_job(&spool, 1, directory, &first, &err), 0);
    put("", "w");
    ck_assert_int_eq(spool_load(directory, &read, &err), -PPT_ENOTFOUND);
    ck_assert_int_eq(spool_job(&spool, 1, directory, &first, &err), 0);
    ck_assert_int_eq(spool_load(directory, &read, &err), 0);
}
END_TEST

START_TEST(a_state_may_be_saved_for_ever)
{
    struct spool_state state = {0}, read;
    struct stat st;
    char path[SPOOL_PATH_SIZE];
    ck_assert_int_eq(spool_job(&spool, 1, directory, &first, &err), 0);
    ck_assert_int_eq(spool_path(directory, "scheduler.json", path, &err), 0);
    for (int64_t i = 1; i <= 300; i++) {
        state.started_at_s = INT64_MAX - i;
        ck_assert_int_eq(spool_save(directory, &state, &err), 0);
        ck_assert_int_eq(spool_load(directory, &read, &err), 0);
        ck_assert_int_eq(read.started_at_s, INT64_MAX - i);
    }
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_le(st.st_size, 4096);
}
END_TEST

START_TEST(a_lock_lives_as_long_as_who_inherited_it)
{
    bool is_locked;
    int lock, ends[2];
    char byte;
    ck_assert_int_eq(spool_job(&spool, 1, directory, &first, &err), 0);
    ck_assert_int_eq(spool_is_locked(directory, &is_locked, &err), 0);
    ck_assert(!is_locked);
    ck_assert_int_eq(spool_lock(directory, &lock, &err), 0);
    ck_assert_int_eq(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        if (read(ends[0], &byte, 1) < 0)
            _exit(1);
        pause();
        _exit(0);
    }
    close(lock);
    ck_assert_int_eq(spool_is_locked(directory, &is_locked, &err), 0);
    ck_assert(is_locked);
    ck_assert_int_eq(spool_lock(directory, &lock, &err), -PPT_ESTATE);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    ck_assert_int_eq(spool_is_locked(directory, &is_locked, &err), 0);
    ck_assert(!is_locked);
    ck_assert_int_eq(spool_is_locked("/nonexistent/17", &is_locked, &err), 0);
    ck_assert(!is_locked);
    close(ends[0]);
    close(ends[1]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("spool");
    TCase *tc = tcase_create("spool");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, one_scheduler_a_spool);
    tcase_add_test(tc, a_spool_that_others_can_write_is_refused);
    tcase_add_test(tc, on_ext4_its_directories_are_spread);
    tcase_add_test(tc, a_jobs_directory_is_private);
    tcase_add_test(tc, state_comes_back_as_it_was);
    tcase_add_test(tc, damaged_and_missing_states_are_told_apart);
    tcase_add_test(tc, an_interrupted_save_has_not_happened);
    tcase_add_test(tc, a_state_may_be_saved_for_ever);
    tcase_add_test(tc, what_was_noted_is_in_doubt_after_a_power_cut);
    tcase_add_test(tc, an_empty_state_is_none);
    tcase_add_test(tc, a_lock_lives_as_long_as_who_inherited_it);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed != 0;
}
