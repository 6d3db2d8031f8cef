/* Who passes over more than memory holds leaves next to nothing of it in the system's
 * page cache; who may find it there again leaves all. */
#include <check.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "jobs/comm.h"
#include "tests/unit/worker/scratch.h"
#include "worker/data_h5.h"
#include "worker/digest.h"
#include "worker/import.h"
#include "worker/join.h"
#include "worker/page_cache.h"
#include "worker/shard.h"

enum { WIDTH = 3000, N_ROWS = 40000, ASK = 1024, N_FILES = 2, MIB = 1 << 20 };

static struct error err;
static long claimed_mib;

/* In place of the library's: a machine with little memory. */
long sysconf(int name)
{
    if (name == _SC_PHYS_PAGES && claimed_mib > 0)
        return claimed_mib * (MIB / getpagesize());
    long (*real)(int) = (long (*)(int))dlsym(RTLD_NEXT, "sysconf");
    return real(name);
}

static unsigned char byte_at(int64_t row, int64_t j)
{
    return (unsigned char)((row * 131 + j) % 251);
}

/* Of 114 MiB each, on the disk: what is not written yet cannot leave the cache. */
static void make(const char *name, int64_t first)
{
    struct data_h5 data;
    struct data_split split = {.n_rows = N_ROWS,
                               .x_type = TYPE_UINT8,
                               .y_type = TYPE_UINT8,
                               .n_dims = 1,
                               .dims = {WIDTH},
                               .n_classes = 10};
    struct manifest manifest = {.name = "part",
                                .unit = UNIT_EXAMPLE,
                                .relation = RELATION_ADD_REMOVE,
                                .n_splits = 1,
                                .splits = {{.name = "train",
                                            .nominal_count = N_ROWS,
                                            .n_dims = 1,
                                            .dims = {WIDTH},
                                            .n_classes = 10}}};
    static unsigned char x[1000 * WIDTH], y[1000];
    char manifest_path[MANIFEST_PATH_SIZE];
    const char *path = scratch_path(name);
    ck_assert_int_eq(
        data_h5_create(path, UNIT_EXAMPLE, RELATION_ADD_REMOVE, &data, &err), 0);
    ck_assert_int_eq(data_h5_add(&data, "train", &split, &err), 0);
    for (int64_t row = 0; row < N_ROWS; row += 1000) {
        for (int64_t i = 0; i < 1000 * WIDTH; i++)
            x[i] = byte_at(first + row + i / WIDTH, i % WIDTH);
        ck_assert_int_eq(h5_data_write(split.x, row, 1000, x, &err), 0);
        ck_assert_int_eq(h5_data_write(split.y, row, 1000, y, &err), 0);
    }
    data_split_close(&split);
    ck_assert_int_eq(data_h5_close(&data, &err), 0);
    int fd = open(path, O_RDONLY);
    ck_assert_int_eq(fsync(fd), 0);
    close(fd);
    snprintf(manifest.file, sizeof manifest.file, "%s", name);
    ck_assert_int_eq(digest_file(path, &comm_alone, manifest.digest, &err), 0);
    ck_assert_int_eq(import_manifest_path(path, manifest_path, &err), 0);
    ck_assert_int_eq(import_manifest_write(&manifest, manifest_path, &err), 0);
}

static const char *const names[N_FILES] = {"a.h5", "b.h5"};

static void setup(void)
{
    const char *paths[N_FILES];
    struct manifest unused;
    scratch_setup();
    for (int i = 0; i < N_FILES; i++) {
        make(names[i], i * N_ROWS);
        paths[i] = scratch_path(names[i]);
    }
    const struct join join = {.name = "all",
                              .paths = paths,
                              .n_paths = N_FILES,
                              .path = scratch_path("all.h5")};
    ck_assert_msg(join_run(&join, &unused, &err) == 0, "%s", err.text);
}

/* Some file systems keep what they are asked to give back. */
static bool can_drop(void)
{
    struct statfs fs;
    ck_assert_int_eq(statfs(scratch_path("a.h5"), &fs), 0);
    return fs.f_type != TMPFS_MAGIC && fs.f_type != RAMFS_MAGIC;
}

static double cached_mib(const char *name)
{
    const char *path = scratch_path(name);
    size_t len = (size_t)scratch_size(path), page = (size_t)getpagesize();
    size_t n_pages = (len + page - 1) / page, n = 0;
    unsigned char *is_there = malloc(n_pages);
    int fd = open(path, O_RDONLY);
    void *map = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
    ck_assert_ptr_ne(map, MAP_FAILED);
    ck_assert_int_eq(mincore(map, len, is_there), 0);
    for (size_t i = 0; i < n_pages; i++)
        n += is_there[i] & 1;
    munmap(map, len);
    close(fd);
    free(is_there);
    return (double)(n * page) / MIB;
}

/* All records in order, as whoever reads ahead asks for them. */
static void pass(const char *name)
{
    const struct manifest_split stated = {.name = "train",
                                          .x_type = TYPE_UINT8,
                                          .n_dims = 1,
                                          .dims = {WIDTH},
                                          .n_classes = 10};
    static unsigned char records[ASK * (WIDTH + 1)];
    static int64_t rows_asked[ASK];
    struct data_h5 data;
    struct rows rows;
    ck_assert_int_eq(data_h5_open(scratch_path(name), &data, &err), 0);
    ck_assert_int_eq(shard_open(&data, &stated, 0.0, 1.0, 0, 1, MIB, &rows, &err), 0);
    for (int64_t at = 0; at < rows.n_rows; at += ASK) {
        int64_t left = rows.n_rows - at, n = left < ASK ? left : ASK, n_wrong = 0;
        for (int64_t i = 0; i < n; i++)
            rows_asked[i] = at + i;
        ck_assert_int_eq(rows.fetch(&rows, rows_asked, (size_t)n, records, &err), 0);
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < WIDTH; j++)
                n_wrong += records[i * (WIDTH + 1) + j] != byte_at(at + i, j);
        ck_assert_int_eq(n_wrong, 0);
    }
    shard_close(&rows);
    ck_assert_int_eq(data_h5_close(&data, &err), 0);
}

/* 228 MiB on a machine of 500 or 400, and 114 on one of 250 or 200. */
static const struct {
    const char *name;
    long memory_mib;
    bool stays;
} machines[] = {{"all.h5", 500, true},
                {"all.h5", 400, false},
                {"a.h5", 250, true},
                {"a.h5", 200, false}};
enum { N_MACHINES = sizeof machines / sizeof machines[0] };

static void check_cached(const char *name, bool stays)
{
    double left = cached_mib(name);
    if (stays || can_drop())
        ck_assert_msg(stays ? left > 110 : left <= 64, "%.1f MiB", left);
}

START_TEST(a_pass_over_more_than_memory_leaves_the_cache)
{
    claimed_mib = machines[_i].memory_mib;
    pass(machines[_i].name);
    check_cached("a.h5", machines[_i].stays);
    if (strcmp(machines[_i].name, "all.h5") == 0)
        check_cached("b.h5", machines[_i].stays);
}
END_TEST

START_TEST(so_does_a_check_of_the_digest)
{
    char hex[MANIFEST_HEX_SIZE];
    for (long memory_mib = 1000; memory_mib >= 100; memory_mib -= 900) {
        claimed_mib = memory_mib;
        ck_assert_int_eq(digest_file(scratch_path("a.h5"), &comm_alone, hex, &err), 0);
        check_cached("a.h5", memory_mib == 1000);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("page_cache");
    TCase *tc = tcase_create("passes");
    tcase_add_checked_fixture(tc, setup, scratch_teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, a_pass_over_more_than_memory_leaves_the_cache, 0,
                        N_MACHINES);
    tcase_add_test(tc, so_does_a_check_of_the_digest);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
