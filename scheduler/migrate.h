/* Brings the database to the schema this program was built for, and refuses to work on
 * any other.
 *
 * Guarantees: each numbered file runs in one transaction and is recorded with its
 * SHA-256; a file that was edited after it ran is refused; two programs migrating at
 * once take turns. Needs a superuser, or the database's owner with CREATEROLE.
 */
#ifndef PPT_SCHEDULER_MIGRATE_H
#define PPT_SCHEDULER_MIGRATE_H

#include "base/error.h"
#include "scheduler/db.h"

/* The number of the last migration the C code of this version expects. */
#define MIGRATE_VERSION 19

/* Applies the files NNN_name.sql of `directory` that have not run yet, in order, then
 * writes the grid of orders (pass cost_orders, COST_N_ORDERS) or compares it with the
 * one that is there. Errors: PPT_EIO (directory), PPT_ESTATE (gap in the numbers, a
 * file edited after it ran, a database newer than the files), PPT_ERANGE (a different
 * grid), PPT_EPERM, PPT_EDB. */
int migrate_apply(struct db *db, const char *directory, const double *orders,
                  int n_orders, int *ret_n_applied, struct error *err);

/* For a program's start: the schema is there, its version is MIGRATE_VERSION and its
 * grid is this one. Errors: PPT_ESTATE (the hint names ppt-schedd --migrate),
 * PPT_ERANGE, PPT_EDB. */
int migrate_check(struct db *db, const double *orders, int n_orders, struct error *err);

#endif
