/* The ticket of an attempt: three files of the job's directory that decide, on nothing
 * but a shared file system, whether an attempt has run.
 *
 * ticket-N is made before the attempt is handed to Slurm. Whoever is to run it renames
 * it to taken-N first, and leaves ended-N when its ranks have gone. The scheduler gives
 * an attempt up only after removing ticket-N; so it runs once at most, whatever Slurm
 * has answered or lost.
 */
#ifndef PPT_SCHEDULER_TICKET_H
#define PPT_SCHEDULER_TICKET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "scheduler/spool.h"

/* directory/WHAT-ATTEMPT. Errors: PPT_EIO (too long). */
int ticket_path(const char *directory, const char *what, int64_t attempt,
                char ret_path[SPOOL_PATH_SIZE], struct error *err);

/* Is that file there? Errors: PPT_EIO (cannot tell). */
int ticket_has(const char *directory, const char *what, int64_t attempt, bool *ret_has,
               struct error *err);

/* Has somebody taken the ticket? Certain, on a network file system too, once there is
 * no ticket. Errors: PPT_EIO (cannot tell). */
int ticket_is_taken(const char *directory, int64_t attempt, bool *ret_is_taken,
                    struct error *err);

/* Has the attempt ended well: does ended-N hold the status 0? False too where nobody
 * can tell, or where it was cut off while it was written. */
bool ticket_has_ended_well(const char *directory, int64_t attempt);

/* From now on the attempt may begin. Errors: PPT_EIO. */
int ticket_make(const char *directory, int64_t attempt, struct error *err);

/* After this the attempt can begin no more. *ret_never: it has not begun before.
 * Errors: PPT_EIO (cannot tell; it may begin still). */
int ticket_take_back(const char *directory, int64_t attempt, bool *ret_never,
                     struct error *err);

#endif
