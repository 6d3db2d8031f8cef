#include "worker/import.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/pathsafe.h"
#include "worker/data_h5.h"
#include "worker/digest.h"
#include "worker/files.h"

#define BLOCK_BYTES (4u << 20)

struct block {
    size_t max_rows;
    unsigned char *x, *y_bytes;
    int64_t *y;
};

int import_manifest_path(const char *path, char ret_path[MANIFEST_PATH_SIZE],
                         struct error *err)
{
    size_t len = strlen(path);
    if (len > 3 && strcmp(path + len - 3, ".h5") == 0)
        len -= 3;
    int n =
        snprintf(ret_path, MANIFEST_PATH_SIZE, "%.*s.manifest.yaml", (int)len, path);
    if (n < 0 || n >= MANIFEST_PATH_SIZE)
        return error_set(err, PPT_EUSAGE, "the path %s is too long", path);
    return 0;
}

static int64_t count_classes(const struct import *import)
{
    int64_t n = import->n_classes;
    if (n > 0)
        return n;
    for (int s = 0; s < import->n_splits; s++)
        if (import->splits[s].source->max_label >= n)
            n = import->splits[s].source->max_label + 1;
    return n;
}

/* Labels in range, and records of the same shape and type in every split. */
static int check_splits(const struct import *import, int64_t n_classes,
                        struct error *err)
{
    if (n_classes < 2 || n_classes > INT32_MAX)
        return error_set(err, PPT_EDATA, "%lld classes of labels, expected 2 or more",
                         (long long)n_classes);
    for (int s = 0; s < import->n_splits; s++) {
        const struct source *source = import->splits[s].source;
        const struct source *first = import->splits[0].source;
        if (source->min_label < 0 || source->max_label >= n_classes)
            return error_set(err, PPT_EDATA,
                             "split %s: labels from %lld to %lld, expected 0..%lld",
                             import->splits[s].name, (long long)source->min_label,
                             (long long)source->max_label, (long long)n_classes - 1);
        bool is_same = source->x_type == first->x_type &&
                       source->n_dims == first->n_dims &&
                       source->n_tokens == first->n_tokens;
        for (int d = 0; is_same && d < source->n_dims; d++)
            is_same = source->dims[d] == first->dims[d];
        if (!is_same)
            return error_set(err, PPT_EDATA,
                             "the records of split %s have another shape or type than "
                             "those of split %s",
                             import->splits[s].name, import->splits[0].name);
        const struct users *users = import->splits[s].users;
        if (users != NULL && users->n != source->n_rows)
            return error_set(err, PPT_EDATA,
                             "split %s: whose is stated of %s records than there are",
                             import->splits[s].name,
                             users->n > source->n_rows ? "more" : "fewer");
    }
    return 0;
}

static void report_part(const struct import *import, int64_t done)
{
    double total = 0;
    if (import->progress == NULL)
        return;
    for (int s = 0; s < import->n_splits; s++)
        total += (double)import->splits[s].source->n_rows;
    import->progress(import->progress_state, (double)done / total);
}

static int write_block(struct data_split *split, const struct block *block, int64_t at,
                       size_t n, struct error *err)
{
    int rc = h5_data_write(split->x, at, n, block->x, err);
    if (rc != 0 || split->y_type == TYPE_INT64)
        return rc != 0 ? rc : h5_data_write(split->y, at, n, block->y, err);
    for (size_t i = 0; i < n; i++)
        block->y_bytes[i] = (unsigned char)block->y[i];
    return h5_data_write(split->y, at, n, block->y_bytes, err);
}

/* A job would fail at the first such record that it reads, long after it was paid for.
 */
static int check_finite(const struct import *import, int s, const struct block *block,
                        int64_t at, size_t n, struct error *err)
{
    const struct source *source = import->splits[s].source;
    size_t n_features = source_row_bytes(source) / sizeof(float);
    if (source->x_type != TYPE_FLOAT32)
        return 0;
    for (size_t i = 0; i < n * n_features; i++) {
        float x;
        memcpy(&x, block->x + i * sizeof x, sizeof x);
        if (!isfinite(x))
            return error_set(err, PPT_EDATA,
                             "record %lld of split %s holds a NaN or an infinity, "
                             "expected finite numbers (records count from 0)",
                             (long long)at + (long long)(i / n_features),
                             import->splits[s].name);
    }
    return 0;
}

/* The same of a token outside the vocabulary. */
static int check_tokens(const struct import *import, int s, const struct block *block,
                        int64_t at, size_t n, struct error *err)
{
    const struct source *source = import->splits[s].source;
    size_t length = source->n_tokens > 0 ? (size_t)source->dims[0] : 0;
    for (size_t i = 0; i < n * length; i++) {
        int32_t id = source->x_type == TYPE_UINT8 ? block->x[i] : 0;
        uint16_t half;
        if (source->x_type == TYPE_UINT16) {
            memcpy(&half, block->x + i * sizeof half, sizeof half);
            id = half;
        } else if (source->x_type == TYPE_INT32) {
            memcpy(&id, block->x + i * sizeof id, sizeof id);
        }
        if (id < 0 || id >= source->n_tokens)
            return error_set(err, PPT_EDATA,
                             "record %lld of split %s holds a token outside 0..%lld "
                             "(records count from 0)",
                             (long long)at + (long long)(i / length),
                             import->splits[s].name, (long long)source->n_tokens - 1);
    }
    return 0;
}

/* Streams every record of split s; *done counts those of all splits. */
static int copy_rows(const struct import *import, int s, struct data_split *split,
                     const struct block *block, int64_t *done, struct error *err)
{
    struct source *source = import->splits[s].source;
    for (int64_t at = 0; at < source->n_rows;) {
        size_t n = 0;
        size_t want = block->max_rows;
        if ((uint64_t)(source->n_rows - at) < want)
            want = (size_t)(source->n_rows - at);
        int rc = source->read(source, want, block->x, block->y, &n, err);
        if (rc != 0)
            return rc;
        if (n != want)
            return error_set(err, PPT_EDATA, "a source changed while it was imported");
        for (size_t i = 0; i < n; i++)
            if (block->y[i] < 0 || block->y[i] >= split->n_classes)
                return error_set(err, PPT_EDATA,
                                 "a source changed while it was imported");
        rc = check_finite(import, s, block, at, n, err);
        if (rc == 0)
            rc = check_tokens(import, s, block, at, n, err);
        if (rc == 0)
            rc = write_block(split, block, at, n, err);
        if (rc != 0)
            return rc;
        at += (int64_t)n;
        *done += (int64_t)n;
        report_part(import, *done);
    }
    return 0;
}

static int copy_split(const struct import *import, int s, struct data_h5 *data,
                      int64_t n_classes, int64_t *done, struct error *err)
{
    struct source *source = import->splits[s].source;
    size_t row_bytes = source_row_bytes(source);
    struct block block = {.max_rows =
                              row_bytes < BLOCK_BYTES ? BLOCK_BYTES / row_bytes : 1};
    struct data_split split = {.n_rows = source->n_rows,
                               .x_type = source->x_type,
                               .y_type = n_classes <= 256 ? TYPE_UINT8 : TYPE_INT64,
                               .n_dims = source->n_dims,
                               .n_classes = n_classes,
                               .n_tokens = source->n_tokens,
                               .has_users = import->splits[s].users != NULL};
    memcpy(split.dims, source->dims, sizeof split.dims);
    block.x = malloc(block.max_rows * row_bytes);
    block.y = malloc(block.max_rows * sizeof *block.y);
    block.y_bytes = malloc(block.max_rows);
    int rc = 0;
    if (block.x == NULL || block.y == NULL || block.y_bytes == NULL)
        rc = error_set(err, PPT_ENOMEM, "no memory to import");
    if (rc == 0)
        rc = data_h5_add(data, import->splits[s].name, &split, err);
    if (rc == 0)
        rc = copy_rows(import, s, &split, &block, done, err);
    if (rc == 0 && split.has_users)
        rc = h5_data_write(split.u, 0, (size_t)split.n_rows,
                           import->splits[s].users->ids, err);
    data_split_close(&split);
    free(block.x), free(block.y), free(block.y_bytes);
    return rc;
}

static int write_data(const struct import *import, const char *path, int64_t n_classes,
                      struct error *err)
{
    struct data_h5 data;
    int64_t done = 0;
    int rc = data_h5_create(path, import->unit, RELATION_ADD_REMOVE, &data, err);
    if (rc != 0)
        return rc;
    for (int s = 0; rc == 0 && s < import->n_splits; s++)
        rc = copy_split(import, s, &data, n_classes, &done, err);
    if (rc != 0) {
        data_h5_close(&data, NULL);
        return rc;
    }
    return data_h5_close(&data, err);
}

static void describe(const struct import *import, int64_t n_classes,
                     struct manifest *manifest)
{
    const char *slash = strrchr(import->path, '/');
    snprintf(manifest->name, sizeof manifest->name, "%s", import->name);
    snprintf(manifest->file, sizeof manifest->file, "%s",
             slash != NULL ? slash + 1 : import->path);
    manifest->unit = import->unit;
    manifest->relation = RELATION_ADD_REMOVE;
    manifest->n_splits = import->n_splits;
    for (int s = 0; s < import->n_splits; s++) {
        struct manifest_split *split = &manifest->splits[s];
        const struct source *source = import->splits[s].source;
        snprintf(split->name, sizeof split->name, "%s", import->splits[s].name);
        split->nominal_count = import->splits[s].nominal_count;
        split->nominal_users = import->splits[s].nominal_users;
        split->x_type = source->x_type;
        split->n_dims = source->n_dims;
        memcpy(split->dims, source->dims, sizeof split->dims);
        split->n_classes = n_classes;
        split->n_tokens = source->n_tokens;
    }
}

int import_manifest_write(const struct manifest *manifest, const char *path,
                          struct error *err)
{
    char *text = NULL;
    size_t len = 0;
    FILE *file = open_memstream(&text, &len);
    if (file == NULL)
        return error_errno(err, PPT_ENOMEM, "no memory for the manifest");
    int rc = manifest_write(manifest, file, err);
    if (fclose(file) != 0 && rc == 0)
        rc = error_errno(err, PPT_ENOMEM, "no memory for the manifest");
    if (rc == 0)
        rc = pathsafe_replace(path, text, len, 0644, err);
    free(text);
    return rc;
}

int import_check_absent(const char *path, struct error *err)
{
    if (access(path, F_OK) != 0)
        return 0;
    error_set(err, PPT_EEXISTS, "%s exists already", path);
    return error_hint(err, "give another name with -o, or --force to replace it");
}

int import_run(const struct import *import, struct manifest *ret_manifest,
               struct error *err)
{
    char manifest_path[MANIFEST_PATH_SIZE], temporary[MANIFEST_PATH_SIZE];
    struct manifest manifest = {0};
    int64_t n_classes = count_classes(import);
    int rc = check_splits(import, n_classes, err);
    if (rc == 0)
        rc = import_manifest_path(import->path, manifest_path, err);
    if (rc == 0 && !import->may_replace)
        rc = import_check_absent(import->path, err);
    if (rc == 0 && !import->may_replace)
        rc = import_check_absent(manifest_path, err);
    if (rc != 0)
        return rc;
    if (snprintf(temporary, sizeof temporary, "%s.tmp-%ld", import->path,
                 (long)getpid()) >= (int)sizeof temporary)
        return error_set(err, PPT_EUSAGE, "the path %s is too long", import->path);
    describe(import, n_classes, &manifest);
    rc = write_data(import, temporary, n_classes, err);
    if (rc == 0)
        rc = digest_file(temporary, &comm_alone, manifest.digest, err);
    if (rc != 0) {
        unlink(temporary);
        return rc;
    }
    rc = files_replace(temporary, import->path, err);
    if (rc == 0)
        rc = import_manifest_write(&manifest, manifest_path, err);
    if (rc != 0) {
        unlink(import->path);
        return rc;
    }
    *ret_manifest = manifest;
    return 0;
}
