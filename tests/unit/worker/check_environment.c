/* What a job says it ran on. */
#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/pathsafe.h"
#include "base/ydoc.h"
#include "tests/unit/worker/scratch.h"
#include "worker/environment.h"

static struct error err;

static const struct ydoc_node *find_object(const struct ydoc_node *root,
                                           const char *name)
{
    const struct ydoc_node *object = ydoc_get(root, "objects")->first;
    while (object != NULL &&
           strncmp(ydoc_get(object, "name")->text, name, strlen(name)) != 0)
        object = object->next;
    return object;
}

/* The id stands in the program's own file, behind the head of its note. */
static void check_own_id(const char *hex)
{
    unsigned char id[64] = {0};
    char *program;
    size_t len, n = strlen(hex) / 2;
    ck_assert_uint_eq(n, 20);
    for (size_t i = 0; i < n; i++) {
        unsigned int byte;
        ck_assert_int_eq(sscanf(hex + 2 * i, "%2x", &byte), 1);
        id[i] = (unsigned char)byte;
    }
    FILE *file = fopen("/proc/self/exe", "rb");
    ck_assert_ptr_nonnull(file);
    program = malloc(64 << 20);
    len = fread(program, 1, 64 << 20, file);
    fclose(file);
    const char *at = memmem(program, len, id, n);
    ck_assert_ptr_nonnull(at);
    ck_assert_mem_eq(at - 4, "GNU", 4);
    free(program);
}

START_TEST(it_names_what_runs)
{
    const char *path = scratch_path(ENVIRONMENT_FILE);
    struct ydoc_faults faults = {.path = path};
    struct utsname kernel;
    char *text;
    size_t len;
    int rc = environment_write(path, "Haswell", &err);
    ck_assert_msg(rc == 0, "%s", err.text);
    ck_assert_int_eq(pathsafe_read_file(path, 1 << 20, &text, &len, &err), 0);
    struct ydoc *doc = ydoc_parse(text, len, NULL, &faults);
    ck_assert_int_eq(faults.n, 0);
    const struct ydoc_node *root = ydoc_root(doc);
    ck_assert_ptr_nonnull(ydoc_get(root, "gpus"));
    /* As many models as the driver knows GPUs; none without a driver. */
    bool has_driver = access("/proc/driver/nvidia/gpus", R_OK) == 0;
    ck_assert_int_eq(ydoc_get(root, "gpus")->n_children > 0, has_driver);
    ck_assert_int_eq(ydoc_get(root, "gpu_driver")->text[0] != '\0', has_driver);
    ck_assert_str_eq(ydoc_get(root, "version")->text, PPT_VERSION);
    ck_assert_int_eq(uname(&kernel), 0);
    ck_assert_ptr_nonnull(strstr(ydoc_get(root, "kernel")->text, kernel.release));
    ck_assert_uint_gt(strlen(ydoc_get(root, "memory")->text), 0);
    ck_assert_str_eq(ydoc_get(root, "products")->text, "Haswell");
    const struct ydoc_node *program = find_object(root, "");
    check_own_id(ydoc_get(program, "build_id")->text);
    const struct ydoc_node *libc = find_object(root, "libc.so");
    ck_assert_ptr_nonnull(libc);
    ck_assert_uint_eq(strlen(ydoc_get(libc, "build_id")->text), 40);
    ck_assert_ptr_nonnull(find_object(root, "libhdf5"));
    ydoc_free(doc);
    free(text);
}
END_TEST

START_TEST(no_place_for_it_is_an_error)
{
    ck_assert_int_eq(environment_write("/nowhere/environment.json", "Haswell", &err),
                     -PPT_EIO);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("environment");
    TCase *tc = tcase_create("environment");
    tcase_add_checked_fixture(tc, scratch_setup, scratch_teardown);
    tcase_add_test(tc, it_names_what_runs);
    tcase_add_test(tc, no_place_for_it_is_an_error);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
