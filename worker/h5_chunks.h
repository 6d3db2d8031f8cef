/* Rows of chunked arrays, without HDF5's own reading: stored chunks come out of the
 * file under the library's lock, and threads undo their filters outside of it.
 *
 * Works in bands: the chunk_rows rows that lie in one chunk, or in several side by side
 * where a chunk holds a part of a record only. What was never written is the array's
 * fill value. Memory of an array: chunk_cache.h's, at most 32 + 64 MiB.
 */
#ifndef PPT_WORKER_H5_CHUNKS_H
#define PPT_WORKER_H5_CHUNKS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "worker/h5_inside.h"

/* A band above this is left to HDF5. */
#define H5_CHUNKS_MAX_BAND_BYTES (16u << 20)

struct h5_chunks;

/* *ret_chunks is NULL where the array is stored in another way, or with filters that
 * are not chunk_filters.h's: HDF5 reads it then. `list` is how it was created. The
 * library is held. Errors: PPT_ENOMEM. */
int h5_chunks_open(struct h5_data *data, hid_t list, struct h5_chunks **ret_chunks,
                   struct error *err);

/* Before the array is closed, and without holding the library, which helpers may be
 * waiting for. NULL is allowed. */
void h5_chunks_close(struct h5_chunks *chunks);

/* Row rows[i] to ret_rows + i * stride, i < n; `rows` ascends strictly within the
 * array. NULL rows are first, first + 1, ... Errors: PPT_EDATA (a chunk is damaged),
 * PPT_ENOMEM. */
int h5_chunks_read(struct h5_chunks *chunks, const int64_t *rows, int64_t first,
                   size_t n, void *ret_rows, size_t stride, struct error *err);

#endif
