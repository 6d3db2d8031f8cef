/* A private PostgreSQL for C tests: one cluster a program, one database a test.
 *
 * Failures end the program with words on stderr: a test without its server proves
 * nothing. The cluster goes when the program ends, however it ends.
 */
#ifndef PPT_TESTS_PG_PG_H
#define PPT_TESTS_PG_PG_H

#include "scheduler/db.h"

/* Starts a cluster, migrates its database "ppt" with the files of sql/, makes the
 * logins officer, scheduler, reader, alice and bob. */
void pg_start(void);

/* The same without migration and logins. */
void pg_start_empty(void);

/* Stops and removes it. */
void pg_stop(void);

/* A new copy of the migrated database, which the functions below then use. */
void pg_fresh(void);

/* The same with an empty database. */
void pg_fresh_empty(void);

/* The same with a copy of another database of ours, to which nobody may be connected.
 */
void pg_fresh_copy(const char *original);

/* The current database's name. Valid until the next pg_fresh. */
const char *pg_database(void);

/* Connects as this login (NULL: the superuser that runs the tests). */
struct db *pg_connect(const char *login);

/* libpq's words for the current database and this login. Valid until the next call. */
const char *pg_conninfo(const char *login);

/* Makes a login that is a member of the roles ("" or "ppt_reader ppt_officer"). */
void pg_login(const char *login, const char *roles);

/* SIGKILL to the whole server; start it again. */
void pg_kill(void);
void pg_restart(void);

/* Runs SQL as the superuser; the first value of the last row, "" if none. Valid until
 * the next call. */
const char *pg_query(const char *sql);

/* The checkout's folder sql. */
const char *pg_sql_directory(void);

#endif
