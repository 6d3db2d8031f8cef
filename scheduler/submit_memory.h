/* What a job's ranks would take of their memory, for a dry run. The formulas are the
 * engine's, which this side does not link: the site's ppt-worker is asked. */
#ifndef PPT_SCHEDULER_SUBMIT_MEMORY_H
#define PPT_SCHEDULER_SUBMIT_MEMORY_H

#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "scheduler/admission.h"
#include "scheduler/client.h"

struct submit_memory {
    int64_t rank_bytes, job_bytes; /* 0: not known */
};

/* Not known of federations and of jobs on GPUs, and where no ppt-worker answers, which
 * is told with -v only. */
struct submit_memory submit_memory(const struct client *client,
                                   const struct admission_job *job);

/* A line of the dry run, or an object of its JSON; nothing where it is not known. */
void submit_memory_print(const struct submit_memory *memory, const struct spec *spec);
/* The same: {"memory": {"rank_bytes": ..., "job_bytes": ...}}. */
void submit_memory_to_json(struct json *json, const struct submit_memory *memory);

/* Does the job ask for as much? Errors: PPT_ESPEC, with what to write. */
int submit_memory_check(const struct submit_memory *memory, const struct spec *spec,
                        struct error *err);

#endif
