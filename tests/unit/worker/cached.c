#include "tests/unit/worker/cached.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MIB = 1 << 20 };

long cached_claim_mib;

/* In place of the library's. */
long sysconf(int name)
{
    if (name == _SC_PHYS_PAGES && cached_claim_mib > 0)
        return cached_claim_mib * (MIB / getpagesize());
    long (*real)(int) = (long (*)(int))dlsym(RTLD_NEXT, "sysconf");
    return real(name);
}

double cached_mib(const char *path)
{
    struct stat st;
    double mib = -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        return -1;
    size_t len = (size_t)st.st_size, page = (size_t)getpagesize(), n = 0;
    size_t n_pages = (len + page - 1) / page;
    unsigned char *is_there = malloc(n_pages + 1);
    void *map = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
    if (is_there != NULL && map != MAP_FAILED && mincore(map, len, is_there) == 0) {
        for (size_t i = 0; i < n_pages; i++)
            n += is_there[i] & 1;
        mib = (double)(n * page) / MIB;
    }
    if (map != MAP_FAILED)
        munmap(map, len);
    free(is_there);
    close(fd);
    return mib;
}

bool cached_can_drop(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
    double left = cached_mib(path);
    return left >= 0 && left < 1;
}
