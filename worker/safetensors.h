/* Reads the safetensors format: 8 bytes with the length of a JSON header,
 * little-endian, the header, the tensors' bytes. Nothing in it is trusted: the header
 * is bounded (1 MiB), read by base/ydoc, and every tensor's place and size is checked
 * against the file's before one is read.
 */
#ifndef PPT_WORKER_SAFETENSORS_H
#define PPT_WORKER_SAFETENSORS_H

#include <stddef.h>

#include "base/error.h"
#include "jobs/io.h"

struct safetensors;

/* Of a file of len bytes, which outlive the result; `path` is for messages. Caller
 * frees. Errors: PPT_EDATA, PPT_ENOMEM. */
int safetensors_parse(const void *bytes, size_t len, const char *path,
                      struct safetensors **ret_file, struct error *err);
void safetensors_free(struct safetensors *file);

/* Copies the tensor of wanted's name, which must be float32 (F32) of wanted's dims.
 * Errors: PPT_EDATA (there is none, or another type or shape). */
int safetensors_read(const struct safetensors *file, const struct tensor_view *wanted,
                     float *ret_values, struct error *err);

#endif
