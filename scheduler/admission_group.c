/* Admission of jobs of one price: what one of them costs, times their number, is asked
 * for in one call. */
#include <stdlib.h>
#include <string.h>

#include "jobs/privacy/cost.h"
#include "scheduler/admission.h"
#include "scheduler/known.h"

struct group {
    const struct admission *admission;
    const struct queue_job *jobs;
    struct ledger_request request; /* of each */
    int64_t ids[ADMISSION_MAX_GROUP];
    int n;
};

/* Is it judged by nothing but its price? */
static bool is_plain(const struct queue_job *job)
{
    return job->after == NULL && !job->sweep.is_together;
}

/* The same text under the same claims in the same place has the same price. */
static bool is_copy(const struct queue_job *a, const struct queue_job *b)
{
    return strcmp(a->spec, b->spec) == 0 && strcmp(a->name, b->name) == 0 &&
           strcmp(a->spec_sha256, b->spec_sha256) == 0 &&
           strcmp(a->allocation, b->allocation) == 0;
}

static bool is_same_price(const struct ledger_request *a,
                          const struct ledger_request *b)
{
    return a->is_private == b->is_private && cost_equal(&a->cost, &b->cost) &&
           a->epsilon == b->epsilon && a->delta == b->delta &&
           a->noise_multiplier == b->noise_multiplier &&
           a->sample_rate == b->sample_rate && a->n_steps == b->n_steps &&
           strcmp(a->kind, b->kind) == 0 && a->priority == b->priority &&
           a->time_limit_s == b->time_limit_s && a->n_ranks == b->n_ranks &&
           a->n_cores == b->n_cores && a->memory_bytes == b->memory_bytes;
}

/* *ret_is_priced false: a fault of its own, which will be found again when it is judged
 * alone. */
static int price(const struct group *group, const struct queue_job *job,
                 struct ledger_request *ret_request, bool *ret_is_priced,
                 struct error *err)
{
    struct error why = {0};
    struct admission_job *prepared = malloc(sizeof *prepared);
    if (prepared == NULL)
        return error_set(err, PPT_ENOMEM, "out of memory admitting a job");
    int rc = admission_prepare(group->admission, job, prepared, &why);
    *ret_is_priced = rc == 0;
    if (rc == 0) {
        *ret_request = admission_request(job->id, prepared);
        admission_job_free(prepared);
    } else if (admission_is_jobs_fault(rc)) {
        rc = 0;
    } else if (err != NULL) {
        *err = why;
    }
    free(prepared);
    return rc;
}

/* May the next one stand with them? */
static int joins(const struct group *group, const struct queue_job *job,
                 bool *ret_joins, struct error *err)
{
    const struct queue_job *first = &group->jobs[0];
    struct ledger_request request;
    *ret_joins = is_plain(job) && strcmp(job->account, first->account) == 0 &&
                 strcmp(job->dataset, first->dataset) == 0;
    if (!*ret_joins || is_copy(job, &group->jobs[group->n - 1]))
        return 0;
    int rc = price(group, job, &request, ret_joins, err);
    *ret_joins = rc == 0 && *ret_joins && is_same_price(&request, &group->request);
    return rc;
}

static int gather(struct group *group, int n_jobs, struct error *err)
{
    bool is_in = is_plain(&group->jobs[0]);
    int rc = 0;
    group->ids[0] = group->jobs[0].id;
    group->n = 1;
    if (n_jobs < 2 || !is_in || !is_plain(&group->jobs[1]))
        return 0;
    rc = price(group, &group->jobs[0], &group->request, &is_in, err);
    while (rc == 0 && is_in && group->n < n_jobs && group->n < ADMISSION_MAX_GROUP) {
        rc = joins(group, &group->jobs[group->n], &is_in, err);
        if (rc == 0 && is_in) {
            group->ids[group->n] = group->jobs[group->n].id;
            group->n++;
        }
    }
    return rc;
}

int admission_judge_group(const struct admission *admission,
                          const struct queue_job *jobs, int n, int *ret_n,
                          bool *ret_is_admitted, struct error *err)
{
    struct group *group = calloc(1, sizeof *group);
    bool is_admitted = false;
    if (group == NULL)
        return error_set(err, PPT_ENOMEM, "out of memory admitting jobs");
    group->admission = admission;
    group->jobs = jobs;
    int rc = gather(group, n, err);
    if (rc == 0 && group->n > 1)
        rc = ledger_reserve_group(admission->db, admission->lease, &group->request,
                                  group->ids, group->n, &is_admitted, err);
    if (rc == 0 && is_admitted && group->request.is_private)
        known_add_reserved(admission->known, group->ids, group->n,
                           &group->request.cost);
    if (rc == 0) {
        *ret_n = group->n;
        *ret_is_admitted = is_admitted;
    }
    free(group);
    return rc;
}
