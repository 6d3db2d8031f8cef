/* Lanes: each does its part once a call, and all are done when the call returns. */
#include <check.h>
#include <stdlib.h>

#include "jobs/dp/lanes.h"

enum { N_LANES = 5, N_TURNS = 3000 };

struct tally {
    int n[N_LANES], seen[N_LANES]; /* not atomic: the calls order them */
    int total;
};

static void count(void *state, int lane)
{
    struct tally *tally = state;
    tally->n[lane]++;
    tally->seen[lane] = tally->total;
}

START_TEST(each_lane_works_once_a_turn)
{
    struct lanes lanes;
    struct tally tally = {0};
    ck_assert_int_eq(lanes_open(&lanes, N_LANES, NULL), 0);
    for (int turn = 0; turn < N_TURNS; turn++) {
        tally.total = 7 * turn;
        lanes_run(&lanes, count, &tally);
        for (int lane = 0; lane < N_LANES; lane++) {
            ck_assert_int_eq(tally.n[lane], turn + 1);
            ck_assert_int_eq(tally.seen[lane], 7 * turn);
        }
    }
    lanes_close(&lanes);
    lanes_close(&lanes); /* a zeroed one */
}
END_TEST

/* Meanwhile the caller does something else. */
START_TEST(all_lanes_but_the_callers)
{
    struct lanes lanes;
    struct tally tally = {0};
    ck_assert_int_eq(lanes_open(&lanes, N_LANES, NULL), 0);
    for (int turn = 0; turn < N_TURNS; turn++) {
        lanes_begin(&lanes, count, &tally);
        tally.n[0] += 2;
        lanes_end(&lanes);
        for (int lane = 0; lane < N_LANES; lane++) {
            ck_assert_int_eq(tally.n[lane], (turn + 1) * (lane == 0 ? 2 : 1));
        }
    }
    lanes_close(&lanes);
}
END_TEST

START_TEST(one_lane_is_the_caller)
{
    struct lanes lanes;
    struct tally tally = {0};
    ck_assert_int_eq(lanes_open(&lanes, 1, NULL), 0);
    lanes_run(&lanes, count, &tally);
    ck_assert_int_eq(tally.n[0], 1);
    lanes_close(&lanes);
}
END_TEST

/* Parts follow each other, leave nothing out, and are even: draws come in pairs. */
START_TEST(parts_are_all)
{
    for (int n_lanes = 1; n_lanes <= N_LANES; n_lanes++) {
        struct lanes lanes = {.n = n_lanes};
        for (int64_t n = 0; n <= 400; n += 2) {
            int64_t at = 0, from, to;
            for (int lane = 0; lane < n_lanes; lane++) {
                lanes_part(&lanes, lane, n, &from, &to);
                ck_assert_int_eq(from, at);
                ck_assert_int_ge(to, from);
                ck_assert_int_eq(to % 2, 0);
                ck_assert_int_le(to - from, (n + 15) / 16 / n_lanes * 16 + 16);
                at = to;
            }
            ck_assert_int_eq(at, n);
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dp");
    TCase *tcase = tcase_create("lanes");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, each_lane_works_once_a_turn);
    tcase_add_test(tcase, all_lanes_but_the_callers);
    tcase_add_test(tcase, one_lane_is_the_caller);
    tcase_add_test(tcase, parts_are_all);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
