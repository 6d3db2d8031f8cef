#include "worker/claim.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_trusted(int fd, mode_t type)
{
    struct stat status;
    return fstat(fd, &status) == 0 && (status.st_mode & S_IFMT) == type &&
           (status.st_uid == 0 || status.st_uid == geteuid()) &&
           (status.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

/* -1: it is not there, or others could have put something there. */
static int open_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0 && is_trusted(fd, S_IFDIR))
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static bool hold(int folder, int flags, int device)
{
    char name[24];
    snprintf(name, sizeof name, "%d", device);
    int fd = openat(folder, name, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (fd < 0)
        return false;
    if (is_trusted(fd, S_IFREG) && flock(fd, LOCK_EX | LOCK_NB) == 0)
        return true; /* the descriptor stays open */
    close(fd);
    return false;
}

int claim_device(const char *shared, const char *own, int n_devices, int first,
                 bool *ret_is_alone)
{
    int flags = O_RDONLY, found = -1;
    int folder = open_folder(shared);
    if (folder < 0) {
        flags = O_RDWR | O_CREAT;
        mkdir(own, 0700); /* or it is there */
        folder = open_folder(own);
    }
    for (int i = 0; folder >= 0 && found < 0 && i < n_devices; i++)
        if (hold(folder, flags, (first + i) % n_devices))
            found = (first + i) % n_devices;
    if (folder >= 0)
        close(folder);
    *ret_is_alone = found >= 0;
    return found >= 0 ? found : first % n_devices;
}

/* In a step, in a batch script, and of an allocation as a whole. */
bool claim_is_slurms(void)
{
    return getenv("SLURM_STEP_GPUS") != NULL || getenv("SLURM_JOB_GPUS") != NULL ||
           getenv("SLURM_GPUS_ON_NODE") != NULL;
}
