#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "worker/h5.h"
#include "worker/h5_chunks.h"
#include "worker/h5_inside.h"
#include "worker/h5_virtual.h"

#define CACHE_MIN_BYTES (1u << 20)
#define CACHE_MAX_BYTES (64u << 20)
#define CACHE_SLOTS 8191u
#define MAX_FILTERED_CHUNK_BYTES (64u << 20)

hid_t h5_memory_type(enum manifest_type type)
{
    switch (type) {
    case TYPE_UINT8:
        return H5T_NATIVE_UINT8;
    case TYPE_FLOAT32:
        return H5T_NATIVE_FLOAT;
    case TYPE_UINT16:
        return H5T_NATIVE_UINT16;
    case TYPE_INT32:
        return H5T_NATIVE_INT32;
    default:
        return H5T_NATIVE_INT64;
    }
}

static size_t type_bytes(enum manifest_type type)
{
    switch (type) {
    case TYPE_UINT8:
        return 1;
    case TYPE_UINT16:
        return 2;
    case TYPE_FLOAT32:
    case TYPE_INT32:
        return 4;
    default:
        return 8;
    }
}

/* Row and total size fit in 62 bits and a row in H5_MAX_ROW_BYTES. */
static int measure(const char *path, const char *name, const struct h5_shape *shape,
                   size_t *ret_row_bytes, struct error *err)
{
    uint64_t bytes = type_bytes(shape->type);
    for (int d = 1; d < shape->n_dims; d++) {
        uint64_t dim = (uint64_t)shape->dims[d];
        if (dim == 0 || dim > H5_MAX_ROW_BYTES || bytes * dim > H5_MAX_ROW_BYTES)
            return error_set(err, PPT_EDATA,
                             "%s: a row of %s is empty or larger than %u bytes", path,
                             name, H5_MAX_ROW_BYTES);
        bytes *= dim;
    }
    if (shape->dims[0] < 0 || (uint64_t)shape->dims[0] > (UINT64_C(1) << 62) / bytes)
        return error_set(err, PPT_EDATA, "%s: %s claims an impossible size", path,
                         name);
    *ret_row_bytes = (size_t)bytes;
    return 0;
}

static struct h5_data *wrap_data(struct h5 *file, const char *name, hid_t id,
                                 const struct h5_shape *shape, size_t row_bytes)
{
    struct h5_data *data = calloc(1, sizeof *data);
    char *copy = strdup(name);
    if (data == NULL || copy == NULL) {
        free(data), free(copy);
        return NULL;
    }
    *data = (struct h5_data){.file = file,
                             .id = id,
                             .memory_type = h5_memory_type(shape->type),
                             .shape = *shape,
                             .row_bytes = row_bytes,
                             .offset = -1,
                             .fd = -1,
                             .name = copy};
    return data;
}

static hid_t creation_list(const struct h5_shape *shape, int64_t chunk_rows)
{
    hid_t list = h5_untimed(H5P_DATASET_CREATE);
    if (chunk_rows == 0) {
        H5Pset_layout(list, H5D_CONTIGUOUS);
        H5Pset_alloc_time(list, H5D_ALLOC_TIME_EARLY);
        H5Pset_fill_time(list, H5D_FILL_TIME_NEVER);
        return list;
    }
    hsize_t chunk[H5_MAX_DIMS];
    for (int d = 0; d < shape->n_dims; d++)
        chunk[d] = (hsize_t)(d == 0 ? chunk_rows : shape->dims[d]);
    H5Pset_chunk(list, shape->n_dims, chunk);
    return list;
}

int h5_data_create(struct h5 *file, const char *name, const struct h5_shape *shape,
                   int64_t chunk_rows, struct h5_data **ret_data, struct error *err)
{
    H5_HOLD_LIBRARY;
    size_t row_bytes;
    int rc = measure(file->path, name, shape, &row_bytes, err);
    if (rc != 0)
        return rc;
    hsize_t dims[H5_MAX_DIMS];
    for (int d = 0; d < shape->n_dims; d++)
        dims[d] = (hsize_t)shape->dims[d];
    hid_t space = H5Screate_simple(shape->n_dims, dims, NULL);
    hid_t list = creation_list(shape, chunk_rows);
    hid_t id = h5_keep(H5Dcreate2(file->id, name, h5_memory_type(shape->type), space,
                                  H5P_DEFAULT, list, H5P_DEFAULT));
    H5Pclose(list);
    H5Sclose(space);
    if (id < 0)
        return h5_fail(err, PPT_EIO, "%s: %s cannot be created", file->path, name);
    struct h5_data *data = wrap_data(file, name, id, shape, row_bytes);
    if (data == NULL) {
        H5Dclose(id);
        return error_set(err, PPT_ENOMEM, "no memory for %s", name);
    }
    *ret_data = data;
    return 0;
}

/* The array's element type, which must be one of these (any byte order). */
static int read_type(const char *path, const char *name, hid_t id,
                     enum manifest_type *ret_type, struct error *err)
{
    hid_t type = H5Dget_type(id);
    H5T_class_t class = H5Tget_class(type);
    size_t bytes = H5Tget_size(type);
    bool is_signed = class == H5T_INTEGER && H5Tget_sign(type) == H5T_SGN_2;
    H5Tclose(type);
    if (class == H5T_INTEGER && bytes == 1 && !is_signed)
        *ret_type = TYPE_UINT8;
    else if (class == H5T_FLOAT && bytes == 4)
        *ret_type = TYPE_FLOAT32;
    else if (class == H5T_INTEGER && bytes == 8 && is_signed)
        *ret_type = TYPE_INT64;
    else if (class == H5T_INTEGER && bytes == 2 && !is_signed)
        *ret_type = TYPE_UINT16;
    else if (class == H5T_INTEGER && bytes == 4 && is_signed)
        *ret_type = TYPE_INT32;
    else
        return h5_fail(
            err, PPT_EDATA,
            "%s: %s has elements of %zu bytes of another type, expected uint8, "
            "uint16, int32, int64 or float32",
            path, name, bytes);
    return 0;
}

static int read_shape(const char *path, const char *name, hid_t id,
                      struct h5_shape *ret_shape, struct error *err)
{
    hsize_t dims[H5S_MAX_RANK];
    struct h5_shape shape = {0};
    hid_t space = H5Dget_space(id);
    int n_dims = H5Sget_simple_extent_type(space) == H5S_SIMPLE
                     ? H5Sget_simple_extent_dims(space, dims, NULL)
                     : 0;
    H5Sclose(space);
    if (n_dims < 1 || n_dims > H5_MAX_DIMS)
        return h5_fail(err, PPT_EDATA, "%s: %s has %d dimensions, expected 1 to %d",
                       path, name, n_dims, H5_MAX_DIMS);
    shape.n_dims = n_dims;
    for (int d = 0; d < n_dims; d++) {
        if (dims[d] > INT64_MAX)
            return error_set(err, PPT_EDATA, "%s: %s claims an impossible size", path,
                             name);
        shape.dims[d] = (int64_t)dims[d];
    }
    int rc = read_type(path, name, id, &shape.type, err);
    if (rc == 0)
        *ret_shape = shape;
    return rc;
}

/* Refuses storage in other files and chunks that would not fit in memory; *ret_cache is
 * the chunk cache the array deserves, 0 where it is not chunked. */
static int check_storage(const char *path, const char *name, hid_t list,
                         const struct h5_shape *shape, bool may_be_virtual,
                         size_t *ret_cache, struct error *err)
{
    H5D_layout_t layout = H5Pget_layout(list);
    *ret_cache = 0;
    if (H5Pget_external_count(list) != 0 ||
        (layout == H5D_VIRTUAL && !may_be_virtual)) {
        error_set(
            err, PPT_EDATA,
            "%s: the elements of %s lie in other files, expected them in this one",
            path, name);
        return error_hint(err, "ppt-data join makes one data set of several files");
    }
    if (layout != H5D_CHUNKED)
        return 0;
    hsize_t chunk[H5_MAX_DIMS];
    if (H5Pget_chunk(list, H5_MAX_DIMS, chunk) != shape->n_dims)
        return h5_fail(err, PPT_EDATA, "%s: the chunks of %s cannot be read", path,
                       name);
    double bytes = (double)type_bytes(shape->type);
    for (int d = 0; d < shape->n_dims; d++)
        bytes *= (double)chunk[d];
    if (H5Pget_nfilters(list) > 0 && bytes > MAX_FILTERED_CHUNK_BYTES)
        return error_set(err, PPT_EDATA,
                         "%s: %s has compressed chunks larger than %u MiB", path, name,
                         MAX_FILTERED_CHUNK_BYTES >> 20);
    double cache = 4.0 * bytes;
    *ret_cache = cache < CACHE_MIN_BYTES   ? CACHE_MIN_BYTES
                 : cache > CACHE_MAX_BYTES ? CACHE_MAX_BYTES
                                           : (size_t)cache;
    return 0;
}

/* The file that is open here, whatever its path names by now, and with a position of
 * its own where the system lets us; else -1. */
static int open_again(int fd)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int again = open(path, O_RDONLY | O_CLOEXEC);
    return again >= 0 ? again : fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

/* The offset of row 0 where pread may be used, else -1. */
static int find_offset(struct h5_data *data, hid_t list, struct error *err)
{
    if (H5Pget_layout(list) != H5D_CONTIGUOUS || H5Pget_nfilters(list) != 0)
        return 0;
    hid_t type = H5Dget_type(data->id);
    bool is_native = H5Tequal(type, data->memory_type) > 0;
    H5Tclose(type);
    hid_t create = H5Fget_create_plist(data->file->id);
    hsize_t user_block = 1;
    H5Pget_userblock(create, &user_block);
    H5Pclose(create);
    haddr_t offset = H5Dget_offset(data->id);
    if (!is_native || user_block != 0 || offset == HADDR_UNDEF)
        return 0;
    uint64_t need = (uint64_t)data->shape.dims[0] * data->row_bytes;
    uint64_t size = (uint64_t)data->file->size_bytes;
    if (offset > size || need > size - offset)
        return error_set(err, PPT_EDATA,
                         "%s: truncated: %s reaches beyond the end of the file",
                         data->file->path, data->name);
    data->fd = open_again(data->file->fd);
    if (data->fd < 0)
        return error_errno(err, PPT_EIO, "cannot open %s again", data->file->path);
    data->offset = (int64_t)offset;
    return 0;
}

/* Plugins stay out, so what HDF5 was not built with cannot be read. */
static int check_filters(const struct h5_data *data, hid_t list, struct error *err)
{
    int n = H5Pget_nfilters(list);
    for (int i = 0; i < n; i++) {
        unsigned flags, info;
        size_t n_parameters = 0;
        char name[64] = "";
        H5Z_filter_t filter = H5Pget_filter2(list, (unsigned)i, &flags, &n_parameters,
                                             NULL, sizeof name, name, &info);
        if (H5Zfilter_avail(filter) > 0)
            continue;
        error_set(
            err, PPT_EDATA,
            "%s: %s went through filter %d (%.40s), expected deflate, LZF, shuffle "
            "or fletcher32",
            data->file->path, data->name, (int)filter, name);
        return error_hint(err, "repack it: h5repack -f GZIP=4 OLD.h5 NEW.h5");
    }
    return 0;
}

/* Opens the HDF5 dataset with a chunk cache that suits it. */
static int open_dataset(struct h5 *file, const char *name, hid_t *ret_id,
                        hid_t *ret_list, struct h5_shape *ret_shape, struct error *err)
{
    hid_t id = h5_keep(H5Dopen2(file->id, name, H5P_DEFAULT));
    if (id < 0)
        return h5_fail(err, PPT_EDATA, "%s: %s cannot be opened", file->path, name);
    hid_t list = H5Dget_create_plist(id);
    size_t cache = 0;
    int rc = read_shape(file->path, name, id, ret_shape, err);
    if (rc == 0)
        rc = check_storage(file->path, name, list, ret_shape, file->n_sources > 0,
                           &cache, err);
    if (rc == 0 && cache > 0) {
        H5Dclose(id);
        hid_t access = H5Pcreate(H5P_DATASET_ACCESS);
        H5Pset_chunk_cache(access, CACHE_SLOTS, cache, 0.75);
        id = h5_keep(H5Dopen2(file->id, name, access));
        H5Pclose(access);
        if (id < 0)
            rc = h5_fail(err, PPT_EDATA, "%s: %s cannot be opened", file->path, name);
    }
    if (rc != 0) {
        if (id >= 0)
            H5Dclose(id);
        H5Pclose(list);
        return rc;
    }
    *ret_id = id;
    *ret_list = list;
    return 0;
}

int h5_data_open(struct h5 *file, const char *name, struct h5_data **ret_data,
                 struct error *err)
{
    H5_HOLD_LIBRARY;
    int rc = h5_check_links(file, name, err);
    if (rc != 0)
        return rc;
    if (h5_object_type(file, name) != H5O_TYPE_DATASET)
        return error_set(err, PPT_EDATA, "%s: %s is not an array", file->path, name);
    hid_t id = -1, list = -1;
    struct h5_shape shape = {0};
    size_t row_bytes;
    rc = open_dataset(file, name, &id, &list, &shape, err);
    if (rc != 0)
        return rc;
    struct h5_data *data = NULL;
    rc = measure(file->path, name, &shape, &row_bytes, err);
    if (rc != 0)
        goto out;
    data = wrap_data(file, name, id, &shape, row_bytes);
    if (data == NULL) {
        rc = error_set(err, PPT_ENOMEM, "no memory for %s", name);
        goto out;
    }
    id = -1;
    rc = find_offset(data, list, err);
    if (rc == 0)
        rc = h5_chunks_open(data, list, &data->chunks, err);
    if (rc == 0)
        rc = h5_virtual_open(data, list, err);
    if (rc == 0 && data->chunks == NULL)
        rc = check_filters(data, list, err);
    if (rc != 0)
        goto out;
    *ret_data = data;
    data = NULL;
out:
    H5Pclose(list);
    if (id >= 0)
        H5Dclose(id);
    h5_data_close(data);
    return rc;
}

bool h5_has_data(struct h5 *file, const char *name)
{
    H5_HOLD_LIBRARY;
    return h5_object_type(file, name) == H5O_TYPE_DATASET;
}

void h5_data_close(struct h5_data *data)
{
    if (data == NULL)
        return;
    h5_chunks_close(data->chunks);
    h5_virtual_close(data);
    H5_HOLD_LIBRARY;
    H5Dclose(data->id);
    if (data->fd >= 0)
        close(data->fd);
    free(data->name);
    free(data);
}

const struct h5_shape *h5_data_shape(const struct h5_data *data)
{
    return &data->shape;
}

size_t h5_data_row_bytes(const struct h5_data *data)
{
    return data->row_bytes;
}

void h5_data_drop_behind(struct h5_data *data, bool does)
{
    data->drops_behind = does;
}

bool h5_data_is_direct(const struct h5_data *data)
{
    return data->offset >= 0;
}

bool h5_data_is_chunked(const struct h5_data *data)
{
    return data->chunks != NULL;
}
