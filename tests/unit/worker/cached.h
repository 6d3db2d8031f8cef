/* What of a file is in the system's page cache, and a machine that claims another
 * memory than it has. */
#ifndef PPT_TESTS_UNIT_WORKER_CACHED_H
#define PPT_TESTS_UNIT_WORKER_CACHED_H

#include <stdbool.h>

/* What sysconf says of the memory from now on, in programs linked with this; 0: the
 * truth. */
extern long cached_claim_mib;

/* -1 where it cannot be found out. */
double cached_mib(const char *path);

/* Takes a file out of the cache. False: its file system keeps what it is asked to give
 * back, or what is not on the disk yet. */
bool cached_can_drop(const char *path);

#endif
