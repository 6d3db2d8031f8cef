/* Makes a data set: the HDF5 file and, beside it, the manifest with its public facts.
 */
#ifndef PPT_WORKER_IMPORT_H
#define PPT_WORKER_IMPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "jobs/manifest.h"
#include "worker/source.h"
#include "worker/users.h"

struct import_split {
    const char *name;      /* "train" */
    int64_t nominal_count; /* public; 0: not stated (test splits only) */
    struct source *source;
    const struct users *users; /* NULL: each record is another unit's */
    int64_t nominal_users;     /* public; with users */
};

struct import {
    const char *name; /* of the data set */
    enum privacy_unit unit;
    int64_t n_classes; /* 0: one more than the largest label of all splits */
    int n_splits;
    struct import_split splits[MANIFEST_MAX_SPLITS];
    const char *path; /* of the HDF5 file to write */
    bool may_replace;
    /* May be NULL: called now and then with the part of all records that is done. */
    void (*progress)(void *state, double part);
    void *progress_state;
};

/* "dir/mnist.h5" -> "dir/mnist.manifest.yaml" (another ending is kept and added to).
 * Errors: PPT_EUSAGE (too long). */
int import_manifest_path(const char *path, char ret_path[MANIFEST_PATH_SIZE],
                         struct error *err);

/* Writes a manifest in one atomic step. Errors: PPT_EIO, PPT_ENOMEM. */
int import_manifest_write(const struct manifest *manifest, const char *path,
                          struct error *err);

/* Errors: PPT_EEXISTS. */
int import_check_absent(const char *path, struct error *err);

/* Writes both files under temporary names and renames them, the data first; on failure
 * neither is left. *ret_manifest is what was written.
 * Errors: PPT_EEXISTS (and not may_replace), PPT_EDATA (a label out of range, splits
 * that differ in shape, users of more or fewer records, a file that changed), PPT_EIO.
 */
int import_run(const struct import *import, struct manifest *ret_manifest,
               struct error *err);

#endif
