/* What the machine gives this process. */
#ifndef PPT_BASE_MACHINE_H
#define PPT_BASE_MACHINE_H

#include <stdint.h>

/* Bytes of memory: the machine's, or what this process's control groups leave it, if
 * that is less (systemd, Slurm's ConstrainRAMSpace, a container). The page cache that a
 * process fills counts there, too. -1: the system does not say. */
int64_t machine_memory_bytes(void);

/* The least bound of the control groups that a process is in, of version 1 or 2, read
 * from root/proc/self/cgroup and root/sys/fs/cgroup; root is "" but for tests.
 * INT64_MAX where there is none. A group that cannot be seen from here has no bound. */
int64_t machine_cgroup_bytes(const char *root);

#endif
