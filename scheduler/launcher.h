/* How a job's processes come to be and end: one table a way of starting them.
 *
 * Whether a job lives is asked of the operating system, never remembered, so the
 * scheduler may die and come back at any point: processes hold a lock on the file
 * `lock` of the job's directory (flock; it goes with the last holder, however that
 * ends) and carry the directory's name in their environment (LAUNCHER_MARK).
 */
#ifndef PPT_SCHEDULER_LAUNCHER_H
#define PPT_SCHEDULER_LAUNCHER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* Names the job's directory in the environment of each of its processes. */
#define LAUNCHER_MARK "PPT_JOB_DIRECTORY"

struct launcher_request {
    const char *directory; /* absolute, of the job */
    int64_t n_ranks;
    int64_t cores_per_rank;
};

struct launcher_started {
    int64_t pid;        /* of the process that starts the ranks */
    int64_t start_time; /* field 22 of /proc/PID/stat: a pid can be reused */
};

struct launcher;

struct launcher_ops {
    const char *name; /* "mpirun" */
    /* Starts the ranks and returns without waiting for them. `lock` is an open file
     * description that holds the job's lock; the processes inherit it, the caller
     * closes its own. Errors: PPT_ELAUNCH (nothing was started), PPT_EIO. */
    int (*start)(struct launcher *launcher, const struct launcher_request *request,
                 int lock, struct launcher_started *ret_started, struct error *err);
    /* How many processes of the job are there: whoever holds the lock or not, or ranks
     * only. */
    int (*count)(struct launcher *launcher, const char *directory, bool only_ranks);
    /* Asks the ranks to stop (they write a checkpoint and leave), or kills everything
     * the job has. No error if nothing is there. */
    void (*stop)(struct launcher *launcher, const char *directory);
    void (*kill)(struct launcher *launcher, const char *directory);
};

struct launcher {
    const struct launcher_ops *ops;
    void *state; /* the implementation's */
};

#endif
