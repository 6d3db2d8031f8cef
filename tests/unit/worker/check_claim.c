/* Devices of a node are shared out among processes, and come back with their end. */
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker/claim.h"

static char folder[64], shared[80], own[80];

static void set_up(void)
{
    strcpy(folder, "/tmp/check_claim.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(shared, sizeof shared, "%s/shared", folder);
    snprintf(own, sizeof own, "%s/own", folder);
}

/* What an administrator makes: locks that can only be read. */
static void make_shared(int n)
{
    char path[128];
    ck_assert_int_eq(mkdir(shared, 0755), 0);
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%s/%d", shared, i);
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0444);
        ck_assert_int_ge(fd, 0);
        close(fd);
    }
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
        bool is_alone;
        device = claim_device(shared, own, 3, first, &is_alone);
        device = is_alone ? device : -1 - device;
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

static void check_each_has_its_own(void)
{
    pid_t pids[4];
    ck_assert_int_eq(claim_in_child(0, &pids[0]), 0);
    ck_assert_int_eq(claim_in_child(0, &pids[1]), 1); /* another job's first rank */
    ck_assert_int_eq(claim_in_child(2, &pids[2]), 2);
    ck_assert_int_eq(claim_in_child(4, &pids[3]), -1 - 1); /* there is no other */
    end(pids[1]);
    end(pids[3]);
    ck_assert_int_eq(claim_in_child(2, &pids[1]), 1);
    for (int i = 0; i < 3; i++)
        end(pids[i]);
}

START_TEST(each_has_its_own)
{
    struct stat status;
    check_each_has_its_own();
    ck_assert_int_eq(stat(own, &status), 0);
    ck_assert_int_eq(status.st_mode & 0777, 0700);
}
END_TEST

START_TEST(the_administrators_come_first)
{
    make_shared(3);
    check_each_has_its_own();
    ck_assert_int_ne(access(own, F_OK), 0);
}
END_TEST

/* A folder that others could write to does not count, nor one by another name. */
START_TEST(folders_that_cannot_be_trusted)
{
    pid_t pid;
    make_shared(3);
    ck_assert_int_eq(chmod(shared, 01777), 0);
    ck_assert_int_eq(claim_in_child(1, &pid), 1);
    end(pid);
    ck_assert_int_eq(access(own, F_OK), 0);
    ck_assert_int_eq(chmod(own, 0770), 0);
    ck_assert_int_eq(claim_in_child(1, &pid), -1 - 1);
    end(pid);
    ck_assert_int_eq(chmod(shared, 0755), 0);
    char other[96];
    snprintf(other, sizeof other, "%s-other", shared);
    ck_assert_int_eq(rename(shared, other), 0);
    ck_assert_int_eq(symlink(other, shared), 0);
    ck_assert_int_eq(claim_in_child(1, &pid), -1 - 1);
    end(pid);
}
END_TEST

/* Another login's folder or file in our place. Only root can make them so. */
START_TEST(what_another_login_put_there)
{
    char path[128];
    pid_t pid;
    if (geteuid() != 0)
        return;
    ck_assert_int_eq(mkdir(own, 0700), 0);
    ck_assert_int_eq(chown(own, 12345, 12345), 0);
    ck_assert_int_eq(claim_in_child(0, &pid), -1);
    end(pid);
    make_shared(3);
    snprintf(path, sizeof path, "%s/0", shared);
    ck_assert_int_eq(chown(path, 12345, 12345), 0);
    ck_assert_int_eq(claim_in_child(0, &pid), 1);
    end(pid);
}
END_TEST

/* What else may be there instead of a lock holds nobody up. */
START_TEST(odd_files)
{
    char path[128];
    pid_t pid;
    bool is_alone = true;
    ck_assert_int_eq(mkdir(own, 0700), 0);
    snprintf(path, sizeof path, "%s/0", own);
    ck_assert_int_eq(symlink("/etc/passwd", path), 0);
    snprintf(path, sizeof path, "%s/1", own);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_int_eq(claim_in_child(0, &pid), 2);
    end(pid);
    ck_assert_int_eq(claim_device("/nonexistent", "/nonexistent/x", 3, 4, &is_alone),
                     1);
    ck_assert(!is_alone);
}
END_TEST

START_TEST(slurm_hands_out_its_own_only)
{
    unsetenv("SLURM_STEP_GPUS");
    unsetenv("SLURM_JOB_GPUS");
    unsetenv("SLURM_GPUS_ON_NODE");
    setenv("SLURM_JOB_ID", "7", 1); /* of a Slurm that knows of no GPUs */
    ck_assert(!claim_is_slurms());
    setenv("SLURM_STEP_GPUS", "0", 1);
    ck_assert(claim_is_slurms());
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("claim");
    TCase *tests = tcase_create("claim");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, each_has_its_own);
    tcase_add_test(tests, the_administrators_come_first);
    tcase_add_test(tests, folders_that_cannot_be_trusted);
    tcase_add_test(tests, what_another_login_put_there);
    tcase_add_test(tests, odd_files);
    tcase_add_test(tests, slurm_hands_out_its_own_only);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed > 0;
}
