/* A rank's view of its data and of the job's directory, without a word of HDF5.
 *
 * n_rows is a secret under add/remove: it may size a loop over the rank's own records
 * and nothing else; it never enters a rate, a divisor, a message, a log or a
 * collective.
 */
#ifndef PPT_JOBS_IO_H
#define PPT_JOBS_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* One split, this rank's contiguous shard of it. */
struct rows {
    int64_t n_rows;    /* secret */
    size_t n_features; /* floats of one record: the product of the manifest's dims */
    int64_t n_classes;
    void *state;
    /* Reads the records at ascending local indices[n] as float x[n * n_features]
     * (uint8 scaled to [0,1]; then (x - mean) / std) and labels y[n].
     * Errors: PPT_EDATA (label out of range, damaged file), PPT_EIO. */
    int (*read)(struct rows *rows, const int64_t *indices, size_t n, float *x,
                int32_t *y, struct error *err);
    /* The id of each record's user, ret_users[n_rows]; it is the user's for ever,
     * whoever else is in the data set. NULL: each record is another user's.
     * Errors: PPT_EDATA, PPT_EIO. */
    int (*users)(struct rows *rows, int64_t *ret_users, struct error *err);
    /* The same in two halves, for readers that look ahead: `fetch` brings the records
     * in their stored form, record_bytes each; `decode` makes one of them floats and a
     * label. ahead_bytes is the memory that looking ahead may take, 0 where it gains
     * nothing (the records lie in memory) and both may be NULL.
     * Errors: fetch PPT_EDATA, PPT_EIO; decode PPT_EDATA (label out of range). */
    size_t record_bytes, ahead_bytes;
    int (*fetch)(struct rows *rows, const int64_t *indices, size_t n, void *records,
                 struct error *err);
    int (*decode)(struct rows *rows, const void *record, float *x, int32_t *y,
                  struct error *err);
};

/* A named array for the model file. */
struct tensor_view {
    const char *name; /* "0.conv2d.weight" */
    int n_dims;
    int64_t dims[4];
    const float *data;
};

struct io {
    struct rows *train;
    struct rows *test; /* NULL if the spec names none */
    void *state;
    /* A checkpoint of `len` bytes, in pieces and in order; rank 0 only. Atomic (write,
     * fsync, rename): after a crash the old or the new one is there, never a torn one.
     * After a begin that succeeded, end is called once: with rc 0 it makes the
     * checkpoint good, with another it leaves the old one and returns that rc (whose
     * error is in err already). Errors: PPT_EIO, PPT_ENOMEM, PPT_ETRUST (its key). */
    int (*checkpoint_begin)(struct io *io, uint64_t len, struct error *err);
    int (*checkpoint_put)(struct io *io, const void *data, size_t len,
                          struct error *err);
    int (*checkpoint_end)(struct io *io, int rc, struct error *err);
    /* The way back; rank 0 only. *ret_is_there false if there is none, else close is
     * called once. What was got counts only once all of it was. Errors: PPT_EIO,
     * PPT_ENOMEM, PPT_ETRUST (damaged, of another job, or its key is another). */
    int (*checkpoint_open)(struct io *io, bool *ret_is_there, uint64_t *ret_len,
                           struct error *err);
    int (*checkpoint_get)(struct io *io, void *ret_data, size_t len, struct error *err);
    void (*checkpoint_close)(struct io *io);
    /* The frozen tensor of wanted's name and dims (its data is not read), float32 and
     * finite; NULL where the spec names no base. Errors: PPT_EDATA (there is none,
     * another shape or type), PPT_EIO. */
    int (*base_read)(struct io *io, const struct tensor_view *wanted, float *ret_values,
                     struct error *err);
    /* Rank 0 only: the list of consents beside the data set (jobs/fl/consent.h) as it
     * is now; caller frees. *ret_text is NULL where it is as it was at the call before.
     * May be NULL: nobody keeps one. Errors: PPT_ENOTFOUND, PPT_EIO, PPT_ENOMEM. */
    int (*consents)(struct io *io, char **ret_text, size_t *ret_len, struct error *err);
    /* The trace of devices that the spec names, with a zero behind it; caller frees.
     * Its digest is the spec's. May be NULL: nobody has one. Errors: PPT_ENOTFOUND,
     * PPT_EIO, PPT_ENOMEM, PPT_ETRUST (another digest). */
    int (*trace)(struct io *io, char **ret_text, size_t *ret_len, struct error *err);
    /* Rank 0 only: adds a line, which ends in a newline, to the journal of the job's
     * directory, behind those that are there. Not synced, and seen by others a second
     * later at times, so that it does not tell when it was written. May be NULL: nobody
     * takes notes. Errors: PPT_EIO. */
    int (*note)(struct io *io, const char *line, struct error *err);
    /* Rank 0 only: the finished model with the spec's digest and the cost spent.
     * Errors: PPT_EIO. */
    int (*model_save)(struct io *io, const struct tensor_view *tensors, int n_tensors,
                      struct error *err);
};

#endif
