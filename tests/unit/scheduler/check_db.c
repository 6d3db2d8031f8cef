/* libpq's door: errors in our words, transactions, arrays, notifications, a lost
 * server. */
#include <check.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/pg/pg.h"

static struct error err;

#define OK(call)                                                                       \
    do {                                                                               \
        int rc_ = (call);                                                              \
        ck_assert_msg(rc_ == 0, "%s: %s (%s)", #call, err.text, err.detail);           \
    } while (0)
#define FAILS(code, call) ck_assert_int_eq((call), -(code))

START_TEST(server_that_is_not_there)
{
    struct db *db = NULL;
    FAILS(PPT_EDB, db_open("host=/nowhere dbname=x", "test", &db, &err));
    ck_assert_ptr_null(db);
    ck_assert_ptr_nonnull(strstr(err.detail, "/nowhere"));
    ck_assert(err.hint[0] != '\0');
    FAILS(PPT_EDB, db_open("no such = option", "test", &db, &err));
}
END_TEST

START_TEST(errors_keep_their_words_and_code)
{
    struct db *db = pg_connect(NULL);
    FAILS(
        PPT_EBUDGET,
        db_script(db,
                  "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'PB012', MESSAGE = 'm',"
                  " DETAIL = 'd', HINT = 'h'; END $$",
                  &err));
    ck_assert_str_eq(err.text, "m");
    ck_assert_str_eq(err.detail, "d");
    ck_assert_str_eq(err.hint, "h");
    FAILS(PPT_EDB, /* PB, but no exit status of ours */
          db_script(db, "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'PB099'; END $$",
                    &err));
    FAILS(PPT_EDB, db_script(db, "SELECT 1/0", &err));
    ck_assert_str_eq(err.text, "division by zero");
    FAILS(PPT_EDB, db_script(db, "SELECT * FROM ppt.nothing", &err));
    ck_assert_ptr_nonnull(strstr(err.hint, "--migrate"));
    FAILS(PPT_EDB, db_run(db, "SELECT 1/0", NULL, NULL, NULL)); /* no error wanted */
    OK(db_script(db, "DO $$ BEGIN RAISE NOTICE 'not an error'; END $$", &err));
    ck_assert(db_is_alive(db));
    ck_assert_str_eq(db_login(db), pg_query("SELECT session_user"));
    db_close(db);
    db_close(NULL);
}
END_TEST

START_TEST(values_come_back_as_sent)
{
    const int64_t numbers[] = {0, -1, INT64_MAX, INT64_MIN};
    const double doubles[] = {0.1, 1e-320, -1.7976931348623157e308};
    int64_t numbers_back[4];
    double doubles_back[3];
    struct db *db = pg_connect(NULL);
    struct db_params params = {0};
    struct db_result *r = NULL;
    char *numbers_text = db_int64_array_text(numbers, 4);
    char *doubles_text = db_double_array_text(doubles, 3);
    char small[4];
    db_param_text(&params, "it's \"\xc3\xa4\"; DROP TABLE x");
    db_param_text(&params, NULL);
    db_param_int64(&params, INT64_MIN);
    db_param_double(&params, 1.0 / 3);
    db_param_bool(&params, true);
    db_param_text(&params, numbers_text);
    db_param_text(&params, doubles_text);
    OK(db_run(db,
              "SELECT $1::text, $2::text, $3::bigint, $4::float8, $5::boolean,"
              " $6::bigint[], $7::float8[], '{}'::bigint[]",
              &params, &r, &err));
    ck_assert_int_eq(db_rows(r), 1);
    ck_assert_str_eq(db_text(r, 0, 0), params.values[0]);
    ck_assert(db_is_null(r, 0, 1) && !db_is_null(r, 0, 0));
    ck_assert_str_eq(db_text(r, 0, 1), "");
    ck_assert_ptr_null(db_strdup(r, 0, 1));
    ck_assert(db_int64(r, 0, 2) == INT64_MIN);
    ck_assert(db_double(r, 0, 3) == 1.0 / 3);
    ck_assert(db_bool(r, 0, 4));
    db_copy(r, 0, 0, small, sizeof small);
    ck_assert_str_eq(small, "it'");
    OK(db_int64_array(r, 0, 5, 4, numbers_back, &err));
    ck_assert_mem_eq(numbers, numbers_back, sizeof numbers);
    OK(db_double_array(r, 0, 6, 3, doubles_back, &err));
    ck_assert_mem_eq(doubles, doubles_back, sizeof doubles);
    OK(db_int64_array(r, 0, 7, 0, numbers_back, &err));
    FAILS(PPT_EDB, db_int64_array(r, 0, 5, 3, numbers_back, &err));
    FAILS(PPT_EDB, db_int64_array(r, 0, 5, 5, numbers_back, &err));
    FAILS(PPT_EDB, db_int64_array(r, 0, 7, 1, numbers_back, &err));
    FAILS(PPT_EDB, db_int64_array(r, 0, 0, 1, numbers_back, &err));
    db_result_free(r);
    free(numbers_text);
    free(doubles_text);
    db_close(db);
}
END_TEST

START_TEST(arrays_with_nulls_are_no_numbers)
{
    int64_t numbers[2];
    struct db *db = pg_connect(NULL);
    struct db_result *r = NULL;
    OK(db_run(db, "SELECT '{1,NULL}'::bigint[], '{1,99999999999999999999}'::text", NULL,
              &r, &err));
    FAILS(PPT_EDB, db_int64_array(r, 0, 0, 2, numbers, &err));
    FAILS(PPT_EDB, db_int64_array(r, 0, 1, 2, numbers, &err));
    db_result_free(r);
    db_close(db);
}
END_TEST

START_TEST(transactions)
{
    struct db *db = pg_connect(NULL);
    OK(db_script(db, "CREATE TABLE t (x int)", &err));
    OK(db_begin(db, &err));
    OK(db_script(db, "INSERT INTO t VALUES (1)", &err));
    db_rollback(db);
    ck_assert_str_eq(pg_query("SELECT count(*) FROM t"), "0");
    OK(db_begin(db, &err));
    OK(db_script(db, "INSERT INTO t VALUES (1)", &err));
    OK(db_commit(db, &err));
    ck_assert_str_eq(pg_query("SELECT count(*) FROM t"), "1");
    OK(db_begin(db, &err));
    OK(db_script(db, "INSERT INTO t VALUES (2)", &err));
    ck_assert_int_lt(db_script(db, "SELECT 1/0", &err), 0);
    FAILS(PPT_EDB, db_commit(db, &err)); /* a rollback is not taken for a commit */
    ck_assert_str_eq(pg_query("SELECT count(*) FROM t"), "1");
    db_close(db);
}
END_TEST

START_TEST(notifications)
{
    struct db *db = pg_connect(NULL);
    int n = -1;
    OK(db_listen(db, "Odd \"name", &err));
    for (int i = 0; i < 3; i++)
        pg_query("SELECT pg_notify('Odd \"name', '')");
    struct pollfd fd = {.fd = db_socket(db), .events = POLLIN};
    int total = 0;
    while (total < 3 && poll(&fd, 1, 5000) == 1) {
        OK(db_drain(db, &n, &err));
        total += n;
    }
    ck_assert_int_eq(total, 3);
    OK(db_drain(db, &n, &err));
    ck_assert_int_eq(n, 0);
    db_close(db);
}
END_TEST

/* The second and later runs of a statement are by its prepared form: other values, an
 * error that does not spoil it, and a table that has changed meanwhile. */
START_TEST(statements_run_again)
{
    struct db *db = pg_connect(NULL);
    static const char quotient[] = "SELECT 12 / $1::bigint";
    OK(db_script(db, "CREATE TEMP TABLE t AS SELECT 1 AS a", &err));
    for (int64_t i = 1; i <= 4; i++) {
        struct db_params params = {0}, nothing = {0};
        struct db_result *r = NULL;
        db_param_int64(&params, i);
        OK(db_run(db, quotient, &params, &r, &err));
        ck_assert_int_eq(db_int64(r, 0, 0), 12 / i);
        db_result_free(r);
        db_param_int64(&nothing, 0);
        FAILS(PPT_EDB, db_run(db, quotient, &nothing, NULL, &err));
        ck_assert_str_eq(err.text, "division by zero");
        OK(db_run(db, "SELECT a FROM t", NULL, &r, &err));
        ck_assert_int_eq(db_int64(r, 0, 0), 1);
        db_result_free(r);
        OK(db_script(db, "DROP TABLE t; CREATE TEMP TABLE t AS SELECT 2 AS b, 1 AS a",
                     &err));
    }
    ck_assert_str_eq(pg_query("SELECT 1"), "1");
    db_close(db);
}
END_TEST

/* More statements than are remembered. */
START_TEST(many_statements)
{
    struct db *db = pg_connect(NULL);
    for (int i = 0; i < 400; i++) {
        char sql[64];
        struct db_result *r = NULL;
        snprintf(sql, sizeof sql, "SELECT %d", i % 100);
        OK(db_run(db, sql, NULL, &r, &err));
        ck_assert_int_eq(db_int64(r, 0, 0), i % 100);
        db_result_free(r);
    }
    db_close(db);
}
END_TEST

START_TEST(lost_server_is_noticed)
{
    struct db *db = pg_connect(NULL), *listener = pg_connect(NULL);
    int n;
    pg_kill();
    FAILS(PPT_EDB, db_script(db, "SELECT 1", &err));
    ck_assert_str_eq(err.text, "the connection to the database is lost");
    ck_assert(!db_is_alive(db));
    FAILS(PPT_EDB, db_script(db, "SELECT 1", &err));
    FAILS(PPT_EDB, db_begin(db, &err));
    FAILS(PPT_EDB, db_commit(db, &err));
    db_rollback(db);
    /* the server may have had time for last words; the end comes after them */
    struct pollfd fd = {.fd = db_socket(listener), .events = POLLIN};
    int rc = 0;
    for (int i = 0; i < 10 && rc == 0; i++) {
        ck_assert_int_eq(poll(&fd, 1, 5000), 1);
        rc = db_drain(listener, &n, &err);
    }
    ck_assert_int_eq(rc, -PPT_EDB);
    db_close(db);
    db_close(listener);
    pg_restart();
    ck_assert_str_eq(pg_query("SELECT 1"), "1");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("db");
    TCase *door = tcase_create("door");
    tcase_add_unchecked_fixture(door, pg_start_empty, pg_stop);
    tcase_add_checked_fixture(door, pg_fresh_empty, NULL);
    tcase_set_timeout(door, 60);
    tcase_add_test(door, server_that_is_not_there);
    tcase_add_test(door, errors_keep_their_words_and_code);
    tcase_add_test(door, values_come_back_as_sent);
    tcase_add_test(door, arrays_with_nulls_are_no_numbers);
    tcase_add_test(door, transactions);
    tcase_add_test(door, notifications);
    tcase_add_test(door, statements_run_again);
    tcase_add_test(door, many_statements);
    tcase_add_test(door, lost_server_is_noticed);
    suite_add_tcase(suite, door);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
