/* Devices of a node are shared out among processes, and come back with their end. */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker/claim.h"

static char folder[64];

static void set_up(void)
{
    strcpy(folder, "/tmp/check_claim.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void tear_down(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
}

/* A process that claims one of three and waits to be killed; which one. */
static int claim_in_child(int first, pid_t *ret_pid)
{
    int ends[2], device = -1;
    ck_assert_int_eq(pipe(ends), 0);
    *ret_pid = fork();
    if (*ret_pid == 0) {
        device = claim_device(folder, 3, first);
        if (write(ends[1], &device, sizeof device) != sizeof device)
            _exit(1);
        for (;;)
            pause();
    }
    ck_assert_int_eq(read(ends[0], &device, sizeof device), sizeof device);
    close(ends[0]);
    close(ends[1]);
    return device;
}

static void end(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

START_TEST(each_has_its_own)
{
    pid_t pids[4];
    ck_assert_int_eq(claim_in_child(0, &pids[0]), 0);
    ck_assert_int_eq(claim_in_child(0, &pids[1]), 1); /* another job's first rank */
    ck_assert_int_eq(claim_in_child(2, &pids[2]), 2);
    ck_assert_int_eq(claim_in_child(4, &pids[3]), 1); /* shared: there is no other */
    end(pids[1]);
    end(pids[3]);
    ck_assert_int_eq(claim_in_child(2, &pids[1]), 1);
    for (int i = 0; i < 3; i++)
        end(pids[i]);
}
END_TEST

/* What others may have put there instead of a lock holds nobody up. */
START_TEST(odd_files)
{
    char path[128];
    pid_t pid;
    snprintf(path, sizeof path, "%s/ppt-gpu-%ld-0", folder, (long)geteuid());
    ck_assert_int_eq(symlink("/etc/passwd", path), 0);
    snprintf(path, sizeof path, "%s/ppt-gpu-%ld-1", folder, (long)geteuid());
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_int_eq(claim_in_child(0, &pid), 2);
    end(pid);
    ck_assert_int_eq(claim_device("/nonexistent", 3, 4), 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("claim");
    TCase *tests = tcase_create("claim");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, each_has_its_own);
    tcase_add_test(tests, odd_files);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed > 0;
}
