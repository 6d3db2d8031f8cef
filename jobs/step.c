#include "jobs/step.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

int step_pair(int ret_ends[2], struct error *err)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return error_errno(err, PPT_EIO, "cannot make a socket");
    ret_ends[0] = ends[0];
    ret_ends[1] = ends[1];
    return 0;
}

int step_send(int end, const struct step_packet *packet, struct error *err)
{
    ssize_t n;
    do
        n = send(end, packet, sizeof *packet, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n == (ssize_t)sizeof *packet)
        return 0;
    return error_errno(err, PPT_ECOMM, "the other side of the step is gone");
}

static bool is_sound(const struct step_packet *packet)
{
    return (packet->kind == STEP_PLAN || packet->kind == STEP_END) &&
           memchr(packet->directory, '\0', sizeof packet->directory) != NULL &&
           memchr(packet->public_key, '\0', sizeof packet->public_key) != NULL;
}

int step_receive(int end, int timeout_ms, struct step_packet *ret_packet,
                 bool *ret_is_there, struct error *err)
{
    struct step_packet packet;
    struct pollfd wait = {.fd = end, .events = POLLIN};
    *ret_is_there = false;
    int n_ready = poll(&wait, 1, timeout_ms);
    if (n_ready == 0 || (n_ready < 0 && errno == EINTR))
        return 0;
    ssize_t n = recv(end, &packet, sizeof packet, MSG_DONTWAIT | MSG_TRUNC);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return 0;
    if (n <= 0)
        return error_set(err, PPT_ECOMM, "the other side of the step is gone");
    if (n != (ssize_t)sizeof packet || !is_sound(&packet))
        return error_set(err, PPT_ECOMM,
                         "ppt-submit and ppt-worker are of different versions");
    *ret_packet = packet;
    *ret_is_there = true;
    return 0;
}
