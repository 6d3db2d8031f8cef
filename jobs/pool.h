/* How the scheduler and the worlds of a worker pool talk: messages of one fixed form
 * over a Unix socket.
 *
 * A world is a set of ranks that runs one plan at a time. Its rank 0 calls the
 * scheduler at the socket POOL_SOCKET of the pool's directory, says POOL_HELLO, and
 * then answers each POOL_RUN by POOL_TAKEN before anything of the job is touched, and
 * by POOL_ENDED once no rank of it can do anything more for that job. Orders may be
 * sent ahead: they wait in the socket, and those that the scheduler has taken back when
 * their turn comes (jobs/turn.h, of which the hello carries a descriptor) are passed
 * over. A sender that finds the other side gone gets an error, never a signal; so an
 * order that a world has not begun when it goes was not and will not be carried out.
 * Inside a world, the same messages carry the order from rank 0 to the others, but not
 * the key of the job's checkpoints, which is rank 0's alone; who has sent or received a
 * message with a key wipes it.
 *
 * Both sides are processes of one user on one machine; who is another user is refused.
 */
#ifndef PPT_JOBS_POOL_H
#define PPT_JOBS_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "base/crypto.h"
#include "base/error.h"

/* Names the job's directory in the environment of each of its processes; an idle
 * world's own directory in that of its ranks. */
#define POOL_MARK "PPT_JOB_DIRECTORY"

#define POOL_SOCKET "socket"
#define POOL_PATH_SIZE 1024
#define POOL_LOGIN_SIZE 128

enum pool_kind {
    POOL_HELLO, /* world: here I am, idle; directory is the world's own; a descriptor of
                   its turn comes along */
    POOL_RUN,   /* scheduler: run the plan in this directory; a descriptor comes along
                   that holds the job's lock */
    POOL_TAKEN, /* world: I do */
    POOL_ENDED, /* world: no rank does anything for that job any more */
    POOL_LEAVE, /* scheduler: end; world: the job has ended, and so do I */
    POOL_JOINED /* rank to its rank 0: here I am, n_ranks is my number */
};

/* Copy freely; send and receive as it is. Strings end within their arrays. */
struct pool_message {
    uint32_t version; /* filled by pool_send */
    int32_t kind;     /* enum pool_kind */
    int64_t job_id, attempt;
    int64_t number;              /* of an order: 1, 2, ... since the world's hello */
    int64_t lasted_us;           /* POOL_ENDED, POOL_LEAVE: from its turn to its end */
    int64_t n_ranks;             /* of the world */
    char login[POOL_LOGIN_SIZE]; /* whose jobs a world runs; "": nobody's so far */
    char directory[POOL_PATH_SIZE];
    int32_t is_noted;           /* POOL_RUN: after a power cut the attempt counts as
                                   begun, so that it has begun need not be on disk */
    int32_t has_checkpoint_key; /* POOL_RUN, to rank 0: what follows is one */
    unsigned char checkpoint_key[CRYPTO_KEY_SIZE];
};

/* A listening socket at directory/name, which replaces what was there. Errors: PPT_EIO.
 */
int pool_listen(const char *directory, const char *name, int *ret_fd,
                struct error *err);

/* The next caller, PPT_ENOTFOUND where nobody waits (the socket does not block).
 * Errors: PPT_ETRUST (another user's process; it is hung up on), PPT_EIO. */
int pool_accept(int listener, int *ret_fd, struct error *err);

/* Calls the one who listens at directory/name. Errors: PPT_ENOTFOUND (nobody does),
 * PPT_ETRUST (it is another user), PPT_EIO. */
int pool_call(const char *directory, const char *name, int *ret_fd, struct error *err);

/* Sends it whole, with a copy of descriptor `attached` unless that is -1; waits at most
 * a second for room. Errors: PPT_ECOMM (the other side has gone, or does not read). */
int pool_send(int fd, const struct pool_message *message, int attached,
              struct error *err);

/* Waits at most timeout_ms (-1: for ever; 0: looks) for the next. *ret_attached: the
 * descriptor that came along, closed on exec, caller closes; -1: none; may be NULL
 * where none is expected. Errors: PPT_ENOTFOUND (none within that time, or a signal),
 * PPT_ECOMM (the other side has gone), PPT_ETRUST (no such message). */
int pool_receive(int fd, int timeout_ms, struct pool_message *ret_message,
                 int *ret_attached, struct error *err);

#endif
