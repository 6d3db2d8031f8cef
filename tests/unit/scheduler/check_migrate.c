/* Migrations: from nothing, again, edited, missing, too new, at once, by an owner who
 * is no superuser; and the grid of orders. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "jobs/privacy/cost.h"
#include "scheduler/migrate.h"
#include "tests/pg/pg.h"

static struct error err;
static struct db *db;
static char copy[] = "/tmp/ppt-sql-XXXXXX";

#define OK(call)                                                                       \
    do {                                                                               \
        int rc_ = (call);                                                              \
        ck_assert_msg(rc_ == 0, "%s: %s (%s)", #call, err.text, err.detail);           \
    } while (0)
#define FAILS(code, call) ck_assert_int_eq((call), -(code))

static void shell(const char *format, const char *argument)
{
    char command[1024];
    snprintf(command, sizeof command, format, copy, argument);
    ck_assert_int_eq(system(command), 0);
}

static int migrate(const char *directory, int *ret_n)
{
    return migrate_apply(db, directory, cost_orders, COST_N_ORDERS, ret_n, &err);
}

static void open_empty(void)
{
    err = (struct error){0};
    strcpy(copy + strlen(copy) - 6, "XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(copy));
    shell("cp -r %2$s/*.sql %1$s", pg_sql_directory());
    pg_fresh_empty();
    db = pg_connect(NULL);
}

static void close_empty(void)
{
    db_close(db);
    shell("rm -r %s", "");
}

START_TEST(from_nothing_and_again)
{
    int n = -1;
    FAILS(PPT_ESTATE, migrate_check(db, cost_orders, COST_N_ORDERS, &err));
    ck_assert_ptr_nonnull(strstr(err.hint, "--migrate"));
    OK(migrate(pg_sql_directory(), &n));
    ck_assert_int_eq(n, MIGRATE_VERSION);
    OK(migrate_check(db, cost_orders, COST_N_ORDERS, &err));
    OK(migrate(pg_sql_directory(), &n));
    ck_assert_int_eq(n, 0);
    ck_assert_str_eq(
        pg_query("SELECT string_agg(number::text, ' ' ORDER BY number) FROM "
                 "ppt.migration"),
        "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19");
    ck_assert_str_eq(pg_query("SELECT count(*) FROM ppt.renyi_order"), "128");
    /* all of it belongs to the owner */
    ck_assert_str_eq(
        pg_query("SELECT count(*) FROM pg_class WHERE relnamespace = "
                 "'ppt'::regnamespace AND relowner <> 'ppt_owner'::regrole"),
        "0");
}
END_TEST

START_TEST(edited_file_is_refused)
{
    int n;
    OK(migrate(copy, &n));
    shell("echo '-- better' >>%s/002_accounts.sql", "");
    FAILS(PPT_ESTATE, migrate(copy, &n));
    ck_assert_str_eq(err.text,
                     "migration 002_accounts.sql was edited after it was applied");
}
END_TEST

START_TEST(broken_file_leaves_nothing_of_itself)
{
    int n;
    shell("echo 'CREATE TABLE ppt.half (x int); SELECT 1/0' >>%s/003_jobs.sql", "");
    FAILS(PPT_EDB, migrate(copy, &n));
    ck_assert_str_eq(err.text, "003_jobs.sql: division by zero");
    ck_assert_str_eq(pg_query("SELECT max(number) FROM ppt.migration"), "2");
    ck_assert_str_eq(pg_query("SELECT to_regclass('ppt.job') IS NULL"), "t");
    FAILS(PPT_ESTATE, migrate_check(db, cost_orders, COST_N_ORDERS, &err));
    OK(migrate(pg_sql_directory(), &n)); /* goes on where it stopped */
    ck_assert_int_eq(n, MIGRATE_VERSION - 2);
}
END_TEST

START_TEST(directory_must_be_this_versions)
{
    int n;
    char words[32];
    shell("mv %1$s/004_ledger.sql %1$s/099_ledger.sql", "");
    FAILS(PPT_ESTATE, migrate(copy, &n));
    ck_assert_ptr_nonnull(strstr(err.text, "migration 004 is missing"));
    shell("rm %1$s/099_ledger.sql", "");
    FAILS(PPT_ESTATE, migrate(copy, &n));
    snprintf(words, sizeof words, "holds %d migrations", MIGRATE_VERSION - 1);
    ck_assert_ptr_nonnull(strstr(err.text, words));
    FAILS(PPT_EIO, migrate("/nowhere", &n));
    ck_assert_str_eq(pg_query("SELECT to_regnamespace('ppt') IS NULL"), "t");
}
END_TEST

START_TEST(newer_database_is_refused)
{
    int n;
    OK(migrate(copy, &n));
    OK(db_script(db,
                 "INSERT INTO ppt.migration (number, name, sha256) VALUES (99, "
                 "'later', 'x')",
                 &err));
    FAILS(PPT_ESTATE, migrate(copy, &n));
    FAILS(PPT_ESTATE, migrate_check(db, cost_orders, COST_N_ORDERS, &err));
    ck_assert_ptr_nonnull(strstr(err.hint, "newer version"));
}
END_TEST

START_TEST(another_grid_is_refused)
{
    double orders[COST_N_ORDERS];
    int n;
    OK(migrate(copy, &n));
    memcpy(orders, cost_orders, sizeof orders);
    orders[60] += 1e-13;
    FAILS(PPT_ERANGE, migrate_check(db, orders, COST_N_ORDERS, &err));
    FAILS(PPT_ERANGE, migrate_check(db, cost_orders, COST_N_ORDERS - 1, &err));
    FAILS(PPT_ERANGE, migrate_apply(db, copy, orders, COST_N_ORDERS, &n, &err));
    OK(migrate_check(db, cost_orders, COST_N_ORDERS, &err));
}
END_TEST

START_TEST(many_at_once_take_turns)
{
    enum { N = 4 };
    pid_t children[N];
    int n_total = 0;
    for (int i = 0; i < N; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            int n = 100;
            db = pg_connect(NULL);
            if (migrate(copy, &n) < 0)
                fprintf(stderr, "%s %s\n", err.text, err.detail);
            _exit(n);
        }
    }
    for (int i = 0; i < N; i++) {
        int status;
        waitpid(children[i], &status, 0);
        ck_assert(WIFEXITED(status));
        n_total += WEXITSTATUS(status);
    }
    ck_assert_int_eq(n_total, MIGRATE_VERSION); /* each file once, by somebody */
    OK(migrate_check(db, cost_orders, COST_N_ORDERS, &err));
}
END_TEST

/* The database's owner with CREATEROLE is enough; roles are there from other tests. */
START_TEST(owner_need_not_be_a_superuser)
{
    struct db *root = db, *owner = NULL;
    int n = -1;
    char sql[256];
    pg_login("dba", "");
    OK(db_script(root, "ALTER ROLE dba CREATEROLE", &err));
    snprintf(sql, sizeof sql, "ALTER DATABASE %s OWNER TO dba",
             pg_query("SELECT current_database()"));
    OK(db_script(root, sql, &err));
    for (int i = 0; i < 100 && !owner; i++)
        if (db_open(pg_conninfo("dba"), "test", &owner, &err) < 0)
            pg_query("SELECT pg_sleep(0.05)");
    ck_assert_ptr_nonnull(owner);
    OK(migrate_apply(owner, copy, cost_orders, COST_N_ORDERS, &n, &err));
    ck_assert_int_eq(n, MIGRATE_VERSION);
    OK(migrate_apply(owner, copy, cost_orders, COST_N_ORDERS, &n, &err));
    ck_assert_int_eq(n, 0);
    OK(migrate_check(owner, cost_orders, COST_N_ORDERS, &err));
    db_close(owner);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("migrate");
    TCase *migrations = tcase_create("migrations");
    tcase_add_unchecked_fixture(migrations, pg_start_empty, pg_stop);
    tcase_add_checked_fixture(migrations, open_empty, close_empty);
    tcase_set_timeout(migrations, 60);
    tcase_add_test(migrations, from_nothing_and_again);
    tcase_add_test(migrations, edited_file_is_refused);
    tcase_add_test(migrations, broken_file_leaves_nothing_of_itself);
    tcase_add_test(migrations, directory_must_be_this_versions);
    tcase_add_test(migrations, newer_database_is_refused);
    tcase_add_test(migrations, another_grid_is_refused);
    tcase_add_test(migrations, many_at_once_take_turns);
    tcase_add_test(migrations, owner_need_not_be_a_superuser);
    suite_add_tcase(suite, migrations);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
