#include "worker/h5.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "worker/files.h"
#include "worker/h5_inside.h"
#include "worker/h5_virtual.h"

#define ALIGNMENT_BYTES 4096u

/* Recursive: what holds it may call what holds it. */
static pthread_mutex_t library = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

int h5_hold(void)
{
    return pthread_mutex_lock(&library);
}

void h5_let_go(const int *held)
{
    (void)held;
    pthread_mutex_unlock(&library);
}

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

hid_t h5_keep(hid_t result)
{
    if (result < 0) {
        last.text[0] = '\0';
        H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, trace_line, &last);
    }
    return result;
}

int h5_fail(struct error *err, enum ppt_error code, const char *format, ...)
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

/* HDF5 prints errors by itself and loads plugins that a file names, unless told. And it
 * gives half a megabyte back to the system with each file that is closed, to get it
 * again for the next: it may keep as much for structures (no record is in these). For
 * arrays and blocks its own limits stay. */
static void quieten(void)
{
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    H5PLset_loading_state(0);
    H5set_free_list_limits(8 << 20, 4 << 20, 4 << 20, 256 << 10, 16 << 20, 1 << 20);
}

static hid_t access_list(H5F_libver_t oldest)
{
    hid_t list = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_libver_bounds(list, oldest, H5F_LIBVER_LATEST);
    H5Pset_alignment(list, ALIGNMENT_BYTES, ALIGNMENT_BYTES);
    H5Pset_file_locking(list, true, true);
    H5Pset_fclose_degree(list, H5F_CLOSE_STRONG);
    return list;
}

hid_t h5_untimed(hid_t class)
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
    if (h5_keep(H5Fget_vfd_handle(id, H5P_DEFAULT, (void **)&handle)) < 0 ||
        handle == NULL || fstat(*handle, &st) != 0) {
        h5_fail(err, PPT_EIO, "%s: cannot find its size", path);
        free(file), free(copy);
        H5Fclose(id);
        return -PPT_EIO;
    }
    *file = (struct h5){.id = id,
                        .is_writable = is_writable,
                        .fd = *handle,
                        .size_bytes = st.st_size,
                        .n_threads = 1,
                        .path = copy};
    *ret_file = file;
    return 0;
}

static int create(const char *path, H5F_libver_t oldest, struct h5 **ret_file,
                  struct error *err)
{
    H5_HOLD_LIBRARY;
    quieten();
    hid_t list = access_list(oldest);
    hid_t create = h5_untimed(H5P_FILE_CREATE);
    hid_t id = h5_keep(H5Fcreate(path, H5F_ACC_TRUNC, create, list));
    H5Pclose(create);
    H5Pclose(list);
    if (id < 0)
        return h5_fail(err, PPT_EIO, "%s: cannot be created", path);
    return wrap_file(id, path, true, ret_file, err);
}

int h5_create(const char *path, struct h5 **ret_file, struct error *err)
{
    return create(path, H5F_LIBVER_V18, ret_file, err);
}

int h5_create_bare(const char *path, struct h5 **ret_file, struct error *err)
{
    return create(path, H5F_LIBVER_EARLIEST, ret_file, err);
}

int h5_open(const char *path, struct h5 **ret_file, struct error *err)
{
    H5_HOLD_LIBRARY;
    quieten();
    int rc = files_check_readable(path, err);
    if (rc != 0)
        return rc;
    hid_t list = access_list(H5F_LIBVER_V18);
    hid_t id = h5_keep(H5Fopen(path, H5F_ACC_RDONLY, list));
    H5Pclose(list);
    if (id < 0 && H5Fis_hdf5(path) <= 0)
        return h5_fail(err, PPT_EDATA, "%s: not an HDF5 file", path);
    if (id < 0)
        return h5_fail(err, PPT_EDATA, "%s: damaged or truncated HDF5 file", path);
    struct h5 *file;
    rc = wrap_file(id, path, false, &file, err);
    if (rc != 0)
        return rc;
    rc = h5_virtual_read_sources(file, err);
    if (rc != 0)
        h5_close(file, NULL);
    else
        *ret_file = file;
    return rc;
}

int h5_close(struct h5 *file, struct error *err)
{
    H5_HOLD_LIBRARY;
    if (file == NULL)
        return 0;
    int rc = 0;
    h5_virtual_free_sources(file);
    if (h5_keep(H5Fclose(file->id)) < 0)
        rc = h5_fail(err, PPT_EIO, "%s: cannot be closed", file->path);
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

void h5_set_threads(struct h5 *file, int n_threads)
{
    file->n_threads = n_threads;
}

int h5_group(struct h5 *file, const char *name, struct error *err)
{
    H5_HOLD_LIBRARY;
    hid_t create = h5_untimed(H5P_GROUP_CREATE);
    hid_t id = h5_keep(H5Gcreate2(file->id, name, H5P_DEFAULT, create, H5P_DEFAULT));
    H5Pclose(create);
    if (id < 0)
        return h5_fail(err, PPT_EIO, "%s: group %s cannot be created", file->path,
                       name);
    H5Gclose(id);
    return 0;
}

int h5_check_links(struct h5 *file, const char *name, struct error *err)
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
            return h5_fail(err, PPT_EDATA, "%s: has no %s", file->path, prefix);
        if (info.type != H5L_TYPE_HARD)
            return error_set(err, PPT_EDATA,
                             "%s: %s is a soft or external link, expected the object "
                             "itself",
                             file->path, prefix);
    }
    return 0;
}

H5O_type_t h5_object_type(struct h5 *file, const char *name)
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
    H5_HOLD_LIBRARY;
    H5G_info_t root;
    if (h5_keep(H5Gget_info(file->id, &root)) < 0)
        return h5_fail(err, PPT_EDATA, "%s: its root group cannot be read", file->path);
    int n = 0;
    for (hsize_t i = 0; i < root.nlinks; i++) {
        char name[H5_MAX_NAME];
        ssize_t len = H5Lget_name_by_idx(file->id, "/", H5_INDEX_NAME, H5_ITER_INC, i,
                                         name, sizeof name, H5P_DEFAULT);
        if (len < 0 || (size_t)len >= sizeof name)
            return h5_fail(err, PPT_EDATA, "%s: a group's name is longer than %d bytes",
                           file->path, H5_MAX_NAME - 1);
        int rc = h5_check_links(file, name, err);
        if (rc != 0)
            return rc;
        if (h5_object_type(file, name) != H5O_TYPE_GROUP)
            continue;
        if (n == max)
            return error_set(err, PPT_EDATA, "%s: more than %d groups", file->path,
                             max);
        memcpy(ret_names[n++], name, sizeof name);
    }
    *ret_n = n;
    return 0;
}
