/* How a job's processes come to be and end: one table a way of starting them.
 *
 * Whether a job lives is asked of the operating system or of Slurm, never remembered,
 * so the scheduler may die and come back at any point. On one machine, processes hold a
 * lock on the file `lock` of the job's directory (flock; it goes with the last holder,
 * however that ends) and carry the directory's name in their environment
 * (LAUNCHER_MARK).
 */
#ifndef PPT_SCHEDULER_LAUNCHER_H
#define PPT_SCHEDULER_LAUNCHER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "jobs/pool.h"
#include "jobs/spec/spec.h"
#include "scheduler/slurm_job.h"

/* Names the job's directory in the environment of each of its processes. */
#define LAUNCHER_MARK POOL_MARK

struct launcher_request {
    const char *directory; /* absolute, of the job */
    const char *login;     /* who submitted it */
    const char *account;   /* who pays for it */
    int64_t job_id, attempt;
    int64_t n_ranks;
    int64_t cores_per_rank;
    int64_t gpus_per_rank;
    int64_t memory_bytes; /* of all ranks together */
    int64_t time_limit_s; /* from asking it to stop on, grace_s more are needed */
    const int64_t *ranks; /* on each of the site's nodes; NULL: as its last attempt */
    const unsigned char *checkpoint_key; /* for rank 0, CRYPTO_KEY_SIZE bytes, by a way
                                            that nobody else reads; NULL: none */
    const struct spec_slurm *slurm;      /* the job's wishes to Slurm; NULL: none */
    bool has_wishes; /* it has some; for is_ready, which is not told them */
    bool is_ahead;   /* to follow what runs where takes_ahead says so */
    bool is_noted;   /* after a power cut it counts as begun (spool.h) */
};

struct launcher_started {
    int64_t pid;        /* of the process that starts the ranks, or Slurm's job id */
    int64_t start_time; /* field 22 of /proc/PID/stat: a pid can be reused; or 0 */
};

enum launcher_life {
    LAUNCHER_GONE,      /* it has ended */
    LAUNCHER_ALIVE,     /* its processes are there */
    LAUNCHER_QUEUED,    /* waits in another system's queue; nothing runs */
    LAUNCHER_FORGOTTEN, /* may have run, and the other system knows nothing of it */
    LAUNCHER_NEVER      /* was not started and, from now on, never will be */
};

struct launcher_look {
    enum launcher_life life;
    int64_t ran_s;     /* how long it has run; -1: since it was started */
    bool is_witnessed; /* squeue knows it no more; somebody else says it has ended */
    bool is_cancelled; /* it ended because a person ended it, not through ppt */
    bool is_hearsay;   /* that somebody did must not make it cheaper */
    bool is_returned;  /* never: taken back before it began, to be started anew */
    char early[96]; /* why the other system ended it before it began, in its own words;
                       "": it did not */
    struct slurm_job slurm; /* of the launchers that use Slurm */
};

struct launcher;

struct launcher_ops {
    const char *name; /* "mpirun" */
    /* What the launcher has to look after by itself, once a round; NULL: nothing. */
    void (*tend)(struct launcher *launcher);
    /* Readable when there is something to tend; NULL: no such descriptor. */
    int (*wake_fd)(struct launcher *launcher);
    /* For how long nothing of what it has said needs an answer, because what runs has
     * its next orders already: so long the next round may wait, for more to be said.
     * NULL: 0. */
    int64_t (*rest_ms)(struct launcher *launcher);
    /* Can a job like this start now? True: a start in this round, before the next tend,
     * is expected. False: not yet, ask again in a later round; its directory need not
     * be known. NULL: always. */
    bool (*is_ready)(struct launcher *launcher, const struct launcher_request *request);
    /* Would a job like this be taken now although its room is not free, to follow those
     * that have it? True: as above. NULL: never. */
    bool (*takes_ahead)(struct launcher *launcher,
                        const struct launcher_request *request);
    /* Was it taken so, and others come first still? Then it has no room. NULL: no. */
    bool (*is_ahead)(struct launcher *launcher, const char *directory);
    /* Starts the ranks and returns without waiting for them. `lock` is an open file
     * description that holds the job's lock; the processes inherit it, the caller
     * closes its own. Errors: PPT_ELAUNCH, PPT_EIO and others (nothing was started nor
     * ever will be: the attempt may be settled), PPT_ESTATE (nothing was started, or
     * nobody can tell: look will; later it may work). */
    int (*start)(struct launcher *launcher, const struct launcher_request *request,
                 int lock, struct launcher_started *ret_started, struct error *err);
    /* What has become of an attempt that was started. Errors: PPT_EIO (cannot tell
     * now). */
    int (*look)(struct launcher *launcher, const char *directory, int64_t attempt,
                struct launcher_look *ret_look, struct error *err);
    /* Has the attempt that was started last ended, so that its room is free before it
     * is looked at? Costs nothing. False, and NULL: look. */
    bool (*is_over)(struct launcher *launcher, const char *directory);
    /* How many processes of the job are there: whoever holds the lock or not, or ranks
     * only. INT_MAX ranks where somebody else sees to it that none is missing. */
    int (*count)(struct launcher *launcher, const char *directory, bool only_ranks);
    /* Asks the ranks to stop (they write a checkpoint and leave), or kills everything
     * the job has. No error if nothing is there. */
    void (*stop)(struct launcher *launcher, const char *directory);
    void (*kill)(struct launcher *launcher, const char *directory);
    /* How many ranks of a running job are on each of the site's nodes. False: not
     * known. NULL: all are on the first. */
    bool (*where)(struct launcher *launcher, const char *directory, int64_t *ret_ranks);
    /* Will all ranks run on this very machine, and nowhere else? NULL: not known. */
    bool (*is_here)(struct launcher *launcher);
};

struct launcher {
    const struct launcher_ops *ops;
    void *state; /* the implementation's */
};

#endif
