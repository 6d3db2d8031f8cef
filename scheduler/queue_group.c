/* Several jobs started, or found done, by one call. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "scheduler/queue.h"

static int starts_text(const struct queue_start *starts, int n, char **ret_text,
                       struct error *err)
{
    struct json json = {0};
    json_array(&json, NULL);
    for (int i = 0; i < n; i++) {
        json_object(&json, NULL);
        json_integer(&json, "id", starts[i].job_id);
        json_string(&json, "directory", starts[i].directory);
        json_integer(&json, "pid", starts[i].pid);
        json_close_object(&json);
    }
    json_close_array(&json);
    return json_end(&json, ret_text, err);
}

int queue_start_group(struct db *db, const struct ledger_lease *lease, const char *host,
                      struct queue_start *starts, int n, struct error *err)
{
    struct db_params params = {0};
    struct db_result *result = NULL;
    char *text = NULL;
    int rc = starts_text(starts, n, &text, err);
    if (rc != 0)
        return rc;
    db_param_int64(&params, lease->epoch);
    db_param_text(&params, text);
    db_param_text(&params, host);
    rc = db_run(db, "SELECT job_id, attempt FROM ppt.queue_start_group($1, $2, $3)",
                &params, &result, err);
    for (int i = 0; rc == 0 && i < n; i++) {
        starts[i].attempt = 0;
        for (int row = 0; row < db_rows(result); row++)
            if (db_int64(result, row, 0) == starts[i].job_id)
                starts[i].attempt = db_int64(result, row, 1);
    }
    db_result_free(result);
    free(text);
    return rc;
}

static int bills_text(const struct queue_bill *bills, int n, char **ret_text,
                      struct error *err)
{
    struct json json = {0};
    json_array(&json, NULL);
    for (int i = 0; i < n; i++) {
        const struct queue_outcome *outcome = &bills[i].outcome;
        json_object(&json, NULL);
        json_integer(&json, "id", bills[i].job_id);
        json_number(&json, "epsilon_spent", outcome->epsilon_spent);
        json_integer(&json, "n_steps_done", outcome->n_steps_done);
        if (outcome->has_test_accuracy)
            json_number(&json, "test_accuracy", outcome->test_accuracy);
        json_number(&json, "wall_s", outcome->wall_s);
        if (outcome->model != NULL)
            json_string(&json, "model", outcome->model);
        json_close_object(&json);
    }
    json_close_array(&json);
    return json_end(&json, ret_text, err);
}

int queue_done_group(struct db *db, const struct ledger_lease *lease,
                     const struct queue_bill *bills, int n, bool *ret_is_done,
                     struct error *err)
{
    struct db_params params = {0};
    struct db_result *result = NULL;
    const struct cost *spent = &bills[0].outcome.spent;
    char *text = NULL, *rho = ledger_amount_text(spent);
    int rc = rho == NULL ? error_set(err, PPT_ENOMEM, "no memory for a cost")
                         : bills_text(bills, n, &text, err);
    if (rc != 0)
        goto out;
    db_param_int64(&params, lease->epoch);
    db_param_text(&params, text);
    db_param_text(&params, unit_name(spent->unit));
    db_param_text(&params, relation_name(spent->relation));
    db_param_text(&params, rho);
    db_param_int64(&params, spent->delta);
    rc = db_run(db, "SELECT ppt.queue_done_group($1, $2, $3, $4, $5, $6)", &params,
                &result, err);
    if (rc == 0)
        *ret_is_done = db_bool(result, 0, 0);
out:
    db_result_free(result);
    free(text);
    free(rho);
    return rc;
}
