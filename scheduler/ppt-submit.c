/* ppt-submit: files jobs as the user's own login; their ids are all there is on stdout.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "base/json.h"
#include "base/log.h"
#include "base/opt.h"
#include "scheduler/queue.h"
#include "scheduler/script_lines.h"
#include "scheduler/submit.h"
#include "scheduler/submit_memory.h"

#define TRIES 5

static const char usage[] = "[OPTION]... FILE... | [OPTION]... SCRIPT [ARGUMENT]...";

void submit_token(char ret_token[SUBMIT_TOKEN_SIZE])
{
    unsigned char bytes[(SUBMIT_TOKEN_SIZE - 1) / 2];
    crypto_random(bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(ret_token + 2 * i, 3, "%02x", bytes[i]);
}

int submit_file(struct submit *request, const struct spec *spec, submit_filing *file,
                void *state, int64_t *ret_job_id, struct error *err)
{
    struct client *client = &request->client;
    char *text = NULL;
    int rc = spec_canonical(spec, &text, err);
    if (rc == 0 && client->db == NULL)
        rc = client_connect(client, "ppt-submit", err);
    for (int try = 0; rc == 0; try++) {
        rc = file(client->db, spec, text, state, ret_job_id, err);
        if (rc != -PPT_EDB || db_is_alive(client->db) || try == TRIES)
            break;
        rc = client_reconnect(client, 10, err);
    }
    free(text);
    return rc;
}

struct filing {
    char token[SUBMIT_TOKEN_SIZE];
    const char *after;
};

/* submit_filing of an ordinary job. */
static int file_job(struct db *db, const struct spec *spec, const char *text,
                    void *state, int64_t *ret_job_id, struct error *err)
{
    const struct filing *filing = state;
    if (filing->after == NULL)
        return queue_submit(db, spec->name, spec->account, spec->dataset.name, text,
                            filing->token, ret_job_id, err);
    return queue_submit_after(db, spec->name, spec->account, spec->dataset.name, text,
                              filing->token, filing->after, ret_job_id, err);
}

int submit_print_id(const struct submit *request, int64_t job_id, struct error *err)
{
    if (!request->is_json) {
        printf("%lld\n", (long long)job_id);
    } else {
        struct json json = {0};
        char *text = NULL;
        json_object(&json, NULL);
        json_integer(&json, "id", job_id);
        json_close_object(&json);
        int rc = json_end(&json, &text, err);
        if (rc != 0)
            return rc;
        fputs(text, stdout);
        free(text);
    }
    if (fflush(stdout) != 0)
        return error_errno(err, PPT_EIO, "cannot write the job's id");
    return 0;
}

static int submit(struct submit *request, const struct spec *spec, struct error *err)
{
    struct filing filing = {.after = request->after_ids};
    int64_t job_id;
    submit_token(filing.token);
    int rc = submit_file(request, spec, file_job, &filing, &job_id, err);
    if (rc == 0)
        rc = submit_print_id(request, job_id, err);
    if (rc == 0 && request->waits)
        rc = client_wait(&request->client, job_id, true, err);
    return rc;
}

static int check_sweep_memory(struct submit *request, struct sweep *sweep,
                              struct error *err)
{
    struct spec *spec = malloc(sizeof *spec);
    int rc = spec == NULL ? error_set(err, PPT_ENOMEM, "out of memory") : 0;
    for (int i = 1; rc == 0 && i <= sweep_n_jobs(sweep); i++) {
        rc = sweep_job(sweep, i, spec, err);
        if (rc == 0)
            rc = submit_memory_before(&request->client, spec, err);
    }
    free(spec);
    return rc;
}

static int run_sweep(struct submit *request, struct sweep *sweep,
                     const struct spec_policy *policy, struct error *err)
{
    if (request->is_dry)
        return submit_sweep_dry(request, sweep, policy, err);
    int rc = check_sweep_memory(request, sweep, err);
    if (rc == 0 && request->is_here)
        return submit_here_sweep(request, sweep, err);
    if (rc == 0)
        rc = submit_after(request, err);
    return rc == 0 ? submit_sweep(request, sweep, err) : rc;
}

static int run_job(struct submit *request, struct sweep *sweep,
                   const struct spec_policy *policy, struct error *err)
{
    struct spec *spec = malloc(sizeof *spec);
    if (spec == NULL)
        return error_set(err, PPT_ENOMEM, "out of memory");
    int rc = sweep_job(sweep, 1, spec, err);
    if (rc == 0 && !request->is_dry)
        rc = submit_memory_before(&request->client, spec, err);
    if (rc == 0 && request->is_dry)
        rc = submit_dry(request, spec, policy, err);
    else if (rc == 0 && request->is_here)
        rc = submit_here(request, spec, err);
    else if (rc == 0 && (rc = submit_after(request, err)) == 0)
        rc = submit(request, spec, err);
    free(spec);
    return rc;
}

/* What the command line leaves open, as sbatch takes it from SBATCH_ACCOUNT. */
static void read_environment(struct submit *request)
{
    const struct {
        const char *name, **value;
    } variables[] = {{"PPT_ACCOUNT", &request->account},
                     {"PPT_DATABASE", &request->client.database}};
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        const char *value = getenv(variables[i].name);
        if (*variables[i].value == NULL && value != NULL && value[0] != '\0')
            *variables[i].value = value;
    }
}

int submit_choose_account(const struct submit *request, struct sweep *sweep,
                          struct error *err)
{
    bool is_other = false;
    if (request->account == NULL)
        return 0;
    int rc = sweep_set_account(sweep, request->account, &is_other, err);
    if (rc != 0)
        return error_prefix(err, "--account or PPT_ACCOUNT");
    if (is_other)
        log_info("the account is %s", request->account);
    return 0;
}

static int run_file(struct submit *request, const char *path,
                    const struct spec_policy *policy, struct error *err)
{
    struct sweep *sweep = NULL;
    int rc = sweep_read(path, policy, &sweep, err);
    if (rc == 0)
        rc = submit_choose_account(request, sweep, err);
    if (rc == 0 && sweep_is_sweep(sweep))
        rc = run_sweep(request, sweep, policy, err);
    else if (rc == 0)
        rc = run_job(request, sweep, policy, err);
    sweep_free(sweep);
    return rc;
}

static int run(struct submit *request, char **operands, int n_operands, int *ret_status,
               struct error *err)
{
    struct spec_policy policy;
    request->is_here |= request->n_step_ranks != 0;
    if (script_lines_is_script(operands[0]))
        return submit_script(request, operands, n_operands, ret_status, err);
    read_environment(request);
    int rc = submit_after_check(request, err);
    if (rc == 0)
        rc = client_policy(&request->client, &policy, err);
    if (rc == 0 && n_operands == 1)
        rc = run_file(request, operands[0], &policy, err);
    else if (rc == 0)
        rc = submit_many(request, &policy, operands, n_operands, ret_status, err);
    free(request->after_ids);
    return rc;
}

int main(int argc, char **argv)
{
    struct submit request = {0};
    const struct opt options[] = {
        {"step", 0, OPT_INTEGER, &request.n_step_ranks, "RANKS",
         "for ppt-worker --submit: they are there", NULL},
        SUBMIT_OPTIONS(request),
    };
    const struct opt_program program = {
        .name = "ppt-submit",
        .usage = usage,
        .summary =
            "Submits training jobs, each described by a YAML file, or a batch script\n"
            "that runs one in its allocation; prints their ids.",
        .epilogue =
            "Exit status: 0 submitted (--wait, --here: done); 10 the file is not\n"
            "valid; 12 the budget does not allow it (--dry-run, --here); 22 the job\n"
            "failed or was cancelled (--wait: or refused). All: ppt-submit(1).",
        .options = options,
        .n_options = sizeof options / sizeof *options,
        .min_operands = 1,
        .max_operands = -1,
        .is_last = script_lines_is_script,
    };
    struct error err = {0};
    int n_operands, status = 0;
    log_init("ppt-submit", false);
    int rc = opt_parse(&program, argc, argv, &n_operands, &err);
    if (rc == 0)
        rc = run(&request, argv + 1, n_operands, &status, &err);
    client_close(&request.client);
    return rc == 0 ? status : log_error(&err);
}
