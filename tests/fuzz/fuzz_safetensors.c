/* The reader of safetensors files against any bytes: nothing crashes, a refusal has its
 * code, and a tensor that is read lies within the file.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "worker/safetensors.h"

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
    static const struct tensor_view wanted[] = {{"a", 1, {2}, NULL},
                                                {"a", 2, {3, 2}, NULL},
                                                {"0.linear.weight", 2, {3, 2}, NULL}};
    struct safetensors *file;
    struct error err = {0};
    int rc = safetensors_parse(data, len, "f", &file, &err);
    if (rc != 0) {
        HOLDS(rc == -PPT_EDATA && err.code == PPT_EDATA);
        return 0;
    }
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        float values[6];
        rc = safetensors_read(file, &wanted[i], values, &err);
        HOLDS(rc == 0 || rc == -PPT_EDATA);
    }
    safetensors_free(file);
    return 0;
}
