#include "scheduler/allocation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scheduler/queue.h"

#define SIGNATURE_HEX_SIZE (2 * CRYPTO_SIGNATURE_SIZE + 1)

static const char *const wish_names[] = {"", "stop", "kill"};

/* ---- the officer's ---- */

int allocation_allow(struct db *db, const char *dataset, bool is_allowed,
                     const char *reason, struct error *err)
{
    struct db_params params = {0};
    db_param_text(&params, dataset);
    db_param_bool(&params, is_allowed);
    db_param_text(&params, reason);
    return db_run(db, "SELECT ppt.dataset_access_set($1, $2, $3)", &params, NULL, err);
}

/* ---- the user's side ---- */

int allocation_may(struct db *db, const char *dataset, struct error *err)
{
    struct db_params params = {0};
    db_param_text(&params, dataset);
    return db_run(db, "SELECT ppt.require_in_allocations($1)", &params, NULL, err);
}

int allocation_submit(struct db *db, const char *name, const char *account,
                      const char *dataset, const char *spec_text, const char *token,
                      const char *base, const char *place, int64_t uid,
                      int64_t *ret_job_id, struct error *err)
{
    const char *const texts[] = {name, account, dataset, spec_text, token, base, place};
    struct db_params params = {0};
    struct db_result *result = NULL;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        db_param_text(&params, texts[i]);
    db_param_int64(&params, uid);
    int rc = db_run(db, "SELECT ppt.allocation_submit($1, $2, $3, $4, $5, $6, $7, $8)",
                    &params, &result, err);
    if (rc == 0)
        *ret_job_id = db_int64(result, 0, 0);
    db_result_free(result);
    return rc;
}

int allocation_submit_sweep(struct db *db, const struct queue_sweep *sweep,
                            const char *base, const char *place, int64_t uid,
                            int64_t *ret_sweep_id, struct error *err)
{
    struct db_params params = {0};
    struct db_result *result = NULL;
    db_param_text(&params, sweep->name);
    db_param_text(&params, sweep->account);
    db_param_text(&params, sweep->dataset);
    db_param_text(&params, sweep->jobs);
    db_param_text(&params, sweep->token);
    db_param_bool(&params, sweep->is_together);
    db_param_text(&params, base);
    db_param_text(&params, place);
    db_param_int64(&params, uid);
    int rc = db_run(
        db, "SELECT ppt.allocation_submit_sweep($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        &params, &result, err);
    if (rc == 0)
        *ret_sweep_id = db_int64(result, 0, 0);
    db_result_free(result);
    return rc;
}

int allocation_place(struct db *db, int64_t job_id,
                     char ret_place[ALLOCATION_PLACE_SIZE], struct error *err)
{
    struct db_params params = {0};
    struct db_result *result = NULL;
    db_param_int64(&params, job_id);
    int rc = db_run(db, "SELECT place FROM ppt.allocation WHERE job_id = $1", &params,
                    &result, err);
    if (rc != 0)
        return rc;
    ret_place[0] = '\0';
    if (db_rows(result) == 1)
        db_copy(result, 0, 0, ret_place, ALLOCATION_PLACE_SIZE);
    db_result_free(result);
    return 0;
}

static void signature_text(const unsigned char signature[CRYPTO_SIGNATURE_SIZE],
                           char ret_text[SIGNATURE_HEX_SIZE])
{
    for (size_t i = 0; i < CRYPTO_SIGNATURE_SIZE; i++)
        snprintf(ret_text + 2 * i, 3, "%02x", signature[i]);
}

static bool parse_signature(const char *text,
                            unsigned char ret_signature[CRYPTO_SIGNATURE_SIZE])
{
    unsigned byte;
    int n;
    if (strlen(text) != SIGNATURE_HEX_SIZE - 1)
        return false;
    for (size_t i = 0; i < CRYPTO_SIGNATURE_SIZE; i++) {
        if (sscanf(text + 2 * i, "%2x%n", &byte, &n) != 1 || n != 2)
            return false;
        ret_signature[i] = (unsigned char)byte;
    }
    return true;
}

static int read_plan(const struct db_result *result, struct allocation_plan *ret_plan,
                     struct error *err)
{
    struct allocation_plan plan = {.attempt = db_int64(result, 0, 0),
                                   .plan = db_strdup(result, 0, 1),
                                   .manifest = db_strdup(result, 0, 3)};
    int rc = 0;
    if (plan.plan == NULL || plan.manifest == NULL)
        rc = error_set(err, PPT_ENOMEM, "no memory for a plan");
    else if (!parse_signature(db_text(result, 0, 2), plan.signature))
        rc = error_set(err, PPT_ETRUST, "the plan's signature is none");
    if (rc != 0)
        allocation_plan_free(&plan);
    else
        *ret_plan = plan;
    return rc;
}

int allocation_take(struct db *db, int64_t job_id, const char *token,
                    struct allocation_plan *ret_plan, bool *ret_is_there,
                    struct error *err)
{
    struct db_params params = {0};
    struct db_result *result = NULL;
    db_param_int64(&params, job_id);
    db_param_text(&params, token);
    int rc =
        db_run(db, "SELECT * FROM ppt.allocation_take($1, $2)", &params, &result, err);
    bool is_there = rc == 0 && db_rows(result) == 1;
    if (is_there)
        rc = read_plan(result, ret_plan, err);
    if (rc == 0)
        *ret_is_there = is_there;
    db_result_free(result);
    return rc;
}

void allocation_plan_free(struct allocation_plan *plan)
{
    free(plan->plan);
    free(plan->manifest);
    plan->plan = plan->manifest = NULL;
}

int allocation_beat(struct db *db, int64_t job_id, const char *token,
                    enum allocation_wish *ret_wish, struct error *err)
{
    struct db_params params = {0};
    struct db_result *result = NULL;
    db_param_int64(&params, job_id);
    db_param_text(&params, token);
    int rc = db_run(db, "SELECT ppt.allocation_beat($1, $2)", &params, &result, err);
    if (rc != 0)
        return rc;
    *ret_wish = ALLOCATION_NONE;
    for (int i = ALLOCATION_STOP; i <= ALLOCATION_KILL; i++)
        if (strcmp(db_text(result, 0, 0), wish_names[i]) == 0)
            *ret_wish = (enum allocation_wish)i;
    db_result_free(result);
    return 0;
}

int allocation_end(struct db *db, int64_t job_id, const char *token,
                   const struct report *report, struct error *err)
{
    struct db_params params = {0};
    db_param_int64(&params, job_id);
    db_param_text(&params, token);
    db_param_text(&params, report_outcome_name(report->outcome));
    db_param_int64(&params, report->error_code);
    db_param_text(&params, report->error_text);
    db_param_int64(&params, report->n_steps);
    if (report->has_test_accuracy)
        db_param_double(&params, report->test_accuracy);
    else
        db_param_text(&params, NULL);
    db_param_double(&params, report->wall_s);
    db_param_text(&params, report->model);
    return db_run(db, "SELECT ppt.allocation_end($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                  &params, NULL, err);
}

/* ---- the scheduler's side ---- */

int allocation_offer(struct db *db, const struct ledger_lease *lease, int64_t job_id,
                     int64_t attempt, const char *plan,
                     const unsigned char signature[CRYPTO_SIGNATURE_SIZE],
                     struct error *err)
{
    struct db_params params = {0};
    char hex[SIGNATURE_HEX_SIZE];
    signature_text(signature, hex);
    db_param_int64(&params, lease->epoch);
    db_param_int64(&params, job_id);
    db_param_int64(&params, attempt);
    db_param_text(&params, plan);
    db_param_text(&params, hex);
    return db_run(db, "SELECT ppt.allocation_offer($1, $2, $3, $4, $5)", &params, NULL,
                  err);
}

static enum report_outcome outcome_of(const char *name)
{
    for (int i = 0; i < REPORT_N; i++)
        if (strcmp(name, report_outcome_name((enum report_outcome)i)) == 0)
            return (enum report_outcome)i;
    return REPORT_FAILED;
}

static void read_report(const struct db_result *r, struct report *report)
{
    report->outcome = outcome_of(db_text(r, 0, 4));
    report->error_code = (int)db_int64(r, 0, 5);
    db_copy(r, 0, 6, report->error_text, sizeof report->error_text);
    report->n_steps = db_int64(r, 0, 7);
    report->has_test_accuracy = !db_is_null(r, 0, 8);
    report->test_accuracy = db_double(r, 0, 8);
    report->wall_s = db_double(r, 0, 9);
    db_copy(r, 0, 10, report->model, sizeof report->model);
}

int allocation_look(struct db *db, const struct ledger_lease *lease, int64_t job_id,
                    int64_t attempt, struct allocation_look *ret_look,
                    struct error *err)
{
    static const char *const lives[] = {"queued", "alive", "gone", "never"};
    struct allocation_look look = {.report = {.job_id = job_id, .attempt = attempt}};
    struct db_params params = {0};
    struct db_result *r = NULL;
    int life = 0;
    db_param_int64(&params, lease->epoch);
    db_param_int64(&params, job_id);
    db_param_int64(&params, attempt);
    db_param_int64(&params, ALLOCATION_PATIENCE_S);
    int rc = db_run(db,
                    "SELECT life, is_late, ran_s, silent_s, (report).outcome,"
                    " (report).error_code, (report).error_text, (report).n_steps,"
                    " (report).test_accuracy, (report).wall_s, (report).model"
                    " FROM ppt.allocation_look($1, $2, $3, $4)",
                    &params, &r, err);
    if (rc != 0)
        return rc;
    while (life < ALLOCATION_NEVER && strcmp(db_text(r, 0, 0), lives[life]) != 0)
        life++;
    look.life = (enum allocation_life)life;
    look.is_late = db_bool(r, 0, 1);
    look.ran_s = db_int64(r, 0, 2);
    look.silent_s = db_int64(r, 0, 3);
    look.has_report = !db_is_null(r, 0, 4);
    if (look.has_report)
        read_report(r, &look.report);
    db_result_free(r);
    *ret_look = look;
    return 0;
}

int allocation_stop(struct db *db, const struct ledger_lease *lease, int64_t job_id,
                    enum allocation_wish wish, struct error *err)
{
    struct db_params params = {0};
    db_param_int64(&params, lease->epoch);
    db_param_int64(&params, job_id);
    db_param_text(&params, wish_names[wish]);
    return db_run(db, "SELECT ppt.allocation_stop($1, $2, $3)", &params, NULL, err);
}
