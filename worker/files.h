/* Small steps with plain files that several files of this room share. */
#ifndef PPT_WORKER_FILES_H
#define PPT_WORKER_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

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

/* The same for one that is not synced yet: both the file and its name are when this
 * returns 0, which takes a journal one commit and not two. A power cut before may leave
 * a torn file at `path`: for what nobody believes before its maker says that it is
 * whole. Errors: PPT_EIO; there is no file at `path` then. */
int files_replace_unsynced(const char *temporary, const char *path, struct error *err);

/* What tells a file from another, and from itself once it was changed: the time of
 * change cannot be set back by a user. */
struct file_state {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified, changed;
};

/* False where there is no such file, or none at rest: a change right after the last one
 * need not show in the file's times, which are coarse. */
bool files_at_rest(const char *path, struct file_state *ret_state);
bool files_are_same(const struct file_state *a, const struct file_state *b);

/* Errors: PPT_ENOTFOUND, PPT_EIO (not to be read, not a regular file), PPT_EDATA
 * (empty). */
int files_check_readable(const char *path, struct error *err);

#endif
