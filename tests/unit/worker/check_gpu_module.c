/* Which module of device kernels is taken, and what is said where none is. */
#include "worker/gpu_module.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct error err;
static const struct device_module *module;
static char home[PATH_MAX], path[GPU_MODULE_PATH_SIZE];

static void set_up(void)
{
    ssize_t len = readlink("/proc/self/exe", home, sizeof home - 1);
    ck_assert_int_gt(len, 0);
    home[len] = '\0';
    *strrchr(home, '/') = '\0';
    err = (struct error){0};
    module = NULL;
}

static int open_fake(const char *name)
{
    snprintf(path, sizeof path, "%s/%s.so", home, name);
    return gpu_module_open(path, &module, &err);
}

/* Beside this program, whatever the environment says. */
START_TEST(looked_for_beside_the_program)
{
    char expected[GPU_MODULE_PATH_SIZE];
    setenv("LD_LIBRARY_PATH", "/elsewhere", 1);
    ck_assert_int_eq(gpu_module_path(GPU_MODULE, path, &err), 0);
    snprintf(expected, sizeof expected, "%s/ppt-kernels-cuda.so", home);
    ck_assert_str_eq(path, expected);
    ck_assert_int_eq(gpu_module_open(path, &module, &err), -PPT_ESTATE);
    ck_assert_ptr_nonnull(strstr(err.text, "the job asks for a GPU and there is no "));
    ck_assert_ptr_nonnull(strstr(err.hint, "gpus_per_rank: 0"));
    ck_assert_ptr_null(module);
}
END_TEST

START_TEST(of_this_build)
{
    const struct device_module *first;
    ck_assert_msg(open_fake("fake_module") == 0, "%s", err.text);
    ck_assert_int_eq(module->count(), 0);
    first = module;
    ck_assert_int_eq(open_fake("fake_module"), 0);
    ck_assert_ptr_eq(module, first);
}
END_TEST

START_TEST(of_another_build)
{
    static const char *const names[] = {"fake_module_version", "fake_module_table",
                                        "libnvidia-ml"};
    ck_assert_int_eq(open_fake(names[_i]), -PPT_ESTATE);
    ck_assert_ptr_nonnull(strstr(err.text, "is not of this ppt-worker's build"));
    ck_assert_ptr_null(module);
}
END_TEST

START_TEST(no_module_at_all)
{
    snprintf(path, sizeof path, "%s/tests/unit/worker/check_gpu_module.c",
             getenv("PPT_SOURCE_DIR"));
    ck_assert_int_eq(gpu_module_open(path, &module, &err), -PPT_ESTATE);
    ck_assert_ptr_nonnull(strstr(err.text, "cannot be loaded"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gpu_module");
    TCase *tests = tcase_create("gpu_module");
    tcase_add_checked_fixture(tests, set_up, NULL);
    tcase_add_test(tests, looked_for_beside_the_program);
    tcase_add_test(tests, of_this_build);
    tcase_add_loop_test(tests, of_another_build, 0, 3);
    tcase_add_test(tests, no_module_at_all);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed > 0;
}
