/* All open jobs of a sweep at once. */
#include <stdlib.h>

#include "scheduler/queue.h"

/* What is done to each of them. */
struct move {
    struct db *db;
    const struct ledger_lease *lease;
    const struct ledger_request *requests; /* admit; or NULL */
    const int64_t *ids;                    /* hold, refuse */
    const char *reason;
    int error_code; /* refuse; 0: hold */
    struct ledger_verdict *verdict;
};

static int64_t id_of(const struct move *move, int i)
{
    return move->requests != NULL ? move->requests[i].job_id : move->ids[i];
}

/* In an open transaction: whoever asked must have seen the jobs that are open now. */
static int lock(const struct move *move, int64_t sweep_id, int n, bool *ret_is_same,
                struct error *err)
{
    struct db_params params = {0};
    struct db_result *result = NULL;
    db_param_int64(&params, move->lease->epoch);
    db_param_int64(&params, sweep_id);
    int rc = db_run(move->db, "SELECT unnest(ppt.sweep_lock($1, $2))", &params, &result,
                    err);
    if (rc != 0)
        return rc;
    bool is_same = db_rows(result) == n;
    for (int i = 0; is_same && i < n; i++)
        is_same = db_int64(result, i, 0) == id_of(move, i);
    db_result_free(result);
    *ret_is_same = is_same;
    return 0;
}

static int move_one(const struct move *move, int i, bool *ret_is_done,
                    struct error *err)
{
    *ret_is_done = true;
    if (move->requests == NULL && move->error_code == 0)
        return queue_hold(move->db, move->lease, move->ids[i], move->reason, err);
    if (move->requests == NULL)
        return queue_refuse(move->db, move->lease, move->ids[i], move->reason,
                            move->error_code, err);
    int rc =
        ledger_reserve(move->db, move->lease, &move->requests[i], move->verdict, err);
    *ret_is_done = rc == 0 && move->verdict->answer == LEDGER_ADMITTED;
    return rc;
}

static int move_all(const struct move *move, int64_t sweep_id, int n, bool *ret_is_done,
                    struct error *err)
{
    bool is_done = false;
    int rc = db_begin(move->db, err);
    if (rc != 0)
        return rc;
    rc = lock(move, sweep_id, n, &is_done, err);
    for (int i = 0; rc == 0 && is_done && i < n; i++)
        rc = move_one(move, i, &is_done, err);
    if (rc == 0 && is_done)
        rc = db_commit(move->db, err);
    else
        db_rollback(move->db);
    if (rc == 0)
        *ret_is_done = is_done;
    return rc;
}

int queue_sweep_admit(struct db *db, const struct ledger_lease *lease, int64_t sweep_id,
                      const struct ledger_request *requests, int n, bool *ret_is_done,
                      struct error *err)
{
    struct move move = {.db = db,
                        .lease = lease,
                        .requests = requests,
                        .verdict = malloc(sizeof *move.verdict)};
    if (move.verdict == NULL)
        return error_set(err, PPT_ENOMEM, "out of memory admitting a sweep");
    int rc = move_all(&move, sweep_id, n, ret_is_done, err);
    free(move.verdict);
    return rc;
}

int queue_sweep_hold(struct db *db, const struct ledger_lease *lease, int64_t sweep_id,
                     const int64_t *ids, int n, const char *reason, bool *ret_is_done,
                     struct error *err)
{
    const struct move move = {.db = db, .lease = lease, .ids = ids, .reason = reason};
    return move_all(&move, sweep_id, n, ret_is_done, err);
}

int queue_sweep_refuse(struct db *db, const struct ledger_lease *lease,
                       int64_t sweep_id, const int64_t *ids, int n, const char *reason,
                       int error_code, bool *ret_is_done, struct error *err)
{
    const struct move move = {.db = db,
                              .lease = lease,
                              .ids = ids,
                              .reason = reason,
                              .error_code = error_code};
    return move_all(&move, sweep_id, n, ret_is_done, err);
}
