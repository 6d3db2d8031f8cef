#include "tests/bench/data/chunks.h"

#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "jobs/dp/lease.h"
#include "tests/bench/figure.h"
#include "worker/gather.h"

enum {
    N_ROWS = 100 * 1024,
    ROW_BYTES = 3072,
    CHUNK_ROWS = 64,
    ASK = 1024, /* as jobs/dp/stretch.c asks */
    N_TURNS = 3,
    CACHE_BYTES = 64 << 20
};

static uint64_t state = 0x9e3779b97f4a7c15u;

static uint64_t draw(void)
{
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return state;
}

/* Half of the bits are noise, as in pictures. */
static void write_array(hid_t file, const char *name, int level)
{
    const hsize_t dims[] = {N_ROWS, ROW_BYTES}, chunk[] = {CHUNK_ROWS, ROW_BYTES},
                  count[] = {CHUNK_ROWS, ROW_BYTES};
    static unsigned char rows[CHUNK_ROWS * ROW_BYTES];
    hid_t list = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(list, 2, chunk);
    if (level > 0)
        H5Pset_deflate(list, (unsigned)level);
    hid_t space = H5Screate_simple(2, dims, NULL);
    hid_t memory = H5Screate_simple(2, count, NULL);
    hid_t id =
        H5Dcreate2(file, name, H5T_STD_U8LE, space, H5P_DEFAULT, list, H5P_DEFAULT);
    for (hsize_t at = 0; at < N_ROWS; at += CHUNK_ROWS) {
        const hsize_t start[] = {at, 0};
        for (size_t i = 0; i < sizeof rows; i++)
            rows[i] = (unsigned char)(draw() & 15);
        H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL);
        H5Dwrite(id, H5T_NATIVE_UINT8, memory, space, H5P_DEFAULT, rows);
    }
    H5Dclose(id), H5Sclose(memory), H5Sclose(space), H5Pclose(list);
}

static int make(const char *path, struct error *err)
{
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    if (file < 0)
        return error_set(err, PPT_EIO, "%s cannot be made", path);
    write_array(file, "plain", 0);
    write_array(file, "deflated", 1);
    H5Fclose(file);
    return 0;
}

/* All rows, or each by a chance of 1 in 100; returns how many. */
static size_t choose(bool is_pass, int64_t *ret_rows)
{
    size_t n = 0;
    for (int64_t row = 0; row < N_ROWS; row++)
        if (is_pass || draw() % 100 == 0)
            ret_rows[n++] = row;
    return n;
}

static int time_ours(const char *path, const char *name, const int64_t *rows, size_t n,
                     unsigned char *ret_rows, double *ret_rate, struct error *err)
{
    static unsigned char span[GATHER_SPAN_BYTES];
    struct h5 *file;
    struct h5_data *data = NULL;
    double started_s = lease_clock_s();
    int rc = h5_open(path, &file, err);
    if (rc != 0)
        return rc;
    h5_set_threads(file, (int)sysconf(_SC_NPROCESSORS_ONLN));
    rc = h5_data_open(file, name, &data, err);
    for (size_t i = 0; rc == 0 && i < n; i += ASK)
        rc = gather_rows(data, rows + i, n - i < ASK ? n - i : ASK, ret_rows, ROW_BYTES,
                         span, err);
    h5_data_close(data);
    h5_close(file, NULL);
    *ret_rate = (double)n / (lease_clock_s() - started_s);
    return rc;
}

/* Runs of rows that touch by one call each, with a cache as large as ours. */
static double time_h5dread(const char *path, const char *name, const int64_t *rows,
                           size_t n, unsigned char *ret_rows)
{
    double started_s = lease_clock_s();
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    hid_t access = H5Pcreate(H5P_DATASET_ACCESS);
    H5Pset_chunk_cache(access, 8191, CACHE_BYTES, 0.75);
    hid_t id = H5Dopen2(file, name, access), space = H5Dget_space(id);
    for (size_t i = 0; i < n;) {
        size_t k = 1;
        while (i + k < n && k < ASK && rows[i + k] == rows[i] + (int64_t)k)
            k++;
        const hsize_t start[] = {(hsize_t)rows[i], 0}, count[] = {k, ROW_BYTES};
        hid_t memory = H5Screate_simple(2, count, NULL);
        H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL);
        H5Dread(id, H5T_NATIVE_UINT8, memory, space, H5P_DEFAULT, ret_rows);
        H5Sclose(memory);
        i += k;
    }
    H5Sclose(space), H5Dclose(id), H5Pclose(access), H5Fclose(file);
    return (double)n / (lease_clock_s() - started_s);
}

/* In turns, so that both meet the same machine. */
static int compare(const char *path, const char *name, bool is_pass,
                   unsigned char *space, int64_t *rows, struct error *err)
{
    char label[64];
    double ours[N_TURNS], theirs[N_TURNS];
    int rc = 0;
    for (int turn = 0; rc == 0 && turn < N_TURNS; turn++) {
        size_t n = choose(is_pass, rows);
        rc = time_ours(path, name, rows, n, space, &ours[turn], err);
        theirs[turn] = time_h5dread(path, name, rows, n, space);
    }
    if (rc != 0)
        return rc;
    snprintf(label, sizeof label, "chunks of %d rows, %s, %s", CHUNK_ROWS, name,
             is_pass ? "one pass" : "Poisson 0.01");
    double mine = figure_median(ours, N_TURNS), peer = figure_median(theirs, N_TURNS);
    figure_show(label, mine, "rows/s", "H5Dread", peer, mine / peer);
    return 0;
}

int chunks_compare(const char *path, struct error *err)
{
    unsigned char *space = malloc((size_t)ASK * ROW_BYTES);
    int64_t *rows = malloc(N_ROWS * sizeof *rows);
    int rc = space == NULL || rows == NULL
                 ? error_set(err, PPT_ENOMEM, "no memory for rows")
                 : make(path, err);
    for (int c = 0; rc == 0 && c < 4; c++)
        rc = compare(path, c < 2 ? "plain" : "deflated", c % 2 == 0, space, rows, err);
    unlink(path);
    free(space), free(rows);
    return rc;
}
