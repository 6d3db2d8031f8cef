/* The trace beside a data set is the one that the spec names, or none. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "tests/unit/worker/scratch.h"
#include "worker/trace_file.h"

static struct error err;

START_TEST(another_file_is_refused)
{
    static const char text[] = "client,examples_per_s\n";
    struct spec_base named = {.file = "phones.csv"};
    char *got = NULL;
    size_t len = 0;
    crypto_sha256_hex(text, strlen(text), named.sha256);
    ck_assert_int_eq(
        trace_file_read(scratch_path("people.h5"), &named, &got, &len, &err),
        -PPT_ENOTFOUND);
    scratch_write("phones.csv", text, strlen(text));
    ck_assert_int_eq(
        trace_file_read(scratch_path("people.h5"), &named, &got, &len, &err), 0);
    ck_assert_str_eq(got, text);
    ck_assert_uint_eq(len, strlen(text));
    free(got);
    named.sha256[0] = named.sha256[0] == 'a' ? 'b' : 'a';
    got = NULL;
    ck_assert_int_eq(
        trace_file_read(scratch_path("people.h5"), &named, &got, &len, &err),
        -PPT_ETRUST);
    scratch_expect(&err, "phones.csv: not the federation.devices.trace");
    ck_assert_ptr_null(got);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("trace_file");
    TCase *tcase = tcase_create("trace_file");
    tcase_add_checked_fixture(tcase, scratch_setup, scratch_teardown);
    tcase_add_test(tcase, another_file_is_refused);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
