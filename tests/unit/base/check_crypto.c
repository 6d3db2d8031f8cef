/* Published vectors: FIPS 180-4, RFC 8032 section 7.1, NIST SP 800-38A F.5.5, RFC 7748
 * section 6.1, RFC 5869 A.1; AES-256-GCM: test cases 13 to 16 of McGrew and Viega, "The
 * Galois/Counter Mode of Operation", the submission to NIST. */
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
    struct crypto_signer *signer = crypto_signer_new(secret);
    crypto_signer_public(signer, public_key);
    ck_assert_mem_eq(public_key, expected_public, 32);
    for (int i = 0; i < 2; i++) {
        memset(signature, 0, sizeof signature);
        crypto_signer_sign(signer, "\x72", 1, signature);
        ck_assert_mem_eq(signature, expected, 64);
    }
    crypto_signer_free(signer);
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

/* Whatever instructions this CPU has: the stream is OpenSSL's, read in any parts from
 * any block on, over the ends of the counter's halves too. */
START_TEST(every_way_to_the_stream_is_one)
{
    static const size_t lens[] = {1, 15, 16, 17, 31, 48, 64, 255, 256, 257, 500, 4096};
    static const uint64_t ends[] = {
        0,          UINT64_MAX, UINT64_MAX - 1, UINT64_MAX - 16, UINT64_MAX - 33,
        1ull << 63, 0xffffffff};
    static unsigned char expected[3 * 4096], got[3 * 4096];
    const size_t n_lens = sizeof lens / sizeof *lens,
                 n_ends = sizeof ends / sizeof *ends;
    for (size_t round = 0; round < 50 * n_ends; round++) {
        unsigned char key[CRYPTO_KEY_SIZE];
        uint64_t high = 0, low = ends[round % n_ends];
        crypto_random(key, sizeof key);
        if (round / n_ends % 3 == 0) {
            crypto_random(&low, sizeof low);
        }
        if (round / n_ends % 2 == 0) {
            high = UINT64_MAX;
        } else {
            crypto_random(&high, sizeof high);
        }
        struct crypto_stream *one = crypto_stream_new_narrow(key),
                             *other = crypto_stream_new(key);
        crypto_stream_read(one, expected, 100);
        crypto_stream_read(other, got, 100);
        ck_assert_mem_eq(got, expected, 100);
        crypto_stream_seek(one, high, low);
        crypto_stream_seek(other, high, low);
        size_t len = 0;
        for (size_t part = 0; part < 3; part++) {
            size_t next = lens[(round + 5 * part) % n_lens];
            crypto_stream_read(other, got + len, next);
            len += next;
        }
        crypto_stream_read(one, expected, len);
        ck_assert_mem_eq(got, expected, len);
        crypto_stream_free(one);
        crypto_stream_free(other);
    }
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

START_TEST(x25519_rfc7748_section_6_1)
{
    unsigned char a[32], b[32], a_public[32], b_public[32], expected[32], got[32];
    unhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a", a);
    unhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb", b);
    crypto_exchange_public(a, a_public);
    crypto_exchange_public(b, b_public);
    unhex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a", expected);
    ck_assert_mem_eq(a_public, expected, 32);
    unhex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f", expected);
    ck_assert_mem_eq(b_public, expected, 32);
    unhex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742", expected);
    ck_assert(crypto_exchange(a, b_public, got));
    ck_assert_mem_eq(got, expected, 32);
    ck_assert(crypto_exchange(b, a_public, got));
    ck_assert_mem_eq(got, expected, 32);
}
END_TEST

/* The points 0 and 1 have low order: everybody's shared secret with them is 0. */
START_TEST(x25519_refuses_weak_keys)
{
    unsigned char secret[32], weak[32] = {0}, shared[32];
    crypto_random(secret, sizeof secret);
    ck_assert(!crypto_exchange(secret, weak, shared));
    weak[0] = 1;
    ck_assert(!crypto_exchange(secret, weak, shared));
}
END_TEST

START_TEST(one_key_for_many_peers)
{
    unsigned char mine[32], my_public[32], got[32], weak[32] = {0};
    crypto_random(mine, sizeof mine);
    struct crypto_exchanger *exchanger = crypto_exchanger_new(mine);
    crypto_exchange_public(mine, got);
    crypto_exchanger_public(exchanger, my_public);
    ck_assert_mem_eq(got, my_public, 32);
    for (int i = 0; i < 5; i++) {
        unsigned char theirs[32], their_public[32], expected[32];
        crypto_random(theirs, sizeof theirs);
        crypto_exchange_public(theirs, their_public);
        ck_assert(crypto_exchange(theirs, my_public, expected));
        ck_assert(crypto_exchanger_derive(exchanger, their_public, got));
        ck_assert_mem_eq(got, expected, 32);
        ck_assert(!crypto_exchanger_derive(exchanger, weak, got));
    }
    crypto_exchanger_free(exchanger);
    crypto_exchanger_free(NULL);
}
END_TEST

START_TEST(hkdf_rfc5869_a_1)
{
    unsigned char secret[22], salt[13], info[10], expected[42], got[42];
    unhex("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", secret);
    unhex("000102030405060708090a0b0c", salt);
    unhex("f0f1f2f3f4f5f6f7f8f9", info);
    unhex("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
          "34007208d5b887185865",
          expected);
    crypto_hkdf(salt, sizeof salt, secret, sizeof secret, info, sizeof info, got,
                sizeof got);
    ck_assert_mem_eq(got, expected, sizeof got);
}
END_TEST

/* Neither salt nor info. */
START_TEST(hkdf_rfc5869_a_3)
{
    unsigned char secret[22], expected[42], got[42];
    unhex("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", secret);
    unhex("8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
          "9d201395faa4b61a96c8",
          expected);
    crypto_hkdf("", 0, secret, sizeof secret, "", 0, got, sizeof got);
    ck_assert_mem_eq(got, expected, sizeof got);
}
END_TEST

static void check_gcm(const char *key_hex, const char *nonce_hex, const char *ad_hex,
                      const char *plain_hex, const char *cipher_hex,
                      const char *tag_hex)
{
    unsigned char key[32], nonce[12], ad[32], plain[64], cipher[64], tag[16];
    unsigned char got[64] = {0}, got_tag[16];
    size_t len = strlen(plain_hex) / 2, ad_len = strlen(ad_hex) / 2;
    unhex(key_hex, key), unhex(nonce_hex, nonce), unhex(ad_hex, ad);
    unhex(plain_hex, plain), unhex(cipher_hex, cipher), unhex(tag_hex, tag);
    struct crypto_aead *aead = crypto_aead_new(key);
    crypto_aead_seal(aead, nonce, ad, ad_len, plain, len, got, got_tag);
    ck_assert(memcmp(got, cipher, len) == 0);
    ck_assert_mem_eq(got_tag, tag, sizeof tag);
    ck_assert(crypto_aead_open(aead, nonce, ad, ad_len, got, len, tag, got));
    ck_assert(memcmp(got, plain, len) == 0);
    for (int bit = 0; bit < 128; bit++) {
        tag[bit / 8] ^= (unsigned char)(1 << bit % 8);
        ck_assert(!crypto_aead_open(aead, nonce, ad, ad_len, cipher, len, tag, got));
        tag[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    unsigned char zeros[64] = {0};
    ck_assert(memcmp(got, zeros, len) == 0);
    crypto_aead_free(aead);
}

START_TEST(aes_256_gcm_cases_13_to_16)
{
    const char *zeros =
        "0000000000000000000000000000000000000000000000000000000000000000";
    const char *key =
        "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";
    const char *nonce = "cafebabefacedbaddecaf888";
    const char *plain =
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
        "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255";
    const char *cipher =
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
        "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad";
    char plain_60[121], cipher_60[121];
    snprintf(plain_60, sizeof plain_60, "%.120s", plain);
    snprintf(cipher_60, sizeof cipher_60, "%.120s", cipher);
    check_gcm(zeros, "000000000000000000000000", "", "", "",
              "530f8afbc74536b9a963b4f1c4cb738b");
    check_gcm(zeros, "000000000000000000000000", "", "00000000000000000000000000000000",
              "cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919");
    check_gcm(key, nonce, "", plain, cipher, "b094dac5d93471bdec1a502270e3cc6c");
    check_gcm(key, nonce, "feedfacedeadbeeffeedfacedeadbeefabaddad2", plain_60,
              cipher_60, "76fc6ece0f4e1768cddf8853bb2d551b");
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
    tcase_add_test(tc, every_way_to_the_stream_is_one);
    tcase_add_test(tc, random_differs);
    tcase_add_test(tc, x25519_rfc7748_section_6_1);
    tcase_add_test(tc, x25519_refuses_weak_keys);
    tcase_add_test(tc, one_key_for_many_peers);
    tcase_add_test(tc, hkdf_rfc5869_a_1);
    tcase_add_test(tc, hkdf_rfc5869_a_3);
    tcase_add_test(tc, aes_256_gcm_cases_13_to_16);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed != 0;
}
