/* The keys of jobs' checkpoints, where the scheduler keeps them
 * (keys.checkpoint_keeper).
 *
 * Each is 32 random bytes in a file JOB.key of mode 0600 in keys.checkpoints, a
 * directory of the scheduler's alone: made before a job's first ranks start, handed to
 * rank 0 of every attempt by its launcher (mpirun's standard input, a message on a
 * world's socket), and wiped once the job is settled, however it ended. It is in no
 * command line, environment, plan, log or job directory.
 */
#ifndef PPT_SCHEDULER_JOB_KEYS_H
#define PPT_SCHEDULER_JOB_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/crypto.h"
#include "base/error.h"
#include "scheduler/conf.h"
#include "scheduler/db.h"
#include "scheduler/launcher.h"

/* Of the job, made where there is none. The caller wipes it. Errors: PPT_EIO,
 * PPT_ETRUST (not a key, or one that others may read). */
int job_keys_find(const char *directory, int64_t job_id,
                  unsigned char ret_key[CRYPTO_KEY_SIZE], struct error *err);

/* The launcher's start, with the job's key where the site has the scheduler hand it
 * over and the ranks are the scheduler's own. Errors: those of both. */
int job_keys_start(const struct conf *conf, struct launcher *launcher,
                   const struct launcher_request *request, bool are_own, int lock,
                   struct launcher_started *ret_started, struct error *err);

/* No error where there is none. Errors: PPT_EIO. */
int job_keys_wipe(const char *directory, int64_t job_id, struct error *err);

/* Wipes those of jobs that have ended: a scheduler died before it could. Keys of jobs
 * that the database does not know stay. Errors: PPT_EIO, PPT_EDB, PPT_ENOMEM. */
int job_keys_tidy(const char *directory, struct db *db, struct error *err);

#endif
