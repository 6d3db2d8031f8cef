/* The field of 2^61 - 1 against division by the processor, and Shamir's sharing: a
 * published example, every subset of shares, and what fewer shares tell. The random
 * numbers are a fixed sequence. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/field.h"
#include "kernels/shamir.h"

static uint64_t seed;

static uint64_t next(void) /* splitmix64 */
{
    uint64_t z = (seed += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t element(void)
{
    uint64_t low = next();
    return field_random(low, next());
}

static const uint64_t edges[] = {
    0, 1, 2, FIELD_PRIME / 2, FIELD_PRIME / 2 + 1, FIELD_PRIME - 2, FIELD_PRIME - 1};
enum { N_EDGES = sizeof edges / sizeof *edges };

static void agrees(uint64_t a, uint64_t b)
{
    const unsigned __int128 p = FIELD_PRIME;
    ck_assert_uint_eq(field_add(a, b), (uint64_t)(((unsigned __int128)a + b) % p));
    ck_assert_uint_eq(field_sub(a, b), (uint64_t)((a + p - b) % p));
    ck_assert_uint_eq(field_mul(a, b), (uint64_t)((unsigned __int128)a * b % p));
}

START_TEST(field_is_division_with_remainder)
{
    for (int i = 0; i < N_EDGES; i++)
        for (int j = 0; j < N_EDGES; j++)
            agrees(edges[i], edges[j]);
    for (int i = 0; i < 100000; i++) {
        uint64_t a = element();
        agrees(a, element());
    }
    const unsigned __int128 most = ~(unsigned __int128)0;
    ck_assert_uint_eq(field_reduce(most), (uint64_t)(most % FIELD_PRIME));
    for (int i = 0; i < 100000; i++) {
        unsigned __int128 x = (unsigned __int128)next() << 64 | next();
        ck_assert_uint_eq(field_reduce(x), (uint64_t)(x % FIELD_PRIME));
    }
    ck_assert(field_is_element(FIELD_PRIME - 1) && !field_is_element(FIELD_PRIME));
}
END_TEST

START_TEST(inverse)
{
    ck_assert_uint_eq(field_inverse(0), 0);
    ck_assert_uint_eq(field_inverse(2), UINT64_C(1) << 60); /* 2 * 2^60 = 2^61 = 1 */
    for (int i = 1; i < N_EDGES; i++)
        ck_assert_uint_eq(field_mul(edges[i], field_inverse(edges[i])), 1);
    for (int i = 0; i < 1000; i++) {
        uint64_t a = element();
        ck_assert_uint_eq(field_mul(a, field_inverse(a)), 1);
    }
}
END_TEST

START_TEST(secrets_as_elements)
{
    unsigned char bytes[64], back[64];
    uint64_t words[FIELD_WORDS(64)];
    for (size_t len = 0; len <= sizeof bytes; len++) {
        memset(bytes, 0xff, sizeof bytes);
        field_pack(bytes, len, words);
        for (size_t w = 0; w < FIELD_WORDS(len); w++)
            ck_assert(field_is_element(words[w]));
        ck_assert(field_unpack(words, len, back) && memcmp(bytes, back, len) == 0);
    }
    field_pack("\1\2\3\4\5\6\7\10\11", 9, words);
    ck_assert_uint_eq(words[0], UINT64_C(0x07060504030201));
    ck_assert_uint_eq(words[1], 0x0908);
    words[1] = 0x10000; /* one bit more than two bytes */
    ck_assert(!field_unpack(words, 9, back));
    ck_assert(memcmp(back, "\0\0\0\0\0\0\0\0\0", 9) == 0);
    words[0] = UINT64_C(1) << 56, words[1] = 0;
    ck_assert(!field_unpack(words, 9, back));
}
END_TEST

/* https://en.wikipedia.org/wiki/Shamir%27s_secret_sharing, "Preparation": 1234 +
 * 166 x + 94 x^2 (its values are below p). */
START_TEST(published_example)
{
    const uint64_t secret = 1234, coefficients[] = {166, 94};
    const uint64_t shares[] = {1494, 1942, 2578, 3402, 4414, 5614};
    uint64_t share, weights[3], scratch[3], got;
    for (uint64_t x = 1; x <= 6; x++) {
        shamir_share(&secret, 1, coefficients, 3, x, &share);
        ck_assert_uint_eq(share, shares[x - 1]);
    }
    ck_assert(shamir_weights((uint64_t[]){2, 4, 5}, 3, scratch, weights));
    shamir_combine(weights, 3, (uint64_t[]){1942, 3402, 4414}, 1, &got);
    ck_assert_uint_eq(got, secret);
}
END_TEST

/* Every threshold-sized subset of 7 shares, whatever its order, and points that are
 * large. */
START_TEST(any_enough_shares)
{
    enum { N = 7, W = 3 };
    uint64_t secret[W], coefficients[N * W], points[N], share[N][W], got[W];
    uint64_t x[N], chosen[N * W], weights[N], scratch[N];
    for (size_t i = 0; i < N; i++)
        points[i] = i < 4 ? i + 1 : FIELD_PRIME - i;
    for (size_t t = 1; t <= N; t++) {
        for (int i = 0; i < W; i++)
            secret[i] = element();
        for (size_t i = 0; i < (t - 1) * W; i++)
            coefficients[i] = element();
        for (size_t i = 0; i < N; i++)
            shamir_share(secret, W, coefficients, t, points[i], share[i]);
        for (unsigned set = 0; set < 1u << N; set++) {
            size_t n = 0;
            for (size_t i = N; i-- > 0;)
                if (set >> i & 1 && n < t) {
                    x[n] = points[i];
                    memcpy(chosen + n++ * W, share[i], sizeof share[i]);
                }
            if (n < t)
                continue;
            ck_assert(shamir_weights(x, t, scratch, weights));
            shamir_combine(weights, t, chosen, W, got);
            ck_assert(memcmp(got, secret, sizeof got) == 0);
        }
    }
}
END_TEST

/* t - 1 shares fit every secret: for another secret there are coefficients that give
 * the same t - 1 shares (interpolate through them and the other secret at 0). */
START_TEST(too_few_shares_fit_any_secret)
{
    enum { T = 3 };
    const uint64_t other = 99;
    uint64_t secret = element(), coefficients[T - 1], got, share[T];
    uint64_t weights[T], scratch[T];
    for (int i = 0; i < T - 1; i++)
        coefficients[i] = element();
    for (uint64_t x = 1; x <= T; x++)
        shamir_share(&secret, 1, coefficients, T, x, &share[x - 1]);
    ck_assert(shamir_weights((uint64_t[]){1, 2, 3}, T, scratch, weights));
    shamir_combine(weights, T, share, 1, &got);
    ck_assert_uint_eq(got, secret);
    /* the third share that would make it `other` exists: weights[2] has an inverse */
    uint64_t rest = field_sub(other, field_add(field_mul(weights[0], share[0]),
                                               field_mul(weights[1], share[1])));
    share[2] = field_mul(rest, field_inverse(weights[2]));
    shamir_combine(weights, T, share, 1, &got);
    ck_assert_uint_eq(got, other);
}
END_TEST

START_TEST(points_that_cannot_be)
{
    uint64_t weights[3] = {7, 7, 7}, scratch[3];
    ck_assert(!shamir_weights((uint64_t[]){1, 2, 1}, 3, scratch, weights));
    ck_assert(!shamir_weights((uint64_t[]){1, 0, 2}, 3, scratch, weights));
    ck_assert(!shamir_weights((uint64_t[]){1, FIELD_PRIME, 2}, 3, scratch, weights));
    ck_assert(
        !shamir_weights((uint64_t[]){1, FIELD_PRIME + 1, 2}, 3, scratch, weights));
    ck_assert(weights[0] == 7 && weights[1] == 7 && weights[2] == 7);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kernels");
    TCase *tcase = tcase_create("shamir");
    tcase_add_test(tcase, field_is_division_with_remainder);
    tcase_add_test(tcase, inverse);
    tcase_add_test(tcase, secrets_as_elements);
    tcase_add_test(tcase, published_example);
    tcase_add_test(tcase, any_enough_shares);
    tcase_add_test(tcase, too_few_shares_fit_any_secret);
    tcase_add_test(tcase, points_that_cannot_be);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
