/* The digest of a data file: SHA-256 over the concatenated SHA-256s of its 64 MiB
 * blocks, so that ranks can share the work. Memory: one block. */
#ifndef PPT_WORKER_DIGEST_H
#define PPT_WORKER_DIGEST_H

#include <stdint.h>

#include "base/crypto.h"
#include "base/error.h"
#include "jobs/comm.h"
#include "jobs/manifest.h"
#include "worker/h5.h"

/* Hexadecimal digest of the whole file; every rank of `comm` calls it and gets the same
 * answer or an error of its own (then no rank waits for another: errors are agreed on
 * inside). Errors: PPT_ENOTFOUND, PPT_EIO, PPT_ENOMEM, PPT_ECOMM. */
int digest_file(const char *path, struct comm *comm, char ret_hex[MANIFEST_HEX_SIZE],
                struct error *err);

/* The same, and PPT_EDATA unless it is `expected`. Where every rank has found that of
 * this very file before (its inode, size and times of change are as they were, the last
 * change well before the digest was computed), it is not read again. */
int digest_check(const char *path, const char *expected, struct comm *comm,
                 struct error *err);

/* The same of each file that a joined one (ppt-data join) says its rows lie in, by the
 * digests that it carries itself; nothing to do where it is no such. Errors: as
 * digest_check, PPT_EDATA (a source is not there). */
int digest_check_sources(const struct h5 *file, struct comm *comm, struct error *err);

#endif
