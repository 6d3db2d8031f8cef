/* An import makes a file and a manifest that belong together, or nothing at all. */
#include <check.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "jobs/comm.h"
#include "tests/unit/worker/scratch.h"
#include "worker/data_h5.h"
#include "worker/digest.h"
#include "worker/import.h"

static struct error err;
static struct manifest manifest;
static struct source train, test;

static void open_source(struct source *source, const char *name, const char *text)
{
    const char *path = scratch_write(name, text, strlen(text));
    int rc = source_open_csv(path, NULL, CSV_HEADER_AUTO, NULL, source, &err);
    ck_assert_msg(rc == 0, "%s", err.text);
}

static struct import make_import(const char *path)
{
    return (struct import){.name = "tiny",
                           .unit = UNIT_USER,
                           .n_splits = 2,
                           .splits = {{"train", 5, &train}, {"test", 0, &test}},
                           .path = path};
}

static double last_part;

static void note(void *state, double part)
{
    (void)state;
    ck_assert(part >= last_part && part <= 1);
    last_part = part;
}

START_TEST(what_is_imported_can_be_read)
{
    struct data_h5 data;
    struct data_split split;
    struct manifest read_back;
    unsigned char y[3];
    float x[6];
    const char *path = scratch_path("tiny.h5");
    open_source(&train, "train.csv", "1,2,0\n3,4,1\n5,6,3\n");
    open_source(&test, "test.csv", "7,8,2\n");
    struct import import = make_import(path);
    import.progress = note;
    int rc = import_run(&import, &manifest, &err);
    ck_assert_msg(rc == 0, "%s", err.text);
    ck_assert_double_eq(last_part, 1);
    ck_assert_int_eq(
        manifest_read(scratch_path("tiny.manifest.yaml"), &read_back, &err), 0);
    ck_assert_str_eq(read_back.name, "tiny");
    ck_assert_str_eq(read_back.file, "tiny.h5");
    ck_assert_str_eq(read_back.digest, manifest.digest);
    ck_assert_int_eq(read_back.unit, UNIT_USER);
    ck_assert_int_eq(read_back.n_splits, 2);
    ck_assert_int_eq(read_back.splits[1].nominal_count, 0);
    ck_assert_int_eq(read_back.splits[0].nominal_count, 5);
    ck_assert_int_eq(read_back.splits[0].n_classes, 4);
    ck_assert_int_eq(digest_check(path, read_back.digest, &comm_alone, &err), 0);
    ck_assert_int_eq(data_h5_open(path, &data, &err), 0);
    ck_assert_int_eq(data.unit, UNIT_USER);
    ck_assert_int_eq(data_h5_split(&data, "train", &split, &err), 0);
    ck_assert_int_eq(data_split_match(&split, &read_back.splits[0], path, &err), 0);
    ck_assert(split.n_rows == 3 && split.y_type == TYPE_UINT8);
    ck_assert(h5_data_is_direct(split.x) && h5_data_is_direct(split.y));
    ck_assert_int_eq(h5_data_read(split.x, 0, 3, x, &err), 0);
    ck_assert_int_eq(h5_data_read(split.y, 0, 3, y, &err), 0);
    for (int i = 0; i < 6; i++)
        ck_assert_float_eq(x[i], (float)(i + 1));
    ck_assert(y[0] == 0 && y[1] == 1 && y[2] == 3);
    data_split_close(&split);
    data_h5_close(&data, NULL);
    source_close(&train), source_close(&test);
}
END_TEST

/* More classes than a byte holds: labels become int64. */
START_TEST(many_classes_need_wide_labels)
{
    struct data_h5 data;
    struct data_split split;
    int64_t y[2];
    open_source(&train, "train.csv", "1,0\n2,256\n");
    struct import import = make_import(scratch_path("wide.h5"));
    import.n_splits = 1;
    ck_assert_int_eq(import_run(&import, &manifest, &err), 0);
    ck_assert_int_eq(manifest.splits[0].n_classes, 257);
    ck_assert_int_eq(data_h5_open(import.path, &data, &err), 0);
    ck_assert_int_eq(data_h5_split(&data, "train", &split, &err), 0);
    ck_assert_int_eq(split.y_type, TYPE_INT64);
    ck_assert_int_eq(h5_data_read(split.y, 0, 2, y, &err), 0);
    ck_assert(y[0] == 0 && y[1] == 256);
    data_split_close(&split);
    data_h5_close(&data, NULL);
    source_close(&train);
}
END_TEST

static void read_users(const char *text, struct users *users)
{
    const char *path = scratch_write("users.txt", text, strlen(text));
    int rc = users_read(path, users, &err);
    ck_assert_msg(rc == 0, "%s", err.text);
}

/* Whose each record is comes along; an id is a name's, whoever else is there. */
START_TEST(users_come_along)
{
    struct data_h5 data;
    struct data_split split;
    struct users users, fewer;
    struct manifest read_back;
    int64_t ids[3];
    open_source(&train, "train.csv", "1,2,0\n3,4,1\n5,6,3\n");
    read_users("ada lovelace\nbob\r\nada lovelace\n", &users);
    read_users("bob\n", &fewer);
    ck_assert_int_eq(users.n, 3);
    ck_assert(users.ids[0] == users.ids[2] && users.ids[0] != users.ids[1]);
    ck_assert(fewer.ids[0] == users.ids[1]);
    struct import import = make_import(scratch_path("many.h5"));
    import.n_splits = 1;
    import.splits[0].users = &users;
    import.splits[0].nominal_users = 2;
    int rc = import_run(&import, &manifest, &err);
    ck_assert_msg(rc == 0, "%s", err.text);
    ck_assert_int_eq(
        manifest_read(scratch_path("many.manifest.yaml"), &read_back, &err), 0);
    ck_assert_int_eq(read_back.splits[0].nominal_users, 2);
    ck_assert(manifest_has_users(&read_back));
    ck_assert_int_eq(data_h5_open(import.path, &data, &err), 0);
    ck_assert_int_eq(data_h5_split(&data, "train", &split, &err), 0);
    ck_assert(split.has_users);
    ck_assert_int_eq(h5_data_read(split.u, 0, 3, ids, &err), 0);
    ck_assert_mem_eq(ids, users.ids, sizeof ids);
    ck_assert_int_eq(data_split_match(&split, &read_back.splits[0], import.path, &err),
                     0);
    read_back.splits[0].nominal_users = 0;
    ck_assert_int_eq(data_split_match(&split, &read_back.splits[0], import.path, &err),
                     -PPT_EDATA);
    scratch_expect(&err, "train/u says whose each record is, but the manifest");
    data_split_close(&split);
    data_h5_close(&data, NULL);

    import.path = scratch_path("few.h5");
    import.splits[0].users = &fewer;
    ck_assert_int_eq(import_run(&import, &manifest, &err), -PPT_EDATA);
    scratch_expect(&err,
                   "split train: whose is stated of fewer records than there are");
    source_close(&train);
    users_free(&users), users_free(&fewer);
}
END_TEST

static void check_nothing_left(const char *name)
{
    char with_pid[64];
    snprintf(with_pid, sizeof with_pid, "%s.h5.tmp-%ld", name, (long)getpid());
    ck_assert_int_eq(scratch_size(scratch_path(with_pid)), -1);
}

START_TEST(floats_are_finite)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    const struct {
        unsigned char magic[10];
        char header[54];
        float x[6];
    } x = {"\x93NUMPY\1\0\x36",
           "{'descr':'<f4','fortran_order':False,'shape':(3,2)}  \n",
           {1, 2, 3, 4, 5, bad[_i]}};
    const struct {
        unsigned char magic[10];
        char header[54];
        unsigned char y[3];
    } y = {"\x93NUMPY\1\0\x36",
           "{'descr':'|u1','fortran_order':False,'shape':(3,)}   \n",
           {0, 1, 0}};
    const char *x_path = scratch_write("x.npy", &x, 10 + 54 + 24);
    const char *y_path = scratch_write("y.npy", &y, 10 + 54 + 3);
    int rc = source_open_npy(x_path, y_path, &train, &err);
    ck_assert_msg(rc == 0, "%s", err.text);
    struct import import = make_import(scratch_path("nan.h5"));
    import.n_splits = 1;
    ck_assert_int_eq(import_run(&import, &manifest, &err), -PPT_EDATA);
    scratch_expect(&err, "record 2 of split train holds a NaN or an infinity");
    check_nothing_left("nan");
    source_close(&train);
}
END_TEST

START_TEST(refusals_leave_nothing)
{
    struct import import = make_import(scratch_path("bad.h5"));
    open_source(&train, "train.csv", "1,2,0\n3,4,1\n");
    open_source(&test, "test.csv", "7,8,5\n");
    import.n_classes = 3;
    ck_assert_int_eq(import_run(&import, &manifest, &err), -PPT_EDATA);
    scratch_expect(&err, "split test: labels from 5 to 5, expected 0..2");
    source_close(&test);
    open_source(&test, "test.csv", "7,2\n");
    ck_assert_int_eq(import_run(&import, &manifest, &err), -PPT_EDATA);
    scratch_expect(&err, "the records of split test have another shape");
    source_close(&test);
    open_source(&test, "test.csv", "7,8,1\n");
    /* The source shrinks between being counted and being copied. */
    train.n_rows = 5;
    ck_assert_int_eq(import_run(&import, &manifest, &err), -PPT_EDATA);
    scratch_expect(&err, "changed while it was imported");
    ck_assert_int_eq(scratch_size(scratch_path("bad.h5")), -1);
    ck_assert_int_eq(scratch_size(scratch_path("bad.manifest.yaml")), -1);
    check_nothing_left("bad");
    source_close(&train), source_close(&test);
}
END_TEST

START_TEST(nothing_is_replaced_unasked)
{
    open_source(&train, "train.csv", "1,2,0\n3,4,1\n");
    struct import import = make_import(scratch_write("old.h5", "old", 3));
    import.n_splits = 1;
    ck_assert_int_eq(import_run(&import, &manifest, &err), -PPT_EEXISTS);
    ck_assert_int_eq(scratch_size(scratch_path("old.h5")), 3);
    import.path = scratch_path("new.h5");
    scratch_write("new.manifest.yaml", "old", 3);
    ck_assert_int_eq(import_run(&import, &manifest, &err), -PPT_EEXISTS);
    import.may_replace = true;
    ck_assert_int_eq(import_run(&import, &manifest, &err), 0);
    ck_assert_int_eq(manifest_read(scratch_path("new.manifest.yaml"), &manifest, &err),
                     0);
    source_close(&train);
}
END_TEST

START_TEST(any_flipped_byte_changes_the_digest)
{
    open_source(&train, "train.csv", "1,2,0\n3,4,1\n");
    struct import import = make_import(scratch_path("a.h5"));
    import.n_splits = 1;
    ck_assert_int_eq(import_run(&import, &manifest, &err), 0);
    int64_t size = scratch_size(import.path);
    for (int64_t at = 0; at < size; at += 1 + size / 50) {
        scratch_flip(import.path, at);
        ck_assert_int_eq(digest_check(import.path, manifest.digest, &comm_alone, &err),
                         -PPT_EDATA);
        scratch_expect(&err, "its contents are not those the manifest was made for");
        scratch_flip(import.path, at);
    }
    ck_assert_int_eq(digest_check(import.path, manifest.digest, &comm_alone, &err), 0);
    scratch_truncate(import.path, size - 1);
    ck_assert_int_eq(digest_check(import.path, manifest.digest, &comm_alone, &err),
                     -PPT_EDATA);
    source_close(&train);
}
END_TEST

static int n_asked; /* collectives of the communicator below */

static int count_max(struct comm *comm, int64_t *values, size_t n, struct error *why)
{
    n_asked++;
    return comm_alone.ops->max_i64(comm, values, n, why);
}

/* How many collectives one check takes: one where the file was found before. */
static int n_collectives(const char *path, int expected_rc)
{
    struct comm_ops ops = *comm_alone.ops;
    struct comm counting = comm_alone;
    ops.max_i64 = count_max;
    counting.ops = &ops;
    n_asked = 0;
    ck_assert_int_eq(digest_check(path, manifest.digest, &counting, &err), expected_rc);
    return n_asked;
}

/* Not read again as long as nobody can have changed it: not just after a change, which
 * may not show in its times, and not where only its time of change tells. */
START_TEST(a_file_at_rest_is_read_once)
{
    struct stat before;
    open_source(&train, "train.csv", "1,2,0\n3,4,1\n");
    struct import import = make_import(scratch_path("a.h5"));
    import.n_splits = 1;
    ck_assert_int_eq(import_run(&import, &manifest, &err), 0);
    ck_assert_int_gt(n_collectives(import.path, 0), 1);
    ck_assert_int_gt(n_collectives(import.path, 0), 1);
    sleep(3);
    ck_assert_int_gt(n_collectives(import.path, 0), 1);
    ck_assert_int_eq(n_collectives(import.path, 0), 1);
    ck_assert_int_eq(stat(import.path, &before), 0);
    const struct timespec times[] = {before.st_atim, before.st_mtim};
    scratch_flip(import.path, 40);
    ck_assert_int_eq(utimensat(AT_FDCWD, import.path, times, 0), 0);
    ck_assert_int_gt(n_collectives(import.path, -PPT_EDATA), 1);
    sleep(3);
    ck_assert_int_gt(n_collectives(import.path, -PPT_EDATA), 1);
    ck_assert_int_gt(n_collectives(import.path, -PPT_EDATA), 1);
    manifest.digest[0] = manifest.digest[0] == 'a' ? 'b' : 'a'; /* another data set's */
    scratch_flip(import.path, 40);
    ck_assert_int_gt(n_collectives(import.path, -PPT_EDATA), 1);
    source_close(&train);
}
END_TEST

START_TEST(the_manifest_stands_beside)
{
    char path[MANIFEST_PATH_SIZE];
    ck_assert_int_eq(import_manifest_path("a/b.h5", path, &err), 0);
    ck_assert_str_eq(path, "a/b.manifest.yaml");
    ck_assert_int_eq(import_manifest_path("b.hdf5", path, &err), 0);
    ck_assert_str_eq(path, "b.hdf5.manifest.yaml");
    ck_assert_int_eq(import_manifest_path(".h5", path, &err), 0);
    ck_assert_str_eq(path, ".h5.manifest.yaml");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("import");
    TCase *tc = tcase_create("import");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, scratch_setup, scratch_teardown);
    tcase_add_test(tc, what_is_imported_can_be_read);
    tcase_add_test(tc, many_classes_need_wide_labels);
    tcase_add_test(tc, users_come_along);
    tcase_add_loop_test(tc, floats_are_finite, 0, 3);
    tcase_add_test(tc, refusals_leave_nothing);
    tcase_add_test(tc, nothing_is_replaced_unasked);
    tcase_add_test(tc, any_flipped_byte_changes_the_digest);
    tcase_add_test(tc, a_file_at_rest_is_read_once);
    tcase_add_test(tc, the_manifest_stands_beside);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
