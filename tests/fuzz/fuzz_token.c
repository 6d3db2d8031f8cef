/* The admission token's parser against any bytes. The key is known, so a seed can hold
 * a good token: what is accepted writes the same bytes again, and those of a fresh
 * signature; what is refused has its code and its words.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/token.h"

#define HOLDS(condition)                                                               \
    do {                                                                               \
        if (!(condition)) {                                                            \
            fprintf(stderr, "does not hold: %s\n", #condition);                        \
            abort();                                                                   \
        }                                                                              \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const unsigned char secret[CRYPTO_KEY_SIZE] = {1, 2, 3};
    const struct token good = {17, 2, 998, 1700000000, "ppt-17-2"}; /* corpus/token */
    unsigned char public_key[CRYPTO_KEY_SIZE];
    struct token token;
    struct error err = {0};
    char *text = malloc(len + 1), again[TOKEN_SIZE];
    HOLDS(text != NULL);
    memcpy(text, data, len);
    text[len] = '\0';
    crypto_sign_public(secret, public_key);
    int rc = token_read(text, public_key, &token, &err);
    if (rc == 0) {
        token_make(&token, secret, again);
        HOLDS(strcmp(text, again) == 0);
        HOLDS(token_check(
                  &token,
                  &(struct token_bearer){token.uid, token.name, token.expires_at_s},
                  &err) == 0);
    } else {
        token_make(&good, secret, again);
        HOLDS(strcmp(text, again) != 0);
        HOLDS(rc == -PPT_ETRUST && err.code == PPT_ETRUST);
        HOLDS(err.text[0] != '\0' && err.hint[0] != '\0');
    }
    free(text);
    return 0;
}
