#include "scheduler/migrate.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "base/pathsafe.h"

#define MAX_FILE_BYTES (1u << 20)
#define MAX_ORDERS 4096

/* All programs that migrate this database queue up on this key ("ppt" and a 1). */
#define LOCK_SQL "SELECT pg_advisory_xact_lock(x'70707401'::bigint)"

struct file {
    char name[256];
    char *text;
    char sha256[CRYPTO_HEX_SIZE];
};

static int is_migration(const struct dirent *entry)
{
    const char *name = entry->d_name;
    size_t len = strlen(name);
    return len > 8 && isdigit((unsigned char)name[0]) &&
           isdigit((unsigned char)name[1]) && isdigit((unsigned char)name[2]) &&
           name[3] == '_' && strcmp(name + len - 4, ".sql") == 0;
}

static int read_file(const char *directory, const char *name, struct file *ret_file,
                     struct error *err)
{
    char path[4096];
    size_t len;
    if (snprintf(path, sizeof path, "%s/%s", directory, name) >= (int)sizeof path)
        return error_set(err, PPT_EIO, "path too long: %s/%s", directory, name);
    int rc = pathsafe_read_file(path, MAX_FILE_BYTES, &ret_file->text, &len, err);
    if (rc < 0)
        return rc;
    snprintf(ret_file->name, sizeof ret_file->name, "%s", name);
    crypto_sha256_hex(ret_file->text, len, ret_file->sha256);
    return 0;
}

/* Reads files[MIGRATE_VERSION]; they must be numbered 1, 2, ... without a gap. */
static int read_files(const char *directory, struct file *files, struct error *err)
{
    struct dirent **names = NULL;
    int n = scandir(directory, &names, is_migration, alphasort);
    if (n < 0)
        return error_errno(err, PPT_EIO, "migrations cannot be read from %s",
                           directory);
    int rc = 0;
    if (n != MIGRATE_VERSION) {
        error_set(err, PPT_ESTATE, "%s holds %d migrations, this program knows %d",
                  directory, n, MIGRATE_VERSION);
        rc = error_hint(err, "give it the sql directory of its own version");
    }
    for (int i = 0; i < n; i++) {
        if (rc == 0 && atoi(names[i]->d_name) != i + 1)
            rc = error_set(err, PPT_ESTATE, "migration %03d is missing in %s", i + 1,
                           directory);
        if (rc == 0)
            rc = read_file(directory, names[i]->d_name, &files[i], err);
        free(names[i]);
    }
    free(names);
    return rc;
}

/* The table that remembers what ran. Everything else is in the files. */
static int prepare(struct db *db, struct error *err)
{
    int rc = db_begin(db, err);
    if (rc == 0)
        rc = db_script(db, LOCK_SQL, err);
    if (rc == 0)
        rc = db_script(db,
                       "DO $$ BEGIN"
                       "  IF to_regclass('ppt.migration') IS NULL THEN"
                       "    CREATE SCHEMA IF NOT EXISTS ppt;"
                       "    CREATE TABLE ppt.migration ("
                       "      number int PRIMARY KEY, name text NOT NULL,"
                       "      sha256 text NOT NULL,"
                       "      applied_by name NOT NULL DEFAULT session_user,"
                       "      applied_at timestamptz NOT NULL DEFAULT now());"
                       "  END IF; "
                       "END $$",
                       err);
    if (rc == 0)
        return db_commit(db, err);
    db_rollback(db);
    return rc;
}

static int check_newest(struct db *db, struct error *err)
{
    struct db_result *result = NULL;
    int rc = db_run(db, "SELECT coalesce(max(number), 0) FROM ppt.migration", NULL,
                    &result, err);
    if (rc < 0)
        return rc;
    int64_t newest = db_int64(result, 0, 0);
    db_result_free(result);
    if (newest <= MIGRATE_VERSION)
        return 0;
    error_set(err, PPT_ESTATE,
              "the database is at migration %d, this program only knows %d",
              (int)newest, MIGRATE_VERSION);
    return error_hint(err, "use the newer version of ppt");
}

/* Inside a transaction that holds the lock. */
static int apply_locked(struct db *db, int number, const struct file *file,
                        bool *ret_applied, struct error *err)
{
    struct db_params which = {0}, row = {0};
    struct db_result *result = NULL;
    db_param_int64(&which, number);
    int rc = db_run(db, "SELECT sha256 FROM ppt.migration WHERE number = $1", &which,
                    &result, err);
    if (rc < 0)
        return rc;
    *ret_applied = db_rows(result) == 0;
    if (!*ret_applied && strcmp(db_text(result, 0, 0), file->sha256) != 0) {
        error_set(err, PPT_ESTATE, "migration %s was edited after it was applied",
                  file->name);
        error_detail(err, "applied: SHA-256 %s; now: %s", db_text(result, 0, 0),
                     file->sha256);
        rc = error_hint(err, "restore the file; put changes into a new migration");
    }
    db_result_free(result);
    if (rc < 0 || !*ret_applied)
        return rc;

    rc = db_script(db, file->text, err);
    if (rc < 0)
        return error_prefix(err, "%s", file->name);
    rc = db_script(db, "RESET ROLE", err);
    if (rc < 0)
        return rc;
    db_param_int64(&row, number);
    db_param_text(&row, file->name);
    db_param_text(&row, file->sha256);
    return db_run(
        db, "INSERT INTO ppt.migration (number, name, sha256) VALUES ($1, $2, $3)",
        &row, NULL, err);
}

static int apply(struct db *db, int number, const struct file *file, bool *ret_applied,
                 struct error *err)
{
    int rc = db_begin(db, err);
    if (rc == 0)
        rc = db_script(db, LOCK_SQL, err);
    if (rc == 0)
        rc = apply_locked(db, number, file, ret_applied, err);
    if (rc == 0)
        return db_commit(db, err);
    db_rollback(db);
    return rc;
}

/* *ret_is_empty: the grid is still to be written. */
static int check_grid(struct db *db, const double *orders, int n_orders,
                      bool *ret_is_empty, struct error *err)
{
    struct db_result *result = NULL;
    double *found = NULL;
    int rc = db_run(db,
                    "SELECT count(*), coalesce(array_agg(alpha ORDER BY idx), '{}')"
                    " FROM ppt.renyi_order",
                    NULL, &result, err);
    if (rc < 0)
        return rc;
    int n = (int)db_int64(result, 0, 0);
    bool is_same = n == n_orders && n <= MAX_ORDERS;
    if (n > 0 && is_same) {
        found = calloc((size_t)n, sizeof *found);
        rc = found ? db_double_array(result, 0, 1, n, found, err)
                   : error_set(err, PPT_ENOMEM, "no memory for the grid of orders");
        is_same = rc == 0 && memcmp(found, orders, (size_t)n * sizeof *found) == 0;
    }
    free(found);
    db_result_free(result);
    if (rc < 0)
        return rc;
    *ret_is_empty = n == 0;
    if (n == 0 || is_same)
        return 0;
    error_set(err, PPT_ERANGE,
              "the database counts on another grid of Renyi orders than this program");
    return error_hint(err, "the grid is fixed for ever when a ledger is made: use the "
                           "version of ppt that made it");
}

static int write_grid(struct db *db, const double *orders, int n_orders,
                      struct error *err)
{
    struct db_params params = {0};
    char *text = db_double_array_text(orders, n_orders);
    if (!text)
        return error_set(err, PPT_ENOMEM, "no memory for the grid of orders");
    db_param_text(&params, text);
    int rc = db_run(db,
                    "INSERT INTO ppt.renyi_order (idx, alpha) SELECT i - 1, alpha"
                    " FROM unnest($1::float8[]) WITH ORDINALITY AS u(alpha, i)",
                    &params, NULL, err);
    free(text);
    return rc;
}

static int fill_grid(struct db *db, const double *orders, int n_orders,
                     struct error *err)
{
    bool is_empty = false;
    int rc = db_begin(db, err);
    if (rc == 0)
        rc = db_script(db, LOCK_SQL, err);
    if (rc == 0)
        rc = check_grid(db, orders, n_orders, &is_empty, err);
    if (rc == 0 && is_empty)
        rc = write_grid(db, orders, n_orders, err);
    if (rc == 0)
        return db_commit(db, err);
    db_rollback(db);
    return rc;
}

int migrate_apply(struct db *db, const char *directory, const double *orders,
                  int n_orders, int *ret_n_applied, struct error *err)
{
    struct file files[MIGRATE_VERSION] = {0};
    int n_applied = 0;
    int rc = read_files(directory, files, err);
    if (rc < 0)
        goto out;
    rc = prepare(db, err);
    if (rc < 0)
        goto out;
    rc = check_newest(db, err);
    for (int i = 0; rc == 0 && i < MIGRATE_VERSION; i++) {
        bool is_new = false;
        rc = apply(db, i + 1, &files[i], &is_new, err);
        n_applied += is_new;
    }
    if (rc < 0)
        goto out;
    rc = fill_grid(db, orders, n_orders, err);
    if (rc == 0)
        *ret_n_applied = n_applied;
out:
    for (int i = 0; i < MIGRATE_VERSION; i++)
        free(files[i].text);
    return rc;
}

int migrate_check(struct db *db, const double *orders, int n_orders, struct error *err)
{
    struct db_result *result = NULL;
    int rc = db_run(db, "SELECT to_regclass('ppt.migration') IS NOT NULL", NULL,
                    &result, err);
    bool is_there = rc == 0 && db_bool(result, 0, 0);
    db_result_free(result);
    result = NULL;
    if (rc == 0 && is_there)
        rc = db_run(db, "SELECT coalesce(max(number), 0) FROM ppt.migration", NULL,
                    &result, err);
    if (rc < 0)
        return rc;
    int version = is_there ? (int)db_int64(result, 0, 0) : 0;
    db_result_free(result);
    bool is_empty = true;
    if (version == MIGRATE_VERSION)
        rc = check_grid(db, orders, n_orders, &is_empty, err);
    if (rc < 0)
        return rc;
    if (version == MIGRATE_VERSION && !is_empty)
        return 0;
    error_set(err, PPT_ESTATE, "the database is at migration %d, this program needs %d",
              version, MIGRATE_VERSION);
    return error_hint(err, version > MIGRATE_VERSION
                               ? "use the newer version of ppt"
                               : "run ppt-schedd --migrate as the database's owner");
}
