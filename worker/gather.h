/* Scattered rows of one array, in as few reads as pays. */
#ifndef PPT_WORKER_GATHER_H
#define PPT_WORKER_GATHER_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "worker/h5.h"

#define GATHER_SPAN_BYTES (256u << 10)

/* Row rows[i] of the array to ret_rows + i * stride, i < n; `rows` ascends strictly,
 * stride is at least a row. `span` is scratch space of GATHER_SPAN_BYTES. Rows that
 * touch are read at once; where the array is direct, so are rows with less than a page
 * between them; where it is chunked, each chunk is read once and `span` is not used.
 * Errors: those of h5_data_read; PPT_EINTERNAL if the rows do not ascend. */
int gather_rows(struct h5_data *data, const int64_t *rows, size_t n, void *ret_rows,
                size_t stride, void *span, struct error *err);

#endif
