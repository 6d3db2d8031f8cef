/* The spec parser against any bytes: it never crashes; a refusal has its code and its
 * lines; what it accepts has a canonical form that is a fixed point of the same digest.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "jobs/spec/spec.h"

#define HOLDS(condition)                                                               \
    do {                                                                               \
        if (!(condition)) {                                                            \
            fprintf(stderr, "does not hold: %s\n", #condition);                        \
            abort();                                                                   \
        }                                                                              \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_refusal(int rc, const struct error *err)
{
    HOLDS(rc == -PPT_ESPEC || rc == -PPT_EPOLICY);
    HOLDS(err->code == -rc);
    HOLDS(strncmp(err->detail, "f:", 2) == 0);
    for (const char *p = err->detail; *p != '\0'; p++)
        HOLDS((unsigned char)*p >= 0x20 || *p == '\n');
}

static void check_name(const struct spec *spec)
{
    char *text, *again_text, hex[SPEC_HEX_SIZE];
    HOLDS(spec_canonical(spec, &text, NULL) == 0);
    crypto_sha256_hex(text, strlen(text), hex);
    HOLDS(strcmp(hex, spec->sha256) == 0);

    struct spec again;
    HOLDS(spec_parse(text, strlen(text), "f", NULL, &again, NULL) == 0);
    HOLDS(strcmp(again.sha256, spec->sha256) == 0);
    HOLDS(spec_canonical(&again, &again_text, NULL) == 0);
    HOLDS(strcmp(text, again_text) == 0);
    free(again_text);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct spec_policy policy = spec_policy_default();
    struct spec spec;
    struct error err = {0};
    int rc = spec_parse((const char *)data, len, "f", &policy, &spec, &err);
    if (rc != 0)
        check_refusal(rc, &err);
    else
        check_name(&spec);
    /* what the site's policy alone refuses has a name all the same */
    if (rc == -PPT_EPOLICY) {
        HOLDS(spec_parse((const char *)data, len, "f", NULL, &spec, NULL) == 0);
        check_name(&spec);
    }
    return 0;
}
