#include "scheduler/db.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

/* Statements that this connection has run before. */
#define MAX_STATEMENTS 64

struct statement {
    char *sql; /* a copy */
    bool is_prepared;
};

struct db {
    PGconn *conn;
    char login[64];
    struct statement statements[MAX_STATEMENTS];
    int n_statements;
};

/* A PGresult under our own name, so that libpq's types stay behind this door. */
struct db_result {
    PGresult *rows;
};

static void ignore_notice(void *state, const PGresult *notice)
{
    (void)state;
    (void)notice;
}

/* A copy of a libpq message without the newlines at its end. */
static void copy_message(const char *message, char *ret_text, size_t size)
{
    snprintf(ret_text, size, "%s", message ? message : "");
    size_t len = strlen(ret_text);
    while (len > 0 && (ret_text[len - 1] == '\n' || ret_text[len - 1] == ' '))
        ret_text[--len] = '\0';
}

static int set_connection_error(const struct db *db, const char *what,
                                struct error *err)
{
    char text[ERROR_TEXT_SIZE];
    copy_message(PQerrorMessage(db->conn), text, sizeof text);
    error_set(err, PPT_EDB, "%s", what);
    return error_detail(err, "%s", text);
}

/* Our own SQLSTATEs are PB and the exit status. */
static enum ppt_error code_of(const char *sqlstate)
{
    if (strncmp(sqlstate, "PB", 2) == 0) {
        int status = atoi(sqlstate + 2);
        if (strcmp(error_name(status), error_name(PPT_EINTERNAL)) != 0)
            return (enum ppt_error)status;
    }
    if (strcmp(sqlstate, "42501") == 0)
        return PPT_EPERM;
    return PPT_EDB;
}

static int set_result_error(const struct db *db, const PGresult *rows,
                            struct error *err)
{
    const char *sqlstate = PQresultErrorField(rows, PG_DIAG_SQLSTATE);
    if (PQstatus(db->conn) != CONNECTION_OK || !sqlstate)
        return set_connection_error(db, "the connection to the database is lost", err);
    const char *text = PQresultErrorField(rows, PG_DIAG_MESSAGE_PRIMARY);
    const char *detail = PQresultErrorField(rows, PG_DIAG_MESSAGE_DETAIL);
    const char *hint = PQresultErrorField(rows, PG_DIAG_MESSAGE_HINT);
    enum ppt_error code = code_of(sqlstate);

    error_set(err, code, "%s", text ? text : "the database refused a statement");
    if (detail)
        error_detail(err, "%s", detail);
    if (hint)
        error_hint(err, "%s", hint);
    else if (code == PPT_EPERM)
        error_hint(err,
                   "login \"%s\" lacks the role for this: ppt_officer grants, "
                   "ppt_submitter submits, ppt_scheduler runs, ppt_reader reads",
                   db->login);
    else if (strcmp(sqlstate, "3F000") == 0 || strcmp(sqlstate, "42P01") == 0 ||
             strcmp(sqlstate, "42883") == 0)
        error_hint(err, "is this the right database? ppt-schedd --migrate prepares it");
    return -(int)code;
}

int db_open(const char *conninfo, const char *program, struct db **ret_db,
            struct error *err)
{
    /* What stands before dbname are defaults that conninfo may override. */
    const char *keys[] = {"connect_timeout",
                          "keepalives_idle",
                          "tcp_user_timeout",
                          "application_name",
                          "client_encoding",
                          "dbname",
                          NULL};
    const char *values[] = {"10", "10", "30000", program, "UTF8", conninfo, NULL};
    struct db *db = calloc(1, sizeof *db);
    if (!db)
        return error_set(err, PPT_ENOMEM, "no memory for a database connection");

    db->conn = PQconnectdbParams(keys, values, 1);
    int rc = 0;
    struct db_result *result = NULL;
    if (!db->conn) {
        rc = error_set(err, PPT_ENOMEM, "no memory for a database connection");
        goto out;
    }
    if (PQstatus(db->conn) != CONNECTION_OK) {
        rc = set_connection_error(db, "the database cannot be reached", err);
        error_hint(err, "see the setting database, or PGHOST, PGDATABASE, PGUSER");
        goto out;
    }
    PQsetNoticeReceiver(db->conn, ignore_notice, NULL);
    rc = db_run(db, "SELECT session_user", NULL, &result, err);
    if (rc < 0)
        goto out;
    db_copy(result, 0, 0, db->login, sizeof db->login);
    *ret_db = db;
    db = NULL;
out:
    db_result_free(result);
    db_close(db);
    return rc;
}

void db_close(struct db *db)
{
    if (!db)
        return;
    PQfinish(db->conn);
    for (int i = 0; i < db->n_statements; i++)
        free(db->statements[i].sql);
    free(db);
}

bool db_is_alive(const struct db *db)
{
    return PQstatus(db->conn) == CONNECTION_OK;
}

const char *db_login(const struct db *db)
{
    return db->login;
}

int db_begin(struct db *db, struct error *err)
{
    return db_script(db, "BEGIN ISOLATION LEVEL READ COMMITTED", err);
}

int db_commit(struct db *db, struct error *err)
{
    PGresult *rows = PQexec(db->conn, "COMMIT");
    int rc = 0;
    if (PQresultStatus(rows) != PGRES_COMMAND_OK)
        rc = set_result_error(db, rows, err);
    else if (strcmp(PQcmdStatus(rows), "COMMIT") != 0) /* the server rolled back */
        rc = error_set(err, PPT_EDB, "the transaction had failed and is rolled back");
    PQclear(rows);
    return rc;
}

void db_rollback(struct db *db)
{
    PQclear(PQexec(db->conn, "ROLLBACK"));
}

int db_listen(struct db *db, const char *channel, struct error *err)
{
    char sql[128];
    char *quoted = PQescapeIdentifier(db->conn, channel, strlen(channel));
    if (!quoted)
        return set_connection_error(db, "this channel cannot be listened to", err);
    snprintf(sql, sizeof sql, "LISTEN %s", quoted);
    PQfreemem(quoted);
    return db_script(db, sql, err);
}

int db_socket(const struct db *db)
{
    return PQsocket(db->conn);
}

int db_drain(struct db *db, int *ret_n_notifications, struct error *err)
{
    if (!PQconsumeInput(db->conn) || PQstatus(db->conn) != CONNECTION_OK)
        return set_connection_error(db, "the connection to the database is lost", err);
    int n = 0;
    for (PGnotify *notify; (notify = PQnotifies(db->conn)) != NULL; n++)
        PQfreemem(notify);
    *ret_n_notifications = n;
    return 0;
}

static void push(struct db_params *params, const char *value)
{
    if (params->n == DB_MAX_PARAMS)
        abort(); /* our own bug: a statement with more parameters than room */
    params->values[params->n++] = value;
}

void db_param_text(struct db_params *params, const char *text)
{
    push(params, text);
}

void db_param_int64(struct db_params *params, int64_t value)
{
    push(params, "");
    int i = params->n - 1;
    snprintf(params->numbers[i], sizeof params->numbers[i], "%" PRId64, value);
    params->values[i] = params->numbers[i];
}

void db_param_double(struct db_params *params, double value)
{
    push(params, "");
    int i = params->n - 1;
    snprintf(params->numbers[i], sizeof params->numbers[i], "%.17g", value);
    params->values[i] = params->numbers[i];
}

void db_param_bool(struct db_params *params, bool value)
{
    push(params, value ? "t" : "f");
}

/* Its number, or -1: it is new, and remembered now if there is room. */
static int find_statement(struct db *db, const char *sql)
{
    for (int i = 0; i < db->n_statements; i++)
        if (strcmp(db->statements[i].sql, sql) == 0)
            return i;
    char *copy = db->n_statements < MAX_STATEMENTS ? strdup(sql) : NULL;
    if (copy)
        db->statements[db->n_statements++] = (struct statement){.sql = copy};
    return -1;
}

/* What is run a second time is prepared, so that the server parses it and plans it no
 * more: that is most of the work of a short statement. Commands run each once. */
static PGresult *execute(struct db *db, const char *sql, const struct db_params *params)
{
    const int n = params ? params->n : 0;
    const char *const *values = params ? params->values : NULL;
    const int i = find_statement(db, sql);
    char name[16];
    if (i < 0)
        return PQexecParams(db->conn, sql, n, NULL, values, NULL, NULL, 0 /* text */);
    struct statement *statement = &db->statements[i];
    snprintf(name, sizeof name, "s%d", i);
    if (!statement->is_prepared) {
        PGresult *rows = PQprepare(db->conn, name, sql, 0, NULL);
        if (PQresultStatus(rows) != PGRES_COMMAND_OK)
            return rows;
        PQclear(rows);
        statement->is_prepared = true;
    }
    return PQexecPrepared(db->conn, name, n, values, NULL, NULL, 0 /* text */);
}

int db_run(struct db *db, const char *sql, const struct db_params *params,
           struct db_result **ret_result, struct error *err)
{
    PGresult *rows = execute(db, sql, params);
    ExecStatusType status = PQresultStatus(rows);
    int rc = 0;
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
        rc = set_result_error(db, rows, err);
    } else if (ret_result) {
        struct db_result *result = malloc(sizeof *result);
        if (result) {
            result->rows = rows;
            *ret_result = result;
            return 0;
        }
        rc = error_set(err, PPT_ENOMEM, "no memory for the database's answer");
    }
    PQclear(rows);
    return rc;
}

int db_script(struct db *db, const char *sql, struct error *err)
{
    PGresult *rows = PQexec(db->conn, sql);
    ExecStatusType status = PQresultStatus(rows);
    int rc = 0;
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
        rc = set_result_error(db, rows, err);
    PQclear(rows);
    return rc;
}

void db_result_free(struct db_result *result)
{
    if (!result)
        return;
    PQclear(result->rows);
    free(result);
}

int db_rows(const struct db_result *result)
{
    return PQntuples(result->rows);
}

bool db_is_null(const struct db_result *result, int row, int column)
{
    return PQgetisnull(result->rows, row, column) == 1;
}

const char *db_text(const struct db_result *result, int row, int column)
{
    return PQgetvalue(result->rows, row, column);
}

int64_t db_int64(const struct db_result *result, int row, int column)
{
    return strtoll(db_text(result, row, column), NULL, 10);
}

double db_double(const struct db_result *result, int row, int column)
{
    return strtod(db_text(result, row, column), NULL);
}

bool db_bool(const struct db_result *result, int row, int column)
{
    return db_text(result, row, column)[0] == 't';
}

void db_copy(const struct db_result *result, int row, int column, char *ret_text,
             size_t size)
{
    snprintf(ret_text, size, "%s", db_text(result, row, column));
}

char *db_strdup(const struct db_result *result, int row, int column)
{
    if (db_is_null(result, row, column))
        return NULL;
    return strdup(db_text(result, row, column));
}

/* Walks "{a,b,c}"; `parse` reads one element and moves the cursor. */
static int parse_array(const char *text, int n, void *values,
                       bool (*parse)(const char **cursor, void *values, int i),
                       struct error *err)
{
    const char *cursor = text;
    for (int i = 0; i < n; i++) {
        if (*cursor != (i == 0 ? '{' : ','))
            goto fail;
        cursor++;
        if (!parse(&cursor, values, i))
            goto fail;
    }
    if (strcmp(cursor, n == 0 ? "{}" : "}") == 0)
        return 0;
fail:
    error_set(err, PPT_EDB, "the database sent an array that has not %d elements", n);
    return error_hint(err, "was another version of ppt used to prepare it?");
}

static bool parse_int64(const char **cursor, void *values, int i)
{
    char *end;
    errno = 0;
    ((int64_t *)values)[i] = strtoll(*cursor, &end, 10);
    bool ok = end != *cursor && errno == 0;
    *cursor = end;
    return ok;
}

static bool parse_double(const char **cursor, void *values, int i)
{
    char *end;
    ((double *)values)[i] = strtod(*cursor, &end);
    bool ok = end != *cursor;
    *cursor = end;
    return ok;
}

int db_int64_array(const struct db_result *result, int row, int column, int n,
                   int64_t *ret_values, struct error *err)
{
    return parse_array(db_text(result, row, column), n, ret_values, parse_int64, err);
}

int db_double_array(const struct db_result *result, int row, int column, int n,
                    double *ret_values, struct error *err)
{
    return parse_array(db_text(result, row, column), n, ret_values, parse_double, err);
}

char *db_int64_array_text(const int64_t *values, int n)
{
    size_t size = (size_t)n * 21 + 3, len = 0;
    char *text = malloc(size);
    if (!text)
        return NULL;
    text[len++] = '{';
    for (int i = 0; i < n; i++)
        len += (size_t)snprintf(text + len, size - len, "%s%" PRId64, i ? "," : "",
                                values[i]);
    snprintf(text + len, size - len, "}");
    return text;
}

char *db_double_array_text(const double *values, int n)
{
    size_t size = (size_t)n * 33 + 3, len = 0;
    char *text = malloc(size);
    if (!text)
        return NULL;
    text[len++] = '{';
    for (int i = 0; i < n; i++)
        len += (size_t)snprintf(text + len, size - len, "%s%.17g", i ? "," : "",
                                values[i]);
    snprintf(text + len, size - len, "}");
    return text;
}
