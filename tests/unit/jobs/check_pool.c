/* Messages of the pool over real sockets: what comes along, what is refused, and that
 * an order that nobody said yes to is not carried out. */
#include "jobs/pool.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

static char top[160];
static int listener, caller, called;
static struct error err;

/* The directory's name is longer than a socket's may be. */
static void setup(void)
{
    memset(top, 0, sizeof top);
    strcpy(top, "/tmp/check_pool");
    memset(top + strlen(top), '_', 110);
    strcat(top, "XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(top));
    memset(&err, 0, sizeof err);
    ck_assert_int_eq(pool_listen(top, POOL_SOCKET, &listener, &err), 0);
    ck_assert_int_eq(pool_accept(listener, &called, &err), -PPT_ENOTFOUND);
    ck_assert_int_eq(pool_call(top, POOL_SOCKET, &caller, &err), 0);
    ck_assert_int_eq(pool_accept(listener, &called, &err), 0);
}

static void teardown(void)
{
    char command[200];
    close(listener);
    close(caller);
    close(called);
    snprintf(command, sizeof command, "rm -rf %s", top);
    ck_assert_int_eq(system(command), 0);
}

static const struct pool_message order = {.kind = POOL_RUN,
                                          .job_id = 12,
                                          .attempt = 3,
                                          .n_ranks = 2,
                                          .login = "alice",
                                          .directory = "/jobs/12"};

/* The lock lives on in the message, after the sender has closed its own. */
START_TEST(a_lock_comes_along)
{
    struct pool_message got;
    char path[200];
    int passed = -1;
    snprintf(path, sizeof path, "%s/lock", top);
    int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int other = open(path, O_RDWR | O_CLOEXEC);
    ck_assert_int_eq(flock(lock, LOCK_EX | LOCK_NB), 0);
    ck_assert_int_eq(pool_send(caller, &order, lock, &err), 0);
    close(lock);
    ck_assert_int_ne(flock(other, LOCK_EX | LOCK_NB), 0);
    ck_assert_int_eq(pool_receive(called, 1000, &got, &passed, &err), 0);
    ck_assert_int_ge(passed, 0);
    ck_assert_int_ne(fcntl(passed, F_GETFD) & FD_CLOEXEC, 0);
    ck_assert_int_eq(got.kind, POOL_RUN);
    ck_assert_int_eq(got.job_id, 12);
    ck_assert_int_eq(got.attempt, 3);
    ck_assert_str_eq(got.login, "alice");
    ck_assert_str_eq(got.directory, "/jobs/12");
    ck_assert_int_ne(flock(other, LOCK_EX | LOCK_NB), 0);
    close(passed);
    ck_assert_int_eq(flock(other, LOCK_EX | LOCK_NB), 0);
    close(other);
}
END_TEST

START_TEST(no_word_and_a_dead_peer_are_told_apart)
{
    struct pool_message got;
    int passed = 77;
    ck_assert_int_eq(pool_receive(called, 0, &got, &passed, &err), -PPT_ENOTFOUND);
    ck_assert_int_eq(pool_receive(called, 10, &got, &passed, &err), -PPT_ENOTFOUND);
    ck_assert_int_eq(passed, 77);
    close(caller);
    ck_assert_int_eq(pool_receive(called, 1000, &got, &passed, &err), -PPT_ECOMM);
    ck_assert_int_eq(pool_send(called, &order, -1, &err), -PPT_ECOMM);
    close(called); /* nobody listens: */
    close(listener);
    ck_assert_int_eq(pool_call(top, POOL_SOCKET, &caller, &err), -PPT_ENOTFOUND);
    ck_assert_int_eq(pool_call("/nonexistent", POOL_SOCKET, &caller, &err),
                     -PPT_ENOTFOUND);
    setup();
}
END_TEST

/* The scheduler's side of an order: after shutdown a yes is either there to be read or
 * can be said no more. */
START_TEST(a_late_yes_cannot_be_said)
{
    struct pool_message got, yes = order;
    yes.kind = POOL_TAKEN;
    ck_assert_int_eq(pool_send(caller, &order, -1, &err), 0);
    ck_assert_int_eq(shutdown(caller, SHUT_RD), 0);
    ck_assert_int_eq(pool_receive(called, 0, &got, NULL, &err), 0); /* still read */
    ck_assert_int_eq(pool_send(called, &yes, -1, &err), -PPT_ECOMM);
    ck_assert_int_eq(pool_receive(caller, 0, &got, NULL, &err), -PPT_ECOMM);
}
END_TEST

START_TEST(an_early_yes_is_heard)
{
    struct pool_message got, yes = order;
    yes.kind = POOL_TAKEN;
    ck_assert_int_eq(pool_send(called, &yes, -1, &err), 0);
    ck_assert_int_eq(shutdown(caller, SHUT_RD), 0);
    ck_assert_int_eq(pool_receive(caller, 0, &got, NULL, &err), 0);
    ck_assert_int_eq(got.kind, POOL_TAKEN);
}
END_TEST

START_TEST(what_is_no_message_is_refused)
{
    struct pool_message message = order, got;
    int passed = 77;
    message.version = 1;
    ck_assert_int_eq(send(caller, &message, sizeof message, 0), sizeof message);
    ck_assert_int_eq(pool_receive(called, 0, &got, &passed, &err), -PPT_ETRUST);
    ck_assert_int_eq(send(caller, "short", 5, 0), 5);
    ck_assert_int_eq(pool_receive(called, 0, &got, &passed, &err), -PPT_ETRUST);
    memset(message.login, 'a', sizeof message.login); /* no end */
    ck_assert_int_eq(pool_send(caller, &message, -1, &err), 0);
    ck_assert_int_eq(pool_receive(called, 0, &got, &passed, &err), -PPT_ETRUST);
    ck_assert_int_eq(passed, 77);
    /* a descriptor where none is expected; it is not kept open */
    int before = dup(0);
    close(before);
    ck_assert_int_eq(pool_send(caller, &order, 0, &err), 0);
    ck_assert_int_eq(pool_receive(called, 0, &got, NULL, &err), -PPT_ETRUST);
    int after = dup(0);
    close(after);
    ck_assert_int_eq(before, after);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pool");
    TCase *tc = tcase_create("pool");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_lock_comes_along);
    tcase_add_test(tc, no_word_and_a_dead_peer_are_told_apart);
    tcase_add_test(tc, a_late_yes_cannot_be_said);
    tcase_add_test(tc, an_early_yes_is_heard);
    tcase_add_test(tc, what_is_no_message_is_refused);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed != 0;
}
