/* HDF5 files as other people write them: what the layout allows is read the same way
 * however it is stored, everything else is one clear error. */
#include <check.h>
#include <hdf5.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/worker/scratch.h"
#include "worker/data_h5.h"
#include "worker/gather.h"

#define N_ROWS 100
#define N_FEATURES 6

static struct error err;

static hid_t raw; /* a file written by HDF5 itself, not by our code */

static void raw_text(hid_t where, const char *name, const char *value)
{
    hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
    H5Tset_size(type, strlen(value) + 1);
    hid_t id = H5Acreate2(where, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    H5Awrite(id, type, value);
    H5Aclose(id), H5Sclose(space), H5Tclose(type);
}

static void raw_integer(hid_t where, const char *name, int value)
{
    hid_t space = H5Screate(H5S_SCALAR);
    hid_t id = H5Acreate2(where, name, H5T_STD_I32BE, space, H5P_DEFAULT, H5P_DEFAULT);
    H5Awrite(id, H5T_NATIVE_INT, &value);
    H5Aclose(id), H5Sclose(space);
}

/* An array that counts up from 0 in every element, stored as `type`. */
static void raw_array(const char *name, hid_t type, int n_dims, const hsize_t *dims,
                      hid_t create)
{
    size_t n = 1;
    for (int d = 0; d < n_dims; d++)
        n *= (size_t)dims[d];
    double *values = calloc(n + 1, sizeof *values);
    for (size_t i = 0; i < n; i++)
        values[i] = (double)(i % 200);
    hid_t space = H5Screate_simple(n_dims, dims, NULL);
    hid_t id = H5Dcreate2(raw, name, type, space, H5P_DEFAULT, create, H5P_DEFAULT);
    ck_assert_int_ge((int)(id > 0), 1);
    if (n > 0)
        H5Dwrite(id, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values);
    H5Dclose(id), H5Sclose(space);
    free(values);
}

static const hsize_t x_dims[] = {N_ROWS, N_FEATURES}, y_dims[] = {N_ROWS};

/* A valid file but for what the caller leaves out or adds before raw_end. */
static void raw_begin(const char *name)
{
    raw = H5Fcreate(scratch_path(name), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    ck_assert_int_ge((int)(raw > 0), 1);
    raw_integer(raw, "ppt_data_version", 1);
    raw_text(raw, "unit", "example");
    raw_text(raw, "relation", "add_remove");
}

static hid_t raw_group(int n_classes)
{
    hid_t group = H5Gcreate2(raw, "train", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    raw_integer(group, "n_classes", n_classes);
    return group;
}

static void raw_split(hid_t x_type, hid_t y_type, hid_t create)
{
    H5Gclose(raw_group(200));
    raw_array("train/x", x_type, 2, x_dims, create);
    raw_array("train/y", y_type, 1, y_dims, H5P_DEFAULT);
}

static void raw_end(void)
{
    H5Fclose(raw);
}

/* Opens file and split, hands back the first error. */
static int open_split(const char *name)
{
    struct data_h5 data;
    struct data_split split;
    int rc = data_h5_open(scratch_path(name), &data, &err);
    if (rc != 0)
        return rc;
    rc = data_h5_split(&data, "train", &split, &err);
    if (rc == 0)
        data_split_close(&split);
    data_h5_close(&data, NULL);
    return rc;
}

static void no_group(void)
{
}

static void no_y(void)
{
    H5Gclose(raw_group(200));
    raw_array("train/x", H5T_STD_U8LE, 2, x_dims, H5P_DEFAULT);
}

static void no_classes(void)
{
    H5Gclose(H5Gcreate2(raw, "train", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    raw_array("train/x", H5T_STD_U8LE, 2, x_dims, H5P_DEFAULT);
    raw_array("train/y", H5T_STD_U8LE, 1, y_dims, H5P_DEFAULT);
}

static void one_class(void)
{
    H5Gclose(raw_group(1));
    raw_array("train/x", H5T_STD_U8LE, 2, x_dims, H5P_DEFAULT);
    raw_array("train/y", H5T_STD_U8LE, 1, y_dims, H5P_DEFAULT);
}

static void classes_as_text(void)
{
    hid_t group = H5Gcreate2(raw, "train", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    raw_text(group, "n_classes", "ten");
    H5Gclose(group);
}

static void x_of_doubles(void)
{
    raw_split(H5T_IEEE_F64LE, H5T_STD_U8LE, H5P_DEFAULT);
}

static void x_of_int64(void)
{
    raw_split(H5T_STD_I64LE, H5T_STD_U8LE, H5P_DEFAULT);
}

static void y_of_floats(void)
{
    raw_split(H5T_STD_U8LE, H5T_IEEE_F32LE, H5P_DEFAULT);
}

static void y_of_int32(void)
{
    raw_split(H5T_STD_U8LE, H5T_STD_I32LE, H5P_DEFAULT);
}

static void x_flat(void)
{
    H5Gclose(raw_group(200));
    raw_array("train/x", H5T_STD_U8LE, 1, y_dims, H5P_DEFAULT);
    raw_array("train/y", H5T_STD_U8LE, 1, y_dims, H5P_DEFAULT);
}

static void x_deep(void)
{
    const hsize_t dims[] = {N_ROWS, 1, 2, 3, 1};
    H5Gclose(raw_group(200));
    raw_array("train/x", H5T_STD_U8LE, 5, dims, H5P_DEFAULT);
    raw_array("train/y", H5T_STD_U8LE, 1, y_dims, H5P_DEFAULT);
}

static void y_square(void)
{
    H5Gclose(raw_group(200));
    raw_array("train/x", H5T_STD_U8LE, 2, x_dims, H5P_DEFAULT);
    raw_array("train/y", H5T_STD_U8LE, 2, x_dims, H5P_DEFAULT);
}

static void fewer_labels(void)
{
    const hsize_t dims[] = {N_ROWS - 1};
    H5Gclose(raw_group(200));
    raw_array("train/x", H5T_STD_U8LE, 2, x_dims, H5P_DEFAULT);
    raw_array("train/y", H5T_STD_U8LE, 1, dims, H5P_DEFAULT);
}

static void empty_records(void)
{
    const hsize_t dims[] = {N_ROWS, 0};
    H5Gclose(raw_group(200));
    raw_array("train/x", H5T_STD_U8LE, 2, dims, H5P_DEFAULT);
    raw_array("train/y", H5T_STD_U8LE, 1, y_dims, H5P_DEFAULT);
}

static void x_is_group(void)
{
    H5Gclose(raw_group(200));
    H5Gclose(H5Gcreate2(raw, "train/x", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
}

static void soft_link(void)
{
    H5Gclose(raw_group(200));
    raw_array("elsewhere", H5T_STD_U8LE, 2, x_dims, H5P_DEFAULT);
    H5Lcreate_soft("/elsewhere", raw, "train/x", H5P_DEFAULT, H5P_DEFAULT);
}

static void external_link(void)
{
    H5Lcreate_external("/etc/passwd", "/train", raw, "train", H5P_DEFAULT, H5P_DEFAULT);
}

static void external_storage(void)
{
    hid_t create = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_external(create, scratch_path("bytes"), 0, H5F_UNLIMITED);
    raw_split(H5T_STD_U8LE, H5T_STD_U8LE, create);
    H5Pclose(create);
}

static void virtual_storage(void)
{
    hid_t create = H5Pcreate(H5P_DATASET_CREATE);
    hid_t space = H5Screate_simple(2, x_dims, NULL);
    H5Pset_virtual(create, space, scratch_path("other.h5"), "/x", space);
    H5Gclose(raw_group(200));
    hid_t id = H5Dcreate2(raw, "train/x", H5T_STD_U8LE, space, H5P_DEFAULT, create,
                          H5P_DEFAULT);
    H5Dclose(id), H5Sclose(space), H5Pclose(create);
    raw_array("train/y", H5T_STD_U8LE, 1, y_dims, H5P_DEFAULT);
}

static const struct {
    void (*make)(void);
    const char *words;
} faults[] = {
    {no_group, "has no train"},
    {no_y, "has no train/y"},
    {no_classes, "train has no attribute n_classes"},
    {one_class, "n_classes 1, expected 2 or more"},
    {classes_as_text, "attribute n_classes of train is not one integer"},
    {x_of_doubles, "train/x has elements of 8 bytes of another type"},
    {x_of_int64, "train/x is int64, expected uint8 or float32"},
    {y_of_floats, "train/y is float32, expected uint8 or int64"},
    {y_of_int32, "train/y is int32, expected uint8 or int64"},
    {x_flat, "train/x has 1 dimension"},
    {x_deep, "train/x has 5 dimensions, expected 1 to 4"},
    {y_square, "train/y has 2 dimensions, expected 1"},
    {fewer_labels, "do not hold the same number of records"},
    {empty_records, "a row of train/x is empty"},
    {x_is_group, "train/x is not an array"},
    {soft_link, "train/x is a soft or external link"},
    {external_link, "train is a soft or external link"},
    {external_storage, "the elements of train/x lie in other files"},
    {virtual_storage, "the elements of train/x lie in other files"},
};
enum { N_FAULTS = sizeof faults / sizeof faults[0] };

START_TEST(a_fault_is_named)
{
    raw_begin("a.h5");
    faults[_i].make();
    raw_end();
    ck_assert_int_eq(open_split("a.h5"), -PPT_EDATA);
    ck_assert_int_eq(err.code, PPT_EDATA);
    scratch_expect(&err, faults[_i].words);
    scratch_expect(&err, "a.h5");
}
END_TEST

START_TEST(other_files_are_refused)
{
    ck_assert_int_eq(open_split("absent.h5"), -PPT_ENOTFOUND);
    scratch_write("empty.h5", "", 0);
    ck_assert_int_eq(open_split("empty.h5"), -PPT_EDATA);
    scratch_expect(&err, "empty");
    scratch_write("text.h5", "hello", 5);
    ck_assert_int_eq(open_split("text.h5"), -PPT_EDATA);
    scratch_expect(&err, "not an HDF5 file");
    H5Fclose(
        H5Fcreate(scratch_path("bare.h5"), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT));
    ck_assert_int_eq(open_split("bare.h5"), -PPT_EDATA);
    scratch_expect(&err, "has no attribute ppt_data_version");
    raw = H5Fcreate(scratch_path("later.h5"), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    raw_integer(raw, "ppt_data_version", 2);
    raw_end();
    ck_assert_int_eq(open_split("later.h5"), -PPT_EDATA);
    scratch_expect(&err, "layout version 2, expected 1");
    raw = H5Fcreate(scratch_path("unit.h5"), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    raw_integer(raw, "ppt_data_version", 1);
    raw_text(raw, "unit", "household");
    raw_end();
    ck_assert_int_eq(open_split("unit.h5"), -PPT_EDATA);
    scratch_expect(&err, "unknown unit \"household\"");
}
END_TEST

/* However much of the end is missing, it is noticed before a row is read. */
START_TEST(a_truncated_file_is_refused)
{
    raw_begin("a.h5");
    raw_split(H5T_STD_U8LE, H5T_STD_U8LE, H5P_DEFAULT);
    raw_end();
    int64_t size = scratch_size(scratch_path("a.h5"));
    ck_assert_int_eq(open_split("a.h5"), 0);
    for (int64_t len = size - 1; len >= 0; len = len * 9 / 10 - 1) {
        scratch_truncate(scratch_path("a.h5"), len);
        ck_assert_int_eq(open_split("a.h5"), -PPT_EDATA);
    }
}
END_TEST

/* The superblock may be whole where the data is not: a file that was grown again. */
START_TEST(hdf5_says_why_in_the_detail)
{
    raw_begin("a.h5");
    raw_split(H5T_STD_U8LE, H5T_STD_U8LE, H5P_DEFAULT);
    raw_end();
    scratch_truncate(scratch_path("a.h5"), scratch_size(scratch_path("a.h5")) / 2);
    ck_assert_int_eq(open_split("a.h5"), -PPT_EDATA);
    ck_assert_msg(strstr(err.detail, "HDF5: ") != NULL, "detail: %s", err.detail);
    ck_assert_msg(strstr(err.detail, "truncated") != NULL, "detail: %s", err.detail);
}
END_TEST

static hid_t chunked(void)
{
    const hsize_t chunk[] = {7, N_FEATURES};
    hid_t create = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(create, 2, chunk);
    return create;
}

static hid_t deflated(void)
{
    hid_t create = chunked();
    H5Pset_shuffle(create);
    H5Pset_deflate(create, 6);
    return create;
}

static hid_t compact(void)
{
    hid_t create = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_layout(create, H5D_COMPACT);
    return create;
}

static hid_t contiguous(void)
{
    return H5Pcreate(H5P_DATASET_CREATE);
}

static const struct {
    hid_t (*storage)(void);
    bool is_big_endian, is_direct;
} layouts[] = {{contiguous, false, true},
               {contiguous, true, false},
               {chunked, false, false},
               {deflated, true, false},
               {compact, false, false}};
enum { N_LAYOUTS = sizeof layouts / sizeof layouts[0] };

/* Runs, near and far rows, the first and the last. */
static const int64_t picks[] = {0, 1, 2, 5, 7, 30, 31, 32, 33, 60, 98, 99};
enum { N_PICKS = sizeof picks / sizeof picks[0] };

static void check_rows(struct data_split *split, float *x, int64_t *y)
{
    unsigned char *span = malloc(GATHER_SPAN_BYTES);
    ck_assert_int_eq(gather_rows(split->x, picks, N_PICKS, x,
                                 h5_data_row_bytes(split->x), span, &err),
                     0);
    ck_assert_int_eq(gather_rows(split->y, picks, N_PICKS, y,
                                 h5_data_row_bytes(split->y), span, &err),
                     0);
    for (int i = 0; i < N_PICKS; i++) {
        ck_assert_int_eq(y[i], picks[i] % 200);
        for (int j = 0; j < N_FEATURES; j++)
            ck_assert_float_eq(x[i * N_FEATURES + j],
                               (float)((picks[i] * N_FEATURES + j) % 200));
    }
    free(span);
}

START_TEST(storage_does_not_matter)
{
    struct data_h5 data;
    struct data_split split;
    float x[N_ROWS * N_FEATURES];
    int64_t y[N_ROWS];
    hid_t create = layouts[_i].storage();
    raw_begin("a.h5");
    if (layouts[_i].is_big_endian)
        raw_split(H5T_IEEE_F32BE, H5T_STD_I64BE, create);
    else
        raw_split(H5T_IEEE_F32LE, H5T_STD_I64LE, create);
    raw_end();
    H5Pclose(create);
    ck_assert_int_eq(data_h5_open(scratch_path("a.h5"), &data, &err), 0);
    ck_assert_int_eq(data_h5_split(&data, "train", &split, &err), 0);
    ck_assert_int_eq(split.n_rows, N_ROWS);
    ck_assert_int_eq(h5_data_is_direct(split.x), layouts[_i].is_direct);
    check_rows(&split, x, y);
    ck_assert_int_eq(h5_data_read(split.x, 90, 11, x, &err), -PPT_EINTERNAL);
    ck_assert_int_eq(h5_data_read(split.x, -1, 1, x, &err), -PPT_EINTERNAL);
    ck_assert_int_eq(h5_data_read(split.x, N_ROWS, 0, x, &err), 0);
    const int64_t wrong[] = {4, 4};
    ck_assert_int_eq(gather_rows(split.x, wrong, 2, x, 24, x, &err), -PPT_EINTERNAL);
    data_split_close(&split);
    ck_assert_int_eq(data_h5_close(&data, &err), 0);
}
END_TEST

/* Places farther apart than a row: all rows, more than one system call takes, then
 * some; what lies between the places stays. Rows wide enough to go there without a
 * copy, and narrow ones. */
static void check_places(struct h5_data *data, const int64_t *rows, size_t n, int width)
{
    enum { APART = 7 };
    size_t row_bytes = (size_t)width, stride = row_bytes + APART;
    unsigned char *got = malloc(n * stride), *span = malloc(GATHER_SPAN_BYTES);
    memset(got, 255, n * stride);
    ck_assert_uint_eq(h5_data_row_bytes(data), row_bytes);
    ck_assert_int_eq(gather_rows(data, rows, n, got, stride, span, &err), 0);
    for (size_t i = 0; i < n; i++) {
        size_t n_right = 0;
        for (size_t j = 0; j < stride; j++) {
            size_t want = ((size_t)rows[i] * row_bytes + j) % 200;
            n_right += got[i * stride + j] == (j < row_bytes ? want : 255);
        }
        ck_assert_uint_eq(n_right, stride);
    }
    free(got), free(span);
}

static const struct {
    int width;
    bool is_chunked;
} widths[] = {{700, false}, {700, true}, {3, false}, {3, true}};
enum { N_WIDTHS = sizeof widths / sizeof widths[0] };

START_TEST(rows_go_to_places_apart)
{
    enum { N = 1200 };
    const hsize_t dims[] = {N, (hsize_t)widths[_i].width}, chunk[] = {7, dims[1]};
    int64_t rows[N];
    struct h5 *file;
    struct h5_data *data;
    hid_t create = H5Pcreate(H5P_DATASET_CREATE);
    if (widths[_i].is_chunked)
        H5Pset_chunk(create, 2, chunk);
    raw_begin("a.h5");
    raw_array("x", H5T_STD_U8LE, 2, dims, create);
    raw_end();
    H5Pclose(create);
    ck_assert_int_eq(h5_open(scratch_path("a.h5"), &file, &err), 0);
    ck_assert_int_eq(h5_data_open(file, "x", &data, &err), 0);
    ck_assert_int_eq(h5_data_is_direct(data), !widths[_i].is_chunked);
    for (size_t i = 0; i < N; i++)
        rows[i] = (int64_t)i;
    check_places(data, rows, N, widths[_i].width);
    check_places(data, picks, N_PICKS, widths[_i].width);
    unsigned char one;
    ck_assert_int_eq(h5_data_scatter(data, N, 1, &one, 1, &err), -PPT_EINTERNAL);
    if (widths[_i].is_chunked)
        ck_assert_int_eq(h5_data_scatter(data, 0, 1, &one, 1, &err), -PPT_EINTERNAL);
    /* What is cut off after it was opened is noticed, and no signal comes. */
    scratch_truncate(scratch_path("a.h5"), 4096);
    if (!widths[_i].is_chunked) {
        unsigned char *all = malloc((size_t)(N * (dims[1] + 1)));
        ck_assert_int_eq(h5_data_scatter(data, 0, N, all, dims[1] + 1, &err),
                         -PPT_EDATA);
        scratch_expect(&err, "became shorter");
        free(all);
    }
    h5_data_close(data);
    h5_close(file, NULL);
}
END_TEST

START_TEST(no_records_is_a_data_set_too)
{
    const hsize_t no_x[] = {0, N_FEATURES}, no_y[] = {0};
    raw_begin("a.h5");
    H5Gclose(raw_group(10));
    raw_array("train/x", H5T_STD_U8LE, 2, no_x, H5P_DEFAULT);
    raw_array("train/y", H5T_STD_U8LE, 1, no_y, H5P_DEFAULT);
    raw_end();
    ck_assert_msg(open_split("a.h5") == 0, "%s", err.text);
}
END_TEST

/* Shape, type and classes are compared with the manifest; counts are not. */
START_TEST(the_manifest_must_fit)
{
    struct data_h5 data;
    struct data_split split;
    const struct manifest_split stated = {.name = "train",
                                          .nominal_count = 7,
                                          .x_type = TYPE_UINT8,
                                          .n_dims = 1,
                                          .dims = {N_FEATURES},
                                          .n_classes = 200};
    raw_begin("a.h5");
    raw_split(H5T_STD_U8LE, H5T_STD_U8LE, H5P_DEFAULT);
    raw_end();
    ck_assert_int_eq(data_h5_open(scratch_path("a.h5"), &data, &err), 0);
    ck_assert_int_eq(data_h5_split(&data, "train", &split, &err), 0);
    ck_assert_int_eq(data_split_match(&split, &stated, "a.h5", &err), 0);
    struct manifest_split other = stated;
    other.x_type = TYPE_FLOAT32;
    ck_assert_int_eq(data_split_match(&split, &other, "a.h5", &err), -PPT_EDATA);
    scratch_expect(&err, "train/x is uint8, the manifest says float32");
    other = stated;
    other.n_dims = 2;
    ck_assert_int_eq(data_split_match(&split, &other, "a.h5", &err), -PPT_EDATA);
    other = stated;
    other.dims[0] = N_FEATURES + 1;
    ck_assert_int_eq(data_split_match(&split, &other, "a.h5", &err), -PPT_EDATA);
    scratch_expect(&err, "dimension 1 of a record of train is 6, the manifest says 7");
    other = stated;
    other.n_classes = 10;
    ck_assert_int_eq(data_split_match(&split, &other, "a.h5", &err), -PPT_EDATA);
    data_split_close(&split);
    data_h5_close(&data, NULL);
}
END_TEST

START_TEST(attributes_come_back)
{
    struct h5 *file;
    char text[32];
    int64_t integer;
    double number;
    ck_assert_int_eq(h5_create(scratch_path("a.h5"), &file, &err), 0);
    ck_assert_int_eq(h5_set_text(file, "/", "text", "Grüße", &err), 0);
    ck_assert_int_eq(h5_set_integer(file, "/", "integer", INT64_MIN, &err), 0);
    ck_assert_int_eq(h5_set_number(file, "/", "number", 0.1, &err), 0);
    ck_assert_int_eq(h5_close(file, &err), 0);
    ck_assert_int_eq(h5_open(scratch_path("a.h5"), &file, &err), 0);
    ck_assert_int_eq(h5_get_text(file, "/", "text", text, sizeof text, &err), 0);
    ck_assert_str_eq(text, "Grüße");
    ck_assert_int_eq(h5_get_integer(file, "/", "integer", &integer, &err), 0);
    ck_assert_int_eq(integer, INT64_MIN);
    ck_assert_int_eq(h5_get_number(file, "/", "number", &number, &err), 0);
    ck_assert_double_eq(number, 0.1);
    ck_assert_int_eq(h5_get_text(file, "/", "text", text, 4, &err), -PPT_EDATA);
    scratch_expect(&err, "attribute text of / has 8 bytes, expected at most 4");
    ck_assert_int_eq(h5_get_integer(file, "/", "number", &integer, &err), -PPT_EDATA);
    ck_assert_int_eq(h5_get_number(file, "/", "absent", &number, &err), -PPT_EDATA);
    ck_assert_int_eq(h5_close(file, &err), 0);
    ck_assert_int_eq(h5_create("/nowhere/a.h5", &file, &err), -PPT_EIO);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("h5");
    TCase *tc = tcase_create("h5");
    tcase_add_checked_fixture(tc, scratch_setup, scratch_teardown);
    tcase_add_loop_test(tc, a_fault_is_named, 0, N_FAULTS);
    tcase_add_test(tc, other_files_are_refused);
    tcase_add_test(tc, a_truncated_file_is_refused);
    tcase_add_test(tc, hdf5_says_why_in_the_detail);
    tcase_add_loop_test(tc, storage_does_not_matter, 0, N_LAYOUTS);
    tcase_add_loop_test(tc, rows_go_to_places_apart, 0, N_WIDTHS);
    tcase_add_test(tc, no_records_is_a_data_set_too);
    tcase_add_test(tc, the_manifest_must_fit);
    tcase_add_test(tc, attributes_come_back);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
