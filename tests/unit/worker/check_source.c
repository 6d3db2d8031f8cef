/* IDX, NPY and CSV as they come, plain and compressed, and every way they can be wrong.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "tests/unit/worker/scratch.h"
#include "worker/gz.h"
#include "worker/source.h"

static struct error err;
static struct source source;

/* A string literal with zero bytes in it, written as a file. */
#define FILE_OF(name, literal) scratch_write(name, literal, sizeof(literal) - 1)

/* 3 records of 2 x 2 bytes, 3 labels. */
#define IDX_X                                                                          \
    "\0\0\x08\x03\0\0\0\x03\0\0\0\x02\0\0\0\x02"                                       \
    "abcdefghijkl"
#define IDX_Y                                                                          \
    "\0\0\x08\x01\0\0\0\x03"                                                           \
    "\x00\x02\x01"

START_TEST(idx_comes_in)
{
    unsigned char x[16];
    int64_t y[4];
    size_t n;
    const char *x_path = FILE_OF("x", IDX_X), *y_path = FILE_OF("y", IDX_Y);
    ck_assert_int_eq(source_open_idx(x_path, y_path, &source, &err), 0);
    ck_assert_int_eq(source.n_rows, 3);
    ck_assert_int_eq(source.n_dims, 2);
    ck_assert_int_eq(source.dims[0], 2);
    ck_assert_int_eq(source.dims[1], 2);
    ck_assert_int_eq(source.x_type, TYPE_UINT8);
    ck_assert_int_eq(source.min_label, 0);
    ck_assert_int_eq(source.max_label, 2);
    ck_assert_int_eq(source.read(&source, 2, x, y, &n, &err), 0);
    ck_assert_uint_eq(n, 2);
    ck_assert_mem_eq(x, "abcdefgh", 8);
    ck_assert_int_eq(source.read(&source, 2, x, y + 2, &n, &err), 0);
    ck_assert_uint_eq(n, 1);
    ck_assert_mem_eq(x, "ijkl", 4);
    ck_assert(y[0] == 0 && y[1] == 2 && y[2] == 1);
    ck_assert_int_eq(source.read(&source, 2, x, y, &n, &err), 0);
    ck_assert_uint_eq(n, 0);
    source_close(&source);
}
END_TEST

/* Floats and int32 labels are in network order. */
START_TEST(idx_floats_are_turned)
{
    float x[2];
    int64_t y[2];
    size_t n;
    const char *x_path = FILE_OF("x", "\0\0\x0d\x02\0\0\0\x02\0\0\0\x01"
                                      "\x3f\xc0\0\0\xc0\0\0\0");
    const char *y_path = FILE_OF("y", "\0\0\x0c\x01\0\0\0\x02\0\0\x01\x02\0\0\0\x01");
    ck_assert_int_eq(source_open_idx(x_path, y_path, &source, &err), 0);
    ck_assert_int_eq(source.max_label, 258);
    ck_assert_int_eq(source.read(&source, 2, x, y, &n, &err), 0);
    ck_assert(n == 2 && x[0] == 1.5f && x[1] == -2.0f && y[0] == 258 && y[1] == 1);
    source_close(&source);
}
END_TEST

static const struct {
    const char *x, *y;
    size_t x_len, y_len;
    const char *words;
} idx_faults[] = {
#define FAULT(x, y, words)                                                             \
    {                                                                                  \
        x, y, sizeof(x) - 1, sizeof(y) - 1, words                                      \
    }
    FAULT("", IDX_Y, "x: ends within its IDX header"),
    FAULT("hello, world", IDX_Y, "x: not an IDX file"),
    FAULT(IDX_X, "\0\0\x08\x01\0\0\0\x02\x00\x02", "do not hold the same number"),
    FAULT(IDX_X, "\0\0\x08\x01\0\0\0\x03\x00\x02", "y: ends within its labels"),
    FAULT(IDX_X, IDX_Y "more", "y: longer than its header says"),
    FAULT(IDX_X, "\0\0\x0d\x01\0\0\0\x01\0\0\0\0", "y: labels are float32"),
    FAULT(IDX_X, "\0\0\x08\x02\0\0\0\x03\0\0\0\x01\0\0\0",
          "y: 2 dimensions, expected 1"),
    FAULT("\0\0\x0c\x02\0\0\0\x03\0\0\0\x01\0\0\0\0", IDX_Y,
          "x: elements are integers"),
    FAULT("\0\0\x0e\x02\0\0\0\x03\0\0\0\x01\0\0\0\0", IDX_Y,
          "IDX elements of type 0x0e"),
    FAULT("\0\0\x08\x01\0\0\0\x03"
          "abc",
          IDX_Y, "x: 1 dimensions, expected the count"),
    FAULT("\0\0\x08\x07\0\0\0\x03"
          "abc",
          IDX_Y, "x: 7 dimensions, expected 1 to 4"),
    FAULT("\0\0\x08\x02\0\0\0\x03\0\0\0\0", IDX_Y, "x: a record is empty"),
    FAULT("\0\0\x08\x03\0\0\0\x03\xff\xff\xff\xff\xff\xff\xff\xff", IDX_Y,
          "x: a record is empty or larger"),
    FAULT("\0\0\x08\x02\0\0\0\0\0\0\0\x02", "\0\0\x08\x01\0\0\0\0", "x: no records"),
};
enum { N_IDX_FAULTS = sizeof idx_faults / sizeof idx_faults[0] };

START_TEST(idx_faults_are_named)
{
    const char *x_path = scratch_write("x", idx_faults[_i].x, idx_faults[_i].x_len);
    const char *y_path = scratch_write("y", idx_faults[_i].y, idx_faults[_i].y_len);
    ck_assert_int_eq(source_open_idx(x_path, y_path, &source, &err), -PPT_EDATA);
    scratch_expect(&err, idx_faults[_i].words);
}
END_TEST

/* A file that ends among its records is found while they are read. */
START_TEST(idx_cut_records_are_noticed)
{
    unsigned char x[16];
    int64_t y[4];
    size_t n;
    const char *x_path = scratch_write("x", IDX_X, sizeof IDX_X - 3);
    const char *y_path = FILE_OF("y", IDX_Y);
    ck_assert_int_eq(source_open_idx(x_path, y_path, &source, &err), 0);
    ck_assert_int_eq(source.read(&source, 3, x, y, &n, &err), -PPT_EDATA);
    scratch_expect(&err, "x: ends within its records");
    source_close(&source);
    ck_assert_int_eq(source_open_idx(scratch_path("absent"), y_path, &source, &err),
                     -PPT_ENOTFOUND);
}
END_TEST

/* An NPY file of version 1 or 2 from its dictionary and its elements. */
static const char *npy(const char *name, int version, const char *header,
                       const void *data, size_t len)
{
    unsigned char file[512] = "\x93NUMPY";
    size_t n_header = strlen(header), at = version == 1 ? 10 : 12;
    file[6] = (unsigned char)version;
    file[8] = (unsigned char)n_header;
    memcpy(file + at, header, n_header);
    memcpy(file + at + n_header, data, len);
    return scratch_write(name, file, at + n_header + len);
}

START_TEST(npy_comes_in)
{
    const float data[] = {1, 2, 3, 4, 5, 6};
    const int64_t labels[] = {7, 0, 3};
    float x[6];
    int64_t y[3];
    size_t n;
    const char *x_path =
        npy("x", 1 + _i % 3,
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }\n", data,
            sizeof data);
    const char *y_path =
        npy("y", 1, "{'descr': '<i8', 'fortran_order': False, 'shape': (3,), }\n",
            labels, sizeof labels);
    int rc = source_open_npy(x_path, y_path, &source, &err);
    ck_assert_msg(rc == 0, "%s", err.text);
    ck_assert(source.n_rows == 3 && source.n_dims == 1 && source.dims[0] == 2);
    ck_assert(source.x_type == TYPE_FLOAT32 && source.max_label == 7);
    ck_assert_int_eq(source.read(&source, 3, x, y, &n, &err), 0);
    ck_assert_uint_eq(n, 3);
    ck_assert_mem_eq(x, data, sizeof data);
    ck_assert_mem_eq(y, labels, sizeof labels);
    source_close(&source);
}
END_TEST

static const struct {
    int version;
    const char *header, *words;
} npy_faults[] = {
    {1, "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 2), }", "type '<f8'"},
    {1, "{'descr': '>f4', 'fortran_order': False, 'shape': (3, 2), }", "type '>f4'"},
    {1, "{'descr': '|O', 'fortran_order': False, 'shape': (3, 2), }", "type '|O'"},
    {1, "{'fortran_order': False, 'shape': (3, 2), }", "elements of type ,"},
    {1, "{'descr': '<f4', 'fortran_order': True, 'shape': (3, 2), }", "Fortran order"},
    {1, "{'descr': '<f4', 'shape': (3, 2), }", "Fortran order"},
    {1, "{'descr': '<f4', 'fortran_order': False, }", "no shape"},
    {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (), }", "a single number"},
    {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (3, x), }", "whole numbers"},
    {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (3, -2), }",
     "whole numbers"},
    {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2", "whole numbers"},
    {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1, 1, 1), }",
     "1 to 4 whole numbers"},
    {9, "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }", "NPY version 9"},
};
enum { N_NPY_FAULTS = sizeof npy_faults / sizeof npy_faults[0] };

START_TEST(npy_faults_are_named)
{
    const unsigned char data[24] = {0};
    const char *x_path =
        npy("x", npy_faults[_i].version, npy_faults[_i].header, data, sizeof data);
    const char *y_path = npy(
        "y", 1, "{'descr': '|u1', 'fortran_order': False, 'shape': (3,), }", data, 3);
    ck_assert_int_eq(source_open_npy(x_path, y_path, &source, &err), -PPT_EDATA);
    scratch_expect(&err, npy_faults[_i].words);
    ck_assert_int_eq(source_open_npy(FILE_OF("z", IDX_X), y_path, &source, &err),
                     -PPT_EDATA);
    scratch_expect(&err, "not an NPY file");
}
END_TEST

static int open_csv(const char *text, const char *label, enum csv_header header)
{
    const char *path = scratch_write("a.csv", text, strlen(text));
    return source_open_csv(path, label, header, NULL, &source, &err);
}

/* Text, label column, what the first record must be. */
static const struct {
    const char *text, *label;
    enum csv_header header;
    int64_t n_rows, y;
    float x[2];
} csv_good[] = {
    {"1,2,0\n3,4,1\n", NULL, CSV_HEADER_AUTO, 2, 0, {1, 2}},
    {"a,b,c\n1,2,0\n3,4,1\n", NULL, CSV_HEADER_AUTO, 2, 0, {1, 2}},
    {"a,b,c\r\n1,2,0\r\n3,4,1", "a", CSV_HEADER_AUTO, 2, 1, {2, 0}},
    {"\"a, b\",\"b\",c\n\n1,2,0\n\n", "b", CSV_HEADER_AUTO, 1, 2, {1, 0}},
    {"1,2,0\n3,4,1\n", "2", CSV_HEADER_YES, 1, 4, {3, 1}},
    {"1,2,0\n3,4,1\n", "1", CSV_HEADER_NO, 2, 1, {2, 0}},
    {"  1 ,\t-2.5e-1, 3 \n", NULL, CSV_HEADER_AUTO, 1, 3, {1, -0.25f}},
    {"\"1\",\"2\",\"0\"\n", NULL, CSV_HEADER_AUTO, 1, 0, {1, 2}},
    {"2,1,0\n5,6,7\n", "2", CSV_HEADER_YES, 1, 5, {6, 7}},
};
enum { N_CSV_GOOD = sizeof csv_good / sizeof csv_good[0] };

START_TEST(csv_comes_in)
{
    float x[2];
    int64_t y;
    size_t n;
    int rc = open_csv(csv_good[_i].text, csv_good[_i].label, csv_good[_i].header);
    ck_assert_msg(rc == 0, "%s", err.text);
    ck_assert_int_eq(source.n_rows, csv_good[_i].n_rows);
    ck_assert_int_eq(source.dims[0], 2);
    ck_assert_int_eq(source.read(&source, 1, x, &y, &n, &err), 0);
    ck_assert_uint_eq(n, 1);
    ck_assert_int_eq(y, csv_good[_i].y);
    ck_assert_mem_eq(x, csv_good[_i].x, sizeof x);
    source_close(&source);
}
END_TEST

static const struct {
    const char *text, *label;
    enum csv_header header;
    int code;
    const char *words;
} csv_faults[] = {
    {"", NULL, CSV_HEADER_AUTO, PPT_EDATA, "a.csv: empty, expected records"},
    {"\n \n", NULL, CSV_HEADER_AUTO, PPT_EDATA, "empty, expected records"},
    {"a,b,c\n", NULL, CSV_HEADER_AUTO, PPT_EDATA, "no records behind its header"},
    {"1\n2\n", NULL, CSV_HEADER_AUTO, PPT_EDATA, "a.csv:1: one column"},
    {"1,2,0\n3,x,1\n", NULL, CSV_HEADER_AUTO, PPT_EDATA,
     "a.csv:2:3: expected a number, found \"x\""},
    {"a,b,c\n\n1,,0\n", NULL, CSV_HEADER_AUTO, PPT_EDATA,
     "a.csv:3:3: expected a number, found \"\""},
    {"1,2,0\n3,nan,1\n", NULL, CSV_HEADER_AUTO, PPT_EDATA,
     ":2:3: expected a finite number"},
    {"1,2,0\n3,1e39,1\n", NULL, CSV_HEADER_AUTO, PPT_EDATA, "that float32 can hold"},
    {"1,2,0\n3,4,1.5\n", NULL, CSV_HEADER_AUTO, PPT_EDATA, ":2:5: expected a label"},
    {"1,2,0\n3,4,-1\n", NULL, CSV_HEADER_AUTO, PPT_EDATA, ":2:5: expected a label"},
    {"1,2,0\n3,4\n", NULL, CSV_HEADER_AUTO, PPT_EDATA,
     "a.csv:2: fewer cells, expected 3"},
    {"1,2,0\n3,4,1,5\n", NULL, CSV_HEADER_AUTO, PPT_EDATA,
     "a.csv:2: more cells, expected 3"},
    {"a,b,c\n1,2,0\n", "d", CSV_HEADER_AUTO, PPT_EUSAGE, "no column \"d\""},
    {"a,b,c\n1,2,0\n", "4", CSV_HEADER_AUTO, PPT_EUSAGE, "no column \"4\""},
    {"a,b,c\n1,2,0\n", "0", CSV_HEADER_AUTO, PPT_EUSAGE, "no column \"0\""},
    {"a,b,c\n1,2,0\n", NULL, CSV_HEADER_NO, PPT_EDATA, "a.csv:1:1: expected a number"},
};
enum { N_CSV_FAULTS = sizeof csv_faults / sizeof csv_faults[0] };

START_TEST(csv_faults_are_named)
{
    int rc = open_csv(csv_faults[_i].text, csv_faults[_i].label, csv_faults[_i].header);
    ck_assert_int_eq(rc, -csv_faults[_i].code);
    scratch_expect(&err, csv_faults[_i].words);
}
END_TEST

START_TEST(csv_lines_are_bounded)
{
    size_t len = 17u << 20;
    char *text = malloc(len);
    memset(text, '1', len);
    const char *path = scratch_write("long.csv", text, len);
    ck_assert_int_eq(source_open_csv(path, NULL, CSV_HEADER_AUTO, NULL, &source, &err),
                     -PPT_EDATA);
    scratch_expect(&err, "long.csv:1: a line longer than 16 MiB");
    path = scratch_write("zero.csv", "1,2\n3,\0,1\n", 10);
    ck_assert_int_eq(source_open_csv(path, NULL, CSV_HEADER_AUTO, NULL, &source, &err),
                     -PPT_EDATA);
    scratch_expect(&err, "zero.csv:2:3: a zero byte");
    free(text);
}
END_TEST

/* The same file compressed, cut short, and with a bit changed. */
START_TEST(gzip_is_seen_through)
{
    static char text[40000];
    size_t len = 0;
    uint32_t random = 1;
    for (int i = 0; i < 2000; i++) {
        random = random * 1664525u + 1013904223u;
        len +=
            (size_t)snprintf(text + len, sizeof text - len, "%u,%d\n", random, i % 7);
    }
    const char *path = scratch_path("a.csv.gz");
    gzFile gz = gzopen(path, "wb");
    ck_assert_int_eq(gzwrite(gz, text, (unsigned)len), (int)len);
    gzclose(gz);
    ck_assert_int_eq(source_open_csv(path, NULL, CSV_HEADER_AUTO, NULL, &source, &err),
                     0);
    ck_assert_int_eq(source.n_rows, 2000);
    ck_assert_int_eq(source.max_label, 6);
    source_close(&source);
    int64_t size = scratch_size(path);
    scratch_flip(path, size - 6); /* its checksum */
    ck_assert_int_eq(source_open_csv(path, NULL, CSV_HEADER_AUTO, NULL, &source, &err),
                     -PPT_EDATA);
    scratch_expect(&err, "damaged or truncated gzip file");
    scratch_truncate(path, size / 2);
    ck_assert_int_eq(source_open_csv(path, NULL, CSV_HEADER_AUTO, NULL, &source, &err),
                     -PPT_EDATA);
    scratch_expect(&err, "damaged or truncated gzip file");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("source");
    TCase *tc = tcase_create("source");
    tcase_add_checked_fixture(tc, scratch_setup, scratch_teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, idx_comes_in);
    tcase_add_test(tc, idx_floats_are_turned);
    tcase_add_loop_test(tc, idx_faults_are_named, 0, N_IDX_FAULTS);
    tcase_add_test(tc, idx_cut_records_are_noticed);
    tcase_add_loop_test(tc, npy_comes_in, 0, 3);
    tcase_add_loop_test(tc, npy_faults_are_named, 0, N_NPY_FAULTS);
    tcase_add_loop_test(tc, csv_comes_in, 0, N_CSV_GOOD);
    tcase_add_loop_test(tc, csv_faults_are_named, 0, N_CSV_FAULTS);
    tcase_add_test(tc, csv_lines_are_bounded);
    tcase_add_test(tc, gzip_is_seen_through);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
