/* Consent taken back during a round: until the survivors are told, the client is really
 * out of the sum, and what it had sent stays masked; after that it is too late. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/fl/cause.h"
#include "jobs/fl/message.h"
#include "tests/unit/fl/federation.h"

enum { N = 8, COORDS = 50, WHO = 3 };

static struct federation federation;
static struct error err;
static uint32_t sum[COORDS], n_survivors;
static struct buf sent; /* the masked vector of client WHO */

static void start_with(uint32_t min_clients, uint32_t degree)
{
    const struct session_terms wish = {.round = 1,
                                       .n_clients = N,
                                       .degree = degree,
                                       .threshold = 3,
                                       .min_clients = min_clients,
                                       .n_coords = COORDS,
                                       .n_bits = 17};
    err = (struct error){0};
    buf_clear(&sent);
    federation_open(&federation, &wish);
}

static void start(void)
{
    start_with(4, 6);
}

static void stop(void)
{
    federation_close(&federation);
    buf_free(&sent);
}

static void names(int rc, enum cause cause)
{
    const char *name = cause_name(cause);
    ck_assert_msg(rc != 0 && rc == -err.code &&
                      strncmp(err.text, name, strlen(name)) == 0,
                  "%d is not %s: %s", rc, name, err.text);
}

/* All messages of a stage but the server's `next`, and WHO's masked vector kept. */
static void send_all(void)
{
    enum secagg_stage stage = secagg_server_stage(federation.server);
    for (uint32_t u = 0; u < N; u++) {
        if (federation.leaves[u] <= stage)
            continue;
        ck_assert_int_eq(federation_fetch(&federation, u, &err), 0);
        ck_assert_int_eq(federation_answer(&federation, u, &err), 0);
        ck_assert_int_eq(secagg_server_take(federation.server, u, federation.reply.data,
                                            federation.reply.len, &err),
                         0);
        if (stage == SECAGG_MASKED && u == WHO)
            buf_bytes(&sent, federation.reply.data, federation.reply.len);
    }
}

static int withdraw(void)
{
    return secagg_server_withdraw(federation.server, WHO, sent.data, sent.len, &err);
}

static void finish_without(void)
{
    federation.leaves[WHO] = SECAGG_KEYS;
    while (secagg_server_stage(federation.server) < SECAGG_SUMMED)
        ck_assert_msg(federation_stage(&federation, &err) == 0, "%s", err.text);
    ck_assert_int_eq(secagg_server_sum(federation.server, sum, &n_survivors, &err), 0);
    ck_assert_uint_eq(n_survivors, N - 1);
    ck_assert(!secagg_server_survives(federation.server, WHO));
    ck_assert(federation_is_exact(&federation, sum));
}

/* Before or after its message of each stage was taken. */
START_TEST(at_any_stage)
{
    for (uint32_t degree = 6; degree <= 7; degree++)
        for (int at = SECAGG_KEYS; at <= SECAGG_VOUCHES; at++)
            for (int after = 0; after < (at < SECAGG_VOUCHES ? 2 : 1); after++) {
                start_with(4, degree);
                while (secagg_server_stage(federation.server) < (enum secagg_stage)at) {
                    send_all();
                    ck_assert_int_eq(secagg_server_next(federation.server, &err), 0);
                }
                if (after)
                    send_all();
                ck_assert_msg(withdraw() == 0, "%s", err.text);
                names(withdraw(), CAUSE_OUT_OF_TURN);
                if (after)
                    ck_assert_int_eq(secagg_server_next(federation.server, &err), 0);
                finish_without();
                stop();
            }
}
END_TEST

START_TEST(it_gets_and_sends_nothing_more)
{
    start();
    while (secagg_server_stage(federation.server) < SECAGG_MASKED) {
        send_all();
        ck_assert_int_eq(secagg_server_next(federation.server, &err), 0);
    }
    send_all();
    ck_assert_int_eq(withdraw(), 0);
    names(secagg_server_take(federation.server, WHO, sent.data, sent.len, &err),
          CAUSE_OUT_OF_TURN);
    names(secagg_server_message(federation.server, WHO, &federation.message, &err),
          CAUSE_OUT_OF_TURN);
    ck_assert_int_eq(secagg_server_next(federation.server, &err), 0);
    names(secagg_server_message(federation.server, WHO, &federation.message, &err),
          CAUSE_OUT_OF_TURN);
    finish_without();
    stop();
}
END_TEST

START_TEST(another_vector_is_not_taken_out)
{
    start();
    while (secagg_server_stage(federation.server) < SECAGG_VOUCHES) {
        send_all();
        ck_assert_int_eq(secagg_server_next(federation.server, &err), 0);
    }
    sent.data[sent.len - 10] ^= 1;
    names(withdraw(), CAUSE_MALFORMED);
    sent.data[sent.len - 10] ^= 1;
    sent.len--;
    names(withdraw(), CAUSE_MALFORMED);
    sent.len++;
    sent.data[MESSAGE_HEAD_SIZE - 4] = WHO + 1; /* as if another had sent it */
    names(withdraw(), CAUSE_MALFORMED);
    sent.data[MESSAGE_HEAD_SIZE - 4] = WHO;
    names(secagg_server_withdraw(federation.server, WHO, NULL, 0, &err),
          CAUSE_MALFORMED);
    names(secagg_server_withdraw(federation.server, N, sent.data, sent.len, &err),
          CAUSE_OUT_OF_TURN);
    ck_assert(secagg_server_survives(federation.server, WHO));
    ck_assert_int_eq(withdraw(), 0);
    finish_without();
    stop();
}
END_TEST

/* Somebody was told that it survives: now it stays, and the sum has it. */
START_TEST(too_late)
{
    start();
    while (secagg_server_stage(federation.server) < SECAGG_VOUCHES) {
        send_all();
        ck_assert_int_eq(secagg_server_next(federation.server, &err), 0);
    }
    ck_assert_int_eq(federation_fetch(&federation, 0, &err), 0);
    names(withdraw(), CAUSE_TOO_LATE);
    while (secagg_server_stage(federation.server) < SECAGG_SUMMED)
        ck_assert_int_eq(federation_stage(&federation, &err), 0);
    names(withdraw(), CAUSE_TOO_LATE);
    ck_assert_int_eq(secagg_server_sum(federation.server, sum, &n_survivors, &err), 0);
    ck_assert_uint_eq(n_survivors, N);
    ck_assert(federation_is_exact(&federation, sum));
    stop();
}
END_TEST

/* With all that must be there: the round ends and releases nothing. */
START_TEST(under_the_minimum)
{
    start_with(N, 7);
    while (secagg_server_stage(federation.server) < SECAGG_VOUCHES) {
        send_all();
        ck_assert_int_eq(secagg_server_next(federation.server, &err), 0);
    }
    names(withdraw(), CAUSE_COHORT_TOO_SMALL);
    ck_assert_int_eq(secagg_server_stage(federation.server), SECAGG_ENDED);
    names(secagg_server_sum(federation.server, sum, &n_survivors, &err),
          CAUSE_OUT_OF_TURN);
    stop();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fl");
    TCase *tcase = tcase_create("withdraw");
    tcase_add_test(tcase, at_any_stage);
    tcase_add_test(tcase, it_gets_and_sends_nothing_more);
    tcase_add_test(tcase, another_vector_is_not_taken_out);
    tcase_add_test(tcase, too_late);
    tcase_add_test(tcase, under_the_minimum);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
