/* Text records: what is redacted and what is not, byte pairs, and the lines they come
 * from. Numbers are those that standards and registers publish as examples. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/worker/scratch.h"
#include "worker/redact.h"
#include "worker/source.h"
#include "worker/tokeniser.h"

static struct error err;

static const struct {
    const char *text, *redacted;
} redactions[] = {
    {"write to a@b.cd or to Jo.Do+x_1@mail.example.org.",
     "write to [MAIL] or to [MAIL]."},
    {"<me@example.com>,you@x-y.co.uk", "<[MAIL]>,[MAIL]"},
    {"a@b @c.de a@.com a@b.c1 a@b..com x@y.z",
     "a@b @c.de a@.com a@b.c1 a@b..com x@y.z"},
    {"paid by 4111 1111 1111 1111, or 5500-0000-0000-0004; 378282246310005",
     "paid by [CARD], or [CARD]; [CARD]"},
    {"no card 4111 1111 1111 1112 but long", "no card [PHONE] 1112 but long"},
    {"with its code: 4111 1111 1111 1111 123", "with its code: [CARD] 123"},
    {"x4111111111111111 and 4111111111111111x",
     "x4111111111111111 and 4111111111111111x"},
    {"ssn 078-05-1120, not 000-12-3456, 666-12-3456, 900-12-3456, 123-00-4567",
     "ssn [ID], not [PHONE], [PHONE], [PHONE], [PHONE]"},
    {"nino QQ 12 34 56 C or ab123456d, not AB123456E",
     "nino [ID] or [ID], not AB123456E"},
    {"dni 12345678Z, x1234567L, not 12345678A", "dni [ID], [ID], not 12345678A"},
    {"nir 2 55 08 14 168 025 38 ", "nir [ID] "},
    {"2 55 08 14 168 025 38 12345678Z +41 44 668 18 00, 078-05-1120",
     "[ID] [ID] [PHONE], [ID]"},
    {"call +41 44 668 18 00 or (555) 123-4567 or 020 7946 0958.",
     "call [PHONE] or [PHONE] or [PHONE]."},
    {"+1234567 +123456 12345678, 12345678 on 2024-01-02, 3.14159, 1,234,567,890",
     "[PHONE] [PHONE], 12345678 on 2024-01-02, 3.14159, 1,234,567,890"},
    {"12345678901234567890 digits are none", "12345678901234567890 digits are none"},
    {"", ""},
    {"@", "@"},
    {"+", "+"},
    {"(", "("},
    {"a@b.cd", "[MAIL]"},
};
enum { N_REDACTIONS = sizeof redactions / sizeof redactions[0] };

START_TEST(what_names_people_is_redacted)
{
    struct redact redact;
    char text[256];
    ck_assert(redact_parse("all", &redact));
    snprintf(text, sizeof text, "%s", redactions[_i].text);
    redact_text(&redact, text);
    ck_assert_str_eq(text, redactions[_i].redacted);
    int64_t found = 0, marks = 0;
    for (int kind = 0; kind < REDACT_N; kind++)
        found += redact.n[kind];
    for (const char *at = text; *at != '\0'; at++)
        marks += *at == '[';
    ck_assert_int_eq(found, marks);
    redact_text(&redact, text);
    ck_assert_str_eq(text, redactions[_i].redacted);
}
END_TEST

START_TEST(only_what_is_asked_for_is_redacted)
{
    struct redact redact;
    char text[] = "a@b.cd 4111111111111111 +41446681800";
    ck_assert(redact_parse("card,phone", &redact));
    ck_assert(!redact.is_on[REDACT_MAIL] && redact.is_on[REDACT_CARD]);
    redact_text(&redact, text);
    ck_assert_str_eq(text, "a@b.cd [CARD] [PHONE]");
    ck_assert_int_eq(redact.n[REDACT_CARD], 1);
    ck_assert(!redact_parse("card,", &redact) && !redact_parse("", &redact) &&
              !redact_parse("cards", &redact) && !redact_parse("mail;card", &redact));
}
END_TEST

static const char merges[] = "#version: 0.2\n"
                             "l o\n"
                             "lo w\n"
                             "e r\n"
                             "\xc4\xa0 low\n"       /* a blank and low */
                             "\xc3\x83 \xc2\xa9\n"; /* the two bytes of an e acute */

START_TEST(pairs_are_merged_in_their_order)
{
    struct tokeniser *tokeniser;
    int32_t ids[32];
    const char *path = scratch_write("merges.txt", merges, sizeof merges - 1);
    ck_assert_int_eq(tokeniser_open(path, &tokeniser, &err), 0);
    ck_assert_int_eq(tokeniser_n_tokens(tokeniser), 261);
    const int32_t wanted[] = {257, 258, 259, 258, ' ', 260, 'o'};
    ck_assert_uint_eq(tokeniser_encode(tokeniser, "lower lower \xc3\xa9o", 32, ids), 7);
    ck_assert_mem_eq(ids, wanted, sizeof wanted);
    ck_assert_uint_eq(tokeniser_encode(tokeniser, "lower lower", 2, ids), 2);
    ck_assert_mem_eq(ids, wanted, 2 * sizeof *ids);
    ck_assert_uint_eq(tokeniser_encode(tokeniser, "", 32, ids), 0);
    char word[700];
    memset(word, 'l', sizeof word);
    memset(word + 1, 'o', sizeof word - 2);
    word[sizeof word - 1] = '\0';
    ck_assert_uint_eq(tokeniser_encode(tokeniser, word, 32, ids), 32);
    ck_assert(ids[0] == 256 && ids[1] == 'o');
    tokeniser_free(tokeniser);
}
END_TEST

START_TEST(bytes_are_their_own_ids)
{
    struct tokeniser *tokeniser;
    int32_t ids[8];
    ck_assert_int_eq(tokeniser_open(NULL, &tokeniser, &err), 0);
    ck_assert_int_eq(tokeniser_n_tokens(tokeniser), 256);
    ck_assert_uint_eq(tokeniser_encode(tokeniser, "a \xff", 8, ids), 3);
    ck_assert(ids[0] == 'a' && ids[1] == ' ' && ids[2] == 255);
    tokeniser_free(tokeniser);
}
END_TEST

static const struct {
    const char *text, *words;
} bad_merges[] = {
    {"ab\n", "m:1: expected two symbols"},
    {"a b\na b\n", "m:2: expected each symbol to be made once"},
    {"a b\nb c\nab c\na bc\n", "m:4: expected each symbol to be made once"},
    {"a bc\n", "m:1: expected symbols that are bytes"},
    {" a\n", "m:1: expected letters that stand for bytes"},
    {"a b c\n", "m:1: expected letters"},
    {"a \xc4\x80\n", "m:1: expected letters"}, /* the zero byte */
    {"a \xe2\x82\xac\n", "m:1: expected letters"},
    {"a \xc4", "m:1: expected letters"},
};
enum { N_BAD_MERGES = sizeof bad_merges / sizeof bad_merges[0] };

START_TEST(faults_of_merges_are_named)
{
    struct tokeniser *tokeniser;
    const char *text = bad_merges[_i].text;
    ck_assert_int_eq(tokeniser_parse(text, strlen(text), "m", &tokeniser, &err),
                     -PPT_ESPEC);
    scratch_expect(&err, bad_merges[_i].words);
}
END_TEST

START_TEST(lines_become_records)
{
    static const char lines[] = "1\thi a@b.cd\n\n0\tlower\r\n3\tx";
    struct tokeniser *tokeniser;
    struct source source;
    struct redact redact;
    unsigned char x[4][9];
    int64_t y[4];
    size_t n;
    const char *path = scratch_write("a.tsv", lines, sizeof lines - 1);
    ck_assert(redact_parse("all", &redact));
    ck_assert_int_eq(tokeniser_open(NULL, &tokeniser, &err), 0);
    int rc = source_open_text(path, 9, tokeniser, &redact, &source, &err);
    ck_assert_msg(rc == 0, "%s", err.text);
    ck_assert_int_eq(redact.n[REDACT_MAIL], 0);
    ck_assert(source.n_rows == 3 && source.min_label == 0 && source.max_label == 3);
    ck_assert(source.x_type == TYPE_UINT8 && source.n_tokens == 256);
    ck_assert_int_eq(source.read(&source, 4, x, y, &n, &err), 0);
    ck_assert_uint_eq(n, 3);
    ck_assert_mem_eq(x[0], "hi [MAIL]", 9);
    ck_assert_mem_eq(x[1], "lower\0\0\0\0", 9);
    ck_assert_mem_eq(x[2], "x\0\0\0\0\0\0\0\0", 9);
    ck_assert(y[0] == 1 && y[1] == 0 && y[2] == 3);
    ck_assert_int_eq(redact.n[REDACT_MAIL], 1);
    source_close(&source);
    tokeniser_free(tokeniser);
}
END_TEST

START_TEST(long_ids_take_two_bytes)
{
    struct tokeniser *tokeniser;
    struct source source;
    uint16_t x[4];
    int64_t y;
    size_t n;
    const char *path = scratch_write("a.tsv", "0\tlow low", 9);
    ck_assert_int_eq(tokeniser_parse(merges, sizeof merges - 1, "m", &tokeniser, &err),
                     0);
    ck_assert_int_eq(source_open_text(path, 4, tokeniser, NULL, &source, &err), 0);
    ck_assert_int_eq(source.x_type, TYPE_UINT16);
    ck_assert_int_eq(source.read(&source, 1, x, &y, &n, &err), 0);
    ck_assert(x[0] == 257 && x[1] == 259 && x[2] == 0 && x[3] == 0);
    source_close(&source);
    tokeniser_free(tokeniser);
}
END_TEST

static const struct {
    const char *text, *words;
} bad_lines[] = {
    {"", "a.tsv: empty, expected records"},
    {"hello\n", "a.tsv:1: expected a label"},
    {"1\tx\n1.5\tx\n", "a.tsv:2: expected a label"},
    {"-1\tx\n", "a.tsv:1: expected a label"},
    {"99999999999999999999\tx\n", "a.tsv:1: expected a label"},
    {"1\t\n", "a.tsv:1: expected a text behind the tab"},
};
enum { N_BAD_LINES = sizeof bad_lines / sizeof bad_lines[0] };

START_TEST(faults_of_lines_are_named)
{
    struct tokeniser *tokeniser;
    struct source source;
    const char *path =
        scratch_write("a.tsv", bad_lines[_i].text, strlen(bad_lines[_i].text));
    ck_assert_int_eq(tokeniser_open(NULL, &tokeniser, &err), 0);
    ck_assert_int_eq(source_open_text(path, 4, tokeniser, NULL, &source, &err),
                     -PPT_EDATA);
    scratch_expect(&err, bad_lines[_i].words);
    tokeniser_free(tokeniser);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("text");
    TCase *tc = tcase_create("text");
    tcase_add_checked_fixture(tc, scratch_setup, scratch_teardown);
    tcase_add_loop_test(tc, what_names_people_is_redacted, 0, N_REDACTIONS);
    tcase_add_test(tc, only_what_is_asked_for_is_redacted);
    tcase_add_test(tc, pairs_are_merged_in_their_order);
    tcase_add_test(tc, bytes_are_their_own_ids);
    tcase_add_loop_test(tc, faults_of_merges_are_named, 0, N_BAD_MERGES);
    tcase_add_test(tc, lines_become_records);
    tcase_add_test(tc, long_ids_take_two_bytes);
    tcase_add_loop_test(tc, faults_of_lines_are_named, 0, N_BAD_LINES);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
