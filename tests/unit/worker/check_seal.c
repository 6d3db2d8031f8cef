/* The record layer and the handshake against whoever sits in between. */
#include "worker/seal.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct error err;
static const struct seal_limits few = {.n_records = 3, .n_bytes = 1000};

/* Two ends of one direction. */
static void open_pair(struct seal_way *out, struct seal_way *in,
                      const struct seal_limits *limits)
{
    unsigned char key[CRYPTO_KEY_SIZE];
    crypto_random(key, sizeof key);
    seal_way_open(out, key, limits);
    seal_way_open(in, key, limits);
}

static void refuses(struct seal_way *in, const void *record, size_t record_len,
                    size_t len)
{
    unsigned char plain[4096];
    memset(plain, 0, sizeof plain);
    ck_assert_int_eq(seal_read(in, record, record_len, plain, len, &err), -PPT_ETRUST);
    for (size_t i = 0; i < len; i++)
        ck_assert(plain[i] == 0);
}

START_TEST(records_come_back)
{
    struct seal_way out, in;
    open_pair(&out, &in, &seal_limits);
    unsigned char *plain = malloc(SEAL_MAX_BYTES), *got = malloc(SEAL_MAX_BYTES);
    unsigned char *record = malloc(SEAL_MAX_BYTES + SEAL_OVERHEAD);
    const size_t lens[] = {0, 1, 15, 16, 17, 4096, SEAL_MAX_BYTES};
    crypto_random(plain, SEAL_MAX_BYTES);
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        size_t len = lens[i];
        seal_write(&out, plain, len, record);
        ck_assert(len < 16 || memcmp(record + SEAL_HEADER_SIZE, plain, len) != 0);
        ck_assert_int_eq(seal_read(&in, record, len + SEAL_OVERHEAD, got, len, &err),
                         0);
        ck_assert(memcmp(got, plain, len) == 0);
    }
    free(plain), free(got), free(record);
    seal_way_close(&out), seal_way_close(&in);
}
END_TEST

START_TEST(every_flipped_bit_is_noticed)
{
    unsigned char record[5 + SEAL_OVERHEAD], plain[5] = "hello", got[5];
    for (size_t bit = 0; bit < 8 * sizeof record; bit++) {
        struct seal_way out, in;
        open_pair(&out, &in, &seal_limits);
        seal_write(&out, plain, 5, record);
        record[bit / 8] ^= (unsigned char)(1 << bit % 8);
        refuses(&in, record, sizeof record, 5);
        /* Nothing more is read, not even the record as it was. */
        record[bit / 8] ^= (unsigned char)(1 << bit % 8);
        ck_assert_int_eq(seal_read(&in, record, sizeof record, got, 5, &err),
                         -PPT_ETRUST);
        seal_way_close(&out), seal_way_close(&in);
    }
}
END_TEST

START_TEST(only_the_next_record_is_read)
{
    struct seal_way out, in;
    unsigned char first[8 + SEAL_OVERHEAD], second[8 + SEAL_OVERHEAD], got[8];
    open_pair(&out, &in, &seal_limits);
    seal_write(&out, "record 1", 8, first);
    seal_write(&out, "record 2", 8, second);
    ck_assert_int_eq(seal_read(&in, first, sizeof first, got, 8, &err), 0);
    refuses(&in, first, sizeof first, 8); /* again */
    ck_assert(strstr(err.text, "not the next one") != NULL);
    seal_way_close(&out), seal_way_close(&in);

    open_pair(&out, &in, &seal_limits);
    seal_write(&out, "record 1", 8, first);
    seal_write(&out, "record 2", 8, second);
    refuses(&in, second, sizeof second, 8); /* the first is missing */
    seal_way_close(&out), seal_way_close(&in);

    /* The number alone does not make a record the next one. */
    open_pair(&out, &in, &seal_limits);
    seal_write(&out, "record 1", 8, first);
    seal_write(&out, "record 2", 8, second);
    memcpy(second, first, SEAL_HEADER_SIZE);
    refuses(&in, second, sizeof second, 8);
    ck_assert(strstr(err.text, "changed on its way") != NULL);
    seal_way_close(&out), seal_way_close(&in);
}
END_TEST

START_TEST(lengths_are_strict)
{
    unsigned char record[64 + SEAL_OVERHEAD + 1] = {0}, plain[64] = {1};
    for (size_t record_len = 0; record_len <= sizeof record; record_len++) {
        struct seal_way out, in;
        if (record_len == 64 + SEAL_OVERHEAD)
            continue;
        open_pair(&out, &in, &seal_limits);
        seal_write(&out, plain, 64, record);
        refuses(&in, record, record_len, 64);
        seal_way_close(&out), seal_way_close(&in);
    }
    struct seal_way out, in;
    open_pair(&out, &in, &seal_limits);
    seal_write(&out, plain, 64, record);
    refuses(&in, record, 63 + SEAL_OVERHEAD, 63);
    seal_way_close(&out), seal_way_close(&in);
}
END_TEST

/* Keys change after 3 records or 1000 bytes, whichever comes first; old ones go. */
START_TEST(keys_change)
{
    struct seal_way out, in;
    unsigned char record[900 + SEAL_OVERHEAD], plain[900] = {7}, got[900];
    unsigned char first_chain[CRYPTO_KEY_SIZE], chain[CRYPTO_KEY_SIZE];
    const size_t lens[] = {1, 1, 1, /**/ 900, 100, /**/ 1, 900, /**/ 900, 0, 0, /**/ 0};
    const int keys[] = {0, 0, 0, 1, 1, 2, 2, 3, 3, 3, 4};
    int n_keys = 0;
    open_pair(&out, &in, &few);
    memcpy(first_chain, out.chain, sizeof chain);
    memcpy(chain, out.chain, sizeof chain);
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        seal_write(&out, plain, lens[i], record);
        n_keys += memcmp(chain, out.chain, sizeof chain) != 0;
        memcpy(chain, out.chain, sizeof chain);
        ck_assert_int_eq(n_keys, keys[i]);
        ck_assert_int_eq(
            seal_read(&in, record, lens[i] + SEAL_OVERHEAD, got, lens[i], &err), 0);
        ck_assert_mem_eq(in.chain, out.chain, sizeof chain);
    }
    /* A record under the first key, with the right number, is refused now. */
    struct seal_way old;
    seal_way_open(&old, first_chain, &seal_limits);
    old.number = in.number;
    seal_write(&old, plain, 5, record);
    refuses(&in, record, 5 + SEAL_OVERHEAD, 5);
    seal_way_close(&old), seal_way_close(&out), seal_way_close(&in);
    unsigned char zeros[CRYPTO_KEY_SIZE] = {0};
    ck_assert_mem_eq(out.chain, zeros, sizeof zeros);
}
END_TEST

struct end {
    struct seal_context context;
    struct seal_identity identity;
    struct seal_handshake handshake;
    struct seal_way out, in;
    unsigned char hello[SEAL_HELLO_SIZE], proof[SEAL_PROOF_SIZE];
};

static struct end low, high;

/* Greetings of ranks 2 and 5 that know each other; change what you like, then shake. */
static void greet(void)
{
    low = high = (struct end){.context = {"data", 17, 1, 8}};
    crypto_sign_keypair(low.identity.secret, low.identity.public_key);
    crypto_sign_keypair(high.identity.secret, high.identity.public_key);
    seal_hello(&low.handshake, &low.context, &low.identity, 2, 5,
               high.identity.public_key, low.hello);
    seal_hello(&high.handshake, &high.context, &high.identity, 5, 2,
               low.identity.public_key, high.hello);
}

static int shake(void)
{
    int rc = seal_prove(&low.handshake, high.hello, sizeof high.hello, low.proof, &err);
    if (rc == 0)
        rc = seal_prove(&high.handshake, low.hello, sizeof low.hello, high.proof, &err);
    if (rc == 0)
        rc = seal_finish(&low.handshake, high.proof, sizeof high.proof, &seal_limits,
                         &low.out, &low.in, &err);
    if (rc == 0)
        rc = seal_finish(&high.handshake, low.proof, sizeof low.proof, &seal_limits,
                         &high.out, &high.in, &err);
    return rc;
}

static void part(void)
{
    seal_handshake_end(&low.handshake), seal_handshake_end(&high.handshake);
    seal_way_close(&low.out), seal_way_close(&low.in);
    seal_way_close(&high.out), seal_way_close(&high.in);
}

START_TEST(handshake_opens_both_ways)
{
    unsigned char record[2 + SEAL_OVERHEAD], got[2];
    greet();
    ck_assert_int_eq(shake(), 0);
    seal_write(&low.out, "up", 2, record);
    ck_assert_int_eq(seal_read(&high.in, record, sizeof record, got, 2, &err), 0);
    ck_assert_mem_eq(got, "up", 2);
    seal_write(&high.out, "dn", 2, record);
    ck_assert_int_eq(seal_read(&low.in, record, sizeof record, got, 2, &err), 0);
    /* A record thrown back at its writer, with the number that it expects. */
    seal_write(&low.out, "up", 2, record);
    refuses(&low.in, record, sizeof record, 2);
    part();
}
END_TEST

/* What the two ends believe differs in one thing: no channel. */
START_TEST(handshake_is_bound_to_its_context)
{
    for (int what = 0; what < 7; what++) {
        greet();
        switch (what) {
        case 0:
            high.context.channel = "control";
            break;
        case 1:
            high.context.job_id++;
            break;
        case 2:
            high.context.attempt++;
            break;
        case 3:
            high.context.size++;
            break;
        case 4:
            high.handshake.peer_identity[0] ^= 1;
            break;
        case 5:
            low.handshake.peer_identity[31] ^= 1;
            break;
        case 6:
            low.handshake.public_key[0] ^= 1;
            break;
        }
        ck_assert_int_eq(shake(), -PPT_ETRUST);
        ck_assert(strstr(err.text, "could not prove") != NULL);
        part();
    }
}
END_TEST

/* A man in the middle has keys of his own, but not the identity. */
START_TEST(another_identity_is_refused)
{
    struct seal_identity other;
    greet();
    crypto_sign_keypair(other.secret, other.public_key);
    high.handshake.identity = &other;
    ck_assert_int_eq(shake(), -PPT_ETRUST);
    part();
    greet();
    memcpy(other.public_key, high.identity.public_key, CRYPTO_KEY_SIZE);
    high.handshake.identity = &other; /* claims to be it, cannot sign */
    ck_assert_int_eq(shake(), -PPT_ETRUST);
    part();
}
END_TEST

START_TEST(changed_greetings_and_proofs_are_refused)
{
    for (size_t byte = 0; byte < SEAL_HELLO_SIZE; byte++) {
        greet();
        high.hello[byte] ^= 4;
        ck_assert_int_eq(shake(), -PPT_ETRUST);
        part();
    }
    greet();
    memcpy(high.hello, low.hello, sizeof high.hello); /* thrown back */
    ck_assert_int_eq(shake(), -PPT_ETRUST);
    part();
    greet();
    ck_assert_int_eq(shake(), 0);
    seal_way_close(&low.out), seal_way_close(&low.in);
    ck_assert_int_eq(seal_finish(&low.handshake, low.proof, sizeof low.proof,
                                 &seal_limits, &low.out, &low.in, &err),
                     -PPT_ETRUST); /* its own proof */
    ck_assert_int_eq(seal_finish(&low.handshake, high.proof, 63, &seal_limits, &low.out,
                                 &low.in, &err),
                     -PPT_ETRUST);
    part();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("seal");
    TCase *tc = tcase_create("seal");
    tcase_add_test(tc, records_come_back);
    tcase_add_test(tc, every_flipped_bit_is_noticed);
    tcase_add_test(tc, only_the_next_record_is_read);
    tcase_add_test(tc, lengths_are_strict);
    tcase_add_test(tc, keys_change);
    tcase_add_test(tc, handshake_opens_both_ways);
    tcase_add_test(tc, handshake_is_bound_to_its_context);
    tcase_add_test(tc, another_identity_is_refused);
    tcase_add_test(tc, changed_greetings_and_proofs_are_refused);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed != 0;
}
