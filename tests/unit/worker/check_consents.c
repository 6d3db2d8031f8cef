/* The list beside a data set is handed out when it has changed. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/worker/scratch.h"
#include "worker/consents.h"

static struct error err;

static void expect_text(struct consents *consents, const char *wanted)
{
    char *text = NULL;
    size_t len = 77;
    int rc = consents_read(consents, scratch_path("people.h5"), &text, &len, &err);
    ck_assert_msg(rc == 0, "%s", err.text);
    if (wanted == NULL) {
        ck_assert_ptr_null(text);
        ck_assert_uint_eq(len, 0);
        return;
    }
    ck_assert_str_eq(text, wanted);
    ck_assert_uint_eq(len, strlen(wanted));
    free(text);
}

START_TEST(changes_are_seen)
{
    struct consents consents = {0};
    char *text;
    size_t len;
    ck_assert_int_eq(
        consents_read(&consents, scratch_path("people.h5"), &text, &len, &err),
        -PPT_ENOTFOUND);
    scratch_expect(&err, "people.consents: no list of consents");
    scratch_write("people.consents", "", 0);
    expect_text(&consents, "");
    expect_text(&consents, NULL);
    scratch_write("people.consents", "consents ada\n", 13);
    expect_text(&consents, "consents ada\n");
    expect_text(&consents, NULL);
    /* replaced whole by one of the same length */
    scratch_write("next", "consents bob\n", 13);
    char *next = strdup(scratch_path("next"));
    ck_assert_int_eq(rename(next, scratch_path("people.consents")), 0);
    free(next);
    expect_text(&consents, "consents bob\n");
    expect_text(&consents, NULL);
    unlink(scratch_path("people.consents"));
    ck_assert_int_eq(
        consents_read(&consents, scratch_path("people.h5"), &text, &len, &err),
        -PPT_ENOTFOUND);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("consents");
    TCase *tcase = tcase_create("consents");
    tcase_add_checked_fixture(tcase, scratch_setup, scratch_teardown);
    tcase_add_test(tcase, changes_are_seen);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
