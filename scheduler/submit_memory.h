/* What a job's ranks would take of their memory, for a dry run and before it
 * is filed. The formulas are the engine's, which this side does not link: the site's
 * ppt-worker is asked. */
#ifndef PPT_SCHEDULER_SUBMIT_MEMORY_H
#define PPT_SCHEDULER_SUBMIT_MEMORY_H

#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "jobs/spec/spec.h"
#include "scheduler/client.h"

struct submit_memory {
    int64_t rank_bytes, job_bytes; /* 0: not known */
    int64_t micro_batch;           /* records at once, as many as fit */
    int64_t least_job_bytes;       /* that a job like it would have to ask for */
};

/* The manifest as the database has it. Not known of federations and of jobs on GPUs,
 * and where no ppt-worker answers, which is told with -v only. */
struct submit_memory submit_memory(const struct client *client, const struct spec *spec,
                                   const char *manifest);

/* A line of the dry run, or an object of its JSON; nothing where it is not known. */
void submit_memory_print(const struct submit_memory *memory, const struct spec *spec);
/* The same: {"memory": {"rank_bytes": ..., "job_bytes": ..., "micro_batch": ...}}. */
void submit_memory_to_json(struct json *json, const struct submit_memory *memory);

/* Does the job ask for as much? Errors: PPT_ESPEC, with what to write. */
int submit_memory_check(const struct submit_memory *memory, const struct spec *spec,
                        struct error *err);

/* The same before a job is filed, if its spec says another memory than it has without a
 * word: connects if need be. A spec like the last one but for names and numbers that
 * take no memory costs nothing, another one about 0.1 s. What is not known is no fault.
 * Errors: PPT_ESPEC, PPT_EDB (no connection), PPT_ENOMEM. */
int submit_memory_before(struct client *client, const struct spec *spec,
                         struct error *err);

#endif
