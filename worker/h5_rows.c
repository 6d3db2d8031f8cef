#include "worker/files.h"
#include "worker/h5.h"
#include "worker/h5_chunks.h"
#include "worker/h5_inside.h"
#include "worker/page_cache.h"

/* Whoever reads so many rows in one piece passes over the file. One who reads here and
 * there may meet the pages again, however large it is. */
#define PASS_ROWS 32

static int check_range(const struct h5_data *data, int64_t first, size_t n,
                       struct error *err)
{
    if (first < 0 || first > data->shape.dims[0] ||
        n > (uint64_t)(data->shape.dims[0] - first))
        return error_set(err, PPT_EINTERNAL, "%s: rows outside %s were asked for",
                         data->file->path, data->name);
    return 0;
}

/* Reads or writes a run of rows through HDF5. */
static hid_t transfer(struct h5_data *data, int64_t first, size_t n, void *read_to,
                      const void *write_from)
{
    hsize_t start[H5_MAX_DIMS] = {(hsize_t)first};
    hsize_t count[H5_MAX_DIMS] = {n};
    for (int d = 1; d < data->shape.n_dims; d++)
        count[d] = (hsize_t)data->shape.dims[d];
    hid_t file_space = H5Dget_space(data->id);
    hid_t memory = H5Screate_simple(data->shape.n_dims, count, NULL);
    hid_t status = h5_keep(
        H5Sselect_hyperslab(file_space, H5S_SELECT_SET, start, NULL, count, NULL));
    if (status >= 0 && read_to != NULL)
        status = h5_keep(H5Dread(data->id, data->memory_type, memory, file_space,
                                 H5P_DEFAULT, read_to));
    else if (status >= 0)
        status = h5_keep(H5Dwrite(data->id, data->memory_type, memory, file_space,
                                  H5P_DEFAULT, write_from));
    H5Sclose(memory);
    H5Sclose(file_space);
    return status;
}

static int read_parts(struct h5_data *data, int64_t first, size_t n,
                      unsigned char *ret_rows, struct error *err)
{
    while (n > 0) {
        struct h5_data *part;
        int64_t start;
        int rc = h5_data_part(data, first, &part, &start, err);
        if (rc != 0)
            return rc;
        uint64_t left = (uint64_t)(start + part->shape.dims[0] - first);
        size_t k = left < n ? (size_t)left : n;
        rc = h5_data_read(part, first - start, k, ret_rows, err);
        if (rc != 0)
            return rc;
        first += (int64_t)k;
        n -= k;
        ret_rows += k * data->row_bytes;
    }
    return 0;
}

/* Rows [first, first + n) of a direct array, `stride` bytes apart. */
static int read_direct(struct h5_data *data, int64_t first, size_t n, void *ret_rows,
                       size_t stride, struct error *err)
{
    size_t len = n * data->row_bytes;
    int64_t at = data->offset + first * (int64_t)data->row_bytes;
    int rc = stride == data->row_bytes
                 ? files_read_at(data->fd, data->file->path, at, len, ret_rows, err)
                 : files_scatter_at(data->fd, data->file->path, at, n, data->row_bytes,
                                    stride, ret_rows, err);
    if (rc == 0 && data->drops_behind && n >= PASS_ROWS)
        page_cache_drop_behind(data->fd, at, len);
    return rc;
}

int h5_data_read(struct h5_data *data, int64_t first, size_t n, void *ret_rows,
                 struct error *err)
{
    int rc = check_range(data, first, n, err);
    if (rc != 0 || n == 0)
        return rc;
    if (data->n_parts > 0)
        return read_parts(data, first, n, ret_rows, err);
    if (data->offset >= 0)
        return read_direct(data, first, n, ret_rows, data->row_bytes, err);
    if (data->chunks != NULL)
        return h5_chunks_read(data->chunks, NULL, first, n, ret_rows, data->row_bytes,
                              err);
    H5_HOLD_LIBRARY;
    if (transfer(data, first, n, ret_rows, NULL) < 0)
        return h5_fail(err, PPT_EDATA, "%s: %s cannot be read", data->file->path,
                       data->name);
    return 0;
}

int h5_data_scatter(struct h5_data *data, int64_t first, size_t n, void *ret_rows,
                    size_t stride, struct error *err)
{
    int rc = check_range(data, first, n, err);
    if (rc != 0 || n == 0)
        return rc;
    if (data->offset < 0)
        return error_set(err, PPT_EINTERNAL, "%s: %s does not lie in one piece",
                         data->file->path, data->name);
    return read_direct(data, first, n, ret_rows, stride, err);
}

int h5_data_pick(struct h5_data *data, const int64_t *rows, size_t n, void *ret_rows,
                 size_t stride, struct error *err)
{
    if (n == 0)
        return 0;
    int rc = check_range(data, rows[0], (size_t)(rows[n - 1] - rows[0]) + 1, err);
    if (rc != 0)
        return rc;
    if (data->chunks == NULL)
        return error_set(err, PPT_EINTERNAL, "%s: %s is not chunked", data->file->path,
                         data->name);
    return h5_chunks_read(data->chunks, rows, 0, n, ret_rows, stride, err);
}

int h5_data_write(struct h5_data *data, int64_t first, size_t n, const void *rows,
                  struct error *err)
{
    H5_HOLD_LIBRARY;
    int rc = check_range(data, first, n, err);
    if (rc != 0 || n == 0)
        return rc;
    if (transfer(data, first, n, NULL, rows) < 0)
        return h5_fail(err, PPT_EIO, "%s: %s cannot be written", data->file->path,
                       data->name);
    return 0;
}
