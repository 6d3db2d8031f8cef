/* Updates as few bytes: what arrives, how many bytes that takes, what is left out comes
 * later, and no message that is damaged is read past its end. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/fl/compress.h"

enum { N = 1000 };

static struct spec spec;
static struct trainer
    trainer; /* its net: 99 values into 10 classes: a matrix and a bias */
static struct compress compress;
static float update[N], arrived[N];

static void open_kind(enum spec_compress_kind kind)
{
    spec = (struct spec){.federation = {.compress = {.is_on = true,
                                                     .kind = kind,
                                                     .fraction = 0.05,
                                                     .levels = 15,
                                                     .bits = 3,
                                                     .rank = 2}}};
    struct manifest_split split = {
        .x_type = TYPE_FLOAT32, .n_dims = 1, .dims = {99}, .n_classes = 10};
    spec.model.preset = PRESET_LOGISTIC;
    ck_assert_int_eq(net_build(&spec.model, &split, false, &trainer.net, NULL), 0);
    ck_assert_int_eq(trainer.net.n_params, N);
    ck_assert_int_eq(compress_open(&compress, &spec, &trainer, NULL), 0);
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
        compress_unpack(&compress, round, client, &compress.message, arrived, NULL), 0);
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

static double square(const float *x)
{
    double sum = 0.0;
    for (int j = 0; j < N; j++) {
        sum += (double)x[j] * (double)x[j];
    }
    return sum;
}

/* Off by what the levels are off for a normal variable (eden.h), and in the mean over
 * clients by less and less: values of any law, of both of the rotation's parts. */
START_TEST(eden_is_as_near_as_it_should_be)
{
    static const double expected[] = {0.5708, 0.1331, 0.03578, 0.00959};
    enum { CLIENTS = 400 };
    static double mean[N];
    double off = 0.0, bias = 0.0;
    open_kind(COMPRESS_EDEN);
    spec.federation.compress.bits = 1 + _i;
    for (int j = 0; j < N; j++) {
        update[j] = j % 10 == 3 ? update[j] : 0.0f;
        mean[j] = 0.0;
    }
    for (int client = 0; client < CLIENTS; client++) {
        pass(5, client);
        for (int j = 0; j < N; j++) {
            double d = (double)arrived[j] - (double)update[j];
            off += d * d / square(update) / CLIENTS;
            mean[j] += d / CLIENTS;
        }
    }
    ck_assert_uint_eq(compress.message.len, (size_t)(8 + N * (1 + _i) / 8));
    for (int j = 0; j < N; j++) {
        bias += mean[j] * mean[j] / square(update);
    }
    /* What 100 values turn into is a little flatter than normal: 3 % less. The mean's
     * error is a 400th. */
    ck_assert_double_eq_tol(off / expected[_i], 0.98, 0.04);
    ck_assert_double_eq_tol(bias / (expected[_i] / CLIENTS), 1.0, 0.3);
    memset(update, 0, sizeof update);
    pass(5, 1);
    ck_assert(square(arrived) == 0.0);
}
END_TEST

/* A matrix of the rank that is sent arrives but for the rounding of floats; of another
 * the projection, which is nearer than nothing; the bias as it is. */
START_TEST(thin_matrices_arrive)
{
    float first[99][2], second[10][2];
    open_kind(COMPRESS_LOW_RANK);
    pass(1, 1);
    ck_assert_uint_eq(compress.message.len, 4 * (2 * (99 + 10) + 10));
    double whole = square(update), kept = square(arrived), off = 0.0;
    for (int j = 0; j < N; j++) {
        double d = (double)update[j] - (double)arrived[j];
        off += d * d;
    }
    ck_assert_double_eq_tol(off, whole - kept, 1e-3); /* orthogonal */
    ck_assert_double_gt(kept, 0.2 * whole);
    for (int i = 0; i < 99; i++) {
        first[i][0] = update[i], first[i][1] = update[99 + i];
    }
    for (int j = 0; j < 10; j++) {
        second[j][0] = update[200 + j], second[j][1] = update[300 + j];
    }
    for (int j = 0; j < 990; j++) {
        update[j] =
            first[j / 10][0] * second[j % 10][0] + first[j / 10][1] * second[j % 10][1];
    }
    pass(2, 1);
    for (int j = 0; j < N; j++) {
        ck_assert_float_eq_tol(update[j], arrived[j], 1e-6f);
        ck_assert(j < 990 || update[j] == arrived[j]);
    }
    memset(update, 0, sizeof update);
    pass(3, 1);
    ck_assert(square(arrived) == 0.0);
}
END_TEST

/* Bit for bit, also what is no number; values of like size take fewer bytes. */
START_TEST(nothing_is_changed)
{
    open_kind(COMPRESS_ZSTD);
    for (int j = 0; j < N; j++) {
        update[j] = 1e-3f * update[j] + 2e-3f;
    }
    pass(1, 1);
    ck_assert_mem_eq(update, arrived, sizeof update);
    ck_assert_uint_lt(compress.message.len, sizeof update * 85 / 100);
    update[17] = NAN, update[18] = -INFINITY, update[19] = -0.0f;
    pass(1, 1);
    ck_assert_mem_eq(update, arrived, sizeof update);
}
END_TEST

/* What is left out is sent in time: the sum of what arrives follows the sum of the
 * updates, but for the residual. */
START_TEST(nothing_is_lost)
{
    float residual[N] = {0}, sent[N];
    double total[N] = {0};
    static const enum spec_compress_kind kinds[] = {COMPRESS_TOP_K, COMPRESS_RANDOM_K,
                                                    COMPRESS_LOW_RANK};
    static const int64_t bytes[] = {250, 200, 912};
    open_kind(kinds[_i]);
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
    ck_assert_int_ge(compress.most_bytes, bytes[_i]);
    ck_assert_int_le(compress.most_bytes, bytes[_i] + (_i == 0 ? 10 : 0));
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
        ck_assert_int_eq(compress_unpack(&compress, 0, 0, &part, arrived, NULL),
                         -PPT_ETRUST);
    }
    buf_u8(&compress.message, 0);
    ck_assert_int_eq(compress_unpack(&compress, 0, 0, &compress.message, arrived, NULL),
                     -PPT_ETRUST);
    compress.message.len = len;
    for (int trial = 0; trial < 200; trial++) {
        for (size_t b = 0; b < len; b++) {
            compress.message.data[b] = (unsigned char)(drand48() * 256.0);
        }
        (void)compress_unpack(&compress, 0, 0, &compress.message, arrived, NULL);
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
    tcase_add_loop_test(tcase, nothing_is_lost, 0, 3);
    tcase_add_loop_test(tcase, eden_is_as_near_as_it_should_be, 0, 4);
    tcase_add_test(tcase, thin_matrices_arrive);
    tcase_add_test(tcase, nothing_is_changed);
    tcase_add_test(tcase, limits_bytes);
    tcase_add_loop_test(tcase, damaged_messages, 0, COMPRESS_N);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
