/* The manifest parser against any bytes: it never crashes; a refusal has its code and
 * its lines; what it accepts is written and read back as the same.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/manifest.h"

#define HOLDS(condition)                                                               \
    do {                                                                               \
        if (!(condition)) {                                                            \
            fprintf(stderr, "does not hold: %s\n", #condition);                        \
            abort();                                                                   \
        }                                                                              \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static char *text_of(const struct manifest *manifest, size_t *ret_len)
{
    char *text;
    FILE *file = open_memstream(&text, ret_len);
    HOLDS(file != NULL);
    HOLDS(manifest_write(manifest, file, NULL) == 0);
    fclose(file);
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct manifest manifest, again;
    struct error err = {0};
    int rc = manifest_parse((const char *)data, len, "f", &manifest, &err);
    if (rc != 0) {
        HOLDS(rc == -PPT_ESPEC && err.code == PPT_ESPEC);
        HOLDS(strncmp(err.detail, "f:", 2) == 0);
        return 0;
    }
    size_t text_len, again_len;
    char *text = text_of(&manifest, &text_len);
    HOLDS(manifest_parse(text, text_len, "f", &again, &err) == 0);
    char *again_text = text_of(&again, &again_len);
    HOLDS(text_len == again_len && memcmp(text, again_text, text_len) == 0);
    free(again_text);
    free(text);
    return 0;
}
