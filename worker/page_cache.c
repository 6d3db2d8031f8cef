#include "worker/page_cache.h"

#include <fcntl.h>
#include <unistd.h>

#define WINDOW_BYTES ((int64_t)32 << 20)

bool page_cache_may_hold(int64_t part_bytes, int n_beside, int64_t whole_bytes)
{
    int64_t n_pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    int64_t bytes = part_bytes < whole_bytes / (n_beside + 1)
                        ? part_bytes * (n_beside + 1)
                        : whole_bytes;
    return bytes <= n_pages / 4 * 3 * page_bytes;
}

/* A page, or several that the system keeps as one, that lies over the end of one advice
 * is not given back by it: the next begins a window before that end. */
void page_cache_drop_behind(int fd, int64_t offset, size_t len)
{
    int64_t end = offset + (int64_t)len;
    int64_t window = offset / WINDOW_BYTES;
    if (end / WINDOW_BYTES == window)
        return;
    int64_t from = window > 0 ? (window - 1) * WINDOW_BYTES : 0;
    posix_fadvise(fd, from, end - from, POSIX_FADV_DONTNEED);
}
