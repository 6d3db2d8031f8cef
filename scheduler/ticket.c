#include "scheduler/ticket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/pathsafe.h"

int ticket_path(const char *directory, const char *what, int64_t attempt,
                char ret_path[SPOOL_PATH_SIZE], struct error *err)
{
    char name[64];
    snprintf(name, sizeof name, "%s-%lld", what, (long long)attempt);
    return spool_path(directory, name, ret_path, err);
}

int ticket_has(const char *directory, const char *what, int64_t attempt, bool *ret_has,
               struct error *err)
{
    char path[SPOOL_PATH_SIZE];
    int rc = ticket_path(directory, what, attempt, path, err);
    if (rc != 0)
        return rc;
    bool has = access(path, F_OK) == 0;
    if (!has && errno != ENOENT && errno != ENOTDIR)
        return error_errno(err, PPT_EIO, "cannot look at %s", path);
    *ret_has = has;
    return 0;
}

bool ticket_has_ended_well(const char *directory, int64_t attempt)
{
    char path[SPOOL_PATH_SIZE], word[4] = "";
    if (ticket_path(directory, "ended", attempt, path, NULL) != 0)
        return false;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, word, sizeof word);
    close(fd);
    return n == 2 && memcmp(word, "0\n", 2) == 0;
}

/* A network file system may remember for a while that a file was not there; making it
 * asks the server. One that is left here by a crash says "taken", which costs more. */
int ticket_is_taken(const char *directory, int64_t attempt, bool *ret_is_taken,
                    struct error *err)
{
    char path[SPOOL_PATH_SIZE];
    bool is_taken = false;
    int rc = ticket_has(directory, "taken", attempt, &is_taken, err);
    if (rc == 0)
        rc = ticket_path(directory, "taken", attempt, path, err);
    if (rc == 0 && !is_taken) {
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd >= 0 && (close(fd) != 0 || unlink(path) != 0))
            rc = error_errno(err, PPT_EIO, "cannot remove %s", path);
        is_taken = fd < 0 && errno == EEXIST;
        if (fd < 0 && !is_taken && errno != ENOENT && errno != ENOTDIR)
            rc = error_errno(err, PPT_EIO, "cannot look at %s", path);
    }
    if (rc == 0)
        *ret_is_taken = is_taken;
    return rc;
}

int ticket_take_back(const char *directory, int64_t attempt, bool *ret_never,
                     struct error *err)
{
    char path[SPOOL_PATH_SIZE];
    bool is_taken = false;
    int rc = ticket_path(directory, "ticket", attempt, path, err);
    if (rc == 0 && unlink(path) == 0) {
        *ret_never = true;
        return 0;
    }
    if (rc == 0 && errno != ENOENT && errno != ENOTDIR)
        rc = error_errno(err, PPT_EIO, "cannot remove %s", path);
    if (rc == 0)
        rc = ticket_is_taken(directory, attempt, &is_taken, err);
    if (rc == 0) /* no ticket: taken, or never made, or the directory has gone */
        *ret_never = !is_taken && access(directory, F_OK) == 0;
    return rc;
}

int ticket_make(const char *directory, int64_t attempt, struct error *err)
{
    char path[SPOOL_PATH_SIZE];
    int rc = ticket_path(directory, "ticket", attempt, path, err);
    return rc == 0 ? pathsafe_replace(path, "", 0, 0600, err) : rc;
}
