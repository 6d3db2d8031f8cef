/* ppt-queue cancel ID or SWEEP. */
#include "base/log.h"
#include "base/opt.h"
#include "scheduler/client.h"
#include "scheduler/jobs.h"
#include "scheduler/queue.h"

static int cancel_job(struct client *client, int64_t job_id, const char *reason,
                      struct error *err)
{
    enum queue_state state = QUEUE_CANCELLED;
    int rc = queue_cancel(client->db, job_id, reason, &state, err);
    if (rc == 0)
        log_info("job %lld %s", (long long)job_id,
                 state == QUEUE_CANCELLED ? "is cancelled" : "is being asked to stop");
    return rc;
}

/* Job by job, the last first, so that none begins in the place of one before it. Those
 * that have ended stay as they are. */
static int cancel_sweep(struct client *client, int64_t sweep_id, const char *reason,
                        struct error *err)
{
    struct queue_jobs jobs = {0};
    int n_cancelled = 0, n_asked = 0;
    int rc = client_sweep(client, sweep_id, &jobs, err);
    for (int i = jobs.n - 1; rc == 0 && i >= 0; i--) {
        enum queue_state state = QUEUE_CANCELLED;
        if (queue_state_is_final(jobs.jobs[i].state))
            continue;
        rc = queue_cancel(client->db, jobs.jobs[i].id, reason, &state, err);
        if (rc == 0 && state == QUEUE_CANCELLED)
            n_cancelled++;
        else if (rc == 0)
            n_asked++;
        else if (rc == -PPT_ESTATE) /* it has just ended */
            rc = 0;
    }
    if (rc == 0 && n_cancelled + n_asked == 0)
        rc = error_set(err, PPT_ESTATE, "all %d jobs of s%lld have ended already",
                       jobs.n, (long long)sweep_id);
    else if (n_cancelled + n_asked > 0)
        log_info("s%lld: %d of its %d jobs are cancelled, %d are being asked to stop",
                 (long long)sweep_id, n_cancelled, jobs.n, n_asked);
    queue_jobs_free(&jobs);
    return rc;
}

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
        .usage = "ID|SWEEP [OPTION]...",
        .summary = "Takes a job or all jobs of a sweep back, or stops them.",
        .epilogue =
            "A job that has not started gets its whole reservation back; one that\n"
            "runs is asked to stop and pays for the steps it has made.",
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
        rc = is_sweep ? cancel_sweep(&client, id, reason, &err)
                      : cancel_job(&client, id, reason, &err);
    client_close(&client);
    return rc == 0 ? 0 : log_error(&err);
}
