/* Which module of NCCL's is taken. What its table is used for: tests/mpi/mpi_device.c.
 */
#include "worker/device_comm.h"

#include <check.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct error err;
static const struct nccl_module *module;

static bool open_fake(const char *name)
{
    char home[PATH_MAX], path[PATH_MAX + 64];
    ssize_t len = readlink("/proc/self/exe", home, sizeof home - 1);
    ck_assert_int_gt(len, 0);
    home[len] = '\0';
    *strrchr(home, '/') = '\0';
    snprintf(path, sizeof path, "%s/%s.so", home, name);
    err = (struct error){0};
    module = NULL;
    return device_comm_module(path, &module, &err);
}

START_TEST(of_this_build)
{
    ck_assert_msg(open_fake("fake_nccl"), "%s", err.text);
    ck_assert_str_eq(module->version, PPT_VERSION);
}
END_TEST

/* Another version, and a module of something else. */
START_TEST(of_another_build)
{
    static const char *const names[] = {"fake_nccl_version", "fake_module"};
    ck_assert(!open_fake(names[_i]));
    ck_assert_ptr_nonnull(strstr(err.text, "is not of this ppt-worker's build"));
    ck_assert_ptr_null(module);
}
END_TEST

START_TEST(none)
{
    ck_assert(!open_fake("nowhere"));
    ck_assert_ptr_nonnull(strstr(err.text, "nowhere.so"));
    ck_assert_ptr_null(module);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("device_comm");
    TCase *tests = tcase_create("device_comm");
    tcase_add_test(tests, of_this_build);
    tcase_add_loop_test(tests, of_another_build, 0, 2);
    tcase_add_test(tests, none);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed > 0;
}
