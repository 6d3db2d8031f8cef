#include "tests/pg/pg.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "jobs/privacy/cost.h"
#include "scheduler/migrate.h"

static char cluster[96];
static char database[64] = "ppt";

__attribute__((format(printf, 1, 2))) static void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("pg: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

static const char *source_directory(void)
{
    const char *directory = getenv("PPT_SOURCE_DIR");
    if (!directory)
        die("PPT_SOURCE_DIR is not set: run this through ctest");
    return directory;
}

const char *pg_sql_directory(void)
{
    static char path[1024];
    snprintf(path, sizeof path, "%s/sql", source_directory());
    return path;
}

static void script(const char *command, const char *arguments)
{
    char line[2048];
    snprintf(line, sizeof line, "'%s/tests/pg/pg.sh' %s '%s' %s", source_directory(),
             command, cluster, arguments);
    if (system(line) != 0)
        die("failed: %s", line);
}

static struct db *connect_to(const char *name, const char *login)
{
    struct error err = {0};
    struct db *db = NULL;
    char conninfo[256];
    snprintf(conninfo, sizeof conninfo, "host=%s dbname=%s%s%s", cluster, name,
             login ? " user=" : "", login ? login : "");
    if (db_open(conninfo, "test", &db, &err) < 0)
        die("%s: %s %s", conninfo, err.text, err.detail);
    return db;
}

void pg_start_empty(void)
{
    char owner[32];
    const char *directory = getenv("TMPDIR");
    source_directory(); /* ends here without a folder left behind */
    snprintf(cluster, sizeof cluster, "%s/ppt-pg-XXXXXX",
             directory && strlen(directory) < 40 ? directory : "/tmp");
    if (!mkdtemp(cluster))
        die("no folder for a cluster");
    /* Forked tests inherit the connection details; the cluster is this program's. */
    snprintf(owner, sizeof owner, "%d", (int)getpid());
    script("start", owner);
}

void pg_start(void)
{
    struct error err = {0};
    int n_applied;
    pg_start_empty();
    struct db *db = connect_to("ppt", NULL);
    if (migrate_apply(db, pg_sql_directory(), cost_orders, COST_N_ORDERS, &n_applied,
                      &err) < 0)
        die("migration: %s\n%s", err.text, err.detail);
    db_close(db);
    script("logins", "");
}

void pg_stop(void)
{
    script("remove", "");
}

static void create_database(const char *template)
{
    static int n_databases;
    struct error err = {0};
    char sql[160];
    /* Files are copied: twice as fast here as a log of every page. */
    snprintf(sql, sizeof sql, "CREATE DATABASE t%d_%d TEMPLATE %s STRATEGY FILE_COPY",
             (int)getpid(), ++n_databases, template);
    snprintf(database, sizeof database, "t%d_%d", (int)getpid(), n_databases);
    struct db *db = connect_to("postgres", NULL);
    if (db_script(db, sql, &err) < 0)
        die("%s: %s", sql, err.text);
    db_close(db);
}

void pg_fresh(void)
{
    create_database("ppt");
}

void pg_fresh_empty(void)
{
    create_database("template0");
}

void pg_fresh_copy(const char *original)
{
    create_database(original);
}

const char *pg_database(void)
{
    return database;
}

struct db *pg_connect(const char *login)
{
    return connect_to(database, login);
}

const char *pg_conninfo(const char *login)
{
    static char conninfo[256];
    snprintf(conninfo, sizeof conninfo, "host=%s dbname=%s%s%s", cluster, database,
             login ? " user=" : "", login ? login : "");
    return conninfo;
}

void pg_login(const char *login, const char *roles)
{
    char arguments[256];
    snprintf(arguments, sizeof arguments, "%s %s", login, roles);
    script("login", arguments);
}

void pg_kill(void)
{
    script("kill", "");
}

void pg_restart(void)
{
    script("restart", "");
}

const char *pg_query(const char *sql)
{
    static char text[4096];
    struct error err = {0};
    struct db_result *result = NULL;
    struct db *db = pg_connect(NULL);
    if (db_run(db, sql, NULL, &result, &err) < 0)
        die("%s: %s", sql, err.text);
    int n = db_rows(result);
    snprintf(text, sizeof text, "%s", n > 0 ? db_text(result, n - 1, 0) : "");
    db_result_free(result);
    db_close(db);
    return text;
}
