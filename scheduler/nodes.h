/* What one machine has to give: cores and memory. */
#ifndef PPT_SCHEDULER_NODES_H
#define PPT_SCHEDULER_NODES_H

#include <stdint.h>

#include "base/error.h"

/* Free cores and memory, or those a job needs. */
struct nodes_room {
    int64_t n_cores;
    int64_t memory_bytes;
};

/* All cores this process may run on, and the memory of the machine or of this process's
 * control groups, whichever is less. Errors: PPT_EIO. */
int nodes_of_this_machine(struct nodes_room *ret_room, struct error *err);

#endif
