#include "worker/h5_chunks.h"

#include <stdlib.h>
#include <string.h>

#include "worker/chunk_cache.h"
#include "worker/chunk_filters.h"

#define FILTER_LZF 32000 /* h5py's, as registered with The HDF Group */

/* dims and tile have H5_MAX_DIMS entries, 1 behind the array's own. */
struct h5_chunks {
    struct h5_data *data;
    struct chunk_pipeline pipeline;
    size_t element_bytes, capacity;
    int64_t dims[H5_MAX_DIMS], tile[H5_MAX_DIMS];
    int n_threads;
    struct chunk_cache *cache;
    int64_t next; /* the row behind the last that was read; the cache's reader's */
};

/* ---- opening ---- */

static bool read_filter(hid_t list, int i, struct chunk_pipeline *pipeline,
                        int *n_compressors)
{
    unsigned flags, parameters[8] = {0}, info;
    size_t n_parameters = 8;
    char name[1];
    H5Z_filter_t filter = H5Pget_filter2(list, (unsigned)i, &flags, &n_parameters,
                                         parameters, sizeof name, name, &info);
    switch (filter) {
    case H5Z_FILTER_SHUFFLE:
        pipeline->filters[i] = CHUNK_SHUFFLE;
        pipeline->element_bytes = parameters[0];
        return n_parameters > 0 && parameters[0] > 0;
    case H5Z_FILTER_FLETCHER32:
        pipeline->filters[i] = CHUNK_FLETCHER32;
        return true;
    case H5Z_FILTER_DEFLATE:
        pipeline->filters[i] = CHUNK_DEFLATE;
        return ++*n_compressors == 1;
    case FILTER_LZF:
        pipeline->filters[i] = CHUNK_LZF;
        return ++*n_compressors == 1;
    default:
        return false;
    }
}

/* False where a filter is unknown, or HDF5 would treat the last chunks otherwise. */
static bool read_pipeline(hid_t list, struct chunk_pipeline *pipeline)
{
    int n = H5Pget_nfilters(list), n_compressors = 0;
    unsigned options = 0;
    if (n < 0 || n > CHUNK_MAX_FILTERS || H5Pget_chunk_opts(list, &options) < 0 ||
        (n > 0 && (options & H5D_CHUNK_DONT_FILTER_PARTIAL_CHUNKS) != 0))
        return false;
    pipeline->n_filters = n;
    for (int i = 0; i < n; i++)
        if (!read_filter(list, i, pipeline, &n_compressors))
            return false;
    return true;
}

/* Sizes of the array, of a chunk and of a band; false where HDF5 had better read. */
static bool measure_band(struct h5_chunks *chunks, hid_t list)
{
    const struct h5_shape *shape = &chunks->data->shape;
    hsize_t tile[H5_MAX_DIMS];
    if (H5Pget_chunk(list, H5_MAX_DIMS, tile) != shape->n_dims)
        return false;
    double bytes = (double)chunks->element_bytes;
    for (int d = 0; d < H5_MAX_DIMS; d++) {
        chunks->dims[d] = d < shape->n_dims ? shape->dims[d] : 1;
        chunks->tile[d] = d < shape->n_dims ? (int64_t)tile[d] : 1;
        bytes *= (double)chunks->tile[d];
    }
    double band = (double)chunks->tile[0] * (double)chunks->data->row_bytes;
    chunks->pipeline.chunk_bytes = (size_t)bytes;
    return bytes <= H5_CHUNKS_MAX_BAND_BYTES && band <= H5_CHUNKS_MAX_BAND_BYTES;
}

static bool suits(struct h5_chunks *chunks, hid_t list)
{
    hid_t type = H5Dget_type(chunks->data->id);
    bool is_native = H5Tequal(type, chunks->data->memory_type) > 0;
    chunks->element_bytes = H5Tget_size(type);
    H5Tclose(type);
    return is_native && read_pipeline(list, &chunks->pipeline) &&
           measure_band(chunks, list);
}

static int load_band(void *state, int64_t band, void *scratch, unsigned char *ret_rows,
                     struct error *err);

int h5_chunks_open(struct h5_data *data, hid_t list, struct h5_chunks **ret_chunks,
                   struct error *err)
{
    *ret_chunks = NULL;
    if (H5Pget_layout(list) != H5D_CHUNKED)
        return 0;
    struct h5_chunks *chunks = calloc(1, sizeof *chunks);
    if (chunks == NULL)
        return error_set(err, PPT_ENOMEM, "no memory for %s", data->name);
    chunks->data = data;
    if (!suits(chunks, list)) {
        free(chunks);
        return 0;
    }
    chunks->capacity = chunk_filters_capacity(&chunks->pipeline);
    chunks->n_threads = data->file->n_threads;
    const struct chunk_source source = {.chunk_bytes =
                                            (size_t)chunks->tile[0] * data->row_bytes,
                                        .scratch_bytes = 2 * chunks->capacity,
                                        .load = load_band,
                                        .state = chunks};
    int rc = chunk_cache_open(&source, chunks->n_threads, &chunks->cache, err);
    if (rc != 0)
        free(chunks);
    else
        *ret_chunks = chunks;
    return rc;
}

void h5_chunks_close(struct h5_chunks *chunks)
{
    if (chunks == NULL)
        return;
    chunk_cache_close(chunks->cache);
    free(chunks);
}

/* ---- one band ---- */

/* A chunk as it is stored; *ret_len 0 where HDF5 finds none. */
static int read_stored(struct h5_chunks *chunks, const hsize_t *offset,
                       unsigned char *ret_stored, size_t most, size_t *ret_len,
                       uint32_t *ret_skipped, struct error *err)
{
    H5_HOLD_LIBRARY;
    struct h5_data *data = chunks->data;
    hsize_t len = 0;
    *ret_len = 0;
    if (H5Dget_chunk_storage_size(data->id, offset, &len) < 0 || len == 0)
        return 0;
    if (len > most)
        return error_set(err, PPT_EDATA, "%s: %s: a chunk is damaged (its length)",
                         data->file->path, data->name);
    if (h5_keep(H5Dread_chunk(data->id, H5P_DEFAULT, offset, ret_skipped, ret_stored)) <
        0)
        return h5_fail(err, PPT_EDATA, "%s: a chunk of %s cannot be read",
                       data->file->path, data->name);
    *ret_len = (size_t)len;
    return 0;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* The part of a chunk that lies in the array: where it begins and how much it is. */
struct part {
    int64_t at[H5_MAX_DIMS], n[H5_MAX_DIMS];
};

static struct part part_of(const struct h5_chunks *chunks, const hsize_t *offset)
{
    struct part part;
    for (int d = 0; d < H5_MAX_DIMS; d++) {
        part.at[d] = (int64_t)offset[d];
        part.n[d] = least(chunks->tile[d], chunks->dims[d] - part.at[d]);
    }
    return part;
}

/* A chunk that HDF5 does not find was never written, and then it reads the fill value;
 * or it cannot be found, and then it says why. Its versions tell the two apart in
 * different ways, so that it had better decide. */
static int read_missing(struct h5_chunks *chunks, const struct part *part,
                        unsigned char *ret_rows, struct error *err)
{
    H5_HOLD_LIBRARY;
    struct h5_data *data = chunks->data;
    hsize_t start[H5_MAX_DIMS], count[H5_MAX_DIMS], memory_start[H5_MAX_DIMS],
        memory_dims[H5_MAX_DIMS];
    for (int d = 0; d < H5_MAX_DIMS; d++) {
        start[d] = (hsize_t)part->at[d];
        count[d] = (hsize_t)part->n[d];
        memory_start[d] = d > 0 ? start[d] : 0;
        memory_dims[d] = d > 0 ? (hsize_t)chunks->dims[d] : count[d];
    }
    hid_t space = H5Dget_space(data->id);
    hid_t memory = H5Screate_simple(data->shape.n_dims, memory_dims, NULL);
    H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL);
    H5Sselect_hyperslab(memory, H5S_SELECT_SET, memory_start, NULL, count, NULL);
    herr_t status = (herr_t)h5_keep(
        H5Dread(data->id, data->memory_type, memory, space, H5P_DEFAULT, ret_rows));
    H5Sclose(memory);
    H5Sclose(space);
    if (status < 0)
        return h5_fail(err, PPT_EDATA, "%s: a chunk of %s cannot be read",
                       data->file->path, data->name);
    return 0;
}

/* A chunk is a band. */
static bool holds_rows(const struct h5_chunks *chunks)
{
    const int64_t *dims = chunks->dims, *tile = chunks->tile;
    return tile[1] == dims[1] && tile[2] == dims[2] && tile[3] == dims[3];
}

/* Into its place among the band's rows. */
static void paste(const struct h5_chunks *chunks, const struct part *part,
                  const unsigned char *chunk, unsigned char *ret_rows)
{
    const int64_t *dims = chunks->dims, *tile = chunks->tile, *at = part->at;
    size_t bytes = chunks->element_bytes;
    if (holds_rows(chunks)) {
        memcpy(ret_rows, chunk, (size_t)part->n[0] * chunks->data->row_bytes);
        return;
    }
    for (int64_t r = 0; r < part->n[0]; r++)
        for (int64_t i = 0; i < part->n[1]; i++)
            for (int64_t j = 0; j < part->n[2]; j++) {
                int64_t from = ((r * tile[1] + i) * tile[2] + j) * tile[3];
                int64_t to =
                    ((r * dims[1] + at[1] + i) * dims[2] + at[2] + j) * dims[3] + at[3];
                memcpy(ret_rows + (size_t)to * bytes, chunk + (size_t)from * bytes,
                       (size_t)part->n[3] * bytes);
            }
}

static int load_chunk(struct h5_chunks *chunks, const hsize_t *offset,
                      unsigned char *scratch, unsigned char *ret_rows,
                      struct error *err)
{
    struct part part = part_of(chunks, offset);
    /* Where there is nothing to undo nor to put elsewhere. */
    bool is_band = chunks->pipeline.n_filters == 0 && holds_rows(chunks);
    unsigned char *stored = is_band ? ret_rows : scratch, *chunk = stored;
    uint32_t skipped = 0;
    size_t len = 0;
    int rc = read_stored(chunks, offset, stored,
                         is_band ? chunks->pipeline.chunk_bytes : chunks->capacity,
                         &len, &skipped, err);
    if (rc == 0 && len == 0)
        return read_missing(chunks, &part, ret_rows, err);
    if (rc != 0)
        return rc;
    rc = chunk_filters_undo(&chunks->pipeline, skipped, stored, len,
                            scratch + chunks->capacity, &chunk, err);
    if (rc != 0) {
        error_prefix(err, "%s: %s", chunks->data->file->path, chunks->data->name);
        return error_hint(err, "restore the file from where it was made");
    }
    if (!is_band)
        paste(chunks, &part, chunk, ret_rows);
    return 0;
}

static int load_band(void *state, int64_t band, void *scratch, unsigned char *ret_rows,
                     struct error *err)
{
    struct h5_chunks *chunks = state;
    const int64_t *dims = chunks->dims, *tile = chunks->tile;
    hsize_t offset[H5_MAX_DIMS] = {(hsize_t)(band * tile[0])};
    int rc = 0;
    for (int64_t i = 0; rc == 0 && i < dims[1]; i += tile[1])
        for (int64_t j = 0; rc == 0 && j < dims[2]; j += tile[2])
            for (int64_t k = 0; rc == 0 && k < dims[3]; k += tile[3]) {
                offset[1] = (hsize_t)i, offset[2] = (hsize_t)j, offset[3] = (hsize_t)k;
                rc = load_chunk(chunks, offset, scratch, ret_rows, err);
            }
    return rc;
}

/* ---- rows ---- */

/* The rows of one call, given by a list or by the first of them. */
struct asked {
    const int64_t *rows;
    int64_t first;
    size_t n;
};

static int64_t row_at(const struct asked *asked, size_t i)
{
    return asked->rows != NULL ? asked->rows[i] : asked->first + (int64_t)i;
}

/* The first of asked[i..n) that lies in another band than asked[i]. */
static size_t skip_band(const struct h5_chunks *chunks, const struct asked *asked,
                        size_t i)
{
    int64_t end = (row_at(asked, i) / chunks->tile[0] + 1) * chunks->tile[0];
    if (asked->rows == NULL) {
        int64_t left = end - row_at(asked, i);
        return left < (int64_t)(asked->n - i) ? i + (size_t)left : asked->n;
    }
    while (i < asked->n && asked->rows[i] < end)
        i++;
    return i;
}

/* Wants bands of asked[i..n) until there is no room; returns the first row left. */
static size_t want_bands(struct h5_chunks *chunks, const struct asked *asked, size_t i)
{
    while (i < asked->n &&
           chunk_cache_want(chunks->cache, row_at(asked, i) / chunks->tile[0]))
        i = skip_band(chunks, asked, i);
    return i;
}

/* One who reads on from where the last call ended will go on. */
static void look_ahead(struct h5_chunks *chunks, const struct asked *asked)
{
    int64_t first = row_at(asked, 0), last = row_at(asked, asked->n - 1);
    bool goes_on = first == chunks->next && last - first == (int64_t)asked->n - 1;
    chunks->next = last + 1;
    int64_t band = last / chunks->tile[0];
    for (int k = 1; goes_on && k <= chunks->n_threads; k++)
        if ((band + k) * chunks->tile[0] < chunks->dims[0])
            chunk_cache_want(chunks->cache, band + k);
}

/* asked[i..end), all of one band. */
static void copy_rows(const struct h5_chunks *chunks, const struct asked *asked,
                      size_t i, size_t end, const unsigned char *band, char *ret_rows,
                      size_t stride)
{
    size_t row_bytes = chunks->data->row_bytes;
    int64_t start = row_at(asked, i) / chunks->tile[0] * chunks->tile[0];
    if (asked->rows == NULL && stride == row_bytes) {
        memcpy(ret_rows, band + (size_t)(row_at(asked, i) - start) * row_bytes,
               (end - i) * row_bytes);
        return;
    }
    for (; i < end; i++, ret_rows += stride)
        memcpy(ret_rows, band + (size_t)(row_at(asked, i) - start) * row_bytes,
               row_bytes);
}

int h5_chunks_read(struct h5_chunks *chunks, const int64_t *rows, int64_t first,
                   size_t n, void *ret_rows, size_t stride, struct error *err)
{
    const struct asked asked = {rows, first, n};
    size_t wanted = 0;
    int rc = 0;
    if (n == 0)
        return 0;
    chunk_cache_begin(chunks->cache);
    for (size_t i = 0; rc == 0 && i < n;) {
        const unsigned char *band;
        if (chunks->n_threads > 1)
            wanted = want_bands(chunks, &asked, wanted > i ? wanted : i);
        rc = chunk_cache_take(chunks->cache, row_at(&asked, i) / chunks->tile[0], &band,
                              err);
        if (rc != 0)
            break;
        size_t end = skip_band(chunks, &asked, i);
        copy_rows(chunks, &asked, i, end, band, (char *)ret_rows + i * stride, stride);
        i = end;
    }
    if (rc == 0 && chunks->n_threads > 1)
        look_ahead(chunks, &asked);
    chunk_cache_end(chunks->cache);
    return rc;
}
