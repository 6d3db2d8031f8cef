/* What ppt-queue's subcommands share about sweeps. */
#include <stdio.h>

#include "scheduler/client.h"
#include "scheduler/jobs.h"

void jobs_name(const struct queue_job *job, char ret_name[JOBS_NAME_SIZE])
{
    if (job->sweep.id != 0)
        snprintf(ret_name, JOBS_NAME_SIZE, "%s[%lld]", job->name,
                 (long long)job->sweep.number);
    else
        snprintf(ret_name, JOBS_NAME_SIZE, "%s", job->name);
}

int jobs_sweep_id(const char *text, int64_t *ret_id, struct error *err)
{
    bool is_sweep;
    int64_t id;
    int rc = client_id(text, &id, &is_sweep, err);
    if (rc == 0 && !is_sweep)
        rc = error_set(err, PPT_EUSAGE, "--sweep is %s, expected a sweep such as s12",
                       text);
    if (rc == 0)
        *ret_id = id;
    return rc;
}
