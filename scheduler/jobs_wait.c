/* ppt-queue wait ID: its exit status tells how the job ended. */
#include "base/log.h"
#include "base/opt.h"
#include "scheduler/client.h"
#include "scheduler/jobs.h"

int jobs_wait(int argc, char **argv)
{
    struct client client = {0};
    bool is_quiet = false;
    const struct opt options[] = {
        {"quiet", 'q', OPT_FLAG, &is_quiet, NULL, "say nothing on the way", NULL},
        CLIENT_OPTIONS(client),
    };
    const struct opt_program program = {
        .name = "ppt-queue wait",
        .usage = "ID [OPTION]...",
        .summary = "Waits for the end of a job.",
        .epilogue = "Exit status: 0 done; 22 failed, refused or cancelled.",
        .options = options,
        .n_options = sizeof options / sizeof *options,
        .min_operands = 1,
        .max_operands = 1,
    };
    struct error err = {0};
    int64_t job_id = 0;
    int n_operands;
    int rc = opt_parse(&program, argc, argv, &n_operands, &err);
    if (rc == 0)
        rc = jobs_id(argv[1], &job_id, &err);
    if (rc == 0)
        rc = client_connect(&client, "ppt-queue", &err);
    if (rc == 0)
        rc = client_wait(&client, job_id, !is_quiet, &err);
    client_close(&client);
    return rc == 0 ? 0 : log_error(&err);
}
