/* What programs read and print: options, JSON, tables, errors. */
#include "base/error.h"
#include "base/json.h"
#include "base/opt.h"
#include "base/table.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct error err;

static bool flag;
static const char *file;
static int64_t count;
static double noise;
static bool noise_given;
static struct opt_list names;

static const struct opt options[] = {
    {"wait", 'w', OPT_FLAG, &flag, NULL, "wait for the end", NULL},
    {"file", 'f', OPT_STRING, &file, "FILE", "a file", NULL},
    {"count", 0, OPT_INTEGER, &count, "N", "how many", NULL},
    {"noise", 0, OPT_NUMBER, &noise, "X", "how much", &noise_given},
    {"name", 'n', OPT_LIST, &names, "NAME", "may be repeated", NULL},
};
static const struct opt_program program = {
    .name = "prog",
    .usage = "JOB",
    .summary = "Does a thing.",
    .options = options,
    .n_options = 5,
    .min_operands = 1,
    .max_operands = 2,
};

static int parse(const char *words, int *ret_n_operands, char *argv[16])
{
    static char text[256];
    snprintf(text, sizeof text, "prog %s", words);
    int argc = 0;
    for (char *word = strtok(text, " "); word != NULL; word = strtok(NULL, " "))
        argv[argc++] = word;
    argv[argc] = NULL;
    flag = noise_given = false;
    file = NULL;
    count = 0;
    noise = 0;
    names.n = 0;
    return opt_parse(&program, argc, argv, ret_n_operands, &err);
}

START_TEST(options_are_parsed_anywhere)
{
    char *argv[16];
    int n = 0;
    ck_assert_int_eq(
        parse("one -w --file=x.yaml two --count -7 --noise 1e-3", &n, argv), 0);
    ck_assert_int_eq(n, 2);
    ck_assert_str_eq(argv[1], "one");
    ck_assert_str_eq(argv[2], "two");
    ck_assert(flag && noise_given);
    ck_assert_str_eq(file, "x.yaml");
    ck_assert_int_eq(count, -7);
    ck_assert_double_eq(noise, 1e-3);
    ck_assert_int_eq(parse("-fy -- --count", &n, argv), 0);
    ck_assert_str_eq(file, "y");
    ck_assert_str_eq(argv[1], "--count");
}
END_TEST

START_TEST(an_option_may_be_repeated)
{
    char *argv[16];
    int n = 0;
    ck_assert_int_eq(parse("one -n a --name=b=c --name d", &n, argv), 0);
    ck_assert_int_eq(names.n, 3);
    ck_assert_str_eq(names.values[0], "a");
    ck_assert_str_eq(names.values[1], "b=c");
    ck_assert_str_eq(names.values[2], "d");

    char *many[2 + OPT_LIST_MAX + 1] = {"prog", "one"};
    for (int i = 0; i < OPT_LIST_MAX + 1; i++)
        many[2 + i] = "-nx";
    names.n = 0;
    ck_assert_int_eq(opt_parse(&program, 2 + OPT_LIST_MAX, many, &n, &err), 0);
    names.n = 0;
    ck_assert_int_eq(opt_parse(&program, 3 + OPT_LIST_MAX, many, &n, &err),
                     -PPT_EUSAGE);
    ck_assert_str_eq(err.text, "--name: given more than 64 times");
}
END_TEST

START_TEST(wrong_usage_says_what)
{
    static const struct {
        const char *words, *expected;
    } cases[] = {
        {"", "something is missing"},
        {"a b c", "too many arguments"},
        {"a --bogus", "unknown option '--bogus'"},
        {"a -x", "unknown option '-x'"},
        {"a --file", "--file needs a value"},
        {"a --wait=yes", "--wait takes no value"},
        {"a --count 3.5", "--count: '3.5' is not a whole number"},
        {"a --count 99999999999999999999",
         "--count: 99999999999999999999 is too large"},
        {"a --noise nan", "--noise: 'nan' is not a number"},
        {"a --noise 1x", "--noise: '1x' is not a number"},
        {"a --noise inf", "--noise: 'inf' is not a number"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *argv[16];
        int n = 99;
        ck_assert_int_eq(parse(cases[i].words, &n, argv), -PPT_EUSAGE);
        ck_assert_msg(strstr(err.text, cases[i].expected) != NULL, "%s: %s",
                      cases[i].words, err.text);
        ck_assert_str_eq(err.hint, "run prog --help");
        ck_assert_int_eq(n, 99);
    }
}
END_TEST

START_TEST(json_text_is_exact)
{
    struct json json = {0};
    char *text;
    json_object(&json, NULL);
    json_string(&json, "s", "a\"b\\c\n\x01\xc3\xa9");
    json_array(&json, "a");
    json_integer(&json, NULL, INT64_MIN);
    json_object(&json, NULL);
    json_close_object(&json);
    json_null(&json, NULL);
    json_close_array(&json);
    json_bool(&json, "b", true);
    json_number(&json, "x", 0.1);
    json_number(&json, "inf", INFINITY);
    json_close_object(&json);
    ck_assert_int_eq(json_end(&json, &text, &err), 0);
    ck_assert_str_eq(text, "{\"s\": \"a\\\"b\\\\c\\n\\u0001\xc3\xa9\", \"a\": "
                           "[-9223372036854775808, {}, null], \"b\": true, \"x\": 0.1, "
                           "\"inf\": null}\n");
    free(text);
}
END_TEST

START_TEST(shortest_numbers_read_back)
{
    static const double values[] = {
        0,      1,       -1.5,    0.1,     1.0 / 3,
        1e-300, DBL_MAX, DBL_MIN, 5e-324,  123456789.125,
        1e22,   1e23,    M_PI,    -2e-308, 9007199254740993.0};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        char text[32];
        json_shortest(values[i], text);
        ck_assert(strtod(text, NULL) == values[i]);
    }
    char text[32];
    json_shortest(0.1, text);
    ck_assert_str_eq(text, "0.1");
    json_shortest(-600, text);
    ck_assert_str_eq(text, "-600");
}
END_TEST

/* Against the definition: the first number of digits that reads back. */
START_TEST(shortest_numbers_are_shortest)
{
    uint64_t bits = 88172645463325252u;
    for (int i = 0; i < 20000; i++) {
        char text[32], expected[32];
        double value;
        bits ^= bits << 13, bits ^= bits >> 7, bits ^= bits << 17; /* Marsaglia's */
        if (i % 2 == 0)
            memcpy(&value, &bits, sizeof value);
        else /* few digits */
            value = (double)(bits % 100000) / pow(10, (double)(bits >> 32 & 15));
        if (!isfinite(value) || (fabs(value) < 1e15 && value == trunc(value)))
            continue;
        json_shortest(value, text);
        for (int digits = 1; digits <= 17; digits++) {
            snprintf(expected, sizeof expected, "%.*g", digits, value);
            if (strtod(expected, NULL) == value)
                break;
        }
        ck_assert_str_eq(text, expected);
    }
}
END_TEST

START_TEST(a_table_lines_up)
{
    static const char *const headings[] = {"NAME", ">SPENT", "STATE"};
    static const char *const rows[][3] = {{"acme", "1.5", "ok"},
                                          {"acme/\xc3\xa9t\xc3\xa9", "10.25", "full"}};
    struct table *table = table_new(headings, 3);
    table_row(table, rows[0]);
    table_row(table, rows[1]);
    char *text;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    table_print(table, out, true);
    table_print(table, out, false);
    fclose(out);
    ck_assert_str_eq(text, "NAME      SPENT  STATE\n"
                           "acme        1.5  ok\n"
                           "acme/\xc3\xa9t\xc3\xa9  10.25  full\n"
                           "acme        1.5  ok\n"
                           "acme/\xc3\xa9t\xc3\xa9  10.25  full\n");
    free(text);
    table_free(table);
}
END_TEST

START_TEST(an_error_carries_text_detail_and_hint)
{
    ck_assert_int_eq(error_set(&err, PPT_EDATA, "row %d", 3), -PPT_EDATA);
    ck_assert_int_eq(error_hint(&err, "do that"), -PPT_EDATA);
    ck_assert_int_eq(error_prefix(&err, "reading"), -PPT_EDATA);
    ck_assert_str_eq(err.text, "reading: row 3");
    ck_assert_str_eq(error_name(-PPT_EDATA), "PPT_EDATA");
    ck_assert_str_eq(error_name(12345), "PPT_EINTERNAL");
    ck_assert_int_eq(error_set(NULL, PPT_EIO, "x"), -PPT_EIO);
    error_set(&err, PPT_EIO, "new");
    ck_assert_str_eq(err.hint, "");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("words");
    TCase *tc = tcase_create("words");
    tcase_add_test(tc, options_are_parsed_anywhere);
    tcase_add_test(tc, an_option_may_be_repeated);
    tcase_add_test(tc, wrong_usage_says_what);
    tcase_add_test(tc, json_text_is_exact);
    tcase_add_test(tc, shortest_numbers_read_back);
    tcase_add_test(tc, shortest_numbers_are_shortest);
    tcase_add_test(tc, a_table_lines_up);
    tcase_add_test(tc, an_error_carries_text_detail_and_hint);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed != 0;
}
