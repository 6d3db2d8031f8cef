/* libpq's door: one connection, one statement at a time, errors with detail and hint.
 *
 * Everything the database refuses comes back as a struct error: SQLSTATEs of our own
 * class (PB002 .. PB022, the number is the exit status) become their enum ppt_error,
 * "insufficient privilege" becomes PPT_EPERM, all else PPT_EDB. After a lost connection
 * whether the last statement was committed is unknown: every function of ledger.h and
 * queue.h that writes may be called again and then finds its own work done.
 * Not thread-safe.
 */
#ifndef PPT_SCHEDULER_DB_H
#define PPT_SCHEDULER_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct db;
struct db_result;

/* conninfo: libpq's ("host=/run/postgresql dbname=ppt", "" takes PGHOST and so on);
 * `program` is shown in pg_stat_activity. Times out after 10 s where conninfo does not
 * say otherwise. Caller closes. Errors: PPT_EDB. */
int db_open(const char *conninfo, const char *program, struct db **ret_db,
            struct error *err);
void db_close(struct db *db);

/* False after the connection was lost; close it and open another. */
bool db_is_alive(const struct db *db);

/* The server's name for this login (session_user). Valid until db_close. */
const char *db_login(const struct db *db);

/* One transaction around several calls, so that they share one commit. A call that
 * fails aborts the whole of it: then only db_rollback is possible. Read committed.
 * Several ledger calls in one transaction may deadlock with a user's cancellation: the
 * server then fails one side (PPT_EDB); roll back and make the calls one by one.
 * Errors: PPT_EDB. */
int db_begin(struct db *db, struct error *err);
int db_commit(struct db *db, struct error *err);
void db_rollback(struct db *db);

/* LISTEN on a channel (a plain identifier). db_socket is then readable when a
 * notification came; db_drain reads them all and says how many. A notification is a
 * hint and may be lost: poll as well. Errors: PPT_EDB. */
int db_listen(struct db *db, const char *channel, struct error *err);
int db_socket(const struct db *db);
int db_drain(struct db *db, int *ret_n_notifications, struct error *err);

/* ---- below: for the files of this room that speak SQL ---- */

/* Parameters $1, $2, ... of one statement; texts are not copied. Zero-initialise. */
#define DB_MAX_PARAMS 20
struct db_params {
    int n;
    const char *values[DB_MAX_PARAMS];
    char numbers[DB_MAX_PARAMS][32];
};

/* Appends one parameter. The text NULL is SQL's NULL. */
void db_param_text(struct db_params *params, const char *text);
void db_param_int64(struct db_params *params, int64_t value);
void db_param_double(struct db_params *params, double value);
void db_param_bool(struct db_params *params, bool value);

/* Runs one statement with parameters (NULL: none). ret_result may be NULL;
 * else the caller frees it. */
int db_run(struct db *db, const char *sql, const struct db_params *params,
           struct db_result **ret_result, struct error *err);

/* Runs a script of several statements without parameters; results are dropped. */
int db_script(struct db *db, const char *sql, struct error *err);

/* An answer of `db_rows` rows; rows and columns count from 0. */
void db_result_free(struct db_result *result);
int db_rows(const struct db_result *result);
bool db_is_null(const struct db_result *result, int row, int column);
/* "" for NULL. Valid until db_result_free. */
const char *db_text(const struct db_result *result, int row, int column);
/* 0, 0.0 and false for NULL. */
int64_t db_int64(const struct db_result *result, int row, int column);
double db_double(const struct db_result *result, int row, int column);
bool db_bool(const struct db_result *result, int row, int column);
/* A copy into a buffer, cut at its size. */
void db_copy(const struct db_result *result, int row, int column, char *ret_text,
             size_t size);
/* A copy of the caller's; NULL for NULL and when out of memory. */
char *db_strdup(const struct db_result *result, int row, int column);
/* Array elements (one dimension, no NULLs); -PPT_EDB unless there are exactly n. */
int db_int64_array(const struct db_result *result, int row, int column, int n,
                   int64_t *ret_values, struct error *err);
int db_double_array(const struct db_result *result, int row, int column, int n,
                    double *ret_values, struct error *err);

/* "{1,2,3}" for a parameter, NUL-terminated; caller frees; NULL when out of memory. */
char *db_int64_array_text(const int64_t *values, int n);
char *db_double_array_text(const double *values, int n);

#endif
