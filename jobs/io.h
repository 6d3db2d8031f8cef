/* A rank's view of its data and of the job's directory, without a word of HDF5.
 *
 * n_rows is a secret under add/remove: it may size a loop over the rank's own records
 * and nothing else; it never enters a rate, a divisor, a message, a log or a
 * collective.
 */
#ifndef PPT_JOBS_IO_H
#define PPT_JOBS_IO_H

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
    /* Rank 0 only. Atomic (write, fsync, rename): after a crash the old or the new
     * checkpoint is there, never a torn one. Errors: PPT_EIO. */
    int (*checkpoint_save)(struct io *io, const void *data, size_t len,
                           struct error *err);
    /* All ranks may call. *ret_data NULL and *ret_len 0 if there is none; caller frees.
     * Errors: PPT_EIO, PPT_ETRUST (damaged, or of another job). */
    int (*checkpoint_load)(struct io *io, void **ret_data, size_t *ret_len,
                           struct error *err);
    /* Rank 0 only: the finished model with the spec's digest and the cost spent.
     * Errors: PPT_EIO. */
    int (*model_save)(struct io *io, const struct tensor_view *tensors, int n_tensors,
                      struct error *err);
};

#endif
