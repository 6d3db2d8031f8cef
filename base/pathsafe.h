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

/* Reads a whole file of at most max_bytes, NUL-terminated; caller frees.
 * Errors: PPT_EIO, PPT_ENOTFOUND (no such file). */
int pathsafe_read_file(const char *path, size_t max_bytes, char **ret_text,
                       size_t *ret_len, struct error *err);

#endif
