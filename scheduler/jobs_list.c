/* ppt-queue list. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/json.h"
#include "base/log.h"
#include "base/opt.h"
#include "base/table.h"
#include "scheduler/client.h"
#include "scheduler/figures.h"
#include "scheduler/jobs.h"
#include "scheduler/queue.h"

struct request {
    struct client client;
    bool is_all, is_json;
    const char *account, *state, *sweep;
    int64_t last;
    bool has_last;
};

/* Columns that stand there where a job has anything to put in them; and the jobs of one
 * sweep have one account, so their points say more. */
struct columns {
    bool with_point, with_gpus, with_slurm;
};

#define MAX_COLUMNS 12

static int put_headings(const struct columns *columns,
                        const char *ret_headings[MAX_COLUMNS])
{
    const char *const all[MAX_COLUMNS] = {">ID",
                                          "NAME",
                                          columns->with_point ? "POINT" : "ACCOUNT",
                                          "USER",
                                          "STATE",
                                          ">EPSILON",
                                          ">TIME",
                                          columns->with_gpus ? ">GPUS" : NULL,
                                          columns->with_slurm ? ">SLURM" : NULL,
                                          columns->with_slurm ? "SLURM STATE" : NULL,
                                          columns->with_slurm ? "SLURM REASON" : NULL,
                                          "REASON"};
    int n = 0;
    for (int i = 0; i < MAX_COLUMNS; i++)
        if (all[i] != NULL)
            ret_headings[n++] = all[i];
    return n;
}

static void number(int64_t value, char ret_text[24])
{
    ret_text[0] = '\0';
    if (value != 0)
        snprintf(ret_text, 24, "%lld", (long long)value);
}

static void print_row(struct table *table, const struct queue_job *job,
                      const struct columns *columns)
{
    char name[JOBS_NAME_SIZE], id[24], epsilon[FIGURES_SIZE] = "",
                                       took[FIGURES_SIZE] = "", slurm[24], gpus[24];
    int64_t until_s = job->ended_at_s != 0 ? job->ended_at_s : time(NULL);
    jobs_name(job, name);
    number(job->id, id);
    number(jobs_n_gpus(job), gpus);
    number(job->slurm.id, slurm);
    if (job->is_private && job->admitted_at_s != 0)
        figures_up(queue_state_is_final(job->state) ? job->epsilon_spent : job->epsilon,
                   epsilon);
    if (job->started_at_s != 0)
        figures_duration(until_s - job->started_at_s, took);
    const char *const all[MAX_COLUMNS] = {
        id,
        name,
        columns->with_point ? job->sweep.point : job->account,
        job->submitted_by,
        queue_state_name(job->state),
        epsilon,
        took,
        columns->with_gpus ? gpus : NULL,
        columns->with_slurm ? slurm : NULL,
        columns->with_slurm ? job->slurm.state : NULL,
        columns->with_slurm ? job->slurm.reason : NULL,
        job->reason};
    const char *cells[MAX_COLUMNS];
    int n = 0;
    for (int i = 0; i < MAX_COLUMNS; i++)
        if (all[i] != NULL)
            cells[n++] = all[i];
    table_row(table, cells);
}

static void print_table(const struct queue_jobs *jobs, bool with_point)
{
    struct columns columns = {.with_point = with_point};
    const char *headings[MAX_COLUMNS];
    for (int i = 0; i < jobs->n; i++) {
        columns.with_gpus |= jobs_n_gpus(&jobs->jobs[i]) != 0;
        columns.with_slurm |= jobs->jobs[i].slurm.id != 0;
    }
    int n_columns = put_headings(&columns, headings);
    struct table *table = table_new(headings, n_columns);
    for (int i = 0; i < jobs->n; i++)
        print_row(table, &jobs->jobs[i], &columns);
    table_print(table, stdout, true);
    table_free(table);
}

static int print_json(const struct queue_jobs *jobs, struct error *err)
{
    struct json json = {0};
    char *text = NULL;
    json_array(&json, NULL);
    for (int i = 0; i < jobs->n; i++)
        jobs_to_json(&json, &jobs->jobs[i]);
    json_close_array(&json);
    int rc = json_end(&json, &text, err);
    if (rc == 0)
        fputs(text, stdout);
    free(text);
    return rc;
}

/* "running" or "submitted,waiting". */
static int parse_states(const char *words, unsigned *ret_states, struct error *err)
{
    unsigned states = 0;
    while (words != NULL && *words != '\0') {
        char word[32];
        size_t len = strcspn(words, ",");
        snprintf(word, sizeof word, "%.*s", (int)len, words);
        int state = queue_state_from_name(word);
        if (state < 0) {
            error_set(err, PPT_EUSAGE, "unknown state '%s'", word);
            return error_hint(err, "there are submitted, waiting, admitted, running, "
                                   "done, refused, failed and cancelled");
        }
        states |= 1u << state;
        words += len + (words[len] == ',');
    }
    *ret_states = states;
    return 0;
}

static int list(struct request *request, struct error *err)
{
    struct queue_jobs jobs = {0};
    struct queue_filter filter = {.account = request->account};
    int rc = parse_states(request->state, &filter.states, err);
    if (rc == 0 && (request->last < 0 || request->last > INT32_MAX))
        rc = error_set(err, PPT_EUSAGE, "--last is %lld, expected 0 or more",
                       (long long)request->last);
    if (rc == 0 && request->sweep != NULL)
        rc = jobs_sweep_id(request->sweep, &filter.sweep, err);
    if (rc == 0)
        rc = client_connect(&request->client, "ppt-queue", err);
    if (rc != 0)
        return rc;
    if (filter.sweep == 0 || request->has_last)
        filter.limit = (int)request->last;
    if (!request->is_all && filter.sweep == 0)
        filter.submitted_by = db_login(request->client.db);
    rc = queue_list(request->client.db, &filter, &jobs, err);
    if (rc == 0 && request->is_json)
        rc = print_json(&jobs, err);
    else if (rc == 0)
        print_table(&jobs, filter.sweep != 0);
    queue_jobs_free(&jobs);
    return rc;
}

int jobs_list(int argc, char **argv)
{
    struct request request = {.last = 50};
    const struct opt options[] = {
        {"all", 'a', OPT_FLAG, &request.is_all, NULL, "everybody's, not just your own",
         NULL},
        {"account", 0, OPT_STRING, &request.account, "PATH", "of this and those below",
         NULL},
        {"state", 's', OPT_STRING, &request.state, "STATE", "such as running,waiting",
         NULL},
        {"last", 'n', OPT_INTEGER, &request.last, "N",
         "the last N (default 50; 0: all)", &request.has_last},
        {"sweep", 0, OPT_STRING, &request.sweep, "SWEEP",
         "all jobs of one, such as s12", NULL},
        {"json", 0, OPT_FLAG, &request.is_json, NULL, "print a JSON array", NULL},
        CLIENT_OPTIONS(request.client),
    };
    const struct opt_program program = {
        .name = "ppt-queue list",
        .usage = "[OPTION]...",
        .summary = "Lists jobs, the newest last.",
        .epilogue = "EPSILON: what a job has reserved, or spent once it has ended.",
        .options = options,
        .n_options = sizeof options / sizeof *options,
    };
    struct error err = {0};
    int n_operands;
    int rc = opt_parse(&program, argc, argv, &n_operands, &err);
    if (rc == 0)
        rc = list(&request, &err);
    client_close(&request.client);
    return rc == 0 ? 0 : log_error(&err);
}
