/* Every file under tests/specs and configs/jobs.
 *
 * valid/NAME.yaml stands beside NAME.canonical, its canonical form to the byte; files
 * that say the same in other words share one: NAME is cut at the first "+".
 * sweep/ is check_sweep's.
 * invalid/FAULT.yaml stands beside FAULT.expected: the error's name, then its lines.
 */
#include <check.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "base/pathsafe.h"
#include "jobs/spec/spec.h"
#include "jobs/spec/sweep.h"

#define MIN_INVALID 45
#define MIN_VALID 10

static struct error err;

static glob_t files_of(const char *pattern)
{
    char path[1024];
    glob_t files;
    const char *source = getenv("PPT_SOURCE_DIR");
    ck_assert_ptr_nonnull(source);
    snprintf(path, sizeof path, "%s/%s", source, pattern);
    ck_assert_int_eq(glob(path, 0, NULL, &files), 0);
    return files;
}

static char *read_text(const char *path, size_t *ret_len)
{
    char *text;
    ck_assert_msg(pathsafe_read_file(path, 1 << 20, &text, ret_len, &err) == 0, "%s",
                  err.text);
    return text;
}

/* PATH with everything from the first of `from` after its last slash replaced. */
static char *read_beside(const char *path, char from, const char *end)
{
    char other[1024];
    snprintf(other, sizeof other, "%s", path);
    char *base = strrchr(other, '/');
    char *cut = strchr(base, from);
    if (cut == NULL)
        cut = strrchr(base, '.');
    *cut = '\0';
    strncat(other, end, sizeof other - strlen(other) - 1);
    size_t len;
    return read_text(other, &len);
}

static const char *base_of(const char *path)
{
    return strrchr(path, '/') + 1;
}

static void parse_again(const char *canonical, const struct spec *spec)
{
    struct spec again;
    int rc = spec_parse(canonical, strlen(canonical), "canonical", NULL, &again, &err);
    ck_assert_msg(rc == 0, "%s\n%s", err.text, err.detail);
    ck_assert_str_eq(again.sha256, spec->sha256);
    char *text;
    ck_assert_int_eq(spec_canonical(&again, &text, &err), 0);
    ck_assert_str_eq(text, canonical);
    free(text);
}

static void check_valid(const char *path, bool has_canonical)
{
    struct spec spec;
    size_t len;
    char *text = read_text(path, &len);
    struct spec_policy policy = spec_policy_default();
    int rc = spec_parse(text, len, base_of(path), &policy, &spec, &err);
    ck_assert_msg(rc == 0, "%s\n%s", err.text, err.detail);
    char *canonical;
    ck_assert_int_eq(spec_canonical(&spec, &canonical, &err), 0);
    if (has_canonical) {
        char *expected = read_beside(path, '+', ".canonical");
        ck_assert_str_eq(canonical, expected);
        free(expected);
    }
    char hex[SPEC_HEX_SIZE];
    crypto_sha256_hex(canonical, strlen(canonical), hex);
    ck_assert_str_eq(spec.sha256, hex);
    parse_again(canonical, &spec);
    free(canonical);
    free(text);
}

static void check_shipped(const char *path)
{
    struct spec_policy policy = spec_policy_default();
    struct sweep *sweep;
    int rc = sweep_read(path, &policy, &sweep, &err);
    ck_assert_msg(rc == 0, "%s\n%s", err.text, err.detail);
    if (!sweep_is_sweep(sweep))
        check_valid(path, false);
    sweep_free(sweep);
}

START_TEST(valid_files_have_their_canonical_form)
{
    glob_t files = files_of("tests/specs/valid/*.yaml");
    for (size_t f = 0; f < files.gl_pathc; f++)
        check_valid(files.gl_pathv[f], true);
    ck_assert_uint_ge(files.gl_pathc, MIN_VALID);
    globfree(&files);
}
END_TEST

START_TEST(shipped_jobs_are_valid)
{
    glob_t files = files_of("configs/jobs/*.yaml");
    for (size_t f = 0; f < files.gl_pathc; f++)
        check_shipped(files.gl_pathv[f]);
    ck_assert_uint_ge(files.gl_pathc, 7);
    globfree(&files);
}
END_TEST

static void check_invalid(const char *path)
{
    size_t len;
    char *text = read_text(path, &len);
    char *expected = read_beside(path, '.', ".expected");
    struct spec_policy policy = spec_policy_default();
    struct spec spec, before;
    memset(&spec, 0x5a, sizeof spec);
    before = spec;
    char got[2 * ERROR_DETAIL_SIZE];
    err = (struct error){0};
    int rc = spec_parse(text, len, base_of(path), &policy, &spec, &err);
    snprintf(got, sizeof got, "%s\n%s\n", rc == 0 ? "valid" : error_name(err.code),
             err.detail);
    ck_assert_msg(strcmp(got, expected) == 0, "%s: expected\n%s-- but got\n%s",
                  base_of(path), expected, got);
    ck_assert_int_eq(rc, -err.code);
    ck_assert_mem_eq(&spec, &before, sizeof spec);
    free(expected);
    free(text);
}

START_TEST(invalid_files_have_their_message)
{
    glob_t files = files_of("tests/specs/invalid/*.yaml");
    for (size_t f = 0; f < files.gl_pathc; f++)
        check_invalid(files.gl_pathv[f]);
    ck_assert_uint_ge(files.gl_pathc, MIN_INVALID);
    globfree(&files);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("specs");
    TCase *tcase = tcase_create("specs");
    tcase_add_test(tcase, valid_files_have_their_canonical_form);
    tcase_add_test(tcase, shipped_jobs_are_valid);
    tcase_add_test(tcase, invalid_files_have_their_message);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
