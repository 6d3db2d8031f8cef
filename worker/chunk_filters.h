/* What HDF5's filters made of a chunk, undone: deflate, LZF (h5py's), shuffle and the
 * Fletcher checksum. Knows no file and holds no lock: any number of threads at once.
 * Formats: HDF5 File Format Specification, IV.A.2.l (data storage - filter pipeline).
 */
#ifndef PPT_WORKER_CHUNK_FILTERS_H
#define PPT_WORKER_CHUNK_FILTERS_H

#include <stddef.h>

#include "base/error.h"

#define CHUNK_MAX_FILTERS 6

enum chunk_filter { CHUNK_DEFLATE, CHUNK_LZF, CHUNK_SHUFFLE, CHUNK_FLETCHER32 };

/* In the order in which they were applied; at most one of them compresses. */
struct chunk_pipeline {
    int n_filters;
    enum chunk_filter filters[CHUNK_MAX_FILTERS];
    size_t element_bytes; /* what shuffle takes apart */
    size_t chunk_bytes;   /* before the first filter */
};

/* The largest stored chunk that is believed, and the size of both buffers below. */
size_t chunk_filters_capacity(const struct chunk_pipeline *pipeline);

/* The chunk_bytes that `stored`, len bytes of it, stand for; they end up in either
 * buffer, and *ret_chunk points there. Filter i was not applied where bit i of
 * `skipped` is set. Errors: PPT_EDATA, with the name of the filter that failed. */
int chunk_filters_undo(const struct chunk_pipeline *pipeline, unsigned skipped,
                       unsigned char *stored, size_t len, unsigned char *other,
                       unsigned char **ret_chunk, struct error *err);

#endif
