/* Another program's words and status are kept; it is never waited for longer than said.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "scheduler/command.h"

static struct error err;
static struct command_result result;
static char *const environment[] = {"PATH=/usr/bin:/bin", "WORD=as given", NULL};

static int run(const char *script, int64_t timeout_ms)
{
    const char *const argv[] = {"sh", "-c", script, NULL};
    result = (struct command_result){0};
    return command_run(argv, environment, timeout_ms, &result, &err);
}

START_TEST(words_and_status_are_kept)
{
    ck_assert_int_eq(run("echo \"$WORD\"; echo one >&2; echo two >&2; exit 3", 5000),
                     0);
    ck_assert_int_eq(result.status, 3);
    ck_assert(!result.has_timed_out);
    ck_assert_str_eq(result.output, "as given\n");
    ck_assert_str_eq(result.errors, "one two");
    command_result_free(&result);
    ck_assert_int_eq(run("kill -KILL $$", 5000), 0);
    ck_assert_int_eq(result.status, 128 + 9);
    command_result_free(&result);
    ck_assert_int_eq(run("cat; env | wc -l", 5000), 0); /* nothing on stdin */
    ck_assert_int_le(atoi(result.output), 4);           /* sh adds PWD and such */
    command_result_free(&result);
}
END_TEST

START_TEST(large_output_is_whole)
{
    ck_assert_int_eq(run("head -c 1000000 /dev/zero | tr '\\0' x", 5000), 0);
    ck_assert_uint_eq(strlen(result.output), 1000000);
    command_result_free(&result);
    ck_assert_int_eq(run("head -c 20000000 /dev/zero | tr '\\0' x", 5000), -PPT_EIO);
}
END_TEST

START_TEST(time_is_kept)
{
    time_t begin = time(NULL);
    ck_assert_int_eq(run("echo early; sleep 31.5 & sleep 31.5", 300), 0);
    ck_assert(result.has_timed_out);
    ck_assert_str_eq(result.output, "early\n");
    ck_assert_int_le(time(NULL) - begin, 5);
    command_result_free(&result);
    usleep(100000); /* and its children went with it */
    ck_assert_int_ne(system("grep -sqz '^31.5$' /proc/[0-9]*/cmdline"), 0);
    /* One that leaves a child behind with our pipe is not waited for. */
    ck_assert_int_eq(run("sleep 3 & exit 0", 2500), 0);
    ck_assert(!result.has_timed_out);
    ck_assert_int_eq(result.status, 0);
    command_result_free(&result);
}
END_TEST

START_TEST(no_such_program)
{
    const char *const argv[] = {"/nowhere/program", NULL};
    ck_assert_int_eq(command_run(argv, environment, 1000, &result, &err), 0);
    ck_assert_int_eq(result.status, 127);
    command_result_free(&result);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("command");
    TCase *tests = tcase_create("command");
    tcase_add_test(tests, words_and_status_are_kept);
    tcase_add_test(tests, large_output_is_whole);
    tcase_add_test(tests, time_is_kept);
    tcase_add_test(tests, no_such_program);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed > 0;
}
