/* The ledger seen from C: accounts, data sets, limits; reserve, settle, show. The rules
 * are SQL functions (sql/), each of these calls one.
 *
 * A pot is where cost gathers against a limit: (account, all data), (account, one data
 * set) or (one data set over all accounts). A job is charged to every pot on its
 * account's path and to its data set's, or to none. Amounts are integers in 2^-40 nat
 * (jobs/privacy/cost.h); the caps are the weighted ones, rounded down.
 */
#ifndef PPT_SCHEDULER_LEDGER_H
#define PPT_SCHEDULER_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "jobs/privacy/cost.h"
#include "scheduler/db.h"

#define LEDGER_PATH_SIZE 1024
#define LEDGER_NAME_SIZE 128
#define LEDGER_TEXT_SIZE 512

/* ---- the scheduler's right to write ---- */

struct ledger_lease {
    char holder[LEDGER_NAME_SIZE];
    int64_t epoch; /* rises with every change of holder; fences every write */
};

/* Takes the lease if it is free, expired or was this holder's. `holder` must be unique
 * among living schedulers (host and locked state directory, say): its predecessor of
 * the same name is taken for dead. Login must be in ppt_scheduler.
 * Errors: PPT_ESTATE (another holds it; the text says who and until when), PPT_EPERM.
 */
int ledger_lease_acquire(struct db *db, const char *holder, int64_t ttl_s,
                         struct ledger_lease *ret_lease, struct error *err);

/* Errors: PPT_ESTATE (lost: another epoch stands; stop at once). */
int ledger_lease_renew(struct db *db, const struct ledger_lease *lease, int64_t ttl_s,
                       struct error *err);

/* Gives it back so that another need not wait. Losing it first is no error. */
int ledger_lease_release(struct db *db, const struct ledger_lease *lease,
                         struct error *err);

/* ---- reserve and settle ---- */

/* What a job asks for: computed by the scheduler from the spec, never by the client. */
struct ledger_request {
    int64_t job_id;
    bool is_private; /* false: nothing is charged; only on data registered as public */
    struct cost cost;
    /* shown, not enforced */
    double epsilon, delta, noise_multiplier, sample_rate;
    int64_t n_steps;
    /* from the spec, kept with the job for choosing what starts next */
    char kind[16]; /* "dp" */
    int64_t priority, time_limit_s;
    int64_t n_ranks, n_cores, memory_bytes; /* cores and memory of all ranks together */
};

/* In what a pot counts, for ever: "renyi" takes every job, by its curve; "gaussian"
 * only jobs that have a mu2 (jobs/privacy/cost.h), and of those more. */
enum ledger_currency { LEDGER_RENYI, LEDGER_GAUSSIAN };
const char *ledger_currency_name(enum ledger_currency currency);

/* One pot with its limit in force. Orders are indexed like cost_orders. */
struct ledger_pot {
    int64_t pot_id;
    char account[LEDGER_PATH_SIZE]; /* "" : the data set over all accounts */
    char dataset[LEDGER_NAME_SIZE]; /* "" : all data */
    bool has_limit; /* false in ledger_show for an account without a pot: amounts 0 */
    enum privacy_unit unit;
    enum privacy_relation relation;
    double epsilon, delta; /* the published guarantee */
    int64_t delta_own;     /* 2^-62: the part of delta kept for jobs' own deltas */
    char granted_by[LEDGER_NAME_SIZE];
    int64_t granted_at_s;                /* Unix time */
    int64_t reserved_delta, spent_delta; /* 2^-62 */
    double weights[COST_N_ORDERS];
    int64_t caps[COST_N_ORDERS];     /* -1: the order is not usable */
    int64_t reserved[COST_N_ORDERS]; /* COST_INFINITE where saturated */
    int64_t spent[COST_N_ORDERS];
    /* Of a pot in currency gaussian, in 2^-40; its orders are then unused (cap -1) and
     * without amounts. 0 in currency renyi. */
    enum ledger_currency currency;
    int64_t cap_mu2, reserved_mu2, spent_mu2;
};

struct ledger_pots {
    struct ledger_pot *pots;
    int n;
};

enum ledger_answer { LEDGER_ADMITTED, LEDGER_WAIT, LEDGER_REFUSED };

struct ledger_verdict {
    enum ledger_answer answer;
    /* Why not, and what to do; "" if admitted. One sentence each, ready to show. */
    char reason[LEDGER_TEXT_SIZE];
    char hint[LEDGER_TEXT_SIZE];
    /* The pot in the way, as it stood; has_pot false where none is (a limit is missing,
     * data not public). Its caps - spent - reserved is what would have fitted now, its
     * caps - spent what can ever fit again under this limit. */
    bool has_pot;
    struct ledger_pot pot;
};

/* In one transaction: every pot of the job has an order at which spent + reserved +
 * cost <= cap and room for the cost's delta -> all are charged and the job is moved to
 * *admitted*. Otherwise nothing is written: LEDGER_WAIT if all would fit once other
 * jobs' reservations were released, else LEDGER_REFUSED; the caller then moves the job.
 * Idempotent: an admitted job asked for again with the same cost is LEDGER_ADMITTED.
 * Errors: PPT_ESTATE (lease lost; job neither submitted nor waiting), PPT_ENOTFOUND,
 * PPT_EDB. */
int ledger_reserve(struct db *db, const struct ledger_lease *lease,
                   const struct ledger_request *request,
                   struct ledger_verdict *ret_verdict, struct error *err);

/* ledger_reserve for n jobs at once, each at this price (request->job_id is not used),
 * in one transaction: all are admitted or none is. *ret_is_admitted false, and nothing
 * is written: they are not all submitted or waiting, not of one account and data set,
 * or there is no room for their sum; ask for each alone then. The same jobs are
 * admitted as by asking for each in turn, never more. Errors: PPT_ESTATE (lease lost),
 * PPT_ERANGE. */
int ledger_reserve_group(struct db *db, const struct ledger_lease *lease,
                         const struct ledger_request *request, const int64_t *job_ids,
                         int n, bool *ret_is_admitted, struct error *err);

/* What ledger_reserve would say now, writing nothing, for a job not submitted yet; also
 * for submitters (--dry-run). request->job_id is not used. Errors: PPT_ENOTFOUND,
 * PPT_EPERM (not a member of the account). */
int ledger_preview(struct db *db, const char *account, const char *dataset,
                   const struct ledger_request *request,
                   struct ledger_verdict *ret_verdict, struct error *err);

/* The cost as the database takes it, "{...}": the curve, then mu2 if there is one. NULL
 * without memory; the caller's to free. */
char *ledger_amount_text(const struct cost *cost);

/* Debits what was used and releases the rest of the job's reservation. spent <= what
 * was reserved at every order. Never refused for want of budget. Idempotent: the same
 * amounts again do nothing, others are PPT_ESTATE. A job that reserved nothing may
 * settle zero. queue_finish does this and the job's last move in one transaction.
 * Errors: PPT_ESTATE, PPT_ERANGE (more than reserved, other unit), PPT_ENOTFOUND. */
int ledger_settle(struct db *db, const struct ledger_lease *lease, int64_t job_id,
                  const struct cost *spent, struct error *err);

/* What the job has reserved (as first reserved, also after settling), for settling a
 * lost job in full. Zero cost for a job that reserved nothing. Errors: PPT_ENOTFOUND.
 */
int ledger_reserved(struct db *db, int64_t job_id, struct cost *ret_cost,
                    struct error *err);

/* ---- the officer's work ---- */

/* path: "acme" or "acme/research"; the parent must exist. Words of letters, digits, _ .
 * -, at most 16 deep. Errors: PPT_EEXISTS, PPT_ENOTFOUND (parent), PPT_ERANGE,
 * PPT_EPERM. */
int ledger_account_create(struct db *db, const char *path, struct error *err);

/* Members of an account may submit to it and to every account below it.
 * Errors: PPT_ENOTFOUND, PPT_EPERM. Adding twice or removing nobody is no error. */
int ledger_member_add(struct db *db, const char *account, const char *login,
                      struct error *err);
int ledger_member_remove(struct db *db, const char *account, const char *login,
                         struct error *err);

struct ledger_dataset {
    char name[LEDGER_NAME_SIZE];
    char file[LEDGER_PATH_SIZE]; /* absolute, of the HDF5 file */
    char *manifest;              /* its text; on output the caller's (dataset_free) */
    char manifest_sha256[65];    /* output only */
    enum privacy_unit unit;
    enum privacy_relation relation;
    bool is_public; /* nobody's secret: jobs without privacy may use it uncharged */
};

/* Registers it with its own limit over all accounts, in one transaction; currency as in
 * struct ledger_grant. With dataset->is_public, epsilon may be 0: then no limit, and
 * only jobs without privacy. Errors: PPT_EEXISTS, PPT_ERANGE, PPT_EPERM. */
int ledger_dataset_add(struct db *db, const struct ledger_dataset *dataset,
                       double epsilon, double delta, const char *currency,
                       const char *reason, struct error *err);

/* Errors: PPT_ENOTFOUND. Caller calls ledger_dataset_free. */
int ledger_dataset_find(struct db *db, const char *name,
                        struct ledger_dataset *ret_dataset, struct error *err);
void ledger_dataset_free(struct ledger_dataset *dataset);

struct ledger_grant {
    const char *account; /* NULL: the data set over all accounts */
    const char *dataset; /* NULL: all data */
    double epsilon, delta;
    double delta_own; /* part of delta kept for jobs' own deltas; mostly 0 */
    /* Of a pot over all data; a pot of one data set takes the data set's. */
    enum privacy_unit unit;
    enum privacy_relation relation;
    const char *reason; /* written into the history */
    /* "renyi", "gaussian"; NULL: the pot's own, renyi for its first limit. */
    const char *currency;
};

/* A new limit in force from now on. The first one makes the pot and fixes its unit,
 * relation, currency and weights for ever; jobs already run under it count. An increase
 * is a new published guarantee. A decrease below what is spent and reserved is refused.
 * Errors: PPT_ENOTFOUND, PPT_ERANGE (no order usable; other unit or currency),
 * PPT_EBUDGET (below what is spent and reserved), PPT_EPERM. */
int ledger_grant(struct db *db, const struct ledger_grant *grant, struct error *err);

/* ---- reading ---- */

/* The pots of an account and of all below it, or of all accounts and data sets if
 * account is NULL: by path, all data before single data sets, then the data sets' own.
 * An account without a limit has one row with has_limit false. A submitter sees the
 * accounts above and below those he is a member of. Caller calls ledger_pots_free.
 * Errors: PPT_ENOTFOUND. */
int ledger_show(struct db *db, const char *account, struct ledger_pots *ret_pots,
                struct error *err);

/* The pots a job of this account on this data set would be charged to, from the top
 * account down, the data set's own last. Errors: PPT_ENOTFOUND (or not visible). */
int ledger_path(struct db *db, const char *account, const char *dataset,
                struct ledger_pots *ret_pots, struct error *err);
void ledger_pots_free(struct ledger_pots *pots);

/* cap - spent - reserved at each order, -1 where the order is not usable or overdrawn.
 * cost_epsilon's arithmetic can turn it into a figure. */
void ledger_remaining(const struct ledger_pot *pot,
                      int64_t ret_remaining[COST_N_ORDERS]);

/* True if the pot has room for this cost now (the filter's rule; unit, relation and
 * delta too). For showing; the database decides. */
bool ledger_fits(const struct ledger_pot *pot, const struct cost *cost);

/* One line of the history: a grant, or an entry of a job. */
struct ledger_event {
    int64_t at_s;                   /* Unix time */
    char what[16];                  /* "grant", "reserve", "spend", "release" */
    char account[LEDGER_PATH_SIZE]; /* of the grant or of the job */
    char dataset[LEDGER_NAME_SIZE];
    char login[LEDGER_NAME_SIZE]; /* who granted, who submitted the job */
    int64_t job_id;               /* 0 for a grant */
    char job_name[LEDGER_NAME_SIZE];
    char reason[LEDGER_TEXT_SIZE]; /* of a grant */
    double epsilon, delta;         /* of a grant */
    struct cost cost;              /* of an entry */
};

struct ledger_events {
    struct ledger_event *events;
    int n;
};

/* Newest last, the last `limit` (<= 0: all) of those that touch this account or any
 * below it (NULL: all), and this data set (NULL: all). Caller calls
 * ledger_events_free. */
int ledger_history(struct db *db, const char *account, const char *dataset, int limit,
                   struct ledger_events *ret_events, struct error *err);
void ledger_events_free(struct ledger_events *events);

/* Recomputes every balance from the entries. *ret_n_faults 0 if all agree; else the
 * first ones are in err->detail while 0 is still returned. */
int ledger_check(struct db *db, int *ret_n_faults, struct error *err);

#endif
