#include "scheduler/launch_allocation.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/pathsafe.h"
#include "scheduler/allocation.h"
#include "scheduler/spool.h"

#define MAX_PLAN_BYTES (64u << 10)

/* Job directories are named after their job. */
static int64_t job_of(const char *directory)
{
    const char *base = strrchr(directory, '/');
    return strtoll(base == NULL ? directory : base + 1, NULL, 10);
}

static int read_file(const char *directory, const char *name, char **ret_text,
                     size_t *ret_len, struct error *err)
{
    char path[SPOOL_PATH_SIZE];
    int rc = spool_path(directory, name, path, err);
    return rc != 0 ? rc
                   : pathsafe_read_file(path, MAX_PLAN_BYTES, ret_text, ret_len, err);
}

static int start(struct launcher *launcher, const struct launcher_request *request,
                 int lock, struct launcher_started *ret_started, struct error *err)
{
    const struct launch_allocation *allocation = launcher->state;
    char *plan = NULL, *signature = NULL;
    size_t len;
    (void)lock; /* the user's processes are elsewhere */
    int rc = read_file(request->directory, "plan.json", &plan, NULL, err);
    if (rc == 0)
        rc = read_file(request->directory, "plan.sig", &signature, &len, err);
    if (rc == 0 && len != CRYPTO_SIGNATURE_SIZE)
        rc = error_set(err, PPT_EIO, "%s/plan.sig is damaged", request->directory);
    if (rc == 0)
        rc = allocation_offer(allocation->db, allocation->lease, request->job_id,
                              request->attempt, plan, (unsigned char *)signature, err);
    free(plan);
    free(signature);
    if (rc == 0)
        *ret_started = (struct launcher_started){0};
    return rc;
}

/* For settling and showing, where other launchers' workers leave it. */
static int keep_report(const char *directory, const struct report *report,
                       struct error *err)
{
    char path[SPOOL_PATH_SIZE];
    int rc = spool_path(directory, "report.json", path, err);
    return rc != 0 ? rc : report_write(path, report, err);
}

static int look(struct launcher *launcher, const char *directory, int64_t attempt,
                struct launcher_look *ret_look, struct error *err)
{
    static const enum launcher_life lives[] = {[ALLOCATION_QUEUED] = LAUNCHER_QUEUED,
                                               [ALLOCATION_ALIVE] = LAUNCHER_ALIVE,
                                               [ALLOCATION_GONE] = LAUNCHER_GONE,
                                               [ALLOCATION_NEVER] = LAUNCHER_NEVER};
    const struct launch_allocation *allocation = launcher->state;
    struct allocation_look seen;
    int rc = allocation_look(allocation->db, allocation->lease, job_of(directory),
                             attempt, &seen, err);
    if (rc == 0 && seen.life == ALLOCATION_GONE && seen.has_report)
        rc = keep_report(directory, &seen.report, err);
    if (rc != 0)
        return rc;
    struct launcher_look look = {.life = lives[seen.life], .ran_s = seen.ran_s};
    if (look.life == LAUNCHER_ALIVE && seen.silent_s > ALLOCATION_SILENCE_S)
        look.life = LAUNCHER_FORGOTTEN;
    if (seen.life == ALLOCATION_NEVER && seen.is_late)
        snprintf(look.early, sizeof look.early, "nobody came for its plan within %d s",
                 ALLOCATION_PATIENCE_S);
    *ret_look = look;
    return 0;
}

/* The user's side sees to its ranks. */
static int count(struct launcher *launcher, const char *directory, bool only_ranks)
{
    (void)launcher;
    (void)directory;
    return only_ranks ? INT_MAX : 0;
}

static void wish(struct launcher *launcher, const char *directory,
                 enum allocation_wish wish)
{
    const struct launch_allocation *allocation = launcher->state;
    struct error why = {0};
    if (allocation_stop(allocation->db, allocation->lease, job_of(directory), wish,
                        &why) != 0)
        log_warning("job %lld: cannot ask its user's side to stop: %.300s",
                    (long long)job_of(directory), why.text);
}

static void stop(struct launcher *launcher, const char *directory)
{
    wish(launcher, directory, ALLOCATION_STOP);
}

static void kill_all(struct launcher *launcher, const char *directory)
{
    wish(launcher, directory, ALLOCATION_KILL);
}

static const struct launcher_ops allocation_ops = {.name = "allocation",
                                                   .start = start,
                                                   .look = look,
                                                   .count = count,
                                                   .stop = stop,
                                                   .kill = kill_all};

struct launcher launch_allocation(struct launch_allocation *allocation)
{
    return (struct launcher){.ops = &allocation_ops, .state = allocation};
}
