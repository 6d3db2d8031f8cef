/* Which admitted jobs start: strict order, no starvation, nothing beyond the room. */
#include "scheduler/policy.h"

#include <check.h>
#include <stdlib.h>

#define PATIENCE_S 100
#define GIB (INT64_C(1) << 30)

static const struct nodes_room whole = {8, 16 * GIB};

static struct policy_job job(int64_t n_cores, int64_t memory_gib, int64_t waited_s)
{
    return (struct policy_job){{n_cores, memory_gib * GIB}, waited_s};
}

START_TEST(jobs_start_in_order_while_there_is_room)
{
    struct policy_job jobs[] = {job(4, 1, 0), job(4, 1, 0), job(1, 1, 0)};
    bool starts[3];
    ck_assert_int_eq(policy_choose(jobs, 3, &whole, whole, PATIENCE_S, starts), 2);
    ck_assert(starts[0] && starts[1] && !starts[2]);
}
END_TEST

START_TEST(memory_counts_as_cores_do)
{
    struct policy_job jobs[] = {job(1, 10, 0), job(1, 10, 0), job(1, 6, 0)};
    bool starts[3];
    ck_assert_int_eq(policy_choose(jobs, 3, &whole, whole, PATIENCE_S, starts), 2);
    ck_assert(starts[0] && !starts[1] && starts[2]);
}
END_TEST

START_TEST(a_job_that_does_not_fit_may_be_overtaken)
{
    struct policy_job jobs[] = {job(8, 1, PATIENCE_S - 1), job(2, 1, 0)};
    struct nodes_room room = {4, 16 * GIB};
    bool starts[2];
    ck_assert_int_eq(policy_choose(jobs, 2, &whole, room, PATIENCE_S, starts), 1);
    ck_assert(!starts[0] && starts[1]);
}
END_TEST

START_TEST(but_not_for_ever)
{
    struct policy_job jobs[] = {job(1, 1, 0), job(8, 1, PATIENCE_S), job(2, 1, 0)};
    struct nodes_room room = {4, 16 * GIB};
    bool starts[3];
    ck_assert_int_eq(policy_choose(jobs, 3, &whole, room, PATIENCE_S, starts), 1);
    ck_assert(starts[0] && !starts[1] && !starts[2]);
}
END_TEST

START_TEST(a_job_too_large_for_the_node_holds_nobody_up)
{
    struct policy_job jobs[] = {job(9, 1, 10 * PATIENCE_S), job(2, 1, 0)};
    bool starts[2];
    ck_assert_int_eq(policy_choose(jobs, 2, &whole, whole, PATIENCE_S, starts), 1);
    ck_assert(!starts[0] && starts[1]);
}
END_TEST

START_TEST(nothing_starts_where_more_is_held_than_there_is)
{
    struct policy_job jobs[] = {job(1, 1, 0)};
    struct nodes_room room = {-2, 16 * GIB};
    bool starts[1];
    ck_assert_int_eq(policy_choose(jobs, 1, &whole, room, PATIENCE_S, starts), 0);
    ck_assert_int_eq(policy_choose(jobs, 0, &whole, whole, PATIENCE_S, starts), 0);
}
END_TEST

/* Whatever comes: the room is never overdrawn, and what starts comes before whatever
 * has waited too long. */
START_TEST(random_queues)
{
    srand(7);
    for (int round = 0; round < 2000; round++) {
        struct policy_job jobs[12];
        bool starts[12], is_blocked = false;
        struct nodes_room room = {rand() % 9, (rand() % 17) * GIB}, left = room;
        for (int i = 0; i < 12; i++)
            jobs[i] = job(1 + rand() % 10, rand() % 20, rand() % 200);
        policy_choose(jobs, 12, &whole, room, PATIENCE_S, starts);
        for (int i = 0; i < 12; i++) {
            if (starts[i]) {
                ck_assert(!is_blocked && nodes_fits(&left, &jobs[i].need));
                nodes_take(&left, &jobs[i].need);
            } else {
                ck_assert(is_blocked || !nodes_fits(&left, &jobs[i].need));
                is_blocked = is_blocked || (jobs[i].waited_s >= PATIENCE_S &&
                                            nodes_fits(&whole, &jobs[i].need));
            }
        }
    }
}
END_TEST

START_TEST(this_machine_has_something_to_give)
{
    struct nodes_room room = {0};
    struct error err = {0};
    ck_assert_int_eq(nodes_of_this_machine(&room, &err), 0);
    ck_assert_int_ge(room.n_cores, 1);
    ck_assert_int_ge(room.memory_bytes, 64 << 20);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("policy");
    TCase *tc = tcase_create("policy");
    tcase_add_test(tc, jobs_start_in_order_while_there_is_room);
    tcase_add_test(tc, memory_counts_as_cores_do);
    tcase_add_test(tc, a_job_that_does_not_fit_may_be_overtaken);
    tcase_add_test(tc, but_not_for_ever);
    tcase_add_test(tc, a_job_too_large_for_the_node_holds_nobody_up);
    tcase_add_test(tc, nothing_starts_where_more_is_held_than_there_is);
    tcase_add_test(tc, random_queues);
    tcase_add_test(tc, this_machine_has_something_to_give);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed != 0;
}
