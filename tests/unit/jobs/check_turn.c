/* Between two processes, and after the death of one, each order is begun or taken back,
 * and never both. */
#include "jobs/turn.h"

#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define N_ORDERS 200000

static struct turn *world, *scheduler;
static struct error err;

static void setup(void)
{
    int fd;
    err = (struct error){0};
    ck_assert_int_eq(turn_create(&world, &fd, &err), 0);
    ck_assert_int_eq(turn_open(fd, &scheduler, &err), 0);
    close(fd);
}

static void teardown(void)
{
    turn_close(world);
    turn_close(scheduler);
}

START_TEST(one_after_the_other)
{
    ck_assert(!turn_begin(world, 2)); /* 1 comes first */
    ck_assert(turn_begin(world, 1));
    ck_assert(!turn_begin(world, 1));
    ck_assert(turn_begin(world, 2));
    ck_assert_int_eq(turn_now(scheduler), 2);
}
END_TEST

START_TEST(what_is_taken_back_is_not_begun)
{
    ck_assert(turn_begin(world, 1));
    ck_assert_int_eq(turn_take_back(scheduler, 4), 1); /* 2, 3 and 4 */
    for (int i = 2; i <= 4; i++)
        ck_assert(!turn_begin(world, i));
    ck_assert(turn_begin(world, 5));                   /* sent later */
    ck_assert_int_eq(turn_take_back(scheduler, 5), 5); /* too late */
    ck_assert_int_eq(turn_take_back(scheduler, 4), 5);
    ck_assert(turn_begin(world, 6));
}
END_TEST

/* The world begins all that it can while the scheduler takes back at random; both then
 * name the same ones. */
START_TEST(two_processes_agree)
{
    int pipes[2], status, n_begun = 0, n_taken_back = 0;
    int64_t number, last = 0;
    static char begun[N_ORDERS + 1];
    ck_assert_int_eq(pipe(pipes), 0);
    pid_t pid = fork();
    if (pid == 0) {
        for (number = 1; number <= N_ORDERS; number++)
            if (turn_begin(world, number) && write(pipes[1], &number, 8) != 8)
                _exit(1);
        _exit(0);
    }
    close(pipes[1]);
    while (last < N_ORDERS - 3) {
        int64_t before = turn_now(scheduler);
        int64_t decided = turn_take_back(scheduler, before + 2);
        last = turn_now(scheduler);
        for (number = decided + 1; number <= before + 2; number++) {
            begun[number] -= 1;
            n_taken_back++;
        }
        usleep(1);
    }
    while (read(pipes[0], &number, 8) == 8) {
        begun[number] += 2;
        n_begun++;
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    for (int i = 1; i <= N_ORDERS; i++)
        ck_assert_msg(begun[i] != 1, "%d is begun and taken back", i);
    ck_assert_int_gt(n_begun, 0);
    ck_assert_int_gt(n_taken_back, 0);
    close(pipes[0]);
}
END_TEST

START_TEST(outlives_its_maker)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        turn_begin(world, 1);
        raise(SIGKILL);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(turn_take_back(scheduler, 3), 1);
    ck_assert(!turn_begin(world, 2));
}
END_TEST

/* Memory that could be cut short would be a signal for who looks at it. */
START_TEST(other_memory_is_refused)
{
    struct turn *turn = NULL;
    int fd = memfd_create("other", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    ck_assert_int_eq(ftruncate(fd, sizeof(int64_t)), 0);
    ck_assert_int_eq(turn_open(fd, &turn, &err), -PPT_ETRUST);
    ck_assert_int_eq(ftruncate(fd, 1), 0);
    ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL),
                     0);
    ck_assert_int_eq(turn_open(fd, &turn, &err), -PPT_ETRUST);
    close(fd);
    ck_assert_int_eq(turn_open(-1, &turn, &err), -PPT_ETRUST);
    fd = open("/dev/zero", O_RDWR | O_CLOEXEC);
    ck_assert_int_eq(turn_open(fd, &turn, &err), -PPT_ETRUST);
    close(fd);
    ck_assert_ptr_null(turn);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("turn");
    TCase *tcase = tcase_create("turn");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, one_after_the_other);
    tcase_add_test(tcase, what_is_taken_back_is_not_begun);
    tcase_add_test(tcase, two_processes_agree);
    tcase_add_test(tcase, outlives_its_maker);
    tcase_add_test(tcase, other_memory_is_refused);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
