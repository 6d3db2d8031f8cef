/* How ppt-worker --submit and the ppt-submit that its rank 0 starts talk: packets over
 * a socket that is the latter's standard input.
 *
 * ppt-submit files the job and sends one STEP_PLAN when it holds the job's signed plan,
 * or ends instead, having told why. When the ranks have finished, rank 0 sends one
 * STEP_END; ppt-submit then sees to the settlement, and ends with the job's status, or
 * sends the next STEP_PLAN where the file is a sweep. A closed socket means that the
 * other side is gone: neither outlives the other for long.
 *
 * Both are processes of one user on one machine. Nothing here is to be believed by
 * anybody else: who pays what is between ppt-submit's database and the scheduler.
 */
#ifndef PPT_JOBS_STEP_H
#define PPT_JOBS_STEP_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define STEP_PATH_SIZE 1024

/* Ends a rank at once, and nothing else of its step: ppt-submit ignores it. */
#define STEP_END_RANKS SIGUSR2
#define STEP_END_RANKS_NAME "USR2"

/* In the job's log: a rank, and the node that it was on, has gone without a goodbye.
 * Written by printf, read by scanf into 64 bytes. */
#define STEP_GONE "ppt: rank %d on node %s has gone"
#define STEP_GONE_SCAN "ppt: rank %d on node %63s has gone"

enum step_kind { STEP_PLAN = 1, STEP_END };

/* Copy freely. Strings end within their arrays. */
struct step_packet {
    enum step_kind kind;
    int status;   /* STEP_END: an exit status, as far as rank 0 knows */
    bool is_last; /* STEP_END: these ranks can run no other plan */
    char directory[STEP_PATH_SIZE];  /* STEP_PLAN: the job's, absolute */
    char public_key[STEP_PATH_SIZE]; /* STEP_PLAN: the scheduler's, absolute */
};

/* Two connected ends, closed by exec. Errors: PPT_EIO. */
int step_pair(int ret_ends[2], struct error *err);

/* Never raises SIGPIPE. Errors: PPT_ECOMM (the other side is gone). */
int step_send(int end, const struct step_packet *packet, struct error *err);

/* Waits at most timeout_ms, or until a signal comes; *ret_is_there false: nothing yet.
 * Errors: PPT_ECOMM (the other side is gone, or of another version). */
int step_receive(int end, int timeout_ms, struct step_packet *ret_packet,
                 bool *ret_is_there, struct error *err);

#endif
