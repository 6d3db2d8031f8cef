/* What Slurm knows of this user's jobs: squeue, asked once a second at most, and how
 * all of Slurm's commands are run.
 *
 * No command may outlast its time limit, and after one that did Slurm is left alone for
 * a moment: a controller that hangs must not hold the scheduler up, job after job.
 */
#ifndef PPT_SCHEDULER_SQUEUE_H
#define PPT_SCHEDULER_SQUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "scheduler/command.h"
#include "scheduler/slurm_job.h"

#define SQUEUE_NAME_SIZE 64

/* Zero-initialise, but for the time limit. */
struct squeue {
    int64_t timeout_ms;
    /* The implementation's. */
    char *listing;
    bool has_failed;
    char failure[512];
    int64_t asked_at_ms;
};

/* One job of the listing. */
struct squeue_job {
    int64_t id;
    char state[24], reason[96], name[SQUEUE_NAME_SIZE];
    int64_t ran_s; /* -1: has not begun */
    bool is_here;  /* its working directory is the one asked for */
};

/* Runs one of Slurm's commands, as command_run, with an environment in which nothing
 * stands that a job should not have. */
int squeue_command(const char *const *argv, int64_t timeout_ms,
                   struct command_result *ret_result, struct error *err);

/* Makes sure that the listing is at most a second old. Errors: PPT_EIO (no answer, now
 * or a moment ago), PPT_ENOMEM. */
int squeue_ask(struct squeue *squeue, struct error *err);

/* Forgets the listing, because it is about to be out of date, or to free it. */
void squeue_forget(struct squeue *squeue);

/* Another command has had no answer: as if squeue had had none. */
void squeue_failed(struct squeue *squeue, const char *why);

/* False for a moment after a command has had no answer. */
bool squeue_is_answered(const struct squeue *squeue);

/* Reads the line at *at, which begins as the listing, and moves behind it. False at the
 * end. */
bool squeue_next(const char **at, const char *directory, struct squeue_job *ret_job);

/* The job of this name and directory; a living one before those that have ended. */
bool squeue_find(const struct squeue *squeue, const char *directory, const char *name,
                 struct squeue_job *ret_job);

/* By its state: COMPLETED, FAILED and the like; COMPLETING is not one of them. */
bool squeue_has_ended(const struct squeue_job *job);
/* By its state: nothing of it runs yet, or any more before it is started again. */
bool squeue_is_pending(const struct squeue_job *job);

/* In Slurm's words, but for "None", and with nothing in it that a terminal or a
 * database would stumble over. */
struct slurm_job squeue_shown(const struct squeue_job *job);

#endif
