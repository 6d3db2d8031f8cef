/* Degrees and thresholds of SecAgg+: the rows marked * are those of the precomputed
 * test table of Google's federated-compute (fcp/secagg, de83f70c); the others are the
 * same formulas worked out apart from this code. */
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "jobs/fl/degree.h"
#include "jobs/spec/spec.h"

static const struct {
    double corrupt, dropout;
    struct {
        uint32_t degree, threshold;
    } honest[3], lying[3]; /* 100, 1000 and 10000 clients */
} rows[] = {
    {.05, .05, {{12, 6}, {30, 17}, {34, 20}}, {{16, 11}, {52, 37}, {62, 44}}}, /* * */
    {.10, .10, {{22, 11}, {48, 27}, {54, 31}}, {{32, 22}, {96, 67}, {122, 85}}},
    {.10, .20, {{28, 11}, {66, 31}, {78, 37}}, {{52, 32}, {194, 124}, {280, 179}}},
    {.20, .20, {{40, 21}, {98, 54}, {122, 67}}, {{62, 42}, {302, 206}, {482, 328}}},
    {.05,
     .33,
     {{28, 6}, {72, 24}, {86, 29}},
     {{72, 39}, {398, 223}, {746, 420}}}, /* * */
    {.33,
     .05,
     {{34, 29}, {78, 60}, {92, 70}},
     {{42, 37}, {132, 109}, {178, 146}}}, /* * */
};

START_TEST(published_rows)
{
    const uint32_t n[] = {100, 1000, 10000};
    uint32_t degree, threshold;
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
        for (int i = 0; i < 3; i++) {
            struct degree_wish wish = {n[i], rows[r].corrupt, rows[r].dropout, false};
            ck_assert_int_eq(degree_find(&wish, &degree, &threshold, NULL), 0);
            ck_assert_uint_eq(degree, rows[r].honest[i].degree);
            ck_assert_uint_eq(threshold, rows[r].honest[i].threshold);
            wish.is_server_lying = true;
            ck_assert_int_eq(degree_find(&wish, &degree, &threshold, NULL), 0);
            ck_assert_uint_eq(degree, rows[r].lying[i].degree);
            ck_assert_uint_eq(threshold, rows[r].lying[i].threshold);
        }
}
END_TEST

START_TEST(small_cohorts_are_complete)
{
    uint32_t degree, threshold;
    for (uint32_t n = 2; n <= 12; n++) {
        struct degree_wish wish = {n, 0.0, 0.0, false};
        ck_assert_int_eq(degree_find(&wish, &degree, &threshold, NULL), 0);
        ck_assert(degree <= n - 1 && threshold >= 1 && threshold <= degree);
    }
    struct degree_wish wish = {10, 0.2, 0.3, false};
    ck_assert_int_eq(degree_find(&wish, &degree, &threshold, NULL), 0);
    /* Any 6 neighbours: at most the 2 corrupt ones, at least 3 that stay. */
    ck_assert_uint_eq(degree, 6);
    ck_assert_uint_eq(threshold, 3);
}
END_TEST

/* Nobody corrupt can hold a threshold of shares, and who is left can always rebuild. */
START_TEST(complete_graphs_hold)
{
    for (uint32_t n = 2; n <= 60; n++)
        for (int c = 0; c < 10; c++)
            for (int d = 0; d < 10; d++)
                for (int lying = 0; lying < 2; lying++) {
                    struct degree_wish wish = {n, c / 10.0, d / 10.0, lying == 1};
                    struct error err = {0};
                    uint32_t t, corrupt = (uint32_t)(c / 10.0 * n);
                    uint32_t left = n - (uint32_t)(d / 10.0 * n);
                    if (degree_complete(&wish, &t, &err) != 0) {
                        ck_assert_int_eq(err.code, PPT_ERANGE);
                        continue;
                    }
                    ck_assert(t > corrupt && t + 1 <= left);
                    /* two disjoint sets of honest holders cannot both be enough */
                    ck_assert(!lying || 2 * (t - corrupt) > n - 1 - corrupt);
                }
}
END_TEST

/* Every size from the least on, for rates in steps of a twentieth; beyond SIZES some. A
 * cohort without a graph would end a private job and tell its size. */
START_TEST(every_larger_cohort_has_a_graph)
{
    enum { SIZES = 150 };
    const struct spec_secagg secagg = {.corrupt = _i / 20 / 20.0,
                                       .dropout = _i % 20 / 20.0};
    for (int lying = 0; lying < 2; lying++) {
        struct spec_secagg rates = secagg;
        rates.server = lying == 1 ? TRUST_LYING : TRUST_HONEST;
        double least = spec_secagg_least(&rates);
        for (double n = least; n <= 1 << 20; n += n < least + SIZES ? 1 : 99991) {
            struct degree_wish wish = {(uint32_t)n, rates.corrupt, rates.dropout,
                                       lying == 1};
            uint32_t t, k;
            ck_assert_int_eq(degree_complete(&wish, &t, NULL), 0);
            ck_assert(t >= 1 && t <= n - 1);
            if (n >= SIZES) {
                continue;
            }
            ck_assert_int_eq(degree_find(&wish, &k, &t, NULL), 0);
            ck_assert(k <= n - 1 && (k % 2 == 0 || k == n - 1) && t >= 1 && t <= k);
        }
    }
}
END_TEST

/* Smaller cohorts may have no graph. */
START_TEST(small_cohorts_may_have_none)
{
    const struct degree_wish wishes[] = {{3, 0.34, 0.34, false}, {10, 0.3, 0.3, true}};
    const double least[] = {7, 11};
    struct error err = {0};
    for (int i = 0; i < 2; i++) {
        struct spec_secagg rates = {.corrupt = wishes[i].corrupt,
                                    .dropout = wishes[i].dropout,
                                    .server = i == 0 ? TRUST_HONEST : TRUST_LYING};
        uint32_t t;
        ck_assert_int_eq(degree_complete(&wishes[i], &t, &err), -PPT_ERANGE);
        ck_assert_double_eq(spec_secagg_least(&rates), least[i]);
    }
}
END_TEST

START_TEST(wishes_that_cannot_be)
{
    const struct degree_wish wishes[] = {{1, 0.0, 0.0, false},
                                         {100, -0.1, 0.0, false},
                                         {100, 0.5, 0.5, false},
                                         {100, 0.0, __builtin_nan(""), false},
                                         {100, 0.33, 0.33, true}};
    uint32_t degree = 77, threshold = 77;
    struct error err = {0};
    for (size_t i = 0; i < sizeof wishes / sizeof *wishes; i++)
        ck_assert_int_eq(degree_find(&wishes[i], &degree, &threshold, &err),
                         -PPT_ERANGE);
    ck_assert(degree == 77 && threshold == 77);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fl");
    TCase *tcase = tcase_create("degree");
    tcase_add_test(tcase, published_rows);
    tcase_add_test(tcase, small_cohorts_are_complete);
    tcase_add_test(tcase, complete_graphs_hold);
    tcase_add_loop_test(tcase, every_larger_cohort_has_a_graph, 0, 400);
    tcase_add_test(tcase, small_cohorts_may_have_none);
    tcase_add_test(tcase, wishes_that_cannot_be);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
