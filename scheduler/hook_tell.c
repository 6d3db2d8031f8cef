#include "scheduler/hook_tell.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "jobs/spec/spec.h"
#include "scheduler/queue.h"

/* Who is to be written to. A spec that a later version cannot read any more: nobody. */
static void find_mail(const struct queue_job *job, char ret_mail[SPEC_NAME_SIZE])
{
    struct spec *spec = malloc(sizeof *spec);
    ret_mail[0] = '\0';
    if (spec != NULL && job->spec != NULL &&
        spec_parse(job->spec, strlen(job->spec), "spec", NULL, spec, NULL) == 0 &&
        spec_notifies(&spec->notify, queue_state_name(job->state)))
        memcpy(ret_mail, spec->notify.mail, SPEC_NAME_SIZE);
    free(spec);
}

void hook_tell(struct hooks *hooks, struct db *db, int64_t job_id)
{
    struct queue_job job = {0};
    struct error err = {0};
    char mail[SPEC_NAME_SIZE];
    if (!hooks_are_set(hooks))
        return;
    if (queue_find(db, job_id, &job, &err) != 0) {
        log_warning("hooks.end is not told of job %lld: %s", (long long)job_id,
                    err.text);
        return;
    }
    find_mail(&job, mail);
    const struct hook_event event = {.job_id = job_id,
                                     .state = queue_state_name(job.state),
                                     .name = job.name,
                                     .account = job.account,
                                     .login = job.submitted_by,
                                     .reason = job.reason,
                                     .error_code = job.error_code,
                                     .epsilon_spent = job.epsilon_spent,
                                     .mail = mail};
    hooks_run(hooks, &event);
    queue_job_free(&job);
}
