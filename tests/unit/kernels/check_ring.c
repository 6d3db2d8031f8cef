/* Ring vectors: the packed form of every width, masks that cancel, and misuse. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "kernels/ring.h"

enum { MOST = 9001 }; /* more than two pieces of a mask, and odd */

static void from_stream(void *state, uint32_t *ret_words, size_t n)
{
    crypto_stream_read(state, ret_words, n * sizeof *ret_words);
}

static struct crypto_stream *stream(unsigned char seed)
{
    unsigned char key[CRYPTO_KEY_SIZE] = {seed};
    return crypto_stream_new(key);
}

START_TEST(packs_and_adds)
{
    static uint32_t x[MOST], acc[MOST], first[MOST];
    static unsigned char packed[4 * MOST + 1];
    struct crypto_stream *random = stream(1);
    const size_t lengths[] = {0, 1, 2, 3, 7, 8, 9, 31, 33, 100, MOST};
    for (int bits = 1; bits <= RING_MAX_BITS; bits++) {
        for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
            size_t n = lengths[l], size = ring_size_bytes(n, bits);
            from_stream(random, x, n);
            from_stream(random, first, n);
            memcpy(acc, first, sizeof acc);
            packed[size] = 0xa5;
            ring_pack(x, n, bits, packed);
            ck_assert_uint_eq(packed[size], 0xa5);
            ck_assert(ring_add_packed(acc, n, bits, packed));
            for (size_t i = 0; i < n; i++) {
                uint32_t keep = UINT32_MAX >> (32 - bits);
                ck_assert_uint_eq(acc[i], first[i] + (x[i] & keep));
            }
        }
    }
    crypto_stream_free(random);
}
END_TEST

START_TEST(known_bytes)
{
    unsigned char packed[8];
    ck_assert_uint_eq(ring_size_bytes(3, 20), 8);
    ring_pack((uint32_t[]){0x12345, 0xfedcba, 1}, 3, 20, packed);
    /* 0x00001 edcba 12345, little end first */
    ck_assert(memcmp(packed, "\x45\x23\xa1\xcb\xed\x01\x00\x00", 8) == 0);
    ck_assert_uint_eq(ring_size_bytes(100000, 20), 250000);
}
END_TEST

START_TEST(one_packed_form)
{
    unsigned char packed[8] = {0};
    uint32_t acc[3] = {5, 6, 7};
    packed[7] = 0x10; /* 60 bits are used */
    ck_assert(!ring_add_packed(acc, 3, 20, packed));
    ck_assert(acc[0] == 5 && acc[1] == 6 && acc[2] == 7);
    packed[7] = 0x0f;
    ck_assert(ring_add_packed(acc, 3, 20, packed));
    ck_assert_uint_eq(acc[2], 7 + 0xf0000);
}
END_TEST

START_TEST(masks_cancel)
{
    static uint32_t acc[MOST], x[MOST];
    struct crypto_stream *random = stream(2), *plus = stream(3), *minus = stream(3);
    from_stream(random, x, MOST);
    memcpy(acc, x, sizeof acc);
    ring_mask(acc, MOST, false, from_stream, plus);
    size_t n_same = 0;
    for (size_t i = 0; i < MOST; i++)
        n_same += acc[i] == x[i];
    ck_assert_uint_le(n_same, 1);
    ring_mask(acc, MOST, true, from_stream, minus);
    ck_assert(memcmp(acc, x, sizeof acc) == 0);
    crypto_stream_free(random);
    crypto_stream_free(plus);
    crypto_stream_free(minus);
}
END_TEST

START_TEST(signed_numbers)
{
    for (int bits = 1; bits <= RING_MAX_BITS; bits++) {
        int64_t half = INT64_C(1) << (bits - 1);
        const int64_t values[] = {-half, -half / 2, 0, half / 2 - (bits < 3), half - 1};
        for (int i = 0; i < 5; i++) {
            uint32_t keep = UINT32_MAX >> (32 - bits);
            if (values[i] < -half || values[i] >= half)
                continue;
            ck_assert_int_eq(ring_signed(ring_of(values[i]) & keep, bits), values[i]);
            ck_assert_int_eq(ring_signed(ring_of(values[i]), bits), values[i]);
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kernels");
    TCase *tcase = tcase_create("ring");
    tcase_add_test(tcase, packs_and_adds);
    tcase_add_test(tcase, known_bytes);
    tcase_add_test(tcase, one_packed_form);
    tcase_add_test(tcase, masks_cancel);
    tcase_add_test(tcase, signed_numbers);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
