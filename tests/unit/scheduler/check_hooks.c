/* The site's own program: what it gets, and that a slow or missing one, or very many,
 * hold nobody up. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/pathsafe.h"
#include "scheduler/hooks.h"

static char folder[64];
static struct conf_hooks conf;
static struct hooks *hooks;
static struct error err;
static const struct hook_event event = {.job_id = 7,
                                        .state = "failed",
                                        .name = "digits",
                                        .account = "acme/research",
                                        .login = "alice",
                                        .reason = "rank 1: `date`\n$(id); \"x\"",
                                        .error_code = 21,
                                        .epsilon_spent = 1.5,
                                        .mail = "ada@example.org"};

static void set_up(void)
{
    strcpy(folder, "/tmp/check_hooks.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    conf = (struct conf_hooks){.time_limit_s = 60};
    hooks = NULL;
    err = (struct error){0};
}

static void tear_down(void)
{
    char command[128];
    hooks_free(hooks);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
}

/* A shell script as the site's program, $F being the test's folder. */
static void program(const char *body)
{
    snprintf(conf.end, sizeof conf.end, "%s/end", folder);
    FILE *file = fopen(conf.end, "w");
    ck_assert_ptr_nonnull(file);
    fprintf(file, "#!/bin/sh\nF=%s\n%s\n", folder, body);
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_int_eq(chmod(conf.end, 0755), 0);
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Tends until none is left; false after so long. */
static bool drain(double most_s)
{
    double until_s = now_s() + most_s;
    while (hooks_count(hooks) > 0 && now_s() < until_s) {
        hooks_tend(hooks);
        usleep(5000);
    }
    return hooks_count(hooks) == 0;
}

static char *read_file(const char *name)
{
    char path[128], *text = NULL;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return pathsafe_read_file(path, 1 << 20, &text, NULL, NULL) == 0 ? text : NULL;
}

START_TEST(it_gets_this_and_nothing_else)
{
    setenv("PGPASSWORD", "secret", 1);
    program(
        "{ echo \"$#\" \"$@\"; pwd; ls /proc/self/fd | wc -l; env | sort; } >$F/out");
    ck_assert_int_eq(hooks_open(&conf, &hooks, &err), 0);
    hooks_run(hooks, &event);
    ck_assert_int_eq(hooks_count(hooks), 1);
    ck_assert(drain(20));
    char *text = read_file("out");
    ck_assert_ptr_nonnull(text);
    /* 3 and the folder that ls reads; PWD is the shell's. */
    ck_assert_str_eq(text, "2 7 failed\n/\n4\n"
                           "LANG=C.UTF-8\n"
                           "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin\n"
                           "PPT_JOB_ACCOUNT=acme/research\n"
                           "PPT_JOB_EPSILON=1.5\n"
                           "PPT_JOB_EXIT_CODE=21\n"
                           "PPT_JOB_ID=7\n"
                           "PPT_JOB_MAIL=ada@example.org\n"
                           "PPT_JOB_NAME=digits\n"
                           "PPT_JOB_REASON=rank 1: `date`?$(id); \"x\"\n"
                           "PPT_JOB_STATE=failed\n"
                           "PPT_JOB_USER=alice\n"
                           "PWD=/\n");
    free(text);
}
END_TEST

START_TEST(once_each_and_all_of_them)
{
    struct hook_event each = event;
    program("echo $1 >>$F/out");
    ck_assert_int_eq(hooks_open(&conf, &hooks, &err), 0);
    for (each.job_id = 1; each.job_id <= 30; each.job_id++)
        hooks_run(hooks, &each);
    ck_assert(drain(60));
    char *text = read_file("out");
    bool seen[31] = {false};
    int n = 0;
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        int id = atoi(line);
        ck_assert(id >= 1 && id <= 30 && !seen[id]);
        seen[id] = true;
        n++;
    }
    ck_assert_int_eq(n, 30);
    free(text);
}
END_TEST

/* With what it has started. Nobody waits for it meanwhile. */
START_TEST(a_hanging_one_is_killed)
{
    program("sleep 1000 & echo $! >$F/child; wait");
    conf.time_limit_s = 1;
    ck_assert_int_eq(hooks_open(&conf, &hooks, &err), 0);
    double began_s = now_s();
    for (int i = 0; i < HOOKS_MAX_RUNNING + 1; i++)
        hooks_run(hooks, &event);
    hooks_tend(hooks);
    ck_assert(now_s() - began_s < 0.9);
    ck_assert_int_eq(hooks_count(hooks), HOOKS_MAX_RUNNING + 1);
    ck_assert(drain(30));
    ck_assert(now_s() - began_s >= 2); /* the fifth waited for a place */
    char *text = read_file("child"), path[64];
    ck_assert_ptr_nonnull(text);
    snprintf(path, sizeof path, "/proc/%d/cmdline", atoi(text));
    free(text);
    double until_s = now_s() + 10;
    char *words = NULL;
    do { /* gone, or init has not reaped it yet */
        free(words);
        words = NULL;
        usleep(10000);
    } while (pathsafe_read_file(path, 4096, &words, NULL, NULL) == 0 &&
             strcmp(words, "sleep") == 0 && now_s() < until_s);
    ck_assert(words == NULL || strcmp(words, "sleep") != 0);
    free(words);
}
END_TEST

START_TEST(a_missing_one_stops_nothing)
{
    strcpy(conf.end, "/nonexistent/end");
    ck_assert_int_eq(hooks_check(conf.end, &err), -PPT_ELAUNCH);
    ck_assert_int_eq(hooks_open(&conf, &hooks, &err), 0);
    hooks_run(hooks, &event);
    hooks_tend(hooks);
    ck_assert_int_eq(hooks_count(hooks), 0);
    hooks_run(NULL, &event);
    hooks_tend(NULL);
    conf.end[0] = '\0';
    hooks_run(hooks, &event);
    ck_assert_int_eq(hooks_count(hooks), 0);
}
END_TEST

START_TEST(one_that_others_can_change_is_not_run)
{
    program("echo run >$F/out");
    ck_assert_int_eq(hooks_check(conf.end, &err), 0);
    ck_assert_int_eq(chmod(conf.end, 0775), 0);
    ck_assert_int_eq(hooks_check(conf.end, &err), -PPT_EPERM);
    ck_assert_int_eq(hooks_open(&conf, &hooks, &err), 0);
    hooks_run(hooks, &event);
    ck_assert(drain(10));
    ck_assert_ptr_null(read_file("out"));
    ck_assert_int_eq(chmod(conf.end, 0755), 0);
    ck_assert_int_eq(chmod(folder, 0777), 0);
    ck_assert_int_eq(hooks_check(conf.end, &err), -PPT_EPERM);
    ck_assert_int_eq(chmod(folder, 0700), 0);
    ck_assert_int_eq(hooks_check("end", &err), -PPT_ELAUNCH);
    ck_assert_int_eq(hooks_check(folder, &err), -PPT_ELAUNCH);
}
END_TEST

START_TEST(the_queue_has_an_end)
{
    program("sleep 1000");
    ck_assert_int_eq(hooks_open(&conf, &hooks, &err), 0);
    for (int i = 0; i < HOOKS_MAX_WAITING + 500; i++)
        hooks_run(hooks, &event);
    ck_assert_int_eq(hooks_count(hooks), HOOKS_MAX_WAITING);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hooks");
    TCase *tests = tcase_create("hooks");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, it_gets_this_and_nothing_else);
    tcase_add_test(tests, once_each_and_all_of_them);
    tcase_add_test(tests, a_hanging_one_is_killed);
    tcase_add_test(tests, a_missing_one_stops_nothing);
    tcase_add_test(tests, one_that_others_can_change_is_not_run);
    tcase_add_test(tests, the_queue_has_an_end);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed != 0;
}
