/* Key files are believed only when nobody else could have written or read them. */
#include "base/pathsafe.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[64], path[128];
static struct error err;

static void setup(void)
{
    strcpy(directory, "/tmp/check_pathsafe.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/key", directory);
    memset(&err, 0, sizeof err);
}

static void teardown(void)
{
    chmod(directory, 0700);
    unlink(path);
    char other[160];
    snprintf(other, sizeof other, "%s.link", path);
    unlink(other);
    rmdir(directory);
}

START_TEST(a_private_key_file_is_read)
{
    char key[4];
    ck_assert_int_eq(pathsafe_write_new(path, "abcd", 4, 0600, &err), 0);
    ck_assert_int_eq(pathsafe_read_secret(path, key, 4, &err), 0);
    ck_assert_mem_eq(key, "abcd", 4);
    ck_assert_int_eq(pathsafe_write_new(path, "wxyz", 4, 0600, &err), -PPT_EEXISTS);
}
END_TEST

START_TEST(an_open_mode_is_refused)
{
    char key[4];
    ck_assert_int_eq(pathsafe_write_new(path, "abcd", 4, 0640, &err), 0);
    ck_assert_int_eq(pathsafe_read_secret(path, key, 4, &err), -PPT_ETRUST);
    ck_assert_ptr_nonnull(strstr(err.text, "0640"));
    ck_assert_int_eq(pathsafe_read_public(path, key, 4, &err), 0);
    chmod(path, 0646);
    ck_assert_int_eq(pathsafe_read_public(path, key, 4, &err), -PPT_ETRUST);
}
END_TEST

START_TEST(an_open_parent_is_refused)
{
    char key[4];
    ck_assert_int_eq(pathsafe_write_new(path, "abcd", 4, 0600, &err), 0);
    chmod(directory, 0777);
    ck_assert_int_eq(pathsafe_read_secret(path, key, 4, &err), -PPT_ETRUST);
    ck_assert_ptr_nonnull(strstr(err.text, directory));
    chmod(directory, 01777); /* sticky: others cannot swap the file */
    ck_assert_int_eq(pathsafe_read_secret(path, key, 4, &err), 0);
}
END_TEST

START_TEST(a_link_or_a_wrong_size_is_refused)
{
    char key[4], other[160];
    ck_assert_int_eq(pathsafe_write_new(path, "abcde", 5, 0600, &err), 0);
    ck_assert_int_eq(pathsafe_read_secret(path, key, 4, &err), -PPT_ETRUST);
    ck_assert_int_eq(pathsafe_replace(path, "abc", 3, 0600, &err), 0);
    ck_assert_int_eq(pathsafe_read_secret(path, key, 4, &err), -PPT_ETRUST);
    snprintf(other, sizeof other, "%s.link", path);
    ck_assert_int_eq(symlink(path, other), 0);
    ck_assert_int_eq(pathsafe_read_secret(other, key, 3, &err), -PPT_ETRUST);
    ck_assert_int_eq(pathsafe_read_secret("/nonexistent", key, 3, &err), -PPT_EIO);
}
END_TEST

START_TEST(another_users_file_is_refused)
{
    if (geteuid() != 0)
        return; /* only root can give a file away; CI runs as root as well */
    char key[4];
    ck_assert_int_eq(pathsafe_write_new(path, "abcd", 4, 0600, &err), 0);
    ck_assert_int_eq(chown(path, 12345, 12345), 0);
    ck_assert_int_eq(pathsafe_read_secret(path, key, 4, &err), -PPT_ETRUST);
}
END_TEST

START_TEST(replace_keeps_the_old_file_when_the_disk_is_full)
{
    char big[8192], *text;
    memset(big, 'x', sizeof big);
    ck_assert_int_eq(pathsafe_replace(path, "old", 3, 0600, &err), 0);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit = {1000, 1000};
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_assert_int_eq(pathsafe_replace(path, big, sizeof big, 0600, &err), -PPT_EIO);
    ck_assert_int_eq(pathsafe_read_file(path, 100, &text, NULL, &err), 0);
    ck_assert_str_eq(text, "old");
    free(text);
}
END_TEST

START_TEST(a_file_over_the_limit_is_refused)
{
    char *text = NULL;
    size_t len = 0;
    ck_assert_int_eq(pathsafe_replace(path, "0123456789", 10, 0600, &err), 0);
    ck_assert_int_eq(pathsafe_read_file(path, 9, &text, &len, &err), -PPT_EIO);
    ck_assert_ptr_null(text);
    ck_assert_int_eq(pathsafe_read_file(path, 10, &text, &len, &err), 0);
    ck_assert_uint_eq(len, 10);
    free(text);
    unlink(path);
    ck_assert_int_eq(pathsafe_read_file(path, 10, &text, &len, &err), -PPT_ENOTFOUND);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pathsafe");
    TCase *tc = tcase_create("files");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_private_key_file_is_read);
    tcase_add_test(tc, an_open_mode_is_refused);
    tcase_add_test(tc, an_open_parent_is_refused);
    tcase_add_test(tc, a_link_or_a_wrong_size_is_refused);
    tcase_add_test(tc, another_users_file_is_refused);
    tcase_add_test(tc, replace_keeps_the_old_file_when_the_disk_is_full);
    tcase_add_test(tc, a_file_over_the_limit_is_refused);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed != 0;
}
