/* A token is believed only as it was signed: every byte and every field is changed
 * once, and every way to show it for another job is tried. */
#include "jobs/token.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

static unsigned char secret[32], public_key[32];
static const struct token made = {.job_id = 17,
                                  .attempt = 2,
                                  .uid = 998,
                                  .expires_at_s = 1700000000,
                                  .name = "ppt-17-2"};
static char text[TOKEN_SIZE];
static struct error err;

static void setup(void)
{
    crypto_sign_keypair(secret, public_key);
    token_make(&made, secret, text);
    err = (struct error){0};
}

START_TEST(a_token_comes_back_as_it_was)
{
    struct token token;
    ck_assert_int_eq(strncmp(text, "ppt1:17:2:998:1700000000:ppt-17-2:", 34), 0);
    ck_assert_uint_eq(strlen(text), 34 + 128);
    ck_assert_int_eq(token_read(text, public_key, &token, &err), 0);
    ck_assert_int_eq(token.job_id, 17);
    ck_assert_int_eq(token.attempt, 2);
    ck_assert_int_eq(token.uid, 998);
    ck_assert_int_eq(token.expires_at_s, 1700000000);
    ck_assert_str_eq(token.name, "ppt-17-2");
}
END_TEST

START_TEST(the_longest_token_fits)
{
    struct token token, longest = {.job_id = INT64_MAX,
                                   .attempt = INT64_MAX,
                                   .uid = (INT64_C(1) << 32) - 2,
                                   .expires_at_s = INT64_MAX};
    memset(longest.name, 'n', TOKEN_NAME_SIZE - 1);
    token_make(&longest, secret, text);
    ck_assert_int_eq(token_read(text, public_key, &token, &err), 0);
    ck_assert_str_eq(token.name, longest.name);
}
END_TEST

/* Every bit of every byte. */
START_TEST(any_changed_bit_is_refused)
{
    size_t len = strlen(text);
    for (size_t at = 0; at < len; at++)
        for (int bit = 0; bit < 8; bit++) {
            struct token token = {.job_id = 5};
            text[at] = (char)(text[at] ^ 1 << bit);
            ck_assert_int_eq(token_read(text, public_key, &token, &err), -PPT_ETRUST);
            ck_assert_int_eq(token.job_id, 5);
            ck_assert(err.text[0] != '\0' && err.hint[0] != '\0');
            text[at] = (char)(text[at] ^ 1 << bit);
        }
    struct token token;
    ck_assert_int_eq(token_read(text, public_key, &token, &err), 0);
}
END_TEST

/* A field with another value of good form, under the old signature. */
static const struct {
    const char *from, *to;
} swaps[] = {{":17:", ":18:"},
             {":2:", ":3:"},
             {":998:", ":1000:"},
             {":1700000000:", ":1900000000:"},
             {":ppt-17-2:", ":ppt-17-3:"},
             /* the boundary between two fields moves */
             {":17:2:", ":1:72:"}};
#define N_SWAPS (int)(sizeof swaps / sizeof *swaps)

static void swap(const char *from, const char *to, char ret[2 * TOKEN_SIZE])
{
    const char *at = strstr(text, from);
    ck_assert_ptr_nonnull(at);
    snprintf(ret, 2 * TOKEN_SIZE, "%.*s%s%s", (int)(at - text), text, to,
             at + strlen(from));
}

START_TEST(any_changed_field_is_refused)
{
    char other[2 * TOKEN_SIZE];
    struct token token;
    swap(swaps[_i].from, swaps[_i].to, other);
    ck_assert_int_eq(token_read(other, public_key, &token, &err), -PPT_ETRUST);
    ck_assert_ptr_nonnull(strstr(err.text, "was not signed"));
}
END_TEST

static const struct {
    const char *from, *to, *words;
} forms[] = {{"ppt1:", "ppt2:", "begin with ppt1:"},
             {"ppt1:", "", "begin with ppt1:"},
             {":17:", ":0:", "job"},
             {":17:", ":-17:", "job"},
             {":17:", ":+17:", "job"},
             {":17:", ":017:", "job"},
             {":17:", ": 17:", "job"},
             {":17:", "::", "job"},
             {":17:", ":99999999999999999999:", "job"},
             {":2:", ":0:", "attempt"},
             {":2:", ":x:", "attempt"},
             {":998:", ":4294967295:", "user id"},
             {":998:", ":-1:", "user id"},
             {":1700000000:", ":0:", "time"},
             {":1700000000:", ":1e9:", "time"},
             {":ppt-17-2:", "::", "name"},
             {":ppt-17-2:", ":-x:", "name"},
             {":ppt-17-2:", ":a b:", "name"},
             {":ppt-17-2:", ":", "name"}};
#define N_FORMS (int)(sizeof forms / sizeof *forms)

START_TEST(a_bad_form_is_named)
{
    char other[2 * TOKEN_SIZE];
    struct token token;
    swap(forms[_i].from, forms[_i].to, other);
    ck_assert_int_eq(token_read(other, public_key, &token, &err), -PPT_ETRUST);
    ck_assert_msg(strstr(err.text, forms[_i].words) != NULL, "%s: %s", other, err.text);
    ck_assert_ptr_nonnull(strstr(err.text, "no admission token"));
    ck_assert_ptr_nonnull(strstr(err.hint, "ppt-submit"));
}
END_TEST

START_TEST(bad_ends_are_refused)
{
    char other[2 * TOKEN_SIZE];
    struct token token;
    ck_assert_int_eq(token_read("", public_key, &token, &err), -PPT_ETRUST);
    ck_assert_ptr_nonnull(strstr(err.text, "empty"));
    for (size_t len = 0; len < strlen(text); len++) {
        snprintf(other, sizeof other, "%.*s", (int)len, text);
        ck_assert_int_eq(token_read(other, public_key, &token, &err), -PPT_ETRUST);
    }
    snprintf(other, sizeof other, "%s0", text);
    ck_assert_int_eq(token_read(other, public_key, &token, &err), -PPT_ETRUST);
    snprintf(other, sizeof other, "%s\n", text);
    ck_assert_int_eq(token_read(other, public_key, &token, &err), -PPT_ETRUST);
    snprintf(other, sizeof other, "%s%s%s", text, text, text);
    ck_assert_int_eq(token_read(other, public_key, &token, &err), -PPT_ETRUST);
    /* Hexadecimal has two cases, a token one. */
    memcpy(other, text, sizeof text);
    char *letter = strpbrk(strrchr(other, ':'), "abcdef");
    ck_assert_ptr_nonnull(letter);
    *letter = (char)(*letter - 'a' + 'A');
    ck_assert_int_eq(token_read(other, public_key, &token, &err), -PPT_ETRUST);
}
END_TEST

START_TEST(another_key_is_refused)
{
    struct token token;
    unsigned char other_secret[32], other_public[32];
    crypto_sign_keypair(other_secret, other_public);
    ck_assert_int_eq(token_read(text, other_public, &token, &err), -PPT_ETRUST);
    ck_assert_ptr_nonnull(strstr(err.text, "job 17"));
}
END_TEST

/* The plan key also signs plans: a signature over the bare text is not a token's. */
START_TEST(a_signature_made_for_something_else_is_refused)
{
    unsigned char signature[CRYPTO_SIGNATURE_SIZE];
    struct token token;
    char *end = strrchr(text, ':');
    crypto_sign(secret, text, (size_t)(end - text), signature);
    for (int i = 0; i < CRYPTO_SIGNATURE_SIZE; i++)
        sprintf(end + 1 + 2 * i, "%02x", signature[i]);
    ck_assert_int_eq(token_read(text, public_key, &token, &err), -PPT_ETRUST);
}
END_TEST

START_TEST(it_is_good_for_its_own_job_only)
{
    struct token_bearer bearer = {998, "ppt-17-2", 1700000000};
    ck_assert_int_eq(token_check(&made, &bearer, &err), 0);
    bearer.submitted_at_s++;
    ck_assert_int_eq(token_check(&made, &bearer, &err), -PPT_ETRUST);
    ck_assert_ptr_nonnull(strstr(err.text, "expired 1 s"));
    bearer = (struct token_bearer){999, "ppt-17-2", 1};
    ck_assert_int_eq(token_check(&made, &bearer, &err), -PPT_ETRUST);
    ck_assert_ptr_nonnull(strstr(err.text, "user id 998"));
    ck_assert_ptr_nonnull(strstr(err.text, "user id 999"));
    const char *const names[] = {"ppt-17-1", "ppt-17-2 ", "ppt-17-", "", "PPT-17-2"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        bearer = (struct token_bearer){998, names[i], 1};
        ck_assert_int_eq(token_check(&made, &bearer, &err), -PPT_ETRUST);
        ck_assert_ptr_nonnull(strstr(err.text, "named ppt-17-2"));
        ck_assert_ptr_nonnull(strstr(err.hint, "ppt-submit"));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("token");
    TCase *tc = tcase_create("token");
    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_test(tc, a_token_comes_back_as_it_was);
    tcase_add_test(tc, the_longest_token_fits);
    tcase_add_test(tc, any_changed_bit_is_refused);
    tcase_add_loop_test(tc, any_changed_field_is_refused, 0, N_SWAPS);
    tcase_add_loop_test(tc, a_bad_form_is_named, 0, N_FORMS);
    tcase_add_test(tc, bad_ends_are_refused);
    tcase_add_test(tc, another_key_is_refused);
    tcase_add_test(tc, a_signature_made_for_something_else_is_refused);
    tcase_add_test(tc, it_is_good_for_its_own_job_only);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed != 0;
}
