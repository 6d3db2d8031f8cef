/* ppt-queue's subcommands: argv[0] is the subcommand; the answer goes to stdout; the
 * exit status is returned. Not for other programs.
 */
#ifndef PPT_SCHEDULER_JOBS_H
#define PPT_SCHEDULER_JOBS_H

#include "base/json.h"
#include "scheduler/client.h"
#include "scheduler/queue.h"

int jobs_list(int argc, char **argv);   /* list */
int jobs_show(int argc, char **argv);   /* show ID or SWEEP */
int jobs_log(int argc, char **argv);    /* log ID [--follow] */
int jobs_wait(int argc, char **argv);   /* wait ID or SWEEP */
int jobs_cancel(int argc, char **argv); /* cancel ID or SWEEP */

/* One object with all facts of a job, inside an array or at the top. */
void jobs_to_json(struct json *json, const struct queue_job *job);

/* Where a job's files lie: with ppt-submit --here at its user's, else in the spool. */
const char *jobs_directory(const struct queue_job *job);

/* How many GPUs a job was admitted with; 0: none, or not admitted. */
int64_t jobs_n_gpus(const struct queue_job *job);

/* Which rank had which: from the report in the job's directory, once there is one that
 * this login may read; else nothing. The object's keys are gpus_per_rank, gpus and
 * gpu_places; none where the job has no GPU. */
void jobs_print_gpus(const struct queue_job *job);
void jobs_gpus_to_json(struct json *json, const struct queue_job *job);

/* The jobs of a sweep side by side. Errors: PPT_ENOTFOUND, those of client_connect. */
int jobs_show_sweep(struct client *client, int64_t sweep_id, bool is_json,
                    struct error *err);

/* Parses an operand that is a job's id. Errors: PPT_EUSAGE. */
int jobs_id(const char *text, int64_t *ret_job_id, struct error *err);

/* Parses what --sweep is given, "s12". Errors: PPT_EUSAGE. */
int jobs_sweep_id(const char *text, int64_t *ret_id, struct error *err);

/* "name", or "name[3]" of a sweep's third job. */
#define JOBS_NAME_SIZE (LEDGER_NAME_SIZE + 24)
void jobs_name(const struct queue_job *job, char ret_name[JOBS_NAME_SIZE]);

#endif
