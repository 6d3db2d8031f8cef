/* The launcher for one machine: Open MPI's mpirun, in a session of its own.
 *
 * The environment is a short allow list; no shell is involved; standard output and
 * error are appended to the file `log` of the job's directory. Standard input is empty,
 * or holds the key of the job's checkpoints, which mpirun hands to rank 0. SIGTERM goes
 * to the ranks and not to mpirun: mpirun would leave at once and let them finish
 * unwatched.
 */
#ifndef PPT_SCHEDULER_LAUNCH_MPIRUN_H
#define PPT_SCHEDULER_LAUNCH_MPIRUN_H

#include "base/error.h"
#include "scheduler/conf.h"
#include "scheduler/launcher.h"

/* Absolute paths or, for mpirun, a name to be looked for in PATH. Strings are the
 * caller's and outlive the launcher. */
struct launch_mpirun {
    const char *mpirun;
    const char *worker;     /* ppt-worker */
    const char *public_key; /* the file the worker verifies the plan by */
    int n_arguments;        /* more for mpirun, before the worker's name */
    const char (*arguments)[CONF_ARGUMENT_SIZE];
};

/* No ownership: `mpirun` outlives the launcher. */
struct launcher launch_mpirun(struct launch_mpirun *mpirun);

/* Starts ranks that wait for work instead of a job: ppt-worker --pool in
 * request->directory, for at most max_jobs. Their mark is room to write another into.
 * Otherwise as the launcher's start. */
int launch_mpirun_world(const struct launch_mpirun *mpirun,
                        const struct launcher_request *request, int64_t max_jobs,
                        int lock, struct launcher_started *ret_started,
                        struct error *err);

/* Removes the directory of such ranks, which have gone. */
void launch_mpirun_world_remove(const char *directory);

/* Signals mpirun itself, which passes SIGUSR1 on to all ranks, on other hosts too. */
void launch_mpirun_signal(const struct launch_mpirun *mpirun, const char *directory,
                          int sig);

/* The site's, and those of a launcher that uses this one. */
#define LAUNCH_MPIRUN_MAX_MORE 12
#define LAUNCH_MPIRUN_MAX_ARGUMENTS (CONF_MAX_ARGUMENTS + LAUNCH_MPIRUN_MAX_MORE)
#define LAUNCH_MPIRUN_N_ARGUMENTS (21 + LAUNCH_MPIRUN_MAX_ARGUMENTS)

/* mpirun's command line for the plan in `directory`, ended by NULL. */
void launch_mpirun_arguments(const struct launch_mpirun *mpirun, const char *directory,
                             const char *n_ranks,
                             const char *ret_argv[LAUNCH_MPIRUN_N_ARGUMENTS]);

#endif
