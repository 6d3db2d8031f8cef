#include "scheduler/client.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "scheduler/conf.h"
#include "scheduler/figures.h"
#include "scheduler/queue.h"

#define RECONNECT_S 120

static void pause_ms(long ms)
{
    struct timespec pause = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&pause, NULL);
}

int client_connect(struct client *client, const char *program, struct error *err)
{
    struct conf conf;
    client->program = program;
    if (client->database != NULL && client->config == NULL) {
        snprintf(client->conninfo, sizeof client->conninfo, "%s", client->database);
    } else {
        int rc = conf_read(client->config, &conf, err);
        if (rc != 0)
            return rc;
        snprintf(client->conninfo, sizeof client->conninfo, "%s",
                 client->database != NULL ? client->database : conf.database);
    }
    return db_open(client->conninfo, program, &client->db, err);
}

int client_reconnect(struct client *client, int wait_s, struct error *err)
{
    int rc;
    time_t until = time(NULL) + wait_s;
    client_close(client);
    while ((rc = db_open(client->conninfo, client->program, &client->db, err)) ==
               -PPT_EDB &&
           time(NULL) < until)
        pause_ms(500);
    return rc;
}

void client_close(struct client *client)
{
    db_close(client->db);
    client->db = NULL;
}

int client_policy(const struct client *client, struct spec_policy *ret_policy,
                  struct error *err)
{
    struct conf conf;
    int rc = conf_read(client->config, &conf, err);
    if (rc == 0)
        *ret_policy = conf.policy;
    return rc;
}

int client_expect(int *argc, char ***argv, const char *word,
                  const struct opt_program *program, struct error *err)
{
    if (*argc > 1 && strcmp((*argv)[1], word) == 0) {
        (*argc)--;
        (*argv)++;
        return 0;
    }
    if (*argc > 1 && (*argv)[1][0] == '-')
        return 0; /* --help, or an option that stands alone: opt_parse says so */
    error_set(err, PPT_EUSAGE, "'%s' is expected after %s", word, (*argv)[0]);
    return error_hint(err, "run %s --help", program->name);
}

int client_tell_moves(struct client *client, int64_t job_id, int64_t *last,
                      struct error *err)
{
    struct queue_events events = {0};
    int rc = queue_history(client->db, job_id, *last, &events, err);
    for (int i = 0; rc == 0 && i < events.n; i++) {
        const struct queue_event *event = &events.events[i];
        if (!queue_state_is_final((enum queue_state)queue_state_from_name(event->to)) ||
            event->reason[0] == '\0')
            log_info("job %lld: %s%s%s", (long long)job_id, event->to,
                     event->reason[0] != '\0' ? ": " : "", event->reason);
        *last = event->id;
    }
    queue_events_free(&events);
    return rc;
}

static void tell_outcome(const struct queue_job *job)
{
    char epsilon[FIGURES_SIZE];
    figures_up(job->epsilon_spent, epsilon);
    if (job->is_private)
        log_info("job %lld: spent epsilon %s at delta %g", (long long)job->id, epsilon,
                 job->delta);
    if (job->has_test_accuracy)
        log_info("job %lld: test accuracy %.2f %%", (long long)job->id,
                 100 * job->test_accuracy);
}

/* 0 and the job (without its strings), or its end as an error. */
static int look(struct client *client, int64_t job_id, struct queue_job *ret_job,
                struct error *err)
{
    int rc = queue_find(client->db, job_id, ret_job, err);
    if (rc != 0)
        return rc;
    if (queue_state_is_final(ret_job->state) && ret_job->state != QUEUE_DONE)
        rc = error_set(err, PPT_EJOB, "job %lld %s%s%s%s", (long long)job_id,
                       ret_job->state == QUEUE_FAILED ? "" : "was ",
                       queue_state_name(ret_job->state),
                       ret_job->reason[0] != '\0' ? ": " : "", ret_job->reason);
    queue_job_free(ret_job);
    return rc;
}

int client_wait_on(struct client *client, int64_t job_id, int64_t *last, bool tell,
                   struct error *err)
{
    struct queue_job job = {0};
    int rc = 0;
    do {
        rc = look(client, job_id, &job, err);
        if (tell && (rc == 0 || rc == -PPT_EJOB)) {
            int tell_rc = client_tell_moves(client, job_id, last, rc == 0 ? err : NULL);
            rc = rc == 0 ? tell_rc : rc;
        }
        if (rc == -PPT_EDB && !db_is_alive(client->db)) {
            job.state = QUEUE_SUBMITTED; /* look again: its moves are not told yet */
            rc = client_reconnect(client, RECONNECT_S, err);
        }
        if (rc == 0 && job.state != QUEUE_DONE)
            pause_ms(300);
    } while (rc == 0 && job.state != QUEUE_DONE);
    if (rc == 0 && tell)
        tell_outcome(&job);
    return rc;
}

int client_wait(struct client *client, int64_t job_id, bool tell, struct error *err)
{
    int64_t last = 0;
    return client_wait_on(client, job_id, &last, tell, err);
}

int client_id(const char *text, int64_t *ret_id, bool *ret_is_sweep, struct error *err)
{
    bool is_sweep = text[0] == 's';
    int64_t id;
    if (text[is_sweep] < '0' || text[is_sweep] > '9' ||
        opt_integer(text + is_sweep, &id, NULL) != 0 || id < 1)
        return error_set(err, PPT_EUSAGE,
                         "'%.60s' is not the number of a job (12) or of a sweep (s12)",
                         text);
    *ret_id = id;
    *ret_is_sweep = is_sweep;
    return 0;
}

int client_sweep(struct client *client, int64_t sweep_id, struct queue_jobs *ret_jobs,
                 struct error *err)
{
    int rc = queue_of_sweep(client->db, sweep_id, ret_jobs, err);
    if (rc == 0 && ret_jobs->n == 0) {
        queue_jobs_free(ret_jobs);
        rc = error_set(err, PPT_ENOTFOUND,
                       "there is no sweep s%lld that this login sees",
                       (long long)sweep_id);
    }
    return rc;
}

int client_wait_sweep(struct client *client, int64_t sweep_id, bool tell,
                      struct error *err)
{
    struct queue_jobs jobs = {0};
    int n_lost = 0;
    int rc = client_sweep(client, sweep_id, &jobs, err);
    for (int i = 0; rc == 0 && i < jobs.n; i++) {
        struct error own = {0};
        rc = client_wait(client, jobs.jobs[i].id, tell, &own);
        if (rc == -PPT_EJOB) {
            if (tell)
                log_warning("%s", own.text);
            n_lost++;
            rc = 0;
        } else if (rc != 0 && err != NULL) {
            *err = own;
        }
    }
    if (rc == 0 && n_lost > 0)
        rc = error_set(err, PPT_EJOB, "%d of the %d jobs of s%lld are not done", n_lost,
                       jobs.n, (long long)sweep_id);
    queue_jobs_free(&jobs);
    return rc;
}

int client_program(const char *name, const char *room, char *ret_path, size_t size,
                   struct error *err)
{
    char home[PATH_MAX];
    if (name[0] == '/') {
        snprintf(ret_path, size, "%s", name);
    } else {
        ssize_t len = readlink("/proc/self/exe", home, sizeof home - 1);
        if (len <= 0)
            return error_errno(err, PPT_EIO, "cannot find this program's folder");
        home[len] = '\0';
        *strrchr(home, '/') = '\0';
        snprintf(ret_path, size, "%s/%s", home, name);
        if (access(ret_path, X_OK) != 0)
            snprintf(ret_path, size, "%s/../%s/%s", home, room, name);
    }
    if (access(ret_path, X_OK) != 0)
        return error_errno(err, PPT_ELAUNCH, "cannot run %s", ret_path);
    return 0;
}
