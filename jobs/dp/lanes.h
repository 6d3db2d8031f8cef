/* The threads of one rank: lanes 0 (the caller) to n - 1 do the same work on parts of
 * it, and meet at its end. One lane for each core: a lane that waits looks for work a
 * moment before it sleeps. Private to this room.
 */
#ifndef PPT_JOBS_DP_LANES_H
#define PPT_JOBS_DP_LANES_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define LANES_MOST 256

struct lanes_thread {
    struct lanes *lanes;
    pthread_t thread;
    int number;
};

struct lanes {
    int n;                        /* 0: zeroed */
    struct lanes_thread *threads; /* n - 1 */
    int n_started;
    pthread_mutex_t mutex; /* of those who sleep */
    pthread_cond_t called, done;
    void (*work)(void *state, int lane);
    void *state;
    _Atomic uint64_t turn;
    atomic_int n_busy;
    atomic_bool stop;
};

/* n >= 1; one lane starts no thread. `lanes` stays where it is until lanes_close.
 * Errors: PPT_ENOMEM. */
int lanes_open(struct lanes *lanes, int n, struct error *err);
void lanes_close(struct lanes *lanes); /* a zeroed one too */

/* work(state, lane) once on each lane, side by side; returns when all have. What was
 * written before is seen by all, what they write by the caller. One caller at a time,
 * and none from inside a lane. */
void lanes_run(struct lanes *lanes, void (*work)(void *state, int lane), void *state);

/* Its two halves, for a caller who has something else to do than lane 0's part:
 * lanes_begin returns at once, and work is done on lanes 1 .. n - 1 only. */
void lanes_begin(struct lanes *lanes, void (*work)(void *state, int lane), void *state);
void lanes_end(struct lanes *lanes);

/* The part of 0 .. n - 1 that is a lane's: whole blocks of 16, but for the end. Parts
 * are in the lanes' order. */
void lanes_part(const struct lanes *lanes, int lane, int64_t n, int64_t *ret_from,
                int64_t *ret_to);

#endif
