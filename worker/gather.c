#include "worker/gather.h"

#include <stdbool.h>
#include <string.h>

/* A gap this small costs less to copy than a second system call. */
#define GAP_BYTES 2048u

/* A row so small costs less to copy than to name to the system. */
#define PIECE_BYTES 512u

#define PART_ROWS 4096 /* of one source at once, 32 KiB of the stack */

static size_t count_adjacent(const int64_t *rows, size_t n)
{
    size_t k = 1;
    while (k < n && rows[k] == rows[k - 1] + 1)
        k++;
    return k;
}

/* How many rows fit a span with only small gaps between them. */
static size_t count_near(const int64_t *rows, size_t n, size_t row_bytes)
{
    size_t k = 1;
    while (k < n && (uint64_t)(rows[k] - rows[k - 1] - 1) * row_bytes <= GAP_BYTES &&
           (uint64_t)(rows[k] - rows[0] + 1) * row_bytes <= GATHER_SPAN_BYTES)
        k++;
    return k;
}

static int read_span(struct h5_data *data, const int64_t *rows, size_t k,
                     unsigned char *ret_rows, size_t stride, unsigned char *span,
                     struct error *err)
{
    size_t row_bytes = h5_data_row_bytes(data);
    int rc =
        h5_data_read(data, rows[0], (size_t)(rows[k - 1] - rows[0] + 1), span, err);
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < k; i++)
        memcpy(ret_rows + i * stride, span + (size_t)(rows[i] - rows[0]) * row_bytes,
               row_bytes);
    return 0;
}

/* At least one of the next n rows; returns how many in *ret_k. */
static int read_some(struct h5_data *data, const int64_t *rows, size_t n,
                     unsigned char *ret_rows, size_t stride, unsigned char *span,
                     size_t *ret_k, struct error *err)
{
    size_t row_bytes = h5_data_row_bytes(data);
    bool is_direct = h5_data_is_direct(data);
    size_t k = count_adjacent(rows, n);
    size_t near = is_direct ? count_near(rows, n, row_bytes) : 1;
    if (near > k) {
        *ret_k = near;
        return read_span(data, rows, near, ret_rows, stride, span, err);
    }
    *ret_k = k;
    if (stride == row_bytes)
        return h5_data_read(data, rows[0], k, ret_rows, err);
    if (is_direct && row_bytes >= PIECE_BYTES)
        return h5_data_scatter(data, rows[0], k, ret_rows, stride, err);
    size_t fit = GATHER_SPAN_BYTES / row_bytes;
    *ret_k = k = k < fit ? k : fit > 0 ? fit : 1;
    return k == 1 ? h5_data_read(data, rows[0], 1, ret_rows, err)
                  : read_span(data, rows, k, ret_rows, stride, span, err);
}

/* Of a virtual array: the rows of one source after those of the other. */
static int gather_parts(struct h5_data *data, const int64_t *rows, size_t n,
                        unsigned char *ret_rows, size_t stride, void *span,
                        struct error *err)
{
    int64_t own[PART_ROWS];
    while (n > 0) {
        struct h5_data *part;
        int64_t first;
        size_t k = 0;
        int rc = h5_data_part(data, rows[0], &part, &first, err);
        if (rc != 0)
            return rc;
        for (; k < n && k < PART_ROWS && rows[k] - first < h5_data_shape(part)->dims[0];
             k++)
            own[k] = rows[k] - first;
        rc = gather_rows(part, own, k, ret_rows, stride, span, err);
        if (rc != 0)
            return rc;
        rows += k;
        n -= k;
        ret_rows += k * stride;
    }
    return 0;
}

int gather_rows(struct h5_data *data, const int64_t *rows, size_t n, void *ret_rows,
                size_t stride, void *span, struct error *err)
{
    unsigned char *at = ret_rows;
    for (size_t i = 1; i < n; i++)
        if (rows[i] <= rows[i - 1])
            return error_set(err, PPT_EINTERNAL, "row indices do not ascend");
    if (h5_data_n_parts(data) > 0)
        return gather_parts(data, rows, n, ret_rows, stride, span, err);
    if (h5_data_is_chunked(data))
        return h5_data_pick(data, rows, n, ret_rows, stride, err);
    while (n > 0) {
        size_t k = 0;
        int rc = read_some(data, rows, n, at, stride, span, &k, err);
        if (rc != 0)
            return rc;
        rows += k;
        n -= k;
        at += k * stride;
    }
    return 0;
}
