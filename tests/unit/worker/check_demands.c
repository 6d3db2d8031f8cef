/* What the site demands: devices as sysfs tells them, in trees made here; a driver that
 * says what the test wants (fake_nvml.c). */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/worker/scratch.h"
#include "worker/demands.h"

static struct error err;
static char root[64];

static void setup(void)
{
    strcpy(root, "/tmp/check_demands.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
}

static void teardown(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    ck_assert_int_eq(system(command), 0);
}

/* A device's directory with a uuid (NULL: none) in the tree's `where`. */
static void add_device(const char *where, const char *uuid)
{
    char command[512];
    snprintf(command, sizeof command,
             "mkdir -p '%s/%s/dm' && test -z '%s' || "
             "echo '%s' >'%s/%s/dm/uuid'",
             root, where, uuid, uuid, root, where);
    ck_assert_int_eq(system(command), 0);
}

static void add_link(const char *target, const char *where)
{
    char command[512];
    snprintf(command, sizeof command,
             "mkdir -p \"$(dirname '%s/%s')\" && ln -s '%s/%s' '%s/%s'", root, where,
             root, target, root, where);
    ck_assert_int_eq(system(command), 0);
}

static const struct {
    const char *uuid;
    bool is_encrypted;
} kinds[] = {
    {"CRYPT-LUKS2-0123456789abcdef-home", true},
    {"CRYPT-LUKS1-0123456789abcdef-home", true},
    {"CRYPT-PLAIN-swap", true},
    {"CRYPT-VERITY-0123-usr", false},
    {"CRYPT-INTEGRITY-0123-data", false},
    {"CRYPT-LUKS2-OPAL-0123-home", false},
    {"LVM-0123456789", false},
    {"LVM-CRYPT-LUKS2-", false},
    {"", false},
};

START_TEST(a_device_is_what_its_uuid_says)
{
    add_device("dev/block/253:0", kinds[_i].uuid);
    ck_assert_int_eq(demands_device(root, 253, 0), kinds[_i].is_encrypted);
    ck_assert(!demands_device(root, 253, 1));
}
END_TEST

/* A volume is encrypted where all its parts are; links that go round end in a no. */
START_TEST(all_parts_must_be)
{
    add_device("dev/block/253:2", "LVM-volume");
    add_device("dm-0", "CRYPT-LUKS2-0-a");
    add_device("dm-1", "CRYPT-LUKS2-1-b");
    add_device("sda", "");
    add_link("dm-0", "dev/block/253:2/slaves/dm-0");
    ck_assert(demands_device(root, 253, 2));
    add_link("dm-1", "dev/block/253:2/slaves/dm-1");
    ck_assert(demands_device(root, 253, 2));
    add_link("sda", "dev/block/253:2/slaves/sda");
    ck_assert(!demands_device(root, 253, 2));
    add_device("dev/block/253:3", "LVM-round");
    add_link("dev/block/253:3", "dev/block/253:3/slaves/dm-3");
    ck_assert(!demands_device(root, 253, 3));
}
END_TEST

/* A partition has the parts of its disk; the number's entry is a link, as in sysfs. */
START_TEST(a_partition_is_its_disks)
{
    add_device("md0/md0p1", "");
    add_device("dm-0", "CRYPT-LUKS2-0-a");
    add_link("md0/md0p1", "dev/block/259:0");
    add_link("dm-0", "md0/slaves/dm-0");
    ck_assert(!demands_device(root, 259, 0));
    char path[128];
    snprintf(path, sizeof path, "%s/md0/md0p1/partition", root);
    FILE *file = fopen(path, "w");
    fputs("1\n", file);
    fclose(file);
    ck_assert(demands_device(root, 259, 0));
}
END_TEST

/* File systems that are in no case encrypted. */
START_TEST(what_cannot_be_told_is_refused)
{
    const char *const directories[] = {"/proc", "/dev/shm", "/sys"};
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(demands_disk(directories[i], &err), -PPT_EPOLICY);
        scratch_expect(&err, "the site demands an encrypted file system");
        scratch_expect(&err, directories[i]);
    }
    ck_assert_int_eq(demands_disk("/nowhere", &err), -PPT_EIO);
}
END_TEST

static const struct {
    const char *state, *words; /* environment, feature, tools; NULL: allowed */
} drivers[] = {
    {"2 1 0", NULL},
    {"2 0 0", "it is off"},
    {"0 0 0", "it is off"},
    {"1 1 0", "it is only simulated"},
    {"2 1 1", "developer tools are let in"},
    {"silent", "the driver does not answer"},
    {"ignorant", "the driver cannot tell"},
};

START_TEST(a_gpu_is_what_its_driver_says)
{
    setenv("FAKE_NVML", drivers[_i].state, 1);
    int rc = demands_gpu(&err);
    if (drivers[_i].words == NULL) {
        ck_assert_msg(rc == 0, "%s", err.text);
        return;
    }
    ck_assert_int_eq(rc, -PPT_EPOLICY);
    scratch_expect(&err, "the site demands GPUs in confidential mode");
    scratch_expect(&err, drivers[_i].words);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("demands");
    TCase *tc = tcase_create("demands");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, a_device_is_what_its_uuid_says, 0,
                        (int)(sizeof kinds / sizeof *kinds));
    tcase_add_test(tc, all_parts_must_be);
    tcase_add_test(tc, a_partition_is_its_disks);
    tcase_add_test(tc, what_cannot_be_told_is_refused);
    tcase_add_loop_test(tc, a_gpu_is_what_its_driver_says, 0,
                        (int)(sizeof drivers / sizeof *drivers));
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
