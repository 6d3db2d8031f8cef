/* One job in its user's allocation, alone or one of a sweep's. Not for other programs.
 *
 *     here_open, here_check each job, here_connect; file them; here_run each
 */
#ifndef PPT_SCHEDULER_SUBMIT_HERE_H
#define PPT_SCHEDULER_SUBMIT_HERE_H

#include <limits.h>
#include <time.h>

#include "scheduler/submit.h"

/* The caller sets spec, token, job_id and is_alone for here_run; the rest is zero
 * before here_open. */
struct here {
    struct submit *request;
    const struct spec *spec;
    char token[SUBMIT_TOKEN_SIZE + 8]; /* of its submission */
    int64_t job_id;
    bool is_alone;                   /* no other job comes after it */
    char base[PATH_MAX], place[256]; /* where all of them are */
    struct submit_ranks ranks;
    /* of the job that runs */
    int64_t last_move;             /* that was told of it */
    int64_t attempt;               /* 0: its plan was not taken */
    char directory[PATH_MAX + 32]; /* base/ppt-ID */
    bool is_cancelled;             /* we have asked for it */
    bool is_interrupted;           /* its ranks stopped, and not because we asked */
    time_t stopped_at, beat_at;    /* 0: not yet */
};

/* Reads the site's configuration and finds the place. Errors: PPT_EIO, conf_read's. */
int here_open(struct here *here, struct submit *request, struct error *err);

/* Can the ranks of such a job be started here? Errors: submit_ranks_check's. */
int here_check(struct here *here, const struct spec *spec, struct error *err);

/* May jobs on the spec's data set run here, and can it be read? Errors: PPT_EPOLICY,
 * PPT_ENOTFOUND, PPT_EIO, the database's. */
int here_connect(struct here *here, const struct spec *spec, struct error *err);

/* From here on signals are counted; here_is_signalled tells of the first. */
void here_catch_signals(void);
bool here_is_signalled(void);

/* From the job's plan to its settlement. Errors: PPT_EJOB (not done, or refused: then
 * the refusal's code), PPT_EIO, the database's. Where its plan was not taken it is
 * cancelled. */
int here_run(struct here *here, struct error *err);

#endif
