/* Checkpoints: a job's state between attempts, one encrypted file replaced atomically.
 *
 * The file that it replaces is kept as path.1, the one before as path.2, up to the
 * number of files that the job keeps. A checkpoint is read to its end, tags and all,
 * before a byte of it is used; where the newest is damaged the one before it is used.
 *
 * File, little-endian: a head of 128 bytes, then chunks of at most 1 MiB, each with its
 * tag of 16 bytes. A chunk is AES-256-GCM under a key of this one file, HKDF-SHA256 of
 * the job's key and a fresh salt of 256 bits; its nonce is its number, its associated
 * data is the whole head. The head names the job, its spec, its data set and the length
 * of the state, so chunks of other files, other orders and other lengths do not open
 * (the STREAM construction of Hoang et al., CRYPTO 2015, with the length in place of
 * the mark on the last chunk). Pieces go in and come out in order; memory: one chunk.
 *
 * The job's key is 32 random bytes that the first checkpoint makes, in a file of mode
 * 0600: never on a command line, in the environment, in a plan or in a log. It is wiped
 * when the job is done; a cancelled or failed job's stays in its directory. Or the
 * scheduler makes it, keeps it and hands it to rank 0 of each attempt; then it is in no
 * file here, and only in the memory of who starts the ranks and of rank 0.
 *
 * Against what: whoever has the checkpoint without the key (a copy, a backup or a disk
 * that the key file is not on) reads nothing of it but the head and cannot make one
 * that is resumed. Where the key lies beside the checkpoint, a copy of the whole
 * directory has both, and what remains is that damage and mix-ups are noticed; a site
 * may have keys kept in a directory of their own, on another disk (keys.checkpoints).
 * Nothing here helps against root or the job's user. An older checkpoint of the same
 * job that is put in place of a newer one is resumed: that is safe, since the meter,
 * not the checkpoint, says what may still be released, and noise and samples come from
 * keys that no checkpoint holds.
 */
#ifndef PPT_WORKER_CHECKPOINT_H
#define PPT_WORKER_CHECKPOINT_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Whose checkpoint: digests are hexadecimal. Borrowed while a file is open. */
struct checkpoint_job {
    int64_t id;
    const char *spec_sha256, *manifest_sha256;
    const char *key_path;
    int n_kept; /* 1 .. CHECKPOINT_MAX_KEPT: the newest and those before it */
    const unsigned char *key; /* CRYPTO_KEY_SIZE bytes, handed over; NULL: it is in
                                 the file key_path */
};

#define CHECKPOINT_MAX_KEPT 10

struct checkpoint_writer;
struct checkpoint_reader;

/* A new checkpoint of `len` bytes of state; the file `path` stays what it is. Makes the
 * job's key where there is none. Errors: PPT_EIO, PPT_ENOMEM, PPT_ETRUST (a key file
 * that others may read, or that is not one). */
int checkpoint_create(const char *path, const struct checkpoint_job *job, uint64_t len,
                      struct checkpoint_writer **ret_writer, struct error *err);

/* The next bytes of the state. Errors: PPT_EIO. */
int checkpoint_put(struct checkpoint_writer *writer, const void *data, size_t len,
                   struct error *err);

/* Ends it, in any case. All `len` bytes must have been put. The old file becomes path.1
 * and so on. After a crash at any point the old or the new file is `path`, and those
 * behind it are whole. Errors: PPT_EIO; the old file is then there. */
int checkpoint_commit(struct checkpoint_writer *writer, struct error *err);

/* Ends it without a trace; NULL is allowed. */
void checkpoint_abandon(struct checkpoint_writer *writer);

/* The newest that is whole; *ret_reader NULL and *ret_len 0 if there is no file, else
 * the caller closes it. *ret_n_damaged newer ones were not; they are gone then, and it
 * is `path`. Errors: PPT_EIO, PPT_ENOMEM, PPT_ETRUST (none is whole: the newest is
 * damaged, of another job, spec, data set or version, the key not there or another). */
int checkpoint_open(const char *path, const struct checkpoint_job *job,
                    struct checkpoint_reader **ret_reader, uint64_t *ret_len,
                    int *ret_n_damaged, struct error *err);

/* The next `len` bytes of the state; none that were not sealed so. Nothing may be made
 * of a part of a checkpoint until all of it has come out. Errors: PPT_EIO, PPT_ETRUST
 * (damaged). */
int checkpoint_get(struct checkpoint_reader *reader, void *ret_data, size_t len,
                   struct error *err);

/* NULL is allowed. */
void checkpoint_close(struct checkpoint_reader *reader);

/* The job is done: wipes its key (key_path NULL: it has no file here), then removes its
 * checkpoints, which nobody can read any more. No error where they are not there.
 * Errors: PPT_EIO. */
int checkpoint_forget(const char *path, const char *key_path, struct error *err);

#endif
