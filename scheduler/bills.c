#include "scheduler/bills.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "jobs/privacy/cost.h"
#include "scheduler/hook_tell.h"
#include "scheduler/job_keys.h"

/* What cannot be wiped now is when the scheduler starts again. */
static void wipe_key(const struct conf *conf, int64_t job_id)
{
    struct error err = {0};
    if (conf->hands_keys_over &&
        job_keys_wipe(conf->checkpoint_keys, job_id, &err) != 0)
        log_warning("job %lld: its key stays: %s", (long long)job_id, err.text);
}

static void tell(const struct bills_payer *payer, int64_t job_id,
                 const struct queue_outcome *outcome)
{
    const char *reason = outcome->reason != NULL ? outcome->reason : "";
    wipe_key(payer->conf, job_id);
    hook_tell(payer->hooks, payer->db, job_id);
    log_info("job %lld: %s%s%s", (long long)job_id, queue_state_name(outcome->state),
             *reason ? ": " : "", reason);
}

int bills_settle(const struct bills_payer *payer, int64_t job_id,
                 const struct queue_outcome *outcome, struct error *err)
{
    int rc = queue_finish(payer->db, payer->lease, job_id, outcome, err);
    if (rc == 0)
        tell(payer, job_id, outcome);
    return rc;
}

bool bills_add(struct bills *bills, int64_t job_id, const struct queue_outcome *outcome)
{
    bool has_reason = outcome->reason != NULL && *outcome->reason != '\0';
    if (bills->n == BILLS_MAX || outcome->state != QUEUE_DONE || has_reason ||
        !isfinite(outcome->epsilon_spent))
        return false;
    struct queue_bill *bill = &bills->bills[bills->n];
    char *model = bills->models[bills->n++];
    *bill = (struct queue_bill){.job_id = job_id, .outcome = *outcome};
    bill->outcome.reason = NULL;
    if (outcome->model != NULL) {
        snprintf(model, PLAN_PATH_SIZE, "%s", outcome->model);
        bill->outcome.model = model;
    }
    return true;
}

/* Brings those that have spent what the first of bills[n] has to its side; returns how
 * many these are. */
static int gather(struct queue_bill *bills, int n)
{
    int n_same = 1;
    for (int i = 1; i < n; i++) {
        struct queue_bill one = bills[i];
        if (!cost_equal(&one.outcome.spent, &bills[0].outcome.spent))
            continue;
        bills[i] = bills[n_same];
        bills[n_same++] = one;
    }
    return n_same;
}

/* A group that cannot be paid whole, for whatever reason, is paid one by one. */
static int pay(const struct bills_payer *payer, const struct queue_bill *bills, int n,
               int64_t *ret_job_id, struct error *err)
{
    bool is_done = false;
    int rc = 0;
    if (n > 1 &&
        queue_done_group(payer->db, payer->lease, bills, n, &is_done, NULL) != 0)
        is_done = false;
    for (int i = 0; i < n; i++) {
        struct error why = {0};
        int one_rc = 0;
        if (is_done)
            tell(payer, bills[i].job_id, &bills[i].outcome);
        else
            one_rc = bills_settle(payer, bills[i].job_id, &bills[i].outcome, &why);
        if (one_rc != 0 && rc == 0) {
            rc = one_rc;
            *ret_job_id = bills[i].job_id;
            *err = why;
        }
        if (!db_is_alive(payer->db))
            break;
    }
    return rc;
}

int bills_pay(struct bills *bills, const struct bills_payer *payer, int64_t *ret_job_id,
              struct error *err)
{
    int rc = 0;
    for (int i = 0, n; i < bills->n && db_is_alive(payer->db); i += n) {
        struct error why = {0};
        int64_t job_id = 0;
        n = gather(&bills->bills[i], bills->n - i);
        int group_rc = pay(payer, &bills->bills[i], n, &job_id, &why);
        if (group_rc != 0 && rc == 0) {
            rc = group_rc;
            *ret_job_id = job_id;
            *err = why;
        }
    }
    bills->n = 0;
    return rc;
}
