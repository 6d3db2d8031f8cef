/* Who passes over more than memory holds leaves next to nothing of it in the system's
 * page cache; who may find it there again leaves all. */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "jobs/comm.h"
#include "tests/unit/worker/cached.h"
#include "tests/unit/worker/scratch.h"
#include "worker/data_h5.h"
#include "worker/digest.h"
#include "worker/import.h"
#include "worker/join.h"
#include "worker/shard.h"

enum { ASK = 1024, MAX_WIDTH = 3000, MIB = 1 << 20 };

/* Of 114 MiB each. */
static const struct file {
    const char *name;
    int64_t width, n_rows;
} files[] = {{"a.h5", 3000, 40000}, {"b.h5", 3000, 40000}, {"narrow.h5", 100, 1200000}};
enum { N_FILES = sizeof files / sizeof files[0], N_JOINED = 2 };

static struct error err;

static unsigned char byte_at(int64_t row, int64_t j)
{
    return (unsigned char)((row * 131 + j) % 251);
}

/* On the disk: what is not written yet cannot leave the cache. */
static void make(const struct file *of, int64_t first)
{
    struct data_h5 data;
    struct data_split split = {.n_rows = of->n_rows,
                               .x_type = TYPE_UINT8,
                               .y_type = TYPE_UINT8,
                               .n_dims = 1,
                               .dims = {of->width},
                               .n_classes = 10};
    struct manifest manifest = {.name = "part",
                                .unit = UNIT_EXAMPLE,
                                .relation = RELATION_ADD_REMOVE,
                                .n_splits = 1,
                                .splits = {{.name = "train",
                                            .nominal_count = of->n_rows,
                                            .n_dims = 1,
                                            .dims = {of->width},
                                            .n_classes = 10}}};
    static unsigned char x[1000 * MAX_WIDTH], y[1000];
    char manifest_path[MANIFEST_PATH_SIZE];
    const char *path = scratch_path(of->name);
    ck_assert_int_eq(
        data_h5_create(path, UNIT_EXAMPLE, RELATION_ADD_REMOVE, &data, &err), 0);
    ck_assert_int_eq(data_h5_add(&data, "train", &split, &err), 0);
    for (int64_t row = 0; row < of->n_rows; row += 1000) {
        for (int64_t i = 0; i < 1000; i++)
            for (int64_t j = 0; j < of->width; j++)
                x[i * of->width + j] = byte_at(first + row + i, j);
        ck_assert_int_eq(h5_data_write(split.x, row, 1000, x, &err), 0);
        ck_assert_int_eq(h5_data_write(split.y, row, 1000, y, &err), 0);
    }
    data_split_close(&split);
    ck_assert_int_eq(data_h5_close(&data, &err), 0);
    int fd = open(path, O_RDONLY);
    ck_assert_int_eq(fsync(fd), 0);
    close(fd);
    snprintf(manifest.file, sizeof manifest.file, "%s", of->name);
    ck_assert_int_eq(digest_file(path, &comm_alone, manifest.digest, &err), 0);
    ck_assert_int_eq(import_manifest_path(path, manifest_path, &err), 0);
    ck_assert_int_eq(import_manifest_write(&manifest, manifest_path, &err), 0);
}

static void setup(void)
{
    const char *paths[N_JOINED];
    struct manifest unused;
    scratch_setup();
    for (int i = 0; i < N_FILES; i++)
        make(&files[i], i == 1 ? files[0].n_rows : 0);
    for (int i = 0; i < N_JOINED; i++)
        paths[i] = scratch_path(files[i].name);
    const struct join join = {.name = "all",
                              .paths = paths,
                              .n_paths = N_JOINED,
                              .path = scratch_path("all.h5")};
    ck_assert_msg(join_run(&join, &unused, &err) == 0, "%s", err.text);
}

/* Every `apart`th record, as whoever reads ahead asks for them. */
static void pass(const char *name, int64_t width, int64_t apart, int n_ranks,
                 int n_beside)
{
    const struct manifest_split stated = {.name = "train",
                                          .x_type = TYPE_UINT8,
                                          .n_dims = 1,
                                          .dims = {width},
                                          .n_classes = 10};
    static unsigned char records[ASK * (MAX_WIDTH + 1)];
    static int64_t asked[ASK];
    struct data_h5 data;
    struct rows rows;
    ck_assert_int_eq(data_h5_open(scratch_path(name), &data, &err), 0);
    data.n_beside = n_beside;
    ck_assert_int_eq(shard_open(&data, &stated, 0.0, 1.0, 0, n_ranks, MIB, &rows, &err),
                     0);
    for (int64_t at = 0; at < rows.n_rows;) {
        int64_t n = 0, n_wrong = 0;
        for (; n < ASK && at < rows.n_rows; n++, at += apart)
            asked[n] = at;
        ck_assert_int_eq(rows.fetch(&rows, asked, (size_t)n, records, &err), 0);
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < width; j++)
                n_wrong += records[i * (width + 1) + j] != byte_at(asked[i], j);
        ck_assert_int_eq(n_wrong, 0);
    }
    shard_close(&rows);
    ck_assert_int_eq(data_h5_close(&data, &err), 0);
}

/* 228 MiB on a machine of 310 or 300, and 114 on one of 156 or 150; who does not read
 * in order; half of 114, alone on a machine and with one or seven others. */
static const struct {
    const char *name;
    int64_t width, apart;
    int n_ranks, n_beside;
    long memory_mib;
    bool stays;
} passes[] = {
    {"all.h5", 3000, 1, 1, 0, 310, true},   {"all.h5", 3000, 1, 1, 0, 300, false},
    {"a.h5", 3000, 1, 1, 0, 156, true},     {"a.h5", 3000, 1, 1, 0, 150, false},
    {"narrow.h5", 100, 1, 1, 0, 156, true}, {"narrow.h5", 100, 1, 1, 0, 150, false},
    {"a.h5", 3000, 2, 1, 0, 20, true},      {"a.h5", 3000, 1, 2, 0, 80, true},
    {"a.h5", 3000, 1, 2, 0, 72, false},     {"a.h5", 3000, 1, 2, 1, 156, true},
    {"a.h5", 3000, 1, 2, 1, 150, false},    {"a.h5", 3000, 1, 2, 7, 156, true},
    {"a.h5", 3000, 1, 2, 7, 150, false},
};
enum { N_PASSES = sizeof passes / sizeof passes[0] };

/* Of a file of 114 MiB, `read_mib` of which were read. */
static void check_cached(const char *name, bool stays, double read_mib)
{
    const char *path = scratch_path(name);
    double left = cached_mib(path);
    if (stays || cached_can_drop(path))
        ck_assert_msg(stays ? left > 110 : left <= 115 - read_mib + 40, "%.1f MiB",
                      left);
}

START_TEST(a_pass_over_more_than_memory_leaves_the_cache)
{
    bool is_joined = strcmp(passes[_i].name, "all.h5") == 0, stays = passes[_i].stays;
    double read_mib = 114.0 / passes[_i].n_ranks;
    cached_claim_mib = passes[_i].memory_mib;
    pass(passes[_i].name, passes[_i].width, passes[_i].apart, passes[_i].n_ranks,
         passes[_i].n_beside);
    check_cached(is_joined ? "a.h5" : passes[_i].name, stays, read_mib);
    if (is_joined)
        check_cached("b.h5", stays, read_mib);
}
END_TEST

START_TEST(so_does_a_check_of_the_digest)
{
    char hex[MANIFEST_HEX_SIZE];
    for (long memory_mib = 1000; memory_mib >= 100; memory_mib -= 900) {
        cached_claim_mib = memory_mib;
        ck_assert_int_eq(digest_file(scratch_path("a.h5"), &comm_alone, hex, &err), 0);
        check_cached("a.h5", memory_mib == 1000, 114.0);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("page_cache");
    TCase *tc = tcase_create("passes");
    tcase_add_checked_fixture(tc, setup, scratch_teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, a_pass_over_more_than_memory_leaves_the_cache, 0, N_PASSES);
    tcase_add_test(tc, so_does_a_check_of_the_digest);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
