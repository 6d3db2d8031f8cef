/* zlib's door: reads a file that may be compressed by gzip, or plain; and one deflated
 * block of memory. */
#ifndef PPT_WORKER_GZ_H
#define PPT_WORKER_GZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct gz;

/* Caller closes. Errors: PPT_ENOTFOUND, PPT_EIO. */
int gz_open(const char *path, struct gz **ret_file, struct error *err);
void gz_close(struct gz *file);

/* As it was opened. */
const char *gz_path(const struct gz *file);

/* Up to len bytes of the contents; *ret_n is less only at the end.
 * Errors: PPT_EDATA (damaged or truncated gzip), PPT_EIO. */
int gz_read(struct gz *file, void *ret_data, size_t len, size_t *ret_n,
            struct error *err);

/* Exactly len bytes; `what` names them in the error. Errors: as gz_read, PPT_EDATA
 * where the file ends before. */
int gz_read_exactly(struct gz *file, void *ret_data, size_t len, const char *what,
                    struct error *err);

/* Back to the first byte. Errors: PPT_EIO. */
int gz_rewind(struct gz *file, struct error *err);

/* The `want` bytes that a zlib stream (RFC 1950) in memory stands for, whose checksum
 * is verified; false unless it is exactly so many. */
bool gz_inflate(const void *data, size_t len, void *ret_data, size_t want);

#endif
