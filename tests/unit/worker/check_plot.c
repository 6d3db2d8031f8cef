/* A journal becomes a picture; attempts that tell a round again, and nothing to show.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pathsafe.h"
#include "tests/unit/worker/scratch.h"
#include "worker/plot.h"

static struct error err;

static char *plot(const char *journal, int64_t n_rounds)
{
    char *svg, *from = strdup(scratch_write("rounds.jsonl", journal, strlen(journal)));
    char *to = strdup(scratch_path("rounds.svg"));
    size_t len;
    int rc = plot_rounds(from, to, "job 7: digits", n_rounds, &err);
    ck_assert_msg(rc == 0, "%s", err.text);
    ck_assert_int_eq(pathsafe_read_file(to, 1 << 20, &svg, &len, &err), 0);
    free(from), free(to);
    return svg;
}

static int count(const char *text, const char *word)
{
    int n = 0;
    for (; (text = strstr(text, word)) != NULL; text++)
        n++;
    return n;
}

/* The plane goes from (64, 340) to (696, 56). */
START_TEST(both_lines_are_drawn)
{
    char *svg = plot("{\"attempt\": 1, \"round\": 1, \"epsilon\": 0.5}\n"
                     "{\"attempt\": 1, \"round\": 5, \"test_accuracy\": 0.5}\n"
                     "{\"attempt\": 1, \"round\": 6, \"test_accuracy\": 0.1}\n"
                     "{\"attempt\": 2, \"round\": 6, \"test_accuracy\": 0.75}\n"
                     "{\"attempt\": 2, \"round\": 10, \"epsilon\": 2}\n"
                     "{\"attempt\": 2, \"round\": 10, \"test_accuracy\": 1}\n",
                     10);
    ck_assert_ptr_nonnull(strstr(svg, "job 7: digits"));
    ck_assert_ptr_nonnull(
        strstr(svg, "class=\"line accuracy\" points=\"380.0,198.0 443.2,127.0 "
                    "696.0,56.0 \""));
    ck_assert_ptr_nonnull(
        strstr(svg, "class=\"line epsilon\" points=\"127.2,269.0 696.0,56.0 \""));
    ck_assert_ptr_nonnull(strstr(svg, "prefers-color-scheme: dark"));
    ck_assert_ptr_null(strstr(svg, "nan"));
    ck_assert_int_eq(count(svg, "http"), 1); /* the name space: nothing is fetched */
    free(svg);
}
END_TEST

START_TEST(what_is_not_known_is_left_out)
{
    char *svg = plot("{\"attempt\": 1, \"round\": 1, \"clients\": 10}\n", 3);
    ck_assert_int_eq(count(svg, "<polyline"), 0);
    ck_assert_ptr_nonnull(strstr(svg, "</svg>"));
    free(svg);
    svg = plot("", 1);
    ck_assert_int_eq(count(svg, "<polyline"), 0);
    free(svg);
}
END_TEST

START_TEST(long_runs_are_thinned)
{
    char *journal = calloc(50000, 64), *at = journal;
    for (int r = 1; r <= 50000; r++)
        at += sprintf(at, "{\"attempt\": 1, \"round\": %d, \"epsilon\": %g}\n", r,
                      r * 1e-5);
    char *svg = plot(journal, 50000);
    ck_assert_uint_lt(strlen(svg), 40000);
    ck_assert_ptr_nonnull(strstr(svg, "696.0,56.0 \"/>"));
    free(svg), free(journal);
}
END_TEST

START_TEST(a_journal_that_is_gone_is_said)
{
    ck_assert_int_ne(
        plot_rounds(scratch_path("none"), scratch_path("x.svg"), "", 1, &err), 0);
    ck_assert_int_eq(scratch_size(scratch_path("x.svg")), -1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plot");
    TCase *tcase = tcase_create("plot");
    tcase_add_checked_fixture(tcase, scratch_setup, scratch_teardown);
    tcase_add_test(tcase, both_lines_are_drawn);
    tcase_add_test(tcase, what_is_not_known_is_left_out);
    tcase_add_test(tcase, long_runs_are_thinned);
    tcase_add_test(tcase, a_journal_that_is_gone_is_said);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
