/* Ranks over nodes. */
#include <check.h>
#include <stdlib.h>

#include "scheduler/places.h"

static const struct places_room node = {4, 1000, 1}, rank = {1, 100, 0};
static int64_t ranks[PLACES_MAX];

START_TEST(one_node_where_that_is_enough)
{
    struct places places = places_of(3, &node);
    places.nodes[1].n_cores = 2;
    ck_assert(places_choose(&places, &rank, 2, ranks));
    ck_assert_int_eq(ranks[0], 0);
    ck_assert_int_eq(ranks[1], 2); /* the fullest that has room */
    ck_assert_int_eq(ranks[2], 0);
    ck_assert(places_choose(&places, &rank, 3, ranks));
    ck_assert_int_eq(ranks[0], 3);
}
END_TEST

START_TEST(as_few_nodes_as_it_can)
{
    struct places places = places_of(3, &node);
    places.nodes[0].n_cores = 1;
    ck_assert(places_choose(&places, &rank, 8, ranks));
    ck_assert_int_eq(ranks[0], 0);
    ck_assert_int_eq(ranks[1] + ranks[2], 8);
    ck_assert(places_choose(&places, &rank, 9, ranks));
    ck_assert_int_eq(ranks[0], 1);
    ck_assert(!places_choose(&places, &rank, 10, ranks));
}
END_TEST

START_TEST(memory_and_gpus_count)
{
    const struct places_room large = {1, 600, 0}, gpu = {1, 1, 1}, wide = {3, 1, 0};
    struct places places = places_of(2, &node);
    ck_assert(places_choose(&places, &large, 2, ranks));
    ck_assert_int_eq(ranks[0], 1);
    ck_assert_int_eq(ranks[1], 1);
    ck_assert(!places_choose(&places, &large, 3, ranks));
    ck_assert(places_choose(&places, &gpu, 2, ranks));
    ck_assert(!places_choose(&places, &gpu, 3, ranks));
    ck_assert(!places_choose(&places, &wide, 3, ranks)); /* a core left on each */
}
END_TEST

/* Whatever comes and goes, no node ever holds more than it has. */
START_TEST(nothing_is_lost)
{
    enum { N = 40 };
    struct places places = places_of(5, &node);
    int64_t held[N][PLACES_MAX];
    bool is_held[N] = {0};
    srand(7);
    for (int step = 0; step < 20000; step++) {
        int i = rand() % N;
        if (is_held[i])
            places_give(&places, &rank, held[i]);
        else if (places_choose(&places, &rank, 1 + i % 7, held[i]))
            places_take(&places, &rank, held[i]);
        else
            continue;
        is_held[i] = !is_held[i];
        for (int k = 0; k < places.n; k++)
            ck_assert(places.nodes[k].n_cores >= 0 && places.nodes[k].n_cores <= 4);
    }
    for (int i = 0; i < N; i++)
        if (is_held[i])
            places_give(&places, &rank, held[i]);
    for (int k = 0; k < places.n; k++) {
        ck_assert_int_eq(places.nodes[k].n_cores, 4);
        ck_assert_int_eq(places.nodes[k].memory_bytes, 1000);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("places");
    TCase *tests = tcase_create("places");
    tcase_add_test(tests, one_node_where_that_is_enough);
    tcase_add_test(tests, as_few_nodes_as_it_can);
    tcase_add_test(tests, memory_and_gpus_count);
    tcase_add_test(tests, nothing_is_lost);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed > 0;
}
