/* What the site's program (hooks.h) is told of a job that has ended: by its row, which
 * says what was committed, and its spec's `notify`.
 */
#ifndef PPT_SCHEDULER_HOOK_TELL_H
#define PPT_SCHEDULER_HOOK_TELL_H

#include <stdint.h>

#include "scheduler/db.h"
#include "scheduler/hooks.h"

/* After the job's last move was committed. Without a program it does nothing; a row
 * that cannot be read now is a line in the log. */
void hook_tell(struct hooks *hooks, struct db *db, int64_t job_id);

#endif
