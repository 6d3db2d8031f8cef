#include "jobs/token.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "jobs/spec/name.h"

#define PREFIX "ppt1:"
#define DOMAIN "ppt-token\n"
#define MAX_UID ((INT64_C(1) << 32) - 2)
#define SIGNATURE_HEX_SIZE (2 * CRYPTO_SIGNATURE_SIZE)

/* The longest text there can be: prefix, two numbers of 19 digits, a uid of 10, a time
 * of 19, a name, a signature, five colons, the end. */
_Static_assert(sizeof PREFIX + 19 + 19 + 10 + 19 + TOKEN_NAME_SIZE +
                       SIGNATURE_HEX_SIZE + 5 <=
                   TOKEN_SIZE,
               "a token fits");

static int malformed(const char *what, struct error *err)
{
    error_set(err, PPT_ETRUST, "this is no admission token: %s", what);
    return error_hint(err, "hand the job in with ppt-submit, which gets it one");
}

/* All that is signed, behind its domain. Returns its length. */
static size_t signed_text(const char *text, size_t len,
                          char ret[sizeof DOMAIN + TOKEN_SIZE])
{
    memcpy(ret, DOMAIN, sizeof DOMAIN - 1);
    memcpy(ret + sizeof DOMAIN - 1, text, len);
    return sizeof DOMAIN - 1 + len;
}

void token_make(const struct token *token,
                const unsigned char secret_key[CRYPTO_KEY_SIZE],
                char ret_text[TOKEN_SIZE])
{
    unsigned char signature[CRYPTO_SIGNATURE_SIZE];
    char message[sizeof DOMAIN + TOKEN_SIZE];
    assert(token->job_id > 0 && token->attempt > 0 && token->expires_at_s > 0);
    assert(token->uid >= 0 && token->uid <= MAX_UID && name_is_valid(token->name));
    int len = snprintf(ret_text, TOKEN_SIZE,
                       PREFIX "%" PRId64 ":%" PRId64 ":%" PRId64 ":%" PRId64 ":%s",
                       token->job_id, token->attempt, token->uid, token->expires_at_s,
                       token->name);
    crypto_sign(secret_key, message, signed_text(ret_text, (size_t)len, message),
                signature);
    ret_text[len++] = ':';
    for (int i = 0; i < CRYPTO_SIGNATURE_SIZE; i++)
        len += snprintf(ret_text + len, 3, "%02x", signature[i]);
}

/* A decimal number without sign or leading zeros, from `least` to `most`, and the colon
 * behind it; moves *at past both. */
static bool take_number(const char **at, int64_t least, int64_t most, int64_t *ret)
{
    const char *digit = *at;
    int64_t value = 0;
    for (; *digit >= '0' && *digit <= '9'; digit++) {
        int units = *digit - '0';
        if (value > (INT64_MAX - units) / 10)
            return false;
        value = 10 * value + units;
    }
    if (digit == *at || *digit != ':' || (**at == '0' && digit - *at > 1) ||
        value < least || value > most)
        return false;
    *at = digit + 1;
    *ret = value;
    return true;
}

static bool take_name(const char **at, char ret_name[TOKEN_NAME_SIZE])
{
    size_t len = strcspn(*at, ":");
    if ((*at)[len] != ':' || len >= TOKEN_NAME_SIZE)
        return false;
    memcpy(ret_name, *at, len);
    ret_name[len] = '\0';
    *at += len + 1;
    return name_is_valid(ret_name);
}

static bool take_signature(const char *at, unsigned char ret[CRYPTO_SIGNATURE_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    if (strlen(at) != SIGNATURE_HEX_SIZE || strspn(at, digits) != SIGNATURE_HEX_SIZE)
        return false;
    for (int i = 0; i < CRYPTO_SIGNATURE_SIZE; i++) {
        long high = strchr(digits, at[2 * i]) - digits;
        long low = strchr(digits, at[2 * i + 1]) - digits;
        ret[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}

static int parse(const char *text, struct token *ret_token,
                 unsigned char ret_signature[CRYPTO_SIGNATURE_SIZE], struct error *err)
{
    const char *at = text;
    if (*text == '\0')
        return malformed("it is empty", err);
    if (strlen(text) >= TOKEN_SIZE)
        return malformed("it is too long", err);
    if (strncmp(at, PREFIX, sizeof PREFIX - 1) != 0)
        return malformed("it does not begin with " PREFIX, err);
    at += sizeof PREFIX - 1;
    if (!take_number(&at, 1, INT64_MAX, &ret_token->job_id))
        return malformed("its job is no number", err);
    if (!take_number(&at, 1, INT64_MAX, &ret_token->attempt))
        return malformed("its attempt is no number", err);
    if (!take_number(&at, 0, MAX_UID, &ret_token->uid))
        return malformed("its user id is no number", err);
    if (!take_number(&at, 1, INT64_MAX, &ret_token->expires_at_s))
        return malformed("its time is no number", err);
    if (!take_name(&at, ret_token->name))
        return malformed("its job name is none", err);
    if (!take_signature(at, ret_signature))
        return malformed("its signature is not 128 hexadecimal digits", err);
    return 0;
}

int token_read(const char *text, const unsigned char public_key[CRYPTO_KEY_SIZE],
               struct token *ret_token, struct error *err)
{
    struct token token = {0};
    unsigned char signature[CRYPTO_SIGNATURE_SIZE];
    char message[sizeof DOMAIN + TOKEN_SIZE];
    int rc = parse(text, &token, signature, err);
    if (rc != 0)
        return rc;
    size_t len = (size_t)(strrchr(text, ':') - text);
    if (!crypto_verify(public_key, message, signed_text(text, len, message),
                       signature)) {
        error_set(err, PPT_ETRUST,
                  "the admission token of job %" PRId64
                  " was not signed by this site's "
                  "ppt-schedd, or was changed",
                  token.job_id);
        return error_hint(err, "hand the job in with ppt-submit; it gets a token that "
                               "fits");
    }
    *ret_token = token;
    return 0;
}

int token_check(const struct token *token, const struct token_bearer *bearer,
                struct error *err)
{
    if (bearer->uid != token->uid) {
        error_set(err, PPT_ETRUST,
                  "the admission token is for user id %" PRId64
                  ", and the job is user id %" PRId64 "'s",
                  token->uid, bearer->uid);
        return error_hint(err,
                          "a token is good for the job it was made for; hand yours "
                          "in with ppt-submit");
    }
    if (strcmp(bearer->name, token->name) != 0) {
        error_set(err, PPT_ETRUST,
                  "the admission token is for a job named %s, and this one is named "
                  "%.100s",
                  token->name, bearer->name);
        return error_hint(err,
                          "a token is good for the job it was made for; hand yours "
                          "in with ppt-submit");
    }
    if (bearer->submitted_at_s > token->expires_at_s) {
        error_set(err, PPT_ETRUST,
                  "the admission token expired %" PRId64
                  " s before the job was handed to Slurm",
                  bearer->submitted_at_s - token->expires_at_s);
        return error_hint(err, "hand the job in with ppt-submit again; if it was just "
                               "now, compare the clocks of the nodes");
    }
    return 0;
}
