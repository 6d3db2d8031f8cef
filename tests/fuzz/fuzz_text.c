/* Merges and redaction against any bytes. The input up to its first zero byte is a list
 * of merges, the rest a text: nothing crashes; a refusal has its code; a text never
 * grows.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/redact.h"
#include "worker/tokeniser.h"

#define HOLDS(condition)                                                               \
    do {                                                                               \
        if (!(condition)) {                                                            \
            fprintf(stderr, "does not hold: %s\n", #condition);                        \
            abort();                                                                   \
        }                                                                              \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_redaction(char *text)
{
    struct redact redact;
    size_t before = strlen(text);
    HOLDS(redact_parse("all", &redact));
    redact_text(&redact, text);
    HOLDS(strlen(text) <= before);
    before = strlen(text);
    redact_text(&redact, text);
    HOLDS(strlen(text) <= before);
}

static void check_tokens(const struct tokeniser *tokeniser, const char *text)
{
    int32_t ids[64];
    size_t n = tokeniser_encode(tokeniser, text, 64, ids);
    HOLDS(n <= 64 && n <= strlen(text) && (n > 0) == (text[0] != '\0'));
    for (size_t i = 0; i < n; i++)
        HOLDS(ids[i] > 0 && ids[i] < tokeniser_n_tokens(tokeniser));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct tokeniser *tokeniser;
    struct error err = {0};
    const uint8_t *end = memchr(data, 0, len);
    size_t n_merges = end == NULL ? len : (size_t)(end - data);
    size_t n_text = end == NULL ? 0 : len - n_merges - 1;
    char *text = calloc(1, n_text + 1);
    HOLDS(text != NULL);
    memcpy(text, end == NULL ? data : end + 1, n_text);
    int rc = tokeniser_parse((const char *)data, n_merges, "f", &tokeniser, &err);
    HOLDS(rc == 0 || (rc == -PPT_ESPEC && strncmp(err.text, "f:", 2) == 0));
    if (rc == 0) {
        check_tokens(tokeniser, text);
        tokeniser_free(tokeniser);
    }
    check_redaction(text);
    free(text);
    return 0;
}
