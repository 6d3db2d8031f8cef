/* Ranks' parts of a split: every record once, the same floats whether cached or not,
 * and a terabyte in bounded memory. */
#include <check.h>
#include <dirent.h>
#include <float.h>
#include <hdf5.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/worker/scratch.h"
#include "worker/data_kept.h"
#include "worker/shard.h"

#define N_ROWS 1003
#define N_FEATURES 5
#define TERABYTE_ROWS ((hsize_t)1 << 28)
#define TERABYTE_FEATURES 1024
#define MAX_ROUNDING 4e-7 /* of |x| <= 2: a product and a sum in float */
#define MAX_GROWTH_BYTES ((int64_t)192 << 20)

static struct error err;

static const struct manifest_split bytes_stated = {.name = "train",
                                                   .nominal_count = 1000,
                                                   .x_type = TYPE_UINT8,
                                                   .n_dims = 1,
                                                   .dims = {N_FEATURES},
                                                   .n_classes = 10};

static unsigned char byte_at(int64_t row, int j)
{
    return (unsigned char)(row * 31 + j * 7);
}

/* The last label is `last`. */
static void make_bytes(const char *path, int64_t last)
{
    struct data_h5 data;
    struct data_split split = {.n_rows = N_ROWS,
                               .x_type = TYPE_UINT8,
                               .y_type = TYPE_INT64,
                               .n_dims = 1,
                               .dims = {N_FEATURES},
                               .n_classes = 10};
    ck_assert_int_eq(
        data_h5_create(path, UNIT_EXAMPLE, RELATION_ADD_REMOVE, &data, &err), 0);
    ck_assert_int_eq(data_h5_add(&data, "train", &split, &err), 0);
    for (int64_t i = 0; i < N_ROWS; i++) {
        unsigned char x[N_FEATURES];
        int64_t y = i == N_ROWS - 1 ? last : i % 10;
        for (int j = 0; j < N_FEATURES; j++)
            x[j] = byte_at(i, j);
        ck_assert_int_eq(h5_data_write(split.x, i, 1, x, &err), 0);
        ck_assert_int_eq(h5_data_write(split.y, i, 1, &y, &err), 0);
    }
    data_split_close(&split);
    ck_assert_int_eq(data_h5_close(&data, &err), 0);
}

START_TEST(bounds_cover_every_row_once)
{
    const int64_t counts[] = {0, 1, 2, 7, 1000, INT64_MAX / 2};
    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++)
        for (int size = 1; size <= 101; size += 10) {
            int64_t next = 0, least = INT64_MAX, most = 0;
            for (int rank = 0; rank < size; rank++) {
                int64_t first, n;
                shard_bounds(counts[c], rank, size, &first, &n);
                ck_assert_int_eq(first, next);
                next += n;
                least = n < least ? n : least;
                most = n > most ? n : most;
            }
            ck_assert_int_eq(next, counts[c]);
            ck_assert_int_le(most - least, 1);
        }
}
END_TEST

/* fetch and decode give what read gave, bit for bit. */
static void check_halves(struct rows *rows, const int64_t *indices, size_t n,
                         const float *x, const int32_t *y)
{
    unsigned char *records = malloc((n + 1) * rows->record_bytes);
    ck_assert_uint_eq(rows->record_bytes, N_FEATURES + sizeof(int64_t));
    ck_assert_int_eq(rows->fetch(rows, indices, n, records, &err), 0);
    for (size_t i = 0; i < n; i++) {
        float again[N_FEATURES];
        int32_t label;
        ck_assert_int_eq(
            rows->decode(rows, records + i * rows->record_bytes, again, &label, &err),
            0);
        ck_assert_int_eq(label, y[i]);
        ck_assert_int_eq(memcmp(again, x + i * N_FEATURES, sizeof again), 0);
    }
    free(records);
}

/* Every third record of the shard, against the formula. */
static void check_rank(const struct data_h5 *data, int rank, int size, size_t cache)
{
    const double mean = 0.25, std = 0.5;
    struct rows rows;
    int64_t first, n_own;
    ck_assert_int_eq(
        shard_open(data, &bytes_stated, mean, std, rank, size, cache, &rows, &err), 0);
    shard_bounds(N_ROWS, rank, size, &first, &n_own);
    ck_assert_int_eq(rows.n_rows, n_own);
    ck_assert_uint_eq(rows.n_features, N_FEATURES);
    ck_assert_int_eq(rows.n_classes, 10);
    int64_t indices[N_ROWS];
    size_t n = 0;
    for (int64_t i = rank % 3; i < n_own; i += 3)
        indices[n++] = i;
    float *x = malloc((n + 1) * N_FEATURES * sizeof *x);
    int32_t *y = malloc((n + 1) * sizeof *y);
    ck_assert_int_eq(rows.read(&rows, indices, n, x, y, &err), 0);
    for (size_t i = 0; i < n; i++) {
        int64_t row = first + indices[i];
        ck_assert_int_eq(y[i], row % 10);
        for (int j = 0; j < N_FEATURES; j++) {
            double want = (byte_at(row, j) / 255.0 - mean) / std;
            ck_assert_double_eq_tol(x[i * N_FEATURES + (size_t)j], want, MAX_ROUNDING);
        }
    }
    ck_assert_int_eq(rows.read(&rows, NULL, 0, NULL, NULL, &err), 0);
    check_halves(&rows, indices, n, x, y);
    free(x), free(y);
    shard_close(&rows);
}

START_TEST(ranks_read_their_own)
{
    struct data_h5 data;
    make_bytes(scratch_path("a.h5"), 2);
    ck_assert_int_eq(data_h5_open(scratch_path("a.h5"), &data, &err), 0);
    for (int size = 1; size <= 4; size++)
        for (int rank = 0; rank < size; rank++) {
            check_rank(&data, rank, size, 0);
            check_rank(&data, rank, size, SHARD_CACHE_BYTES);
        }
    data_h5_close(&data, NULL);
}
END_TEST

/* More ranks than records: some have none and read none. */
START_TEST(a_rank_may_have_no_records)
{
    struct data_h5 data;
    struct rows rows;
    make_bytes(scratch_path("a.h5"), 2);
    ck_assert_int_eq(data_h5_open(scratch_path("a.h5"), &data, &err), 0);
    ck_assert_int_eq(
        shard_open(&data, &bytes_stated, 0, 1, N_ROWS, N_ROWS + 1, 0, &rows, &err), 0);
    ck_assert_int_eq(rows.n_rows, 0);
    ck_assert_int_eq(rows.read(&rows, NULL, 0, NULL, NULL, &err), 0);
    shard_close(&rows);
    data_h5_close(&data, NULL);
}
END_TEST

static const int64_t bad_labels[] = {10, -1, INT64_MAX};

START_TEST(a_label_out_of_range_is_refused)
{
    struct data_h5 data;
    struct rows rows;
    float x[2 * N_FEATURES];
    int32_t y[2];
    unsigned char record[2 * (N_FEATURES + sizeof(int64_t))];
    const int64_t good[] = {0, 5}, bad[] = {0, N_ROWS - 1}, outside[] = {0, N_ROWS},
                  down[] = {5, 4};
    make_bytes(scratch_path("a.h5"), bad_labels[_i % 3]);
    ck_assert_int_eq(data_h5_open(scratch_path("a.h5"), &data, &err), 0);
    ck_assert_int_eq(shard_open(&data, &bytes_stated, 0, 1, 0, 1,
                                _i < 3 ? 0 : SHARD_CACHE_BYTES, &rows, &err),
                     0);
    ck_assert_int_eq(rows.read(&rows, good, 2, x, y, &err), 0);
    ck_assert_int_eq(rows.read(&rows, bad, 2, x, y, &err), -PPT_EDATA);
    scratch_expect(&err, "a label of train is outside 0..9");
    /* Neither which record nor which label: the message may leave the rank. */
    ck_assert_ptr_null(strstr(err.text, "1002"));
    ck_assert_int_eq(rows.fetch(&rows, bad, 2, record, &err), 0);
    ck_assert_int_eq(rows.decode(&rows, record, x, y, &err), 0);
    ck_assert_int_eq(rows.decode(&rows, record + rows.record_bytes, x, y, &err),
                     -PPT_EDATA);
    ck_assert_int_eq(rows.fetch(&rows, outside, 2, record, &err), -PPT_EINTERNAL);
    ck_assert_int_eq(rows.fetch(&rows, down, 2, record, &err), -PPT_EINTERNAL);
    ck_assert_int_eq(rows.read(&rows, outside, 2, x, y, &err), -PPT_EINTERNAL);
    ck_assert_int_eq(rows.read(&rows, down, 2, x, y, &err), -PPT_EINTERNAL);
    shard_close(&rows);
    data_h5_close(&data, NULL);
}
END_TEST

/* float32 is normalised too; a NaN or an infinity is damage. */
START_TEST(floats_are_finite)
{
    struct data_h5 data;
    struct rows rows;
    const struct manifest_split stated = {.name = "train",
                                          .x_type = TYPE_FLOAT32,
                                          .n_dims = 1,
                                          .dims = {3},
                                          .n_classes = 2};
    struct data_split split = {.n_rows = 4,
                               .x_type = TYPE_FLOAT32,
                               .y_type = TYPE_UINT8,
                               .n_dims = 1,
                               .dims = {3},
                               .n_classes = 2};
    /* The largest float is none of them. */
    const float values[] = {3.0f, FLT_MAX, -1e-45f,  0,         NAN, 0,
                            0,    0,       INFINITY, -INFINITY, 0,   0};
    const unsigned char labels[] = {1, 1, 1, 1};
    unsigned char record[3 * sizeof(float) + 1];
    float x[3];
    int32_t y;
    ck_assert_int_eq(data_h5_create(scratch_path("a.h5"), UNIT_EXAMPLE,
                                    RELATION_ADD_REMOVE, &data, &err),
                     0);
    ck_assert_int_eq(data_h5_add(&data, "train", &split, &err), 0);
    ck_assert_int_eq(h5_data_write(split.x, 0, 4, values, &err), 0);
    ck_assert_int_eq(h5_data_write(split.y, 0, 4, labels, &err), 0);
    data_split_close(&split);
    ck_assert_int_eq(data_h5_close(&data, &err), 0);
    ck_assert_int_eq(data_h5_open(scratch_path("a.h5"), &data, &err), 0);
    ck_assert_int_eq(shard_open(&data, &stated, 1.0, 4.0, 0, 1,
                                _i == 0 ? 0 : SHARD_CACHE_BYTES, &rows, &err),
                     0);
    for (int64_t row = 0; row < 4; row++) {
        int rc = rows.read(&rows, &row, 1, x, &y, &err);
        ck_assert_int_eq(rc, row == 0 ? 0 : -PPT_EDATA);
        if (row > 0)
            scratch_expect(&err, "a record of train holds a NaN or an infinity");
        ck_assert_int_eq(rows.fetch(&rows, &row, 1, record, &err), 0);
        ck_assert_int_eq(rows.decode(&rows, record, x, &y, &err), rc);
        if (row == 0)
            ck_assert_float_eq(x[0], 0.5f);
    }
    shard_close(&rows);
    data_h5_close(&data, NULL);
}
END_TEST

static const enum manifest_type token_types[] = {TYPE_UINT8, TYPE_UINT16, TYPE_INT32};

/* Ids of each type are fed as they are, without mean and std; one outside the
 * vocabulary is damage, and so is a file whose vocabulary is not the manifest's. */
START_TEST(tokens_are_fed_as_they_are)
{
    const int32_t ids[9] = {7, 0, 255, _i == 0 ? 200 : 299, 1,
                            2, 0, 0,   _i == 2 ? -1 : 255};
    const unsigned char labels[] = {1, 0, 1};
    uint16_t halves[9];
    unsigned char bytes[9];
    const void *raw[] = {bytes, halves, ids};
    int64_t n_tokens = _i == 0 ? 255 + 1 : 300;
    struct data_h5 data;
    struct rows rows;
    float x[9];
    int32_t y[3];
    struct manifest_split stated = {.name = "train",
                                    .x_type = token_types[_i],
                                    .n_dims = 1,
                                    .dims = {3},
                                    .n_classes = 2,
                                    .n_tokens = n_tokens};
    struct data_split split = {.n_rows = 3,
                               .x_type = token_types[_i],
                               .y_type = TYPE_UINT8,
                               .n_dims = 1,
                               .dims = {3},
                               .n_classes = 2,
                               .n_tokens = n_tokens};
    for (int j = 0; j < 9; j++) {
        bytes[j] = (unsigned char)ids[j];
        halves[j] = (uint16_t)(_i == 1 && j == 8 ? 300 : ids[j]);
    }
    ck_assert_int_eq(data_h5_create(scratch_path("t.h5"), UNIT_EXAMPLE,
                                    RELATION_ADD_REMOVE, &data, &err),
                     0);
    ck_assert_int_eq(data_h5_add(&data, "train", &split, &err), 0);
    ck_assert_int_eq(h5_data_write(split.x, 0, 3, raw[_i], &err), 0);
    ck_assert_int_eq(h5_data_write(split.y, 0, 3, labels, &err), 0);
    data_split_close(&split);
    ck_assert_int_eq(data_h5_close(&data, &err), 0);
    ck_assert_int_eq(data_h5_open(scratch_path("t.h5"), &data, &err), 0);
    ck_assert_int_eq(shard_open(&data, &stated, 1.0, 4.0, 0, 1, 0, &rows, &err), 0);
    const int64_t rows_of[] = {0, 1, 2};
    ck_assert_int_eq(rows.read(&rows, rows_of, 2, x, y, &err), 0);
    for (int j = 0; j < 6; j++)
        ck_assert_float_eq(x[j], (float)ids[j]);
    int rc = rows.read(&rows, rows_of + 2, 1, x, y, &err);
    ck_assert_int_eq(rc, _i == 0 ? 0 : -PPT_EDATA); /* every byte is an id */
    if (rc != 0)
        scratch_expect(&err, "a token of train is outside 0..299");
    shard_close(&rows);
    stated.n_tokens--;
    ck_assert_int_eq(shard_open(&data, &stated, 0, 1, 0, 1, 0, &rows, &err),
                     -PPT_EDATA);
    scratch_expect(&err, "tokens, the manifest says");
    data_h5_close(&data, NULL);
}
END_TEST

static int64_t resident_bytes(void)
{
    long long total, resident;
    FILE *file = fopen("/proc/self/statm", "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fscanf(file, "%lld %lld", &total, &resident), 2);
    fclose(file);
    return resident * 4096;
}

static void raw_scalar(hid_t where, const char *name, hid_t type, const void *value)
{
    hid_t space = H5Screate(H5S_SCALAR);
    hid_t id = H5Acreate2(where, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    H5Awrite(id, type, value);
    H5Aclose(id), H5Sclose(space);
}

static void raw_text(hid_t where, const char *name, const char *value)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, strlen(value) + 1);
    raw_scalar(where, name, type, value);
    H5Tclose(type);
}

static hid_t raw_chunked(hid_t file, const char *name, hid_t type, int n_dims,
                         const hsize_t *dims, const hsize_t *chunk)
{
    hid_t create = H5Pcreate(H5P_DATASET_CREATE);
    hid_t space = H5Screate_simple(n_dims, dims, NULL);
    H5Pset_chunk(create, n_dims, chunk);
    H5Pset_alloc_time(create, H5D_ALLOC_TIME_INCR);
    hid_t id = H5Dcreate2(file, name, type, space, H5P_DEFAULT, create, H5P_DEFAULT);
    H5Sclose(space), H5Pclose(create);
    return id;
}

/* 2^28 x 1024 float32 is 1 TiB; only the row in the middle is written. */
static void make_terabyte(const char *path)
{
    const hsize_t x_dims[] = {TERABYTE_ROWS, TERABYTE_FEATURES};
    const hsize_t x_chunk[] = {64, TERABYTE_FEATURES}, y_chunk[] = {1 << 20};
    const hsize_t start[] = {TERABYTE_ROWS / 2, 0}, count[] = {1, TERABYTE_FEATURES};
    const int64_t version = 1, n_classes = 2;
    float row[TERABYTE_FEATURES];
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    hid_t group = H5Gcreate2(file, "train", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    raw_scalar(file, "ppt_data_version", H5T_NATIVE_INT64, &version);
    raw_text(file, "unit", "example");
    raw_text(file, "relation", "add_remove");
    raw_scalar(group, "n_classes", H5T_NATIVE_INT64, &n_classes);
    hid_t x = raw_chunked(file, "train/x", H5T_IEEE_F32LE, 2, x_dims, x_chunk);
    hid_t y = raw_chunked(file, "train/y", H5T_STD_U8LE, 1, x_dims, y_chunk);
    for (int j = 0; j < TERABYTE_FEATURES; j++)
        row[j] = (float)j;
    hid_t space = H5Dget_space(x), memory = H5Screate_simple(2, count, NULL);
    H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL);
    ck_assert_int_ge(H5Dwrite(x, H5T_NATIVE_FLOAT, memory, space, H5P_DEFAULT, row), 0);
    H5Sclose(space), H5Sclose(memory);
    H5Dclose(x), H5Dclose(y), H5Gclose(group), H5Fclose(file);
}

START_TEST(a_terabyte_opens_and_shards)
{
    enum { N = 300 };
    const struct manifest_split stated = {.name = "train",
                                          .x_type = TYPE_FLOAT32,
                                          .n_dims = 1,
                                          .dims = {TERABYTE_FEATURES},
                                          .n_classes = 2};
    struct data_h5 data;
    struct rows rows;
    int64_t indices[N];
    float *x = malloc(N * TERABYTE_FEATURES * sizeof *x);
    int32_t y[N];
    make_terabyte(scratch_path("tera.h5"));
    ck_assert_int_lt(scratch_size(scratch_path("tera.h5")), 4 << 20);
    int64_t began = resident_bytes();
    ck_assert_int_eq(data_h5_open(scratch_path("tera.h5"), &data, &err), 0);
    ck_assert_int_eq(
        shard_open(&data, &stated, 0, 1, 2, 4, SHARD_CACHE_BYTES, &rows, &err), 0);
    ck_assert_int_eq(rows.n_rows, (int64_t)TERABYTE_ROWS / 4);
    for (int64_t i = 0; i < N; i++)
        indices[i] = i * (rows.n_rows / N);
    ck_assert_int_eq(rows.read(&rows, indices, N, x, y, &err), 0);
    ck_assert_float_eq(x[5], 5.0f);
    ck_assert_float_eq(x[TERABYTE_FEATURES + 5], 0.0f);
    ck_assert_int_lt(resident_bytes() - began, MAX_GROWTH_BYTES);
    shard_close(&rows);
    data_h5_close(&data, NULL);
    free(x);
}
END_TEST

/* Descriptors of this process that lead to the file, replaced or not. */
static int count_open(const char *path)
{
    char link[300], target[512];
    int n = 0;
    DIR *directory = opendir("/proc/self/fd");
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        snprintf(link, sizeof link, "/proc/self/fd/%s", entry->d_name);
        ssize_t len = readlink(link, target, sizeof target - 1);
        n += len > 0 && strncmp(target, path, strlen(path)) == 0;
    }
    closedir(directory);
    return n;
}

/* A job: the last label says which file was read. */
static void check_job(const char *path, bool is_direct, int32_t last)
{
    struct data_h5 data = {0};
    struct rows rows;
    float x[N_FEATURES];
    int32_t y;
    ck_assert_int_eq(data_kept_open(path, &data, &err), 0);
    for (int64_t at = N_ROWS - 1; at > N_ROWS - 3; at--) { /* one split, two users */
        ck_assert_int_eq(shard_open(&data, &bytes_stated, 0, 1, 0, 1,
                                    is_direct ? SHARD_CACHE_BYTES : 0, &rows, &err),
                         0);
        ck_assert_int_eq(rows.read(&rows, &at, 1, x, &y, &err), 0);
        ck_assert_int_eq(y, at == N_ROWS - 1 ? last : at % 10);
        shard_close(&rows);
    }
    data_kept_close(&data);
    ck_assert_ptr_null(data.file);
}

static void make_chunked(const char *path)
{
    const struct h5_shape x = {TYPE_UINT8, 2, {N_ROWS, N_FEATURES}};
    const struct h5_shape y = {TYPE_UINT8, 1, {N_ROWS}};
    unsigned char bytes[N_ROWS * N_FEATURES], labels[N_ROWS];
    struct data_h5 data;
    struct h5_data *array;
    for (int i = 0; i < N_ROWS; i++)
        labels[i] = (unsigned char)(i % 10);
    memset(bytes, 1, sizeof bytes);
    ck_assert_int_eq(
        data_h5_create(path, UNIT_EXAMPLE, RELATION_ADD_REMOVE, &data, &err), 0);
    ck_assert_int_eq(h5_group(data.file, "train", &err), 0);
    ck_assert_int_eq(h5_set_integer(data.file, "train", "n_classes", 10, &err), 0);
    ck_assert_int_eq(h5_data_create(data.file, "train/x", &x, 100, &array, &err), 0);
    ck_assert_int_eq(h5_data_write(array, 0, N_ROWS, bytes, &err), 0);
    h5_data_close(array);
    ck_assert_int_eq(h5_data_create(data.file, "train/y", &y, 0, &array, &err), 0);
    ck_assert_int_eq(h5_data_write(array, 0, N_ROWS, labels, &err), 0);
    h5_data_close(array);
    ck_assert_int_eq(data_h5_close(&data, &err), 0);
}

/* The file and two arrays, or the file alone where rows would stay in memory. */
START_TEST(the_last_file_stays_open)
{
    char a[300], b[300], c[300], d[300];
    snprintf(a, sizeof a, "%s", scratch_path("a.h5"));
    snprintf(b, sizeof b, "%s", scratch_path("b.h5"));
    snprintf(c, sizeof c, "%s", scratch_path("c.h5"));
    snprintf(d, sizeof d, "%s", scratch_path("d.h5"));
    make_bytes(a, 2);
    make_bytes(b, 3);
    make_chunked(c);
    make_bytes(d, 4);
    check_job(d, true, 4);
    ck_assert_int_eq(count_open(d), 0); /* it is too young */
    sleep(3);
    check_job(a, true, 2);
    ck_assert_int_eq(count_open(a), 3);
    check_job(a, true, 2);
    ck_assert_int_eq(count_open(a), 3);
    check_job(c, false, (N_ROWS - 1) % 10);
    ck_assert_int_eq(count_open(a), 0);
    ck_assert_int_eq(count_open(c), 1);
    check_job(d, true, 4);
    data_kept_close(&(struct data_h5){0}); /* a job that failed before it opened */
    ck_assert_int_eq(count_open(d), 3);
    data_kept_forget();
    ck_assert_int_eq(count_open(d), 0);
    check_job(d, true, 4);
    ck_assert_int_eq(chmod(d, 0600), 0); /* and whatever else was done to it */
    check_job(d, true, 4);
    ck_assert_int_eq(count_open(d), 0);
    check_job(a, true, 2);
    ck_assert_int_eq(rename(b, a), 0);
    sleep(3); /* at rest again, but another */
    check_job(a, true, 3);
    ck_assert_int_eq(count_open(a), 3);
    data_kept_forget();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("shard");
    TCase *tc = tcase_create("shard");
    tcase_add_checked_fixture(tc, scratch_setup, scratch_teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, bounds_cover_every_row_once);
    tcase_add_test(tc, ranks_read_their_own);
    tcase_add_test(tc, a_rank_may_have_no_records);
    tcase_add_loop_test(tc, a_label_out_of_range_is_refused, 0, 6);
    tcase_add_loop_test(tc, floats_are_finite, 0, 2);
    tcase_add_loop_test(tc, tokens_are_fed_as_they_are, 0, 3);
    tcase_add_test(tc, a_terabyte_opens_and_shards);
    tcase_add_test(tc, the_last_file_stays_open);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
