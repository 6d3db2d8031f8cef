/* Two array files side by side, one of records and one of labels: what IDX and NPY have
 * in common once their headers are read. */
#ifndef PPT_WORKER_ARRAY_FILE_H
#define PPT_WORKER_ARRAY_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "worker/gz.h"
#include "worker/source.h"

#define ARRAY_MAX_DIMS 4

enum array_type { ARRAY_UINT8, ARRAY_INT32, ARRAY_INT64, ARRAY_FLOAT32 };

/* A header. */
struct array_head {
    enum array_type type;
    bool is_big_endian;
    int n_dims;
    int64_t dims[ARRAY_MAX_DIMS]; /* dims[0] counts rows */
};

/* Reads a header and leaves the file at its first element. */
typedef int array_read_head(struct gz *file, struct array_head *ret_head,
                            struct error *err);

/* Opens both, checks that they fit each other, reads every label once for their range.
 * Errors: PPT_ENOTFOUND, PPT_EIO, PPT_EDATA. */
int array_file_open(const char *x_path, const char *y_path, array_read_head *read_head,
                    struct source *ret_source, struct error *err);

#endif
