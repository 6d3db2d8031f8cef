/* ppt-queue show SWEEP: its jobs side by side, with what each came to. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/json.h"
#include "base/table.h"
#include "scheduler/client.h"
#include "scheduler/figures.h"
#include "scheduler/jobs.h"

/* "6: 4 done, 2 running". */
static void print_states(const struct queue_jobs *jobs)
{
    int n[QUEUE_N_STATES] = {0};
    const char *comma = "";
    for (int i = 0; i < jobs->n; i++)
        n[jobs->jobs[i].state]++;
    printf("%-17s %d: ", "jobs", jobs->n);
    for (int state = 0; state < QUEUE_N_STATES; state++)
        if (n[state] > 0) {
            printf("%s%d %s", comma, n[state],
                   queue_state_name((enum queue_state)state));
            comma = ", ";
        }
    putchar('\n');
}

static void print_row(struct table *table, const struct queue_job *job)
{
    char id[24], epsilon[FIGURES_SIZE] = "", accuracy[16] = "", steps[24] = "",
                 took[FIGURES_SIZE] = "";
    int64_t until_s = job->ended_at_s != 0 ? job->ended_at_s : time(NULL);
    snprintf(id, sizeof id, "%lld", (long long)job->id);
    if (job->is_private && job->admitted_at_s != 0)
        figures_up(queue_state_is_final(job->state) ? job->epsilon_spent : job->epsilon,
                   epsilon);
    if (job->has_test_accuracy)
        snprintf(accuracy, sizeof accuracy, "%.2f %%", 100 * job->test_accuracy);
    if (job->ended_at_s != 0 && job->attempt > 0)
        snprintf(steps, sizeof steps, "%lld", (long long)job->n_steps_done);
    if (job->started_at_s != 0)
        figures_duration(until_s - job->started_at_s, took);
    const char *cells[] = {id,      job->sweep.point, queue_state_name(job->state),
                           epsilon, accuracy,         steps,
                           took,    job->reason};
    table_row(table, cells);
}

static void print_text(const struct queue_jobs *jobs)
{
    static const char *const headings[] = {">ID",       "POINT",  "STATE", ">EPSILON",
                                           ">ACCURACY", ">STEPS", ">TIME", "REASON"};
    const struct queue_job *first = &jobs->jobs[0];
    struct table *table = table_new(headings, 8);
    printf("%-17s s%lld\n", "sweep", (long long)first->sweep.id);
    printf("%-17s %s\n", "name", first->name);
    printf("%-17s %s\n", "account", first->account);
    printf("%-17s %s\n", "data set", first->dataset);
    printf("%-17s %s\n", "submitted by", first->submitted_by);
    printf("%-17s %s\n", "admitted",
           first->sweep.is_together ? "all or none" : "one by one");
    if (first->sweep.max_running > 0)
        printf("%-17s %lld\n", "run at once", (long long)first->sweep.max_running);
    print_states(jobs);
    putchar('\n');
    for (int i = 0; i < jobs->n; i++)
        print_row(table, &jobs->jobs[i]);
    table_print(table, stdout, true);
    table_free(table);
}

static int print_json(const struct queue_jobs *jobs, struct error *err)
{
    struct json json = {0};
    char *text = NULL;
    json_object(&json, NULL);
    json_integer(&json, "sweep", jobs->jobs[0].sweep.id);
    json_array(&json, "jobs");
    for (int i = 0; i < jobs->n; i++)
        jobs_to_json(&json, &jobs->jobs[i]);
    json_close_array(&json);
    json_close_object(&json);
    int rc = json_end(&json, &text, err);
    if (rc == 0)
        fputs(text, stdout);
    free(text);
    return rc;
}

int jobs_show_sweep(struct client *client, int64_t sweep_id, bool is_json,
                    struct error *err)
{
    struct queue_jobs jobs = {0};
    int rc = client_connect(client, "ppt-queue", err);
    if (rc == 0)
        rc = client_sweep(client, sweep_id, &jobs, err);
    if (rc == 0 && is_json)
        rc = print_json(&jobs, err);
    else if (rc == 0)
        print_text(&jobs);
    queue_jobs_free(&jobs);
    return rc;
}
