/* ppt-submit: files a job as the user's own login; its id is the only thing on stdout.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "base/json.h"
#include "base/log.h"
#include "base/opt.h"
#include "base/table.h"
#include "jobs/spec/spec.h"
#include "scheduler/admission.h"
#include "scheduler/client.h"
#include "scheduler/figures.h"
#include "scheduler/ledger.h"
#include "scheduler/queue.h"

#define SUBMIT_TRIES 5
#define TOKEN_SIZE 33

struct request {
    struct client client;
    bool waits, is_dry, is_json;
};

/* ---- --dry-run ---- */

/* The pot as it would be with this job's reservation in it. */
static void add_cost(struct ledger_pot *pot, const struct cost *cost)
{
    for (int i = 0; i < COST_N_ORDERS; i++)
        pot->reserved[i] = cost->rho[i] > COST_INFINITE - pot->reserved[i]
                               ? COST_INFINITE
                               : pot->reserved[i] + cost->rho[i];
    pot->reserved_mu2 = cost->mu2 > COST_INFINITE - pot->reserved_mu2
                            ? COST_INFINITE
                            : pot->reserved_mu2 + cost->mu2;
}

static void print_levels(const struct ledger_pots *pots, const struct cost *cost)
{
    static const char *const headings[] = {"LEVEL", ">LIMIT", ">DELTA",
                                           ">LEFT", ">AFTER", "FITS"};
    struct table *table = table_new(headings, 6);
    for (int i = 0; i < pots->n; i++) {
        struct ledger_pot *pot = &pots->pots[i];
        char name[LEDGER_PATH_SIZE + 160], limit[FIGURES_SIZE], left[FIGURES_SIZE];
        char after[FIGURES_SIZE], delta[32];
        bool fits = ledger_fits(pot, cost);
        figures_pot_name(pot, name, sizeof name);
        figures_down(pot->epsilon, limit);
        json_shortest(pot->delta, delta);
        figures_down(figures_pot(pot).remaining, left);
        add_cost(pot, cost);
        figures_down(figures_pot(pot).remaining, after);
        table_row(table, (const char *[]){name, limit, delta, left, fits ? after : "-",
                                          fits ? "yes" : "no"});
    }
    table_print(table, stdout, true);
    table_free(table);
}

static void print_price(const struct admission_job *job)
{
    const struct price *price = &job->price;
    char epsilon[FIGURES_SIZE], delta[32];
    if (!price->is_private) {
        printf("privacy           none: the data set is public, nothing is charged\n");
    } else {
        figures_up(price->epsilon, epsilon);
        json_shortest(price->delta, delta);
        printf("privacy           epsilon %s at delta %s, per %s\n", epsilon, delta,
               unit_name(price->unit));
        printf("noise multiplier  %.6g\n", price->noise_multiplier);
    }
    printf("sample rate       %.6g\n", price->sample_rate);
    printf("steps             %lld\n\n", (long long)price->n_steps);
}

static int print_dry_json(const struct admission_job *job, struct ledger_pots *pots,
                          const struct ledger_verdict *verdict, const char *reason,
                          struct error *err)
{
    static const char *const answers[] = {"admitted", "waiting", "refused"};
    const struct price *price = &job->price;
    struct json json = {0};
    char *text = NULL;
    json_object(&json, NULL);
    json_string(&json, "name", job->spec.name);
    json_string(&json, "account", job->spec.account);
    json_string(&json, "dataset", job->spec.dataset.name);
    json_bool(&json, "is_private", price->is_private);
    json_number(&json, "epsilon", price->epsilon);
    json_number(&json, "delta", price->delta);
    json_number(&json, "noise_multiplier", price->noise_multiplier);
    json_number(&json, "sample_rate", price->sample_rate);
    json_integer(&json, "steps", price->n_steps);
    json_string(&json, "answer", answers[verdict->answer]);
    json_string(&json, "reason", reason);
    json_array(&json, "levels");
    for (int i = 0; i < pots->n; i++) {
        struct ledger_pot *pot = &pots->pots[i];
        json_object(&json, NULL);
        json_string(&json, "account", pot->account);
        json_string(&json, "dataset", pot->dataset);
        json_number(&json, "epsilon", pot->epsilon);
        json_number(&json, "delta", pot->delta);
        json_bool(&json, "fits", ledger_fits(pot, &price->cost));
        json_number(&json, "remaining_epsilon", figures_pot(pot).remaining);
        add_cost(pot, &price->cost);
        json_number(&json, "remaining_epsilon_after", figures_pot(pot).remaining);
        json_close_object(&json);
    }
    json_close_array(&json);
    json_close_object(&json);
    int rc = json_end(&json, &text, err);
    if (rc == 0)
        fputs(text, stdout);
    free(text);
    return rc;
}

static int judge_dry(struct request *request, const struct admission_job *job,
                     const struct spec_policy *policy, struct error *err)
{
    struct db *db = request->client.db;
    struct ledger_request asked = admission_request(0, job);
    struct ledger_pots pots = {0};
    char reason[ADMISSION_REASON_SIZE] = "";
    struct ledger_verdict *verdict = malloc(sizeof *verdict);
    if (verdict == NULL)
        return error_set(err, PPT_ENOMEM, "out of memory");
    int rc = ledger_preview(db, job->spec.account, job->spec.dataset.name, &asked,
                            verdict, err);
    if (rc == 0)
        rc = ledger_path(db, job->spec.account, job->spec.dataset.name, &pots, err);
    if (rc == 0 && verdict->answer != LEDGER_ADMITTED)
        rc = admission_explain(db, job, verdict, policy, reason, err);
    if (rc != 0)
        goto out;
    if (request->is_json) {
        rc = print_dry_json(job, &pots, verdict, reason, err);
    } else {
        print_price(job);
        if (job->price.is_private)
            print_levels(&pots, &job->price.cost);
    }
    if (rc == 0 && verdict->answer == LEDGER_WAIT)
        log_info("it would wait: %s", reason);
    if (rc == 0 && verdict->answer == LEDGER_REFUSED) {
        rc = error_set(err, PPT_EBUDGET, "it would be refused: %s", reason);
        error_hint(err, "%s", verdict->hint);
    }
out:
    ledger_pots_free(&pots);
    free(verdict);
    return rc;
}

static int dry_run(struct request *request, const struct spec *spec,
                   const struct spec_policy *policy, struct error *err)
{
    struct admission_job *job = malloc(sizeof *job);
    if (job == NULL)
        return error_set(err, PPT_ENOMEM, "out of memory");
    int rc = client_connect(&request->client, "ppt-submit", err);
    if (rc == 0)
        rc = admission_price(request->client.db, spec, job, err);
    if (rc == 0) {
        rc = admission_policy(job, policy, err);
        if (rc == 0)
            rc = judge_dry(request, job, policy, err);
        admission_job_free(job);
    }
    free(job);
    return rc;
}

/* ---- for real ---- */

static void make_token(char ret_token[TOKEN_SIZE])
{
    unsigned char bytes[(TOKEN_SIZE - 1) / 2];
    crypto_random(bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(ret_token + 2 * i, 3, "%02x", bytes[i]);
}

/* The token makes it safe to ask again when an answer was lost. */
static int submit(struct request *request, const struct spec *spec, int64_t *ret_job_id,
                  struct error *err)
{
    struct client *client = &request->client;
    char token[TOKEN_SIZE], *text = NULL;
    make_token(token);
    int rc = spec_canonical(spec, &text, err);
    if (rc == 0)
        rc = client_connect(client, "ppt-submit", err);
    for (int try = 0; rc == 0; try++) {
        rc = queue_submit(client->db, spec->name, spec->account, spec->dataset.name,
                          text, token, ret_job_id, err);
        if (rc != -PPT_EDB || db_is_alive(client->db) || try == SUBMIT_TRIES)
            break;
        rc = client_reconnect(client, 10, err);
    }
    free(text);
    return rc;
}

static int print_id(const struct request *request, int64_t job_id, struct error *err)
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

static int run(struct request *request, const char *path, struct error *err)
{
    struct spec_policy policy;
    int64_t job_id;
    struct spec *spec = malloc(sizeof *spec);
    if (spec == NULL)
        return error_set(err, PPT_ENOMEM, "out of memory");
    int rc = client_policy(&request->client, &policy, err);
    if (rc == 0)
        rc = spec_read(path, &policy, spec, NULL, err);
    if (rc == 0 && request->is_dry) {
        rc = dry_run(request, spec, &policy, err);
        goto out;
    }
    if (rc == 0)
        rc = submit(request, spec, &job_id, err);
    if (rc == 0)
        rc = print_id(request, job_id, err);
    if (rc == 0 && request->waits)
        rc = client_wait(&request->client, job_id, true, err);
out:
    free(spec);
    return rc;
}

int main(int argc, char **argv)
{
    struct request request = {0};
    const struct opt options[] = {
        {"wait", 'w', OPT_FLAG, &request.waits, NULL, "follow the job to its end",
         NULL},
        {"dry-run", 'n', OPT_FLAG, &request.is_dry, NULL,
         "only show its price and what would remain", NULL},
        {"json", 0, OPT_FLAG, &request.is_json, NULL, "print a JSON object", NULL},
        CLIENT_OPTIONS(request.client),
    };
    const struct opt_program program = {
        .name = "ppt-submit",
        .usage = "FILE [OPTION]...",
        .summary = "Submits a training job described by a YAML file; prints its id.",
        .epilogue =
            "Exit status: 0 submitted (--wait: done); 10 the file is not valid;\n"
            "12 the budget would not allow it (--dry-run); 22 the job failed, was\n"
            "refused or cancelled (--wait). All: ppt-submit(1), ppt-jobspec(5).",
        .options = options,
        .n_options = sizeof options / sizeof *options,
        .min_operands = 1,
        .max_operands = 1,
    };
    struct error err = {0};
    int n_operands;
    log_init("ppt-submit", false);
    int rc = opt_parse(&program, argc, argv, &n_operands, &err);
    if (rc == 0)
        rc = run(&request, argv[1], &err);
    client_close(&request.client);
    return rc == 0 ? 0 : log_error(&err);
}
