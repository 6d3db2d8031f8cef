/* Chunked arrays: whatever shape the chunks have, whatever filters they went through
 * and however many threads undo them, the rows are those that HDF5 reads; a chunk that
 * is damaged is one clear error. */
#include <check.h>
#include <hdf5.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/worker/scratch.h"
#include "worker/chunk_cache.h"
#include "worker/chunk_filters.h"
#include "worker/gather.h"
#include "worker/h5.h"
#include "worker/lzf.h"

static struct error err;

/* ---- arrays by HDF5 itself ---- */

enum { N = 203, A = 5, B = 3, C = 2, ROW = A * B * C }; /* of float32 */

static float value(int64_t row, int j)
{
    return (float)(row % 29 * 1000 + j);
}

static hid_t deflated(hid_t list)
{
    H5Pset_deflate(list, 4);
    return list;
}

static hid_t plain(hid_t list)
{
    return list;
}

static hid_t only_shuffled(hid_t list)
{
    H5Pset_shuffle(list);
    return list;
}

static hid_t shuffled(hid_t list)
{
    H5Pset_shuffle(list);
    return deflated(list);
}

static hid_t summed(hid_t list)
{
    H5Pset_shuffle(list);
    H5Pset_deflate(list, 9);
    H5Pset_fletcher32(list);
    return list;
}

static hid_t summed_first(hid_t list)
{
    H5Pset_fletcher32(list);
    return shuffled(list);
}

static hid_t only_summed(hid_t list)
{
    H5Pset_fletcher32(list);
    return list;
}

static hid_t (*const filters[])(hid_t) = {plain,  deflated,     shuffled,
                                          summed, summed_first, only_summed};
static const hsize_t chunks[][4] = {
    {1, A, B, C}, {10, A, B, C}, {64, 2, 2, 1}, {7, 1, B, C}, {N, A, 2, C}};
enum {
    N_FILTERS = sizeof filters / sizeof filters[0],
    N_CHUNKS = sizeof chunks / sizeof chunks[0]
};

/* Rows [0, n_written) hold value(), the others are never written: -1. */
static const char *make(hid_t (*filter)(hid_t), const hsize_t *chunk, int64_t n_written)
{
    const char *path = scratch_path("c.h5");
    const hsize_t dims[] = {N, A, B, C}, start[4] = {0},
                  count[] = {(hsize_t)n_written, A, B, C};
    const float fill = -1;
    static float x[N * ROW];
    for (int i = 0; i < N * ROW; i++)
        x[i] = value(i / ROW, i % ROW);
    hid_t list = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(list, 4, chunk);
    H5Pset_fill_value(list, H5T_NATIVE_FLOAT, &fill);
    filter(list);
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    hid_t space = H5Screate_simple(4, dims, NULL);
    hid_t id =
        H5Dcreate2(file, "x", H5T_IEEE_F32LE, space, H5P_DEFAULT, list, H5P_DEFAULT);
    hid_t memory = H5Screate_simple(4, count, NULL);
    H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL);
    ck_assert_int_ge(H5Dwrite(id, H5T_NATIVE_FLOAT, memory, space, H5P_DEFAULT, x), 0);
    H5Sclose(memory), H5Sclose(space), H5Dclose(id), H5Pclose(list), H5Fclose(file);
    return path;
}

struct opened {
    struct h5 *file;
    struct h5_data *x;
};

static struct opened open_x(const char *path, int n_threads)
{
    struct opened opened;
    ck_assert_msg(h5_open(path, &opened.file, &err) == 0, "%s", err.text);
    h5_set_threads(opened.file, n_threads);
    ck_assert_msg(h5_data_open(opened.file, "x", &opened.x, &err) == 0, "%s", err.text);
    return opened;
}

static void close_x(struct opened *opened)
{
    h5_data_close(opened->x);
    ck_assert_int_eq(h5_close(opened->file, &err), 0);
}

static void check_row(const float *x, int64_t row, int64_t n_written)
{
    int n_right = 0;
    for (int j = 0; j < ROW; j++)
        n_right += x[j] == (row < n_written ? value(row, j) : -1);
    ck_assert_int_eq(n_right, ROW);
}

/* Every ninth row and the last two, apart from each other. */
static void check_picks(struct h5_data *data, int64_t n_written)
{
    enum { APART = ROW * sizeof(float) + 12 };
    static unsigned char got[N * APART];
    int64_t rows[N];
    size_t n = 0;
    for (int64_t row = 4; row < N - 2; row += 9)
        rows[n++] = row;
    rows[n++] = N - 2, rows[n++] = N - 1;
    memset(got, 77, sizeof got);
    ck_assert_msg(gather_rows(data, rows, n, got, APART, NULL, &err) == 0, "%s",
                  err.text);
    for (size_t i = 0; i < n; i++) {
        float x[ROW];
        memcpy(x, got + i * APART, sizeof x);
        check_row(x, rows[i], n_written);
        ck_assert_uint_eq(got[(i + 1) * APART - 1], 77);
    }
    rows[1] = rows[0];
    ck_assert_int_eq(gather_rows(data, rows, n, got, APART, NULL, &err),
                     -PPT_EINTERNAL);
    rows[0] = 0, rows[1] = N;
    ck_assert_int_eq(gather_rows(data, rows, 2, got, APART, NULL, &err),
                     -PPT_EINTERNAL);
}

START_TEST(rows_are_those_of_hdf5)
{
    static float x[N * ROW];
    hid_t (*filter)(hid_t) = filters[_i % N_FILTERS];
    const hsize_t *chunk = chunks[_i / N_FILTERS];
    for (int64_t n_written = 0; n_written <= N; n_written += N - 100)
        for (int n_threads = 1; n_threads <= 4; n_threads += 3) {
            if (n_written > N - 50)
                n_written = N;
            struct opened opened = open_x(make(filter, chunk, n_written), n_threads);
            ck_assert(h5_data_is_chunked(opened.x) && !h5_data_is_direct(opened.x));
            ck_assert_msg(h5_data_read(opened.x, 0, N, x, &err) == 0, "%s", err.text);
            for (int64_t row = 0; row < N; row++)
                check_row(x + row * ROW, row, n_written);
            for (int64_t row = 0; row < N; row += 20) {
                size_t n = row + 20 < N ? 20 : (size_t)(N - row);
                ck_assert_int_eq(h5_data_read(opened.x, row, n, x, &err), 0);
                for (size_t i = 0; i < n; i++)
                    check_row(x + i * ROW, row + (int64_t)i, n_written);
            }
            check_picks(opened.x, n_written);
            close_x(&opened);
        }
}
END_TEST

/* Written by h5py: float32 (120, 5, 6) in LZF chunks of (32, 2, 4), shuffled and
 * summed; int64 (120) in LZF chunks of 50. */
START_TEST(lzf_of_h5py_is_read)
{
    char path[4096];
    static float x[120 * 30];
    int64_t y[120];
    snprintf(path, sizeof path, "%s/tests/vectors/lzf.h5", getenv("PPT_SOURCE_DIR"));
    struct opened opened = open_x(path, 2);
    struct h5_data *labels;
    ck_assert_int_eq(h5_data_open(opened.file, "y", &labels, &err), 0);
    ck_assert_msg(h5_data_read(opened.x, 0, 120, x, &err) == 0, "%s", err.text);
    ck_assert_msg(h5_data_read(labels, 0, 120, y, &err) == 0, "%s", err.text);
    for (int i = 0; i < 120; i++) {
        ck_assert_int_eq(y[i], i % 11);
        for (int j = 0; j < 5; j++)
            for (int k = 0; k < 6; k++)
                ck_assert_float_eq(x[(i * 5 + j) * 6 + k],
                                   (float)((i / 8 + j * k) % 50));
    }
    h5_data_close(labels);
    close_x(&opened);
}
END_TEST

/* ---- damage ---- */

/* Where the chunk of row 0 lies in the file. */
static haddr_t find_chunk(const char *path, hsize_t *ret_len)
{
    const hsize_t offset[4] = {0};
    haddr_t at = HADDR_UNDEF;
    unsigned skipped;
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    hid_t id = H5Dopen2(file, "x", H5P_DEFAULT);
    H5Dget_chunk_info_by_coord(id, offset, &skipped, &at, ret_len);
    H5Dclose(id), H5Fclose(file);
    return at;
}

/* A flipped bit anywhere in a chunk is noticed by whoever needs the chunk, and only by
 * them; by the next, again. */
static void check_flips(hid_t (*filter)(hid_t), const char *words)
{
    static float x[N * ROW];
    hsize_t len = 0;
    const char *path = make(filter, chunks[1], N);
    haddr_t at = find_chunk(path, &len);
    ck_assert(at != HADDR_UNDEF && len > 0);
    for (hsize_t k = 0; k < len; k += 1 + len / 60) {
        scratch_flip(path, (int64_t)(at + k));
        struct opened opened = open_x(path, 1 + (int)(k % 2) * 3);
        ck_assert_int_eq(h5_data_read(opened.x, 10, 40, x, &err), 0);
        check_row(x, 10, N);
        for (int again = 0; again < 2; again++) {
            ck_assert_int_eq(h5_data_read(opened.x, 0, N, x, &err), -PPT_EDATA);
            scratch_expect(&err, words);
            scratch_expect(&err, "c.h5: x: a chunk is damaged");
        }
        close_x(&opened);
        scratch_flip(path, (int64_t)(at + k));
    }
}

START_TEST(a_damaged_chunk_is_named)
{
    check_flips(deflated, "(deflate)");
    check_flips(summed, "(checksum)");
    check_flips(only_summed, "(checksum)");
}
END_TEST

/* A chunk whose bytes are those of another filter's work, or too many, or too few. */
START_TEST(a_chunk_of_another_make_is_damaged)
{
    unsigned char stored[2000] = {31, 1, 2, 3};
    static const size_t lens[] = {1, 4, 1199, 1201, 2000};
    const hsize_t offset[4] = {0};
    float x[ROW];
    for (size_t k = 0; k < sizeof lens / sizeof lens[0]; k++)
        for (int f = 0; f < 2; f++) {
            const char *path = make(f == 0 ? only_shuffled : shuffled, chunks[1], N);
            hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
            hid_t id = H5Dopen2(file, "x", H5P_DEFAULT);
            ck_assert_int_ge(
                H5Dwrite_chunk(id, H5P_DEFAULT, 0, offset, lens[k], stored), 0);
            H5Dclose(id), H5Fclose(file);
            struct opened opened = open_x(path, 1);
            ck_assert_int_eq(h5_data_read(opened.x, 0, 1, x, &err), -PPT_EDATA);
            scratch_expect(&err, f == 0 ? "(its length)" : "(deflate)");
            close_x(&opened);
        }
}
END_TEST

static size_t pass_on(unsigned flags, size_t n_parameters, const unsigned *parameters,
                      size_t len, size_t *size, void **data)
{
    (void)flags, (void)n_parameters, (void)parameters, (void)size, (void)data;
    return len;
}

static hid_t strange(hid_t list)
{
    const H5Z_class2_t class = {H5Z_CLASS_T_VERS, 300,  1,    1,
                                "blosc",          NULL, NULL, pass_on};
    H5Zregister(&class);
    H5Pset_filter(list, 300, H5Z_FLAG_MANDATORY, 0, NULL);
    return list;
}

START_TEST(an_unknown_filter_is_named)
{
    struct h5 *file;
    struct h5_data *data;
    const char *path = make(strange, chunks[0], 1);
    H5Zunregister(300);
    ck_assert_int_eq(h5_open(path, &file, &err), 0);
    ck_assert_int_eq(h5_data_open(file, "x", &data, &err), -PPT_EDATA);
    scratch_expect(&err, "x went through filter 300 (blosc), expected deflate, LZF");
    ck_assert(strstr(err.hint, "h5repack") != NULL);
    h5_close(file, NULL);
}
END_TEST

/* Every string of few bytes, and long random ones: nothing outside is touched. */
START_TEST(lzf_touches_nothing_outside)
{
    uint64_t state = 88172645463325252u;
    for (int turn = 0; turn < 200000; turn++) {
        size_t len = (size_t)turn % 41, want = (size_t)(turn / 41 % 97);
        unsigned char *from = malloc(len + 1), *to = malloc(want + 1);
        for (size_t i = 0; i < len; i++) {
            state ^= state << 13, state ^= state >> 7, state ^= state << 17;
            from[i] = (unsigned char)(state >> (turn % 3 == 0 ? 60 : 40));
        }
        from = realloc(from, len > 0 ? len : 1);
        to = realloc(to, want > 0 ? want : 1);
        lzf_decode(from, len, to, want);
        free(from), free(to);
    }
    const unsigned char run[] = {0, 'a', 0xe0, 3, 0}; /* a, and 12 from one before */
    unsigned char text[14] = {0};
    ck_assert(lzf_decode(run, sizeof run, text, 13));
    ck_assert_str_eq((char *)text, "aaaaaaaaaaaaa");
    ck_assert(!lzf_decode(run, sizeof run, text, 12));
    ck_assert(!lzf_decode(run, sizeof run, text, 14));
    ck_assert(!lzf_decode(run, sizeof run - 1, text, 13));
}
END_TEST

/* ---- threads ---- */

enum { N_READERS = 4, N_TURNS = 30 };

static void *read_much(void *state)
{
    struct h5_data *data = state;
    float *x = malloc(N * ROW * sizeof *x);
    size_t n_wrong = 0;
    for (int turn = 0; turn < N_TURNS; turn++) {
        struct error own = {0};
        int64_t first = turn * 37 % N;
        size_t n = (size_t)(N - first);
        if (h5_data_read(data, first, n, x, &own) != 0)
            n_wrong++;
        for (size_t i = 0; i < n * ROW; i++)
            n_wrong += x[i] != value(first + (int64_t)i / ROW, (int)(i % ROW));
    }
    free(x);
    return n_wrong == 0 ? NULL : "wrong rows";
}

START_TEST(many_may_read_at_once)
{
    pthread_t readers[N_READERS];
    void *wrong;
    struct opened opened = open_x(make(summed, chunks[_i], N), 3);
    struct h5_data *again;
    ck_assert_int_eq(h5_data_open(opened.file, "x", &again, &err), 0);
    for (int r = 0; r < N_READERS; r++)
        ck_assert_int_eq(
            pthread_create(&readers[r], NULL, read_much, r % 2 == 0 ? opened.x : again),
            0);
    for (int r = 0; r < N_READERS; r++) {
        pthread_join(readers[r], &wrong);
        ck_assert_ptr_null(wrong);
    }
    h5_data_close(again);
    close_x(&opened);
}
END_TEST

/* ---- the cache ---- */

enum { CHUNK = 3 << 20 }; /* five of them fit */

struct loads {
    atomic_int n, n_at_once, most_at_once;
    int bad; /* this chunk cannot be loaded */
    int slow_us;
};

static int count_load(void *state, int64_t chunk, void *scratch,
                      unsigned char *ret_chunk, struct error *error)
{
    struct loads *loads = state;
    int n = atomic_fetch_add(&loads->n_at_once, 1) + 1;
    if (n > loads->most_at_once)
        loads->most_at_once = n;
    memset(scratch, 1, 100);
    usleep((useconds_t)loads->slow_us);
    memset(ret_chunk, (int)chunk, 100);
    loads->n++;
    loads->n_at_once--;
    return chunk == loads->bad ? error_set(error, PPT_EDATA, "chunk %d", (int)chunk)
                               : 0;
}

static void take(struct chunk_cache *cache, int64_t chunk)
{
    const unsigned char *bytes;
    ck_assert_int_eq(chunk_cache_take(cache, chunk, &bytes, &err), 0);
    ck_assert_uint_eq(bytes[99], (unsigned char)chunk);
}

START_TEST(the_cache_keeps_what_fits)
{
    struct loads loads = {.bad = -1};
    const struct chunk_source source = {CHUNK, 100, count_load, &loads};
    struct chunk_cache *cache;
    ck_assert_int_eq(chunk_cache_open(&source, 1, &cache, &err), 0);
    for (int turn = 0; turn < 3; turn++) {
        chunk_cache_begin(cache);
        for (int64_t chunk = 0; chunk < 5; chunk++)
            take(cache, chunk);
        chunk_cache_end(cache);
    }
    ck_assert_int_eq(loads.n, 5);
    chunk_cache_begin(cache);
    take(cache, 5); /* in the place of 0 */
    take(cache, 1);
    ck_assert_int_eq(loads.n, 6);
    take(cache, 0); /* in the place of 2 */
    take(cache, 3);
    ck_assert_int_eq(loads.n, 7);
    chunk_cache_end(cache);
    chunk_cache_close(cache);
}
END_TEST

START_TEST(helpers_load_what_is_wanted)
{
    struct loads loads = {.bad = 3, .slow_us = 2000};
    const struct chunk_source source = {CHUNK, 100, count_load, &loads};
    struct chunk_cache *cache;
    const unsigned char *bytes;
    ck_assert_int_eq(chunk_cache_open(&source, 4, &cache, &err), 0);
    for (int turn = 0; turn < 20; turn++) {
        chunk_cache_begin(cache);
        int64_t base = turn * 10;
        int64_t wanted = 0;
        for (int64_t chunk = 0; chunk < 8; chunk++) {
            while (wanted < 8 && chunk_cache_want(cache, base + wanted))
                wanted++;
            ck_assert_int_le(wanted, chunk + 5);
            if (turn == 0 && chunk == 3) {
                ck_assert_int_eq(chunk_cache_take(cache, 3, &bytes, &err), -PPT_EDATA);
                ck_assert_str_eq(err.text, "chunk 3");
                break; /* what was wanted behind it is not taken */
            }
            take(cache, base + chunk);
        }
        chunk_cache_end(cache);
    }
    ck_assert_int_gt(loads.most_at_once, 1);
    ck_assert_int_le(loads.most_at_once, 4);
    chunk_cache_begin(cache);
    chunk_cache_want(cache, 900);
    chunk_cache_end(cache);
    chunk_cache_close(cache); /* while 900 is being loaded */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("chunks");
    TCase *tc = tcase_create("chunks");
    tcase_add_checked_fixture(tc, scratch_setup, scratch_teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, rows_are_those_of_hdf5, 0, N_FILTERS * N_CHUNKS);
    tcase_add_test(tc, lzf_of_h5py_is_read);
    tcase_add_test(tc, a_damaged_chunk_is_named);
    tcase_add_test(tc, a_chunk_of_another_make_is_damaged);
    tcase_add_test(tc, an_unknown_filter_is_named);
    tcase_add_test(tc, lzf_touches_nothing_outside);
    tcase_add_loop_test(tc, many_may_read_at_once, 0, N_CHUNKS);
    tcase_add_test(tc, the_cache_keeps_what_fits);
    tcase_add_test(tc, helpers_load_what_is_wanted);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
