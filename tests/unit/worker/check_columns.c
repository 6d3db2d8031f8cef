/* CSV files whose columns are described: numbers, bins, words, labels; what a described
 * file may not say; and that neither words nor bins depend on the records. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/worker/scratch.h"
#include "worker/columns.h"
#include "worker/source.h"

static struct error err;
static struct source source;
static struct columns *columns;

static const char people[] = "- age: {mean: 40, std: 10, bins: [20, 30]}\n"
                             "- id: skip\n"
                             "- sex: {words: [F, M]}\n"
                             "- gain: {log: true, std: 2}\n"
                             "- rich: {label: [no, \"yes\"]}\n"
                             "- hours: number\n";

static void describe(const char *text)
{
    const char *path = scratch_write("columns.yaml", text, strlen(text));
    int rc = columns_read(path, &columns, &err);
    ck_assert_msg(rc == 0, "%s %s", err.text, err.detail);
}

static int open_csv(const char *text, enum csv_header header)
{
    const char *path = scratch_write("a.csv", text, strlen(text));
    return source_open_csv(path, NULL, header, columns, &source, &err);
}

START_TEST(records_become_features)
{
    float x[3][8];
    int64_t y[3];
    size_t n;
    describe(people);
    ck_assert_int_eq(columns_n_features(columns), 8);
    ck_assert_int_eq(columns_n_labels(columns), 2);
    int rc = open_csv("age, id, sex, gain, rich, hours\n"
                      "50, a7, M, 99, yes, 3\n"
                      "20, b8, ?, -99, no, 4.5\n"
                      "19.5,,F,0,no,0\n",
                      CSV_HEADER_AUTO);
    ck_assert_msg(rc == 0, "%s", err.text);
    ck_assert_int_eq(source.n_rows, 3);
    ck_assert_int_eq(source.dims[0], 8);
    ck_assert_int_eq(source.read(&source, 3, x, y, &n, &err), 0);
    ck_assert_uint_eq(n, 3);
    float gain = (float)(log(100.0) / 2);
    const float wanted[3][8] = {{1, 0, 0, 1, 0, 1, gain, 3},
                                {-2, 0, 1, 0, 0, 0, -gain, 4.5f},
                                {-2.05f, 1, 0, 0, 1, 0, 0, 0}};
    for (int i = 0; i < 24; i++)
        ck_assert_float_eq_tol(x[i / 8][i % 8], wanted[i / 8][i % 8], 1e-6f);
    ck_assert(y[0] == 1 && y[1] == 0 && y[2] == 0);
    source_close(&source);
    columns_free(columns);
}
END_TEST

/* Without a header, with one that must be there, and a record that is none. */
START_TEST(headers_are_the_columns_names)
{
    static const char described[] = "- a: number\n- b: label\n";
    describe(described);
    ck_assert_int_eq(columns_n_labels(columns), 0);
    ck_assert_int_eq(open_csv("1,0\n2,3\n", CSV_HEADER_AUTO), 0);
    ck_assert_int_eq(source.n_rows, 2);
    ck_assert_int_eq(source.max_label, 3);
    source_close(&source);
    ck_assert_int_eq(open_csv("a,b\n2,3\n", CSV_HEADER_YES), 0);
    ck_assert_int_eq(source.n_rows, 1);
    source_close(&source);
    ck_assert_int_eq(open_csv("a,c\n2,3\n", CSV_HEADER_YES), -PPT_EDATA);
    scratch_expect(&err, "a.csv:1:3: expected the heading that the columns' file has");
    ck_assert_int_eq(open_csv("a,b\n2,3\n", CSV_HEADER_NO), -PPT_EDATA);
    scratch_expect(&err, "a.csv:1:1: expected a number");
    ck_assert_int_eq(open_csv("a,c\n2,3\n", CSV_HEADER_AUTO), -PPT_EDATA);
    ck_assert_int_eq(open_csv("", CSV_HEADER_AUTO), -PPT_EDATA);
    scratch_expect(&err, "a.csv: empty");
    columns_free(columns);
}
END_TEST

static const struct {
    const char *text, *words;
} record_faults[] = {
    {"x,1,F,1,no,1\n", "a.csv:1:1: expected a number, found \"x\""},
    {"1,1,F,,no,1\n", "a.csv:1:7: expected a number, found \"\""},
    {"1,1,F,1,maybe,1\n",
     "a.csv:1:9: expected a label that is listed, found \"maybe\""},
    {"1,1,F,1,no,1e39\n", "expected a finite number that float32 can hold"},
    {"1,1,F,1,no\n", "a.csv:1: fewer cells, expected 6"},
    {"1,1,F,1,no,1,1\n", "a.csv:1: more cells, expected 6"},
    {"age,id,sex,gain,rich,hours\n", "no records behind its header"},
};
enum { N_RECORD_FAULTS = sizeof record_faults / sizeof record_faults[0] };

START_TEST(faults_of_records_are_named)
{
    describe(people);
    ck_assert_int_eq(open_csv(record_faults[_i].text, CSV_HEADER_AUTO), -PPT_EDATA);
    scratch_expect(&err, record_faults[_i].words);
    columns_free(columns);
}
END_TEST

static const struct {
    const char *text, *words;
} description_faults[] = {
    {"a: number\n", "expected a list of at most 4096 columns"},
    {"- a\n- b: label\n", "columns.yaml:1:3: [0]: expected one column, such as"},
    {"- a: {mean: 1}\n", "expected a label and at least one other column"},
    {"- a: label\n- b: skip\n", "expected a label and at least one other column"},
    {"- a: label\n- b: label\n- c: number\n", "expected one label, found a second"},
    {"- a: {std: 0}\n- b: label\n", "a.std"},
    {"- a: {bins: [1, 1]}\n- b: label\n", "expected a number above the one before it"},
    {"- a: {bins: []}\n- b: label\n", "expected a list of numbers that ascend"},
    {"- a: {words: [x]}\n- b: label\n", "expected a list of two or more words"},
    {"- a: {words: [x, x]}\n- b: label\n", "expected each word once"},
    {"- a: {words: [x, y], label: [x, y]}\n", "either words or a label"},
    {"- a: {words: [x, y], std: 2}\n- b: label\n", "std"},
    {"- a: {medium: 2}\n- b: label\n", "medium"},
    {"- a: [1, 2]\n- b: label\n", "expected skip, number, label or a mapping"},
    {"- a: float\n- b: label\n", "expected skip, number or label"},
};
enum {
    N_DESCRIPTION_FAULTS = sizeof description_faults / sizeof description_faults[0]
};

START_TEST(faults_of_descriptions_are_named)
{
    const char *text = description_faults[_i].text;
    const char *path = scratch_write("columns.yaml", text, strlen(text));
    ck_assert_int_eq(columns_read(path, &columns, &err), -PPT_ESPEC);
    ck_assert_msg(strstr(err.detail, description_faults[_i].words) != NULL, "%s",
                  err.detail);
}
END_TEST

START_TEST(an_absent_description_is_said)
{
    ck_assert_int_eq(columns_read(scratch_path("none.yaml"), &columns, &err),
                     -PPT_ENOTFOUND);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("columns");
    TCase *tc = tcase_create("columns");
    tcase_add_checked_fixture(tc, scratch_setup, scratch_teardown);
    tcase_add_test(tc, records_become_features);
    tcase_add_test(tc, headers_are_the_columns_names);
    tcase_add_loop_test(tc, faults_of_records_are_named, 0, N_RECORD_FAULTS);
    tcase_add_loop_test(tc, faults_of_descriptions_are_named, 0, N_DESCRIPTION_FAULTS);
    tcase_add_test(tc, an_absent_description_is_said);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
