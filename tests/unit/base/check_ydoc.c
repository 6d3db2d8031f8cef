/* The tree, its bounds, its typed readers, and the exact words of each fault. */
#include <check.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/ydoc.h"

static struct ydoc_faults faults;

static struct ydoc *parse(const char *text)
{
    faults = (struct ydoc_faults){.path = "f"};
    return ydoc_parse(text, strlen(text), NULL, &faults);
}

static const char *detail(void)
{
    static struct error err;
    err = (struct error){0};
    ydoc_faults_end(&faults, "test file", &err);
    return err.detail;
}

START_TEST(tree_has_places)
{
    struct ydoc *doc = parse("# head\na: 1\nm:\n  k\xc3\xa4y: [x, \"3\"]\n");
    const struct ydoc_node *root = ydoc_root(doc);
    ck_assert_ptr_nonnull(root);
    ck_assert_int_eq(faults.n, 0);
    ck_assert_int_eq(root->kind, YDOC_MAPPING);
    ck_assert_int_eq(root->n_children, 2);
    const struct ydoc_node *a = ydoc_get(root, "a");
    ck_assert_str_eq(a->text, "1");
    ck_assert(a->is_plain);
    ck_assert_int_eq(a->line, 2);
    ck_assert_int_eq(a->column, 4);
    const struct ydoc_node *list = ydoc_get(ydoc_get(root, "m"), "k\xc3\xa4y");
    ck_assert_int_eq(list->kind, YDOC_SEQUENCE);
    ck_assert_int_eq(list->key_line, 4);
    ck_assert_int_eq(list->key_column, 3);
    ck_assert_int_eq(list->column, 8); /* characters, not bytes */
    const struct ydoc_node *quoted = list->first->next;
    ck_assert_int_eq(quoted->index, 1);
    ck_assert(!quoted->is_plain);
    ck_assert_ptr_null(quoted->next);
    ck_assert_ptr_null(ydoc_get(list, "x"));
    ck_assert_ptr_null(ydoc_get(NULL, "x"));
    ydoc_free(doc);
}
END_TEST

START_TEST(json_comes_back)
{
    const char *odd = "tab\t line\n quote\" back\\slash \xe2\x82\xac";
    struct json json = {0};
    json_object(&json, NULL);
    json_string(&json, "text", odd);
    json_number(&json, "number", 1e-6);
    json_integer(&json, "least", INT64_MIN);
    json_array(&json, "list");
    json_bool(&json, NULL, true);
    json_null(&json, NULL);
    json_close_array(&json);
    json_close_object(&json);
    char *text;
    ck_assert_int_eq(json_end(&json, &text, NULL), 0);

    struct ydoc *doc = parse(text);
    const struct ydoc_node *root = ydoc_root(doc);
    char back[64] = "";
    double number = 0;
    int64_t least = 0;
    bool flag = false;
    ck_assert_int_eq(ydoc_string(&faults, ydoc_need(&faults, root, "text"), 64, back),
                     0);
    ck_assert_str_eq(back, odd);
    struct ydoc_range unit = {0, 1, true, true};
    ck_assert_int_eq(ydoc_number(&faults, ydoc_get(root, "number"), unit, &number), 0);
    ck_assert(number == 1e-6);
    ck_assert_int_eq(
        ydoc_integer(&faults, ydoc_get(root, "least"), INT64_MIN, INT64_MAX, &least),
        0);
    ck_assert(least == INT64_MIN);
    const struct ydoc_node *list = ydoc_get(root, "list");
    ck_assert_int_eq(ydoc_bool(&faults, list->first, &flag), 0);
    ck_assert(flag);
    ck_assert(ydoc_is_null(list->first->next));
    ck_assert_int_eq(faults.n, 0);
    ydoc_free(doc);
    free(text);
}
END_TEST

/* What the tree itself refuses, and in which words. */
static const struct {
    const char *text, *detail;
    bool is_readable; /* a tree comes back so that more faults can be found */
} refused[] = {
    {"", "f:1:1: expected a document, found nothing", false},
    {"# only a comment\n", "f:1:1: expected a document, found nothing", false},
    {"a: &x 1\n",
     "f:1:4: expected a plain value, found an anchor (&): write the value out where it "
     "is used",
     true},
    {"a: *x\n",
     "f:1:4: expected a plain value, found an alias (*): write the value out", false},
    {"a: !!int 1\n",
     "f:1:4: expected a plain value, found a tag (!): tags are not used here", true},
    {"- !x [1]\n",
     "f:1:3: expected a plain value, found a tag (!): tags are not used here", true},
    {"%YAML 1.1\n---\na: 1\n", "f:1:1: expected a document without directives (%)",
     true},
    {"a: 1\n---\nb: 2\n", "f:2:1: expected one document, found the start of a second",
     false},
    {"a: 1\nb: 2\na: 3\n",
     "f:3:1: a: expected each key once, it stands in line 1 already", true},
    {"m:\n  \"a\": 1\n  a: 2\n",
     "f:3:3: m.a: expected each key once, it stands in line 2 already", true},
    {"<<: {a: 1}\n",
     "f:1:1: <<: expected a key, found a merge (<<): write the keys out", true},
    {"[a, b]: 1\n", "f:1:1: expected a word as the key, found a collection", false},
    {"? {a: b}\n: 1\n", "f:1:3: expected a word as the key, found a collection", false},
    {"a: \xff\n", "f:1:4: expected UTF-8 text, found a byte that is not", false},
    {"a: 1\nb: \xc0\xaf\n", "f:2:4: expected UTF-8 text, found a byte that is not",
     false},
    {"a: \xed\xa0\x80\n", "f:1:4: expected UTF-8 text, found a byte that is not",
     false},
    {"a: \x1b[31m\n", "f:1:4: expected text, found a control character", false},
    {"a: \"\\e[31m\"\n", "f:1:4: expected text, found a control character", false},
    {"a: \"x\\0y\"\n", "f:1:4: expected text, found a control character", false},
    {"\"a\\x85\": 1\n", "f:1:1: expected text, found a control character", false},
    {"[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]\n",
     "f:1:17: [0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]: expected at most 16 "
     "collections in one another, found more",
     false},
};

START_TEST(tree_refuses)
{
    struct ydoc *doc = parse(refused[_i].text);
    ck_assert_int_eq(doc != NULL, refused[_i].is_readable);
    ck_assert_str_eq(detail(), refused[_i].detail);
    ydoc_free(doc);
}
END_TEST

START_TEST(syntax_has_a_place)
{
    ck_assert_ptr_null(parse("a: 1\n b: 2\n"));
    ck_assert_str_eq(detail(),
                     "f:2:3: expected YAML: mapping values are not allowed in this "
                     "context");
    ck_assert_ptr_null(parse("a: [1, 2\n"));
    ck_assert_int_eq(faults.n, 1);
    ck_assert_int_eq(faults.list[0].line, 2);
    ck_assert_ptr_null(parse("a: 'x\n"));
    ck_assert_int_eq(faults.n, 1);
}
END_TEST

START_TEST(bounds_hold)
{
    struct ydoc_limits limits = {.max_bytes = 12, .max_depth = 2, .max_nodes = 5};
    const char *fits = "{a: [b, c]}"; /* 11 bytes, 2 deep, 5 nodes */
    faults = (struct ydoc_faults){.path = "f"};
    struct ydoc *doc = ydoc_parse(fits, strlen(fits), &limits, &faults);
    ck_assert_ptr_nonnull(doc);
    ydoc_free(doc);
    static const struct {
        const char *text, *detail;
    } over[] = {
        {"{a: [b,  cd]}", "f: expected at most 12 bytes, found 13"},
        {"[[[]]]", "f:1:3: [0][0]: expected at most 2 collections in one another, "
                   "found more"},
        {"[1,2,3,4,5]", "f:1:10: expected at most 5 keys and values, found more"},
    };
    for (size_t i = 0; i < sizeof over / sizeof over[0]; i++) {
        faults = (struct ydoc_faults){.path = "f"};
        ck_assert_ptr_null(
            ydoc_parse(over[i].text, strlen(over[i].text), &limits, &faults));
        ck_assert_str_eq(detail(), over[i].detail);
    }
}
END_TEST

/* Reads the one value of "v: TEXT" as some type. */
enum type { INTEGER, NUMBER, BOOL, SIZE, DURATION, STRING };

static int read_as(enum type type, const char *text, double *ret_value)
{
    char line[128];
    snprintf(line, sizeof line, "v: %s\n", text);
    struct ydoc *doc = parse(line);
    const struct ydoc_node *v = ydoc_get(ydoc_root(doc), "v");
    int64_t i = -7;
    double d = -7;
    bool b = false;
    char s[8] = "";
    int rc =
        type == INTEGER ? ydoc_integer(&faults, v, -1000, INT64_MAX, &i)
        : type == NUMBER
            ? ydoc_number(&faults, v, (struct ydoc_range){-2, 1e30, true, false}, &d)
        : type == BOOL     ? ydoc_bool(&faults, v, &b)
        : type == SIZE     ? ydoc_size(&faults, v, 0, (int64_t)1 << 50, &i)
        : type == DURATION ? ydoc_duration(&faults, v, 1, (int64_t)86400 * 400, &i)
                           : ydoc_string(&faults, v, sizeof s, s);
    *ret_value = type == NUMBER ? d : type == BOOL ? b : (double)i;
    ck_assert_int_eq(rc == 0, faults.n == 0);
    ydoc_free(doc);
    return rc;
}

static const struct {
    enum type type;
    const char *text;
    double value;
} accepted[] = {
    {INTEGER, "0", 0},
    {INTEGER, "-0", 0},
    {INTEGER, "-1000", -1000},
    {INTEGER, "4611686018427387904", 4611686018427387904.0},
    {NUMBER, "3", 3},
    {NUMBER, "0.5", 0.5},
    {NUMBER, "-1.25e-3", -0.00125},
    {NUMBER, "1E+20", 1e20},
    {NUMBER, "1e30", 1e30},
    {BOOL, "true", 1},
    {BOOL, "false", 0},
    {SIZE, "0", 0},
    {SIZE, "4096", 4096},
    {SIZE, "3KiB", 3072},
    {SIZE, "512 MiB", 536870912},
    {SIZE, "\"2GiB\"", 2147483648.0},
    {SIZE, "1024TiB", 1125899906842624.0},
    {DURATION, "90s", 90},
    {DURATION, "15m", 900},
    {DURATION, "2h", 7200},
    {DURATION, "1d", 86400},
    {DURATION, "'3600s'", 3600},
    {DURATION, "00:00:01", 1},
    {DURATION, "01:30:05", 5405},
    {DURATION, "100:00:00", 360000},
    {DURATION, "1-02:03:04", 93784},
    {STRING, "1234567", -7},
};

START_TEST(readers_accept)
{
    double value;
    ck_assert_int_eq(read_as(accepted[_i].type, accepted[_i].text, &value), 0);
    ck_assert_msg(value == accepted[_i].value, "%s", accepted[_i].text);
}
END_TEST

static const struct {
    enum type type;
    const char *text;
} rejected[] = {
    {INTEGER, ""},
    {INTEGER, "~"},
    {INTEGER, "+1"},
    {INTEGER, "007"},
    {INTEGER, "0x10"},
    {INTEGER, "0o7"},
    {INTEGER, "1_000"},
    {INTEGER, "1e3"},
    {INTEGER, "1.0"},
    {INTEGER, "12a"},
    {INTEGER, "-"},
    {INTEGER, "\"3\""},
    {INTEGER, "-1001"},
    {INTEGER, "[1]"},
    {INTEGER, "-99999999999999999999999999999999999999999"},
    {NUMBER, ".5"},
    {NUMBER, "5."},
    {NUMBER, "1e"},
    {NUMBER, "1,5"},
    {NUMBER, "0x1p3"},
    {NUMBER, ".inf"},
    {NUMBER, "inf"},
    {NUMBER, "nan"},
    {NUMBER, "NaN"},
    {NUMBER, "1e999"},
    {NUMBER, "-2"},
    {NUMBER, "1.1e30"},
    {NUMBER, "00.5"},
    {NUMBER, "3 4"},
    {NUMBER, "'3'"},
    {NUMBER, "{a: 1}"},
    {BOOL, "yes"},
    {BOOL, "True"},
    {BOOL, "on"},
    {BOOL, "1"},
    {BOOL, "'true'"},
    {SIZE, "2GB"},
    {SIZE, "2G"},
    {SIZE, "2  GiB"},
    {SIZE, "GiB"},
    {SIZE, "-1KiB"},
    {SIZE, "1.5GiB"},
    {SIZE, "010"},
    {SIZE, "1025TiB"},
    {SIZE, "99999999999TiB"},
    {SIZE, "16777216TiB"}, /* 2^64: nothing, if it wrapped */
    {SIZE, "\"4096\""},
    {DURATION, "90"},
    {DURATION, "0s"},
    {DURATION, "1w"},
    {DURATION, "1h30m"},
    {DURATION, "30:00"},
    {DURATION, "01:60:00"},
    {DURATION, "01:00:60"},
    {DURATION, "1-24:00:00"},
    {DURATION, "1-2:00:00"},
    {DURATION, "1:2:3"},
    {DURATION, "-01:00:00"},
    {DURATION, "401d"},
    {DURATION, "9999999999d"},
    {DURATION, "1 h"},
    {STRING, "12345678"},
    {STRING, "null"},
    {STRING, "[a]"},
};

START_TEST(readers_refuse)
{
    double value;
    ck_assert_msg(read_as(rejected[_i].type, rejected[_i].text, &value) == -PPT_ESPEC,
                  "%s", rejected[_i].text);
    if (rejected[_i].type != NUMBER)
        ck_assert(value == (rejected[_i].type == BOOL ? 0 : -7)); /* untouched */
}
END_TEST

START_TEST(numbers_ignore_the_locale)
{
    /* de_DE writes a comma; where it is not installed this changes nothing */
    setlocale(LC_ALL, "de_DE.UTF-8");
    double value;
    ck_assert_int_eq(read_as(NUMBER, "0.5", &value), 0);
    ck_assert(value == 0.5);
    setlocale(LC_ALL, "C");
    ck_assert_int_eq(read_as(NUMBER, "-0.0", &value), 0);
    ck_assert(!signbit(value));
}
END_TEST

START_TEST(messages_say_what_was_found)
{
    struct ydoc *doc = parse("b: \"3\"\n"
                             "a: {steps: ten, size: , list: [x]}\n"
                             "epsilom: 1\n"
                             "zzz: 1\n");
    const struct ydoc_node *root = ydoc_root(doc), *a = ydoc_get(root, "a");
    static const char *const keys[] = {"a", "b", "epsilon"};
    static const char *const words[] = {"sgd", "adam"};
    int64_t value;
    int word;
    ck_assert_int_eq(ydoc_only_keys(&faults, root, keys, 3), -PPT_ESPEC);
    ydoc_integer(&faults, ydoc_get(root, "b"), 0, 10, &value);
    ydoc_integer(&faults, ydoc_get(a, "steps"), 1, INT64_MAX, &value);
    ydoc_size(&faults, ydoc_get(a, "size"), 1, 2048, &value);
    ydoc_word(&faults, ydoc_get(a, "list")->first, words, 2, &word);
    ydoc_only_keys(&faults, ydoc_get(a, "list"), keys, 3);
    ck_assert_ptr_null(ydoc_need(&faults, a, "mode"));
    ck_assert_str_eq(
        detail(),
        "f:1:4: b: expected an integer from 0 to 10, found the text \"3\"\n"
        "f:2:4: a.mode: expected this key, it is missing\n"
        "f:2:12: a.steps: expected an integer of at least 1, found \"ten\"\n"
        "f:2:23: a.size: expected a size in KiB, MiB, GiB or TiB, or an integer of "
        "bytes, from 1 to 2KiB, found nothing\n"
        "f:2:31: a.list: expected a mapping, found a list\n"
        "f:2:32: a.list[0]: expected sgd or adam, found \"x\"\n"
        "f:3:1: epsilom: expected a known key: did you mean \"epsilon\"?\n"
        "f:4:1: zzz: expected one of the keys a, b or epsilon");
    ydoc_free(doc);
}
END_TEST

START_TEST(faults_are_counted)
{
    char text[4096];
    size_t used = 0;
    for (int i = 0; i < 200; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "k%d: v\n", i);
    struct ydoc *doc = parse(text);
    static const char *const keys[] = {"epsilon"};
    ydoc_only_keys(&faults, ydoc_root(doc), keys, 1);
    struct error err = {0};
    ck_assert_int_eq(ydoc_faults_end(&faults, "test file", &err), -PPT_ESPEC);
    ck_assert_str_eq(err.text, "f is not a valid test file: 200 faults");
    ck_assert_int_eq(strncmp(err.detail, "f:1:1: k0: ", 11), 0);
    int n_lines = 1;
    for (const char *c = err.detail; *c != '\0'; c++)
        n_lines += *c == '\n';
    char last[64];
    snprintf(last, sizeof last, "\nand %d more", 200 - (n_lines - 1));
    ck_assert_ptr_nonnull(strstr(err.detail, last));
    ydoc_free(doc);
}
END_TEST

START_TEST(policy_has_its_own_code)
{
    struct ydoc *doc = parse("a: 1\nb: x\n");
    const struct ydoc_node *root = ydoc_root(doc);
    struct error err = {0};
    ck_assert_int_eq(ydoc_faults_end(&faults, "test file", &err), 0);
    ck_assert_int_eq(err.code, 0);
    ydoc_policy_fault(&faults, root, "a", "expected less");
    ck_assert_int_eq(ydoc_faults_end(&faults, "test file", &err), -PPT_EPOLICY);
    ck_assert_str_eq(err.text, "f is not a valid test file: 1 fault");
    ydoc_fault_at(&faults, root, "b", "expected y");
    ck_assert_int_eq(ydoc_faults_end(&faults, "test file", &err), -PPT_ESPEC);
    ck_assert_str_eq(err.detail, "f:1:4: a: expected less\nf:2:4: b: expected y");
    ydoc_free(doc);
}
END_TEST

START_TEST(messages_cannot_move_the_cursor)
{
    struct ydoc *doc = parse("\"a\\nb\": \"x\\ty\\n\"\n");
    const struct ydoc_node *v = ydoc_root(doc)->first;
    bool flag;
    ydoc_bool(&faults, v, &flag);
    ck_assert_str_eq(detail(),
                     "f:1:9: a b: expected true or false, found the text \"x y \"");
    ydoc_free(doc);
}
END_TEST

/* One tree read as several files: "s" is taken out, its lists fill places. */
START_TEST(tree_can_stand_for_several)
{
    struct ydoc *doc = parse("a: 1\ns: {m.x: [3, \"4\"], a: [5], m.x.y: [6], b.: [7]}\n"
                             "m: {k: 2}\n");
    const struct ydoc_node *root = ydoc_root(doc), *s = ydoc_take(root, "s");
    ck_assert_ptr_nonnull(s);
    ck_assert_int_eq(root->n_children, 2);
    ck_assert_ptr_null(ydoc_get(root, "s"));
    ck_assert_ptr_null(ydoc_take(root, "s"));
    ck_assert_str_eq(ydoc_get(root, "a")->next->key, "m");

    const struct ydoc_node *list = ydoc_get(s, "m.x");
    const struct ydoc_node *x = ydoc_place(doc, &faults, list);
    ck_assert_ptr_eq(x, ydoc_get(ydoc_get(root, "m"), "x"));
    ck_assert_str_eq(x->text, "");
    int64_t n = 0;
    ydoc_say(x, list->first);
    ck_assert_int_eq(ydoc_integer(&faults, x, 0, 9, &n), 0);
    ck_assert_int_eq(n, 3);
    ck_assert_int_eq(faults.n, 0);
    ydoc_say(x, list->first->next); /* a text, and none of the keys that m may have */
    ck_assert_int_lt(ydoc_integer(&faults, x, 0, 9, &n), 0);
    ydoc_only_keys(&faults, ydoc_get(root, "m"), (const char *const[]){"k"}, 1);
    ck_assert_ptr_null(ydoc_place(doc, &faults, ydoc_get(s, "a")));
    ck_assert_ptr_null(ydoc_place(doc, &faults, ydoc_get(s, "m.x.y")));
    ck_assert_ptr_null(ydoc_place(doc, &faults, ydoc_get(s, "b.")));
    ck_assert_str_eq(
        detail(),
        "f:2:5: m.x: expected a known key: did you mean \"k\"?\n"
        "f:2:14: m.x: expected an integer from 0 to 9, found the text \"4\"\n"
        "f:2:23: s.a: expected this field here alone, it stands in line 1 too\n"
        "f:2:35: s.m.x.y: expected a field, but x in line 2 has none\n"
        "f:2:44: s.b.: expected a field such as training.learning_rate");
    ydoc_free(doc);
}
END_TEST

START_TEST(faults_are_merged_once)
{
    struct ydoc_node node = {.line = 1};
    struct ydoc_faults more = {.path = "f"};
    faults = (struct ydoc_faults){.path = "f"};
    ydoc_fault(&more, &node, "one");
    ydoc_faults_merge(&faults, &more);
    ydoc_faults_merge(&faults, &more);
    ck_assert_int_eq(faults.n, 1);
    ydoc_policy_fault(&more, NULL, "k", "two");
    ydoc_faults_merge(&faults, &more);
    ck_assert_int_eq(faults.n, 2);
    ck_assert_int_lt(faults.n_policy, faults.n);
    for (int i = 0; i < YDOC_MAX_FAULTS; i++)
        ydoc_fault(&more, &node, "%d", i);
    ydoc_faults_merge(&faults, &more); /* the last two were only counted */
    ck_assert_int_eq(faults.n, YDOC_MAX_FAULTS + 2);
    ck_assert_str_eq(faults.list[YDOC_MAX_FAULTS - 1].message, "61");

    more = faults = (struct ydoc_faults){.path = "f"};
    ydoc_policy_fault(&more, &node, "k", "site");
    ydoc_faults_merge(&faults, &more);
    ydoc_faults_merge(&faults, &more);
    struct error err = {0};
    ck_assert_int_eq(ydoc_faults_end(&faults, "test file", &err), -PPT_EPOLICY);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ydoc");
    TCase *tcase = tcase_create("ydoc");
    tcase_add_test(tcase, tree_has_places);
    tcase_add_test(tcase, tree_can_stand_for_several);
    tcase_add_test(tcase, faults_are_merged_once);
    tcase_add_test(tcase, json_comes_back);
    tcase_add_loop_test(tcase, tree_refuses, 0, sizeof refused / sizeof refused[0]);
    tcase_add_test(tcase, syntax_has_a_place);
    tcase_add_test(tcase, bounds_hold);
    tcase_add_loop_test(tcase, readers_accept, 0, sizeof accepted / sizeof accepted[0]);
    tcase_add_loop_test(tcase, readers_refuse, 0, sizeof rejected / sizeof rejected[0]);
    tcase_add_test(tcase, numbers_ignore_the_locale);
    tcase_add_test(tcase, messages_say_what_was_found);
    tcase_add_test(tcase, faults_are_counted);
    tcase_add_test(tcase, policy_has_its_own_code);
    tcase_add_test(tcase, messages_cannot_move_the_cursor);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
