#include "jobs/pool.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define VERSION 0x70707404u /* changes with struct pool_message */
#define SEND_MS 1000
#define BACKLOG 128

/* A socket's name has room for 107 bytes only; so it is reached through a descriptor
 * of its directory, *ret_directory, which the caller closes. */
static int name_socket(const char *directory, const char *name,
                       struct sockaddr_un *ret_address, int *ret_directory,
                       struct error *err)
{
    int fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, errno == ENOENT ? PPT_ENOTFOUND : PPT_EIO,
                           "cannot open %s", directory);
    *ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(ret_address->sun_path, sizeof ret_address->sun_path, "/proc/self/fd/%d/%s",
             fd, name);
    *ret_directory = fd;
    return 0;
}

int pool_listen(const char *directory, const char *name, int *ret_fd, struct error *err)
{
    struct sockaddr_un address;
    int top;
    int rc = name_socket(directory, name, &address, &top, err);
    if (rc != 0)
        return rc;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || (unlinkat(top, name, 0) != 0 && errno != ENOENT) ||
        bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(fd, BACKLOG) != 0) {
        rc = error_errno(err, PPT_EIO, "cannot listen at %s/%s", directory, name);
        if (fd >= 0)
            close(fd);
    } else {
        *ret_fd = fd;
    }
    close(top);
    return rc;
}

/* Takes the descriptor over: it is closed if somebody else is at its other end. */
static int check_peer(int fd, int *ret_fd, struct error *err)
{
    struct ucred peer;
    socklen_t len = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0 ||
        peer.uid != geteuid()) {
        close(fd);
        return error_set(err, PPT_ETRUST, "another user's process is at the pool");
    }
    *ret_fd = fd;
    return 0;
}

int pool_accept(int listener, int *ret_fd, struct error *err)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0)
        return check_peer(fd, ret_fd, err);
    if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
        return error_set(err, PPT_ENOTFOUND, "nobody calls");
    return error_errno(err, PPT_EIO, "cannot take a call of the pool");
}

int pool_call(const char *directory, const char *name, int *ret_fd, struct error *err)
{
    struct sockaddr_un address;
    int top;
    int rc = name_socket(directory, name, &address, &top, err);
    if (rc != 0)
        return rc;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        rc = error_errno(err, PPT_EIO, "cannot make a socket");
    } else if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        rc = error_errno(err,
                         errno == ENOENT || errno == ECONNREFUSED || errno == EAGAIN
                             ? PPT_ENOTFOUND
                             : PPT_EIO,
                         "cannot call %s/%s", directory, name);
        close(fd);
    } else {
        rc = check_peer(fd, ret_fd, err);
    }
    close(top);
    return rc;
}

/* True once it can be read (or written); false after the time or at a signal. */
static bool wait_for(int fd, short events, int timeout_ms)
{
    struct pollfd poller = {.fd = fd, .events = events};
    return poll(&poller, 1, timeout_ms) > 0;
}

union control {
    struct cmsghdr header; /* aligns */
    char bytes[CMSG_SPACE(sizeof(int))];
};

int pool_send(int fd, const struct pool_message *message, int attached,
              struct error *err)
{
    struct pool_message copy = *message;
    union control control;
    struct iovec part = {&copy, sizeof copy};
    struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1};
    copy.version = VERSION;
    if (attached >= 0) {
        memset(&control, 0, sizeof control);
        msg.msg_control = control.bytes;
        msg.msg_controllen = sizeof control.bytes;
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof attached);
        memcpy(CMSG_DATA(cmsg), &attached, sizeof attached);
    }
    ssize_t n = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN && wait_for(fd, POLLOUT, SEND_MS))
        n = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    crypto_wipe(copy.checkpoint_key, sizeof copy.checkpoint_key);
    return n == sizeof copy ? 0
                            : error_errno(err, PPT_ECOMM, "the pool cannot be reached");
}

static void take_attached(struct msghdr *msg, int *ret_fd)
{
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg);
    if (cmsg != NULL && cmsg->cmsg_level == SOL_SOCKET &&
        cmsg->cmsg_type == SCM_RIGHTS && cmsg->cmsg_len == CMSG_LEN(sizeof *ret_fd))
        memcpy(ret_fd, CMSG_DATA(cmsg), sizeof *ret_fd);
}

static bool is_sound(const struct pool_message *message, ssize_t n)
{
    return n == sizeof *message && message->version == VERSION &&
           memchr(message->login, '\0', sizeof message->login) != NULL &&
           memchr(message->directory, '\0', sizeof message->directory) != NULL;
}

int pool_receive(int fd, int timeout_ms, struct pool_message *ret_message,
                 int *ret_attached, struct error *err)
{
    struct pool_message message;
    union control control;
    struct iovec part = {&message, sizeof message};
    struct msghdr msg = {.msg_iov = &part,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof control.bytes};
    int attached = -1;
    if (timeout_ms != 0 && !wait_for(fd, POLLIN, timeout_ms))
        return error_set(err, PPT_ENOTFOUND, "no word from the pool");
    ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return error_set(err, PPT_ENOTFOUND, "no word from the pool");
    if (n <= 0)
        return error_set(err, PPT_ECOMM, "the other side of the pool has gone");
    take_attached(&msg, &attached);
    if (!is_sound(&message, n) || (attached >= 0 && ret_attached == NULL)) {
        if (attached >= 0)
            close(attached);
        return error_set(err, PPT_ETRUST, "a message of another version of the pool");
    }
    *ret_message = message;
    crypto_wipe(message.checkpoint_key, sizeof message.checkpoint_key);
    if (ret_attached != NULL)
        *ret_attached = attached;
    return 0;
}
