/* What stands on stderr. Each message of a socket is one write. */
#include "base/log.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int ends[2], real_stderr;

static void setup(void)
{
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
    real_stderr = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    log_init("prog", false);
    log_timestamps(false);
}

static void teardown(void)
{
    dup2(real_stderr, STDERR_FILENO);
    close(real_stderr);
    close(ends[0]);
    close(ends[1]);
}

/* The next write; "" if there was none. */
static const char *next(void)
{
    static char text[2048];
    ssize_t n = recv(ends[0], text, sizeof text - 1, MSG_DONTWAIT);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

START_TEST(a_line_is_one_write)
{
    char longest[1200];
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    log_info("job %d: %s", 7, "done");
    ck_assert_str_eq(next(), "prog: job 7: done\n");
    log_warning("%s", "100 %s");
    ck_assert_str_eq(next(), "prog: warning: 100 %s\n");
    log_info("%s", longest);
    ck_assert_uint_eq(strlen(next()), sizeof longest - 1 + strlen("prog: \n"));
    ck_assert_str_eq(next(), "");
}
END_TEST

START_TEST(an_error_says_what_it_knows)
{
    struct error err = {.code = PPT_EIO};
    strcpy(err.text, "no room");
    ck_assert_int_eq(log_error(&err), PPT_EIO);
    ck_assert_str_eq(next(), "prog: error: no room\n");
    strcpy(err.detail, "two\nlines");
    strcpy(err.hint, "make room");
    err.text[0] = '\0';
    log_error(&err);
    ck_assert_ptr_nonnull(strstr(next(), error_sentence(PPT_EIO)));
    ck_assert_str_eq(next(), "prog: detail: two\nlines\n");
    ck_assert_str_eq(next(), "prog: hint: make room\n");
    ck_assert_str_eq(next(), "");
}
END_TEST

START_TEST(daemons_have_the_time_and_quiet_ones_say_less)
{
    log_timestamps(true);
    log_info("up");
    const char *line = next();
    ck_assert_uint_eq(strlen(line), strlen("2026-01-02T03:04:05Z prog: up\n"));
    ck_assert(line[4] == '-' && line[10] == 'T' && line[19] == 'Z');
    ck_assert_str_eq(line + 21, "prog: up\n");
    log_init("prog", true);
    log_info("not said");
    ck_assert_str_eq(next(), "");
    log_warning("said");
    ck_assert_ptr_nonnull(strstr(next(), "warning: said"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log");
    TCase *tc = tcase_create("log");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_line_is_one_write);
    tcase_add_test(tc, an_error_says_what_it_knows);
    tcase_add_test(tc, daemons_have_the_time_and_quiet_ones_say_less);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
