/* Makes one data set of several: a virtual HDF5 file over them and one manifest. */
#ifndef PPT_WORKER_JOIN_H
#define PPT_WORKER_JOIN_H

#include <stdbool.h>

#include "base/error.h"
#include "jobs/manifest.h"

struct join {
    const char *name;         /* of the data set */
    const char *const *paths; /* data files, each with its manifest beside it */
    int n_paths;              /* 1 .. H5_MAX_SOURCES */
    const char *path;         /* of the virtual file to write */
    bool may_replace;
    /* May be NULL: called before each file is read. */
    void (*progress)(const char *path);
};

/* Checks each file against its manifest, digest and all, and all against each other;
 * writes both files as import_run does. Nominal counts add up; a sum is stated only
 * where all are. The virtual file carries the sources' paths, which lie in its
 * directory or below, and digests, so that its own digest, the manifest's, covers them.
 * Data sets whose unit is a user are refused: a user with records in two files would
 * count as two.
 * Errors: PPT_EEXISTS (and not may_replace), PPT_EUSAGE (a path elsewhere), PPT_EDATA
 * (not what a manifest says, or not like the first), PPT_ENOTFOUND, PPT_ESPEC,
 * PPT_EIO. */
int join_run(const struct join *join, struct manifest *ret_manifest, struct error *err);

#endif
