/* ppt-queue log ID [--follow]: what a job's processes have written. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/opt.h"
#include "scheduler/allocation.h"
#include "scheduler/client.h"
#include "scheduler/jobs.h"
#include "scheduler/queue.h"

static int copy_new(FILE *from, struct error *err)
{
    char chunk[8192];
    size_t n;
    clearerr(from);
    while ((n = fread(chunk, 1, sizeof chunk, from)) > 0)
        if (fwrite(chunk, 1, n, stdout) != n)
            return error_errno(err, PPT_EIO, "cannot write");
    fflush(stdout);
    return 0;
}

/* Why there is none, by errno. */
static int refuse(struct db *db, const struct queue_job *job, const char *path,
                  struct error *err)
{
    char place[ALLOCATION_PLACE_SIZE];
    bool is_users = job->allocation[0] != '\0', is_missing = errno == ENOENT;
    if (errno == EACCES) {
        error_set(err, PPT_EPERM, "this user may not read %s", path);
        return error_hint(err, "%s",
                          is_users ? "the job runs as the user who submitted it"
                                   : "job directories are the scheduler's alone");
    }
    error_errno(err, is_missing ? PPT_ENOTFOUND : PPT_EIO, "cannot read %s", path);
    int rc = -err->code;
    if (is_users && allocation_place(db, job->id, place, NULL) == 0)
        error_hint(err,
                   "the job's user runs it in %s, in a step whose own output has "
                   "what it writes, or its files are not to be seen here",
                   place);
    return rc;
}

/* A user's own directory may hold anything under that name. */
static int open_log(struct db *db, const struct queue_job *job, FILE **ret_file,
                    struct error *err)
{
    char path[LEDGER_PATH_SIZE + 8];
    struct stat about;
    snprintf(path, sizeof path, "%s/log", jobs_directory(job));
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return refuse(db, job, path, err);
    if (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode)) {
        close(fd);
        return error_set(err, PPT_EIO, "%s is not a file", path);
    }
    *ret_file = fdopen(fd, "r");
    return *ret_file != NULL ? 0 : error_errno(err, PPT_EIO, "cannot read %s", path);
}

static int show_log(struct client *client, int64_t job_id, bool follows,
                    struct error *err)
{
    struct timespec pause = {0, 300000000};
    FILE *file = NULL;
    int rc = client_connect(client, "ppt-queue", err);
    while (rc == 0) {
        struct queue_job job = {0};
        rc = queue_find(client->db, job_id, &job, err);
        bool is_over = rc == 0 && queue_state_is_final(job.state);
        if (rc == 0 && file == NULL && job.attempt > 0)
            rc = open_log(client->db, &job, &file, err);
        else if (rc == 0 && job.attempt == 0 && (is_over || !follows))
            rc = error_set(err, PPT_ESTATE, "job %lld is %s and was never started",
                           (long long)job_id, queue_state_name(job.state));
        if (rc == -PPT_ENOTFOUND && job.allocation[0] != '\0' && follows && !is_over)
            rc = 0; /* its user's side may be about to begin */
        queue_job_free(&job);
        if (rc == 0 && file != NULL)
            rc = copy_new(file, err);
        if (is_over || !follows)
            break;
        nanosleep(&pause, NULL);
    }
    if (file != NULL)
        fclose(file);
    return rc;
}

int jobs_log(int argc, char **argv)
{
    struct client client = {0};
    bool follows = false;
    const struct opt options[] = {
        {"follow", 'f', OPT_FLAG, &follows, NULL, "go on until the job ends", NULL},
        CLIENT_OPTIONS(client),
    };
    const struct opt_program program = {
        .name = "ppt-queue log",
        .usage = "ID [OPTION]...",
        .summary = "Prints what a job's processes have written.",
        .epilogue =
            "It stands in the job's directory on the scheduler's machine, which\n"
            "only the scheduler's user can read.",
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
        rc = show_log(&client, job_id, follows, &err);
    client_close(&client);
    return rc == 0 ? 0 : log_error(&err);
}
