#include "scheduler/nodes.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/pathsafe.h"

/* The control group's bound, or INT64_MAX where there is none. */
static int64_t cgroup_memory_bytes(void)
{
    char *text = NULL;
    size_t len;
    int64_t bytes = INT64_MAX;
    if (pathsafe_read_file("/sys/fs/cgroup/memory.max", 64, &text, &len, NULL) == 0) {
        char *end;
        long long value = strtoll(text, &end, 10);
        if (end != text && value > 0)
            bytes = value;
    }
    free(text);
    return bytes;
}

int nodes_of_this_machine(struct nodes_room *ret_room, struct error *err)
{
    cpu_set_t cores;
    if (sched_getaffinity(0, sizeof cores, &cores) != 0)
        return error_errno(err, PPT_EIO, "cannot count this machine's cores");
    long n_pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    if (n_pages <= 0 || page_bytes <= 0)
        return error_set(err, PPT_EIO, "cannot find out this machine's memory");
    int64_t physical = (int64_t)n_pages * page_bytes, bound = cgroup_memory_bytes();
    ret_room->n_cores = CPU_COUNT(&cores);
    ret_room->memory_bytes = physical < bound ? physical : bound;
    return 0;
}
