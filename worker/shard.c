#include "worker/shard.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/gather.h"
#include "worker/page_cache.h"

#define BLOCK_BYTES (512u << 10)
#define MAX_BLOCK_ROWS 4096u

struct shard {
    struct data_split split;
    char path[MANIFEST_PATH_SIZE];
    char name[MANIFEST_NAME_SIZE];
    int64_t first; /* row of the split that is our row 0 */
    int64_t n_rows;
    size_t n_features;
    double mean, std;
    float scale, shift; /* uint8 records: byte * scale + shift is fed */
    bool may_cache;
    unsigned char *cached_x, *cached_y; /* the whole shard, raw, or NULL */
    size_t block_rows;
    int64_t *block_indices; /* of the split, MAX_BLOCK_ROWS of them */
    unsigned char *block_x, *block_y;
    unsigned char *span; /* for gather_rows */
};

void shard_bounds(int64_t n_rows, int rank, int size, int64_t *ret_first,
                  int64_t *ret_n)
{
    int64_t whole = n_rows / size, rest = n_rows % size;
    int64_t extra = rank < rest ? rank : rest;
    *ret_first = whole * rank + extra;
    *ret_n = whole + (rank < rest ? 1 : 0);
}

/* Raw record bytes become floats. */
static void feed(const struct shard *shard, const unsigned char *raw, float *x)
{
    if (shard->split.x_type == TYPE_UINT8) {
        for (size_t j = 0; j < shard->n_features; j++)
            x[j] = (float)raw[j] * shard->scale + shard->shift;
        return;
    }
    memcpy(x, raw, shard->n_features * sizeof *x);
    if (shard->mean == 0.0 && shard->std == 1.0)
        return;
    for (size_t j = 0; j < shard->n_features; j++)
        x[j] = (float)(((double)x[j] - shard->mean) / shard->std);
}

/* Ids as they are; one outside the vocabulary is damage. */
static int feed_tokens(const struct shard *shard, const unsigned char *raw, float *x,
                       struct error *err)
{
    for (size_t j = 0; j < shard->n_features; j++) {
        int32_t id = 0;
        uint16_t half;
        switch (shard->split.x_type) {
        case TYPE_UINT8:
            id = raw[j];
            break;
        case TYPE_UINT16:
            memcpy(&half, raw + j * sizeof half, sizeof half);
            id = half;
            break;
        default:
            memcpy(&id, raw + j * sizeof id, sizeof id);
        }
        if (id < 0 || id >= shard->split.n_tokens)
            return error_set(err, PPT_EDATA, "%s: a token of %s is outside 0..%lld",
                             shard->path, shard->name,
                             (long long)shard->split.n_tokens - 1);
        x[j] = (float)id;
    }
    return 0;
}

/* Of a record as it lies in the file: an integer loop that can be vectorised. */
static bool is_finite(const struct shard *shard, const unsigned char *raw)
{
    int32_t bits, largest = 0;
    for (size_t j = 0; j < shard->n_features; j++) {
        memcpy(&bits, raw + j * sizeof bits, sizeof bits);
        bits &= INT32_MAX;
        largest = bits > largest ? bits : largest;
    }
    return largest < 0x7f800000; /* the exponent of infinities and NaNs */
}

static int feed_label(const struct shard *shard, const unsigned char *raw, int32_t *y,
                      struct error *err)
{
    int64_t label = raw[0];
    if (shard->split.y_type == TYPE_INT64)
        memcpy(&label, raw, sizeof label);
    if (label < 0 || label >= shard->split.n_classes)
        return error_set(err, PPT_EDATA, "%s: a label of %s is outside 0..%lld",
                         shard->path, shard->name,
                         (long long)shard->split.n_classes - 1);
    *y = (int32_t)label;
    return 0;
}

/* One record as the model takes it. */
static int feed_record(const struct shard *shard, const unsigned char *raw_x,
                       const unsigned char *raw_y, float *x, int32_t *y,
                       struct error *err)
{
    if (shard->split.x_type == TYPE_FLOAT32 && !is_finite(shard, raw_x))
        return error_set(err, PPT_EDATA,
                         "%s: a record of %s holds a NaN or an infinity", shard->path,
                         shard->name);
    if (shard->split.n_tokens > 0) {
        int rc = feed_tokens(shard, raw_x, x, err);
        return rc != 0 ? rc : feed_label(shard, raw_y, y, err);
    }
    feed(shard, raw_x, x);
    return feed_label(shard, raw_y, y, err);
}

size_t shard_cache_bytes(int64_t job_memory_bytes, int64_t n_ranks)
{
    int64_t share = job_memory_bytes / n_ranks / 4;
    return share < SHARD_CACHE_BYTES ? (size_t)share : SHARD_CACHE_BYTES;
}

static int fill_cache(struct shard *shard, struct error *err)
{
    size_t n = (size_t)shard->n_rows;
    shard->cached_x = malloc(n * h5_data_row_bytes(shard->split.x));
    shard->cached_y = malloc(n * h5_data_row_bytes(shard->split.y));
    int rc = 0;
    if (shard->cached_x == NULL || shard->cached_y == NULL)
        rc = error_set(err, PPT_ENOMEM, "no memory for this rank's part of %s",
                       shard->path);
    if (rc == 0)
        rc = h5_data_read(shard->split.x, shard->first, n, shard->cached_x, err);
    if (rc == 0)
        rc = h5_data_read(shard->split.y, shard->first, n, shard->cached_y, err);
    if (rc != 0) {
        free(shard->cached_x), free(shard->cached_y);
        shard->cached_x = shard->cached_y = NULL;
    }
    return rc;
}

static int read_cached(const struct shard *shard, const int64_t *indices, size_t n,
                       float *x, int32_t *y, struct error *err)
{
    size_t x_bytes = h5_data_row_bytes(shard->split.x);
    size_t y_bytes = h5_data_row_bytes(shard->split.y);
    for (size_t i = 0; i < n; i++) {
        size_t row = (size_t)indices[i];
        int rc = feed_record(shard, shard->cached_x + row * x_bytes,
                             shard->cached_y + row * y_bytes, x + i * shard->n_features,
                             y + i, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* At most MAX_BLOCK_ROWS records: x to x + i * x_stride, y likewise. */
static int gather_block(struct shard *shard, const int64_t *indices, size_t n,
                        unsigned char *x, size_t x_stride, unsigned char *y,
                        size_t y_stride, struct error *err)
{
    for (size_t i = 0; i < n; i++)
        shard->block_indices[i] = shard->first + indices[i];
    int rc = gather_rows(shard->split.x, shard->block_indices, n, x, x_stride,
                         shard->span, err);
    if (rc == 0)
        rc = gather_rows(shard->split.y, shard->block_indices, n, y, y_stride,
                         shard->span, err);
    return rc;
}

static int read_block(struct shard *shard, const int64_t *indices, size_t n, float *x,
                      int32_t *y, struct error *err)
{
    size_t x_bytes = h5_data_row_bytes(shard->split.x);
    size_t y_bytes = h5_data_row_bytes(shard->split.y);
    int rc = gather_block(shard, indices, n, shard->block_x, x_bytes, shard->block_y,
                          y_bytes, err);
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = feed_record(shard, shard->block_x + i * x_bytes,
                         shard->block_y + i * y_bytes, x + i * shard->n_features, y + i,
                         err);
    return rc;
}

static int check_indices(const struct shard *shard, const int64_t *indices, size_t n,
                         struct error *err)
{
    for (size_t i = 0; i < n; i++)
        if (indices[i] < 0 || indices[i] >= shard->n_rows ||
            (i > 0 && indices[i] <= indices[i - 1]))
            return error_set(err, PPT_EINTERNAL,
                             "record indices do not ascend within the shard");
    return 0;
}

/* Space for reading block by block; a shard that lies in memory seldom needs it. */
static int make_blocks(struct shard *shard, struct error *err)
{
    if (shard->span != NULL)
        return 0;
    size_t x_bytes = h5_data_row_bytes(shard->split.x);
    size_t fit = BLOCK_BYTES / x_bytes;
    shard->block_rows = fit < 1 ? 1 : fit > MAX_BLOCK_ROWS ? MAX_BLOCK_ROWS : fit;
    shard->block_indices = malloc(MAX_BLOCK_ROWS * sizeof *shard->block_indices);
    shard->block_x = malloc(shard->block_rows * x_bytes);
    shard->block_y = malloc(shard->block_rows * h5_data_row_bytes(shard->split.y));
    shard->span = malloc(GATHER_SPAN_BYTES);
    if (shard->block_indices == NULL || shard->block_x == NULL ||
        shard->block_y == NULL || shard->span == NULL)
        return error_set(err, PPT_ENOMEM, "no memory to read %s", shard->path);
    return 0;
}

/* A stored record: the bytes of its row of x, then those of its label. */
static int shard_fetch(struct rows *rows, const int64_t *indices, size_t n,
                       void *records, struct error *err)
{
    struct shard *shard = rows->state;
    size_t x_bytes = h5_data_row_bytes(shard->split.x);
    size_t bytes = rows->record_bytes;
    unsigned char *at = records;
    int rc = check_indices(shard, indices, n, err);
    if (rc == 0)
        rc = make_blocks(shard, err);
    while (rc == 0 && n > 0) {
        size_t k = n < MAX_BLOCK_ROWS ? n : MAX_BLOCK_ROWS;
        rc = gather_block(shard, indices, k, at, bytes, at + x_bytes, bytes, err);
        at += k * bytes;
        indices += k;
        n -= k;
    }
    return rc;
}

static int shard_decode(struct rows *rows, const void *record, float *x, int32_t *y,
                        struct error *err)
{
    const struct shard *shard = rows->state;
    const unsigned char *raw = record;
    return feed_record(shard, raw, raw + h5_data_row_bytes(shard->split.x), x, y, err);
}

static int shard_read(struct rows *rows, const int64_t *indices, size_t n, float *x,
                      int32_t *y, struct error *err)
{
    struct shard *shard = rows->state;
    int rc = check_indices(shard, indices, n, err);
    if (rc != 0)
        return rc;
    if (n == 0)
        return 0;
    if (shard->may_cache && shard->cached_x == NULL) {
        rc = fill_cache(shard, err);
        if (rc != 0)
            return rc;
    }
    if (shard->cached_x != NULL)
        return read_cached(shard, indices, n, x, y, err);
    while (n > 0) {
        size_t k = n < shard->block_rows ? n : shard->block_rows;
        rc = read_block(shard, indices, k, x, y, err);
        if (rc != 0)
            return rc;
        indices += k;
        n -= k;
        x += k * shard->n_features;
        y += k;
    }
    return 0;
}

static int shard_users(struct rows *rows, int64_t *ret_users, struct error *err)
{
    const struct shard *shard = rows->state;
    return h5_data_read(shard->split.u, shard->first, (size_t)shard->n_rows, ret_users,
                        err);
}

static void shard_free(struct shard *shard)
{
    if (shard == NULL)
        return;
    data_split_close(&shard->split);
    free(shard->cached_x), free(shard->cached_y);
    free(shard->block_indices);
    free(shard->block_x), free(shard->block_y);
    free(shard->span);
    free(shard);
}

static void set_scale(struct shard *shard, double mean, double std)
{
    shard->mean = mean;
    shard->std = std;
    shard->scale = (float)(1.0 / (255.0 * std));
    shard->shift = (float)(-mean / std);
}

int shard_open(const struct data_h5 *data, const struct manifest_split *stated,
               double mean, double std, int rank, int size, size_t cache_bytes,
               struct rows *ret_rows, struct error *err)
{
    const char *path = h5_path(data->file);
    struct shard *shard = calloc(1, sizeof *shard);
    if (shard == NULL)
        return error_set(err, PPT_ENOMEM, "no memory to open %s", path);
    snprintf(shard->path, sizeof shard->path, "%s", path);
    snprintf(shard->name, sizeof shard->name, "%s", stated->name);
    int rc = data_h5_split(data, stated->name, &shard->split, err);
    if (rc == 0)
        rc = data_split_match(&shard->split, stated, path, err);
    if (rc != 0) {
        shard_free(shard);
        return rc;
    }
    set_scale(shard, mean, std);
    shard_bounds(shard->split.n_rows, rank, size, &shard->first, &shard->n_rows);
    shard->n_features = 1;
    for (int d = 0; d < shard->split.n_dims; d++)
        shard->n_features *= (size_t)shard->split.dims[d];
    size_t ahead = cache_bytes < SHARD_AHEAD_BYTES ? cache_bytes : SHARD_AHEAD_BYTES;
    size_t row_bytes =
        h5_data_row_bytes(shard->split.x) + h5_data_row_bytes(shard->split.y);
    const int64_t whole_bytes = shard->split.n_rows * (int64_t)row_bytes;
    h5_data_drop_behind(shard->split.x,
                        !page_cache_may_hold(shard->n_rows * (int64_t)row_bytes,
                                             data->n_beside, whole_bytes));
    shard->may_cache = (uint64_t)shard->n_rows <= cache_bytes / row_bytes;
    rc = shard->may_cache ? 0 : make_blocks(shard, err);
    if (rc != 0) {
        shard_free(shard);
        return rc;
    }
    *ret_rows = (struct rows){.n_rows = shard->n_rows,
                              .n_features = shard->n_features,
                              .n_classes = shard->split.n_classes,
                              .state = shard,
                              .record_bytes = row_bytes,
                              .ahead_bytes = shard->may_cache ? 0 : ahead,
                              .read = shard_read,
                              .users = shard->split.has_users ? shard_users : NULL,
                              .fetch = shard_fetch,
                              .decode = shard_decode};
    return 0;
}

void shard_close(struct rows *rows)
{
    shard_free(rows->state);
    *rows = (struct rows){0};
}
