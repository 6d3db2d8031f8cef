/* ppt-queue's subcommands: argv[0] is the subcommand; the answer goes to stdout; the
 * exit status is returned. Not for other programs.
 */
#ifndef PPT_SCHEDULER_JOBS_H
#define PPT_SCHEDULER_JOBS_H

#include "base/json.h"
#include "scheduler/queue.h"

int jobs_list(int argc, char **argv);   /* list */
int jobs_show(int argc, char **argv);   /* show ID */
int jobs_log(int argc, char **argv);    /* log ID [--follow] */
int jobs_wait(int argc, char **argv);   /* wait ID */
int jobs_cancel(int argc, char **argv); /* cancel ID */

/* One object with all facts of a job, inside an array or at the top. */
void jobs_to_json(struct json *json, const struct queue_job *job);

/* Parses an operand that is a job's id. Errors: PPT_EUSAGE. */
int jobs_id(const char *text, int64_t *ret_job_id, struct error *err);

#endif
