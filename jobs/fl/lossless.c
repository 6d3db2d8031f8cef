#include "jobs/fl/lossless.h"

#include <stdlib.h>
#include <string.h>
#include <zstd.h>

enum { LEVEL = 3 }; /* higher ones gain little: mantissas are as good as random */

int lossless_pack(const float *x, int64_t n, float *work, struct buf *out,
                  struct error *err)
{
    const unsigned char *from = (const unsigned char *)x;
    unsigned char *planes = (unsigned char *)work;
    size_t size = (size_t)n * sizeof *x, most = ZSTD_compressBound(size);
    for (int64_t j = 0; j < n; j++) {
        for (int b = 0; b < 4; b++) {
            planes[b * n + j] = from[4 * j + b];
        }
    }
    void *packed = malloc(most);
    size_t len = packed != NULL ? ZSTD_compress(packed, most, planes, size, LEVEL) : 0;
    if (packed == NULL || ZSTD_isError(len)) {
        free(packed);
        return error_set(err, PPT_ENOMEM, "no memory to compress an update");
    }
    buf_bytes(out, packed, len);
    free(packed);
    return 0;
}

int lossless_unpack(const void *data, size_t len, int64_t n, float *work, float *ret_x,
                    struct error *err)
{
    const unsigned char *planes = (const unsigned char *)work;
    unsigned char *to = (unsigned char *)ret_x;
    size_t size = (size_t)n * sizeof *ret_x;
    if (ZSTD_decompress(work, size, data, len) != size) {
        return error_set(err, PPT_ETRUST, "a client's message is no packed update");
    }
    for (int64_t j = 0; j < n; j++) {
        for (int b = 0; b < 4; b++) {
            to[4 * j + b] = planes[b * n + j];
        }
    }
    return 0;
}
