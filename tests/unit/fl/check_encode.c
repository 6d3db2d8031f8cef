/* Updates as ring vectors: the norm's bound in whole numbers, no bias, the rotation
 * spreads and turns back, published scales, and a mean through secure aggregation. The
 * random bits are of fixed keys; statistical bounds are six standard deviations. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/fl/encode.h"
#include "kernels/ring.h"
#include "tests/unit/fl/federation.h"

enum { MOST = 1 << 17, BITS = 32 };

static float update[MOST], back[MOST];
static uint32_t ring[MOST], sum[MOST];
static struct error err;

static struct crypto_stream *stream(unsigned char seed)
{
    unsigned char key[CRYPTO_KEY_SIZE] = {seed, 1};
    return crypto_stream_new(key);
}

static struct encode_terms terms_of(uint32_t n, double clip_norm, double scale)
{
    return (struct encode_terms){
        .n_values = n, .clip_norm = clip_norm, .scale = scale, .rotation = {5}};
}

static double norm_of_update(uint32_t n)
{
    double square = 0.0;
    for (uint32_t i = 0; i < n; i++)
        square += (double)update[i] * (double)update[i];
    return sqrt(square);
}

static double norm_of_ring(uint32_t n)
{
    double square = 0.0;
    for (uint32_t i = 0; i < n; i++)
        square += pow((double)ring_signed(ring[i], BITS), 2.0);
    return sqrt(square);
}

static void draw_update(struct crypto_stream *random, uint32_t n, float size)
{
    for (uint32_t i = 0; i < n; i++) {
        uint32_t word;
        crypto_stream_read(random, &word, sizeof word);
        update[i] = ((float)word * 0x1p-31f - 1.0f) * size;
    }
}

static const uint32_t lengths[] = {1, 2, 3, 5, 64, 100, 1000, 4097, 100000};
enum { N_LENGTHS = sizeof lengths / sizeof *lengths };

/* Every coordinate comes back within the rounding of all: |error| <= sqrt(d) / s. */
START_TEST(there_and_back)
{
    struct crypto_stream *random = stream(1);
    for (int l = 0; l < N_LENGTHS; l++) {
        uint32_t n = lengths[l];
        struct encode_terms terms = terms_of(n, 1e4, 1000.0);
        double square = 0.0;
        draw_update(random, n, 1.0f);
        ck_assert_int_eq(encode_update(&terms, update, random, ring, &err), 0);
        ck_assert_int_eq(encode_decode(&terms, ring, BITS, back, &err), 0);
        for (uint32_t i = 0; i < n; i++)
            square += pow((double)back[i] - (double)update[i], 2.0);
        ck_assert_double_le(sqrt(square), sqrt((double)n) / terms.scale);
    }
    crypto_stream_free(random);
}
END_TEST

/* Updates of any length and kind, with scales so small that rounding is most of it. */
START_TEST(norm_is_bounded)
{
    struct crypto_stream *random = stream(2);
    const double scales[] = {0.01, 1.0, 37.0, 1e6};
    const float sizes[] = {0.0f, 1e-30f, 0.5f, 3.0f, 1e38f};
    for (int l = 0; l < N_LENGTHS; l++)
        for (int s = 0; s < 4; s++)
            for (int z = 0; z < 5; z++) {
                struct encode_terms terms = terms_of(lengths[l], 2.0, scales[s]);
                draw_update(random, lengths[l], sizes[z]);
                ck_assert_int_eq(encode_update(&terms, update, random, ring, &err), 0);
                ck_assert_double_le(norm_of_ring(lengths[l]), encode_bound(&terms));
            }
    crypto_stream_free(random);
}
END_TEST

/* The bound's own formula where it is known: d = 1, c s = 3: min(4, sqrt(9.25 + 3.5)).
 */
START_TEST(bound_is_the_papers)
{
    struct encode_terms terms = terms_of(1, 1.0, 3.0);
    ck_assert_double_eq_tol(encode_bound(&terms), sqrt(12.75), 1e-12);
    terms = terms_of(100, 2.0, 1.0);
    ck_assert_double_eq_tol(encode_bound(&terms), sqrt(4.0 + 25.0 + 2.0 + 5.0), 1e-12);
    terms = terms_of(1, 1.0, 0.001); /* c s + sqrt(d) = 1.001 > sqrt(0.751) */
    ck_assert_double_eq_tol(encode_bound(&terms), sqrt(1e-6 + 0.25 + 0.001 + 0.5),
                            1e-12);
}
END_TEST

START_TEST(clips)
{
    struct crypto_stream *random = stream(3);
    struct encode_terms terms = terms_of(1000, 0.5, 1e5);
    draw_update(random, 1000, 2.0f);
    double norm = norm_of_update(1000);
    ck_assert_double_gt(norm, 0.5);
    ck_assert_int_eq(encode_update(&terms, update, random, ring, &err), 0);
    ck_assert_int_eq(encode_decode(&terms, ring, BITS, back, &err), 0);
    for (int i = 0; i < 1000; i++)
        ck_assert_double_eq_tol((double)back[i], (double)update[i] * 0.5 / norm, 1e-4);
    crypto_stream_free(random);
}
END_TEST

START_TEST(what_is_not_finite_is_nothing)
{
    struct crypto_stream *random = stream(4);
    const float bad[] = {NAN, INFINITY, -INFINITY};
    struct encode_terms terms = terms_of(100, 1.0, 1000.0);
    for (int i = 0; i < 3; i++) {
        draw_update(random, 100, 1.0f);
        update[17] = bad[i];
        ck_assert_int_eq(encode_update(&terms, update, random, ring, &err), 0);
        ck_assert_double_eq(norm_of_ring(100), 0.0);
    }
    crypto_stream_free(random);
}
END_TEST

/* The mean of many encodings is the update: a coordinate's rounding has variance 1/4 at
 * most, and the rotation keeps it. What is drawn anew is too rare here to matter. */
START_TEST(no_bias)
{
    enum { N = 24, TIMES = 20000 };
    static double mean[N];
    struct crypto_stream *random = stream(5);
    struct encode_terms terms = terms_of(N, 10.0, 2.0);
    draw_update(random, N, 0.4f);
    for (int t = 0; t < TIMES; t++) {
        ck_assert_int_eq(encode_update(&terms, update, random, ring, &err), 0);
        ck_assert_int_eq(encode_decode(&terms, ring, BITS, back, &err), 0);
        for (int i = 0; i < N; i++)
            mean[i] += (double)back[i] / TIMES;
    }
    for (int i = 0; i < N; i++)
        ck_assert_double_eq_tol(mean[i], (double)update[i],
                                6.0 * 0.5 / terms.scale / sqrt(TIMES));
    crypto_stream_free(random);
}
END_TEST

/* One coordinate alone, wherever it stands, ends up in 2^m coordinates: none has more
 * than seven times its share (a sum of random signs: chance below 1e-6 in all). */
START_TEST(spreads)
{
    struct crypto_stream *random = stream(6);
    const uint32_t n = 100000, places[] = {0, 1, 34463, 34464, 65535, 65536, 99999};
    struct encode_terms terms = terms_of(n, 1.0, 1e6);
    for (int p = 0; p < 7; p++) {
        double most = 0.0;
        memset(update, 0, sizeof update);
        update[places[p]] = 1.0f;
        ck_assert_int_eq(encode_update(&terms, update, random, ring, &err), 0);
        for (uint32_t i = 0; i < n; i++)
            most = fmax(most, fabs((double)ring_signed(ring[i], BITS)));
        ck_assert_double_lt(most, 7.0 * terms.scale / sqrt(65536.0));
        ck_assert_double_eq_tol(norm_of_ring(n), terms.scale, 1.0);
    }
    crypto_stream_free(random);
}
END_TEST

/* Another seed, another rotation: decoding with it gives something unrelated. */
START_TEST(rotation_is_the_seeds)
{
    struct crypto_stream *random = stream(7);
    struct encode_terms terms = terms_of(1000, 100.0, 1e5);
    double product = 0.0;
    draw_update(random, 1000, 1.0f);
    ck_assert_int_eq(encode_update(&terms, update, random, ring, &err), 0);
    terms.rotation[31] = 1;
    ck_assert_int_eq(encode_decode(&terms, ring, BITS, back, &err), 0);
    for (int i = 0; i < 1000; i++)
        product += (double)back[i] * (double)update[i];
    ck_assert_double_lt(fabs(product), 0.2 * pow(norm_of_update(1000), 2.0));
    crypto_stream_free(random);
}
END_TEST

/* Integer noise of each client for d = 2^17, b = 16, z = 1 (n sigma^2 = c^2), k = 4, as
 * worked out apart from this code: 789.6, 88.19 and 2.964 for 100, 1,000 and 10,000
 * clients; at 10 bits 10,000 clients do not fit. */
START_TEST(published_scales)
{
    const double expected[] = {789.6, 88.19, 2.964};
    struct encode_terms terms = terms_of(MOST, 3.0, 0.0);
    double scale;
    uint32_t n = 100;
    for (int i = 0; i < 3; i++, n *= 10) {
        double noise_std = 3.0 / sqrt((double)n);
        ck_assert_int_eq(encode_scale(&terms, n, 16, noise_std, 4.0, &scale, &err), 0);
        ck_assert_double_eq_tol(scale * noise_std, expected[i], expected[i] * 1e-3);
    }
    ck_assert_int_eq(encode_scale(&terms, 100000, 10, 0.01, 4.0, &scale, &err),
                     -PPT_ERANGE);
}
END_TEST

START_TEST(terms_that_cannot_be)
{
    struct crypto_stream *random = stream(8);
    struct encode_terms bad[] = {terms_of(0, 1, 1), terms_of(4, 0, 1),
                                 terms_of(4, 1, 0), terms_of(4, NAN, 1),
                                 terms_of(4, 1, 0x1p27)};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_int_eq(encode_update(&bad[i], update, random, ring, &err),
                         -PPT_ERANGE);
    crypto_stream_free(random);
}
END_TEST

/* Twelve clients' updates through secure aggregation, two of them vanish: the sum of
 * the others, to within their roundings. */
START_TEST(mean_through_secure_aggregation)
{
    enum { N = 12, D = 700, RING_BITS = 20 };
    static float updates[N][D];
    struct crypto_stream *random = stream(9);
    struct session_terms wish = {.round = 1,
                                 .n_clients = N,
                                 .degree = 8,
                                 .threshold = 4,
                                 .min_clients = 5,
                                 .n_coords = D,
                                 .n_bits = RING_BITS};
    struct federation federation;
    uint32_t n_survivors;
    double square = 0.0;
    federation_open(&federation, &wish);
    struct encode_terms terms = terms_of(D, 1.0, 0.0);
    memcpy(terms.rotation, federation.session.id, sizeof terms.rotation);
    ck_assert_int_eq(encode_scale(&terms, N, RING_BITS, 0.0, 6.0, &terms.scale, &err),
                     0);
    for (uint32_t u = 0; u < N; u++) {
        draw_update(random, D, 0.05f); /* of norm about 0.76 */
        memcpy(updates[u], update, sizeof updates[u]);
        ck_assert_int_eq(encode_update(&terms, update, random,
                                       federation.vectors + (size_t)u * D, &err),
                         0);
    }
    federation.leaves[2] = SECAGG_MASKED;
    federation.leaves[7] = SECAGG_SHARES;
    ck_assert_int_eq(federation_run(&federation, &err), 0);
    ck_assert_int_eq(secagg_server_sum(federation.server, sum, &n_survivors, &err), 0);
    ck_assert_uint_eq(n_survivors, N - 2);
    ck_assert_int_eq(encode_decode(&terms, sum, RING_BITS, back, &err), 0);
    for (int i = 0; i < D; i++) {
        double expected = 0.0;
        for (uint32_t u = 0; u < N; u++)
            expected += u == 2 || u == 7 ? 0.0 : (double)updates[u][i];
        square += pow((double)back[i] - expected, 2.0);
    }
    ck_assert_double_lt(sqrt(square), (N - 2) * sqrt(D) / terms.scale);
    federation_close(&federation);
    crypto_stream_free(random);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fl");
    TCase *tcase = tcase_create("encode");
    tcase_add_test(tcase, there_and_back);
    tcase_add_test(tcase, norm_is_bounded);
    tcase_add_test(tcase, bound_is_the_papers);
    tcase_add_test(tcase, clips);
    tcase_add_test(tcase, what_is_not_finite_is_nothing);
    tcase_add_test(tcase, no_bias);
    tcase_add_test(tcase, spreads);
    tcase_add_test(tcase, rotation_is_the_seeds);
    tcase_add_test(tcase, published_scales);
    tcase_add_test(tcase, terms_that_cannot_be);
    tcase_add_test(tcase, mean_through_secure_aggregation);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
