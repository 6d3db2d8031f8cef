/* Secure aggregation between a server and clients that exchange bytes: the sum is exact
 * or there is none, whoever vanishes and when. With the argument `long`: 10,000
 * patterns of drop-outs instead of 1,000. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/fl/degree.h"
#include "tests/unit/fl/federation.h"

enum { MOST_COORDS = 5000 };
static int n_patterns = 1000;
static uint32_t sum[MOST_COORDS];

static struct session_terms terms(uint32_t n, uint32_t degree, uint32_t threshold)
{
    return (struct session_terms){.round = 1,
                                  .n_clients = n,
                                  .degree = degree,
                                  .threshold = threshold,
                                  .min_clients = 2,
                                  .n_coords = 11,
                                  .n_bits = 20};
}

static uint32_t random_below(struct crypto_stream *stream, uint32_t n)
{
    uint32_t word;
    crypto_stream_read(stream, &word, sizeof word);
    return (uint32_t)((uint64_t)word * n >> 32);
}

static void run_exact(struct federation *federation, uint32_t n_expected)
{
    struct error err = {0};
    uint32_t n_survivors = 0;
    int rc = federation_run(federation, &err);
    ck_assert_msg(rc == 0, "%s", err.text);
    ck_assert_int_eq(secagg_server_sum(federation->server, sum, &n_survivors, &err), 0);
    ck_assert_uint_eq(n_survivors, n_expected);
    ck_assert(federation_is_exact(federation, sum));
}

START_TEST(every_width)
{
    for (int bits = 1; bits <= 32; bits++) {
        struct session_terms wish = terms(6, bits % 2 ? 5 : 4, 2);
        struct federation federation;
        wish.n_bits = bits;
        wish.n_coords = (uint32_t)bits == 20 ? MOST_COORDS : 1 + (uint32_t)bits;
        federation_open(&federation, &wish);
        run_exact(&federation, 6);
        federation_close(&federation);
    }
}
END_TEST

/* Client 3 vanishes before each message in turn. Once its vector is there it counts. */
START_TEST(vanishing_at_each_stage)
{
    for (int stage = SECAGG_KEYS; stage <= SECAGG_REVEALS; stage++) {
        for (uint32_t degree = 6; degree <= 7; degree++) {
            struct session_terms wish = terms(8, degree, 4);
            struct federation federation;
            federation_open(&federation, &wish);
            federation.leaves[3] = (enum secagg_stage)stage;
            run_exact(&federation, stage <= SECAGG_MASKED ? 7 : 8);
            ck_assert(secagg_server_survives(federation.server, 3) ==
                      (stage > SECAGG_MASKED));
            federation_close(&federation);
        }
    }
}
END_TEST

/* Cohorts, graphs, thresholds and drop-outs at random: the exact sum of the survivors,
 * or a cause and no sum. */
START_TEST(patterns_of_drop_outs)
{
    unsigned char key[CRYPTO_KEY_SIZE] = {9};
    struct crypto_stream *stream = crypto_stream_new(key);
    int n_exact = 0, n_stopped = 0;
    for (int i = 0; i < n_patterns; i++) {
        uint32_t n = 3 + random_below(stream, 8), n_survivors = 99;
        uint32_t degree = random_below(stream, 2) ? n - 1 : 2 * (1 + (n - 2) / 4);
        struct session_terms wish =
            terms(n, degree, 1 + random_below(stream, (degree + 1) / 2));
        struct federation federation;
        struct error err = {0};
        uint32_t chance = random_below(stream, 40);
        wish.n_bits = 1 + (int)random_below(stream, 32);
        federation_open(&federation, &wish);
        for (uint32_t u = 0; u < n; u++)
            if (random_below(stream, 100) < chance)
                federation.leaves[u] = (enum secagg_stage)random_below(stream, 5);
        if (federation_run(&federation, &err) == 0) {
            ck_assert_int_eq(
                secagg_server_sum(federation.server, sum, &n_survivors, &err), 0);
            ck_assert(federation_is_exact(&federation, sum) && n_survivors >= 2);
            n_exact++;
        } else {
            ck_assert_msg(strncmp(err.text, "below_threshold: ", 17) == 0 ||
                              strncmp(err.text, "cohort_too_small: ", 18) == 0 ||
                              strncmp(err.text, "not_connected: ", 15) == 0,
                          "%s", err.text);
            ck_assert_int_eq(
                secagg_server_sum(federation.server, sum, &n_survivors, &err),
                -PPT_ESTATE);
            ck_assert_uint_eq(n_survivors, 99);
            n_stopped++;
        }
        federation_close(&federation);
    }
    ck_assert_int_gt(n_exact, n_patterns / 2);
    ck_assert_int_gt(n_stopped, n_patterns / 20);
    crypto_stream_free(stream);
}
END_TEST

/* The parameters that are declared for a cohort bear what was declared. */
START_TEST(declared_drop_out)
{
    struct degree_wish wish = {60, 0.1, 0.2, false};
    struct session_terms with = terms(60, 0, 0);
    struct federation federation;
    ck_assert_int_eq(degree_find(&wish, &with.degree, &with.threshold, NULL), 0);
    ck_assert_uint_lt(with.degree, 59);
    federation_open(&federation, &with);
    for (uint32_t u = 0; u < 12; u++)
        federation.leaves[5 * u] = u % 2 ? SECAGG_MASKED : SECAGG_REVEALS;
    run_exact(&federation, 54);
    federation_close(&federation);
}
END_TEST

/* What a client sends of a vector of zeros looks like random bits, also to somebody who
 * has taken another client's off. */
START_TEST(vectors_are_masked)
{
    struct session_terms wish = terms(4, 3, 2);
    struct federation federation;
    struct error err = {0};
    unsigned n_ones = 0;
    wish.n_coords = MOST_COORDS;
    wish.n_bits = 32;
    federation_open(&federation, &wish);
    memset(federation.vectors, 0, 4 * MOST_COORDS * sizeof(uint32_t));
    ck_assert_int_eq(federation_stage(&federation, &err), 0);
    ck_assert_int_eq(federation_stage(&federation, &err), 0);
    for (uint32_t u = 0; u < 2; u++) {
        ck_assert_int_eq(federation_fetch(&federation, u, &err), 0);
        ck_assert_int_eq(federation_answer(&federation, u, &err), 0);
        ck_assert_uint_gt(federation.reply.len, 4 * MOST_COORDS);
        const unsigned char *bits =
            federation.reply.data + federation.reply.len - 4 * MOST_COORDS;
        n_ones = 0;
        for (size_t i = 0; i < 4 * MOST_COORDS; i++)
            n_ones += (unsigned)__builtin_popcount(bits[i]);
        /* 160,000 fair coins: standard deviation 200 */
        ck_assert_uint_gt(n_ones, 80000 - 1400);
        ck_assert_uint_lt(n_ones, 80000 + 1400);
    }
    federation_close(&federation);
}
END_TEST

START_TEST(neighbours_are_mutual)
{
    const uint32_t sizes[][2] = {{2, 1}, {3, 2}, {4, 2}, {9, 6}, {10, 4}, {50, 48}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct session_terms wish = terms(sizes[i][0], sizes[i][1], 1);
        struct federation federation;
        uint32_t mine[64], theirs[64], k = sizes[i][1];
        federation_open(&federation, &wish);
        for (uint32_t u = 0; u < wish.n_clients; u++) {
            session_neighbours(&federation.session, u, mine);
            for (uint32_t j = 0; j < k; j++) {
                bool is_mutual = false;
                ck_assert(mine[j] != u && mine[j] < wish.n_clients);
                ck_assert(j == 0 || mine[j] > mine[j - 1]);
                session_neighbours(&federation.session, mine[j], theirs);
                for (uint32_t l = 0; l < k; l++)
                    is_mutual = is_mutual || theirs[l] == u;
                ck_assert(is_mutual);
            }
        }
        federation_close(&federation);
    }
}
END_TEST

int main(int argc, char **argv)
{
    n_patterns = argc > 1 && strcmp(argv[1], "long") == 0 ? 10000 : n_patterns;
    Suite *suite = suite_create("fl");
    TCase *tcase = tcase_create("secagg");
    tcase_set_timeout(tcase, 600);
    tcase_add_test(tcase, every_width);
    tcase_add_test(tcase, vanishing_at_each_stage);
    tcase_add_test(tcase, patterns_of_drop_outs);
    tcase_add_test(tcase, declared_drop_out);
    tcase_add_test(tcase, vectors_are_masked);
    tcase_add_test(tcase, neighbours_are_mutual);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
