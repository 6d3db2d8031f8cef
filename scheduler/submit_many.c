/* ppt-submit FILE FILE...: many jobs over one connection, a thousand in a transaction.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "scheduler/queue.h"
#include "scheduler/script_lines.h"
#include "scheduler/submit.h"
#include "scheduler/submit_memory.h"

/* One file of the command line. */
struct operand {
    const char *path;
    int64_t job_id; /* 0: not filed */
    struct error why;
};

struct batch {
    struct operand *operands;
    int n_operands, sent[QUEUE_MAX_FILED]; /* which of them are in jobs */
    int n_sent;
    struct spec spec; /* the last of them */
    char *jobs;       /* as the database takes them */
    char token[SUBMIT_TOKEN_SIZE];
    const char *after;
};

static int read_one(struct submit *request, const struct spec_policy *policy,
                    const char *path, struct spec *ret_spec, struct error *err)
{
    struct sweep *sweep = NULL;
    if (script_lines_is_script(path)) {
        error_set(err, PPT_EUSAGE, "%s is a batch script", path);
        return error_hint(err, "submit it alone: what follows it are its arguments");
    }
    int rc = sweep_read(path, policy, &sweep, err);
    if (rc == 0)
        rc = submit_choose_account(request, sweep, err);
    if (rc == 0 && sweep_is_sweep(sweep)) {
        rc = error_set(err, PPT_EUSAGE, "%s is a sweep", path);
        error_hint(err, "submit it alone: it is many jobs already");
    }
    if (rc == 0)
        rc = sweep_job(sweep, 1, ret_spec, err);
    if (rc == 0) {
        rc = submit_memory_before(&request->client, ret_spec, err);
        if (rc != 0)
            error_prefix(err, "%s", path);
    }
    sweep_free(sweep);
    return rc;
}

static int add(struct json *jobs, const struct spec *spec, struct error *err)
{
    char *text = NULL;
    int rc = spec_canonical(spec, &text, err);
    if (rc != 0)
        return rc;
    json_object(jobs, NULL);
    json_string(jobs, "name", spec->name);
    json_string(jobs, "account", spec->account);
    json_string(jobs, "dataset", spec->dataset.name);
    json_string(jobs, "spec", text);
    json_close_object(jobs);
    free(text);
    return 0;
}

/* Reads them all; a file that is not valid is left out. */
static int read_all(struct submit *request, const struct spec_policy *policy,
                    struct batch *batch, struct error *err)
{
    struct json jobs = {0};
    json_array(&jobs, NULL);
    for (int i = 0; i < batch->n_operands; i++) {
        struct operand *operand = &batch->operands[i];
        int rc = read_one(request, policy, operand->path, &batch->spec, &operand->why);
        if (rc == 0)
            rc = add(&jobs, &batch->spec, &operand->why);
        if (rc == 0)
            batch->sent[batch->n_sent++] = i;
    }
    json_close_array(&jobs);
    return json_end(&jobs, &batch->jobs, err);
}

/* submit_filing: `text` is the last job's alone and is in the batch already. */
static int file_batch(struct db *db, const struct spec *spec, const char *text,
                      void *state, int64_t *ret_id, struct error *err)
{
    struct batch *batch = state;
    (void)spec, (void)text;
    struct queue_filed *filed = calloc((size_t)batch->n_sent, sizeof *filed);
    if (filed == NULL)
        return error_set(err, PPT_ENOMEM, "out of memory");
    int rc = queue_submit_many(db, batch->jobs, batch->token, batch->after, filed,
                               batch->n_sent, err);
    for (int i = 0; rc == 0 && i < batch->n_sent; i++) {
        struct operand *operand = &batch->operands[batch->sent[i]];
        operand->job_id = filed[i].job_id;
        operand->why = filed[i].why;
        if (filed[i].job_id == 0)
            error_prefix(&operand->why, "%s", operand->path);
    }
    free(filed);
    if (rc == 0)
        *ret_id = 0;
    return rc;
}

static int print_json(const struct operand *operand, struct error *err)
{
    struct json json = {0};
    char *text = NULL;
    json_object(&json, NULL);
    json_string(&json, "file", operand->path);
    if (operand->job_id != 0) {
        json_integer(&json, "id", operand->job_id);
    } else {
        json_integer(&json, "status", operand->why.code);
        json_string(&json, "error", operand->why.text);
    }
    json_close_object(&json);
    int rc = json_end(&json, &text, err);
    if (rc != 0)
        return rc;
    fputs(text, stdout);
    free(text);
    return 0;
}

static int print_all(const struct submit *request, const struct batch *batch,
                     int *ret_status, struct error *err)
{
    int rc = 0;
    for (int i = 0; rc == 0 && i < batch->n_operands; i++) {
        const struct operand *operand = &batch->operands[i];
        if (operand->job_id == 0) {
            int status = log_error(&operand->why);
            *ret_status = *ret_status != 0 ? *ret_status : status;
        }
        if (request->is_json)
            rc = print_json(operand, err);
        else if (operand->job_id != 0)
            printf("%lld\n", (long long)operand->job_id);
        else
            puts("-");
    }
    if (rc == 0 && fflush(stdout) != 0)
        rc = error_errno(err, PPT_EIO, "cannot write the jobs' ids");
    return rc;
}

static int wait_for_all(struct submit *request, const struct batch *batch,
                        int *ret_status, struct error *err)
{
    for (int i = 0; i < batch->n_sent; i++) {
        int64_t job_id = batch->operands[batch->sent[i]].job_id;
        int rc = job_id == 0 ? 0 : client_wait(&request->client, job_id, true, err);
        if (rc != 0 && rc != -PPT_EJOB)
            return rc;
        if (rc != 0) {
            int status = log_error(err);
            *ret_status = *ret_status != 0 ? *ret_status : status;
            *err = (struct error){0};
        }
    }
    return 0;
}

static int submit_batch(struct submit *request, const struct spec_policy *policy,
                        struct batch *batch, int *ret_status, struct error *err)
{
    int64_t none;
    submit_token(batch->token);
    batch->after = request->after_ids;
    int rc = read_all(request, policy, batch, err);
    if (rc == 0 && batch->n_sent > 0)
        rc = submit_file(request, &batch->spec, file_batch, batch, &none, err);
    return rc == 0 ? print_all(request, batch, ret_status, err) : rc;
}

/* The next of the files, as many as go into one transaction. */
static struct batch *next_batch(char **paths, int n)
{
    struct batch *batch = calloc(1, sizeof *batch);
    if (batch == NULL)
        return NULL;
    batch->n_operands = n < QUEUE_MAX_FILED ? n : QUEUE_MAX_FILED;
    batch->operands = calloc((size_t)batch->n_operands, sizeof *batch->operands);
    for (int i = 0; batch->operands != NULL && i < batch->n_operands; i++)
        batch->operands[i].path = paths[i];
    if (batch->operands != NULL)
        return batch;
    free(batch);
    return NULL;
}

static void batch_free(struct batch *batch)
{
    free(batch->operands);
    free(batch->jobs);
    free(batch);
}

/* All are filed before the first is waited for. */
int submit_many(struct submit *request, const struct spec_policy *policy, char **paths,
                int n_paths, int *ret_status, struct error *err)
{
    if (request->is_here || request->is_dry)
        return error_set(err, PPT_EUSAGE, "%s takes one file, and these are %d",
                         request->is_here ? "--here" : "--dry-run", n_paths);
    int rc = submit_after(request, err), n_batches = 0, status = 0;
    struct batch **batches = calloc((size_t)n_paths, sizeof(struct batch *));
    if (rc == 0 && batches == NULL)
        rc = error_set(err, PPT_ENOMEM, "out of memory");
    for (int i = 0; rc == 0 && i < n_paths; i += QUEUE_MAX_FILED) {
        struct batch *batch = next_batch(paths + i, n_paths - i);
        if (batch == NULL)
            rc = error_set(err, PPT_ENOMEM, "out of memory");
        else
            batches[n_batches++] = batch;
        if (rc == 0)
            rc = submit_batch(request, policy, batch, &status, err);
    }
    for (int i = 0; rc == 0 && request->waits && i < n_batches; i++)
        rc = wait_for_all(request, batches[i], &status, err);
    for (int i = 0; i < n_batches; i++)
        batch_free(batches[i]);
    free(batches);
    if (rc == 0)
        *ret_status = status;
    return rc;
}
