#include "worker/h5.h"

#include <hdf5.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "worker/files.h"

/* The layout is little-endian and so is every machine this runs on. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "ppt-data(5)");

#define ALIGNMENT_BYTES 4096u
#define CACHE_MIN_BYTES (1u << 20)
#define CACHE_MAX_BYTES (64u << 20)
#define CACHE_SLOTS 8191u
#define MAX_FILTERED_CHUNK_BYTES (64u << 20)

struct h5 {
    hid_t id;
    bool is_writable;
    int fd;             /* HDF5's own descriptor, for pread; not ours to close */
    int64_t size_bytes; /* when opened */
    char *path;
};

struct h5_data {
    struct h5 *file;
    hid_t id;
    hid_t memory_type;
    struct h5_shape shape;
    size_t row_bytes;
    int64_t offset; /* of row 0 in the file, or -1: HDF5 must read */
    char *name;
};

/* HDF5 as distributions build it allows one thread at a time, and `last` does too:
 * every function of the header that calls it holds this to its end. */
static pthread_mutex_t library = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

static void let_go(int *held)
{
    (void)held;
    pthread_mutex_unlock(&library);
}

#define HOLD_LIBRARY                                                                   \
    __attribute__((cleanup(let_go), unused)) int held = pthread_mutex_lock(&library)

struct trace {
    char text[ERROR_TEXT_SIZE];
};

static herr_t trace_line(unsigned n, const H5E_error2_t *entry, void *state)
{
    struct trace *trace = state;
    (void)n;
    size_t used = strlen(trace->text);
    if (entry->desc != NULL && entry->desc[0] != '\0')
        snprintf(trace->text + used, sizeof trace->text - used, "%s%s",
                 used > 0 ? ": " : "HDF5: ", entry->desc);
    return 0;
}

/* HDF5's account of the last failure; its own is lost with its next call. */
static struct trace last;

/* Passes on what an HDF5 function returned and keeps its account where it failed. */
static hid_t keep(hid_t result)
{
    if (result < 0) {
        last.text[0] = '\0';
        H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, trace_line, &last);
    }
    return result;
}

/* error_set, with the account as the detail. */
static int fail(struct error *err, enum ppt_error code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int fail(struct error *err, enum ppt_error code, const char *format, ...)
{
    char text[ERROR_TEXT_SIZE];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    error_set(err, code, "%s", text);
    if (last.text[0] != '\0')
        error_detail(err, "%s", last.text);
    last.text[0] = '\0';
    return -(int)code;
}

/* HDF5 prints errors by itself and loads plugins that a file names, unless told. */
static void quieten(void)
{
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    H5PLset_loading_state(0);
}

static hid_t access_list(void)
{
    hid_t list = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_libver_bounds(list, H5F_LIBVER_V18, H5F_LIBVER_LATEST);
    H5Pset_alignment(list, ALIGNMENT_BYTES, ALIGNMENT_BYTES);
    H5Pset_file_locking(list, true, true);
    H5Pset_fclose_degree(list, H5F_CLOSE_STRONG);
    return list;
}

/* Objects without time stamps: the same contents give the same bytes. */
static hid_t untimed(hid_t class)
{
    hid_t list = H5Pcreate(class);
    H5Pset_obj_track_times(list, false);
    return list;
}

static int wrap_file(hid_t id, const char *path, bool is_writable, struct h5 **ret_file,
                     struct error *err)
{
    int *handle = NULL;
    struct stat st;
    struct h5 *file = calloc(1, sizeof *file);
    char *copy = strdup(path);
    if (file == NULL || copy == NULL) {
        free(file), free(copy);
        H5Fclose(id);
        return error_set(err, PPT_ENOMEM, "no memory to open %s", path);
    }
    if (keep(H5Fget_vfd_handle(id, H5P_DEFAULT, (void **)&handle)) < 0 ||
        handle == NULL || fstat(*handle, &st) != 0) {
        fail(err, PPT_EIO, "%s: cannot find its size", path);
        free(file), free(copy);
        H5Fclose(id);
        return -PPT_EIO;
    }
    *file = (struct h5){.id = id,
                        .is_writable = is_writable,
                        .fd = *handle,
                        .size_bytes = st.st_size,
                        .path = copy};
    *ret_file = file;
    return 0;
}

int h5_create(const char *path, struct h5 **ret_file, struct error *err)
{
    HOLD_LIBRARY;
    quieten();
    hid_t list = access_list();
    hid_t create = untimed(H5P_FILE_CREATE);
    hid_t id = keep(H5Fcreate(path, H5F_ACC_TRUNC, create, list));
    H5Pclose(create);
    H5Pclose(list);
    if (id < 0)
        return fail(err, PPT_EIO, "%s: cannot be created", path);
    return wrap_file(id, path, true, ret_file, err);
}

int h5_open(const char *path, struct h5 **ret_file, struct error *err)
{
    HOLD_LIBRARY;
    quieten();
    int rc = files_check_readable(path, err);
    if (rc != 0)
        return rc;
    htri_t is_hdf5 = H5Fis_hdf5(path);
    if (is_hdf5 <= 0)
        return fail(err, PPT_EDATA, "%s: not an HDF5 file", path);
    hid_t list = access_list();
    hid_t id = keep(H5Fopen(path, H5F_ACC_RDONLY, list));
    H5Pclose(list);
    if (id < 0)
        return fail(err, PPT_EDATA, "%s: damaged or truncated HDF5 file", path);
    return wrap_file(id, path, false, ret_file, err);
}

int h5_close(struct h5 *file, struct error *err)
{
    HOLD_LIBRARY;
    if (file == NULL)
        return 0;
    int rc = 0;
    if (keep(H5Fclose(file->id)) < 0)
        rc = fail(err, PPT_EIO, "%s: cannot be closed", file->path);
    else if (file->is_writable)
        rc = files_sync(file->path, err);
    free(file->path);
    free(file);
    return rc;
}

const char *h5_path(const struct h5 *file)
{
    return file->path;
}

int h5_group(struct h5 *file, const char *name, struct error *err)
{
    HOLD_LIBRARY;
    hid_t create = untimed(H5P_GROUP_CREATE);
    hid_t id = keep(H5Gcreate2(file->id, name, H5P_DEFAULT, create, H5P_DEFAULT));
    H5Pclose(create);
    if (id < 0)
        return fail(err, PPT_EIO, "%s: group %s cannot be created", file->path, name);
    H5Gclose(id);
    return 0;
}

/* Every component of `name` must be a hard link: others lead out of the file. */
static int check_links(struct h5 *file, const char *name, struct error *err)
{
    char prefix[2 * H5_MAX_NAME];
    size_t len = strlen(name);
    if (len == 0 || len >= sizeof prefix)
        return error_set(err, PPT_EDATA,
                         "%s: object name of %zu bytes, expected 1..%zu", file->path,
                         len, sizeof prefix - 1);
    if (strcmp(name, "/") == 0)
        return 0;
    for (size_t i = 1; i <= len; i++) {
        if (name[i] != '/' && name[i] != '\0')
            continue;
        memcpy(prefix, name, i);
        prefix[i] = '\0';
        H5L_info_t info;
        if (H5Lexists(file->id, prefix, H5P_DEFAULT) <= 0 ||
            H5Lget_info(file->id, prefix, &info, H5P_DEFAULT) < 0)
            return fail(err, PPT_EDATA, "%s: has no %s", file->path, prefix);
        if (info.type != H5L_TYPE_HARD)
            return error_set(err, PPT_EDATA,
                             "%s: %s is a soft or external link, expected the object "
                             "itself",
                             file->path, prefix);
    }
    return 0;
}

static H5O_type_t object_type(struct h5 *file, const char *name)
{
    H5O_info_t info;
    if (H5Oget_info_by_name(file->id, name, &info, H5P_DEFAULT) < 0) {
        return H5O_TYPE_UNKNOWN;
    }
    return info.type;
}

int h5_groups(struct h5 *file, int max, char (*ret_names)[H5_MAX_NAME], int *ret_n,
              struct error *err)
{
    HOLD_LIBRARY;
    H5G_info_t root;
    if (keep(H5Gget_info(file->id, &root)) < 0)
        return fail(err, PPT_EDATA, "%s: its root group cannot be read", file->path);
    int n = 0;
    for (hsize_t i = 0; i < root.nlinks; i++) {
        char name[H5_MAX_NAME];
        ssize_t len = H5Lget_name_by_idx(file->id, "/", H5_INDEX_NAME, H5_ITER_INC, i,
                                         name, sizeof name, H5P_DEFAULT);
        if (len < 0 || (size_t)len >= sizeof name)
            return fail(err, PPT_EDATA, "%s: a group's name is longer than %d bytes",
                        file->path, H5_MAX_NAME - 1);
        int rc = check_links(file, name, err);
        if (rc != 0)
            return rc;
        if (object_type(file, name) != H5O_TYPE_GROUP)
            continue;
        if (n == max)
            return error_set(err, PPT_EDATA, "%s: more than %d groups", file->path,
                             max);
        memcpy(ret_names[n++], name, sizeof name);
    }
    *ret_n = n;
    return 0;
}

/* Creates attribute `name` of `type` at `where` and writes the one value. */
static int set_attribute(struct h5 *file, const char *where, const char *name,
                         hid_t file_type, hid_t memory_type, const void *value,
                         struct error *err)
{
    hid_t space = H5Screate(H5S_SCALAR);
    hid_t id = keep(H5Acreate_by_name(file->id, where, name, file_type, space,
                                      H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    hid_t status = id < 0 ? -1 : keep(H5Awrite(id, memory_type, value));
    int rc = 0;
    if (status < 0)
        rc = fail(err, PPT_EIO, "%s: attribute %s of %s cannot be written", file->path,
                  name, where);
    if (id >= 0)
        H5Aclose(id);
    H5Sclose(space);
    return rc;
}

int h5_set_text(struct h5 *file, const char *where, const char *name, const char *value,
                struct error *err)
{
    HOLD_LIBRARY;
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, strlen(value) + 1);
    H5Tset_cset(type, H5T_CSET_UTF8);
    int rc = set_attribute(file, where, name, type, type, value, err);
    H5Tclose(type);
    return rc;
}

int h5_set_integer(struct h5 *file, const char *where, const char *name, int64_t value,
                   struct error *err)
{
    HOLD_LIBRARY;
    return set_attribute(file, where, name, H5T_STD_I64LE, H5T_NATIVE_INT64, &value,
                         err);
}

int h5_set_number(struct h5 *file, const char *where, const char *name, double value,
                  struct error *err)
{
    HOLD_LIBRARY;
    return set_attribute(file, where, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, &value,
                         err);
}

/* Opens attribute `name`, which must be one value of class `class`. */
static int open_attribute(struct h5 *file, const char *where, const char *name,
                          H5T_class_t class, const char *class_name, hid_t *ret_id,
                          struct error *err)
{
    int rc = check_links(file, where, err);
    if (rc != 0)
        return rc;
    hid_t id = -1;
    if (H5Aexists_by_name(file->id, where, name, H5P_DEFAULT) > 0)
        id = keep(H5Aopen_by_name(file->id, where, name, H5P_DEFAULT, H5P_DEFAULT));
    if (id < 0)
        return fail(err, PPT_EDATA, "%s: %s has no attribute %s", file->path, where,
                    name);
    hid_t type = H5Aget_type(id);
    hid_t space = H5Aget_space(id);
    bool fits = H5Tget_class(type) == class && H5Sget_simple_extent_npoints(space) == 1;
    if (class == H5T_STRING && H5Tis_variable_str(type) != 0)
        fits = false;
    H5Sclose(space);
    H5Tclose(type);
    if (!fits) {
        H5Aclose(id);
        return fail(err, PPT_EDATA, "%s: attribute %s of %s is not one %s", file->path,
                    name, where, class_name);
    }
    *ret_id = id;
    return 0;
}

int h5_get_text(struct h5 *file, const char *where, const char *name, char *ret_value,
                size_t size, struct error *err)
{
    HOLD_LIBRARY;
    hid_t id;
    int rc = open_attribute(file, where, name, H5T_STRING, "string of fixed length",
                            &id, err);
    if (rc != 0)
        return rc;
    hid_t type = H5Aget_type(id);
    size_t len = H5Tget_size(type);
    char *text = calloc(1, len + 1);
    if (len > size)
        rc = error_set(err, PPT_EDATA,
                       "%s: attribute %s of %s has %zu bytes, expected at most %zu",
                       file->path, name, where, len, size);
    else if (text == NULL)
        rc = error_set(err, PPT_ENOMEM, "no memory for attribute %s", name);
    else if (keep(H5Aread(id, type, text)) < 0)
        rc = fail(err, PPT_EDATA, "%s: attribute %s of %s cannot be read", file->path,
                  name, where);
    else if (strlen(text) >= size)
        rc = error_set(err, PPT_EDATA, "%s: attribute %s of %s has no end", file->path,
                       name, where);
    if (rc == 0)
        memcpy(ret_value, text, strlen(text) + 1);
    free(text);
    H5Tclose(type);
    H5Aclose(id);
    return rc;
}

static int get_value(struct h5 *file, const char *where, const char *name,
                     H5T_class_t class, const char *class_name, hid_t memory_type,
                     void *ret_value, struct error *err)
{
    hid_t id;
    int rc = open_attribute(file, where, name, class, class_name, &id, err);
    if (rc != 0)
        return rc;
    if (keep(H5Aread(id, memory_type, ret_value)) < 0)
        rc = fail(err, PPT_EDATA, "%s: attribute %s of %s cannot be read", file->path,
                  name, where);
    H5Aclose(id);
    return rc;
}

int h5_get_integer(struct h5 *file, const char *where, const char *name,
                   int64_t *ret_value, struct error *err)
{
    HOLD_LIBRARY;
    int64_t value;
    int rc = get_value(file, where, name, H5T_INTEGER, "integer", H5T_NATIVE_INT64,
                       &value, err);
    if (rc == 0)
        *ret_value = value;
    return rc;
}

int h5_get_number(struct h5 *file, const char *where, const char *name,
                  double *ret_value, struct error *err)
{
    HOLD_LIBRARY;
    double value;
    int rc = get_value(file, where, name, H5T_FLOAT, "number", H5T_NATIVE_DOUBLE,
                       &value, err);
    if (rc == 0)
        *ret_value = value;
    return rc;
}

static hid_t memory_type(enum manifest_type type)
{
    switch (type) {
    case TYPE_UINT8:
        return H5T_NATIVE_UINT8;
    case TYPE_FLOAT32:
        return H5T_NATIVE_FLOAT;
    default:
        return H5T_NATIVE_INT64;
    }
}

static size_t type_bytes(enum manifest_type type)
{
    switch (type) {
    case TYPE_UINT8:
        return 1;
    case TYPE_FLOAT32:
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
                             .memory_type = memory_type(shape->type),
                             .shape = *shape,
                             .row_bytes = row_bytes,
                             .offset = -1,
                             .name = copy};
    return data;
}

static hid_t creation_list(const struct h5_shape *shape, int64_t chunk_rows)
{
    hid_t list = untimed(H5P_DATASET_CREATE);
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
    HOLD_LIBRARY;
    size_t row_bytes;
    int rc = measure(file->path, name, shape, &row_bytes, err);
    if (rc != 0)
        return rc;
    hsize_t dims[H5_MAX_DIMS];
    for (int d = 0; d < shape->n_dims; d++)
        dims[d] = (hsize_t)shape->dims[d];
    hid_t space = H5Screate_simple(shape->n_dims, dims, NULL);
    hid_t list = creation_list(shape, chunk_rows);
    hid_t id = keep(H5Dcreate2(file->id, name, memory_type(shape->type), space,
                               H5P_DEFAULT, list, H5P_DEFAULT));
    H5Pclose(list);
    H5Sclose(space);
    if (id < 0)
        return fail(err, PPT_EIO, "%s: %s cannot be created", file->path, name);
    struct h5_data *data = wrap_data(file, name, id, shape, row_bytes);
    if (data == NULL) {
        H5Dclose(id);
        return error_set(err, PPT_ENOMEM, "no memory for %s", name);
    }
    *ret_data = data;
    return 0;
}

/* The array's element type, which must be one of the three (any byte order). */
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
    else
        return fail(err, PPT_EDATA,
                    "%s: %s has elements of %zu bytes of another type, expected uint8, "
                    "float32 or int64",
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
        return fail(err, PPT_EDATA, "%s: %s has %d dimensions, expected 1 to %d", path,
                    name, n_dims, H5_MAX_DIMS);
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
                         const struct h5_shape *shape, size_t *ret_cache,
                         struct error *err)
{
    H5D_layout_t layout = H5Pget_layout(list);
    *ret_cache = 0;
    if (layout == H5D_VIRTUAL || H5Pget_external_count(list) != 0)
        return error_set(err, PPT_EDATA,
                         "%s: the elements of %s lie in other files, expected them in "
                         "this one",
                         path, name);
    if (layout != H5D_CHUNKED)
        return 0;
    hsize_t chunk[H5_MAX_DIMS];
    if (H5Pget_chunk(list, H5_MAX_DIMS, chunk) != shape->n_dims)
        return fail(err, PPT_EDATA, "%s: the chunks of %s cannot be read", path, name);
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
    data->offset = (int64_t)offset;
    return 0;
}

/* Opens the HDF5 dataset with a chunk cache that suits it. */
static int open_dataset(struct h5 *file, const char *name, hid_t *ret_id,
                        hid_t *ret_list, struct h5_shape *ret_shape, struct error *err)
{
    hid_t id = keep(H5Dopen2(file->id, name, H5P_DEFAULT));
    if (id < 0)
        return fail(err, PPT_EDATA, "%s: %s cannot be opened", file->path, name);
    hid_t list = H5Dget_create_plist(id);
    size_t cache = 0;
    int rc = read_shape(file->path, name, id, ret_shape, err);
    if (rc == 0)
        rc = check_storage(file->path, name, list, ret_shape, &cache, err);
    if (rc == 0 && cache > 0) {
        H5Dclose(id);
        hid_t access = H5Pcreate(H5P_DATASET_ACCESS);
        H5Pset_chunk_cache(access, CACHE_SLOTS, cache, 0.75);
        id = keep(H5Dopen2(file->id, name, access));
        H5Pclose(access);
        if (id < 0)
            rc = fail(err, PPT_EDATA, "%s: %s cannot be opened", file->path, name);
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
    HOLD_LIBRARY;
    int rc = check_links(file, name, err);
    if (rc != 0)
        return rc;
    if (object_type(file, name) != H5O_TYPE_DATASET)
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

void h5_data_close(struct h5_data *data)
{
    HOLD_LIBRARY;
    if (data == NULL)
        return;
    H5Dclose(data->id);
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

bool h5_data_is_direct(const struct h5_data *data)
{
    return data->offset >= 0;
}

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
    hid_t status =
        keep(H5Sselect_hyperslab(file_space, H5S_SELECT_SET, start, NULL, count, NULL));
    if (status >= 0 && read_to != NULL)
        status = keep(H5Dread(data->id, data->memory_type, memory, file_space,
                              H5P_DEFAULT, read_to));
    else if (status >= 0)
        status = keep(H5Dwrite(data->id, data->memory_type, memory, file_space,
                               H5P_DEFAULT, write_from));
    H5Sclose(memory);
    H5Sclose(file_space);
    return status;
}

int h5_data_read(struct h5_data *data, int64_t first, size_t n, void *ret_rows,
                 struct error *err)
{
    int rc = check_range(data, first, n, err);
    if (rc != 0 || n == 0)
        return rc;
    if (data->offset >= 0)
        return files_read_at(data->file->fd, data->file->path,
                             data->offset + first * (int64_t)data->row_bytes,
                             n * data->row_bytes, ret_rows, err);
    HOLD_LIBRARY;
    if (transfer(data, first, n, ret_rows, NULL) < 0)
        return fail(err, PPT_EDATA, "%s: %s cannot be read", data->file->path,
                    data->name);
    return 0;
}

int h5_data_write(struct h5_data *data, int64_t first, size_t n, const void *rows,
                  struct error *err)
{
    HOLD_LIBRARY;
    int rc = check_range(data, first, n, err);
    if (rc != 0 || n == 0)
        return rc;
    if (transfer(data, first, n, NULL, rows) < 0)
        return fail(err, PPT_EIO, "%s: %s cannot be written", data->file->path,
                    data->name);
    return 0;
}
