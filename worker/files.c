#include "worker/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_PIECES 256 /* of one system call */
#define SETTLED_S 2

int files_read_at(int fd, const char *path, int64_t offset, size_t len, void *ret_data,
                  struct error *err)
{
    unsigned char *at = ret_data;
    while (len > 0) {
        ssize_t n = pread(fd, at, len, offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(err, PPT_EIO, "%s: cannot be read", path);
        if (n == 0)
            return error_set(err, PPT_EDATA, "%s: became shorter while it was read",
                             path);
        at += n;
        offset += n;
        len -= (size_t)n;
    }
    return 0;
}

int files_scatter_at(int fd, const char *path, int64_t offset, size_t n,
                     size_t piece_bytes, size_t stride, void *ret_data,
                     struct error *err)
{
    struct iovec pieces[MAX_PIECES];
    unsigned char *at = ret_data;
    size_t n_done = 0; /* bytes of the first piece left */
    while (n > 0) {
        size_t k = n < MAX_PIECES ? n : MAX_PIECES;
        for (size_t i = 0; i < k; i++)
            pieces[i] = (struct iovec){at + i * stride, piece_bytes};
        pieces[0].iov_base = at + n_done;
        pieces[0].iov_len -= n_done;
        ssize_t got = preadv(fd, pieces, (int)k, offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_errno(err, PPT_EIO, "%s: cannot be read", path);
        if (got == 0)
            return error_set(err, PPT_EDATA, "%s: became shorter while it was read",
                             path);
        offset += got;
        n_done += (size_t)got;
        at += n_done / piece_bytes * stride;
        n -= n_done / piece_bytes;
        n_done %= piece_bytes;
    }
    return 0;
}

int files_sync(const char *path, struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, PPT_EIO, "%s", path);
    int rc = 0;
    if (fsync(fd) != 0)
        rc = error_errno(err, PPT_EIO, "%s: cannot be made durable", path);
    close(fd);
    return rc;
}

static int sync_parent(const char *path, struct error *err)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return files_sync(".", err);
    if (slash == path)
        return files_sync("/", err);
    char *parent = strndup(path, (size_t)(slash - path));
    if (parent == NULL)
        return error_set(err, PPT_ENOMEM, "no memory for a path");
    int rc = files_sync(parent, err);
    free(parent);
    return rc;
}

static int take_place(const char *temporary, const char *path, struct error *err)
{
    if (rename(temporary, path) == 0)
        return 0;
    int rc = error_errno(err, PPT_EIO, "%s: cannot be put in place", path);
    unlink(temporary);
    return rc;
}

int files_replace(const char *temporary, const char *path, struct error *err)
{
    int rc = take_place(temporary, path, err);
    return rc != 0 ? rc : sync_parent(path, err);
}

int files_replace_unsynced(const char *temporary, const char *path, struct error *err)
{
    int rc = take_place(temporary, path, err);
    if (rc != 0)
        return rc;
    rc = files_sync(path, err);
    if (rc == 0)
        rc = sync_parent(path, err);
    if (rc != 0)
        unlink(path);
    return rc;
}

int files_check_readable(const char *path, struct error *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return error_errno(err, errno == ENOENT ? PPT_ENOTFOUND : PPT_EIO, "%s", path);
    int rc = 0;
    if (fstat(fd, &st) != 0)
        rc = error_errno(err, PPT_EIO, "%s", path);
    else if (!S_ISREG(st.st_mode))
        rc = error_set(err, PPT_EIO, "%s: not a regular file", path);
    else if (st.st_size == 0)
        rc = error_set(err, PPT_EDATA, "%s: empty", path);
    close(fd);
    return rc;
}

bool files_at_rest(const char *path, struct file_state *ret_state)
{
    struct stat st;
    if (stat(path, &st) != 0 || time(NULL) - st.st_ctime < SETTLED_S)
        return false;
    *ret_state = (struct file_state){.device = st.st_dev,
                                     .inode = st.st_ino,
                                     .size = st.st_size,
                                     .modified = st.st_mtim,
                                     .changed = st.st_ctim};
    return true;
}

static bool are_same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

bool files_are_same(const struct file_state *a, const struct file_state *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           are_same_time(a->modified, b->modified) &&
           are_same_time(a->changed, b->changed);
}
