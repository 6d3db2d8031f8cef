/* The orders of a world, seen from the scheduler, over a real socket: what waits, runs,
 * has ended and comes back, and who holds the lock meanwhile. */
#include "scheduler/world_orders.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

static char top[64];
static int scheduler, world; /* the ends of the socket */
static struct turn *turn;    /* the world's end of it */
static struct world_orders orders;
static struct world_returned returned;
static struct error err;

static void setup(void)
{
    int ends[2], fd;
    struct turn *mine;
    strcpy(top, "/tmp/check_world_orders.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(top));
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    scheduler = ends[0];
    world = ends[1];
    memset(&orders, 0, sizeof orders);
    memset(&returned, 0, sizeof returned);
    err = (struct error){0};
    ck_assert_int_eq(turn_create(&turn, &fd, &err), 0);
    ck_assert_int_eq(turn_open(fd, &mine, &err), 0);
    close(fd);
    world_orders_reset(&orders, mine);
}

static void teardown(void)
{
    char command[80];
    world_orders_free(&orders);
    world_returned_free(&returned);
    turn_close(turn);
    close(scheduler);
    if (world >= 0)
        close(world);
    snprintf(command, sizeof command, "rm -rf %s", top);
    ck_assert_int_eq(system(command), 0);
}

static const char *lock_path(int job)
{
    static char path[96];
    snprintf(path, sizeof path, "%s/%d", top, job);
    return path;
}

static unsigned char key[CRYPTO_KEY_SIZE];
static bool has_key, is_noted;

/* Sends the order of job number `job` as the scheduler does: its own lock is closed
 * afterwards. */
static bool send_order(int job)
{
    char directory[32];
    snprintf(directory, sizeof directory, "/jobs/%d", job);
    struct launcher_request request = {.directory = directory,
                                       .login = "alice",
                                       .job_id = job,
                                       .attempt = 1,
                                       .checkpoint_key = has_key ? key : NULL,
                                       .n_ranks = 2,
                                       .is_noted = is_noted};
    int lock = open(lock_path(job), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_eq(flock(lock, LOCK_EX | LOCK_NB), 0);
    bool is_sent = world_orders_send(&orders, scheduler, &request, lock);
    close(lock);
    return is_sent;
}

static bool is_locked(int job)
{
    int lock = open(lock_path(job), O_RDWR | O_CLOEXEC);
    bool is_free = flock(lock, LOCK_EX | LOCK_NB) == 0;
    close(lock);
    return !is_free;
}

/* The world's part: reads the next order; *ret_lock is its lock. */
static bool begin_next(struct pool_message *ret_order, int *ret_lock)
{
    ck_assert_int_eq(pool_receive(world, 1000, ret_order, ret_lock, &err), 0);
    return turn_begin(turn, ret_order->number);
}

static struct pool_message word(int job, int64_t lasted_us)
{
    return (struct pool_message){.job_id = job, .attempt = 1, .lasted_us = lasted_us};
}

/* What the ranks need not wait for they are told with the order. */
START_TEST(that_it_is_noted_goes_along)
{
    struct pool_message order;
    int lock;
    is_noted = true;
    ck_assert(send_order(1));
    is_noted = false;
    ck_assert(send_order(2));
    ck_assert(begin_next(&order, &lock));
    ck_assert_int_eq(order.is_noted, 1);
    close(lock);
    ck_assert(begin_next(&order, &lock));
    ck_assert_int_eq(order.is_noted, 0);
    close(lock);
}
END_TEST

/* A key goes with the order of its own job, and with no other. */
START_TEST(a_key_goes_along)
{
    static const unsigned char none[CRYPTO_KEY_SIZE];
    struct pool_message order;
    int lock;
    memset(key, 0x6b, sizeof key);
    has_key = true;
    ck_assert(send_order(1));
    has_key = false;
    ck_assert(send_order(2));
    ck_assert(begin_next(&order, &lock));
    ck_assert_int_eq(order.has_checkpoint_key, 1);
    ck_assert_mem_eq(order.checkpoint_key, key, sizeof key);
    close(lock);
    ck_assert(begin_next(&order, &lock));
    ck_assert_int_eq(order.has_checkpoint_key, 0);
    ck_assert_mem_eq(order.checkpoint_key, none, sizeof none);
    close(lock);
}
END_TEST

START_TEST(begun_and_ended_in_turn)
{
    struct pool_message order, first = word(1, 4000), second = word(2, 6000);
    int lock;
    ck_assert(send_order(1) && send_order(2));
    ck_assert_int_eq(world_orders_find(&orders, "/jobs/1"), 0);
    ck_assert_int_eq(world_orders_find(&orders, "/jobs/2"), 1);
    ck_assert_int_eq(world_orders_find(&orders, "/jobs/3"), -1);
    ck_assert(begin_next(&order, &lock));
    ck_assert_int_eq(order.job_id, 1);
    ck_assert_str_eq(order.login, "alice");
    ck_assert(!world_orders_begin(&orders, &second)); /* it is not its turn */
    ck_assert(world_orders_begin(&orders, &first));
    ck_assert(is_locked(1));
    close(lock);
    ck_assert(!is_locked(1)); /* the world alone held it */
    ck_assert(!world_orders_end(&orders, &second));
    ck_assert(world_orders_end(&orders, &first));
    ck_assert(world_orders_has_ended(&orders, "/jobs/1"));
    ck_assert_int_eq(world_orders_find(&orders, "/jobs/2"), 0);
    ck_assert(is_locked(2));
    world_orders_forget(&orders, "/jobs/1");
    ck_assert(!world_orders_has_ended(&orders, "/jobs/1"));
}
END_TEST

/* The lock of what came back is free, though the world has not read the order yet. */
START_TEST(taken_back_while_the_world_is_busy)
{
    struct pool_message order, first = word(1, 0);
    int locks[4];
    for (int job = 1; job <= 3; job++)
        ck_assert(send_order(job));
    ck_assert(begin_next(&order, &locks[1]));
    world_orders_begin(&orders, &first);
    world_orders_take_back(&orders, &returned);
    ck_assert_int_eq(orders.n_open, 1);
    ck_assert(is_locked(1));
    ck_assert(!is_locked(2) && !is_locked(3));
    ck_assert(!world_returned_has(&returned, "/jobs/1"));
    ck_assert(world_returned_has(&returned, "/jobs/2"));
    ck_assert(world_returned_has(&returned, "/jobs/3"));

    /* given to it once more, or to another, it is locked by that one */
    ck_assert(send_order(3));
    world_returned_forget(&returned, "/jobs/3");
    ck_assert(!begin_next(&order, &locks[2]));
    ck_assert(!begin_next(&order, &locks[3]));
    ck_assert_int_eq(order.job_id, 3);
    close(locks[2]);
    close(locks[3]); /* of the first order: no matter */
    ck_assert(is_locked(3));
    ck_assert(begin_next(&order, &locks[3]));
    ck_assert_int_eq(order.job_id, 3);
    close(locks[1]);
    close(locks[3]);
}
END_TEST

/* One that another world, or mpirun, gets at once stays locked. */
START_TEST(taken_back_to_go_elsewhere)
{
    ck_assert(send_order(1));
    world_orders_take_back(&orders, NULL);
    ck_assert_int_eq(orders.n_open, 0);
    ck_assert_int_eq(returned.n, 0);
    ck_assert(is_locked(1)); /* by the copy on its way */
}
END_TEST

START_TEST(a_world_dies)
{
    struct pool_message order;
    int lock;
    for (int job = 1; job <= 3; job++)
        ck_assert(send_order(job));
    ck_assert(begin_next(&order, &lock)); /* and says nothing any more */
    close(lock);
    close(world);
    world = -1;
    world_orders_take_back(&orders, &returned);
    ck_assert_int_eq(orders.n_open, 1); /* it may have run */
    ck_assert_int_eq(world_orders_find(&orders, "/jobs/1"), 0);
    ck_assert_int_eq(returned.n, 2);
    ck_assert(!is_locked(2) && !is_locked(3));
    ck_assert(!send_order(4));
    ck_assert(!is_locked(4));
    ck_assert_int_eq(orders.n_open, 1);
}
END_TEST

/* After a new call the world is idle: what it had begun has ended. */
START_TEST(a_new_call)
{
    struct pool_message order;
    struct turn *mine;
    int lock, fd;
    ck_assert(send_order(1) && send_order(2));
    ck_assert(begin_next(&order, &lock));
    close(lock);
    world_orders_take_back(&orders, &returned);
    turn_close(turn);
    ck_assert_int_eq(turn_create(&turn, &fd, &err), 0);
    ck_assert_int_eq(turn_open(fd, &mine, &err), 0);
    close(fd);
    world_orders_reset(&orders, mine);
    ck_assert_int_eq(orders.n_open, 0);
    ck_assert(world_orders_has_ended(&orders, "/jobs/1"));
    ck_assert(!world_orders_has_ended(&orders, "/jobs/2"));
    ck_assert(world_returned_has(&returned, "/jobs/2"));
    ck_assert(!begin_next(&order, &lock)); /* the old one, numbered 2 */
    close(lock);
    ck_assert(send_order(3));
    ck_assert(begin_next(&order, &lock));
    ck_assert_int_eq(order.number, 1);
    close(lock);
}
END_TEST

START_TEST(as_many_as_end_in_time)
{
    struct pool_message end = word(1, 0), order;
    int lock;
    ck_assert(send_order(1));
    ck_assert(!world_orders_have_room(&orders, 0, 10000)); /* nothing is known of it */
    ck_assert(begin_next(&order, &lock));
    close(lock);
    end.lasted_us = 4000;
    ck_assert(world_orders_end(&orders, &end));
    ck_assert_int_eq(world_orders_rest_ms(&orders), 0); /* it has nothing to do */
    for (int job = 2; job <= 4; job++) {
        ck_assert(world_orders_have_room(&orders, 0, 10));
        ck_assert(world_orders_have_room(&orders, 4 - job, 10));
        ck_assert(!world_orders_have_room(&orders, 5 - job, 10));
        ck_assert(send_order(job));
    }
    ck_assert_int_eq(world_orders_rest_ms(&orders), 4); /* half of the two behind */
    ck_assert(!world_orders_have_room(&orders, 0, 10)); /* three are 12 ms */
    ck_assert(!world_orders_have_room(&orders, 0, 0));
    for (int job = 5; job <= WORLD_ORDERS_MAX + 1; job++)
        ck_assert(send_order(job));
    ck_assert(!world_orders_have_room(&orders, 0, 10000));
    ck_assert_int_eq(world_orders_rest_ms(&orders), WORLD_ORDERS_REST_MS);
    ck_assert(!send_order(WORLD_ORDERS_MAX + 2));
    ck_assert(!is_locked(WORLD_ORDERS_MAX + 2));
}
END_TEST

START_TEST(too_many_came_back)
{
    char directory[32];
    for (int i = 0; i < WORLD_RETURNED_MAX + 1; i++) {
        snprintf(directory, sizeof directory, "/jobs/%d", i);
        world_returned_add(&returned, directory);
        world_returned_add(&returned, directory);
    }
    ck_assert_int_eq(returned.n, WORLD_RETURNED_MAX);
    ck_assert(!world_returned_has(&returned, "/jobs/0"));
    ck_assert(world_returned_has(&returned, "/jobs/1"));
    ck_assert(world_returned_has(&returned, directory));
    world_returned_forget(&returned, "/jobs/7");
    ck_assert(!world_returned_has(&returned, "/jobs/7"));
    ck_assert(world_returned_has(&returned, "/jobs/8"));
    world_returned_forget(&returned, "/jobs/7");
    ck_assert_int_eq(returned.n, WORLD_RETURNED_MAX - 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("world_orders");
    TCase *tcase = tcase_create("world_orders");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, that_it_is_noted_goes_along);
    tcase_add_test(tcase, a_key_goes_along);
    tcase_add_test(tcase, begun_and_ended_in_turn);
    tcase_add_test(tcase, taken_back_while_the_world_is_busy);
    tcase_add_test(tcase, taken_back_to_go_elsewhere);
    tcase_add_test(tcase, a_world_dies);
    tcase_add_test(tcase, a_new_call);
    tcase_add_test(tcase, as_many_as_end_in_time);
    tcase_add_test(tcase, too_many_came_back);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
