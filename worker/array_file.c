#include "worker/array_file.h"

#include <stdlib.h>
#include <string.h>

#define LABEL_BLOCK 8192u

struct pair {
    struct gz *x, *y;
    struct array_head x_head, y_head;
    int64_t n_left;
    unsigned char labels[LABEL_BLOCK * sizeof(int64_t)];
};

static size_t type_bytes(enum array_type type)
{
    switch (type) {
    case ARRAY_UINT8:
        return 1;
    case ARRAY_INT64:
        return 8;
    default:
        return 4;
    }
}

/* Elements of 4 or 8 bytes from network order, in place. */
static void swap_bytes(unsigned char *data, size_t n, size_t size)
{
    for (size_t i = 0; i < n; i++, data += size)
        for (size_t b = 0; b < size / 2; b++) {
            unsigned char byte = data[b];
            data[b] = data[size - 1 - b];
            data[size - 1 - b] = byte;
        }
}

static int64_t label_at(const struct pair *pair, size_t i)
{
    int64_t wide;
    int32_t narrow;
    switch (pair->y_head.type) {
    case ARRAY_UINT8:
        return pair->labels[i];
    case ARRAY_INT32:
        memcpy(&narrow, pair->labels + i * sizeof narrow, sizeof narrow);
        return narrow;
    default:
        memcpy(&wide, pair->labels + i * sizeof wide, sizeof wide);
        return wide;
    }
}

/* n <= LABEL_BLOCK labels. */
static int read_labels(struct pair *pair, size_t n, int64_t *ret_y, struct error *err)
{
    size_t size = type_bytes(pair->y_head.type);
    int rc = gz_read_exactly(pair->y, pair->labels, n * size, "its labels", err);
    if (rc != 0)
        return rc;
    if (pair->y_head.is_big_endian)
        swap_bytes(pair->labels, n, size);
    for (size_t i = 0; i < n; i++)
        ret_y[i] = label_at(pair, i);
    return 0;
}

static int pair_read(struct source *source, size_t max, void *ret_x, int64_t *ret_y,
                     size_t *ret_n, struct error *err)
{
    struct pair *pair = source->state;
    size_t n = (uint64_t)pair->n_left < max ? (size_t)pair->n_left : max;
    size_t row_bytes = source_row_bytes(source);
    int rc = gz_read_exactly(pair->x, ret_x, n * row_bytes, "its records", err);
    if (rc != 0)
        return rc;
    if (pair->x_head.is_big_endian && pair->x_head.type == ARRAY_FLOAT32)
        swap_bytes(ret_x, n * row_bytes / 4, 4);
    for (size_t at = 0, k; rc == 0 && at < n; at += k) {
        k = n - at < LABEL_BLOCK ? n - at : LABEL_BLOCK;
        rc = read_labels(pair, k, ret_y + at, err);
    }
    if (rc != 0)
        return rc;
    pair->n_left -= (int64_t)n;
    *ret_n = n;
    return 0;
}

static void pair_close(struct source *source)
{
    struct pair *pair = source->state;
    gz_close(pair->x);
    gz_close(pair->y);
    free(pair);
}

static int check_heads(const struct pair *pair, const char *x_path, const char *y_path,
                       struct error *err)
{
    const struct array_head *x = &pair->x_head, *y = &pair->y_head;
    bool is_ids = x->type == ARRAY_INT32 && !x->is_big_endian;
    if (x->type != ARRAY_UINT8 && x->type != ARRAY_FLOAT32 && !is_ids)
        return error_set(err, PPT_EDATA,
                         "%s: elements are integers, expected uint8 or float32",
                         x_path);
    if (x->n_dims < 2 || x->n_dims > 4)
        return error_set(err, PPT_EDATA,
                         "%s: %d dimensions, expected the count and 1 to 3 of a record",
                         x_path, x->n_dims);
    if (y->type == ARRAY_FLOAT32)
        return error_set(err, PPT_EDATA, "%s: labels are float32, expected integers",
                         y_path);
    if (y->n_dims != 1)
        return error_set(err, PPT_EDATA, "%s: %d dimensions, expected 1 of labels",
                         y_path, y->n_dims);
    if (x->dims[0] != y->dims[0])
        return error_set(err, PPT_EDATA,
                         "%s and %s do not hold the same number of records", x_path,
                         y_path);
    if (x->dims[0] < 1)
        return error_set(err, PPT_EDATA, "%s: no records", x_path);
    double row_bytes = 4;
    for (int d = 1; d < x->n_dims; d++) {
        row_bytes *= (double)x->dims[d];
        if (x->dims[d] < 1 || row_bytes > 1e9)
            return error_set(err, PPT_EDATA,
                             "%s: a record is empty or larger than 1 GB", x_path);
    }
    return 0;
}

/* All labels once, and that nothing follows them. */
static int scan_labels(struct pair *pair, struct source *source,
                       array_read_head *read_head, struct error *err)
{
    int64_t labels[LABEL_BLOCK];
    int64_t left = source->n_rows;
    source->min_label = INT64_MAX;
    source->max_label = INT64_MIN;
    while (left > 0) {
        size_t n = left < LABEL_BLOCK ? (size_t)left : LABEL_BLOCK;
        int rc = read_labels(pair, n, labels, err);
        if (rc != 0)
            return rc;
        for (size_t i = 0; i < n; i++) {
            if (labels[i] < source->min_label)
                source->min_label = labels[i];
            if (labels[i] > source->max_label)
                source->max_label = labels[i];
        }
        left -= (int64_t)n;
    }
    unsigned char more;
    size_t n_more;
    int rc = gz_read(pair->y, &more, 1, &n_more, err);
    if (rc == 0 && n_more > 0)
        rc = error_set(err, PPT_EDATA, "%s: longer than its header says",
                       gz_path(pair->y));
    if (rc == 0)
        rc = gz_rewind(pair->y, err);
    if (rc == 0)
        rc = read_head(pair->y, &pair->y_head, err);
    return rc;
}

int array_file_open(const char *x_path, const char *y_path, array_read_head *read_head,
                    struct source *ret_source, struct error *err)
{
    struct pair *pair = calloc(1, sizeof *pair);
    if (pair == NULL)
        return error_set(err, PPT_ENOMEM, "no memory to read %s", x_path);
    struct source source = {.state = pair, .read = pair_read, .close = pair_close};
    int rc = gz_open(x_path, &pair->x, err);
    if (rc == 0)
        rc = gz_open(y_path, &pair->y, err);
    if (rc == 0)
        rc = read_head(pair->x, &pair->x_head, err);
    if (rc == 0)
        rc = read_head(pair->y, &pair->y_head, err);
    if (rc == 0)
        rc = check_heads(pair, x_path, y_path, err);
    if (rc != 0)
        goto out;
    const struct array_head *x = &pair->x_head;
    source.n_rows = pair->n_left = x->dims[0];
    source.x_type = x->type == ARRAY_UINT8   ? TYPE_UINT8
                    : x->type == ARRAY_INT32 ? TYPE_INT32
                                             : TYPE_FLOAT32;
    source.n_dims = x->n_dims - 1;
    for (int d = 0; d < source.n_dims; d++)
        source.dims[d] = x->dims[d + 1];
    rc = scan_labels(pair, &source, read_head, err);
    if (rc != 0)
        goto out;
    *ret_source = source;
    return 0;
out:
    pair_close(&source);
    return rc;
}
