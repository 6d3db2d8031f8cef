/* The launcher for jobs that run where their user already is (scheduler/allocation.h):
 * starting one is offering its signed plan in the database. Its directory in the spool
 * holds what the scheduler remembers of it, a copy of the plan, and as report.json what
 * the user's side said of the end.
 */
#ifndef PPT_SCHEDULER_LAUNCH_ALLOCATION_H
#define PPT_SCHEDULER_LAUNCH_ALLOCATION_H

#include "scheduler/db.h"
#include "scheduler/launcher.h"
#include "scheduler/ledger.h"

/* No ownership; both change when the database was away. */
struct launch_allocation {
    struct db *db;
    const struct ledger_lease *lease;
};

/* `allocation` outlives the launcher. Errors of its start, besides the launcher's:
 * PPT_EPOLICY (nothing was started), PPT_EDB, PPT_ESTATE. */
struct launcher launch_allocation(struct launch_allocation *allocation);

#endif
