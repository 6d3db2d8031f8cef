/* HDF5's door: files, attributes and arrays whose first dimension counts rows.
 *
 * Guarantees: only hard links are followed, no external storage is read and no filter
 * plugin is loaded, so a file can name no code, and no other file but its sources:
 * those in the list that ppt-data join puts into a file of virtual arrays, below its
 * directory. HDF5's own error stack is never printed: it becomes the error's detail. A
 * process may hold many open files; threads may call at once, but HDF5 itself works for
 * one at a time (direct reads do not wait for it). Every rank opens files for itself.
 */
#ifndef PPT_WORKER_H5_H
#define PPT_WORKER_H5_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "jobs/manifest.h"

#define H5_MAX_DIMS 4 /* rows and up to three dimensions of one record */
#define H5_MAX_NAME MANIFEST_NAME_SIZE
#define H5_MAX_ROW_BYTES (1u << 30)

#define H5_MAX_SOURCES 4096

struct h5;
struct h5_data;

/* A file that holds rows of another's virtual arrays. */
struct h5_source {
    char digest[MANIFEST_HEX_SIZE]; /* digest.h's, of the whole file */
    char path[MANIFEST_PATH_SIZE];  /* from the directory of the virtual file */
};

struct h5_shape {
    enum manifest_type type;
    int n_dims;
    int64_t dims[H5_MAX_DIMS]; /* dims[0] counts rows */
};

/* Creates (truncates) a file, aligned to 4 KiB; caller closes. Errors: PPT_EIO. */
int h5_create(const char *path, struct h5 **ret_file, struct error *err);

/* The same in the format's oldest version, which knows no checksum: who finds where an
 * attribute's value or an element lies may write another one over it. An attribute has
 * less than 64 KiB there. */
int h5_create_bare(const char *path, struct h5 **ret_file, struct error *err);

/* Opens for reading. Errors: PPT_ENOTFOUND, PPT_EIO (cannot be opened), PPT_EDATA (not
 * an HDF5 file, truncated). */
int h5_open(const char *path, struct h5 **ret_file, struct error *err);

/* Closes; a written file is on disk when this returns 0. NULL is allowed.
 * Errors: PPT_EIO. The struct is gone in any case. */
int h5_close(struct h5 *file, struct error *err);

/* As it was opened. */
const char *h5_path(const struct h5 *file);

/* How many threads may undo the filters of an array that is opened after this; 1 until
 * it is said. */
void h5_set_threads(struct h5 *file, int n_threads);

/* Is it relative, without "..", and of characters that HDF5 takes as they are? */
bool h5_source_is_safe(const char *path);

/* Writes the list of sources into a new file. Errors: PPT_EIO, PPT_EUSAGE (a path). */
int h5_set_sources(struct h5 *file, const struct h5_source *sources, int n,
                   struct error *err);

/* The list; 0 of a file that needs no others. Valid until the file is closed. */
int h5_n_sources(const struct h5 *file);
const struct h5_source *h5_source(const struct h5 *file, int i);

/* Where source i is. Errors: PPT_EDATA (it is not there). */
int h5_source_path(const struct h5 *file, int i, char ret_path[MANIFEST_PATH_SIZE],
                   struct error *err);

/* Makes a group "train". Errors: PPT_EIO. */
int h5_group(struct h5 *file, const char *name, struct error *err);

/* The names of the groups under the root, in order of name; at most `max`.
 * Errors: PPT_EDATA (more than max, or a name that is too long). */
int h5_groups(struct h5 *file, int max, char (*ret_names)[H5_MAX_NAME], int *ret_n,
              struct error *err);

/* Attributes of the object at `where` ("/" or "train"). Errors: PPT_EIO. */
int h5_set_text(struct h5 *file, const char *where, const char *name, const char *value,
                struct error *err);
int h5_set_integer(struct h5 *file, const char *where, const char *name, int64_t value,
                   struct error *err);
int h5_set_number(struct h5 *file, const char *where, const char *name, double value,
                  struct error *err);

/* Of a group. */
bool h5_has_attribute(struct h5 *file, const char *where, const char *name);

/* The reverse. A text must fit `size` with its NUL.
 * Errors: PPT_EDATA (no such attribute, another type, too long). */
int h5_get_text(struct h5 *file, const char *where, const char *name, char *ret_value,
                size_t size, struct error *err);
int h5_get_integer(struct h5 *file, const char *where, const char *name,
                   int64_t *ret_value, struct error *err);
int h5_get_number(struct h5 *file, const char *where, const char *name,
                  double *ret_value, struct error *err);

/* Makes an array "train/x"; its group exists. chunk_rows 0: contiguous, space reserved
 * at once; else chunks of so many rows, allocated when written. Caller closes it before
 * the file. Errors: PPT_EIO. */
int h5_data_create(struct h5 *file, const char *name, const struct h5_shape *shape,
                   int64_t chunk_rows, struct h5_data **ret_data, struct error *err);

/* Makes a virtual array "train/x" of the arrays of that name in the sources: n_rows[i]
 * rows of source i, in order. Errors: PPT_EIO. */
int h5_data_join(struct h5 *file, const char *name, const struct h5_shape *shape,
                 const struct h5_source *sources, const int64_t *n_rows, int n,
                 struct error *err);

/* Errors: PPT_EDATA (missing, not an array, a type other than the five, rank not in
 * 1..4, storage outside the file and its sources, data beyond the file's end, a filter
 * that is not known). Memory of a chunked array while it is read: h5_chunks.h. */
int h5_data_open(struct h5 *file, const char *name, struct h5_data **ret_data,
                 struct error *err);
void h5_data_close(struct h5_data *data);

/* Whether there is an array of that name to open. */
bool h5_has_data(struct h5 *file, const char *name);

/* Valid until the array is closed. */
const struct h5_shape *h5_data_shape(const struct h5_data *data);
size_t h5_data_row_bytes(const struct h5_data *data);

/* True where rows are read by pread at a known offset: contiguous, no filter, native
 * type, wholly inside the file. */
bool h5_data_is_direct(const struct h5_data *data);

/* True where stored chunks are read and threads undo their filters (h5_chunks.h); where
 * neither this nor the above is true, HDF5 itself reads. */
bool h5_data_is_chunked(const struct h5_data *data);

/* How many sources hold the rows of a virtual array; 0: it holds its own. */
int h5_data_n_parts(const struct h5_data *data);

/* The array that holds a row: a source's, or `data` itself. Its row 0 is row *ret_first
 * here; it lives as long as `data`. Errors: PPT_EDATA (the source is not there, or has
 * another shape than it had), PPT_EINTERNAL (no such row). */
int h5_data_part(struct h5_data *data, int64_t row, struct h5_data **ret_part,
                 int64_t *ret_first, struct error *err);

/* Whether rows that are read directly, 32 or more in one piece, leave the system's page
 * cache behind the reader (page_cache.h); they stay unless told. Of a virtual array
 * this holds for its parts. */
void h5_data_drop_behind(struct h5_data *data, bool does);

/* Rows [first, first + n) from or to native elements. `scatter` puts them `stride`
 * bytes apart, without a copy; the array must be direct. Reading: errors PPT_EDATA,
 * PPT_EIO and, for a range outside the array, PPT_EINTERNAL. Writing: PPT_EIO. */
int h5_data_read(struct h5_data *data, int64_t first, size_t n, void *ret_rows,
                 struct error *err);
int h5_data_scatter(struct h5_data *data, int64_t first, size_t n, void *ret_rows,
                    size_t stride, struct error *err);

/* Rows rows[i], ascending strictly, to ret_rows + i * stride; the array must be
 * chunked. Errors: as h5_data_read. */
int h5_data_pick(struct h5_data *data, const int64_t *rows, size_t n, void *ret_rows,
                 size_t stride, struct error *err);
int h5_data_write(struct h5_data *data, int64_t first, size_t n, const void *rows,
                  struct error *err);

#endif
