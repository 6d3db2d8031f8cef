/* Updates as few bytes: what arrives, how many bytes that takes, what is left out comes
 * later, and no message that is damaged is read past its end. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/fl/compress.h"

enum { N = 1000 };

static struct spec spec;
static struct compress compress;
static float update[N], arrived[N];

static void open_kind(enum spec_compress_kind kind)
{
    spec = (struct spec){
        .federation = {
            .compress = {.is_on = true, .kind = kind, .fraction = 0.05, .levels = 15}}};
    ck_assert_int_eq(compress_open(&compress, &spec, N, NULL), 0);
}

static void setup(void)
{
    srand48(3);
    for (int j = 0; j < N; j++) {
        update[j] = (float)(drand48() - 0.5);
    }
}

static void teardown(void)
{
    compress_close(&compress);
}

static void pass(int64_t round, int64_t client)
{
    ck_assert_int_eq(compress_pack(&compress, round, client, update, NULL), 0);
    ck_assert_int_eq(
        compress_unpack(&compress, round, &compress.message, arrived, NULL), 0);
}

static int by_size(const void *a, const void *b)
{
    float x = fabsf(*(const float *)a), y = fabsf(*(const float *)b);
    return (x < y) - (x > y);
}

/* The 50 largest, as they are; of those at the limit the first. */
START_TEST(the_largest_arrive)
{
    float sorted[N];
    open_kind(COMPRESS_TOP_K);
    for (int j = 900; j < N; j++) {
        update[j] = j % 2 ? 0.4f : -0.4f;
    }
    memcpy(sorted, update, sizeof sorted);
    qsort(sorted, N, sizeof *sorted, by_size);
    float least = fabsf(sorted[49]);
    pass(1, 2);
    int n = 0;
    for (int j = 0; j < N; j++) {
        ck_assert(arrived[j] == 0.0f || arrived[j] == update[j]);
        ck_assert(arrived[j] != 0.0f || fabsf(update[j]) <= least);
        n += arrived[j] != 0.0f;
    }
    ck_assert_int_eq(n, 50);
    ck_assert_uint_ge(compress.message.len, 50 * 5);
    ck_assert_uint_le(compress.message.len, 50 * 6);
}
END_TEST

START_TEST(all_may_be_alike)
{
    open_kind(COMPRESS_TOP_K);
    for (int j = 0; j < N; j++) {
        update[j] = 0.25f;
    }
    pass(1, 2);
    for (int j = 0; j < N; j++) {
        ck_assert_float_eq(arrived[j], j < 50 ? 0.25f : 0.0f);
    }
}
END_TEST

/* The same places for all clients of a round, others in the next, each as often. */
START_TEST(random_places_are_shared)
{
    int times[N] = {0};
    open_kind(COMPRESS_RANDOM_K);
    for (int round = 0; round < 400; round++) {
        int n = 0;
        float first[N];
        pass(round, 1);
        memcpy(first, arrived, sizeof first);
        pass(round, 7);
        ck_assert_mem_eq(first, arrived, sizeof first);
        for (int j = 0; j < N; j++) {
            n += arrived[j] != 0.0f && arrived[j] == update[j];
            times[j] += arrived[j] != 0.0f;
        }
        ck_assert_int_eq(n, 50);
    }
    ck_assert_uint_eq(compress.message.len, 200);
    for (int j = 0; j < N; j++) { /* 20 expected, standard deviation 4.4 */
        ck_assert(times[j] > 0 && times[j] < 48);
    }
}
END_TEST

/* Five bits a value; off by one level at most, right on average. */
START_TEST(levels_are_right_on_average)
{
    static double mean[N];
    double norm = 0.0;
    open_kind(COMPRESS_QSGD);
    for (int j = 0; j < N; j++) {
        norm += (double)update[j] * (double)update[j];
    }
    double level = sqrt(norm) / 15.0;
    double farthest = 0.0;
    for (int client = 0; client < 500; client++) {
        pass(3, client);
        for (int j = 0; j < N; j++) {
            double off = (double)arrived[j] - (double)update[j];
            farthest = fmax(farthest, fabs(off));
            mean[j] += off / 500.0;
        }
    }
    ck_assert_double_le(farthest, level * (1 + 1e-6));
    ck_assert_uint_eq(compress.message.len, 4 + N * 5 / 8);
    for (int j = 0; j < N; j++) { /* standard deviation at most level / 2 / sqrt(500) */
        ck_assert_double_lt(fabs(mean[j]), 5.0 * level / 2.0 / sqrt(500.0));
    }
}
END_TEST

/* What is left out is sent in time: the sum of what arrives follows the sum of the
 * updates, but for the residual. */
START_TEST(nothing_is_lost)
{
    float residual[N] = {0}, sent[N];
    double total[N] = {0};
    open_kind(_i == 0 ? COMPRESS_TOP_K : COMPRESS_RANDOM_K);
    for (int round = 0; round < 300; round++) {
        memcpy(sent, update, sizeof sent);
        ck_assert_int_eq(compress_send(&compress, round, 4, 0, sent, residual, NULL),
                         0);
        for (int j = 0; j < N; j++) {
            total[j] += (double)sent[j];
        }
    }
    for (int j = 0; j < N; j++) {
        ck_assert_double_eq_tol(total[j] + (double)residual[j], 300.0 * update[j],
                                1e-2);
        ck_assert(total[j] != 0.0 || fabsf(update[j]) < 0.03f);
    }
    ck_assert_int_ge(compress.most_bytes, _i == 0 ? 250 : 200);
    ck_assert_int_le(compress.most_bytes, _i == 0 ? 260 : 200);
}
END_TEST

START_TEST(limits_bytes)
{
    struct error err = {0};
    float sent[N];
    open_kind(COMPRESS_RANDOM_K);
    memcpy(sent, update, sizeof sent);
    ck_assert_int_eq(compress_send(&compress, 0, 0, 200, sent, NULL, &err), 0);
    ck_assert_int_eq(compress_send(&compress, 0, 0, 199, sent, NULL, &err),
                     -PPT_EPOLICY);
    ck_assert_str_eq(err.text, "a client's message is 200 bytes, more than "
                               "federation.max_client_bytes");
}
END_TEST

/* Cut, longer, or random bytes: an error or numbers, never more than is there. */
START_TEST(damaged_messages)
{
    open_kind((enum spec_compress_kind)_i);
    ck_assert_int_eq(compress_pack(&compress, 0, 0, update, NULL), 0);
    size_t len = compress.message.len;
    for (size_t cut = 0; cut < len; cut += 7) {
        struct buf part = {.data = compress.message.data, .len = cut};
        ck_assert_int_eq(compress_unpack(&compress, 0, &part, arrived, NULL),
                         -PPT_ETRUST);
    }
    buf_u8(&compress.message, 0);
    ck_assert_int_eq(compress_unpack(&compress, 0, &compress.message, arrived, NULL),
                     -PPT_ETRUST);
    compress.message.len = len;
    for (int trial = 0; trial < 200; trial++) {
        for (size_t b = 0; b < len; b++) {
            compress.message.data[b] = (unsigned char)(drand48() * 256.0);
        }
        (void)compress_unpack(&compress, 0, &compress.message, arrived, NULL);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("compress");
    TCase *tcase = tcase_create("compress");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, the_largest_arrive);
    tcase_add_test(tcase, all_may_be_alike);
    tcase_add_test(tcase, random_places_are_shared);
    tcase_add_test(tcase, levels_are_right_on_average);
    tcase_add_loop_test(tcase, nothing_is_lost, 0, 2);
    tcase_add_test(tcase, limits_bytes);
    tcase_add_loop_test(tcase, damaged_messages, 0, COMPRESS_N);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
