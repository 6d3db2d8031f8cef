/* A sweep: one file that stands for a grid of jobs.
 *
 *     sweep:
 *       training.learning_rate: [0.1, 0.5]
 *       privacy.epsilon: [1, 2, 4]
 *       admission: together
 *       max_running: 2
 *
 * Each job of it is an ordinary spec with an ordinary canonical form, read by the same
 * reader: who admits, prices and runs it need not know what a sweep is. Jobs count from
 * 1; the last field changes fastest.
 */
#ifndef PPT_JOBS_SPEC_SWEEP_H
#define PPT_JOBS_SPEC_SWEEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "jobs/spec/spec.h"

#define SWEEP_MAX_JOBS 1000
#define SWEEP_MAX_FIELDS 16
#define SWEEP_WORDS_SIZE 512

struct sweep;

/* Parses and checks every job of the file; faults and errors as spec_parse's, each told
 * once, those of a value where it stands in its list. A file without a section `sweep`
 * is fine too. `path` and `policy` (may be NULL) are copied. Caller calls sweep_free.
 */
int sweep_parse(const char *text, size_t len, const char *path,
                const struct spec_policy *policy, struct sweep **ret_sweep,
                struct error *err);

/* The same of a file of at most SPEC_MAX_BYTES. Errors: also PPT_ENOTFOUND, PPT_EIO. */
int sweep_read(const char *path, const struct spec_policy *policy,
               struct sweep **ret_sweep, struct error *err);
void sweep_free(struct sweep *sweep);

/* False: the file is one job. */
bool sweep_is_sweep(const struct sweep *sweep);

/* 1 .. SWEEP_MAX_JOBS; 1 where it is no sweep. */
int sweep_n_jobs(const struct sweep *sweep);

/* `admission: together`: all of its jobs are to be admitted, or none. */
bool sweep_is_together(const struct sweep *sweep);

/* `max_running`: so many of its jobs at once; 0: all. */
int64_t sweep_max_running(const struct sweep *sweep);

/* Another account for all of its jobs than the file's, as by spec_set_account;
 * *ret_is_other tells whether it is another. Errors: PPT_ESPEC (not an account's path),
 * PPT_ENOMEM. */
int sweep_set_account(struct sweep *sweep, const char *account, bool *ret_is_other,
                      struct error *err);

/* The job of that number, from 1. Errors: PPT_ENOMEM. */
int sweep_job(struct sweep *sweep, int number, struct spec *ret_spec,
              struct error *err);

/* What sets it apart, "training.learning_rate=0.1 privacy.epsilon=2", cut where it is
 * too long; "" where it is no sweep. */
void sweep_words(const struct sweep *sweep, int number,
                 char ret_words[SWEEP_WORDS_SIZE]);

#endif
