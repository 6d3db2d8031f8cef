/* What jobs that have ended owe, settled one by one or together.
 *
 * A bill is for a job whose processes have gone and whose meter is ended. Until it is
 * paid the job is running in the database; whoever forgets a bill, or dies with it,
 * finds the same job and works out the same amount.
 */
#ifndef PPT_SCHEDULER_BILLS_H
#define PPT_SCHEDULER_BILLS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "jobs/plan.h"
#include "scheduler/conf.h"
#include "scheduler/hooks.h"
#include "scheduler/ledger.h"
#include "scheduler/queue.h"

#define BILLS_MAX 32

/* Zero-initialise. */
struct bills {
    struct queue_bill bills[BILLS_MAX];
    char models[BILLS_MAX][PLAN_PATH_SIZE]; /* what they point to */
    int n;
};

/* By whom they are paid. No ownership. */
struct bills_payer {
    struct db *db;
    const struct ledger_lease *lease;
    struct hooks *hooks;
    const struct conf *conf; /* where jobs' keys are, which end with them */
};

/* Settles one job: queue_finish, then wipes its key, tells hook and log. */
int bills_settle(const struct bills_payer *payer, int64_t job_id,
                 const struct queue_outcome *outcome, struct error *err);

/* Keeps a copy for bills_pay. False: the list is full, or such an outcome (not done, or
 * with a reason) is settled alone. */
bool bills_add(struct bills *bills, int64_t job_id,
               const struct queue_outcome *outcome);

/* Settles all and empties the list: those that have spent the same by one call, where
 * that cannot be each alone; one that fails holds up none of the others. *ret_job_id:
 * of the one whose error is returned. Errors: as queue_finish. */
int bills_pay(struct bills *bills, const struct bills_payer *payer, int64_t *ret_job_id,
              struct error *err);

#endif
