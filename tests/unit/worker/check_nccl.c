/* The module that NCCL is in, as far as it goes without a device: where it listens, and
 * that it says what is missing. With one: tests/mpi/mpi_nccl.c. */
#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "worker/device_comm.h"

enum { MOST = 64, LISTENS = 0x0a, LOOPBACK = 0x0100007f };

static const struct nccl_module *module;

static void set_up(void)
{
    struct error err = {0};
    char path[4096];
    snprintf(path, sizeof path, "%s/worker/ppt-comm-nccl.so", getenv("PPT_BUILD_DIR"));
    ck_assert_msg(device_comm_module(path, &module, &err), "%s", err.text);
}

/* This process's sockets, as the kernel numbers them. */
static int own_sockets(unsigned long ret_sockets[MOST])
{
    DIR *all = opendir("/proc/self/fd");
    int n = 0;
    ck_assert_ptr_nonnull(all);
    for (struct dirent *entry; n < MOST && (entry = readdir(all)) != NULL;) {
        char path[300], target[64];
        snprintf(path, sizeof path, "/proc/self/fd/%s", entry->d_name);
        ssize_t len = readlink(path, target, sizeof target - 1);
        target[len > 0 ? len : 0] = '\0';
        n += sscanf(target, "socket:[%lu]", &ret_sockets[n]) == 1;
    }
    closedir(all);
    return n;
}

/* How many of them listen, and how many of those on another address than 127.0.0.1. */
static int count_listening(const char *table, int *ret_n_elsewhere)
{
    unsigned long sockets[MOST], inode;
    char line[512], address[64];
    unsigned state;
    int n = own_sockets(sockets), n_listening = 0;
    FILE *file = fopen(table, "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, " %*d: %63[0-9A-F]:%*x %*s %x %*s %*s %*s %*d %*d %lu",
                   address, &state, &inode) != 3 ||
            state != LISTENS)
            continue;
        for (int i = 0; i < n; i++) {
            if (sockets[i] != inode)
                continue;
            n_listening++;
            *ret_n_elsewhere +=
                strlen(address) != 8 || strtoul(address, NULL, 16) != LOOPBACK;
        }
    }
    if (file != NULL)
        fclose(file);
    return n_listening;
}

/* Whatever the environment says, nobody on another machine can reach it. */
START_TEST(listens_inside_only)
{
    unsigned char id[NCCL_ID_SIZE];
    int n_elsewhere = 0;
    setenv("NCCL_SOCKET_IFNAME", "^lo", 1);
    setenv("NCCL_COMM_ID", "192.0.2.1:4711", 1);
    setenv("NCCL_NET_PLUGIN", "/nowhere/libplugin.so", 1);
    ck_assert_msg(module->new_id(id), "%s", module->error());
    ck_assert_int_ge(count_listening("/proc/net/tcp", &n_elsewhere), 1);
    ck_assert_int_eq(count_listening("/proc/net/tcp6", &n_elsewhere), 0);
    ck_assert_int_eq(n_elsewhere, 0);
}
END_TEST

/* A device that nobody has: no crash, no wait, words. */
START_TEST(no_such_device)
{
    unsigned char id[NCCL_ID_SIZE];
    int64_t name[2];
    ck_assert(!module->name(4096, name));
    ck_assert_uint_gt(strlen(module->error()), 0);
    ck_assert_msg(module->new_id(id), "%s", module->error());
    ck_assert_ptr_null(module->open(id, 4096, 0, 1));
    ck_assert_uint_gt(strlen(module->error()), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("nccl");
    TCase *tests = tcase_create("nccl");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, set_up, NULL);
    tcase_add_test(tests, listens_inside_only);
    tcase_add_test(tests, no_such_device);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed > 0;
}
