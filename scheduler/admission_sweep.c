/* Admission of a sweep: all of its jobs or none. */
#include <stdio.h>
#include <stdlib.h>

#include "scheduler/admission.h"
#include "scheduler/tally.h"

/* The open jobs of a sweep and what is to become of them. */
struct group {
    const struct admission *admission;
    int64_t sweep_id;
    struct queue_jobs jobs; /* all of them */
    int n;                  /* open ones */
    struct ledger_request *requests;
    int64_t *ids;
    struct tally tally;
    struct ledger_verdict verdict;
    enum ledger_answer answer;
    char reason[LEDGER_TEXT_SIZE];
    int error_code;
};

static int tend(const struct group *group, struct error *err)
{
    const struct admission *admission = group->admission;
    return admission->tend == NULL ? 0 : admission->tend(admission->state, err);
}

/* Moves the open jobs to the front. */
static void keep_open(struct group *group)
{
    struct queue_job *jobs = group->jobs.jobs;
    for (int i = 0; i < group->jobs.n; i++) {
        if (jobs[i].state != QUEUE_SUBMITTED && jobs[i].state != QUEUE_WAITING)
            continue;
        struct queue_job open = jobs[i];
        jobs[i] = jobs[group->n];
        jobs[group->n] = open;
        group->ids[group->n++] = open.id;
    }
}

/* A fault of one job refuses all. */
static int price_one(struct group *group, int i, struct error *err)
{
    const struct queue_job *row = &group->jobs.jobs[i];
    struct error why = {0};
    struct admission_job *job = malloc(sizeof *job);
    if (job == NULL)
        return error_set(err, PPT_ENOMEM, "out of memory admitting a job");
    int rc = admission_prepare(group->admission, row, job, &why);
    if (rc == 0) {
        group->requests[i] = admission_request(row->id, job);
        admission_job_free(job);
        rc = tally_add(&group->tally, &group->requests[i], &why);
    }
    if (admission_is_jobs_fault(rc)) {
        char reason[LEDGER_TEXT_SIZE];
        admission_reason(&why, reason);
        group->answer = LEDGER_REFUSED;
        group->error_code = why.code;
        snprintf(group->reason, sizeof group->reason,
                 "job [%lld] of this sweep: %.460s", (long long)row->sweep.number,
                 reason);
        rc = 0;
    } else if (rc != 0 && err != NULL) {
        *err = why;
    }
    free(job);
    return rc;
}

/* How many have room is only looked for where somebody will read it. */
static int judge_sum(struct group *group, struct error *err)
{
    struct db *db = group->admission->db;
    int rc = tally_judge(&group->tally, db, &group->verdict, err);
    group->answer = group->verdict.answer;
    for (int i = 0; rc == 0 && group->answer == LEDGER_REFUSED && i < group->n; i++) {
        struct ledger_verdict one;
        rc = tally_fit(&group->tally, db, &group->requests[i], &one, err);
        if (rc == 0)
            rc = tend(group, err);
    }
    if (rc == 0 && group->answer != LEDGER_ADMITTED)
        tally_explain(&group->tally, &group->verdict, group->reason);
    group->error_code = PPT_EBUDGET;
    return rc;
}

static int judge(struct group *group, struct error *err)
{
    const struct queue_job *first = &group->jobs.jobs[0];
    group->tally.account = first->account;
    group->tally.dataset = first->dataset;
    group->error_code = PPT_EJOB;
    int rc =
        admission_after(group->admission, first, &group->answer, group->reason, err);
    for (int i = 0; rc == 0 && group->answer == LEDGER_ADMITTED && i < group->n; i++) {
        rc = price_one(group, i, err);
        if (rc == 0)
            rc = tend(group, err);
    }
    if (rc == 0 && group->answer == LEDGER_ADMITTED)
        rc = judge_sum(group, err);
    return rc;
}

static int act(struct group *group, struct error *err)
{
    struct db *db = group->admission->db;
    const struct ledger_lease *lease = group->admission->lease;
    bool is_done = false;
    int rc = 0;
    switch (group->answer) {
    case LEDGER_ADMITTED:
        rc = queue_sweep_admit(db, lease, group->sweep_id, group->requests, group->n,
                               &is_done, err);
        break;
    case LEDGER_WAIT:
        rc = queue_sweep_hold(db, lease, group->sweep_id, group->ids, group->n,
                              group->reason, &is_done, err);
        break;
    case LEDGER_REFUSED:
        rc = queue_sweep_refuse(db, lease, group->sweep_id, group->ids, group->n,
                                group->reason, group->error_code, &is_done, err);
        break;
    }
    if (rc == 0 && !is_done)
        group->answer = LEDGER_WAIT;
    return rc;
}

int admission_judge_sweep(const struct admission *admission, int64_t sweep_id,
                          enum ledger_answer *ret_answer, struct error *err)
{
    struct group *group = calloc(1, sizeof *group);
    if (group == NULL)
        return error_set(err, PPT_ENOMEM, "out of memory admitting a sweep");
    group->admission = admission;
    group->sweep_id = sweep_id;
    int rc = queue_of_sweep(admission->db, sweep_id, &group->jobs, err);
    size_t room = (size_t)group->jobs.n + 1;
    group->requests = calloc(room, sizeof *group->requests);
    group->ids = calloc(room, sizeof *group->ids);
    if (rc == 0 && (group->requests == NULL || group->ids == NULL))
        rc = error_set(err, PPT_ENOMEM, "out of memory admitting a sweep");
    if (rc == 0)
        keep_open(group);
    group->answer = LEDGER_WAIT;
    if (rc == 0 && group->n > 0)
        rc = judge(group, err);
    if (rc == 0 && group->n > 0)
        rc = act(group, err);
    if (rc == 0)
        *ret_answer = group->answer;
    queue_jobs_free(&group->jobs);
    free(group->requests);
    free(group->ids);
    free(group);
    return rc;
}
