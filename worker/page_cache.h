/* What one pass over much data leaves in the system's page cache.
 *
 * The system gives up first what was read longest ago, so of a pass over more than
 * memory holds nothing is there when the next pass comes for it. And until then room
 * has to be found for each page: over 20 GiB on a machine of 23 that took seven times
 * the processor time of reading into pages just given back (14 and 2 s, ext4 with large
 * folios, Linux 6.18).
 */
#ifndef PPT_WORKER_PAGE_CACHE_H
#define PPT_WORKER_PAGE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether a part of a file may still be there when it has been read, as may those that
 * n_beside others on this machine read, of the same size, but no more than the whole:
 * at most three quarters of the memory (base/machine.h). What else is read there is not
 * known here. */
bool page_cache_may_hold(int64_t part_bytes, int n_beside, int64_t whole_bytes);

/* len bytes at an offset of an open file were read, the next of a pass: takes those
 * before them out of the cache, 32 MiB at a time, so that little more than the last 32
 * MiB are left. Pages that somebody has mapped or written stay; another reader who is
 * behind finds nothing there. Where a file system knows no such advice, nothing
 * changes. */
void page_cache_drop_behind(int fd, int64_t offset, size_t len);

#endif
