/* ppt-budget history [ACCOUNT|JOB]: grants and entries, newest last. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/opt.h"
#include "base/table.h"
#include "scheduler/budget.h"
#include "scheduler/client.h"
#include "scheduler/figures.h"
#include "scheduler/ledger.h"
#include "scheduler/queue.h"

/* An entry's epsilon at `delta`; a release is a difference of curves and has none. */
static bool find_epsilon(const struct ledger_event *event, double delta,
                         double *ret_epsilon)
{
    if (event->job_id == 0) {
        *ret_epsilon = event->epsilon;
        return true;
    }
    return strcmp(event->what, "release") != 0 &&
           cost_epsilon(&event->cost, delta, ret_epsilon, NULL, NULL) == 0;
}

static void print_table(const struct ledger_events *events, int64_t job_id,
                        double delta)
{
    static const char *const headings[] = {"TIME",     "WHAT", "ACCOUNT", "DATASET",
                                           ">EPSILON", ">JOB", "WHO",     "REASON"};
    struct table *table = table_new(headings, 8);
    for (int i = 0; i < events->n; i++) {
        const struct ledger_event *event = &events->events[i];
        char at[FIGURES_SIZE], epsilon_text[FIGURES_SIZE] = "", job[24] = "";
        double epsilon;
        if (job_id != 0 && event->job_id != job_id)
            continue;
        figures_time(event->at_s, at);
        if (find_epsilon(event, delta, &epsilon))
            figures_up(epsilon, epsilon_text);
        if (event->job_id != 0)
            snprintf(job, sizeof job, "%lld", (long long)event->job_id);
        table_row(table, (const char *[]){
                             at, event->what, event->account, event->dataset,
                             epsilon_text, job, event->login,
                             event->job_id != 0 ? event->job_name : event->reason});
    }
    table_print(table, stdout, true);
    table_free(table);
}

static int print_json(const struct ledger_events *events, int64_t job_id, double delta,
                      struct error *err)
{
    struct json json = {0};
    char *text = NULL;
    json_array(&json, NULL);
    for (int i = 0; i < events->n; i++) {
        const struct ledger_event *event = &events->events[i];
        double epsilon;
        if (job_id != 0 && event->job_id != job_id)
            continue;
        json_object(&json, NULL);
        json_integer(&json, "at_s", event->at_s);
        json_string(&json, "what", event->what);
        json_string(&json, "account", event->account);
        json_string(&json, "dataset", event->dataset);
        json_string(&json, "login", event->login);
        if (event->job_id != 0) {
            json_integer(&json, "job_id", event->job_id);
            json_string(&json, "name", event->job_name);
        } else {
            json_string(&json, "reason", event->reason);
        }
        if (find_epsilon(event, delta, &epsilon)) {
            json_number(&json, "epsilon", epsilon);
            json_number(&json, "delta", event->job_id == 0 ? event->delta : delta);
        }
        json_close_object(&json);
    }
    json_close_array(&json);
    int rc = json_end(&json, &text, err);
    if (rc == 0)
        fputs(text, stdout);
    free(text);
    return rc;
}

/* A whole number is a job: accounts' paths may look like one only with a slash. */
static int find_events(struct db *db, const char *of, int64_t limit,
                       int64_t *ret_job_id, struct ledger_events *ret_events,
                       struct error *err)
{
    struct queue_job job = {0};
    int64_t job_id = 0;
    if (of != NULL && isdigit((unsigned char)of[strspn(of, "0")]) &&
        of[strspn(of, "0123456789")] == '\0') {
        int rc = opt_integer(of, &job_id, err);
        if (rc == 0)
            rc = queue_find(db, job_id, &job, err);
        if (rc != 0)
            return rc;
    }
    int n = limit > 100000 || job_id != 0 ? 0 : (int)limit;
    int rc = ledger_history(db, job_id != 0 ? job.account : of,
                            job_id != 0 ? job.dataset : NULL, n, ret_events, err);
    queue_job_free(&job);
    *ret_job_id = job_id;
    return rc;
}

int budget_history(int argc, char **argv)
{
    struct client client = {0};
    bool is_json = false;
    double delta = 1e-6;
    int64_t limit = 50, job_id = 0;
    const struct opt options[] = {
        {"delta", 'd', OPT_NUMBER, &delta, "D",
         "jobs' entries as epsilon at this (default 1e-6)", NULL},
        {"last", 'n', OPT_INTEGER, &limit, "N", "the last N (default 50; 0: all)",
         NULL},
        {"json", 0, OPT_FLAG, &is_json, NULL, "print a JSON array", NULL},
        CLIENT_OPTIONS(client),
    };
    const struct opt_program program = {
        .name = "ppt-budget history",
        .usage = "[ACCOUNT|JOB] [OPTION]...",
        .summary = "Shows grants and what jobs reserved, spent and released.",
        .epilogue = "JOB is a number. The newest entry comes last.",
        .options = options,
        .n_options = sizeof options / sizeof *options,
        .max_operands = 1,
    };
    struct error err = {0};
    struct ledger_events events = {0};
    int n_operands = 0;
    int rc = opt_parse(&program, argc, argv, &n_operands, &err);
    if (rc == 0 && limit < 0)
        rc = error_set(&err, PPT_EUSAGE, "--last is %lld, expected 0 or more",
                       (long long)limit);
    if (rc == 0)
        rc = client_connect(&client, "ppt-budget", &err);
    if (rc == 0)
        rc = find_events(client.db, n_operands == 1 ? argv[1] : NULL, limit, &job_id,
                         &events, &err);
    if (rc == 0 && is_json)
        rc = print_json(&events, job_id, delta, &err);
    else if (rc == 0)
        print_table(&events, job_id, delta);
    ledger_events_free(&events);
    client_close(&client);
    return rc == 0 ? 0 : log_error(&err);
}
