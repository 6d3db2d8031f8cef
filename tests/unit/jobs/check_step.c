/* Packets between rank 0 of a step and its ppt-submit. */
#include "jobs/step.h"

#include <check.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int ends[2];
static struct error err;

static void open_pair(void)
{
    err = (struct error){0};
    ck_assert_int_eq(step_pair(ends, &err), 0);
}

static void close_pair(void)
{
    close(ends[0]);
    close(ends[1]);
}

START_TEST(packets_arrive_whole_and_in_order)
{
    struct step_packet plan = {
        .kind = STEP_PLAN, .directory = "/a", .public_key = "/b"};
    struct step_packet end = {.kind = STEP_END, .status = 22, .is_last = true},
                       got = {0};
    bool is_there = true;
    ck_assert_int_eq(step_receive(ends[1], 0, &got, &is_there, &err), 0);
    ck_assert(!is_there);
    ck_assert_int_eq(step_send(ends[0], &plan, &err), 0);
    ck_assert_int_eq(step_send(ends[0], &end, &err), 0);
    ck_assert_int_eq(step_receive(ends[1], 1000, &got, &is_there, &err), 0);
    ck_assert(is_there);
    ck_assert_int_eq(got.kind, STEP_PLAN);
    ck_assert_str_eq(got.directory, "/a");
    ck_assert_str_eq(got.public_key, "/b");
    /* What was said before one left is still heard. */
    close(ends[0]);
    ck_assert_int_eq(step_receive(ends[1], 1000, &got, &is_there, &err), 0);
    ck_assert(is_there && got.kind == STEP_END && got.status == 22 && got.is_last);
    ck_assert_int_eq(step_receive(ends[1], 1000, &got, &is_there, &err), -PPT_ECOMM);
    ck_assert(!is_there);
    ck_assert_int_eq(step_send(ends[1], &end, &err), -PPT_ECOMM);
}
END_TEST

START_TEST(what_is_no_packet)
{
    struct step_packet packet = {.kind = STEP_PLAN}, got = {0};
    bool is_there;
    ck_assert_int_eq(send(ends[0], &packet, sizeof packet - 1, 0), sizeof packet - 1);
    ck_assert_int_eq(step_receive(ends[1], 0, &got, &is_there, &err), -PPT_ECOMM);
    packet.kind = (enum step_kind)7;
    ck_assert_int_eq(step_send(ends[0], &packet, &err), 0);
    ck_assert_int_eq(step_receive(ends[1], 0, &got, &is_there, &err), -PPT_ECOMM);
    packet.kind = STEP_PLAN;
    memset(packet.directory, 'x', sizeof packet.directory);
    ck_assert_int_eq(step_send(ends[0], &packet, &err), 0);
    ck_assert_int_eq(step_receive(ends[1], 0, &got, &is_there, &err), -PPT_ECOMM);
    ck_assert_int_eq(got.kind, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("step");
    TCase *tests = tcase_create("step");
    tcase_add_checked_fixture(tests, open_pair, close_pair);
    tcase_add_test(tests, packets_arrive_whole_and_in_order);
    tcase_add_test(tests, what_is_no_packet);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed != 0;
}
