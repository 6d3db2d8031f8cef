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
        .usage = "ID|SWEEP [OPTION]...",
        .summary = "Waits for the end of a job, or of all jobs of a sweep.",
        .epilogue = "Exit status: 0 done; 22 failed, refused or cancelled.\n"
                    "A sweep (s12) is done when all of its jobs are.",
        .options = options,
        .n_options = sizeof options / sizeof *options,
        .min_operands = 1,
        .max_operands = 1,
    };
    struct error err = {0};
    int64_t id = 0;
    bool is_sweep = false;
    int n_operands;
    int rc = opt_parse(&program, argc, argv, &n_operands, &err);
    if (rc == 0)
        rc = client_id(argv[1], &id, &is_sweep, &err);
    if (rc == 0)
        rc = client_connect(&client, "ppt-queue", &err);
    if (rc == 0)
        rc = is_sweep ? client_wait_sweep(&client, id, !is_quiet, &err)
                      : client_wait(&client, id, !is_quiet, &err);
    client_close(&client);
    return rc == 0 ? 0 : log_error(&err);
}
