/* #PPT lines of batch scripts are read as sbatch reads its own. */
#include "scheduler/script_lines.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[64];
static struct script_lines lines;
static struct error err;

static void make_file(void)
{
    strcpy(path, "/tmp/check_script_lines.XXXXXX");
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    close(fd);
    lines = (struct script_lines){0};
}

static void drop_file(void)
{
    script_lines_free(&lines);
    unlink(path);
}

static int read_text(const char *text)
{
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
    script_lines_free(&lines);
    err = (struct error){0};
    return script_lines_read(path, "#PPT", &lines, &err);
}

/* "3: a|b" of line i */
static const char *line(int i)
{
    static char text[512];
    ck_assert_int_lt(i, lines.n_lines);
    int n = snprintf(text, sizeof text, "%d:", lines.lines[i].number);
    for (int j = 0; j < lines.lines[i].n_words; j++)
        n += snprintf(text + n, sizeof text - (size_t)n, "%s%s", j == 0 ? " " : "|",
                      lines.lines[i].words[j]);
    return text;
}

START_TEST(leading_comments_only)
{
    ck_assert_int_eq(read_text("#!/bin/bash\n"
                               "#SBATCH --nodes=2\n"
                               "#PPT --account acme/lab\n"
                               "\n"
                               "   # words\n"
                               "#PPT\t--wait\n"
                               "#PPTX --json\n"
                               "# PPT --json\n"
                               " #PPT --json\n"
                               "#PPT\n"
                               "hostname\n"
                               "#PPT --json\n"
                               "#PPT --json"),
                     0);
    ck_assert_int_eq(lines.n_lines, 3);
    ck_assert_str_eq(line(0), "3: --account|acme/lab");
    ck_assert_str_eq(line(1), "6: --wait");
    ck_assert_str_eq(line(2), "10:");
    ck_assert_int_eq(lines.late_line, 12);
}
END_TEST

START_TEST(words)
{
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"#PPT a b  \tc \r", "1: a|b|c"},
        {"#PPT 'a b' \"c # d\"", "1: a b|c # d"},
        {"#PPT a # b", "1: a"},
        {"#PPT a#b", "1: a"},
        {"#PPT #a", "1:"},
        {"#PPT a\\ b \\# c", "1: a b|#|c"},
        {"#PPT x='a \"b\"'c", "1: x=a \"b\"c"},
        {"#PPT '' a", "1: |a"},
        {"#PPT a\\", "1: a\\"},
        {"#PPT \"it's\" b", "1: it's|b"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ck_assert_int_eq(read_text(cases[i].text), 0);
        ck_assert_str_eq(line(0), cases[i].expected);
    }
}
END_TEST

START_TEST(faults_name_their_line)
{
    char text[1024] = "#!/bin/sh\n#PPT --account 'acme\n", expected[128];
    ck_assert_int_eq(read_text(text), -PPT_ESPEC);
    snprintf(expected, sizeof expected, "%s:2: a quote without its end", path);
    ck_assert_str_eq(err.text, expected);
    strcpy(text, "#!/bin/sh\n\n#PPT");
    for (int i = 0; i < SCRIPT_LINES_MAX_WORDS; i++)
        strcat(text, " word");
    ck_assert_int_eq(read_text(text), 0);
    ck_assert_int_eq(lines.lines[0].n_words, SCRIPT_LINES_MAX_WORDS);
    strcat(text, " word");
    ck_assert_int_eq(read_text(text), -PPT_ESPEC);
    snprintf(expected, sizeof expected, "%s:3: more than", path);
    ck_assert_ptr_nonnull(strstr(err.text, expected));
    text[0] = '\0';
    for (int i = 0; i < SCRIPT_LINES_MAX; i++)
        strcat(text, "#PPT a\n");
    ck_assert_int_eq(read_text(text), 0);
    strcat(text, "#PPT a\n");
    ck_assert_int_eq(read_text(text), -PPT_ESPEC);
    ck_assert_int_eq(script_lines_read("/nowhere/script", "#PPT", &lines, &err),
                     -PPT_ENOTFOUND);
}
END_TEST

START_TEST(what_a_script_is)
{
    ck_assert_int_eq(read_text("#!/bin/sh\n"), 0);
    ck_assert(script_lines_is_script(path));
    ck_assert_int_eq(read_text("# a comment\nname: job\n"), 0);
    ck_assert(!script_lines_is_script(path));
    ck_assert_int_eq(read_text("#"), 0);
    ck_assert(!script_lines_is_script(path));
    ck_assert(!script_lines_is_script("/nowhere/script"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("script_lines");
    TCase *tests = tcase_create("script_lines");
    tcase_add_checked_fixture(tests, make_file, drop_file);
    tcase_add_test(tests, leading_comments_only);
    tcase_add_test(tests, words);
    tcase_add_test(tests, faults_name_their_line);
    tcase_add_test(tests, what_a_script_is);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed != 0;
}
