/* The public facts of a data set: a small YAML file beside the HDF5 file, written at
 * import. Both sides read it, so the scheduler needs no HDF5.
 *
 * The nominal count is public and fixed at import; it gives every rate and divisor. The
 * true count is private under add/remove and stands nowhere here.
 */
#ifndef PPT_JOBS_MANIFEST_H
#define PPT_JOBS_MANIFEST_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "jobs/privacy/unit.h"

#define MANIFEST_NAME_SIZE 128
#define MANIFEST_PATH_SIZE 1024
#define MANIFEST_MAX_SPLITS 8
#define MANIFEST_MAX_DIMS 4
#define MANIFEST_HEX_SIZE 65 /* SHA-256 in hexadecimal and a NUL */
#define MANIFEST_MAX_BYTES (64u << 10)
#define MANIFEST_BLOCK_BYTES (64u << 20)

enum manifest_type {
    TYPE_UINT8,
    TYPE_FLOAT32,
    TYPE_INT64,
    TYPE_UINT16,
    TYPE_INT32,
    TYPE_N
};

/* Ids of tokens are fed as floats, exactly. */
#define MANIFEST_MAX_TOKENS ((int64_t)1 << 24)

/* A group of the HDF5 file with datasets x (count x dims) and y (count). */
struct manifest_split {
    char name[MANIFEST_NAME_SIZE]; /* group, such as "train" */
    int64_t nominal_count;         /* 0: not stated (test splits only) */
    int64_t nominal_users; /* whose records they are, several a user; 0: each record is
                              another user's, or the unit is example */
    enum manifest_type x_type;
    int n_dims;                      /* of one record, 1..3 */
    int64_t dims[MANIFEST_MAX_DIMS]; /* such as {28, 28} or {1, 28, 28} */
    int64_t n_classes;               /* labels are 0 .. n_classes-1 */
    int64_t n_tokens; /* records are n_dims == 1 sequences of ids 0 .. n_tokens-1, 0 for
                         padding; 0: they are numbers */
};

struct manifest {
    char name[MANIFEST_NAME_SIZE];
    char file[MANIFEST_PATH_SIZE]; /* of the HDF5 file; relative to the manifest */
    enum privacy_unit unit;
    enum privacy_relation relation;
    /* SHA-256 over the SHA-256s of the file's 64 MiB blocks, hexadecimal */
    char digest[MANIFEST_HEX_SIZE];
    int n_splits;
    struct manifest_split splits[MANIFEST_MAX_SPLITS];
};

/* Parses the text of a manifest; `path` is for messages. Errors: PPT_ESPEC with
 * file:line:column lines in err->detail, all of them. */
int manifest_parse(const char *text, size_t len, const char *path,
                   struct manifest *ret_manifest, struct error *err);

/* Reads and parses a file of at most 64 KiB. Errors: PPT_ENOTFOUND, PPT_EIO,
 * PPT_ESPEC. */
int manifest_read(const char *path, struct manifest *ret_manifest, struct error *err);

/* Writes it as YAML with a head comment. Errors: PPT_EIO. */
int manifest_write(const struct manifest *manifest, FILE *file, struct error *err);

/* Whether some split has users with several records. */
bool manifest_has_users(const struct manifest *manifest);

/* The split of that name, or NULL. */
const struct manifest_split *manifest_split(const struct manifest *manifest,
                                            const char *name);

const char *manifest_type_name(enum manifest_type type); /* "uint8" */

#endif
