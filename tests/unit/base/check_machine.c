/* How much memory this process may use: files as the kernel writes them, and a control
 * group of this machine where one may be made. */
#include <check.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/machine.h"

static char root[64];

static void setup(void)
{
    snprintf(root, sizeof root, "/tmp/check-machine.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
}

static void teardown(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", root);
    ck_assert_int_eq(system(command), 0);
}

/* With all folders above it. */
static void put(const char *name, const char *text)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", root, name);
    for (char *slash = path + strlen(root); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

START_TEST(no_groups_no_bound)
{
    ck_assert(machine_cgroup_bytes(root) == INT64_MAX);
    put("proc/self/cgroup", "");
    ck_assert(machine_cgroup_bytes(root) == INT64_MAX);
    put("proc/self/cgroup", "no line of the kernel's\n7\n7:memory\n\n0::/a/b\n");
    ck_assert(machine_cgroup_bytes(root) == INT64_MAX);
}
END_TEST

START_TEST(version_2)
{
    put("proc/self/cgroup", "0::/system.slice/slurmstepd.scope/job_7/step_0\n");
    put("sys/fs/cgroup/system.slice/slurmstepd.scope/job_7/step_0/memory.max", "max\n");
    ck_assert(machine_cgroup_bytes(root) == INT64_MAX);
    put("sys/fs/cgroup/system.slice/slurmstepd.scope/job_7/memory.max", "8589934592\n");
    put("sys/fs/cgroup/system.slice/memory.max", "17179869184\n");
    ck_assert_int_eq(machine_cgroup_bytes(root), INT64_C(8) << 30);
    put("sys/fs/cgroup/system.slice/slurmstepd.scope/job_70/memory.max", "4096\n");
    ck_assert_int_eq(machine_cgroup_bytes(root), INT64_C(8) << 30);
    /* In a container: the group is the root that is seen. */
    put("sys/fs/cgroup/memory.max", "1073741824\n");
    ck_assert_int_eq(machine_cgroup_bytes(root), INT64_C(1) << 30);
}
END_TEST

/* Where version 2 is mounted beside it without the memory. */
START_TEST(version_1)
{
    put("proc/self/cgroup", "11:cpu,cpuacct:/few\n"
                            "9:memory2:/few\n"
                            "4:hugetlb,memory:/slurm/uid_7/job_1\n"
                            "0::/slurm/uid_7/job_1\n");
    put("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    put("sys/fs/cgroup/memory/few/memory.limit_in_bytes", "4096\n");
    put("sys/fs/cgroup/memory/slurm/uid_7/memory.limit_in_bytes", "4294967296\n");
    put("sys/fs/cgroup/memory/slurm/uid_7/job_1/memory.limit_in_bytes", "6442450944\n");
    ck_assert_int_eq(machine_cgroup_bytes(root), INT64_C(4) << 30);
}
END_TEST

/* This process's own group, with a bound in a group of its own below it. */
static int memory_in_a_group_of(const char *folder, const char *bound_file)
{
    char path[PATH_MAX];
    enum { BOUND_BYTES = 192 << 20 };
    ck_assert_int_lt(snprintf(path, sizeof path, "%s/%s", folder, bound_file),
                     PATH_MAX);
    FILE *file = fopen(path, "w");
    if (file == NULL || fprintf(file, "%d\n", BOUND_BYTES) < 0 || fclose(file) != 0)
        return 77;
    ck_assert_int_lt(snprintf(path, sizeof path, "%s/cgroup.procs", folder), PATH_MAX);
    file = fopen(path, "w");
    if (file == NULL || fprintf(file, "0\n") < 0 || fclose(file) != 0)
        return 77;
    return machine_memory_bytes() == BOUND_BYTES ? 0 : 1;
}

START_TEST(a_real_group)
{
    static const struct version {
        const char *mount, *bound_file;
    } versions[] = {{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"},
                    {"/sys/fs/cgroup", "memory.max"}};
    for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++) {
        char folder[PATH_MAX];
        snprintf(folder, sizeof folder, "%s/ppt-check-%d", versions[i].mount, getpid());
        if (mkdir(folder, 0755) != 0)
            continue;
        pid_t child = fork();
        if (child == 0)
            _exit(memory_in_a_group_of(folder, versions[i].bound_file));
        int status;
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_int_eq(rmdir(folder), 0);
        ck_assert(WIFEXITED(status));
        ck_assert_msg(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 77,
                      "the bound of %s was not seen", folder);
        if (WEXITSTATUS(status) == 0)
            return;
    }
    fputs("no control group may be made here\n", stderr);
}
END_TEST

/* Not more than the machine has. */
START_TEST(of_this_machine)
{
    int64_t bytes = machine_memory_bytes();
    ck_assert_int_gt(bytes, INT64_C(64) << 20);
    ck_assert_int_le(bytes, (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("machine");
    TCase *tcase = tcase_create("memory");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, no_groups_no_bound);
    tcase_add_test(tcase, version_2);
    tcase_add_test(tcase, version_1);
    tcase_add_test(tcase, a_real_group);
    tcase_add_test(tcase, of_this_machine);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
