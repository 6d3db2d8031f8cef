/* The layout of a data set's HDF5 file, ppt-data(5): one group per split with arrays x
 * (count x dims; uint8 or float32, or ids of tokens as uint8, uint16 or int32) and y
 * (count; uint8 or int64), where users have several records also u (count; int64, whose
 * each is), and attributes that say version, unit, relation and number of classes. */
#ifndef PPT_WORKER_DATA_H5_H
#define PPT_WORKER_DATA_H5_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "jobs/manifest.h"
#include "worker/h5.h"

#define DATA_H5_VERSION 1

struct data_splits; /* open ones that several users share */

struct data_h5 {
    struct h5 *file;
    enum privacy_unit unit;
    enum privacy_relation relation;
    struct data_splits *shared; /* by data_h5_share; else NULL */
    int n_beside; /* others on this machine that read parts of it; 0 unless set */
};

/* An open split. n_rows is the true count: a secret under add/remove. */
struct data_split {
    int64_t n_rows;
    enum manifest_type x_type, y_type;
    int n_dims; /* of one record */
    int64_t dims[MANIFEST_MAX_DIMS];
    int64_t n_classes;
    int64_t n_tokens; /* 0: records are numbers */
    bool has_users;
    bool is_shared;            /* the file's: it is closed with that */
    struct h5_data *x, *y, *u; /* u: with has_users, else NULL */
};

/* Starts a new file; caller closes. Errors: PPT_EIO. */
int data_h5_create(const char *path, enum privacy_unit unit,
                   enum privacy_relation relation, struct data_h5 *ret_data,
                   struct error *err);

/* Adds a split of n_rows records to a new file; fill its arrays by h5_data_write, then
 * data_split_close. On call the split's fields but the arrays are set.
 * Labels are stored as uint8 where y_type says so. Errors: PPT_EIO. */
int data_h5_add(struct data_h5 *data, const char *name, struct data_split *split,
                struct error *err);

/* Adds a split whose records lie in sources: n_rows[i] of source i, under the same name
 * there. The fields of `split` as for data_h5_add; its x and y stay NULL.
 * Errors: PPT_EIO. */
int data_h5_join(struct data_h5 *data, const char *name, const struct data_split *split,
                 const struct h5_source *sources, const int64_t *n_rows, int n,
                 struct error *err);

/* Errors: those of h5_open; PPT_EDATA (no or another version, unknown unit). */
int data_h5_open(const char *path, struct data_h5 *ret_data, struct error *err);
int data_h5_close(struct data_h5 *data, struct error *err);

/* From now on a split of which all rows are read directly (h5_data_is_direct; no row of
 * it stays in memory then) is opened once and handed out again until the file is
 * closed. Errors: PPT_ENOMEM. */
int data_h5_share(struct data_h5 *data, struct error *err);

/* Opens a split and checks its layout; caller closes it before the file.
 * Errors: PPT_EDATA says which object is missing or has the wrong type or shape. */
int data_h5_split(const struct data_h5 *data, const char *name,
                  struct data_split *ret_split, struct error *err);
void data_split_close(struct data_split *split);

/* PPT_EDATA unless file and manifest state the same record shape, type and number of
 * classes, and both or neither know users with several records. The counts are not
 * compared: one is public, the other private. */
int data_split_match(const struct data_split *split,
                     const struct manifest_split *stated, const char *path,
                     struct error *err);

#endif
