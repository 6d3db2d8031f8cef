/* Attacks on secure aggregation, each by a server or a client that does what it can:
 * every one fails with the cause that is its name. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/fl/cause.h"
#include "jobs/fl/message.h"
#include "kernels/shamir.h"
#include "tests/unit/fl/federation.h"

enum { N = 6, K = 5, T = 4, COORDS = 3 }; /* complete: everybody's neighbour */

static struct federation federation, other;
static struct error err;
static uint32_t sum[COORDS], n_survivors;

static const struct session_terms wish = {.round = 5,
                                          .n_clients = N,
                                          .degree = K,
                                          .threshold = T,
                                          .min_clients = 4,
                                          .n_coords = COORDS,
                                          .n_bits = 16};

static void start(void)
{
    err = (struct error){0};
    federation_open(&federation, &wish);
}

static void stop(void)
{
    federation_close(&federation);
}

static void names(int rc, enum cause cause)
{
    const char *name = cause_name(cause);
    ck_assert_msg(rc != 0 && rc == -err.code &&
                      strncmp(err.text, name, strlen(name)) == 0 &&
                      err.text[strlen(name)] == ':',
                  "%d is not %s: %s", rc, name, err.text);
}

static void stages_up_to(enum secagg_stage stage)
{
    while (secagg_server_stage(federation.server) < stage)
        ck_assert_int_eq(federation_stage(&federation, &err), 0);
}

static void fetch(uint32_t client)
{
    ck_assert_int_eq(federation_fetch(&federation, client, &err), 0);
}

static unsigned char *body(void)
{
    return federation.message.data + MESSAGE_HEAD_SIZE;
}

/* The client refuses what is in federation.message, says nothing, and stays silent. */
static void client_refuses(uint32_t client, enum cause cause)
{
    names(federation_answer(&federation, client, &err), cause);
    ck_assert_uint_eq(federation.reply.len, 0);
    fetch(client);
    names(federation_answer(&federation, client, &err), CAUSE_OUT_OF_TURN);
    ck_assert_uint_eq(federation.reply.len, 0);
}

static int take_from(uint32_t client)
{
    return secagg_server_take(federation.server, client, federation.reply.data,
                              federation.reply.len, &err);
}

static unsigned char *asked(void)
{
    return body() + 4 + K * MESSAGE_TAG_ENTRY;
}

/* The server asks client 0 for both secrets of client 1. */
START_TEST(both_shares_of_one_peer)
{
    stages_up_to(SECAGG_REVEALS);
    fetch(0);
    memcpy(asked() + 4 + MESSAGE_ASK_ENTRY, asked() + 4, MESSAGE_ASK_ENTRY);
    asked()[4 + MESSAGE_ASK_ENTRY + 4] = SHARE_MASK_KEY;
    client_refuses(0, CAUSE_BOTH_SHARES);
}
END_TEST

/* It asks for the mask key of client 1, whose vector it has. */
START_TEST(mask_key_of_a_survivor)
{
    stages_up_to(SECAGG_REVEALS);
    fetch(0);
    ck_assert_uint_eq(asked()[4 + 4], SHARE_SEED);
    asked()[4 + 4] = SHARE_MASK_KEY;
    client_refuses(0, CAUSE_WRONG_SHARE);
}
END_TEST

START_TEST(seed_of_one_who_vanished)
{
    federation.leaves[1] = SECAGG_MASKED;
    stages_up_to(SECAGG_REVEALS);
    fetch(0);
    unsigned char *ask = body() + 4 + (K - 1) * MESSAGE_TAG_ENTRY + 4;
    ck_assert_uint_eq(ask[4], SHARE_MASK_KEY);
    ask[4] = SHARE_SEED;
    client_refuses(0, CAUSE_WRONG_SHARE);
}
END_TEST

/* Client 0 is told that client 5 has vanished, the others that it survives; then it is
 * shown their genuine tags. Told the truth, it takes them. */
START_TEST(two_lists_of_survivors)
{
    for (int is_lie = 0; is_lie < 2; is_lie++) {
        struct buf own = {0};
        if (is_lie) {
            stop();
            start();
        }
        stages_up_to(SECAGG_VOUCHES);
        message_begin(&own, MESSAGE_ASK, &federation.session, MESSAGE_SERVER);
        buf_u32(&own, 4);
        for (uint32_t u = 0; u < N - 1; u++) {
            fetch(u);
            if (u == 0 && is_lie)
                body()[0] &= (unsigned char)~(1u << 5);
            ck_assert_int_eq(federation_answer(&federation, u, &err), 0);
            if (u == 0)
                continue;
            buf_u32(&own, u); /* its first tag is for client 0 */
            buf_bytes(&own, federation.reply.data + MESSAGE_HEAD_SIZE + 4 + 4,
                      CRYPTO_TAG_SIZE);
        }
        buf_u32(&own, 0);
        int rc = secagg_client_reveal(federation.clients[0], own.data, own.len,
                                      &federation.reply, &err);
        if (is_lie) {
            names(rc, CAUSE_LISTS_DIFFER);
            ck_assert_uint_eq(federation.reply.len, 0);
        } else {
            ck_assert_int_eq(rc, 0);
        }
        buf_free(&own);
    }
}
END_TEST

START_TEST(left_out_of_the_list)
{
    stages_up_to(SECAGG_VOUCHES);
    fetch(0);
    body()[0] &= (unsigned char)~1u;
    client_refuses(0, CAUSE_LEFT_OUT);
}
END_TEST

START_TEST(survivor_who_never_shared)
{
    federation.leaves[1] = SECAGG_SHARES;
    stages_up_to(SECAGG_VOUCHES);
    fetch(0);
    body()[0] |= 2;
    client_refuses(0, CAUSE_NOT_A_PEER);
}
END_TEST

/* Client 2 gets another model than the others: nobody can be added up with it. */
START_TEST(another_model_for_one_client)
{
    struct session_terms told = federation.session.terms;
    struct session its;
    struct secagg_client *client = NULL;
    told.model[31] ^= 1;
    ck_assert_int_eq(session_open(&its, &told, &err), 0);
    names(federation_join(&federation, 2, &its, &err), CAUSE_ROUND_USED);
    federation.members[2].next_round = 0;
    ck_assert_int_eq(secagg_client_new(&its, 2, &federation.members[2], &client, &err),
                     0);
    ck_assert_int_eq(secagg_client_keys(client, &federation.reply, &err), 0);
    names(take_from(2), CAUSE_OTHER_SESSION);
    /* The server gives its keys out all the same, as if of this session ... */
    memcpy(federation.reply.data + 1, federation.session.id, CRYPTO_SHA256_SIZE);
    names(take_from(2), CAUSE_KEY_NOT_SIGNED);
    /* ... and shows it the others', as if of its session. */
    federation.leaves[2] = SECAGG_KEYS;
    stages_up_to(SECAGG_SHARES);
    fetch(0);
    names(secagg_client_share(client, federation.message.data, federation.message.len,
                              &federation.reply, &err),
          CAUSE_OTHER_SESSION);
    ck_assert_uint_eq(federation.reply.len, 0);
    secagg_client_free(client);
    federation.members[2].next_round = 0;
    ck_assert_int_eq(secagg_client_new(&its, 2, &federation.members[2], &client, &err),
                     0);
    ck_assert_int_eq(secagg_client_keys(client, &federation.reply, &err), 0);
    struct buf peers = {0};
    message_begin(&peers, MESSAGE_PEERS, &its, MESSAGE_SERVER);
    buf_u32(&peers, 4);
    const unsigned char *entries = body() + 4; /* of clients 1, 3, 4, 5 */
    buf_u32(&peers, 0);
    buf_bytes(&peers, entries + 4, MESSAGE_KEYS_SIZE);
    buf_bytes(&peers, entries + MESSAGE_PEER_ENTRY, 3 * MESSAGE_PEER_ENTRY);
    names(secagg_client_share(client, peers.data, peers.len, &federation.reply, &err),
          CAUSE_KEY_NOT_SIGNED);
    buf_free(&peers);
    secagg_client_free(client);
    session_close(&its);
}
END_TEST

/* The keys of client 1 are those that it signed for an earlier round. */
START_TEST(replayed_keys)
{
    struct session_terms earlier = federation.session.terms;
    struct session before;
    struct secagg_client *client = NULL;
    earlier.round = 4;
    federation.members[1].next_round = 0;
    ck_assert_int_eq(session_open(&before, &earlier, &err), 0);
    ck_assert_int_eq(
        secagg_client_new(&before, 1, &federation.members[1], &client, &err), 0);
    struct buf keys = {0};
    ck_assert_int_eq(secagg_client_keys(client, &keys, &err), 0);
    stages_up_to(SECAGG_SHARES);
    fetch(0);
    memcpy(body() + 4 + 4, keys.data + MESSAGE_HEAD_SIZE, MESSAGE_KEYS_SIZE);
    client_refuses(0, CAUSE_KEY_NOT_SIGNED);
    buf_free(&keys);
    secagg_client_free(client);
    session_close(&before);
}
END_TEST

/* Client 1's sealed shares for client 2 go to client 0; and a byte is changed. */
START_TEST(replayed_and_altered_shares)
{
    unsigned char stolen[MESSAGE_SEALED_SIZE];
    stages_up_to(SECAGG_MASKED);
    fetch(2);
    memcpy(stolen, body() + 4 + MESSAGE_SEALED_ENTRY + 4, sizeof stolen);
    fetch(0);
    memcpy(body() + 4 + 4, stolen, sizeof stolen);
    client_refuses(0, CAUSE_SHARE_NOT_GENUINE);
    fetch(1);
    body()[4 + 4] ^= 1;
    client_refuses(1, CAUSE_SHARE_NOT_GENUINE);
}
END_TEST

/* What two clients share gives another key in each round. */
START_TEST(keys_of_another_round)
{
    const unsigned char shared[CRYPTO_KEY_SIZE] = {7};
    unsigned char now[CRYPTO_KEY_SIZE], then[CRYPTO_KEY_SIZE];
    struct session_terms again = federation.session.terms;
    struct session before;
    again.round = 4;
    ck_assert_int_eq(session_open(&before, &again, &err), 0);
    for (int purpose = SESSION_CHANNEL; purpose <= SESSION_SELF; purpose++) {
        session_key(&federation.session, (enum session_purpose)purpose, 0, 1, shared,
                    now);
        session_key(&before, (enum session_purpose)purpose, 0, 1, shared, then);
        ck_assert_mem_ne(now, then, sizeof now);
    }
    session_close(&before);
}
END_TEST

/* Shares that were sealed in another federation. */
START_TEST(shares_of_another_federation)
{
    struct session_terms again = wish;
    unsigned char stolen[MESSAGE_SEALED_SIZE];
    again.round = 6;
    federation_open(&other, &again);
    ck_assert_int_eq(federation_stage(&other, &err), 0);
    ck_assert_int_eq(federation_stage(&other, &err), 0);
    ck_assert_int_eq(federation_fetch(&other, 0, &err), 0);
    memcpy(stolen, other.message.data + MESSAGE_HEAD_SIZE + 4 + 4, sizeof stolen);
    federation_close(&other);
    stages_up_to(SECAGG_MASKED);
    fetch(0);
    memcpy(body() + 4 + 4, stolen, sizeof stolen);
    client_refuses(0, CAUSE_SHARE_NOT_GENUINE);
}
END_TEST

START_TEST(same_neighbour_twice)
{
    stages_up_to(SECAGG_MASKED);
    fetch(0);
    memcpy(body() + 4 + MESSAGE_SEALED_ENTRY, body() + 4, MESSAGE_SEALED_ENTRY);
    client_refuses(0, CAUSE_MALFORMED);
}
END_TEST

/* The same round without client 5, to see the difference: a client joins it once, and
 * the server hands its sum out once. */
START_TEST(second_sum_of_a_round)
{
    struct session_terms without = federation.session.terms;
    struct session again;
    ck_assert_int_eq(federation_run(&federation, &err), 0);
    ck_assert_int_eq(secagg_server_sum(federation.server, sum, &n_survivors, &err), 0);
    names(secagg_server_sum(federation.server, sum, &n_survivors, &err),
          CAUSE_RELEASED);
    without.n_clients = N - 1;
    without.degree = without.threshold = K - 1;
    ck_assert_int_eq(session_open(&again, &without, &err), 0);
    for (uint32_t u = 0; u < N - 1; u++)
        names(federation_join(&federation, u, &again, &err), CAUSE_ROUND_USED);
    session_close(&again);
    without.round = 6; /* the next one is another round's */
    ck_assert_int_eq(session_open(&again, &without, &err), 0);
    ck_assert_int_eq(federation_join(&federation, 0, &again, &err), 0);
    secagg_client_free(federation.clients[0]);
    federation.clients[0] = NULL;
    session_close(&again);
}
END_TEST

START_TEST(cohort_under_the_minimum)
{
    struct session_terms few = federation.session.terms;
    struct session session;
    few.min_clients = N + 1;
    names(session_open(&session, &few, &err), CAUSE_COHORT_TOO_SMALL);
    /* Three vanish: the clients see it, whatever the server thinks of it. */
    stages_up_to(SECAGG_VOUCHES);
    fetch(0);
    body()[0] = 7;
    client_refuses(0, CAUSE_COHORT_TOO_SMALL);
}
END_TEST

START_TEST(server_keeps_to_the_minimum)
{
    for (uint32_t u = 0; u < 3; u++)
        federation.leaves[u] = SECAGG_MASKED;
    stages_up_to(SECAGG_MASKED);
    names(federation_stage(&federation, &err), CAUSE_COHORT_TOO_SMALL);
    names(secagg_server_sum(federation.server, sum, &n_survivors, &err),
          CAUSE_OUT_OF_TURN);
    names(secagg_server_next(federation.server, &err), CAUSE_OUT_OF_TURN);
}
END_TEST

START_TEST(too_few_reveal)
{
    for (uint32_t u = 0; u < 3; u++)
        federation.leaves[u] = SECAGG_REVEALS;
    stages_up_to(SECAGG_REVEALS);
    names(federation_stage(&federation, &err), CAUSE_BELOW_THRESHOLD);
    names(secagg_server_sum(federation.server, sum, &n_survivors, &err),
          CAUSE_OUT_OF_TURN);
}
END_TEST

START_TEST(identity_twice_in_the_roster)
{
    struct session session;
    memcpy(federation.roster[4], federation.roster[1], CRYPTO_KEY_SIZE);
    names(session_open(&session, &federation.session.terms, &err), CAUSE_KEY_TWICE);
}
END_TEST

/* An identity that is not registered at this number. */
START_TEST(stranger)
{
    struct secagg_member member = {.next_round = 0};
    struct secagg_client *client = NULL;
    names(secagg_client_new(&federation.session, 3, &member, &client, &err),
          CAUSE_KEY_NOT_SIGNED);
    names(secagg_client_new(&federation.session, N, &member, &client, &err),
          CAUSE_KEY_NOT_SIGNED);
    ck_assert_ptr_null(client);
}
END_TEST

/* A client sends a stage twice, or one that it is not at. */
START_TEST(repeated_message)
{
    fetch(0);
    ck_assert_int_eq(federation_answer(&federation, 0, &err), 0);
    ck_assert_int_eq(take_from(0), 0);
    names(take_from(0), CAUSE_OUT_OF_TURN);
    federation.reply.data[0] = MESSAGE_SHARES;
    names(take_from(0), CAUSE_MALFORMED);
    names(secagg_server_message(federation.server, 0, &federation.message, &err),
          CAUSE_OUT_OF_TURN);
}
END_TEST

/* Client 0 sends client 1's masked vector, of its own making. */
START_TEST(speaks_as_another)
{
    stages_up_to(SECAGG_MASKED);
    fetch(1);
    ck_assert_int_eq(federation_answer(&federation, 1, &err), 0);
    names(take_from(0), CAUSE_MALFORMED);
    ck_assert_int_eq(take_from(1), 0);
}
END_TEST

/* A client signs a key from which its neighbours could derive nothing. */
START_TEST(key_of_low_order)
{
    for (int which = 0; which < 2; which++) {
        unsigned char text[SESSION_SIGNED_SIZE];
        fetch(0);
        ck_assert_int_eq(federation_answer(&federation, (uint32_t)which, &err), 0);
        unsigned char *keys = federation.reply.data + MESSAGE_HEAD_SIZE;
        memset(keys + which * CRYPTO_KEY_SIZE, 0, CRYPTO_KEY_SIZE);
        session_signed(&federation.session, (uint32_t)which, keys,
                       keys + CRYPTO_KEY_SIZE, text);
        crypto_sign(federation.members[which].identity, text, sizeof text,
                    keys + 2 * CRYPTO_KEY_SIZE);
        names(take_from((uint32_t)which), CAUSE_MALFORMED);
    }
}
END_TEST

/* Makes the share of client 1 that client 0 reveals one that gives its secret + 256, if
 * the other shares are those of clients 2, 3 and 4. */
static void falsify(unsigned char *bytes)
{
    uint64_t share[MESSAGE_SHARE_WORDS], weights[T], scratch[T];
    ck_assert(shamir_weights((uint64_t[]){1, 3, 4, 5}, T, scratch, weights));
    ck_assert(message_get_share(bytes, share));
    share[0] = field_add(share[0], field_mul(256, field_inverse(weights[0])));
    message_put_share(share, bytes);
}

/* A client reveals a false share of client 1: the sum is not spoilt but withheld. */
START_TEST(false_share)
{
    for (int late = 0; late < 2; late++) {
        if (late) {
            stop();
            start();
            federation.leaves[1] = SECAGG_MASKED;
        }
        stages_up_to(SECAGG_REVEALS);
        for (uint32_t u = 0; u < N; u++) {
            if (federation.leaves[u] == SECAGG_MASKED)
                continue;
            fetch(u);
            ck_assert_int_eq(federation_answer(&federation, u, &err), 0);
            if (u == 0)
                falsify(federation.reply.data + MESSAGE_HEAD_SIZE + 4 + 4 + 1);
            ck_assert_int_eq(take_from(u), 0);
        }
        names(secagg_server_next(federation.server, &err), CAUSE_NOT_REBUILT);
        names(secagg_server_sum(federation.server, sum, &n_survivors, &err),
              CAUSE_OUT_OF_TURN);
    }
}
END_TEST

/* Two rings of survivors with nobody between: two sums would be two releases. */
START_TEST(graph_in_pieces)
{
    struct session_terms ring = wish;
    ring.n_clients = 10;
    ring.degree = 2;
    ring.threshold = 1;
    federation_open(&other, &ring);
    other.leaves[other.session.order[0]] = SECAGG_MASKED;
    other.leaves[other.session.order[5]] = SECAGG_MASKED;
    names(federation_run(&other, &err), CAUSE_NOT_CONNECTED);
    names(secagg_server_sum(other.server, sum, &n_survivors, &err), CAUSE_OUT_OF_TURN);
    federation_close(&other);
}
END_TEST

START_TEST(sizes_that_cannot_be)
{
    struct session session;
    for (int i = 0; i < 8; i++) {
        struct session_terms bad = federation.session.terms;
        *(i == 0 ? &bad.degree : i == 1 ? &bad.threshold : &bad.n_coords) = 0;
        bad.degree = i == 3 ? N : i == 4 ? 3 : bad.degree;
        bad.threshold = i == 5 ? K + 1 : i == 4 ? 2 : bad.threshold; /* 4: odd */
        bad.n_coords = i > 2 ? COORDS : bad.n_coords;
        bad.n_bits = i == 6 ? 33 : i == 7 ? 0 : bad.n_bits;
        ck_assert_int_eq(session_open(&session, &bad, &err), -PPT_ERANGE);
    }
    struct session_terms last = federation.session.terms;
    last.round = UINT64_MAX; /* after it a member could begin anew */
    ck_assert_int_eq(session_open(&session, &last, &err), -PPT_ERANGE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fl");
    TCase *tcase = tcase_create("attacks");
    tcase_add_checked_fixture(tcase, start, stop);
    tcase_add_test(tcase, both_shares_of_one_peer);
    tcase_add_test(tcase, mask_key_of_a_survivor);
    tcase_add_test(tcase, seed_of_one_who_vanished);
    tcase_add_test(tcase, two_lists_of_survivors);
    tcase_add_test(tcase, left_out_of_the_list);
    tcase_add_test(tcase, survivor_who_never_shared);
    tcase_add_test(tcase, another_model_for_one_client);
    tcase_add_test(tcase, replayed_keys);
    tcase_add_test(tcase, replayed_and_altered_shares);
    tcase_add_test(tcase, keys_of_another_round);
    tcase_add_test(tcase, shares_of_another_federation);
    tcase_add_test(tcase, speaks_as_another);
    tcase_add_test(tcase, key_of_low_order);
    tcase_add_test(tcase, same_neighbour_twice);
    tcase_add_test(tcase, second_sum_of_a_round);
    tcase_add_test(tcase, cohort_under_the_minimum);
    tcase_add_test(tcase, server_keeps_to_the_minimum);
    tcase_add_test(tcase, too_few_reveal);
    tcase_add_test(tcase, identity_twice_in_the_roster);
    tcase_add_test(tcase, stranger);
    tcase_add_test(tcase, repeated_message);
    tcase_add_test(tcase, false_share);
    tcase_add_test(tcase, graph_in_pieces);
    tcase_add_test(tcase, sizes_that_cannot_be);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
