#include "scheduler/ledger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Columns of the view ppt.budget, in the order in which read_pot takes them. */
#define POT_COLUMNS(p)                                                                 \
    p "pot_id, " p "account, " p "dataset, " p "unit, " p "relation, " p "epsilon, " p \
      "delta, " p "delta_own, " p "granted_by, extract(epoch FROM " p                  \
      "granted_at)::bigint, " p "reserved_delta, " p "spent_delta, " p "weights, " p   \
      "caps, " p "reserved, " p "spent, " p "currency"

/* An entry's curve is rho[1:ORDERS], its mu^2 rho[1 + ORDERS]. */
#define AS_TEXT(x) #x
#define EXPANDED(x) AS_TEXT(x)
#define ORDERS EXPANDED(COST_N_ORDERS)

/* ---- reading rows ---- */

static int read_unit(const struct db_result *result, int row, int column,
                     enum privacy_unit *ret_unit, enum privacy_relation *ret_relation,
                     struct error *err)
{
    int unit = unit_from_name(db_text(result, row, column));
    int relation = relation_from_name(db_text(result, row, column + 1));
    if (unit < 0 || relation < 0)
        return error_set(err, PPT_EDB, "the database sent an unknown unit (%s, %s)",
                         db_text(result, row, column),
                         db_text(result, row, column + 1));
    *ret_unit = (enum privacy_unit)unit;
    *ret_relation = (enum privacy_relation)relation;
    return 0;
}

/* caps, reserved and spent from column c on: one number each in currency gaussian, one
 * an order in currency renyi. */
static int read_amounts(const struct db_result *result, int row, int c,
                        struct ledger_pot *pot, struct error *err)
{
    if (pot->currency == LEDGER_GAUSSIAN) {
        for (int i = 0; i < COST_N_ORDERS; i++)
            pot->caps[i] = -1;
        int rc = db_int64_array(result, row, c, 1, &pot->cap_mu2, err);
        if (rc == 0)
            rc = db_int64_array(result, row, c + 1, 1, &pot->reserved_mu2, err);
        return rc == 0 ? db_int64_array(result, row, c + 2, 1, &pot->spent_mu2, err)
                       : rc;
    }
    int rc = db_double_array(result, row, c - 1, COST_N_ORDERS, pot->weights, err);
    if (rc == 0)
        rc = db_int64_array(result, row, c, COST_N_ORDERS, pot->caps, err);
    if (rc == 0)
        rc = db_int64_array(result, row, c + 1, COST_N_ORDERS, pot->reserved, err);
    if (rc == 0)
        rc = db_int64_array(result, row, c + 2, COST_N_ORDERS, pot->spent, err);
    return rc;
}

/* One pot from column c on; amounts stay 0 where the account has no limit. */
static int read_pot(const struct db_result *result, int row, int c,
                    struct ledger_pot *ret_pot, struct error *err)
{
    struct ledger_pot *pot = ret_pot;
    *pot = (struct ledger_pot){.has_limit = !db_is_null(result, row, c)};
    db_copy(result, row, c + 1, pot->account, sizeof pot->account);
    if (!pot->has_limit)
        return 0;
    pot->pot_id = db_int64(result, row, c);
    db_copy(result, row, c + 2, pot->dataset, sizeof pot->dataset);
    int rc = read_unit(result, row, c + 3, &pot->unit, &pot->relation, err);
    if (rc < 0)
        return rc;
    pot->epsilon = db_double(result, row, c + 5);
    pot->delta = db_double(result, row, c + 6);
    pot->delta_own = db_int64(result, row, c + 7);
    db_copy(result, row, c + 8, pot->granted_by, sizeof pot->granted_by);
    pot->granted_at_s = db_int64(result, row, c + 9);
    pot->reserved_delta = db_int64(result, row, c + 10);
    pot->spent_delta = db_int64(result, row, c + 11);
    if (strcmp(db_text(result, row, c + 16), "gaussian") == 0)
        pot->currency = LEDGER_GAUSSIAN;
    return read_amounts(result, row, c + 13, pot, err);
}

static int read_pots(const struct db_result *result, struct ledger_pots *ret_pots,
                     struct error *err)
{
    int n = db_rows(result);
    struct ledger_pot *pots = calloc(n > 0 ? (size_t)n : 1, sizeof *pots);
    if (!pots)
        return error_set(err, PPT_ENOMEM, "no memory for %d limits", n);
    for (int i = 0; i < n; i++) {
        int rc = read_pot(result, i, 0, &pots[i], err);
        if (rc < 0) {
            free(pots);
            return rc;
        }
    }
    *ret_pots = (struct ledger_pots){pots, n};
    return 0;
}

/* answer, reason, hint, then the pot. */
static int read_verdict(const struct db_result *result,
                        struct ledger_verdict *ret_verdict, struct error *err)
{
    struct ledger_verdict verdict = {0};
    const char *answer = db_text(result, 0, 0);
    verdict.answer = strcmp(answer, "admitted") == 0 ? LEDGER_ADMITTED
                     : strcmp(answer, "wait") == 0   ? LEDGER_WAIT
                                                     : LEDGER_REFUSED;
    db_copy(result, 0, 1, verdict.reason, sizeof verdict.reason);
    db_copy(result, 0, 2, verdict.hint, sizeof verdict.hint);
    int rc = read_pot(result, 0, 3, &verdict.pot, err);
    verdict.has_pot = verdict.pot.has_limit;
    if (rc == 0)
        *ret_verdict = verdict;
    return rc;
}

/* ---- sending costs ---- */

const char *ledger_currency_name(enum ledger_currency currency)
{
    return currency == LEDGER_GAUSSIAN ? "gaussian" : "renyi";
}

char *ledger_amount_text(const struct cost *cost)
{
    int64_t amount[COST_N_ORDERS + 1];
    memcpy(amount, cost->rho, sizeof cost->rho);
    amount[COST_N_ORDERS] = cost->mu2;
    return db_int64_array_text(amount, COST_N_ORDERS + (cost->mu2 != COST_INFINITE));
}

/* unit, relation, rho, delta. The array's text is the caller's to free. */
static int add_cost(struct db_params *params, const struct cost *cost, char **ret_text,
                    struct error *err)
{
    char *text = ledger_amount_text(cost);
    if (!text)
        return error_set(err, PPT_ENOMEM, "no memory for a cost");
    db_param_text(params, unit_name(cost->unit));
    db_param_text(params, relation_name(cost->relation));
    db_param_text(params, text);
    db_param_int64(params, cost->delta);
    *ret_text = text;
    return 0;
}

/* ---- lease ---- */

int ledger_lease_acquire(struct db *db, const char *holder, int64_t ttl_s,
                         struct ledger_lease *ret_lease, struct error *err)
{
    struct db_params params = {0};
    struct db_result *result = NULL;
    db_param_text(&params, holder);
    db_param_int64(&params, ttl_s);
    int rc = db_run(db, "SELECT ppt.lease_acquire($1, $2)", &params, &result, err);
    if (rc < 0)
        return rc;
    snprintf(ret_lease->holder, sizeof ret_lease->holder, "%s", holder);
    ret_lease->epoch = db_int64(result, 0, 0);
    db_result_free(result);
    return 0;
}

int ledger_lease_renew(struct db *db, const struct ledger_lease *lease, int64_t ttl_s,
                       struct error *err)
{
    struct db_params params = {0};
    db_param_int64(&params, lease->epoch);
    db_param_int64(&params, ttl_s);
    return db_run(db, "SELECT ppt.lease_renew($1, $2)", &params, NULL, err);
}

int ledger_lease_release(struct db *db, const struct ledger_lease *lease,
                         struct error *err)
{
    struct db_params params = {0};
    db_param_int64(&params, lease->epoch);
    return db_run(db, "SELECT ppt.lease_release($1)", &params, NULL, err);
}

/* ---- reserve and settle ---- */

/* The parameters from $3 on that admit a job at its price. */
static int add_request(struct db_params *params, const struct ledger_request *request,
                       char **ret_text, struct error *err)
{
    db_param_bool(params, request->is_private);
    int rc = add_cost(params, &request->cost, ret_text, err);
    if (rc < 0)
        return rc;
    db_param_double(params, request->epsilon);
    db_param_double(params, request->delta);
    db_param_double(params, request->noise_multiplier);
    db_param_double(params, request->sample_rate);
    db_param_int64(params, request->n_steps);
    db_param_text(params, request->kind);
    db_param_int64(params, request->priority);
    db_param_int64(params, request->n_ranks);
    db_param_int64(params, request->n_cores);
    db_param_int64(params, request->memory_bytes);
    db_param_int64(params, request->time_limit_s);
    return 0;
}

int ledger_reserve(struct db *db, const struct ledger_lease *lease,
                   const struct ledger_request *request,
                   struct ledger_verdict *ret_verdict, struct error *err)
{
    struct db_params params = {0};
    struct db_result *result = NULL;
    char *rho = NULL;
    db_param_int64(&params, lease->epoch);
    db_param_int64(&params, request->job_id);
    int rc = add_request(&params, request, &rho, err);
    if (rc < 0)
        goto out;
    rc = db_run(db,
                "SELECT v.answer, v.reason, v.hint, " POT_COLUMNS(
                    "(v.pot).") " FROM ppt.ledger_reserve($1, $2, $3, $4, $5, $6, $7,"
                                " $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,"
                                " $18) v",
                &params, &result, err);
    if (rc == 0)
        rc = read_verdict(result, ret_verdict, err);
out:
    db_result_free(result);
    free(rho);
    return rc;
}

int ledger_reserve_group(struct db *db, const struct ledger_lease *lease,
                         const struct ledger_request *request, const int64_t *job_ids,
                         int n, bool *ret_is_admitted, struct error *err)
{
    struct db_params params = {0};
    struct db_result *result = NULL;
    char *rho = NULL, *ids = db_int64_array_text(job_ids, n);
    if (ids == NULL)
        return error_set(err, PPT_ENOMEM, "no memory for %d jobs", n);
    db_param_int64(&params, lease->epoch);
    db_param_text(&params, ids);
    int rc = add_request(&params, request, &rho, err);
    if (rc == 0)
        rc = db_run(db,
                    "SELECT ppt.ledger_reserve_group($1, $2, $3, $4, $5, $6, $7, $8,"
                    " $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)",
                    &params, &result, err);
    if (rc == 0)
        *ret_is_admitted = db_bool(result, 0, 0);
    db_result_free(result);
    free(rho);
    free(ids);
    return rc;
}

int ledger_preview(struct db *db, const char *account, const char *dataset,
                   const struct ledger_request *request,
                   struct ledger_verdict *ret_verdict, struct error *err)
{
    struct db_params params = {0};
    struct db_result *result = NULL;
    char *rho = NULL;
    db_param_text(&params, account);
    db_param_text(&params, dataset);
    db_param_bool(&params, request->is_private);
    int rc = add_cost(&params, &request->cost, &rho, err);
    if (rc < 0)
        return rc;
    rc = db_run(db,
                "SELECT v.answer, v.reason, v.hint, " POT_COLUMNS(
                    "(v.pot).") " FROM ppt.ledger_preview($1, $2, $3, $4, $5, $6,"
                                " $7) v",
                &params, &result, err);
    if (rc == 0)
        rc = read_verdict(result, ret_verdict, err);
    db_result_free(result);
    free(rho);
    return rc;
}

int ledger_settle(struct db *db, const struct ledger_lease *lease, int64_t job_id,
                  const struct cost *spent, struct error *err)
{
    struct db_params params = {0};
    char *rho = NULL;
    db_param_int64(&params, lease->epoch);
    db_param_int64(&params, job_id);
    int rc = add_cost(&params, spent, &rho, err);
    if (rc < 0)
        return rc;
    rc = db_run(db, "SELECT ppt.ledger_settle($1, $2, $3, $4, $5, $6)", &params, NULL,
                err);
    free(rho);
    return rc;
}

int ledger_reserved(struct db *db, int64_t job_id, struct cost *ret_cost,
                    struct error *err)
{
    struct db_params params = {0};
    struct db_result *result = NULL;
    struct cost cost = cost_zero(UNIT_EXAMPLE, RELATION_ADD_REMOVE);
    db_param_int64(&params, job_id);
    int rc = db_run(db,
                    "SELECT e.unit, e.relation, e.rho[1:" ORDERS "], e.delta,"
                    " d.unit, d.relation, e.rho[1 + " ORDERS "]"
                    " FROM ppt.job j JOIN ppt.dataset d ON d.id = j.dataset_id"
                    " LEFT JOIN ppt.ledger_entry e"
                    " ON e.job_id = j.id AND e.kind = 'reserve' WHERE j.id = $1",
                    &params, &result, err);
    if (rc < 0)
        return rc;
    if (db_rows(result) == 0) {
        rc = error_set(err, PPT_ENOTFOUND, "there is no job %lld", (long long)job_id);
        goto out;
    }
    bool has_entry = !db_is_null(result, 0, 0);
    rc = read_unit(result, 0, has_entry ? 0 : 4, &cost.unit, &cost.relation, err);
    if (rc == 0 && has_entry) {
        rc = db_int64_array(result, 0, 2, COST_N_ORDERS, cost.rho, err);
        cost.delta = db_int64(result, 0, 3);
        cost.mu2 = db_is_null(result, 0, 6) ? COST_INFINITE : db_int64(result, 0, 6);
    }
    if (rc == 0)
        *ret_cost = cost;
out:
    db_result_free(result);
    return rc;
}

/* ---- the officer's work ---- */

int ledger_account_create(struct db *db, const char *path, struct error *err)
{
    struct db_params params = {0};
    db_param_text(&params, path);
    return db_run(db, "SELECT ppt.account_create($1)", &params, NULL, err);
}

int ledger_member_add(struct db *db, const char *account, const char *login,
                      struct error *err)
{
    struct db_params params = {0};
    db_param_text(&params, account);
    db_param_text(&params, login);
    return db_run(db, "SELECT ppt.member_add($1, $2)", &params, NULL, err);
}

int ledger_member_remove(struct db *db, const char *account, const char *login,
                         struct error *err)
{
    struct db_params params = {0};
    db_param_text(&params, account);
    db_param_text(&params, login);
    return db_run(db, "SELECT ppt.member_remove($1, $2)", &params, NULL, err);
}

int ledger_dataset_add(struct db *db, const struct ledger_dataset *dataset,
                       double epsilon, double delta, const char *currency,
                       const char *reason, struct error *err)
{
    struct db_params params = {0};
    db_param_text(&params, dataset->name);
    db_param_text(&params, dataset->file);
    db_param_text(&params, dataset->manifest);
    db_param_text(&params, unit_name(dataset->unit));
    db_param_text(&params, relation_name(dataset->relation));
    db_param_bool(&params, dataset->is_public);
    db_param_double(&params, epsilon);
    db_param_double(&params, delta);
    db_param_text(&params, reason ? reason : "");
    db_param_text(&params, currency);
    return db_run(db, "SELECT ppt.dataset_add($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
                  &params, NULL, err);
}

int ledger_dataset_find(struct db *db, const char *name,
                        struct ledger_dataset *ret_dataset, struct error *err)
{
    struct db_params params = {0};
    struct db_result *result = NULL;
    struct ledger_dataset dataset = {0};
    db_param_text(&params, name);
    int rc = db_run(db,
                    "SELECT name, file, manifest, manifest_sha256, unit, relation,"
                    " is_public FROM ppt.dataset_find($1)",
                    &params, &result, err);
    if (rc < 0)
        return rc;
    rc = read_unit(result, 0, 4, &dataset.unit, &dataset.relation, err);
    if (rc < 0)
        goto out;
    db_copy(result, 0, 0, dataset.name, sizeof dataset.name);
    db_copy(result, 0, 1, dataset.file, sizeof dataset.file);
    db_copy(result, 0, 3, dataset.manifest_sha256, sizeof dataset.manifest_sha256);
    dataset.is_public = db_bool(result, 0, 6);
    dataset.manifest = db_strdup(result, 0, 2);
    if (!dataset.manifest) {
        rc = error_set(err, PPT_ENOMEM, "no memory for a manifest");
        goto out;
    }
    *ret_dataset = dataset;
out:
    db_result_free(result);
    return rc;
}

void ledger_dataset_free(struct ledger_dataset *dataset)
{
    free(dataset->manifest);
    dataset->manifest = NULL;
}

int ledger_grant(struct db *db, const struct ledger_grant *grant, struct error *err)
{
    struct db_params params = {0};
    db_param_text(&params, grant->account);
    db_param_text(&params, grant->dataset);
    db_param_double(&params, grant->epsilon);
    db_param_double(&params, grant->delta);
    db_param_double(&params, grant->delta_own);
    db_param_text(&params, unit_name(grant->unit));
    db_param_text(&params, relation_name(grant->relation));
    db_param_text(&params, grant->reason ? grant->reason : "");
    db_param_text(&params, grant->currency);
    return db_run(db, "SELECT ppt.ledger_grant($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                  &params, NULL, err);
}

/* ---- reading ---- */

int ledger_show(struct db *db, const char *account, struct ledger_pots *ret_pots,
                struct error *err)
{
    struct db_params params = {0};
    struct db_result *result = NULL;
    db_param_text(&params, account);
    int rc = db_run(
        db,
        "SELECT " POT_COLUMNS(
            "") " FROM ("
                " SELECT 0 AS part, a.path AS at, b.pot_id, a.path AS account, "
                "b.dataset,"
                "  b.unit, b.relation, b.epsilon, b.delta, b.delta_own, b.granted_by,"
                "  b.granted_at, b.reserved_delta, b.spent_delta, b.weights, b.caps,"
                "  b.reserved, b.spent, b.currency"
                " FROM ppt.account a LEFT JOIN ppt.budget b ON b.account_id = a.id"
                " WHERE $1::text IS NULL OR a.path = $1 OR starts_with(a.path, $1 || "
                "'/')"
                " UNION ALL"
                " SELECT 1, '', b.pot_id, '', b.dataset, b.unit, b.relation, b.epsilon,"
                "  b.delta, b.delta_own, b.granted_by, b.granted_at, b.reserved_delta,"
                "  b.spent_delta, b.weights, b.caps, b.reserved, b.spent, b.currency"
                " FROM ppt.budget b WHERE b.account_id IS NULL AND $1::text IS NULL"
                ") x ORDER BY part, string_to_array(at COLLATE \"C\", '/'),"
                " dataset COLLATE \"C\"",
        &params, &result, err);
    if (rc < 0)
        return rc;
    if (account && db_rows(result) == 0) {
        error_set(err, PPT_ENOTFOUND, "there is no account \"%s\"", account);
        rc = error_hint(err, "or this login may not see it: it is no member there");
    } else {
        rc = read_pots(result, ret_pots, err);
    }
    db_result_free(result);
    return rc;
}

int ledger_path(struct db *db, const char *account, const char *dataset,
                struct ledger_pots *ret_pots, struct error *err)
{
    struct db_params params = {0};
    struct db_result *result = NULL;
    db_param_text(&params, account);
    db_param_text(&params, dataset);
    int rc = db_run(
        db,
        "SELECT " POT_COLUMNS(
            "b.") " FROM ppt.account_find($1) a CROSS JOIN ppt.dataset_find($2) d"
                  " CROSS JOIN LATERAL ppt.pots_of(a.id, d.id) o"
                  " JOIN ppt.budget b ON b.pot_id = o.pot_id ORDER BY o.place",
        &params, &result, err);
    if (rc == 0)
        rc = read_pots(result, ret_pots, err);
    db_result_free(result);
    return rc;
}

void ledger_pots_free(struct ledger_pots *pots)
{
    free(pots->pots);
    *pots = (struct ledger_pots){0};
}

void ledger_remaining(const struct ledger_pot *pot,
                      int64_t ret_remaining[COST_N_ORDERS])
{
    for (int i = 0; i < COST_N_ORDERS; i++) {
        int64_t cap = pot->caps[i];
        bool is_usable = pot->has_limit && cap >= 0 && pot->spent[i] <= cap &&
                         pot->reserved[i] <= cap - pot->spent[i];
        ret_remaining[i] = is_usable ? cap - pot->spent[i] - pot->reserved[i] : -1;
    }
}

bool ledger_fits(const struct ledger_pot *pot, const struct cost *cost)
{
    int64_t remaining[COST_N_ORDERS];
    if (!pot->has_limit || pot->unit != cost->unit || pot->relation != cost->relation ||
        cost->delta > pot->delta_own - pot->spent_delta - pot->reserved_delta)
        return false;
    if (pot->currency == LEDGER_GAUSSIAN)
        return pot->spent_mu2 <= pot->cap_mu2 &&
               pot->reserved_mu2 <= pot->cap_mu2 - pot->spent_mu2 &&
               cost->mu2 <= pot->cap_mu2 - pot->spent_mu2 - pot->reserved_mu2;
    ledger_remaining(pot, remaining);
    for (int i = 0; i < COST_N_ORDERS; i++)
        if (cost->rho[i] <= remaining[i])
            return true;
    return false;
}

static int read_event(const struct db_result *result, int row,
                      struct ledger_event *ret_event, struct error *err)
{
    struct ledger_event *event = ret_event;
    event->at_s = db_int64(result, row, 0);
    db_copy(result, row, 1, event->what, sizeof event->what);
    db_copy(result, row, 2, event->account, sizeof event->account);
    db_copy(result, row, 3, event->dataset, sizeof event->dataset);
    db_copy(result, row, 4, event->login, sizeof event->login);
    event->job_id = db_int64(result, row, 5);
    db_copy(result, row, 6, event->job_name, sizeof event->job_name);
    db_copy(result, row, 7, event->reason, sizeof event->reason);
    event->epsilon = db_double(result, row, 8);
    event->delta = db_double(result, row, 9);
    int rc = read_unit(result, row, 10, &event->cost.unit, &event->cost.relation, err);
    if (rc == 0 && !db_is_null(result, row, 12))
        rc = db_int64_array(result, row, 12, COST_N_ORDERS, event->cost.rho, err);
    event->cost.delta = db_int64(result, row, 13);
    event->cost.mu2 =
        db_is_null(result, row, 14) ? COST_INFINITE : db_int64(result, row, 14);
    return rc;
}

static int read_events(const struct db_result *result, struct ledger_events *ret_events,
                       struct error *err)
{
    int n = db_rows(result);
    struct ledger_event *events = calloc(n > 0 ? (size_t)n : 1, sizeof *events);
    if (!events)
        return error_set(err, PPT_ENOMEM, "no memory for %d lines of history", n);
    for (int i = 0; i < n; i++) {
        int rc = read_event(result, i, &events[i], err);
        if (rc < 0) {
            free(events);
            return rc;
        }
    }
    *ret_events = (struct ledger_events){events, n};
    return 0;
}

int ledger_history(struct db *db, const char *account, const char *dataset, int limit,
                   struct ledger_events *ret_events, struct error *err)
{
    struct db_params params = {0};
    struct db_result *result = NULL;
    db_param_text(&params, account);
    db_param_text(&params, dataset);
    if (limit > 0)
        db_param_int64(&params, limit);
    else
        db_param_text(&params, NULL);
    int rc = db_run(
        db,
        "SELECT extract(epoch FROM at)::bigint, what, account, dataset, login, job_id,"
        " job_name, reason, epsilon, delta, unit, relation, rho[1:" ORDERS "],"
        " own_delta, rho[1 + " ORDERS "] FROM ("
        "  SELECT * FROM ppt.history WHERE"
        "   ($1::text IS NULL OR account = $1 OR starts_with(account, $1 || '/'))"
        "   AND ($2::text IS NULL OR dataset = $2)"
        "  ORDER BY at DESC, row_id DESC LIMIT $3::bigint) h ORDER BY at, row_id",
        &params, &result, err);
    if (rc == 0)
        rc = read_events(result, ret_events, err);
    db_result_free(result);
    return rc;
}

void ledger_events_free(struct ledger_events *events)
{
    free(events->events);
    *events = (struct ledger_events){0};
}

int ledger_check(struct db *db, int *ret_n_faults, struct error *err)
{
    struct db_result *result = NULL;
    int rc = db_run(db, "SELECT fault FROM ppt.ledger_check()", NULL, &result, err);
    if (rc < 0)
        return rc;
    int n = db_rows(result);
    size_t len = 0;
    for (int i = 0; err && i < n && len + 1 < sizeof err->detail; i++)
        len += (size_t)snprintf(err->detail + len, sizeof err->detail - len, "%s%s",
                                i ? "\n" : "", db_text(result, i, 0));
    db_result_free(result);
    *ret_n_faults = n;
    return 0;
}
