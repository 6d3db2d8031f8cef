/* What each login may see and do, tried by hand in SQL where the C functions would not
 * even try. */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/ledger/world.h"

static struct world world;
static struct error err;
static int64_t job_of_alice, job_of_bob;

#define OK(call)                                                                       \
    do {                                                                               \
        int rc_ = (call);                                                              \
        ck_assert_msg(rc_ == 0, "%s: %s (%s)", #call, err.text, err.detail);           \
    } while (0)
#define FAILS(code, call) ck_assert_int_eq((call), -(code))

static void open_world(void)
{
    struct cost cost = world_cost(0.001);
    enum ledger_answer answer;
    err = (struct error){0};
    world = world_open();
    world_grant(&world, "acme", NULL, 5, 1e-6);
    world_grant(&world, "acme/sales", NULL, 4, 1e-6);
    job_of_alice = world_admit(&world, WORLD_ACCOUNT, &cost, &answer);
    OK(queue_submit(world.bob, "secret", "acme/sales", WORLD_DATASET, "{\"x\":1}", "b",
                    &job_of_bob, &err));
}

static void close_world(void)
{
    world_check(&world);
    world_close(&world);
}

/* The number in the first column of the only row. */
static int64_t count(struct db *db, const char *sql)
{
    struct db_result *result = NULL;
    OK(db_run(db, sql, NULL, &result, &err));
    int64_t n = db_int64(result, 0, 0);
    db_result_free(result);
    return n;
}

START_TEST(submitter_sees_own_jobs_only)
{
    static const char *const views[] = {"queue", "job", "job_event", "ledger_entry"};
    struct queue_job job;
    struct queue_jobs jobs;
    struct queue_events events;
    char sql[160];
    FAILS(PPT_ENOTFOUND, queue_find(world.alice, job_of_bob, &job, &err));
    OK(queue_list(world.alice, NULL, &jobs, &err));
    ck_assert_int_eq(jobs.n, 1);
    ck_assert_int_eq(jobs.jobs[0].id, job_of_alice);
    queue_jobs_free(&jobs);
    OK(queue_history(world.alice, job_of_bob, 0, &events, &err));
    ck_assert_int_eq(events.n, 0);
    queue_events_free(&events);
    for (int i = 0; i < 4; i++) {
        snprintf(sql, sizeof sql, "SELECT count(*) FROM ppt.%s WHERE %s = %" PRId64,
                 views[i], i < 2 ? "id" : "job_id", job_of_alice);
        ck_assert_int_eq(count(world.bob, sql), 0);
        ck_assert_int_gt(count(world.alice, sql), 0);
    }
}
END_TEST

START_TEST(member_sees_the_jobs_of_the_account)
{
    struct queue_job job;
    OK(ledger_member_add(world.officer, "acme/sales", "alice", &err));
    OK(queue_find(world.alice, job_of_bob, &job, &err));
    ck_assert_str_eq(job.spec, "{\"x\":1}");
    queue_job_free(&job);
    OK(ledger_member_remove(world.officer, "acme/sales", "alice", &err));
    FAILS(PPT_ENOTFOUND, queue_find(world.alice, job_of_bob, &job, &err));
}
END_TEST

START_TEST(submitter_sees_budgets_above_and_below)
{
    static const char *const seen[] = {"acme", "acme/research", WORLD_ACCOUNT, ""};
    struct ledger_pots pots;
    OK(ledger_show(world.alice, NULL, &pots, &err));
    ck_assert_int_eq(pots.n, 4);
    for (int i = 0; i < 4; i++)
        ck_assert_str_eq(pots.pots[i].account, seen[i]);
    ledger_pots_free(&pots);
    FAILS(PPT_ENOTFOUND, ledger_show(world.alice, "acme/sales", &pots, &err));
    ck_assert_int_eq(count(world.alice,
                           "SELECT count(*) FROM ppt.history WHERE account "
                           "= 'acme/sales'"),
                     0);
    ck_assert_int_eq(count(world.alice, "SELECT count(*) FROM ppt.account_member"), 1);
    /* of three: acme's and digits', not those of acme/sales */
    static const char *const tables[] = {"pot", "pot_balance", "budget_limit",
                                         "budget"};
    for (int i = 0; i < 4; i++) {
        char sql[64];
        snprintf(sql, sizeof sql, "SELECT count(*) FROM ppt.%s", tables[i]);
        ck_assert_int_eq(count(world.alice, sql), 2);
        ck_assert_int_eq(count(world.officer, sql), 3);
    }
}
END_TEST

START_TEST(another_role_does_not_change_who_one_is)
{
    char sql[128];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM ppt.queue WHERE id = %" PRId64,
             job_of_bob);
    OK(ledger_member_remove(world.officer, "acme/research", "alice", &err));
    OK(db_script(world.alice, "SET ROLE ppt_submitter", &err));
    ck_assert_int_eq(count(world.alice, sql), 0);
    ck_assert_int_eq(count(world.alice, "SELECT count(*) FROM ppt.queue"), 1); /* own */
    ck_assert_int_lt(db_script(world.alice, "SET ROLE ppt_scheduler", &err), 0);
    ck_assert_int_lt(db_script(world.alice, "SET SESSION AUTHORIZATION bob", &err), 0);
    OK(db_script(world.alice, "SET row_security = off", &err));
    ck_assert_int_lt(db_script(world.alice, sql, &err), 0); /* refused, not widened */
}
END_TEST

/* One line for each deed: who of o(fficer), s(cheduler), a(lice, a submitter),
 * r(eader) may do it. Each is tried by all four. */
START_TEST(deeds_belong_to_roles)
{
    static const struct {
        const char *who, *sql;
    } deeds[] = {
        {"o", "SELECT ppt.account_create('x')"},
        {"o", "SELECT ppt.member_add('acme', 'eve')"},
        {"o", "SELECT ppt.member_remove('acme', 'eve')"},
        {"o", "SELECT ppt.ledger_grant('acme', NULL, 9, 1e-6, 0, 'example', "
              "'add_remove', '')"},
        {"o",
         "SELECT ppt.dataset_add('d', '/d', 'x', 'example', 'add_remove', false, 9, "
         "1e-6, '')"},
        {"s", "SELECT ppt.lease_acquire('test', 60)"},
        {"s", "SELECT ppt.lease_renew(1, 60)"},
        {"s", "SELECT ppt.lease_release(1)"},
        {"s",
         "SELECT ppt.ledger_reserve(1, 2, true, 'example', 'add_remove', "
         "array_fill(0::bigint, ARRAY[128]), 0, 1, 1, 1, 1, 1, 'dp', 0, 1, 1, 1, 1)"},
        {"s", "SELECT ppt.ledger_settle(1, 1, 'example', 'add_remove', "
              "array_fill(0::bigint, ARRAY[128]), 0)"},
        {"s", "SELECT ppt.queue_hold(1, 2, '')"},
        {"s", "SELECT ppt.queue_refuse(1, 2, '')"},
        {"s", "SELECT ppt.queue_start(1, 1, '/d', '')"},
        {"s", "SELECT ppt.queue_finish(1, 1, 'cancelled', 0, '', 'example', "
              "'add_remove', array_fill(0::bigint, ARRAY[128]), 0, 0, 0, NULL, 0, '')"},
        {"o", "SELECT ppt.dataset_access_set('digits', true, '')"},
        {"a", "SELECT ppt.queue_submit('j', 'acme/research', 'digits', '{}', 'new')"},
        {"a", "SELECT ppt.queue_submit_many('[{}]', 'many', NULL)"},
        {"osar", "SELECT * FROM ppt.dataset_access"},
        {"osar", "SELECT taken_at FROM ppt.allocation"},
        {"", "SELECT plan FROM ppt.allocation"},
        {"", "SELECT signature FROM ppt.allocation"},
        {"", "SELECT ppt.allocation_lock(1)"},
        {"", "SELECT ppt.allocation_mine(1, '')"},
        {"osa", "SELECT ppt.queue_cancel(1, '')"},
        {"osar",
         "SELECT ppt.ledger_preview('acme/research', 'digits', true, 'example', "
         "'add_remove', array_fill(0::bigint, ARRAY[128]), 0)"},
        {"osr", "SELECT ppt.ledger_check()"},
        {"osar", "SELECT * FROM ppt.budget"},
        {"osar", "SELECT * FROM ppt.queue"},
        {"osar", "SELECT * FROM ppt.history"},
        {"osar", "SELECT * FROM ppt.renyi_order"},
        {"osr", "SELECT * FROM ppt.start_order"},
        {"osr", "SELECT * FROM ppt.lease"},
        {"osr", "SELECT * FROM ppt.member_event"},
        /* the inside of the functions above, and ways round them: nobody */
        {"", "SELECT ppt.settle(j, 'example', 'add_remove', array_fill(0::bigint, "
             "ARRAY[128]), 0) FROM ppt.job j"},
        {"",
         "SELECT ppt.judge(1, 1, true, 'example', 'add_remove', array_fill(0::bigint,"
         " ARRAY[128]), 0)"},
        {"", "SELECT ppt.lock_pots(1, 1)"},
        {"", "SELECT ppt.job_lock(1)"},
        {"", "SELECT ppt.fence(1)"},
        {"",
         "SELECT ppt.pot_create(1, 1, 'example', 'add_remove', 'renyi', '{1}', '')"},
        {"", "SELECT ppt.make_append_only('ppt.lease')"},
        {"", "CREATE TABLE ppt.mine (x int)"},
        {"", "CREATE FUNCTION ppt.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'"},
        {"", "SET ROLE ppt_owner"},
    };
    struct db *dbs[] = {world.officer, world.scheduler, world.alice,
                        pg_connect("reader")};
    for (size_t i = 0; i < sizeof deeds / sizeof *deeds; i++)
        for (int who = 0; who < 4; who++) {
            bool may = strchr(deeds[i].who, "osar"[who]) != NULL;
            OK(db_begin(dbs[who], &err));
            int rc = db_script(dbs[who], deeds[i].sql, &err);
            ck_assert_msg(rc == (may ? 0 : -PPT_EPERM), "%c: %s: %d %s", "osar"[who],
                          deeds[i].sql, rc, err.text);
            db_rollback(dbs[who]);
        }
    db_close(dbs[3]);
}
END_TEST

START_TEST(tables_are_written_by_nobody)
{
    static const char *const logins[] = {"officer", "scheduler", "alice", "reader"};
    for (int i = 0; i < 4; i++) {
        char sql[640];
        snprintf(
            sql, sizeof sql,
            "SELECT count(*) FROM pg_class c WHERE relnamespace = 'ppt'::regnamespace"
            " AND relkind IN ('r', 'v') AND (has_table_privilege('%s', c.oid, "
            "'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER') OR "
            "has_any_column_privilege('%s', c.oid, 'INSERT, UPDATE'))",
            logins[i], logins[i]);
        ck_assert_str_eq(pg_query(sql), "0");
        struct db *db = pg_connect(logins[i]);
        FAILS(PPT_EPERM,
              db_script(db, "UPDATE ppt.pot_balance SET spent = '{}'", &err));
        FAILS(PPT_EPERM, db_script(db, "DELETE FROM ppt.ledger_entry", &err));
        FAILS(PPT_EPERM, db_script(db, "UPDATE ppt.job SET state = 'done'", &err));
        FAILS(PPT_EPERM,
              db_script(db, "INSERT INTO ppt.account_member VALUES (1, 'x')", &err));
        FAILS(PPT_EPERM, db_script(db, "UPDATE ppt.lease SET epoch = 9", &err));
        ck_assert_ptr_nonnull(strstr(err.hint, "ppt_scheduler runs"));
        db_close(db);
    }
}
END_TEST

START_TEST(login_without_a_role_sees_nothing)
{
    pg_login("eve", "");
    struct db *db = NULL; /* the server reloads its list of logins in its own time */
    for (int i = 0; i < 100 && !db; i++) {
        if (db_open(pg_conninfo("eve"), "test", &db, &err) < 0)
            pg_query("SELECT pg_sleep(0.05)");
    }
    ck_assert_ptr_nonnull(db);
    struct queue_job job;
    FAILS(PPT_EPERM, queue_find(db, job_of_alice, &job, &err));
    FAILS(PPT_EPERM, db_script(db, "SELECT * FROM ppt.migration", &err));
    db_close(db);
}
END_TEST

/* The rules that keep the functions safe, read from the catalogue. */
START_TEST(functions_are_sealed)
{
    /* nobody else owns, everybody may not call */
    ck_assert_str_eq(
        pg_query("SELECT count(*) FROM pg_proc WHERE pronamespace = "
                 "'ppt'::regnamespace AND proowner <> 'ppt_owner'::regrole"),
        "0");
    ck_assert_str_eq(
        pg_query("SELECT count(*) FROM pg_proc WHERE pronamespace = "
                 "'ppt'::regnamespace AND has_function_privilege('public', "
                 "oid, 'EXECUTE')"),
        "0");
    /* a definer's function has a fixed search path */
    ck_assert_str_eq(pg_query("SELECT count(*) FROM pg_proc WHERE pronamespace = "
                              "'ppt'::regnamespace AND prosecdef AND NOT coalesce("
                              "'search_path=pg_catalog, pg_temp' = ANY (proconfig), "
                              "false)"),
                     "0");
    ck_assert_int_gt(atoi(pg_query("SELECT count(*) FROM pg_proc WHERE pronamespace = "
                                   "'ppt'::regnamespace AND prosecdef")),
                     15);
    /* views run with the reader's rights; rows of people are under forced policies */
    ck_assert_str_eq(pg_query("SELECT count(*) FROM pg_class WHERE relnamespace = "
                              "'ppt'::regnamespace AND relkind = 'v' AND NOT coalesce("
                              "'security_invoker=true' = ANY (reloptions), false)"),
                     "0");
    ck_assert_str_eq(pg_query("SELECT string_agg(relname, ' ' ORDER BY relname) FROM "
                              "pg_class WHERE relnamespace = 'ppt'::regnamespace AND "
                              "relkind = 'r' AND NOT relforcerowsecurity"),
                     "job_move job_state lease migration renyi_order");
    ck_assert_str_eq(pg_query("SELECT rolcanlogin OR rolsuper OR rolbypassrls FROM "
                              "pg_roles WHERE rolname = 'ppt_owner'"),
                     "f");
}
END_TEST

/* A table of the caller's own with a name that a function uses must not be read. */
START_TEST(functions_do_not_look_into_the_callers_schema)
{
    struct queue_job job;
    enum queue_state state;
    OK(db_script(world.alice,
                 "CREATE TEMP TABLE account_member AS SELECT 4::bigint AS account_id,"
                 " 'alice'::name AS login; CREATE TEMP TABLE job (id bigint);"
                 " SET search_path = pg_temp, ppt, pg_catalog",
                 &err));
    int64_t id;
    FAILS(PPT_EPERM, queue_submit(world.alice, "j", "acme/sales", WORLD_DATASET, "{}",
                                  "z", &id, &err));
    FAILS(PPT_ENOTFOUND, queue_cancel(world.alice, job_of_bob, "", &state, &err));
    FAILS(PPT_ENOTFOUND, queue_find(world.alice, job_of_bob, &job, &err));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("privileges");
    TCase *roles = tcase_create("roles");
    tcase_add_unchecked_fixture(roles, pg_start, pg_stop);
    tcase_add_checked_fixture(roles, open_world, close_world);
    tcase_set_timeout(roles, 60);
    tcase_add_test(roles, submitter_sees_own_jobs_only);
    tcase_add_test(roles, member_sees_the_jobs_of_the_account);
    tcase_add_test(roles, submitter_sees_budgets_above_and_below);
    tcase_add_test(roles, another_role_does_not_change_who_one_is);
    tcase_add_test(roles, deeds_belong_to_roles);
    tcase_add_test(roles, tables_are_written_by_nobody);
    tcase_add_test(roles, login_without_a_role_sees_nothing);
    tcase_add_test(roles, functions_are_sealed);
    tcase_add_test(roles, functions_do_not_look_into_the_callers_schema);
    suite_add_tcase(suite, roles);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
