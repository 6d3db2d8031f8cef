/* The spec parser against any bytes: it never crashes; a refusal has its code and its
 * lines; what it accepts has a canonical form that is a fixed point of the same digest.
 * A file is one job or a sweep or neither, and every job of a sweep is as good as one.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "jobs/spec/spec.h"
#include "jobs/spec/sweep.h"

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

static void check_sweep(const char *text, size_t len, const struct error *of_spec)
{
    struct spec_policy policy = spec_policy_default();
    struct sweep *sweep;
    struct error err = {0};
    int rc = sweep_parse(text, len, "f", &policy, &sweep, &err);
    if (rc != 0) {
        check_refusal(rc, &err);
        return;
    }
    HOLDS(sweep_is_sweep(sweep) == (of_spec->code != 0));
    HOLDS(sweep_n_jobs(sweep) >= 1 && sweep_n_jobs(sweep) <= SWEEP_MAX_JOBS);
    for (int i = 1; i <= sweep_n_jobs(sweep) && i <= 4; i++) {
        char words[SWEEP_WORDS_SIZE];
        struct spec spec;
        sweep_words(sweep, i, words);
        HOLDS((words[0] != '\0') == sweep_is_sweep(sweep));
        HOLDS(sweep_job(sweep, i, &spec, NULL) == 0);
        check_name(&spec);
    }
    sweep_free(sweep);
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
    check_sweep((const char *)data, len, &err);
    /* what the site's policy alone refuses has a name all the same */
    if (rc == -PPT_EPOLICY) {
        HOLDS(spec_parse((const char *)data, len, "f", NULL, &spec, NULL) == 0);
        check_name(&spec);
    }
    return 0;
}
