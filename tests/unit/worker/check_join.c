/* One data set of several files: its rows are theirs, and what is missing, changed or
 * put together wrongly is one clear error and never a fill value. */
#include <check.h>
#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/worker/scratch.h"
#include "worker/data_h5.h"
#include "worker/digest.h"
#include "worker/import.h"
#include "worker/join.h"
#include "worker/shard.h"

enum { N_FEATURES = 6, N_FILES = 3 };

static const int64_t counts[N_FILES] = {50, 1, 30}; /* 81 in all */
static struct error err;

static unsigned char byte_at(int64_t row, int j)
{
    return (unsigned char)(row * 7 + j * 3);
}

/* Records first, first + 1, ... of the whole; chunks of so many rows, 0: contiguous. */
static void make(const char *name, int64_t first, int64_t n, int64_t nominal_test,
                 enum privacy_unit unit)
{
    struct data_h5 data;
    struct data_split split = {.n_rows = n,
                               .x_type = TYPE_UINT8,
                               .y_type = TYPE_UINT8,
                               .n_dims = 1,
                               .dims = {N_FEATURES},
                               .n_classes = 10};
    struct manifest manifest = {.unit = unit,
                                .relation = RELATION_ADD_REMOVE,
                                .n_splits = 2,
                                .splits = {{.name = "train",
                                            .nominal_count = n + 1,
                                            .n_dims = 1,
                                            .dims = {N_FEATURES},
                                            .n_classes = 10},
                                           {.name = "test",
                                            .nominal_count = nominal_test,
                                            .n_dims = 1,
                                            .dims = {N_FEATURES},
                                            .n_classes = 10}}};
    char manifest_path[MANIFEST_PATH_SIZE];
    unsigned char *x = malloc((size_t)n * N_FEATURES), *y = malloc((size_t)n);
    const char *path = scratch_path(name);
    for (int64_t i = 0; i < n; i++) {
        y[i] = (unsigned char)((first + i) % 10);
        for (int j = 0; j < N_FEATURES; j++)
            x[i * N_FEATURES + j] = byte_at(first + i, j);
    }
    ck_assert_int_eq(data_h5_create(path, unit, RELATION_ADD_REMOVE, &data, &err), 0);
    for (int s = 0; s < 2; s++) {
        ck_assert_int_eq(data_h5_add(&data, manifest.splits[s].name, &split, &err), 0);
        ck_assert_int_eq(h5_data_write(split.x, 0, (size_t)n, x, &err), 0);
        ck_assert_int_eq(h5_data_write(split.y, 0, (size_t)n, y, &err), 0);
        data_split_close(&split);
    }
    ck_assert_int_eq(data_h5_close(&data, &err), 0);
    free(x), free(y);
    snprintf(manifest.name, sizeof manifest.name, "part");
    snprintf(manifest.file, sizeof manifest.file, "%s", name);
    ck_assert_int_eq(digest_file(path, &comm_alone, manifest.digest, &err), 0);
    ck_assert_int_eq(import_manifest_path(path, manifest_path, &err), 0);
    ck_assert_int_eq(import_manifest_write(&manifest, manifest_path, &err), 0);
}

static int join(const char *output, int n, const char *const *names,
                struct manifest *ret_manifest)
{
    const char *paths[8];
    struct manifest unused;
    for (int i = 0; i < n; i++)
        paths[i] = names[i][0] == '/' ? names[i] : scratch_path(names[i]);
    const struct join join = {
        .name = "all", .paths = paths, .n_paths = n, .path = scratch_path(output)};
    return join_run(&join, ret_manifest != NULL ? ret_manifest : &unused, &err);
}

static const char *const names[N_FILES] = {"a.h5", "b.h5", "sub/c.h5"};

static void make_all(struct manifest *ret_manifest)
{
    int64_t first = 0;
    char folder[4096];
    snprintf(folder, sizeof folder, "%s", scratch_path("sub"));
    char command[4200];
    snprintf(command, sizeof command, "mkdir -p '%s'", folder);
    ck_assert_int_eq(system(command), 0);
    for (int i = 0; i < N_FILES; i++) {
        make(names[i], first, counts[i], i == 1 ? 0 : 5, UNIT_EXAMPLE);
        first += counts[i];
    }
    ck_assert_msg(join("all.h5", N_FILES, names, ret_manifest) == 0, "%s", err.text);
}

static void teardown(void)
{
    unlink(scratch_path("sub/c.h5"));
    unlink(scratch_path("sub/c.manifest.yaml"));
    rmdir(scratch_path("sub"));
    scratch_teardown();
}

static void check_rows(struct rows *rows, int64_t first)
{
    int64_t n = 0, indices[100];
    float x[100 * N_FEATURES];
    int32_t y[100];
    for (int64_t row = 0; row < rows->n_rows; row += row % 3 == 0 ? 1 : 2)
        indices[n++] = row;
    ck_assert_msg(rows->read(rows, indices, (size_t)n, x, y, &err) == 0, "%s",
                  err.text);
    for (int64_t i = 0; i < n; i++) {
        ck_assert_int_eq(y[i], (first + indices[i]) % 10);
        for (int j = 0; j < N_FEATURES; j++)
            ck_assert_float_eq(x[i * N_FEATURES + j],
                               (float)byte_at(first + indices[i], j) * (1.0f / 255));
    }
}

static int check_sources(void)
{
    struct h5 *file;
    ck_assert_int_eq(h5_open(scratch_path("all.h5"), &file, &err), 0);
    int rc = digest_check_sources(file, &comm_alone, &err);
    h5_close(file, NULL);
    return rc;
}

START_TEST(rows_are_those_of_the_files)
{
    struct manifest manifest;
    struct data_h5 data;
    struct rows rows;
    int64_t first, n;
    make_all(&manifest);
    ck_assert_str_eq(manifest.name, "all");
    ck_assert_str_eq(manifest.file, "all.h5");
    ck_assert_int_eq(manifest.splits[0].nominal_count, 81 + 3);
    ck_assert_int_eq(manifest.splits[1].nominal_count, 0); /* b.h5 states none */
    ck_assert_int_eq(
        digest_check(scratch_path("all.h5"), manifest.digest, &comm_alone, &err), 0);
    ck_assert_int_eq(check_sources(), 0);
    for (int size = 1; size <= 5; size += 2)
        for (int rank = 0; rank < size; rank++) {
            ck_assert_int_eq(data_h5_open(scratch_path("all.h5"), &data, &err), 0);
            ck_assert_int_eq(h5_n_sources(data.file), N_FILES);
            ck_assert_msg(shard_open(&data, &manifest.splits[0], 0, 1, rank, size,
                                     rank % 2 == 0 ? 0 : SHARD_CACHE_BYTES, &rows,
                                     &err) == 0,
                          "%s", err.text);
            shard_bounds(81, rank, size, &first, &n);
            ck_assert_int_eq(rows.n_rows, n);
            check_rows(&rows, first);
            shard_close(&rows);
            data_h5_close(&data, NULL);
        }
}
END_TEST

/* Other programs read it as well: it is plain HDF5. */
START_TEST(hdf5_itself_reads_it)
{
    unsigned char x[81 * N_FEATURES];
    make_all(NULL);
    hid_t file = H5Fopen(scratch_path("all.h5"), H5F_ACC_RDONLY, H5P_DEFAULT);
    hid_t id = H5Dopen2(file, "train/x", H5P_DEFAULT);
    ck_assert_int_ge(H5Dread(id, H5T_NATIVE_UINT8, H5S_ALL, H5S_ALL, H5P_DEFAULT, x),
                     0);
    for (int64_t row = 0; row < 81; row++)
        for (int j = 0; j < N_FEATURES; j++)
            ck_assert_uint_eq(x[row * N_FEATURES + j], byte_at(row, j));
    H5Dclose(id), H5Fclose(file);
}
END_TEST

/* Opens the split and reads all of it. */
static int read_all(void)
{
    struct data_h5 data;
    struct data_split split;
    unsigned char x[81 * N_FEATURES];
    int rc = data_h5_open(scratch_path("all.h5"), &data, &err);
    if (rc != 0)
        return rc;
    rc = data_h5_split(&data, "train", &split, &err);
    if (rc == 0) {
        rc = h5_data_read(split.x, 0, 81, x, &err);
        data_split_close(&split);
    }
    data_h5_close(&data, NULL);
    return rc;
}

START_TEST(a_source_that_is_gone_is_an_error)
{
    make_all(NULL);
    ck_assert_int_eq(read_all(), 0);
    unlink(scratch_path("b.h5"));
    ck_assert_int_eq(read_all(), -PPT_EDATA);
    scratch_expect(&err, "all.h5: its source b.h5 is not there");
    ck_assert_int_eq(check_sources(), -PPT_EDATA);
    scratch_expect(&err, "all.h5: its source b.h5 is not there");
}
END_TEST

START_TEST(a_source_that_changed_is_an_error)
{
    make_all(NULL);
    scratch_flip(scratch_path("sub/c.h5"), scratch_size(scratch_path("sub/c.h5")) - 1);
    ck_assert_int_eq(check_sources(), -PPT_EDATA);
    scratch_expect(&err, "c.h5: its contents are not those");
    make("a.h5", 0, counts[0] - 1, 5, UNIT_EXAMPLE);
    ck_assert_int_eq(read_all(), -PPT_EDATA);
    scratch_expect(&err, "train/x of its source a.h5 has another type or shape");
}
END_TEST

START_TEST(files_that_do_not_fit_are_refused)
{
    const char *const twice[] = {"a.h5", "b.h5", "a.h5"},
                      *const copy[] = {"a.h5", "d.h5"}, *const nested[] = {"all.h5"},
                      *const user[] = {"u.h5"}, *const absent[] = {"a.h5", "absent.h5"},
                      *const flipped[] = {"b.h5"};
    char command[10000];
    make_all(NULL);
    ck_assert_int_eq(join("all.h5", N_FILES, names, NULL), -PPT_EEXISTS);
    ck_assert_int_eq(join("n.h5", 3, twice, NULL), -PPT_EDATA);
    scratch_expect(&err, "a.h5 holds the same as");
    make("d.h5", 0, counts[0], 9, UNIT_EXAMPLE);
    ck_assert_int_eq(join("n.h5", 2, copy, NULL), -PPT_EDATA);
    scratch_expect(&err, "d.h5 holds the same as");
    ck_assert_int_eq(join("n.h5", 1, nested, NULL), -PPT_EDATA);
    scratch_expect(&err, "is itself joined");
    make("u.h5", 0, 4, 1, UNIT_USER);
    ck_assert_int_eq(join("n.h5", 1, user, NULL), -PPT_EDATA);
    scratch_expect(&err, "its unit is a user");
    ck_assert_int_eq(join("n.h5", 2, absent, NULL), -PPT_ENOTFOUND);
    ck_assert_int_eq(join("sub/n.h5", 1, names, NULL), -PPT_EUSAGE);
    scratch_expect(&err, "does not lie in the directory");
    scratch_flip(scratch_path("b.h5"), 3000);
    ck_assert_int_eq(join("n.h5", 1, flipped, NULL), -PPT_EDATA);
    scratch_expect(&err, "its contents are not those");
    ck_assert_int_eq(access(scratch_path("n.h5"), F_OK), -1);
    /* Another split in the second file. */
    snprintf(command, sizeof command, "sed -i 's/\"test\"/\"check\"/' '%s'",
             scratch_path("d.manifest.yaml"));
    ck_assert_int_eq(system(command), 0);
    const char *const other[] = {"sub/c.h5", "d.h5"};
    ck_assert_int_eq(join("n.h5", 2, other, NULL), -PPT_EDATA);
    scratch_expect(&err, "d.h5: no split test");
}
END_TEST

static const char *const bad_paths[] = {"/etc/passwd", "../a.h5", "x/../../a.h5",
                                        "..",          "a%b.h5",  ""};

/* A list that somebody wrote by hand leads nowhere else. */
START_TEST(only_paths_below_are_followed)
{
    struct h5 *file;
    char text[200];
    ck_assert(!h5_source_is_safe(bad_paths[_i]));
    ck_assert(h5_source_is_safe("a..b/..c.h5"));
    ck_assert_int_eq(h5_create(scratch_path("s.h5"), &file, &err), 0);
    snprintf(text, sizeof text, "%064d %s", 0, bad_paths[_i]);
    ck_assert_int_eq(h5_set_integer(file, "/", "n_sources", 1, &err), 0);
    ck_assert_int_eq(h5_set_text(file, "/", "source_0", text, &err), 0);
    ck_assert_int_eq(h5_close(file, &err), 0);
    ck_assert_int_eq(h5_open(scratch_path("s.h5"), &file, &err), -PPT_EDATA);
    scratch_expect(&err, "source_0 is not a digest and a relative path");
}
END_TEST

/* A mapping onto a file that is not in the list, and one that leaves rows out. */
START_TEST(other_mappings_are_refused)
{
    const hsize_t dims[] = {20, N_FEATURES}, start[] = {0, 0},
                  count[] = {10, N_FEATURES};
    make_all(NULL);
    hid_t file = H5Fopen(scratch_path("all.h5"), H5F_ACC_RDWR, H5P_DEFAULT);
    hid_t list = H5Pcreate(H5P_DATASET_CREATE);
    hid_t space = H5Screate_simple(2, dims, NULL),
          source = H5Screate_simple(2, count, NULL);
    H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL);
    H5Sselect_hyperslab(source, H5S_SELECT_SET, start, NULL, count, NULL);
    H5Pset_virtual(list, space, _i == 0 ? "d.h5" : "a.h5", "train/x", source);
    H5Sselect_all(space);
    H5Dclose(
        H5Dcreate2(file, "v", H5T_STD_U8LE, space, H5P_DEFAULT, list, H5P_DEFAULT));
    H5Sclose(space), H5Sclose(source), H5Pclose(list), H5Fclose(file);
    struct h5 *h5;
    struct h5_data *data;
    ck_assert_int_eq(h5_open(scratch_path("all.h5"), &h5, &err), 0);
    ck_assert_int_eq(h5_data_open(h5, "v", &data, &err), -PPT_EDATA);
    scratch_expect(&err, _i == 0 ? "has rows from d.h5, which is no source"
                                 : "rows of v lie in none of its sources");
    h5_close(h5, NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("join");
    TCase *tc = tcase_create("join");
    tcase_add_checked_fixture(tc, scratch_setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, rows_are_those_of_the_files);
    tcase_add_test(tc, hdf5_itself_reads_it);
    tcase_add_test(tc, a_source_that_is_gone_is_an_error);
    tcase_add_test(tc, a_source_that_changed_is_an_error);
    tcase_add_test(tc, files_that_do_not_fit_are_refused);
    tcase_add_loop_test(tc, only_paths_below_are_followed, 0, 6);
    tcase_add_loop_test(tc, other_mappings_are_refused, 0, 2);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
