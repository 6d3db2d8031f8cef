/* May this file be trusted to hold a key? Owner, mode and every parent directory. */
#ifndef PPT_BASE_PATHSAFE_H
#define PPT_BASE_PATHSAFE_H

#include <stddef.h>

#include "base/error.h"

/* Reads exactly `size` bytes of a secret-key file. It must be a regular file, not a
 * link, owned by this user or root, with no bits for group and others; no parent
 * directory may be writable by others (unless sticky).
 * Errors: PPT_EIO, PPT_ETRUST (says which path and which rule). */
int pathsafe_read_secret(const char *path, void *ret_data, size_t size,
                         struct error *err);

/* The same where a directory above is not looked at: for a file that this program made
 * itself, beside others that are trusted as far. Errors: those, and PPT_ENOTFOUND. */
int pathsafe_read_own(const char *path, void *ret_data, size_t size, struct error *err);

/* The same for a public key: others may read but not write. */
int pathsafe_read_public(const char *path, void *ret_data, size_t size,
                         struct error *err);

/* Writes a new file with this mode, fsynced; an existing one is PPT_EEXISTS. */
int pathsafe_write_new(const char *path, const void *data, size_t size, unsigned mode,
                       struct error *err);

/* Replaces a file atomically: writes path.tmp, fsyncs, renames, fsyncs the directory.
 * After a crash the old or the new contents stand, never a mixture. Errors: PPT_EIO. */
int pathsafe_replace(const char *path, const void *data, size_t size, unsigned mode,
                     struct error *err);

/* The same, but for the directory: after a crash either contents may stand until
 * pathsafe_sync_parent has returned for a file beside it. For several files in a row.
 */
int pathsafe_replace_soon(const char *path, const void *data, size_t size,
                          unsigned mode, struct error *err);
int pathsafe_sync_parent(const char *path, struct error *err);

/* Writes a file in place and does not wait for the disk: after a power cut it may be
 * torn or gone. For what its reader checks by a signature or digest, and what can be
 * written again. Errors: PPT_EIO. */
int pathsafe_write_fast(const char *path, const void *data, size_t size, unsigned mode,
                        struct error *err);

/* The same for a file that takes the place of another, or of none: after a power cut it
 * may be torn, or the other one be there still. */
int pathsafe_replace_fast(const char *path, const void *data, size_t size,
                          unsigned mode, struct error *err);

/* pathsafe_replace piece by piece. Begin gives path.tmp, empty; put appends; commit
 * closes the file in any case and gives it its name if it could be synced, and after a
 * crash the old or the new contents stand. Abandon closes and removes it.
 * Errors: PPT_EIO. */
int pathsafe_begin(const char *path, unsigned mode, int *ret_fd, struct error *err);
int pathsafe_put(const char *path, int fd, const void *data, size_t size,
                 struct error *err);
int pathsafe_commit(const char *path, int fd, struct error *err);
void pathsafe_abandon(const char *path, int fd);

/* Overwrites a file, syncs it, removes it; no error where there is none. A file system
 * that copies on write, a snapshot or a backup may keep what was there. Errors:
 * PPT_EIO.
 */
int pathsafe_wipe(const char *path, size_t size, struct error *err);

/* Reads a whole file of at most max_bytes, NUL-terminated; caller frees.
 * Errors: PPT_EIO, PPT_ENOTFOUND (no such file). */
int pathsafe_read_file(const char *path, size_t max_bytes, char **ret_text,
                       size_t *ret_len, struct error *err);

#endif
