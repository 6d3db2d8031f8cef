/* The site's own program, run once when a job has come to its end, as Slurm runs its
 * EpilogSlurmctld. Users have no say in which program that is: it runs with the
 * scheduler's rights.
 *
 * At most once a job: it is told after the settlement has been committed, from memory,
 * so what a scheduler had not told when it was killed is never told. Nothing waits for
 * the program: a few run at a time, the others wait in a queue of fixed length, and
 * what has no room there is dropped, with a warning.
 *
 * Each gets two arguments, the job's number and its state, and an environment of PATH,
 * LANG and the PPT_JOB_* of hooks_run; "/" as its directory; /dev/null as input and
 * outputs; a process group of its own, which is killed when its time is up.
 */
#ifndef PPT_SCHEDULER_HOOKS_H
#define PPT_SCHEDULER_HOOKS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "scheduler/conf.h"

#define HOOKS_MAX_RUNNING 4
#define HOOKS_MAX_WAITING 1000

struct hooks;

/* What a job has come to. Control characters in strings become '?'. */
struct hook_event {
    int64_t job_id;       /* PPT_JOB_ID */
    const char *state;    /* PPT_JOB_STATE: "done", "failed", "cancelled", "refused" */
    const char *name;     /* PPT_JOB_NAME */
    const char *account;  /* PPT_JOB_ACCOUNT */
    const char *login;    /* PPT_JOB_USER: whose job */
    const char *reason;   /* PPT_JOB_REASON, "" if there is none */
    int error_code;       /* PPT_JOB_EXIT_CODE: enum ppt_error, 0 if done */
    double epsilon_spent; /* PPT_JOB_EPSILON */
    const char *mail;     /* PPT_JOB_MAIL: who is to be written to; "": nobody */
};

/* No ownership of conf. A program that cannot be run now is worth a warning: it may be
 * there later. Caller frees. Errors: PPT_ENOMEM. */
int hooks_open(const struct conf_hooks *conf, struct hooks **ret_hooks,
               struct error *err);

/* Those that run go on; those that wait are dropped. NULL is allowed. */
void hooks_free(struct hooks *hooks);

/* Is there a program to run? False for NULL. */
bool hooks_are_set(const struct hooks *hooks);

/* Queues the program for this event. Without a program, or with NULL, nothing. */
void hooks_run(struct hooks *hooks, const struct hook_event *event);

/* Starts those that can be started, kills those whose time is up, reaps those that have
 * ended. To be called once a round, before children are reaped. */
void hooks_tend(struct hooks *hooks);

/* Those that wait or run. */
int hooks_count(const struct hooks *hooks);

/* 0 if it may run with our rights: an absolute path of a file that can be executed and
 * that, with its folder, nobody but root and this user can change. Errors: PPT_ELAUNCH,
 * PPT_EPERM. */
int hooks_check(const char *program, struct error *err);

#endif
