/* What has been seen of the database that never changes there: which price a spec has,
 * and what is reserved for a job.
 *
 * Data sets, specs and reservations are append-only, and a price is a function of the
 * first two, so nothing in here can be out of date while the program and its connection
 * last. It spares parsing and questions where many jobs are alike; what is not in here
 * is worked out and asked for as ever. The oldest are forgotten.
 */
#ifndef PPT_SCHEDULER_KNOWN_H
#define PPT_SCHEDULER_KNOWN_H

#include <stdbool.h>
#include <stdint.h>

#include "scheduler/admission.h"

struct known;

/* NULL: no memory; the functions below take it and know nothing. */
struct known *known_create(void);
void known_free(struct known *known);

/* The spec of this digest, with the data set and price that follow from it. False: not
 * known. Caller frees *ret_job by admission_job_free. */
bool known_spec(const struct known *known, const char *spec_sha256,
                struct admission_job *ret_job);
void known_add_spec(struct known *known, const struct admission_job *job);

/* What is reserved for a job that has been admitted. */
bool known_reserved(const struct known *known, int64_t job_id, struct cost *ret_cost);
void known_add_reserved(struct known *known, const int64_t *job_ids, int n,
                        const struct cost *cost);

#endif
