#include "worker/claim.h"

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Another user's file of that name does not count. */
static bool hold(const char *folder, int device)
{
    char path[PATH_MAX];
    struct stat status;
    snprintf(path, sizeof path, "%s/ppt-gpu-%ld-%d", folder, (long)geteuid(), device);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (fd < 0)
        return false;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
        status.st_uid == geteuid() && flock(fd, LOCK_EX | LOCK_NB) == 0)
        return true; /* the descriptor stays open */
    close(fd);
    return false;
}

int claim_device(const char *folder, int n_devices, int first)
{
    for (int i = 0; i < n_devices; i++) {
        int device = (first + i) % n_devices;
        if (hold(folder, device))
            return device;
    }
    return first % n_devices;
}
