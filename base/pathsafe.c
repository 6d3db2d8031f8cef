#include "base/pathsafe.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_trusted_owner(uid_t owner)
{
    return owner == 0 || owner == geteuid();
}

/* Every directory from the file's own up to / must keep others from swapping what is
 * below it. */
static int check_parents(const char *path, struct error *err)
{
    char real[PATH_MAX];
    if (realpath(path, real) == NULL)
        return error_errno(err, PPT_EIO, "cannot resolve '%s'", path);
    for (;;) {
        char *slash = strrchr(real, '/');
        if (slash == NULL)
            return 0;
        bool is_root = slash == real;
        *(is_root ? slash + 1 : slash) = '\0';
        struct stat st;
        if (stat(real, &st) != 0)
            return error_errno(err, PPT_EIO, "cannot look at directory '%s'", real);
        bool is_open = (st.st_mode & (S_IWGRP | S_IWOTH)) != 0;
        bool is_sticky = (st.st_mode & S_ISVTX) != 0;
        if (!is_trusted_owner(st.st_uid) || (is_open && !is_sticky)) {
            error_set(err, PPT_ETRUST,
                      "'%s' cannot be trusted: others may write to directory '%s'",
                      path, real);
            return error_hint(err, "give the directory to root or to this user and "
                                   "run chmod go-w on it");
        }
        if (is_root)
            return 0;
    }
}

static int check_file(const char *path, int fd, mode_t forbidden, struct error *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return error_errno(err, PPT_EIO, "cannot look at '%s'", path);
    if (!S_ISREG(st.st_mode))
        return error_set(err, PPT_ETRUST, "'%s' is not a regular file", path);
    if (!is_trusted_owner(st.st_uid))
        return error_set(err, PPT_ETRUST,
                         "'%s' belongs to user %u: expected root or this user (%u)",
                         path, (unsigned)st.st_uid, (unsigned)geteuid());
    if ((st.st_mode & forbidden) != 0) {
        error_set(err, PPT_ETRUST, "'%s' has mode %04o: too open for a key", path,
                  (unsigned)(st.st_mode & 07777));
        return error_hint(err, "run chmod %s '%s'", forbidden & S_IRGRP ? "600" : "644",
                          path);
    }
    return 0;
}

static int read_exactly(const char *path, int fd, void *ret_data, size_t size,
                        struct error *err)
{
    unsigned char extra;
    ssize_t got = read(fd, ret_data, size);
    if (got < 0)
        return error_errno(err, PPT_EIO, "cannot read '%s'", path);
    if ((size_t)got != size || read(fd, &extra, 1) != 0)
        return error_set(err, PPT_ETRUST, "'%s' is not a key of %zu bytes", path, size);
    return 0;
}

static int read_key(const char *path, mode_t forbidden, void *ret_data, size_t size,
                    struct error *err)
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ELOOP
                   ? error_set(err, PPT_ETRUST, "'%s' is a symbolic link", path)
                   : error_errno(err, PPT_EIO, "cannot open key file '%s'", path);
    int rc = check_file(path, fd, forbidden, err);
    if (rc == 0)
        rc = check_parents(path, err);
    if (rc == 0)
        rc = read_exactly(path, fd, ret_data, size, err);
    close(fd);
    return rc;
}

int pathsafe_read_secret(const char *path, void *ret_data, size_t size,
                         struct error *err)
{
    return read_key(path, S_IRWXG | S_IRWXO, ret_data, size, err);
}

int pathsafe_read_public(const char *path, void *ret_data, size_t size,
                         struct error *err)
{
    return read_key(path, S_IWGRP | S_IWOTH, ret_data, size, err);
}

int pathsafe_read_own(const char *path, void *ret_data, size_t size, struct error *err)
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ELOOP
                   ? error_set(err, PPT_ETRUST, "'%s' is a symbolic link", path)
                   : error_errno(err, errno == ENOENT ? PPT_ENOTFOUND : PPT_EIO,
                                 "cannot open key file '%s'", path);
    int rc = check_file(path, fd, S_IRWXG | S_IRWXO, err);
    if (rc == 0)
        rc = read_exactly(path, fd, ret_data, size, err);
    close(fd);
    return rc;
}

static int put_all(int fd, const void *data, size_t size)
{
    const char *at = data;
    while (size > 0) {
        ssize_t put = write(fd, at, size);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -1;
        at += put;
        size -= (size_t)put;
    }
    return 0;
}

int pathsafe_sync_parent(const char *path, struct error *err)
{
    char directory[PATH_MAX];
    snprintf(directory, sizeof directory, "%s", path);
    char *slash = strrchr(directory, '/');
    if (slash == NULL)
        strcpy(directory, ".");
    else
        slash[slash == directory] = '\0';
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0) {
        int rc = error_errno(err, PPT_EIO, "cannot sync directory '%s'", directory);
        if (fd >= 0)
            close(fd);
        return rc;
    }
    close(fd);
    return 0;
}

/* The file is on disk; its name may not be yet. */
static int write_file(const char *path, const void *data, size_t size, unsigned mode,
                      struct error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, (mode_t)mode);
    if (fd < 0)
        return errno == EEXIST
                   ? error_set(err, PPT_EEXISTS, "'%s' exists already", path)
                   : error_errno(err, PPT_EIO, "cannot create '%s'", path);
    int rc = 0;
    if (fchmod(fd, (mode_t)mode) != 0 || put_all(fd, data, size) != 0 ||
        fsync(fd) != 0) {
        rc = error_errno(err, PPT_EIO, "cannot write '%s'", path);
        unlink(path);
    }
    close(fd);
    return rc;
}

int pathsafe_write_new(const char *path, const void *data, size_t size, unsigned mode,
                       struct error *err)
{
    int rc = write_file(path, data, size, mode, err);
    return rc == 0 ? pathsafe_sync_parent(path, err) : rc;
}

static int name_temporary(const char *path, char ret_path[PATH_MAX], struct error *err)
{
    int len = snprintf(ret_path, PATH_MAX, "%s.tmp", path);
    if (len < 0 || len >= PATH_MAX)
        return error_set(err, PPT_EIO, "the path '%s' is too long", path);
    return 0;
}

static int take_name(const char *temporary, const char *path, struct error *err)
{
    if (rename(temporary, path) == 0)
        return 0;
    int rc = error_errno(err, PPT_EIO, "cannot rename '%s' to '%s'", temporary, path);
    unlink(temporary);
    return rc;
}

int pathsafe_replace_soon(const char *path, const void *data, size_t size,
                          unsigned mode, struct error *err)
{
    char temporary[PATH_MAX];
    int rc = name_temporary(path, temporary, err);
    if (rc != 0)
        return rc;
    unlink(temporary); /* a crash may have left one; it is nobody's */
    rc = write_file(temporary, data, size, mode, err);
    return rc != 0 ? rc : take_name(temporary, path, err);
}

int pathsafe_write_fast(const char *path, const void *data, size_t size, unsigned mode,
                        struct error *err)
{
    int fd =
        open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, (mode_t)mode);
    if (fd < 0)
        return error_errno(err, PPT_EIO, "cannot create '%s'", path);
    int rc = put_all(fd, data, size) == 0
                 ? 0
                 : error_errno(err, PPT_EIO, "cannot write '%s'", path);
    close(fd);
    return rc;
}

int pathsafe_replace_fast(const char *path, const void *data, size_t size,
                          unsigned mode, struct error *err)
{
    char temporary[PATH_MAX];
    int rc = name_temporary(path, temporary, err);
    if (rc == 0)
        rc = pathsafe_write_fast(temporary, data, size, mode, err);
    return rc == 0 ? take_name(temporary, path, err) : rc;
}

int pathsafe_begin(const char *path, unsigned mode, int *ret_fd, struct error *err)
{
    char temporary[PATH_MAX];
    int rc = name_temporary(path, temporary, err);
    if (rc != 0)
        return rc;
    unlink(temporary); /* a crash may have left one; it is nobody's */
    int fd =
        open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, (mode_t)(mode & 0700));
    if (fd >= 0 && fchmod(fd, (mode_t)mode) == 0) {
        *ret_fd = fd;
        return 0;
    }
    rc = error_errno(err, PPT_EIO, "cannot create '%s'", temporary);
    if (fd >= 0)
        pathsafe_abandon(path, fd);
    return rc;
}

int pathsafe_put(const char *path, int fd, const void *data, size_t size,
                 struct error *err)
{
    return put_all(fd, data, size) == 0
               ? 0
               : error_errno(err, PPT_EIO, "cannot write '%s.tmp'", path);
}

int pathsafe_commit(const char *path, int fd, struct error *err)
{
    char temporary[PATH_MAX];
    int rc = name_temporary(path, temporary, err);
    if (rc == 0 && fsync(fd) != 0)
        rc = error_errno(err, PPT_EIO, "cannot write '%s'", temporary);
    if (rc != 0) {
        pathsafe_abandon(path, fd);
        return rc;
    }
    close(fd);
    rc = take_name(temporary, path, err);
    return rc == 0 ? pathsafe_sync_parent(path, err) : rc;
}

void pathsafe_abandon(const char *path, int fd)
{
    char temporary[PATH_MAX];
    close(fd);
    if (name_temporary(path, temporary, NULL) == 0)
        unlink(temporary);
}

int pathsafe_wipe(const char *path, size_t size, struct error *err)
{
    static const char zeros[4096];
    int fd = open(path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0
                               : error_errno(err, PPT_EIO, "cannot wipe '%s'", path);
    int rc = 0;
    for (size_t at = 0; rc == 0 && at < size; at += sizeof zeros)
        rc = put_all(fd, zeros, size - at < sizeof zeros ? size - at : sizeof zeros);
    if (rc != 0 || fsync(fd) != 0 || unlink(path) != 0)
        rc = error_errno(err, PPT_EIO, "cannot wipe '%s'", path);
    close(fd);
    return rc == 0 ? pathsafe_sync_parent(path, err) : rc;
}

int pathsafe_replace(const char *path, const void *data, size_t size, unsigned mode,
                     struct error *err)
{
    int rc = pathsafe_replace_soon(path, data, size, mode, err);
    return rc == 0 ? pathsafe_sync_parent(path, err) : rc;
}

static int slurp(const char *path, int fd, size_t max_bytes, char **ret_text,
                 size_t *ret_len, struct error *err)
{
    size_t capacity = 4096, len = 0;
    char *text = malloc(capacity + 1);
    for (;;) {
        if (text == NULL)
            return error_set(err, PPT_ENOMEM, "no memory to read '%s'", path);
        ssize_t got = read(fd, text + len, capacity - len);
        if (got < 0) {
            int rc = error_errno(err, PPT_EIO, "cannot read '%s'", path);
            free(text);
            return rc;
        }
        if (got == 0)
            break;
        len += (size_t)got;
        if (len > max_bytes) {
            free(text);
            return error_set(err, PPT_EIO, "'%s' is larger than %zu bytes", path,
                             max_bytes);
        }
        if (len == capacity) {
            capacity *= 2;
            char *larger = realloc(text, capacity + 1);
            if (larger == NULL)
                free(text);
            text = larger;
        }
    }
    text[len] = '\0';
    *ret_text = text;
    if (ret_len != NULL)
        *ret_len = len;
    return 0;
}

int pathsafe_read_file(const char *path, size_t max_bytes, char **ret_text,
                       size_t *ret_len, struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, errno == ENOENT ? PPT_ENOTFOUND : PPT_EIO,
                           "cannot open '%s'", path);
    int rc = slurp(path, fd, max_bytes, ret_text, ret_len, err);
    close(fd);
    return rc;
}
