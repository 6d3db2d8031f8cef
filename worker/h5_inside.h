/* What the files behind HDF5's door (h5.h) share and nobody else sees. */
#ifndef PPT_WORKER_H5_INSIDE_H
#define PPT_WORKER_H5_INSIDE_H

#include <hdf5.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "worker/h5.h"

/* The layout is little-endian and so is every machine this runs on. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "ppt-data(5)");

struct h5 {
    hid_t id;
    bool is_writable;
    int fd;             /* HDF5's own descriptor; not ours to close */
    int64_t size_bytes; /* when opened */
    int n_threads;      /* that undo filters, of each array */
    int n_sources;      /* of virtual arrays; 0 of most files */
    struct h5_source *sources;
    struct h5 **opened; /* [n_sources], NULL until one is needed */
    char *path;
};

struct h5_data {
    struct h5 *file;
    hid_t id;
    hid_t memory_type;
    struct h5_shape shape;
    size_t row_bytes;
    int64_t offset; /* of row 0 in the file, or -1 */
    /* For pread, where offset is not -1. Each array has one of its own: on a shared one
     * the kernel sees reads that jump between arrays, and stops reading ahead. */
    int fd;
    bool drops_behind;        /* h5_data_drop_behind */
    struct h5_chunks *chunks; /* reads where offset is -1; NULL: HDF5 must */
    struct h5_part *parts;    /* [n_parts], in order; they hold all rows if any */
    int n_parts;
    char *name;
};

/* HDF5 as distributions build it allows one thread at a time, and so do the functions
 * here: every function of h5.h that calls it holds this to its end. */
#define H5_HOLD_LIBRARY __attribute__((cleanup(h5_let_go), unused)) int held = h5_hold()

/* For H5_HOLD_LIBRARY only. */
int h5_hold(void);
void h5_let_go(const int *held);

/* Passes on what an HDF5 function returned and keeps its account where it failed. */
hid_t h5_keep(hid_t result);

/* error_set, with the account kept last as the detail; returns -code. */
int h5_fail(struct error *err, enum ppt_error code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A property list for objects without time stamps: the same contents give the same
 * bytes. Caller closes. */
hid_t h5_untimed(hid_t class);

/* Every component of `name` must be a hard link: others lead out of the file.
 * Errors: PPT_EDATA. */
int h5_check_links(struct h5 *file, const char *name, struct error *err);

/* The type of elements in memory. */
hid_t h5_memory_type(enum manifest_type type);

/* What `name` is, or H5O_TYPE_UNKNOWN. */
H5O_type_t h5_object_type(struct h5 *file, const char *name);

#endif
