/* The trace of devices that a federation's spec names: a file beside the data set's, of
 * the digest that the spec states (jobs/fl/trace.h has the format). */
#ifndef PPT_WORKER_TRACE_FILE_H
#define PPT_WORKER_TRACE_FILE_H

#include <stddef.h>

#include "base/error.h"
#include "jobs/spec/spec.h"

#define TRACE_FILE_MAX_BYTES (256u << 20)

/* The file's text, NUL-terminated; caller frees. Errors: PPT_ENOTFOUND, PPT_EIO (also:
 * larger than 256 MiB), PPT_ENOMEM, PPT_ETRUST (another digest). */
int trace_file_read(const char *data_file, const struct spec_base *spec,
                    char **ret_text, size_t *ret_len, struct error *err);

#endif
