#include "worker/h5_virtual.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* A source's rows: all of the array `name` there are rows first .. first + n_rows here.
 */
struct h5_part {
    int64_t first, n_rows;
    int source;
    char name[2 * H5_MAX_NAME];
    _Atomic(struct h5_data *) data; /* NULL: not yet opened */
};

/* ---- the list of sources ---- */

bool h5_source_is_safe(const char *path)
{
    size_t len = strlen(path);
    if (len == 0 || len >= MANIFEST_PATH_SIZE || path[0] == '/' ||
        strpbrk(path, "%\t\r\n") != NULL)
        return false;
    for (const char *at = path; at != NULL; at = strchr(at, '/')) {
        at += *at == '/';
        if (strncmp(at, "..", 2) == 0 && (at[2] == '/' || at[2] == '\0'))
            return false;
    }
    return true;
}

int h5_set_sources(struct h5 *file, const struct h5_source *sources, int n,
                   struct error *err)
{
    int rc = h5_set_integer(file, "/", "n_sources", n, err);
    for (int i = 0; rc == 0 && i < n; i++) {
        char name[32], text[sizeof(struct h5_source)];
        snprintf(name, sizeof name, "source_%d", i);
        snprintf(text, sizeof text, "%s %s", sources[i].digest, sources[i].path);
        if (!h5_source_is_safe(sources[i].path))
            return error_set(err, PPT_EUSAGE,
                             "%s: the path of a source must be relative, without .. "
                             "and %%",
                             sources[i].path);
        rc = h5_set_text(file, "/", name, text, err);
    }
    return rc;
}

int h5_n_sources(const struct h5 *file)
{
    return file->n_sources;
}

const struct h5_source *h5_source(const struct h5 *file, int i)
{
    return &file->sources[i];
}

int h5_source_path(const struct h5 *file, int i, char ret_path[MANIFEST_PATH_SIZE],
                   struct error *err)
{
    const char *slash = strrchr(file->path, '/');
    int dir = slash != NULL ? (int)(slash - file->path) + 1 : 0;
    if (snprintf(ret_path, MANIFEST_PATH_SIZE, "%.*s%s", dir, file->path,
                 file->sources[i].path) >= MANIFEST_PATH_SIZE)
        return error_set(err, PPT_EDATA, "%s: the path of its source %s is too long",
                         file->path, file->sources[i].path);
    if (access(ret_path, F_OK) == 0)
        return 0;
    error_set(err, PPT_EDATA, "%s: its source %s is not there", file->path,
              file->sources[i].path);
    return error_hint(err, "put the source back, or join those that are there anew by "
                           "ppt-data join");
}

static int read_source(struct h5 *file, int i, struct error *err)
{
    char name[32], text[sizeof(struct h5_source)];
    struct h5_source *source = &file->sources[i];
    const size_t n_hex = sizeof source->digest - 1;
    snprintf(name, sizeof name, "source_%d", i);
    int rc = h5_get_text(file, "/", name, text, sizeof text, err);
    if (rc != 0)
        return rc;
    if (strspn(text, "0123456789abcdef") != n_hex || text[n_hex] != ' ' ||
        !h5_source_is_safe(text + n_hex + 1))
        return error_set(err, PPT_EDATA,
                         "%s: attribute %s is not a digest and a relative path",
                         file->path, name);
    memcpy(source->digest, text, n_hex);
    snprintf(source->path, sizeof source->path, "%s", text + n_hex + 1);
    return 0;
}

/* Each source takes a few descriptors. */
static void raise_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

int h5_virtual_read_sources(struct h5 *file, struct error *err)
{
    int64_t n = 0;
    if (!h5_has_attribute(file, "/", "n_sources"))
        return 0;
    int rc = h5_get_integer(file, "/", "n_sources", &n, err);
    if (rc == 0 && (n < 1 || n > H5_MAX_SOURCES))
        rc = error_set(err, PPT_EDATA, "%s: %lld sources, expected 1 to %d", file->path,
                       (long long)n, H5_MAX_SOURCES);
    if (rc != 0)
        return rc;
    file->sources = calloc((size_t)n, sizeof *file->sources);
    file->opened = calloc((size_t)n, sizeof *file->opened);
    if (file->sources == NULL || file->opened == NULL)
        return error_set(err, PPT_ENOMEM, "no memory to open %s", file->path);
    file->n_sources = (int)n;
    raise_limit();
    for (int i = 0; rc == 0 && i < (int)n; i++)
        rc = read_source(file, i, err);
    return rc;
}

void h5_virtual_free_sources(struct h5 *file)
{
    for (int i = 0; file->opened != NULL && i < file->n_sources; i++)
        h5_close(file->opened[i], NULL);
    free(file->opened);
    free(file->sources);
}

/* ---- the parts of an array ---- */

static int find_source(const struct h5 *file, const char *path)
{
    for (int i = 0; i < file->n_sources; i++)
        if (strcmp(file->sources[i].path, path) == 0)
            return i;
    return -1;
}

/* The rows of a mapping, which must be whole records; -1 where they are not. */
static int64_t mapped_rows(const struct h5_data *data, hid_t space, int64_t first)
{
    hsize_t start[H5S_MAX_RANK], end[H5S_MAX_RANK];
    const struct h5_shape *shape = &data->shape;
    if (H5Sget_simple_extent_ndims(space) != shape->n_dims ||
        H5Sget_select_bounds(space, start, end) < 0 || start[0] != (hsize_t)first)
        return -1;
    hsize_t n_points = end[0] - start[0] + 1;
    for (int d = 1; d < shape->n_dims; d++) {
        if (start[d] != 0 || end[d] != (hsize_t)shape->dims[d] - 1)
            return -1;
        n_points *= (hsize_t)shape->dims[d];
    }
    return H5Sget_select_npoints(space) == (hssize_t)n_points
               ? (int64_t)(end[0] - start[0] + 1)
               : -1;
}

/* Mapping i: what it maps and from where. Its source must be taken whole. */
static int read_part(struct h5_data *data, hid_t list, size_t i, int64_t first,
                     struct h5_part *part, struct error *err)
{
    char path[MANIFEST_PATH_SIZE], found[MANIFEST_PATH_SIZE];
    hid_t space = H5Pget_virtual_vspace(list, i);
    part->first = first;
    part->n_rows = space < 0 ? -1 : mapped_rows(data, space, first);
    if (space >= 0)
        H5Sclose(space);
    space = H5Pget_virtual_srcspace(list, i);
    if (space < 0 || mapped_rows(data, space, 0) != part->n_rows)
        part->n_rows = -1;
    if (space >= 0)
        H5Sclose(space);
    ssize_t path_len = H5Pget_virtual_filename(list, i, path, sizeof path);
    ssize_t name_len = H5Pget_virtual_dsetname(list, i, part->name, sizeof part->name);
    if (part->n_rows < 1 || path_len < 0 || (size_t)path_len >= sizeof path ||
        name_len < 0 || (size_t)name_len >= sizeof part->name)
        return h5_fail(err, PPT_EDATA,
                       "%s: %s is not its sources' rows one after the other, whole and "
                       "in order",
                       data->file->path, data->name);
    part->source = find_source(data->file, path);
    if (part->source < 0)
        return error_set(err, PPT_EDATA, "%s: %s has rows from %s, which is no source",
                         data->file->path, data->name, path);
    return h5_source_path(data->file, part->source, found, err);
}

int h5_virtual_open(struct h5_data *data, hid_t list, struct error *err)
{
    size_t n = 0;
    int64_t first = 0;
    if (H5Pget_layout(list) != H5D_VIRTUAL)
        return 0;
    if (h5_keep(H5Pget_virtual_count(list, &n)) < 0 || n > H5_MAX_SOURCES)
        return h5_fail(err, PPT_EDATA, "%s: the sources of %s cannot be read",
                       data->file->path, data->name);
    data->parts = calloc(n + 1, sizeof *data->parts);
    if (data->parts == NULL)
        return error_set(err, PPT_ENOMEM, "no memory for %s", data->name);
    data->n_parts = (int)n;
    for (size_t i = 0; i < n; i++) {
        int rc = read_part(data, list, i, first, &data->parts[i], err);
        if (rc != 0)
            return rc;
        first += data->parts[i].n_rows;
    }
    if (first != data->shape.dims[0])
        return error_set(err, PPT_EDATA, "%s: rows of %s lie in none of its sources",
                         data->file->path, data->name);
    return 0;
}

void h5_virtual_close(struct h5_data *data)
{
    for (int p = 0; p < data->n_parts; p++)
        h5_data_close(data->parts[p].data);
    free(data->parts);
}

static int open_source(struct h5 *file, int i, struct error *err)
{
    char path[MANIFEST_PATH_SIZE];
    if (file->opened[i] != NULL)
        return 0;
    int rc = h5_source_path(file, i, path, err);
    if (rc == 0)
        rc = h5_open(path, &file->opened[i], err);
    if (rc == 0)
        h5_set_threads(file->opened[i], file->n_threads);
    return rc;
}

static int open_part(struct h5_data *data, struct h5_part *part, struct error *err)
{
    H5_HOLD_LIBRARY;
    struct h5 *file = data->file;
    struct h5_data *own = NULL;
    if (part->data != NULL)
        return 0;
    int rc = open_source(file, part->source, err);
    if (rc == 0)
        rc = h5_data_open(file->opened[part->source], part->name, &own, err);
    if (rc != 0)
        return rc;
    const struct h5_shape *has = &own->shape, *want = &data->shape;
    bool fits = has->type == want->type && has->n_dims == want->n_dims &&
                has->dims[0] == part->n_rows && own->n_parts == 0;
    for (int d = 1; d < want->n_dims; d++)
        fits = fits && has->dims[d] == want->dims[d];
    if (fits) {
        part->data = own;
        return 0;
    }
    h5_data_close(own);
    return error_set(err, PPT_EDATA,
                     "%s: %s of its source %s has another type or shape than it had",
                     file->path, part->name, file->sources[part->source].path);
}

/* The last part that begins at the row or before it. */
static struct h5_part *find_part(const struct h5_data *data, int64_t row)
{
    int low = 0, high = data->n_parts;
    while (high - low > 1) {
        int middle = low + (high - low) / 2;
        if (data->parts[middle].first <= row)
            low = middle;
        else
            high = middle;
    }
    return &data->parts[low];
}

int h5_data_n_parts(const struct h5_data *data)
{
    return data->n_parts;
}

int h5_data_part(struct h5_data *data, int64_t row, struct h5_data **ret_part,
                 int64_t *ret_first, struct error *err)
{
    if (row < 0 || row >= data->shape.dims[0])
        return error_set(err, PPT_EINTERNAL, "%s: rows outside %s were asked for",
                         data->file->path, data->name);
    if (data->n_parts == 0) {
        *ret_part = data;
        *ret_first = 0;
        return 0;
    }
    struct h5_part *part = find_part(data, row);
    int rc = part->data != NULL ? 0 : open_part(data, part, err);
    if (rc != 0)
        return rc;
    part->data->drops_behind = data->drops_behind;
    *ret_part = part->data;
    *ret_first = part->first;
    return 0;
}

/* ---- making one ---- */

static int add_mapping(hid_t list, hid_t space, const struct h5_shape *shape,
                       int64_t first, int64_t n_rows, const char *path,
                       const char *name)
{
    hsize_t start[H5_MAX_DIMS] = {(hsize_t)first}, count[H5_MAX_DIMS];
    const hsize_t none[H5_MAX_DIMS] = {0};
    for (int d = 0; d < shape->n_dims; d++)
        count[d] = (hsize_t)(d == 0 ? n_rows : shape->dims[d]);
    hid_t from = H5Screate_simple(shape->n_dims, count, NULL);
    herr_t status =
        H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL);
    /* Selected as a block: of a source that is selected as a whole no extent is kept.
     */
    if (status >= 0)
        status = H5Sselect_hyperslab(from, H5S_SELECT_SET, none, NULL, count, NULL);
    if (status >= 0)
        status = (herr_t)h5_keep(H5Pset_virtual(list, space, path, name, from));
    H5Sclose(from);
    return status < 0 ? -1 : 0;
}

int h5_data_join(struct h5 *file, const char *name, const struct h5_shape *shape,
                 const struct h5_source *sources, const int64_t *n_rows, int n,
                 struct error *err)
{
    H5_HOLD_LIBRARY;
    hsize_t dims[H5_MAX_DIMS];
    for (int d = 0; d < shape->n_dims; d++)
        dims[d] = (hsize_t)shape->dims[d];
    hid_t list = h5_untimed(H5P_DATASET_CREATE);
    hid_t space = H5Screate_simple(shape->n_dims, dims, NULL);
    int64_t first = 0;
    int failed = 0;
    for (int i = 0; !failed && i < n; i++) {
        if (n_rows[i] > 0)
            failed = add_mapping(list, space, shape, first, n_rows[i], sources[i].path,
                                 name);
        first += n_rows[i];
    }
    H5Sselect_all(space);
    hid_t id = failed ? -1
                      : h5_keep(H5Dcreate2(file->id, name, h5_memory_type(shape->type),
                                           space, H5P_DEFAULT, list, H5P_DEFAULT));
    H5Sclose(space);
    H5Pclose(list);
    if (id < 0)
        return h5_fail(err, PPT_EIO, "%s: %s cannot be created", file->path, name);
    H5Dclose(id);
    return 0;
}
