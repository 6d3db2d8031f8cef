/* What the parts of ppt-submit share. Not for other programs. */
#ifndef PPT_SCHEDULER_SUBMIT_H
#define PPT_SCHEDULER_SUBMIT_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/json.h"
#include "jobs/spec/spec.h"
#include "jobs/spec/sweep.h"
#include "scheduler/cause.h"
#include "scheduler/client.h"
#include "scheduler/conf.h"
#include "scheduler/ledger.h"

#define SUBMIT_TOKEN_SIZE 33

/* The command line. */
struct submit {
    struct client client;
    bool waits, is_dry, is_json, is_here;
    int64_t n_step_ranks; /* --step; 0: not given */
    const char *after;    /* jobs and sweeps to wait for: "12,s13"; NULL: none */
    char *after_ids; /* the same as jobs alone, by submit_after; the caller's to free */
    const char *account; /* in place of the file's; NULL: that one */
};

/* Its options, for a table of options. */
#define SUBMIT_OPTIONS(request)                                                        \
    {"account",  'A',                                                                  \
     OPT_STRING, &(request).account,                                                   \
     "ACCOUNT",  "charge this account, not the file's",                                \
     NULL},                                                                            \
        {"wait", 'w', OPT_FLAG, &(request).waits, NULL, "follow the job to its end",   \
         NULL},                                                                        \
        {"dry-run", 'n',                                                               \
         OPT_FLAG,  &(request).is_dry,                                                 \
         NULL,      "only show its price and what would remain",                       \
         NULL},                                                                        \
        {"after",    0,                                                                \
         OPT_STRING, &(request).after,                                                 \
         "ID,...",   "wait until these jobs or sweeps are done",                       \
         NULL},                                                                        \
        {"here",   0,                                                                  \
         OPT_FLAG, &(request).is_here,                                                 \
         NULL,     "run it in this shell or allocation",                               \
         NULL},                                                                        \
        {"json", 0, OPT_FLAG, &(request).is_json, NULL, "print a JSON object", NULL},  \
        CLIENT_OPTIONS((request).client)

/* A token of a submission: makes it safe to ask again when an answer was lost. */
void submit_token(char ret_token[SUBMIT_TOKEN_SIZE]);

/* How one kind of job is filed. Errors: the database's. */
typedef int submit_filing(struct db *db, const struct spec *spec, const char *text,
                          void *state, int64_t *ret_job_id, struct error *err);

/* Connects if need be and files the spec's canonical form, again after a lost answer.
 * Errors: the filing's, PPT_EDB, PPT_ENOMEM. */
int submit_file(struct submit *request, const struct spec *spec, submit_filing *file,
                void *state, int64_t *ret_job_id, struct error *err);

/* --account: who pays is told where it is not whom the file names.
 * Errors: PPT_ESPEC (no account's path), PPT_ENOMEM. */
int submit_choose_account(const struct submit *request, struct sweep *sweep,
                          struct error *err);

/* --after: checks its form; connects if need be and fills after_ids with the jobs that
 * it names. Errors: PPT_EUSAGE (form, too many jobs), PPT_ENOTFOUND (no such sweep). */
int submit_after_check(const struct submit *request, struct error *err);
int submit_after(struct submit *request, struct error *err);

/* Files all jobs of a sweep, prints its id, and with --wait follows them. Errors: as
 * submit_file and client_wait_sweep. */
int submit_sweep(struct submit *request, struct sweep *sweep, struct error *err);

/* Its jobs as the database takes them: [{"spec": ..., "point": ...}, ...]; caller frees
 * the text. The sweep's id on stdout, and how to look at it. Errors: PPT_ENOMEM; the
 * database's, PPT_EIO. */
int submit_sweep_jobs(struct sweep *sweep, char **ret_text, struct error *err);
int submit_sweep_tell(const struct submit *request, int64_t sweep_id, int n_jobs,
                      struct error *err);

/* Several files, each a job, filed in one transaction for QUEUE_MAX_FILED of them; a
 * line on stdout for each in their order. A file that is not filed is told of on stderr
 * and the others go on; *ret_status: of the first such file, or with --wait of the
 * first job that was not done; else 0. Errors, which concern all: PPT_EUSAGE (--here,
 * --dry-run), PPT_EPERM, PPT_EDB, PPT_EIO, PPT_ENOMEM. */
int submit_many(struct submit *request, const struct spec_policy *policy, char **paths,
                int n_paths, int *ret_status, struct error *err);

/* --dry-run of a sweep: what each of its jobs would cost, and all of them.
 * Errors: as submit_dry; PPT_EBUDGET where any job would be refused. */
int submit_sweep_dry(struct submit *request, struct sweep *sweep,
                     const struct spec_policy *policy, struct error *err);

/* What a cost would leave of each limit; shared by the two dry runs. */
void submit_print_levels(const struct ledger_pots *pots, const struct cost *cost);
void submit_levels_to_json(struct json *json, const struct ledger_pots *pots,
                           const struct cost *cost);

/* The answer on stdout. Errors: PPT_EIO. */
int submit_print_id(const struct submit *request, int64_t job_id, struct error *err);

/* --dry-run. Errors: PPT_EBUDGET (it would be refused), those of admission_price, of
 * admission_policy and, with --here, of allocation_may. */
int submit_dry(struct submit *request, const struct spec *spec,
               const struct spec_policy *policy, struct error *err);

/* --here: files the job, takes its plan when it is admitted, runs the ranks in the
 * foreground, tells how they ended and waits for the settlement. SIGINT, SIGTERM and
 * SIGHUP cancel the job. Errors: refused: the refusal's code (PPT_EBUDGET and so on);
 * PPT_EJOB (failed, cancelled); before anything is submitted PPT_ELAUNCH, PPT_EIO,
 * PPT_ETRUST, PPT_EPOLICY. */
int submit_here(struct submit *request, const struct spec *spec, struct error *err);

/* The same for a sweep: its jobs are filed together and run one after another, each as
 * it is admitted. A job that is not done is told of and the others go on, but after a
 * signal, or where its ranks were interrupted from elsewhere: then those that have not
 * begun are cancelled. Errors: submit_here's before anything is submitted, with the job
 * named that cannot run here; the refusal's code where all were refused, else PPT_EJOB
 * where any was not done. */
int submit_here_sweep(struct submit *request, struct sweep *sweep, struct error *err);

/* A batch script of the user's own, in which ppt-submit --here will run a job: hands
 * operands[0] and its arguments to sbatch. What #PPT lines of the script and the
 * command line say reaches that ppt-submit as PPT_ACCOUNT and so on. *ret_status: of
 * what was waited for. Errors: PPT_EUSAGE and PPT_ESPEC (with path:line where it is the
 * script's fault, such as an --export that would lose what they say), PPT_ELAUNCH
 * (sbatch did not take it), PPT_ENOTFOUND, PPT_EIO, PPT_ENOMEM. */
int submit_script(const struct submit *request, char **operands, int n_operands,
                  int *ret_status, struct error *err);

/* Can `name` be run: a path, or in PATH? Errors: PPT_ELAUNCH. */
int submit_find_program(const char *name, struct error *err);

/* ---- the ranks of a job here ---- */

/* By srun inside a Slurm allocation, else by mpirun, in a process group of their own so
 * that a terminal's Ctrl-C reaches this program only. */
struct submit_ranks {
    struct conf conf;
    char worker[PATH_MAX];
    int64_t n_ranks, cores_per_rank;
    int64_t n_step_ranks; /* ranks of ppt-worker --submit, whose rank 0 has started this
                             program; 0: ranks are to be started */
    bool is_slurm;
    bool is_lost;      /* rank 0 of that step has gone without a word */
    bool is_used_up;   /* that step can run no other plan */
    int log;           /* what they write; -1: none, it goes to standard error itself */
    int64_t log_shown; /* bytes of it that were copied to standard error */
    pid_t pid;         /* of mpirun, srun or that rank 0; 0: not started, or ended */
    int status;        /* once ended: exit status, or 128 + the signal */
};

/* Everything that can be found out before a job is submitted, because once its plan is
 * taken it is paid for: programs, the key, Slurm's number of tasks.
 * Errors: PPT_ELAUNCH, PPT_ETRUST, PPT_EIO. */
int submit_ranks_check(struct submit_ranks *ranks, struct error *err);

/* Starts them on the plan in `directory`. What they write goes to the file log in there
 * and, as far as submit_ranks_have_ended is called, to standard error: but of a step of
 * the user's own, whose ranks write where that says. Errors: PPT_ELAUNCH. */
int submit_ranks_start(struct submit_ranks *ranks, const char *directory,
                       struct error *err);

/* Never waits. */
bool submit_ranks_have_ended(struct submit_ranks *ranks);

/* Asks the ranks to finish their step and leave; ends them at once. */
void submit_ranks_stop(const struct submit_ranks *ranks);
void submit_ranks_kill(const struct submit_ranks *ranks);

/* The same for the ranks of a step that is there already (jobs/step.h).
 * Errors: PPT_EUSAGE, PPT_ELAUNCH, PPT_ETRUST, PPT_EIO; PPT_ECOMM. */
int submit_step_check(const struct submit_ranks *ranks, struct error *err);
int submit_step_start(struct submit_ranks *ranks, const char *directory,
                      struct error *err);
bool submit_step_has_ended(struct submit_ranks *ranks);
void submit_step_signal(const struct submit_ranks *ranks, int sig);

/* Has rank 0 gone, while nothing is running yet? False where there is no step. */
bool submit_step_is_alone(struct submit_ranks *ranks);

/* Where rank 0 is lost and no other rank before it (cause.h): that. False: it is not.
 */
bool submit_step_cause(const struct submit_ranks *ranks, char ret_cause[CAUSE_SIZE]);

/* Last of all: where rank 0 is lost, tells `err` and ends the others. May not return.
 */
void submit_step_end_all(const struct submit_ranks *ranks, const struct error *err);

#endif
