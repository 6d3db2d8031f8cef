/* Checkpoints: a job's state between attempts, one file replaced atomically.
 *
 * A header of 96 bytes names the job, its spec and the SHA-256 of what follows, so that
 * neither a damaged file nor another job's is ever resumed. It is not encrypted: the
 * file's mode (0600) and the job directory's protect it.
 */
#ifndef PPT_WORKER_CHECKPOINT_H
#define PPT_WORKER_CHECKPOINT_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* After a crash the old or the new file is there. `spec_sha256` is hexadecimal.
 * Memory: a copy of the data. Errors: PPT_EIO, PPT_ENOMEM. */
int checkpoint_save(const char *path, int64_t job_id, const char *spec_sha256,
                    const void *data, size_t len, struct error *err);

/* *ret_data NULL and *ret_len 0 if there is no file; caller frees.
 * Errors: PPT_EIO, PPT_ENOMEM, PPT_ETRUST (damaged, of another job or spec, or of
 * another version). */
int checkpoint_load(const char *path, int64_t job_id, const char *spec_sha256,
                    void **ret_data, size_t *ret_len, struct error *err);

#endif
