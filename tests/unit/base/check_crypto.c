/* Published vectors: FIPS 180-4, RFC 8032 section 7.1, NIST SP 800-38A F.5.5. */
#include "base/crypto.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static void unhex(const char *hex, unsigned char *ret)
{
    for (size_t i = 0; hex[2 * i] != '\0'; i++) {
        char two[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
        ret[i] = (unsigned char)strtoul(two, NULL, 16);
    }
}

START_TEST(sha256_of_abc)
{
    char hex[CRYPTO_HEX_SIZE];
    crypto_sha256_hex("abc", 3, hex);
    ck_assert_str_eq(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f200"
                          "15ad");
}
END_TEST

START_TEST(ed25519_rfc8032_test_2)
{
    unsigned char secret[32], expected_public[32], public_key[32], signature[64];
    unsigned char expected[64];
    unhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", secret);
    unhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
          expected_public);
    unhex("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
          "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
          expected);
    crypto_sign_public(secret, public_key);
    ck_assert_mem_eq(public_key, expected_public, 32);
    crypto_sign(secret, "\x72", 1, signature);
    ck_assert_mem_eq(signature, expected, 64);
    ck_assert(crypto_verify(public_key, "\x72", 1, signature));
    ck_assert(!crypto_verify(public_key, "\x73", 1, signature));
    signature[0] ^= 1;
    ck_assert(!crypto_verify(public_key, "\x72", 1, signature));
}
END_TEST

START_TEST(verify_survives_a_bad_key)
{
    unsigned char public_key[32], signature[64] = {0};
    memset(public_key, 0xff, sizeof public_key);
    ck_assert(!crypto_verify(public_key, "x", 1, signature));
}
END_TEST

START_TEST(stream_is_aes_256_ctr)
{
    unsigned char key[32], expected[32], got[32];
    unhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4", key);
    /* output blocks 1 and 2 of F.5.5: counter f0f1..ff, then plus one */
    unhex("0bdf7df1591716335e9a8b15c860c502"
          "5a6e699d536119065433863c8f657b94",
          expected);
    struct crypto_stream *stream = crypto_stream_new(key);
    crypto_stream_seek(stream, 0xf0f1f2f3f4f5f6f7u, 0xf8f9fafbfcfdfeffu);
    crypto_stream_read(stream, got, 5);
    crypto_stream_read(stream, got + 5, 27);
    ck_assert_mem_eq(got, expected, 32);
    crypto_stream_seek(stream, 0xf0f1f2f3f4f5f6f7u, 0xf8f9fafbfcfdff00u);
    crypto_stream_read(stream, got, 16);
    ck_assert_mem_eq(got, expected + 16, 16);
    crypto_stream_free(stream);
}
END_TEST

START_TEST(random_differs)
{
    unsigned char a[32] = {0}, b[32] = {0};
    crypto_random(a, sizeof a);
    crypto_random(b, sizeof b);
    ck_assert(!crypto_equal(a, b, sizeof a)); /* fails once in 2^256 runs */
    crypto_wipe(a, sizeof a);
    memset(b, 0, sizeof b);
    ck_assert(crypto_equal(a, b, sizeof a));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("crypto");
    TCase *tc = tcase_create("vectors");
    tcase_add_test(tc, sha256_of_abc);
    tcase_add_test(tc, ed25519_rfc8032_test_2);
    tcase_add_test(tc, verify_survives_a_bad_key);
    tcase_add_test(tc, stream_is_aes_256_ctr);
    tcase_add_test(tc, random_differs);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed != 0;
}
