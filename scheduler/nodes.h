/* What one machine has to give: cores and memory, counted while jobs take and give
 * back.
 *
 * Pure arithmetic but for nodes_of_this_machine. A job runs within one node.
 */
#ifndef PPT_SCHEDULER_NODES_H
#define PPT_SCHEDULER_NODES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* Free cores and memory, or those a job needs. */
struct nodes_room {
    int64_t n_cores;
    int64_t memory_bytes;
};

/* All cores this process may run on, and the memory of the machine or of this process's
 * control group, whichever is less. Errors: PPT_EIO. */
int nodes_of_this_machine(struct nodes_room *ret_room, struct error *err);

/* No more cores and no more memory than there is. */
bool nodes_fits(const struct nodes_room *room, const struct nodes_room *need);

/* Takes `need` out of the room; less than nothing may be left when jobs that run
 * already hold more than the node is said to have (the configuration was changed). */
void nodes_take(struct nodes_room *room, const struct nodes_room *need);

#endif
