/* Devices from a file: what is there when, how fast, and what each fault is called. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/fl/device.h"
#include "tests/unit/fl/fl_world.h"

#define HEAD "client,examples_per_s,bytes_per_s,from_s,to_s\n"

static int64_t ids[] = {5, 70, 900};
static struct partition numbers = {.n_clients = 3},
                        users = {.n_clients = 3, .ids = ids};

static int parse(const char *text, const struct partition *partition,
                 struct trace *ret_trace, struct error *err)
{
    char *copy = strdup(text);
    int rc = trace_parse(copy, strlen(copy), "t.csv", partition, 100.0, ret_trace, err);
    free(copy);
    return rc;
}

/* Lines in any order, of Windows too, and an end without a newline. */
START_TEST(finds_what_the_file_says)
{
    struct trace trace;
    ck_assert_int_eq(parse(HEAD "2,10,20,50,100\r\n\n# a night\n0,1,2,0,30\n"
                                "2,3000,4e6,10,20",
                           &numbers, &trace, NULL),
                     0);
    ck_assert_int_eq(trace.n, 3);
    ck_assert_ptr_null(trace_find(&trace, 1, 15));
    ck_assert_ptr_null(trace_find(&trace, 2, 9.9));
    ck_assert_ptr_null(trace_find(&trace, 2, 20));
    ck_assert_ptr_null(trace_find(&trace, 0, 30));
    ck_assert_double_eq(trace_find(&trace, 2, 10)->examples_per_s, 3000);
    ck_assert_double_eq(trace_find(&trace, 2, 10)->bytes_per_s, 4e6);
    ck_assert_double_eq(trace_find(&trace, 2, 99)->bytes_per_s, 20);
    ck_assert_double_eq(trace_find(&trace, 0, 0)->bytes_per_s, 2);
    ck_assert_double_eq(trace_wait_s(&trace, 30, 100), 20);
    ck_assert_double_eq(trace_wait_s(&trace, 50, 100), 50); /* it has begun already */
    trace_close(&trace);
    ck_assert_int_eq(parse(HEAD "900,1,1,0,100\n", &users, &trace, NULL), 0);
    ck_assert_int_eq(trace.intervals[0].client, 2);
    trace_close(&trace);
}
END_TEST

#define OBJECT(client, to)                                                             \
    "{\"client\": " client ", \"examples_per_s\": 10, \"bytes_per_s\": 2e1, "          \
    "\"from_s\": 5, \"to_s\": " to "}"

/* The same file as lines of JSON, keys in any order. */
START_TEST(finds_what_lines_of_json_say)
{
    struct trace trace;
    ck_assert_int_eq(
        parse(OBJECT("2", "100") "\r\n\n# a night\n"
                                 "{\"to_s\": 5, \"from_s\": 0.5, \"client\": 2, "
                                 "\"bytes_per_s\": 4e6, \"examples_per_s\": 3000}",
              &numbers, &trace, NULL),
        0);
    ck_assert_int_eq(trace.n, 2);
    ck_assert_ptr_null(trace_find(&trace, 1, 15));
    ck_assert_double_eq(trace_find(&trace, 2, 0.5)->examples_per_s, 3000);
    ck_assert_double_eq(trace_find(&trace, 2, 99)->bytes_per_s, 20);
    ck_assert_int_eq(trace.intervals[1].line, 1);
    trace_close(&trace);
    ck_assert_int_eq(parse(OBJECT("900", "100") "\n", &users, &trace, NULL), 0);
    ck_assert_int_eq(trace.intervals[0].client, 2);
    trace_close(&trace);
}
END_TEST

static const struct {
    const char *text, *wanted;
    const struct partition *partition;
} faults[] = {
    {"client,from_s\n1,2\n", "t.csv:1: expected client,examples_per_s", &numbers},
    {"", "t.csv: no interval", &numbers},
    {HEAD "# none\n", "t.csv: no interval", &numbers},
    {HEAD "0,1,1,0\n", "t.csv:2: expected 5 fields, found 4", &numbers},
    {HEAD "0,1,1,0,1,\n", "t.csv:2: expected 5 fields, found 6", &numbers},
    {HEAD "\n0x,1,1,0,1\n", "t.csv:3: client: expected a whole number, found \"0x\"",
     &numbers},
    {HEAD "3,1,1,0,1\n", "t.csv:2: client: expected the number of one", &numbers},
    {HEAD "-1,1,1,0,1\n", "t.csv:2: client: expected the number of one", &numbers},
    {HEAD "3,1,1,0,1\n", "t.csv:2: client: expected the id of one", &users},
    {HEAD "0,0,1,0,1\n", "t.csv:2: examples_per_s: expected a number from", &numbers},
    {HEAD "0,1,nan,0,1\n", "t.csv:2: bytes_per_s: expected a number from", &numbers},
    {HEAD "0,1,1,-1,1\n", "t.csv:2: from_s: expected seconds from 0", &numbers},
    {HEAD "0,1,1,0,101\n", "t.csv:2: to_s: expected seconds from 0", &numbers},
    {HEAD "0,1,1,5,5\n", "t.csv:2: to_s: expected more than from_s, found \"5\"",
     &numbers},
    {HEAD "0,1,1,5,9\n1,1,1,0,9\n0,1,1,0,6\n",
     "t.csv:2: the interval overlaps with that of line 4", &numbers},
    {"{\n", "t.csv:1: ", &numbers},
    {OBJECT("0", "9") "\n[1]\n", "t.csv:2: expected a mapping", &numbers},
    {OBJECT("0", "9") "\n" HEAD, "t.csv:2: ", &numbers},
    {"{\"client\": 0}\n", "t.csv:1: examples_per_s: expected", &numbers},
    {OBJECT("0", "9, \"speed\": 3"), "t.csv:1: speed: ", &numbers},
    {OBJECT("0", "9, \"to_s\": 9"), "t.csv:1: to_s: ", &numbers},
    {OBJECT("\"0\"", "9"), "t.csv:1: client: expected a number", &numbers},
    {OBJECT("0.5", "9"), "t.csv:1: client: expected a whole number", &numbers},
    {OBJECT("[0]", "9"), "t.csv:1: client: expected a number", &numbers},
    {OBJECT("3", "9"), "t.csv:1: client: expected the id of one", &users},
    {OBJECT("0", "101"), "t.csv:1: to_s: expected seconds from 0", &numbers},
    {OBJECT("0", "5"), "t.csv:1: to_s: expected more than from_s", &numbers},
};

START_TEST(faults_have_file_and_line)
{
    struct trace trace = {.n = -1};
    struct error err = {0};
    ck_assert_int_eq(parse(faults[_i].text, faults[_i].partition, &trace, &err),
                     -PPT_ESPEC);
    ck_assert_msg(strstr(err.text, faults[_i].wanted) == err.text, "%s", err.text);
    ck_assert_int_eq(trace.n, -1);
}
END_TEST

static const char *told;

static int tell(struct io *io, char **ret_text, size_t *ret_len, struct error *err)
{
    (void)io, (void)err;
    *ret_text = strdup(told);
    *ret_len = strlen(told);
    return 0;
}

/* A round goes by the speeds at its beginning; with nobody there the clock goes on to
 * the next interval, also over the end of the period. */
START_TEST(the_clock_goes_by_the_file)
{
    static int64_t first[] = {0, 40, 80, 120};
    static const unsigned char key[CRYPTO_KEY_SIZE] = {7};
    struct io io = {.trace = tell};
    struct spec own = {.training = {.epochs = 1, .batch_size = 10}};
    struct partition partition = {.n_clients = 3, .first = first};
    struct device device;
    struct cohort cohort;
    own.federation.cohort = 2;
    own.federation.selection = SELECTION_FIXED;
    own.federation.devices =
        (struct spec_devices){.is_on = true, .over_commit = 1.5, .period_s = 1000};
    strcpy(own.federation.devices.trace.file, "t.csv");
    /* 100 floats each way: 800 bytes */
    told = HEAD "0,4,80,200,300\n1,40,800,200,210\n1,2,800,220,230\n2,4,8,900,1000\n";
    ck_assert_int_eq(device_open(&device, &own, &partition, 100, &io, NULL), 0);
    ck_assert_int_eq(
        cohort_open(&cohort, SELECTION_FIXED, 1.0, 3, 0, &partition, key, NULL), 0);
    device_draw(&device, &cohort, 0); /* from 200: client 0 takes 20 s, 1 takes 2 s */
    ck_assert_int_eq(cohort.n, 2);
    ck_assert_double_eq_tol(device.clock_s, 220, 1e-9);
    device_draw(&device, &cohort, 1); /* from 220: 20 s, and client 1 takes 21 s now */
    ck_assert_int_eq(cohort.n, 2);
    ck_assert_double_eq_tol(device.clock_s, 241, 1e-9);
    device_draw(&device, &cohort, 2);
    device_draw(&device, &cohort, 3);
    device_draw(&device, &cohort, 4); /* client 0 alone until 301 */
    ck_assert_double_eq_tol(device.clock_s, 301, 1e-9);
    ck_assert_int_eq(cohort.n, 1);
    device_draw(&device, &cohort, 5); /* from 900: 10 s and 100 s */
    ck_assert_int_eq(cohort.members[0], 2);
    ck_assert_double_eq_tol(device.clock_s, 1010, 1e-9);
    device_draw(&device, &cohort, 6); /* from 1200, which is 200 of the next period */
    ck_assert_int_eq(cohort.n, 2);
    ck_assert_double_eq_tol(device.clock_s, 1220, 1e-9);
    device_close(&device);
    cohort_close(&cohort);
}
END_TEST

/* Whole federations: the same model on any number of ranks, faults told, and an error
 * where nobody can read the file. */
START_TEST(one_model_for_any_ranks)
{
    use_federation(PARTITION_IID, 4, 8);
    spec.federation.selection = SELECTION_FIXED;
    spec.federation.devices =
        (struct spec_devices){.is_on = true, .over_commit = 1.5, .period_s = 3600};
    strcpy(spec.federation.devices.trace.file, "t.csv");
    static const char good[] = HEAD "3,100,1000,0,3600\n4,50,1000,100,200\n"
                                    "7,10,1000,50,3000\n8,10,1000,0,900\n"
                                    "9,70,1000,0,900\n";
    struct world one = federation_of(1), three = federation_of(3),
                 bad = federation_of(2);
    one.trace = three.trace = good;
    run_well(&one, 1);
    run_well(&three, 1);
    expect_same_model(&one, &three);
    bad.trace = HEAD "20,1,1,0,1\n";
    run(&bad, 1);
    ck_assert_int_eq(bad.rc[1], -PPT_ESPEC);
    ck_assert_ptr_nonnull(strstr(bad.err[1].text, "t.csv:2: client"));
    bad.trace = NULL;
    run(&bad, 1);
    ck_assert_int_eq(bad.rc[0], -PPT_ESTATE);
    world_free(&one);
    world_free(&three);
    world_free(&bad);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("trace");
    TCase *tcase = tcase_create("trace"), *whole = tcase_create("whole");
    tcase_add_test(tcase, finds_what_the_file_says);
    tcase_add_test(tcase, finds_what_lines_of_json_say);
    tcase_add_loop_test(tcase, faults_have_file_and_line, 0,
                        (int)(sizeof faults / sizeof faults[0]));
    tcase_add_test(tcase, the_clock_goes_by_the_file);
    suite_add_tcase(suite, tcase);
    tcase_add_checked_fixture(whole, setup_federation, teardown);
    tcase_add_test(whole, one_model_for_any_ranks);
    suite_add_tcase(suite, whole);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
