/* Small steps with plain files that several files of this room share. */
#ifndef PPT_WORKER_FILES_H
#define PPT_WORKER_FILES_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Exactly len bytes at an offset of an open file; `path` is for messages.
 * Errors: PPT_EIO, PPT_EDATA (the file ends before). */
int files_read_at(int fd, const char *path, int64_t offset, size_t len, void *ret_data,
                  struct error *err);

/* n pieces of piece_bytes > 0 that follow each other in the file, to places that are
 * `stride` >= piece_bytes apart. Errors as above. */
int files_scatter_at(int fd, const char *path, int64_t offset, size_t n,
                     size_t piece_bytes, size_t stride, void *ret_data,
                     struct error *err);

/* What a file or directory holds is on disk when this returns 0. Errors: PPT_EIO. */
int files_sync(const char *path, struct error *err);

/* Puts `temporary`, already synced, in the place of `path`, durably. On failure it is
 * removed. Errors: PPT_EIO. */
int files_replace(const char *temporary, const char *path, struct error *err);

/* The same, but for the new name: that is on disk once something beside it is replaced
 * durably. Errors: PPT_EIO. */
int files_replace_soon(const char *temporary, const char *path, struct error *err);

/* Errors: PPT_ENOTFOUND, PPT_EIO (not to be read, not a regular file), PPT_EDATA
 * (empty). */
int files_check_readable(const char *path, struct error *err);

#endif
