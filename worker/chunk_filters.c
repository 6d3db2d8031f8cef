#include "worker/chunk_filters.h"

#include <stdbool.h>
#include <stdint.h>

#include "worker/gz.h"
#include "worker/lzf.h"

#define CHECKSUM_BYTES 4u
#define SUM_BLOCK 360u /* words before a 32-bit sum must be folded */

/* Compression that gains nothing costs a little; what costs more is not a chunk. */
size_t chunk_filters_capacity(const struct chunk_pipeline *pipeline)
{
    return pipeline->chunk_bytes + pipeline->chunk_bytes / 16 + 4096;
}

static bool is_active(const struct chunk_pipeline *pipeline, unsigned skipped, int i,
                      enum chunk_filter filter)
{
    return pipeline->filters[i] == filter && (skipped >> i & 1) == 0;
}

/* What filter i was given: nothing before it compresses. */
static size_t bytes_before(const struct chunk_pipeline *pipeline, unsigned skipped,
                           int i)
{
    size_t bytes = pipeline->chunk_bytes;
    for (int k = 0; k < i; k++)
        if (is_active(pipeline, skipped, k, CHUNK_FLETCHER32))
            bytes += CHECKSUM_BYTES;
    return bytes;
}

static uint32_t fold(uint32_t sum)
{
    return (sum & 0xffff) + (sum >> 16);
}

/* H5_checksum_fletcher32: over 16-bit words, most significant byte first. */
static uint32_t fletcher32(const unsigned char *data, size_t len)
{
    uint32_t sum1 = 0, sum2 = 0;
    size_t n_words = len / 2;
    while (n_words > 0) {
        size_t n = n_words < SUM_BLOCK ? n_words : SUM_BLOCK;
        n_words -= n;
        for (; n > 0; n--, data += 2) {
            sum1 += (uint32_t)data[0] << 8 | data[1];
            sum2 += sum1;
        }
        sum1 = fold(sum1);
        sum2 = fold(sum2);
    }
    if (len % 2 != 0) {
        sum1 += (uint32_t)data[0] << 8;
        sum2 += sum1;
        sum1 = fold(sum1);
        sum2 = fold(sum2);
    }
    return fold(sum2) << 16 | fold(sum1);
}

/* HDF5 before 1.6.3 swapped the bytes of each sum on some machines, and so its readers
 * take both. */
static bool has_checksum(const unsigned char *data, size_t len)
{
    if (len < CHECKSUM_BYTES)
        return false;
    const unsigned char *at = data + len - CHECKSUM_BYTES;
    uint32_t stored =
        (uint32_t)at[3] << 24 | (uint32_t)at[2] << 16 | (uint32_t)at[1] << 8 | at[0];
    uint32_t sum = fletcher32(data, len - CHECKSUM_BYTES);
    uint32_t swapped = (sum & 0x00ff00ff) << 8 | (sum & 0xff00ff00) >> 8;
    return stored == sum || stored == swapped;
}

/* First bytes of all elements, then second ones: back into elements. */
static void unshuffle(const unsigned char *from, size_t len, size_t element_bytes,
                      unsigned char *to)
{
    size_t n = len / element_bytes;
    for (size_t i = 0; i < n; i++)
        for (size_t b = 0; b < element_bytes; b++)
            to[i * element_bytes + b] = from[b * n + i];
    for (size_t i = n * element_bytes; i < len; i++)
        to[i] = from[i];
}

/* Undoes one filter: *data and *other change places where it does not work in place. */
static bool undo(const struct chunk_pipeline *pipeline, int i, size_t want,
                 unsigned char **data, size_t *len, unsigned char **other)
{
    unsigned char *from = *data, *to = *other;
    switch (pipeline->filters[i]) {
    case CHUNK_FLETCHER32:
        if (!has_checksum(from, *len))
            return false;
        *len -= CHECKSUM_BYTES;
        return true;
    case CHUNK_SHUFFLE:
        if (pipeline->element_bytes < 2)
            return true;
        unshuffle(from, *len, pipeline->element_bytes, to);
        break;
    case CHUNK_DEFLATE:
        if (!gz_inflate(from, *len, to, want))
            return false;
        *len = want;
        break;
    case CHUNK_LZF:
        if (!lzf_decode(from, *len, to, want))
            return false;
        *len = want;
        break;
    }
    *data = to;
    *other = from;
    return true;
}

int chunk_filters_undo(const struct chunk_pipeline *pipeline, unsigned skipped,
                       unsigned char *stored, size_t len, unsigned char *other,
                       unsigned char **ret_chunk, struct error *err)
{
    static const char *const names[] = {[CHUNK_DEFLATE] = "deflate",
                                        [CHUNK_LZF] = "LZF",
                                        [CHUNK_SHUFFLE] = "shuffle",
                                        [CHUNK_FLETCHER32] = "checksum"};
    unsigned char *data = stored;
    for (int i = pipeline->n_filters - 1; i >= 0; i--) {
        if ((skipped >> i & 1) != 0)
            continue;
        size_t want = bytes_before(pipeline, skipped, i);
        if (!undo(pipeline, i, want, &data, &len, &other))
            return error_set(err, PPT_EDATA, "a chunk is damaged (%s)",
                             names[pipeline->filters[i]]);
    }
    if (len != pipeline->chunk_bytes)
        return error_set(err, PPT_EDATA, "a chunk is damaged (its length)");
    *ret_chunk = data;
    return 0;
}
