/* The queue seen from C: submit, list, move, finish. The legal moves are a table in the
 * database (job_move) and everything that moves a job writes a job_event.
 *
 * A row first, then the act: a job is *running* in the database before its processes
 * are started. Writes of the scheduler carry its lease; a lost lease is PPT_ESTATE.
 */
#ifndef PPT_SCHEDULER_QUEUE_H
#define PPT_SCHEDULER_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "scheduler/db.h"
#include "scheduler/ledger.h"
#include "scheduler/slurm_job.h"

/* Contentless notifications: something was submitted or a cancellation was asked for.
 */
#define QUEUE_CHANNEL "ppt_queue"

#define QUEUE_MAX_AFTER 1000 /* how many jobs one can wait for */
#define QUEUE_MAX_SWEEP 1000

enum queue_state {
    QUEUE_SUBMITTED,
    QUEUE_WAITING, /* for budget that others have reserved, or for other jobs */
    QUEUE_ADMITTED,
    QUEUE_RUNNING,
    QUEUE_DONE,
    QUEUE_REFUSED,
    QUEUE_FAILED,
    QUEUE_CANCELLED,
    QUEUE_N_STATES
};

/* "submitted"; the reverse returns -1. */
const char *queue_state_name(enum queue_state state);
int queue_state_from_name(const char *name);
/* done, refused, failed, cancelled: nothing moves it again. */
bool queue_state_is_final(enum queue_state state);

/* Times are Unix seconds, 0: not yet. Strings are "" where there is nothing. */
struct queue_job {
    int64_t id;
    char name[LEDGER_NAME_SIZE];
    char spec_sha256[65];
    char *spec; /* canonical text; filled by queue_for_admission and queue_find, and by
                   queue_for_start where it has wishes to Slurm; else NULL */
    char account[LEDGER_PATH_SIZE];
    char dataset[LEDGER_NAME_SIZE];
    char submitted_by[LEDGER_NAME_SIZE];
    enum queue_state state;
    char reason[LEDGER_TEXT_SIZE]; /* why refused, waiting, failed, cancelled */
    char *after; /* ids of the jobs it waits for: "12,13"; NULL: for none */
    struct {
        int64_t id; /* its first job's; 0: of no sweep */
        int64_t number, n_jobs;
        bool is_together;    /* all are admitted, or none */
        int64_t max_running; /* of its jobs; 0: all */
        char point[LEDGER_TEXT_SIZE];
    } sweep;
    bool is_cancel_requested;
    int64_t submitted_at_s, admitted_at_s, started_at_s, ended_at_s;
    /* from admission on */
    char kind[16];
    bool is_private;
    double epsilon, delta, noise_multiplier, sample_rate;
    int64_t n_steps; /* planned */
    int64_t priority, n_ranks, n_cores, memory_bytes, time_limit_s;
    int64_t gpus_per_rank; /* as the spec says */
    /* from the start on */
    int64_t attempt; /* 0: never started */
    int64_t epoch;   /* of the lease that started it */
    char directory[LEDGER_PATH_SIZE];
    char host[LEDGER_NAME_SIZE];
    int64_t pid;            /* of the launcher; 0: not known (started, not recorded) */
    int64_t pid_start_time; /* field 22 of /proc/PID/stat: a pid can be reused */
    struct slurm_job slurm; /* of the last attempt, as Slurm said last */
    /* Where its files lie that runs in an allocation of its user; else "". */
    char allocation[LEDGER_PATH_SIZE];
    int64_t allocation_uid; /* of its ranks, as that user says */
    /* at the end */
    int error_code; /* enum ppt_error */
    double epsilon_spent;
    int64_t n_steps_done;
    bool has_test_accuracy;
    double test_accuracy;
    double wall_s;
    char model[LEDGER_PATH_SIZE];
};

struct queue_jobs {
    struct queue_job *jobs;
    int n;
};

/* Frees what a list or a job points to, not the struct itself. */
void queue_jobs_free(struct queue_jobs *jobs);
void queue_job_free(struct queue_job *job);

/* ---- the user's side ---- */

/* Files the canonical text of a spec as this login; the database computes its SHA-256.
 * `token`: up to 64 characters made up by the client; the same login and token again
 * gives the same id and no second job, so an unsure submission can be repeated.
 * Errors: PPT_EPERM (not a member), PPT_ENOTFOUND (account or data set), PPT_ERANGE,
 * PPT_EEXISTS (that token with another spec). */
int queue_submit(struct db *db, const char *name, const char *account,
                 const char *dataset, const char *spec_text, const char *token,
                 int64_t *ret_job_id, struct error *err);

/* The same for a job that is to wait until others are done: `after` holds their ids
 * with commas between, at most QUEUE_MAX_AFTER. Errors: also PPT_ENOTFOUND (one of them
 * is not there or not visible), PPT_ERANGE. */
int queue_submit_after(struct db *db, const char *name, const char *account,
                       const char *dataset, const char *spec_text, const char *token,
                       const char *after, int64_t *ret_job_id, struct error *err);

/* A sweep: jobs that are filed together, in one transaction. */
struct queue_sweep {
    const char *name, *account, *dataset; /* of all of its jobs */
    const char *jobs; /* JSON: [{"spec": canonical text, "point": words}, ...] */
    const char *token;
    const char *after; /* for each of its jobs; NULL: none */
    bool is_together;
    int64_t max_running; /* 0: all */
};

/* *ret_sweep_id is that of its first job. Again with the same token: the same sweep.
 * Errors: as queue_submit and queue_submit_after; PPT_ERANGE (none or more than
 * QUEUE_MAX_SWEEP). */
int queue_submit_sweep(struct db *db, const struct queue_sweep *sweep,
                       int64_t *ret_sweep_id, struct error *err);

/* What became of one of many jobs. */
struct queue_filed {
    int64_t job_id;   /* 0: refused */
    struct error why; /* then; code, text and hint */
};

/* Files n jobs (1 .. QUEUE_MAX_FILED) in one transaction, each for itself: one that is
 * refused, with an error of queue_submit's or queue_submit_after's, leaves no trace and
 * the others stand. `jobs`: JSON, an array of objects with name, account, dataset and
 * spec; `after` as queue_submit_after's, or NULL. Sent again with the same token: the
 * same jobs. Errors, and then none is filed: PPT_ERANGE (not so many), PPT_EPERM (no
 * submitter), PPT_EDB. */
#define QUEUE_MAX_FILED 1000
int queue_submit_many(struct db *db, const char *jobs, const char *token,
                      const char *after, struct queue_filed *ret_filed, int n,
                      struct error *err);

/* The submitter's own job (an officer's or scheduler's: any). Submitted, waiting and
 * admitted jobs are *cancelled* at once, budget released; for a running one the request
 * is written down for the scheduler. *ret_state is the state afterwards.
 * Errors: PPT_ENOTFOUND (or not visible), PPT_EPERM, PPT_ESTATE (it has ended). */
int queue_cancel(struct db *db, int64_t job_id, const char *reason,
                 enum queue_state *ret_state, struct error *err);

/* Errors: PPT_ENOTFOUND (also when this login may not see it). */
int queue_find(struct db *db, int64_t job_id, struct queue_job *ret_job,
               struct error *err);

struct queue_filter {
    const char *account;      /* this and below; NULL: all */
    const char *submitted_by; /* NULL: everybody */
    unsigned states;          /* bits 1 << enum queue_state; 0: all */
    int64_t sweep;            /* of that sweep; 0: all */
    int limit;                /* the newest so many; <= 0: all */
};

/* Those this login may see, oldest first, without spec. filter may be NULL. Caller
 * calls queue_jobs_free. */
int queue_list(struct db *db, const struct queue_filter *filter,
               struct queue_jobs *ret_jobs, struct error *err);

struct queue_event {
    int64_t id; /* increasing */
    int64_t job_id;
    int64_t at_s;
    char from[16]; /* "" for the first */
    char to[16];
    char login[LEDGER_NAME_SIZE];
    int64_t attempt;
    char reason[LEDGER_TEXT_SIZE];
};

struct queue_events {
    struct queue_event *events;
    int n;
};

/* In order, those after event id `after` (0: all). Caller calls queue_events_free. */
int queue_history(struct db *db, int64_t job_id, int64_t after,
                  struct queue_events *ret_events, struct error *err);
void queue_events_free(struct queue_events *events);

/* ---- the scheduler's side ---- */

/* Submitted jobs, and waiting ones where with_waiting, in order of arrival. */
int queue_for_admission(struct db *db, bool with_waiting, int limit,
                        struct queue_jobs *ret_jobs, struct error *err);

/* How it stands with the jobs that one waits for. */
struct queue_wait {
    char open[LEDGER_TEXT_SIZE]; /* those that may still be done: "12, 13"; "": none */
    int64_t lost; /* the first that has ended otherwise, in `state`; 0: none */
    char state[16];
};

/* For a job with `after`. No error if it has none. */
int queue_waits_for(struct db *db, int64_t job_id, struct queue_wait *ret_wait,
                    struct error *err);

/* Admitted jobs in the order in which they should start: priority, then the account
 * that has had the least core time of late (half-life one week), then arrival. */
int queue_for_start(struct db *db, int limit, struct queue_jobs *ret_jobs,
                    struct error *err);

/* All jobs of a sweep in the order of its grid, whatever their state. */
int queue_of_sweep(struct db *db, int64_t sweep_id, struct queue_jobs *ret_jobs,
                   struct error *err);

/* Every running job. */
int queue_running(struct db *db, struct queue_jobs *ret_jobs, struct error *err);

/* submitted or waiting -> waiting or refused, with the reason users will read, and an
 * enum ppt_error. Waiting -> waiting with the same reason writes nothing. Errors:
 * PPT_ESTATE, PPT_ENOTFOUND. */
int queue_hold(struct db *db, const struct ledger_lease *lease, int64_t job_id,
               const char *reason, struct error *err);
int queue_refuse(struct db *db, const struct ledger_lease *lease, int64_t job_id,
                 const char *reason, int error_code, struct error *err);

/* admitted -> running, or running -> running for a restart: a new attempt, whose number
 * comes back. Call before anything is started; forgets pid and host of the attempt
 * before. Called again after a lost connection it is one attempt more. Errors:
 * PPT_ESTATE (cancelled meanwhile, settled, lease lost), PPT_ENOTFOUND. */
int queue_start(struct db *db, const struct ledger_lease *lease, int64_t job_id,
                const char *directory, const char *reason, int64_t *ret_attempt,
                struct error *err);

/* Writes down where the attempt runs. Errors: PPT_ESTATE (another attempt by now). */
int queue_started(struct db *db, const struct ledger_lease *lease, int64_t job_id,
                  int64_t attempt, const char *host, int64_t pid,
                  int64_t pid_start_time, struct error *err);

/* Writes down what Slurm says of a running attempt, to be shown. No event, and no lock
 * of the ledger. Errors: PPT_ESTATE (another attempt by now). */
int queue_slurm(struct db *db, const struct ledger_lease *lease, int64_t job_id,
                int64_t attempt, const struct slurm_job *slurm, struct error *err);

/* ---- all open jobs of a sweep at once, each call one transaction ----
 *
 * Open are those that are submitted or waiting. *ret_is_done tells whether all were
 * moved or none was, because the open jobs are not those that were asked for (one was
 * cancelled meanwhile) or, for admit, because one found no room: look again then.
 * Errors: as ledger_reserve, queue_hold, queue_refuse; none is moved then. */

/* submitted or waiting -> admitted, with the reservations: ledger_reserve for each, in
 * the order of the grid. */
int queue_sweep_admit(struct db *db, const struct ledger_lease *lease, int64_t sweep_id,
                      const struct ledger_request *requests, int n, bool *ret_is_done,
                      struct error *err);
int queue_sweep_hold(struct db *db, const struct ledger_lease *lease, int64_t sweep_id,
                     const int64_t *ids, int n, const char *reason, bool *ret_is_done,
                     struct error *err);
int queue_sweep_refuse(struct db *db, const struct ledger_lease *lease,
                       int64_t sweep_id, const int64_t *ids, int n, const char *reason,
                       int error_code, bool *ret_is_done, struct error *err);

struct queue_outcome {
    enum queue_state state; /* QUEUE_DONE, QUEUE_FAILED, QUEUE_CANCELLED */
    int error_code;         /* enum ppt_error, 0 if done */
    const char *reason;     /* NULL or "" if done */
    struct cost spent;      /* ledger_settle's */
    double epsilon_spent;   /* shown */
    int64_t n_steps_done;
    bool has_test_accuracy;
    double test_accuracy;
    double wall_s;
    const char *model; /* NULL or "" if none */
};

/* Settles and ends a job (running, or admitted when it is given up before its start) in
 * one transaction. Idempotent for the same state and amounts. Errors: PPT_ESTATE,
 * PPT_ERANGE (more than reserved), PPT_ENOTFOUND. */
int queue_finish(struct db *db, const struct ledger_lease *lease, int64_t job_id,
                 const struct queue_outcome *outcome, struct error *err);

/* ---- several at once, each call one transaction ---- */

struct queue_start {
    int64_t job_id;
    const char *directory;
    int64_t pid; /* of the process that will run it; 0: not known */
    int64_t
        attempt; /* the answer; 0: it was not admitted any more, and stays as it is */
};

/* queue_start for admitted jobs, with what queue_started tells. Errors: PPT_ESTATE (the
 * lease is lost); then none is started. */
int queue_start_group(struct db *db, const struct ledger_lease *lease, const char *host,
                      struct queue_start *starts, int n, struct error *err);

struct queue_bill {
    int64_t job_id;
    struct queue_outcome outcome; /* QUEUE_DONE without a reason */
};

/* queue_finish for running jobs that have all spent the same. *ret_is_done false: none
 * is settled, for they are not all running, not of one account and data set or have not
 * reserved the same; finish each alone then. Errors: PPT_ESTATE (the lease is lost),
 * PPT_ERANGE; none is settled. */
int queue_done_group(struct db *db, const struct ledger_lease *lease,
                     const struct queue_bill *bills, int n, bool *ret_is_done,
                     struct error *err);

#endif
