/* ppt-queue cancel ID. */
#include "base/log.h"
#include "base/opt.h"
#include "scheduler/client.h"
#include "scheduler/jobs.h"
#include "scheduler/queue.h"

int jobs_cancel(int argc, char **argv)
{
    struct client client = {0};
    const char *reason = "";
    const struct opt options[] = {
        {"reason", 0, OPT_STRING, &reason, "TEXT", "kept in the job's history", NULL},
        CLIENT_OPTIONS(client),
    };
    const struct opt_program program = {
        .name = "ppt-queue cancel",
        .usage = "ID [OPTION]...",
        .summary = "Takes a job back, or stops it where it runs.",
        .epilogue =
            "A job that has not started gets its whole reservation back; one that\n"
            "runs is asked to stop and pays for the steps it has made.",
        .options = options,
        .n_options = sizeof options / sizeof *options,
        .min_operands = 1,
        .max_operands = 1,
    };
    struct error err = {0};
    enum queue_state state = QUEUE_CANCELLED;
    int64_t job_id = 0;
    int n_operands;
    int rc = opt_parse(&program, argc, argv, &n_operands, &err);
    if (rc == 0)
        rc = jobs_id(argv[1], &job_id, &err);
    if (rc == 0)
        rc = client_connect(&client, "ppt-queue", &err);
    if (rc == 0)
        rc = queue_cancel(client.db, job_id, reason, &state, &err);
    if (rc == 0)
        log_info("job %lld %s", (long long)job_id,
                 state == QUEUE_CANCELLED ? "is cancelled" : "is being asked to stop");
    client_close(&client);
    return rc == 0 ? 0 : log_error(&err);
}
