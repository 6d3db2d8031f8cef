/* ppt-submit FILE with a section sweep: one submission, many jobs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "scheduler/queue.h"
#include "scheduler/submit.h"

int submit_sweep_jobs(struct sweep *sweep, char **ret_text, struct error *err)
{
    struct json json = {0};
    struct spec *spec = malloc(sizeof *spec);
    char words[SWEEP_WORDS_SIZE];
    int rc = spec == NULL ? error_set(err, PPT_ENOMEM, "out of memory") : 0;
    json_array(&json, NULL);
    for (int i = 1; rc == 0 && i <= sweep_n_jobs(sweep); i++) {
        char *text = NULL;
        rc = sweep_job(sweep, i, spec, err);
        if (rc == 0)
            rc = spec_canonical(spec, &text, err);
        if (rc != 0)
            break;
        sweep_words(sweep, i, words);
        json_object(&json, NULL);
        json_string(&json, "spec", text);
        json_string(&json, "point", words);
        json_close_object(&json);
        free(text);
    }
    json_close_array(&json);
    char *text = NULL;
    int end_rc = json_end(&json, &text, rc == 0 ? err : NULL);
    free(spec);
    rc = rc == 0 ? end_rc : rc;
    if (rc == 0)
        *ret_text = text;
    else
        free(text);
    return rc;
}

/* submit_filing: the spec is the first job's, of which name and account are used. */
static int file_sweep(struct db *db, const struct spec *spec, const char *text,
                      void *state, int64_t *ret_id, struct error *err)
{
    struct queue_sweep *filing = state;
    (void)text;
    filing->name = spec->name;
    filing->account = spec->account;
    filing->dataset = spec->dataset.name;
    return queue_submit_sweep(db, filing, ret_id, err);
}

static int print_sweep(const struct submit *request, int64_t sweep_id,
                       const struct queue_jobs *jobs, struct error *err)
{
    if (!request->is_json) {
        printf("s%lld\n", (long long)sweep_id);
    } else {
        struct json json = {0};
        char *text = NULL;
        json_object(&json, NULL);
        json_integer(&json, "sweep", sweep_id);
        json_array(&json, "ids");
        for (int i = 0; i < jobs->n; i++)
            json_integer(&json, NULL, jobs->jobs[i].id);
        json_close_array(&json);
        json_close_object(&json);
        int rc = json_end(&json, &text, err);
        if (rc != 0)
            return rc;
        fputs(text, stdout);
        free(text);
    }
    if (fflush(stdout) != 0)
        return error_errno(err, PPT_EIO, "cannot write the sweep's id");
    return 0;
}

int submit_sweep_tell(const struct submit *request, int64_t sweep_id, int n_jobs,
                      struct error *err)
{
    struct queue_jobs filed = {0};
    int rc = 0;
    if (request->is_json)
        rc = queue_of_sweep(request->client.db, sweep_id, &filed, err);
    if (rc == 0)
        rc = print_sweep(request, sweep_id, &filed, err);
    if (rc == 0)
        log_info("%d jobs, s%lld: ppt-queue show s%lld", n_jobs, (long long)sweep_id,
                 (long long)sweep_id);
    queue_jobs_free(&filed);
    return rc;
}

int submit_sweep(struct submit *request, struct sweep *sweep, struct error *err)
{
    char token[SUBMIT_TOKEN_SIZE], *jobs = NULL;
    struct queue_sweep filing = {.token = token,
                                 .after = request->after_ids,
                                 .is_together = sweep_is_together(sweep),
                                 .max_running = sweep_max_running(sweep)};
    int64_t sweep_id = 0;
    struct spec *spec = malloc(sizeof *spec);
    if (spec == NULL)
        return error_set(err, PPT_ENOMEM, "out of memory");
    submit_token(token);
    int rc = submit_sweep_jobs(sweep, &jobs, err);
    filing.jobs = jobs;
    if (rc == 0)
        rc = sweep_job(sweep, 1, spec, err);
    if (rc == 0)
        rc = submit_file(request, spec, file_sweep, &filing, &sweep_id, err);
    if (rc == 0)
        rc = submit_sweep_tell(request, sweep_id, sweep_n_jobs(sweep), err);
    if (rc == 0 && request->waits)
        rc = client_wait_sweep(&request->client, sweep_id, true, err);
    free(jobs);
    free(spec);
    return rc;
}
