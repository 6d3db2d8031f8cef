/* How fast records come out of a file, in records of 3 KiB: one ascending pass beside
 * dd, Poisson samples as a job is fed them, training that is fed so, and rows of
 * chunked arrays.
 * bench_data [--json] [--gib N] [--dir DIR]
 *
 * The file is made in DIR and removed. The pass is timed on a file that was dropped
 * from the cache and, where memory holds it, on one that lies in it. Poisson samples
 * come from a part of 1 GiB that lies in the cache: what is measured is our own cost.
 */
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "base/log.h"
#include "base/opt.h"
#include "jobs/dp/feed.h"
#include "jobs/dp/lease.h"
#include "tests/bench/data/chunks.h"
#include "tests/bench/data/fed.h"
#include "tests/bench/figure.h"
#include "worker/shard.h"

enum {
    ROW_BYTES = 3072,
    WRITE_ROWS = 1024,
    ASK = 1024,          /* as jobs/dp/stretch.c asks */
    RING_ROWS = 1 << 14, /* as much as it fills */
    BATCH = 1024,
    MICRO = 256,
    N_STEPS = 2000,
    N_TURNS = 3
};

static bool is_json, only_chunks;
static int64_t gib = 4;
static const char *dir = NULL;
static char path[4096];

static void show_rate(const char *name, double value, const char *unit,
                      const char *peer, double peer_value)
{
    figure_show(name, value, unit, peer, peer_value, value / peer_value);
}

/* ---- the file ---- */

/* Bytes that no file system can make smaller. */
static void fill(unsigned char *bytes, size_t len, uint64_t *state)
{
    for (size_t i = 0; i + 8 <= len; i += 8) {
        *state ^= *state << 13, *state ^= *state >> 7, *state ^= *state << 17;
        memcpy(bytes + i, state, 8);
    }
}

static int write_split(struct data_h5 *data, const char *name, int64_t n_rows,
                       struct error *err)
{
    struct data_split split = {.n_rows = n_rows,
                               .x_type = TYPE_UINT8,
                               .y_type = TYPE_UINT8,
                               .n_dims = 1,
                               .dims = {ROW_BYTES},
                               .n_classes = 10};
    static unsigned char x[WRITE_ROWS * ROW_BYTES], y[WRITE_ROWS];
    uint64_t state = 0x9e3779b97f4a7c15u;
    int rc = data_h5_add(data, name, &split, err);
    for (int64_t at = 0; rc == 0 && at < n_rows; at += WRITE_ROWS) {
        size_t n = n_rows - at < WRITE_ROWS ? (size_t)(n_rows - at) : WRITE_ROWS;
        fill(x, sizeof x, &state);
        rc = h5_data_write(split.x, at, n, x, err);
        if (rc == 0)
            rc = h5_data_write(split.y, at, n, y, err);
    }
    data_split_close(&split);
    return rc;
}

static int make_file(struct error *err)
{
    struct data_h5 data;
    int64_t n_rows = (gib << 30) / ROW_BYTES;
    int rc = data_h5_create(path, UNIT_EXAMPLE, RELATION_ADD_REMOVE, &data, err);
    if (rc != 0)
        return rc;
    rc = write_split(&data, "train", n_rows, err);
    if (rc == 0)
        rc = write_split(&data, "part", ((int64_t)1 << 30) / ROW_BYTES, err);
    if (rc == 0)
        return data_h5_close(&data, err);
    data_h5_close(&data, NULL);
    return rc;
}

/* Out of the page cache; needs no privilege once everything is on disk. */
static void drop(void)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        close(fd);
    }
}

static int open_rows(const struct data_h5 *data, const char *name,
                     struct rows *ret_rows, struct error *err)
{
    struct manifest_split stated = {
        .x_type = TYPE_UINT8, .n_dims = 1, .dims = {ROW_BYTES}, .n_classes = 10};
    snprintf(stated.name, sizeof stated.name, "%s", name);
    return shard_open(data, &stated, 0.5, 0.25, 0, 1, SHARD_AHEAD_BYTES, ret_rows, err);
}

/* ---- one pass ---- */

/* GB/s of all records, fetched as the thread that reads ahead does. */
static int time_pass(const struct data_h5 *data, double *ret_rate, struct error *err)
{
    struct rows rows;
    int64_t ask[ASK];
    int rc = open_rows(data, "train", &rows, err);
    if (rc != 0)
        return rc;
    unsigned char *ring = malloc(RING_ROWS * rows.record_bytes);
    if (ring == NULL)
        rc = error_set(err, PPT_ENOMEM, "no memory to read");
    else
        memset(ring, 1, RING_ROWS * rows.record_bytes);
    double started_s = lease_clock_s();
    for (int64_t at = 0; rc == 0 && at < rows.n_rows; at += ASK) {
        size_t n = rows.n_rows - at < ASK ? (size_t)(rows.n_rows - at) : ASK;
        for (size_t i = 0; i < n; i++)
            ask[i] = at + (int64_t)i;
        rc = rows.fetch(&rows, ask, n,
                        ring + (size_t)(at % RING_ROWS) * rows.record_bytes, err);
    }
    *ret_rate = (double)rows.n_rows * ROW_BYTES / (lease_clock_s() - started_s) * 1e-9;
    free(ring);
    shard_close(&rows);
    return rc;
}

static int time_dd(const struct data_h5 *data, double *ret_rate, struct error *err)
{
    char command[sizeof path + 80];
    (void)data;
    snprintf(command, sizeof command,
             "dd if='%s' of=/dev/null bs=1M count=%lld 2>/dev/null", path,
             (long long)(gib << 10));
    double started_s = lease_clock_s();
    if (system(command) != 0)
        return error_set(err, PPT_EIO, "dd failed");
    *ret_rate = (double)(gib << 30) / (lease_clock_s() - started_s) * 1e-9;
    return 0;
}

typedef int time_fn(const struct data_h5 *data, double *ret_rate, struct error *err);

/* The faster of two in a row: a virtual machine that has given free memory back to its
 * host asks for it again page by page, which whoever comes first pays for. */
static int time_twice(time_fn *time, const struct data_h5 *data, bool is_cold,
                      double *ret_rate, struct error *err)
{
    int rc = 0;
    *ret_rate = 0.0;
    for (int i = 0; rc == 0 && i < 2; i++) {
        double rate = 0.0;
        if (is_cold)
            drop();
        rc = time(data, &rate, err);
        *ret_rate = rate > *ret_rate ? rate : *ret_rate;
    }
    return rc;
}

/* In turns, so that both meet the same machine. */
static int compare_pass(const struct data_h5 *data, const char *name, bool is_cold,
                        struct error *err)
{
    double ours[N_TURNS], dds[N_TURNS];
    int rc = 0;
    for (int turn = 0; rc == 0 && turn < N_TURNS; turn++) {
        rc = time_twice(time_pass, data, is_cold, &ours[turn], err);
        if (rc == 0)
            rc = time_twice(time_dd, data, is_cold, &dds[turn], err);
    }
    if (rc == 0)
        show_rate(name, figure_median(ours, N_TURNS), "GB/s", "dd bs=1M",
                  figure_median(dds, N_TURNS));
    return rc;
}

/* ---- Poisson samples ---- */

static int feed_steps(struct feed *feed, int64_t first, int64_t n, int64_t *ret_n_rows,
                      struct error *err)
{
    static float x[MICRO * ROW_BYTES];
    static int32_t y[MICRO];
    *ret_n_rows = 0;
    for (int64_t step = first; step < first + n; step++) {
        size_t got = 1;
        feed_begin(feed, step);
        while (got > 0) {
            int rc = feed_next(feed, MICRO, x, y, &got, err);
            if (rc != 0)
                return rc;
            *ret_n_rows += (int64_t)got;
        }
    }
    return 0;
}

static double cpu_s(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

/* What who takes rows out of the cache one by one has to pay: a pread for each of as
 * many ascending rows of the file's last GiB, as far apart as those of a sweep, and a
 * loop that makes floats of its bytes. Rows a second of processor time. */
static int time_preads(int64_t n_rows, double *ret_rate, struct error *err)
{
    enum { FAR = 31 }; /* gaps are 1 .. FAR rows */
    static unsigned char raw[ROW_BYTES];
    static float x[MICRO * ROW_BYTES];
    const int64_t region = (int64_t)1 << 30;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    off_t end = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
    uint64_t state = 1;
    bool is_read = end >= region;
    double started_s = cpu_s();
    for (int64_t i = 0, at = 0; is_read && i < n_rows; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        at = (at + (1 + (int64_t)(state >> 33) % FAR) * ROW_BYTES) %
             (region - ROW_BYTES);
        is_read = pread(fd, raw, sizeof raw, end - region + at) == ROW_BYTES;
        for (int j = 0; j < ROW_BYTES; j++)
            x[i % MICRO * ROW_BYTES + j] = (float)raw[j] * 0.01f - 2.0f;
        __asm__ volatile("" : : "r"(x) : "memory"); /* somebody reads them */
    }
    *ret_rate = (double)n_rows / (cpu_s() - started_s);
    if (fd >= 0)
        close(fd);
    return is_read ? 0 : error_set(err, PPT_EIO, "cannot read %s", path);
}

/* Floats in the trainer's hands. What was read before the clock started is at most the
 * memory for reading ahead, a fiftieth of what is counted. */
static int time_poisson(const struct data_h5 *data, struct error *err)
{
    const unsigned char key[CRYPTO_KEY_SIZE] = {1};
    struct feed feed = {0};
    struct rows rows;
    int64_t n_rows = 0, unused;
    int rc = open_rows(data, "part", &rows, err);
    if (rc != 0)
        return rc;
    double rate = floor((double)BATCH / (double)rows.n_rows * 0x1p53) * 0x1p-53;
    rc = feed_open(&feed, &rows, key, rate, 0, false, N_STEPS, MICRO, err);
    if (rc == 0) {
        rc = feed_steps(&feed, 0, N_STEPS / 10, &unused, err);
        double started_s = lease_clock_s(), cpu_started_s = cpu_s(), floor = 0.0;
        if (rc == 0)
            rc = feed_steps(&feed, N_STEPS / 10, N_STEPS - N_STEPS / 10, &n_rows, err);
        double took_s = lease_clock_s() - started_s,
               cpu_took_s = cpu_s() - cpu_started_s;
        if (rc == 0)
            rc = time_preads(n_rows, &floor, err);
        if (rc == 0) {
            show_rate("poisson rows of 3 KiB", (double)n_rows / took_s, "rows/s",
                      "wanted", 450000.0);
            show_rate("the same by processor time", (double)n_rows / cpu_took_s,
                      "rows/s", "pread, floats", floor);
        }
        feed_close(&feed);
    }
    shard_close(&rows);
    return rc;
}

/* ---- */

static int measure(struct error *err)
{
    struct data_h5 data;
    struct sysinfo info;
    int rc = data_h5_open(path, &data, err);
    if (rc != 0)
        return rc;
    rc = compare_pass(&data, "one pass, not in the cache", true, err);
    double memory = sysinfo(&info) == 0 ? (double)info.totalram * info.mem_unit : 0.0;
    if (rc == 0 && (double)(gib << 30) < memory / 3)
        rc = compare_pass(&data, "one pass, in the cache", false, err);
    if (rc == 0)
        rc = time_poisson(&data, err);
    if (rc == 0)
        rc = fed_compare(&data, ROW_BYTES, err);
    data_h5_close(&data, NULL);
    return rc;
}

/* At most a third of the space that is free. */
static int choose_size(struct error *err)
{
    struct statvfs st;
    if (statvfs(dir, &st) != 0)
        return error_errno(err, PPT_EIO, "%s", dir);
    int64_t fit = (int64_t)((double)st.f_bavail * (double)st.f_frsize / 3 / 0x1p30);
    if (gib < 1 || fit < 2)
        return error_set(err, PPT_EUSAGE, "%s",
                         gib < 1 ? "expected --gib 1 or more"
                                 : "less than 6 GiB are free");
    if (gib > fit - 1) {
        gib = fit - 1;
        log_warning("only %lld GiB: the disk is short", (long long)gib);
    }
    return 0;
}

int main(int argc, char **argv)
{
    const struct opt options[] = {
        {.name = "json", .type = OPT_FLAG, .value = &is_json, .help = "JSON lines"},
        {.name = "gib",
         .type = OPT_INTEGER,
         .value = &gib,
         .argument = "N",
         .help = "size of the file (4; 20 for the figures in worker/README.md)"},
        {.name = "only-chunks",
         .type = OPT_FLAG,
         .value = &only_chunks,
         .help = "nothing but the chunked arrays"},
        {.name = "dir",
         .type = OPT_STRING,
         .value = &dir,
         .argument = "DIR",
         .help = "where it is made (build/release)"},
    };
    const struct opt_program program = {.name = "bench_data",
                                        .usage = "[--json]",
                                        .summary = "How fast records are read.",
                                        .options = options,
                                        .n_options = 4};
    struct error err = {0};
    int n_operands;
    log_init("bench_data", false);
    if (opt_parse(&program, argc, argv, &n_operands, &err) != 0)
        return log_error(&err);
    if (dir == NULL)
        dir = getenv("PPT_BUILD_DIR") != NULL ? getenv("PPT_BUILD_DIR") : ".";
    int rc = choose_size(&err);
    if (rc != 0)
        return log_error(&err);
    snprintf(path, sizeof path, "%s/bench-data-%ld.h5", dir, (long)getpid());
    figure_begin("data", is_json);
    if (!only_chunks)
        rc = make_file(&err);
    if (rc == 0 && !only_chunks)
        rc = measure(&err);
    unlink(path);
    if (rc == 0)
        rc = chunks_compare(path, &err);
    figure_end();
    return rc == 0 ? 0 : log_error(&err);
}
