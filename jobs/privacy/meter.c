#include "jobs/privacy/meter.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* A record, little-endian: sequence number (from 0), attempt, release index, a zero,
 * total used of that release, CRC-32C of all before it, the CRC's complement. The last
 * two are never both zero, so a record whose end was never written is told from a
 * damaged one. The size divides a disk's sector: no record lies on two. */
#define RECORD_SIZE 32
#define CRC_OFFSET 24
/* In place of a release: nothing may be charged from here on; an attempt begins. */
#define RELEASE_END UINT32_MAX
#define RELEASE_BEGIN (UINT32_MAX - 1)

struct record {
    uint32_t sequence, attempt, release;
    uint64_t total;
};

struct meter {
    int fd;
    uint32_t attempt, n_records;
    int n_releases;
    int64_t count[PRICE_MAX_RELEASES], used[PRICE_MAX_RELEASES];
    bool has_failed;
};

/* RFC 3720, appendix B.4; 24 bytes a charge need no table. */
static uint32_t crc32c(const unsigned char *data, size_t len)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < len; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

static void put32(unsigned char *to, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        to[i] = (unsigned char)(value >> 8 * i);
}

static uint32_t get32(const unsigned char *from)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++)
        value |= (uint32_t)from[i] << 8 * i;
    return value;
}

static void encode(const struct record *record, unsigned char bytes[RECORD_SIZE])
{
    put32(bytes, record->sequence);
    put32(bytes + 4, record->attempt);
    put32(bytes + 8, record->release);
    put32(bytes + 12, 0);
    put32(bytes + 16, (uint32_t)record->total);
    put32(bytes + 20, (uint32_t)(record->total >> 32));
    uint32_t crc = crc32c(bytes, CRC_OFFSET);
    put32(bytes + CRC_OFFSET, crc);
    put32(bytes + CRC_OFFSET + 4, ~crc);
}

/* False unless every byte is what encode writes. */
static bool decode(const unsigned char bytes[RECORD_SIZE], struct record *ret_record)
{
    struct record record = {
        .sequence = get32(bytes),
        .attempt = get32(bytes + 4),
        .release = get32(bytes + 8),
        .total = get32(bytes + 16) | (uint64_t)get32(bytes + 20) << 32,
    };
    unsigned char again[RECORD_SIZE];
    encode(&record, again);
    if (memcmp(bytes, again, RECORD_SIZE) != 0)
        return false;
    *ret_record = record;
    return true;
}

/* What a meter file says. */
struct tally {
    int64_t used[PRICE_MAX_RELEASES];
    uint32_t n_records, last_attempt;
    bool is_ended, is_damaged;
};

/* True if the record continues the tally: in sequence, attempts never go back, totals
 * only grow and stay within what was reserved. Nothing continues an ended one. */
static bool follows(const struct record *record, const struct tally *tally,
                    const struct price *price)
{
    if (record->sequence != tally->n_records || tally->is_ended ||
        record->attempt < tally->last_attempt)
        return false;
    if (record->release == RELEASE_END)
        return record->total == 0;
    if (record->release == RELEASE_BEGIN)
        return record->total == 0 && record->attempt > tally->last_attempt;
    return record->release < (uint32_t)price->n_releases &&
           record->total <= (uint64_t)price->releases[record->release].count &&
           record->total > (uint64_t)tally->used[record->release];
}

/* True if the last 8 bytes were never written: the file grew, the data did not arrive.
 */
static bool is_torn(const unsigned char bytes[RECORD_SIZE])
{
    static const unsigned char zero[RECORD_SIZE - CRC_OFFSET];
    return memcmp(bytes + CRC_OFFSET, zero, sizeof zero) == 0;
}

/* Reads a whole record; *ret_len is less at the end of the file. */
static int read_record(int fd, unsigned char bytes[RECORD_SIZE], size_t *ret_len,
                       struct error *err)
{
    size_t len = 0;
    while (len < RECORD_SIZE) {
        ssize_t n = read(fd, bytes + len, RECORD_SIZE - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(err, PPT_EIO, "cannot read the meter");
        if (n == 0)
            break;
        len += (size_t)n;
    }
    *ret_len = len;
    return 0;
}

/* Reads from the start of fd. A short or unwritten record at the very end is left out:
 * its charge never returned, so nothing was released on it. Anything else that is not
 * the next record is damage. */
static int scan(int fd, const struct price *price, struct tally *ret_tally,
                struct error *err)
{
    struct tally tally = {0};
    bool has_torn = false;
    for (;;) {
        unsigned char bytes[RECORD_SIZE];
        struct record record;
        size_t len = 0;
        int rc = read_record(fd, bytes, &len, err);
        if (rc != 0)
            return rc;
        if (len < RECORD_SIZE) {
            tally.is_damaged = tally.is_damaged || (has_torn && len > 0);
            break;
        }
        if (has_torn) {
            tally.is_damaged = true; /* something stands behind the torn record */
            break;
        }
        if (decode(bytes, &record) && follows(&record, &tally, price)) {
            if (record.release == RELEASE_END)
                tally.is_ended = true;
            else if (record.release != RELEASE_BEGIN)
                tally.used[record.release] = (int64_t)record.total;
            tally.last_attempt = record.attempt;
            tally.n_records++;
        } else if (is_torn(bytes)) {
            has_torn = true;
        } else {
            tally.is_damaged = true;
            break;
        }
    }
    *ret_tally = tally;
    return 0;
}

static int lock(int fd, const char *path, struct error *err)
{
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    if (errno != EWOULDBLOCK)
        return error_errno(err, PPT_EIO, "cannot lock meter %s", path);
    error_set(err, PPT_ESTATE, "meter %s is in use by another process", path);
    return error_hint(err, "wait for the other attempt to end, or stop it");
}

/* Cuts a torn record off, so that the next one stands in its place. Whole records of
 * earlier attempts that are not on disk yet go there with the next one, which counts
 * them. */
static int cut(int fd, const struct tally *tally, const char *path, struct error *err)
{
    off_t size = (off_t)tally->n_records * RECORD_SIZE;
    struct stat st;
    if (fstat(fd, &st) != 0)
        return error_errno(err, PPT_EIO, "cannot look at meter %s", path);
    if (st.st_size != size && (ftruncate(fd, size) != 0 || fsync(fd) != 0))
        return error_errno(err, PPT_EIO, "cannot prepare meter %s", path);
    return 0;
}

static int write_record(int fd, const struct record *record, struct error *err)
{
    unsigned char bytes[RECORD_SIZE];
    encode(record, bytes);
    for (size_t done = 0; done < RECORD_SIZE;) {
        ssize_t n = write(fd, bytes + done, RECORD_SIZE - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(err, PPT_EIO, "cannot write to the meter");
        done += (size_t)n;
    }
    return 0;
}

static int sync_to_disk(int fd, struct error *err)
{
    return fdatasync(fd) == 0 ? 0 : error_errno(err, PPT_EIO, "cannot sync the meter");
}

static int append(int fd, const struct record *record, struct error *err)
{
    int rc = write_record(fd, record, err);
    return rc == 0 ? sync_to_disk(fd, err) : rc;
}

static int take_over(struct meter *meter, const struct tally *tally, bool is_soon,
                     const char *path, struct error *err)
{
    if (tally->is_damaged) {
        error_set(err, PPT_ETRUST, "meter %s is damaged after %u records", path,
                  tally->n_records);
        return error_hint(err, "settle the job: its whole reservation counts as used");
    }
    if (tally->is_ended) {
        error_set(err, PPT_ESTATE, "the job of meter %s is settled", path);
        return error_hint(err, "submit a new job: it reserves budget of its own");
    }
    if (tally->last_attempt > meter->attempt)
        return error_set(err, PPT_ESTATE,
                         "meter %s was opened by attempt %u, expected none after "
                         "attempt %u",
                         path, tally->last_attempt, meter->attempt);
    struct record record = {.sequence = tally->n_records,
                            .attempt = meter->attempt,
                            .release = RELEASE_BEGIN};
    bool is_first = tally->last_attempt < meter->attempt;
    int rc = cut(meter->fd, tally, path, err);
    if (rc == 0 && is_first)
        rc = (is_soon ? write_record : append)(meter->fd, &record, err);
    if (rc != 0)
        return rc;
    meter->n_records = tally->n_records + is_first;
    memcpy(meter->used, tally->used, sizeof meter->used);
    return 0;
}

int meter_create(const char *path, struct error *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_errno(err, PPT_EIO, "cannot create meter %s", path);
    close(fd);
    return 0;
}

/* An open, locked file. */
static int open_locked(const char *path, int *ret_fd, struct error *err)
{
    int fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT)
        return error_set(err, PPT_ENOTFOUND, "there is no meter %s", path);
    if (fd < 0)
        return error_errno(err, PPT_EIO, "cannot open meter %s", path);
    int rc = lock(fd, path, err);
    if (rc != 0)
        close(fd);
    else
        *ret_fd = fd;
    return rc;
}

static int open_meter(const char *path, int attempt, const struct price *price,
                      bool is_soon, struct meter **ret_meter, struct error *err)
{
    assert(price->n_releases <= PRICE_MAX_RELEASES);
    if (attempt < 1)
        return error_set(err, PPT_ERANGE,
                         "attempt is %d, expected a number of at least 1", attempt);
    struct tally tally;
    int rc;
    struct meter *meter = calloc(1, sizeof *meter);
    if (meter == NULL)
        return error_set(err, PPT_ENOMEM, "no memory for a meter");
    meter->attempt = (uint32_t)attempt;
    meter->n_releases = price->n_releases;
    for (int i = 0; i < price->n_releases; i++)
        meter->count[i] = price->releases[i].count;
    meter->fd = -1;
    rc = open_locked(path, &meter->fd, err);
    if (rc == -PPT_ENOTFOUND) {
        error_set(err, PPT_ESTATE, "there is no meter %s", path);
        error_hint(err, "without it nothing proves what the job has left");
        rc = -PPT_ESTATE;
    }
    if (rc == 0)
        rc = scan(meter->fd, price, &tally, err);
    if (rc == 0)
        rc = take_over(meter, &tally, is_soon, path, err);
    if (rc == 0) {
        *ret_meter = meter;
        meter = NULL;
    }
    meter_close(meter);
    return rc;
}

int meter_open(const char *path, int attempt, const struct price *price,
               struct meter **ret_meter, struct error *err)
{
    return open_meter(path, attempt, price, false, ret_meter, err);
}

int meter_open_soon(const char *path, int attempt, const struct price *price,
                    struct meter **ret_meter, struct error *err)
{
    return open_meter(path, attempt, price, true, ret_meter, err);
}

void meter_close(struct meter *meter)
{
    if (meter == NULL)
        return;
    if (meter->fd >= 0)
        close(meter->fd);
    free(meter);
}

int meter_charge(struct meter *meter, int release, int64_t n, struct error *err)
{
    if (release < 0 || release >= meter->n_releases || n < 1)
        return error_set(err, PPT_ERANGE,
                         "charge of %lld for release %d, expected at least 1 for a "
                         "release in [0, %d]",
                         (long long)n, release, meter->n_releases - 1);
    if (meter->has_failed)
        return error_set(err, PPT_EIO,
                         "an earlier charge failed, and what the meter holds is "
                         "unknown");
    if (n > meter_left(meter, release)) {
        error_set(err, PPT_EMETER,
                  "charge of %lld for release %d, expected at most the %lld left of "
                  "%lld reserved",
                  (long long)n, release, (long long)meter_left(meter, release),
                  (long long)meter->count[release]);
        return error_hint(err, "submit a new job: it reserves budget of its own");
    }
    struct record record = {.sequence = meter->n_records,
                            .attempt = meter->attempt,
                            .release = (uint32_t)release,
                            .total = (uint64_t)(meter->used[release] + n)};
    int rc = append(meter->fd, &record, err);
    if (rc != 0) {
        meter->has_failed = true;
        return rc;
    }
    meter->n_records++;
    meter->used[release] += n;
    return 0;
}

int64_t meter_left(const struct meter *meter, int release)
{
    assert(release >= 0 && release < meter->n_releases);
    return meter->count[release] - meter->used[release];
}

/* What is charged for a meter that says so; a damaged one says nothing. */
static void tell(const struct tally *tally, const struct price *price,
                 int64_t ret_used[PRICE_MAX_RELEASES])
{
    for (int i = 0; i < PRICE_MAX_RELEASES; i++) {
        int64_t all = i < price->n_releases ? price->releases[i].count : 0;
        ret_used[i] = tally->is_damaged ? all : tally->used[i];
    }
}

static bool has_left(const struct tally *tally, const struct price *price)
{
    for (int i = 0; i < price->n_releases; i++)
        if (tally->used[i] < price->releases[i].count)
            return true;
    return false;
}

int meter_end(const char *path, const struct price *price,
              int64_t ret_used[PRICE_MAX_RELEASES], bool *ret_damaged,
              struct error *err)
{
    struct tally tally = {0};
    int fd = -1;
    int rc = open_locked(path, &fd, err);
    if (rc == -PPT_ENOTFOUND)
        tally.is_damaged = true;
    else if (rc == 0)
        rc = scan(fd, price, &tally, err);
    if (rc == 0 && !tally.is_damaged && !tally.is_ended && has_left(&tally, price)) {
        struct record record = {.sequence = tally.n_records,
                                .attempt = tally.last_attempt,
                                .release = RELEASE_END};
        rc = cut(fd, &tally, path, err);
        if (rc == 0)
            rc = append(fd, &record, err);
    }
    if (fd >= 0)
        close(fd);
    if (rc != 0 && rc != -PPT_ENOTFOUND)
        return rc;
    tell(&tally, price, ret_used);
    *ret_damaged = tally.is_damaged;
    return 0;
}

/* No file: nothing was ever charged. */
static int look(const char *path, const struct price *price, struct tally *ret_tally,
                bool *ret_is_there, struct error *err)
{
    struct tally tally = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno != ENOENT)
        return error_errno(err, PPT_EIO, "cannot open meter %s", path);
    int rc = fd < 0 ? 0 : scan(fd, price, &tally, err);
    if (fd >= 0)
        close(fd);
    *ret_is_there = fd >= 0;
    if (rc == 0)
        *ret_tally = tally;
    return rc;
}

int meter_last_attempt(const char *path, const struct price *price,
                       int64_t *ret_attempt, struct error *err)
{
    struct tally tally;
    bool is_there;
    int rc = look(path, price, &tally, &is_there, err);
    if (rc != 0)
        return rc;
    if (!is_there || tally.is_damaged)
        return error_set(err, PPT_ETRUST, "meter %s is damaged or gone", path);
    *ret_attempt = tally.last_attempt;
    return 0;
}

int meter_keep_beginning(const char *path, const struct price *price, int64_t attempt,
                         bool *ret_has_begun, struct error *err)
{
    int64_t last = 0;
    *ret_has_begun = false;
    int rc = meter_last_attempt(path, price, &last, err);
    if (rc != 0 || last < attempt)
        return rc;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return error_errno(err, PPT_EIO, "cannot open meter %s", path);
    rc = sync_to_disk(fd, err);
    close(fd);
    *ret_has_begun = rc == 0;
    return rc;
}

int meter_read(const char *path, const struct price *price,
               int64_t ret_used[PRICE_MAX_RELEASES], bool *ret_damaged,
               struct error *err)
{
    struct tally tally;
    bool is_there;
    int rc = look(path, price, &tally, &is_there, err);
    if (rc != 0)
        return rc;
    tell(&tally, price, ret_used);
    *ret_damaged = tally.is_damaged;
    return 0;
}
