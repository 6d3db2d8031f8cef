/* Which admitted jobs start: strict order, no starvation, nothing beyond the room. */
#include "scheduler/policy.h"

#include <check.h>
#include <stdlib.h>

#include "scheduler/nodes.h"

#define PATIENCE_S 100
#define GIB (INT64_C(1) << 30)
#define MAX_JOBS 12

static struct places whole;
static struct policy_site site;
static struct policy_holder holders[MAX_JOBS];
static struct policy_choice choices[MAX_JOBS];

static void set_up(void)
{
    whole = places_of(1, &(struct places_room){8, 16 * GIB, 0});
    site = (struct policy_site){
        .whole = &whole, .room = whole, .holders = holders, .patience_s = PATIENCE_S};
}

/* Of one rank that has it all. */
static struct policy_job job(int64_t n_cores, int64_t memory_gib, int64_t waited_s)
{
    return (struct policy_job){{n_cores, memory_gib * GIB, 0}, 1, waited_s, 1000};
}

static struct policy_job lasting(struct policy_job job, int64_t lasts_s)
{
    job.lasts_s = lasts_s;
    return job;
}

/* So many cores of node i are held for so long. */
static void held(int64_t n_cores, int i, int64_t ends_s)
{
    struct policy_holder *holder = &holders[site.n_holders++];
    *holder = (struct policy_holder){.rank = {1, 0, 0}, .ends_s = ends_s};
    holder->ranks[i] = n_cores;
    places_take(&site.room, &holder->rank, holder->ranks);
}

static int choose(const struct policy_job *jobs, int n)
{
    return policy_choose(&site, jobs, n, choices);
}

START_TEST(jobs_start_in_order_while_there_is_room)
{
    struct policy_job jobs[] = {job(4, 1, 0), job(4, 1, 0), job(1, 1, 0)};
    ck_assert_int_eq(choose(jobs, 3), 2);
    ck_assert(choices[0].starts && choices[1].starts && !choices[2].starts);
}
END_TEST

START_TEST(memory_counts_as_cores_do)
{
    struct policy_job jobs[] = {job(1, 10, 0), job(1, 10, 0), job(1, 6, 0)};
    ck_assert_int_eq(choose(jobs, 3), 2);
    ck_assert(choices[0].starts && !choices[1].starts && choices[2].starts);
}
END_TEST

START_TEST(a_job_that_does_not_fit_may_be_overtaken)
{
    struct policy_job jobs[] = {job(8, 1, PATIENCE_S - 1), job(2, 1, 0)};
    held(4, 0, 10);
    ck_assert_int_eq(choose(jobs, 2), 1);
    ck_assert(!choices[0].starts && choices[1].starts);
}
END_TEST

START_TEST(but_not_for_ever)
{
    struct policy_job jobs[] = {job(1, 1, 0), job(8, 1, PATIENCE_S),
                                lasting(job(2, 1, 0), 1001)};
    held(4, 0, 10);
    ck_assert_int_eq(choose(jobs, 3), 1);
    ck_assert(choices[0].starts && !choices[1].starts && !choices[2].starts);
}
END_TEST

/* The first job ends in 50 s, the one that has waited starts in 200 s at the latest. */
START_TEST(passes_what_ends_in_time)
{
    struct policy_job jobs[] = {lasting(job(1, 1, 0), 50), job(8, 1, PATIENCE_S),
                                lasting(job(1, 1, 0), 201), lasting(job(1, 1, 0), 200),
                                lasting(job(9, 1, 0), 1)};
    held(4, 0, 10);
    held(1, 0, 200);
    ck_assert_int_eq(choose(jobs, 5), 2);
    ck_assert(choices[0].starts && choices[3].starts);
}
END_TEST

/* What starts before it in the same round holds its room up as well. */
START_TEST(starts_of_the_same_round_count)
{
    struct policy_job jobs[] = {lasting(job(1, 1, 0), 300), job(8, 1, PATIENCE_S),
                                lasting(job(1, 1, 0), 300), lasting(job(1, 1, 0), 301)};
    held(4, 0, 10);
    ck_assert_int_eq(choose(jobs, 4), 2);
    ck_assert(choices[0].starts && choices[2].starts);
}
END_TEST

/* Six of the eight cores are reserved; two are left for whoever lasts. */
START_TEST(passes_what_leaves_it_its_room)
{
    struct policy_job jobs[] = {job(6, 1, PATIENCE_S), job(1, 1, 0), job(2, 1, 0),
                                job(1, 1, 0), job(1, 1, 0)};
    held(4, 0, 10);
    ck_assert_int_eq(choose(jobs, 5), 2);
    ck_assert(choices[1].starts && !choices[2].starts && choices[3].starts);
}
END_TEST

/* The one that waits gets the node that is free first; the other is open to all. */
START_TEST(node_by_node)
{
    struct policy_job jobs[] = {job(8, 1, PATIENCE_S), job(3, 1, 0), job(2, 1, 0)};
    whole = places_of(2, &whole.nodes[0]);
    site.room = whole;
    held(5, 0, 500);
    held(5, 1, 10);
    ck_assert_int_eq(choose(jobs, 3), 1);
    ck_assert(choices[1].starts);
    ck_assert_int_eq(choices[1].ranks[0], 1);
    ck_assert_int_eq(choices[1].ranks[1], 0);
    jobs[0].n_ranks = 3; /* as many nodes do not exist: it holds nobody up */
    ck_assert_int_eq(choose(jobs, 3), 2);
}
END_TEST

START_TEST(a_job_too_large_for_the_node_holds_nobody_up)
{
    struct policy_job jobs[] = {job(9, 1, 10 * PATIENCE_S), job(2, 1, 0)};
    ck_assert_int_eq(choose(jobs, 2), 1);
    ck_assert(!choices[0].starts && choices[1].starts);
}
END_TEST

START_TEST(nothing_starts_where_more_is_held_than_there_is)
{
    struct policy_job jobs[] = {job(1, 1, 0), {.n_ranks = 0}};
    held(10, 0, 10);
    ck_assert_int_eq(choose(jobs, 1), 0);
    ck_assert_int_eq(choose(jobs, 0), 0);
    ck_assert_int_eq(choose(jobs, 2), 1); /* in its user's own allocation */
}
END_TEST

/* The cores free at a time, by what runs and what was chosen. */
static int64_t free_at(int64_t at_s, const struct policy_job *jobs, int n)
{
    int64_t n_free = whole.nodes[0].n_cores;
    for (int i = 0; i < site.n_holders; i++)
        n_free -= holders[i].ends_s > at_s ? holders[i].ranks[0] : 0;
    for (int i = 0; i < n; i++)
        n_free -=
            choices[i].starts && jobs[i].lasts_s > at_s ? jobs[i].rank.n_cores : 0;
    return n_free;
}

/* Whatever comes: the room is never overdrawn, and the first that has waited too long
 * does not start a moment later for those that have passed it. */
START_TEST(random_queues)
{
    srand(7);
    for (int round = 0; round < 5000; round++) {
        struct policy_job jobs[MAX_JOBS];
        int n_held = rand() % 6, first = -1;
        set_up();
        for (int i = 0; i < n_held; i++)
            if (site.room.nodes[0].n_cores > 0)
                held(1 + rand() % (int)site.room.nodes[0].n_cores, 0, rand() % 300);
        for (int i = 0; i < MAX_JOBS; i++)
            jobs[i] = lasting(job(1 + rand() % 10, 0, rand() % 200), 1 + rand() % 300);
        choose(jobs, MAX_JOBS);
        ck_assert_int_ge(free_at(0, jobs, MAX_JOBS), 0);
        for (int i = MAX_JOBS - 1; i >= 0; i--)
            if (!choices[i].starts && jobs[i].waited_s >= PATIENCE_S &&
                jobs[i].rank.n_cores <= 8)
                first = i;
        for (int64_t at_s = 0; first >= 0 && at_s < 301; at_s++) {
            int64_t wanted = jobs[first].rank.n_cores;
            if (free_at(at_s, jobs, first) < wanted)
                continue;
            ck_assert_int_ge(free_at(at_s, jobs, MAX_JOBS), wanted);
            break;
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
    tcase_add_checked_fixture(tc, set_up, NULL);
    tcase_add_test(tc, jobs_start_in_order_while_there_is_room);
    tcase_add_test(tc, memory_counts_as_cores_do);
    tcase_add_test(tc, a_job_that_does_not_fit_may_be_overtaken);
    tcase_add_test(tc, but_not_for_ever);
    tcase_add_test(tc, passes_what_ends_in_time);
    tcase_add_test(tc, starts_of_the_same_round_count);
    tcase_add_test(tc, passes_what_leaves_it_its_room);
    tcase_add_test(tc, node_by_node);
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
