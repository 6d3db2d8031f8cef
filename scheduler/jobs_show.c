/* ppt-queue show: all that is known about a job. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/opt.h"
#include "jobs/kind.h"
#include "jobs/plan.h"
#include "scheduler/allocation.h"
#include "scheduler/client.h"
#include "scheduler/figures.h"
#include "scheduler/jobs.h"
#include "scheduler/queue.h"

int jobs_id(const char *text, int64_t *ret_job_id, struct error *err)
{
    int64_t id;
    if (opt_integer(text, &id, NULL) != 0 || id < 1) {
        error_set(err, PPT_EUSAGE, "'%s' is not the number of a job", text);
        if (text[0] == 's')
            error_hint(err, "ppt-queue show %.30s lists a sweep's jobs", text);
        return -PPT_EUSAGE;
    }
    *ret_job_id = id;
    return 0;
}

const char *jobs_directory(const struct queue_job *job)
{
    return job->allocation[0] != '\0' ? job->allocation : job->directory;
}

static void times_to_json(struct json *json, const struct queue_job *job)
{
    const struct {
        const char *key;
        int64_t at_s;
    } times[] = {{"submitted_at_s", job->submitted_at_s},
                 {"admitted_at_s", job->admitted_at_s},
                 {"started_at_s", job->started_at_s},
                 {"ended_at_s", job->ended_at_s}};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        if (times[i].at_s != 0)
            json_integer(json, times[i].key, times[i].at_s);
}

static bool has_plot(const struct queue_job *job)
{
    return job->state == QUEUE_DONE && strcmp(job->kind, job_kinds[JOB_FL].name) == 0;
}

static void plot_path(const struct queue_job *job, char ret_path[LEDGER_PATH_SIZE + 16])
{
    snprintf(ret_path, LEDGER_PATH_SIZE + 16, "%s/" PLAN_PLOT, jobs_directory(job));
}

static void outcome_to_json(struct json *json, const struct queue_job *job)
{
    json_integer(json, "error_code", job->error_code);
    json_number(json, "epsilon_spent", job->epsilon_spent);
    json_integer(json, "steps_done", job->n_steps_done);
    if (job->has_test_accuracy)
        json_number(json, "test_accuracy", job->test_accuracy);
    json_number(json, "wall_s", job->wall_s);
    json_string(json, "model", job->model);
    if (has_plot(job)) {
        char path[LEDGER_PATH_SIZE + 16];
        plot_path(job, path);
        json_string(json, "plot", path);
    }
}

static void after_to_json(struct json *json, const char *ids)
{
    if (ids == NULL)
        return;
    json_array(json, "after");
    while (*ids != '\0') {
        char *end;
        json_integer(json, NULL, strtoll(ids, &end, 10));
        ids = end + (*end == ',');
        if (end == ids)
            break;
    }
    json_close_array(json);
}

static void sweep_to_json(struct json *json, const struct queue_job *job)
{
    if (job->sweep.id == 0)
        return;
    json_integer(json, "sweep", job->sweep.id);
    json_integer(json, "sweep_number", job->sweep.number);
    json_integer(json, "sweep_jobs", job->sweep.n_jobs);
    json_string(json, "sweep_admission", job->sweep.is_together ? "together" : "each");
    if (job->sweep.max_running > 0)
        json_integer(json, "sweep_max_running", job->sweep.max_running);
    json_string(json, "sweep_point", job->sweep.point);
}

void jobs_to_json(struct json *json, const struct queue_job *job)
{
    json_object(json, NULL);
    json_integer(json, "id", job->id);
    json_string(json, "name", job->name);
    json_string(json, "account", job->account);
    json_string(json, "dataset", job->dataset);
    json_string(json, "submitted_by", job->submitted_by);
    json_string(json, "state", queue_state_name(job->state));
    json_string(json, "reason", job->reason);
    json_string(json, "spec_sha256", job->spec_sha256);
    if (job->allocation[0] != '\0')
        json_bool(json, "is_here", true);
    sweep_to_json(json, job);
    after_to_json(json, job->after);
    times_to_json(json, job);
    if (job->admitted_at_s != 0) {
        json_string(json, "kind", job->kind);
        json_bool(json, "is_private", job->is_private);
        json_number(json, "epsilon", job->epsilon);
        json_number(json, "delta", job->delta);
        json_number(json, "noise_multiplier", job->noise_multiplier);
        json_number(json, "sample_rate", job->sample_rate);
        json_integer(json, "steps", job->n_steps);
        json_integer(json, "priority", job->priority);
        json_integer(json, "ranks", job->n_ranks);
        json_integer(json, "cores", job->n_cores);
        json_integer(json, "memory_bytes", job->memory_bytes);
        json_integer(json, "time_limit_s", job->time_limit_s);
        jobs_gpus_to_json(json, job);
    }
    if (job->attempt > 0) {
        json_integer(json, "attempt", job->attempt);
        json_string(json, "directory", jobs_directory(job));
        if (job->allocation[0] == '\0') {
            json_string(json, "host", job->host);
            if (job->pid != 0) /* the row of a world's job has none */
                json_integer(json, "pid", job->pid);
        }
    }
    if (job->slurm.id != 0) {
        json_integer(json, "slurm_job_id", job->slurm.id);
        json_string(json, "slurm_state", job->slurm.state);
        json_string(json, "slurm_reason", job->slurm.reason);
    }
    if (job->ended_at_s != 0)
        outcome_to_json(json, job);
    json_close_object(json);
}

static void print_time(const char *label, int64_t at_s)
{
    char at[FIGURES_SIZE];
    if (at_s == 0)
        return;
    figures_time(at_s, at);
    printf("%-17s %s\n", label, at);
}

static void print_price(const struct queue_job *job)
{
    char epsilon[FIGURES_SIZE], memory[FIGURES_SIZE], limit[FIGURES_SIZE];
    char gpus[32] = "";
    if (job->is_private) {
        figures_up(job->epsilon, epsilon);
        printf("%-17s epsilon %s at delta %g\n", "reserved", epsilon, job->delta);
        printf("%-17s %.6g\n", "noise multiplier", job->noise_multiplier);
    } else {
        printf("%-17s none (public data)\n", "privacy");
    }
    figures_bytes(job->memory_bytes, memory);
    figures_duration(job->time_limit_s, limit);
    printf("%-17s %.6g\n", "sample rate", job->sample_rate);
    printf("%-17s %lld\n", "steps", (long long)job->n_steps);
    if (job->gpus_per_rank > 0)
        snprintf(gpus, sizeof gpus, ", %lld GPUs", (long long)jobs_n_gpus(job));
    printf("%-17s %lld ranks, %lld cores%s, %s, at most %s\n", "resources",
           (long long)job->n_ranks, (long long)job->n_cores, gpus, memory, limit);
}

static void print_outcome(const struct queue_job *job)
{
    char epsilon[FIGURES_SIZE], took[FIGURES_SIZE];
    if (job->is_private) {
        figures_up(job->epsilon_spent, epsilon);
        printf("%-17s epsilon %s at delta %g\n", "spent", epsilon, job->delta);
    }
    if (job->attempt > 0) {
        figures_duration((int64_t)job->wall_s, took);
        printf("%-17s %lld in %s\n", "steps done", (long long)job->n_steps_done, took);
    }
    if (job->has_test_accuracy)
        printf("%-17s %.2f %%\n", "test accuracy", 100 * job->test_accuracy);
    if (job->model[0] != '\0')
        printf("%-17s %s\n", "model", job->model);
    if (has_plot(job)) {
        char path[LEDGER_PATH_SIZE + 16];
        plot_path(job, path);
        printf("%-17s %s\n", "plot", path);
    }
}

static void print_job(const struct queue_job *job)
{
    printf("%-17s %lld\n", "job", (long long)job->id);
    printf("%-17s %s\n", "name", job->name);
    if (job->sweep.id != 0) {
        printf("%-17s s%lld, job %lld of %lld, admitted %s\n", "sweep",
               (long long)job->sweep.id, (long long)job->sweep.number,
               (long long)job->sweep.n_jobs,
               job->sweep.is_together ? "all or none" : "one by one");
        printf("%-17s %s\n", "point", job->sweep.point);
    }
    printf("%-17s %s\n", "account", job->account);
    printf("%-17s %s\n", "data set", job->dataset);
    printf("%-17s %s\n", "submitted by", job->submitted_by);
    printf("%-17s %s%s\n", "state", queue_state_name(job->state),
           job->is_cancel_requested && job->state == QUEUE_RUNNING
               ? " (cancellation asked for)"
               : "");
    if (job->reason[0] != '\0')
        printf("%-17s %s\n", "reason", job->reason);
    if (job->after != NULL)
        printf("%-17s %s\n", "after jobs", job->after);
    print_time("submitted", job->submitted_at_s);
    print_time("admitted", job->admitted_at_s);
    print_time("started", job->started_at_s);
    print_time("ended", job->ended_at_s);
    if (job->admitted_at_s != 0)
        print_price(job);
    if (job->attempt > 0) {
        printf("%-17s %lld\n", "attempt", (long long)job->attempt);
        printf("%-17s %s\n", "directory", jobs_directory(job));
        jobs_print_gpus(job);
    }
    if (job->slurm.id != 0)
        printf("%-17s %lld, %s%s%s\n", "Slurm's job", (long long)job->slurm.id,
               job->slurm.state, job->slurm.reason[0] != '\0' ? ": " : "",
               job->slurm.reason);
    if (job->ended_at_s != 0)
        print_outcome(job);
    printf("%-17s %s\n", "spec", job->spec_sha256);
}

/* Of a job that runs where its user is. */
static int print_place(struct client *client, const struct queue_job *job,
                       struct error *err)
{
    char place[ALLOCATION_PLACE_SIZE];
    int rc = job->allocation[0] == '\0'
                 ? 0
                 : allocation_place(client->db, job->id, place, err);
    if (rc == 0 && job->allocation[0] != '\0')
        printf("%-17s %s, as its user\n", "runs in", place);
    return rc;
}

static int show(struct client *client, int64_t job_id, bool is_json, struct error *err)
{
    struct queue_job job = {0};
    struct json json = {0};
    char *text = NULL;
    int rc = client_connect(client, "ppt-queue", err);
    if (rc == 0)
        rc = queue_find(client->db, job_id, &job, err);
    if (rc == 0 && is_json) {
        jobs_to_json(&json, &job);
        rc = json_end(&json, &text, err);
        if (rc == 0)
            fputs(text, stdout);
        free(text);
    } else if (rc == 0) {
        print_job(&job);
        rc = print_place(client, &job, err);
    }
    queue_job_free(&job);
    return rc;
}

int jobs_show(int argc, char **argv)
{
    struct client client = {0};
    bool is_json = false;
    const struct opt options[] = {
        {"json", 0, OPT_FLAG, &is_json, NULL, "print a JSON object", NULL},
        CLIENT_OPTIONS(client),
    };
    const struct opt_program program = {
        .name = "ppt-queue show",
        .usage = "ID|SWEEP [OPTION]...",
        .summary = "Shows all that is known about a job, or the jobs of a sweep.",
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
        rc = (is_sweep ? jobs_show_sweep : show)(&client, id, is_json, &err);
    client_close(&client);
    return rc == 0 ? 0 : log_error(&err);
}
