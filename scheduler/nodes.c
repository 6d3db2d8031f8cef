#include "scheduler/nodes.h"

#include <sched.h>

#include "base/machine.h"

int nodes_of_this_machine(struct nodes_room *ret_room, struct error *err)
{
    cpu_set_t cores;
    if (sched_getaffinity(0, sizeof cores, &cores) != 0)
        return error_errno(err, PPT_EIO, "cannot count this machine's cores");
    int64_t memory_bytes = machine_memory_bytes();
    if (memory_bytes < 0)
        return error_set(err, PPT_EIO, "cannot find out this machine's memory");
    ret_room->n_cores = CPU_COUNT(&cores);
    ret_room->memory_bytes = memory_bytes;
    return 0;
}
