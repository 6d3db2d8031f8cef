#include "worker/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/pathsafe.h"

#define MAGIC "PPTCKPT"
#define VERSION 2
#define CHUNK_BYTES ((size_t)1 << 20)
#define SEALED_BYTES (CHUNK_BYTES + CRYPTO_TAG_SIZE)
#define MAX_BYTES (UINT64_C(1) << 50) /* chunks' numbers stay below 2^32 */

/* As on disk: little-endian, no holes. */
struct head {
    char magic[8];
    uint32_t version, head_bytes;
    int64_t job_id;
    uint64_t len; /* of the state */
    unsigned char plan_digest[CRYPTO_SHA256_SIZE];
    unsigned char salt[32];
    unsigned char key_name[32]; /* tells another key from damage */
};
_Static_assert(sizeof(struct head) == 128, "the file's format");

/* One chunk in memory, on its way in or out. */
struct chunk {
    struct crypto_aead *aead;
    struct head head;
    uint64_t number; /* of the next chunk in the file */
    uint64_t n_done; /* bytes of the state put or got */
    size_t at, n;    /* the plain bytes [at, n) wait in `bytes` */
    unsigned char bytes[SEALED_BYTES];
};

struct checkpoint_writer {
    int fd;
    int n_kept;
    char *path;
    struct chunk chunk;
};

struct checkpoint_reader {
    int fd;
    char *path;
    struct chunk chunk;
};

/* ---- keys ---- */

static int make_key(const char *path, unsigned char ret_key[CRYPTO_KEY_SIZE],
                    struct error *err)
{
    crypto_random(ret_key, CRYPTO_KEY_SIZE);
    return pathsafe_replace(path, ret_key, CRYPTO_KEY_SIZE, 0600, err);
}

static int read_key(const struct checkpoint_job *job,
                    unsigned char ret_key[CRYPTO_KEY_SIZE], struct error *err)
{
    if (job->key == NULL)
        return pathsafe_read_own(job->key_path, ret_key, CRYPTO_KEY_SIZE, err);
    memcpy(ret_key, job->key, CRYPTO_KEY_SIZE);
    return 0;
}

/* This file's key and the name of the job's key, both out of the job's key and the
 * head's salt. */
static void derive(const unsigned char key[CRYPTO_KEY_SIZE], const struct head *head,
                   unsigned char ret_key[CRYPTO_KEY_SIZE], unsigned char ret_name[32])
{
    static const char info[] = "ppt checkpoint 2";
    unsigned char both[CRYPTO_KEY_SIZE + 32];
    crypto_hkdf(head->salt, sizeof head->salt, key, CRYPTO_KEY_SIZE, info,
                sizeof info - 1, both, sizeof both);
    memcpy(ret_key, both, CRYPTO_KEY_SIZE);
    memcpy(ret_name, both + CRYPTO_KEY_SIZE, 32);
    crypto_wipe(both, sizeof both);
}

static void digest_plan(const struct checkpoint_job *job,
                        unsigned char ret_digest[CRYPTO_SHA256_SIZE])
{
    char both[2 * CRYPTO_HEX_SIZE] = "";
    strncat(both, job->spec_sha256, CRYPTO_HEX_SIZE - 1);
    strncat(both, job->manifest_sha256, CRYPTO_HEX_SIZE - 1);
    crypto_sha256(both, strlen(both), ret_digest);
}

static void nonce_of(uint64_t number, unsigned char ret_nonce[CRYPTO_NONCE_SIZE])
{
    memset(ret_nonce, 0, CRYPTO_NONCE_SIZE);
    for (int i = 0; i < 8; i++)
        ret_nonce[CRYPTO_NONCE_SIZE - 1 - i] = (unsigned char)(number >> (8 * i));
}

/* Even an empty state has a chunk, so that its head has a tag. */
static uint64_t n_chunks(uint64_t len)
{
    return len == 0 ? 1 : (len - 1) / CHUNK_BYTES + 1;
}

static uint64_t file_bytes(uint64_t len)
{
    return sizeof(struct head) + len + n_chunks(len) * CRYPTO_TAG_SIZE;
}

/* ---- files ---- */

/* The checkpoint that is `age` older than the newest: path, path.1, path.2 ... */
static int name_of(const char *path, int age, char ret_name[PATH_MAX],
                   struct error *err)
{
    int n = age == 0 ? snprintf(ret_name, PATH_MAX, "%s", path)
                     : snprintf(ret_name, PATH_MAX, "%s.%d", path, age);
    return n < PATH_MAX ? 0 : error_set(err, PPT_EIO, "the path %s is too long", path);
}

/* Each becomes one older, and the oldest goes; the newest keeps its own name as well,
 * so that there is one under it at any time. */
static int make_older(const char *path, int n_kept, struct error *err)
{
    char older[PATH_MAX], newer[PATH_MAX];
    for (int age = n_kept - 1; age >= 1; age--) {
        int rc = name_of(path, age, older, err);
        if (rc == 0)
            rc = name_of(path, age - 1, newer, err);
        if (rc != 0)
            return rc;
        if (age > 1 && rename(newer, older) != 0 && errno != ENOENT)
            return error_errno(err, PPT_EIO, "cannot keep %s", newer);
    }
    if (n_kept == 1)
        return 0;
    if (unlink(older) != 0 && errno != ENOENT)
        return error_errno(err, PPT_EIO, "cannot remove %s", older);
    if (link(path, older) == 0 || errno == ENOENT)
        return 0;
    /* A file system without links: for a moment path.1 is the newest. */
    return rename(path, older) == 0 ? 0
                                    : error_errno(err, PPT_EIO, "cannot keep %s", path);
}

/* ---- writing ---- */

static void free_chunk(struct chunk *chunk)
{
    crypto_aead_free(chunk->aead);
    crypto_wipe(chunk->bytes, sizeof chunk->bytes);
}

static void free_writer(struct checkpoint_writer *writer)
{
    free_chunk(&writer->chunk);
    free(writer->path);
    free(writer);
}

static int fill_head(struct checkpoint_writer *writer, const struct checkpoint_job *job,
                     uint64_t len, struct error *err)
{
    struct head *head = &writer->chunk.head;
    unsigned char key[CRYPTO_KEY_SIZE], file_key[CRYPTO_KEY_SIZE];
    *head = (struct head){.magic = MAGIC,
                          .version = VERSION,
                          .head_bytes = sizeof *head,
                          .job_id = job->id,
                          .len = len};
    digest_plan(job, head->plan_digest);
    crypto_random(head->salt, sizeof head->salt);
    struct error key_err = {0};
    int rc = read_key(job, key, &key_err);
    if (rc == -PPT_ENOTFOUND)
        rc = make_key(job->key_path, key, &key_err);
    if (rc == 0) {
        derive(key, head, file_key, head->key_name);
        writer->chunk.aead = crypto_aead_new(file_key);
    } else if (err != NULL) {
        *err = key_err;
    }
    crypto_wipe(key, sizeof key);
    crypto_wipe(file_key, sizeof file_key);
    return rc;
}

int checkpoint_create(const char *path, const struct checkpoint_job *job, uint64_t len,
                      struct checkpoint_writer **ret_writer, struct error *err)
{
    if (len > MAX_BYTES)
        return error_set(err, PPT_EIO, "a checkpoint of %llu bytes is too large",
                         (unsigned long long)len);
    struct checkpoint_writer *writer = calloc(1, sizeof *writer);
    char *name = strdup(path);
    if (writer == NULL || name == NULL) {
        free(writer);
        free(name);
        return error_set(err, PPT_ENOMEM, "no memory for a checkpoint");
    }
    writer->path = name;
    writer->n_kept = job->n_kept;
    int rc = fill_head(writer, job, len, err);
    if (rc == 0)
        rc = pathsafe_begin(path, 0600, &writer->fd, err);
    if (rc != 0) {
        free_writer(writer);
        return rc;
    }
    rc = pathsafe_put(path, writer->fd, &writer->chunk.head, sizeof(struct head), err);
    if (rc != 0)
        checkpoint_abandon(writer);
    else
        *ret_writer = writer;
    return rc;
}

/* Seals what waits. */
static int flush(struct checkpoint_writer *writer, struct error *err)
{
    struct chunk *chunk = &writer->chunk;
    unsigned char nonce[CRYPTO_NONCE_SIZE];
    nonce_of(chunk->number++, nonce);
    crypto_aead_seal(chunk->aead, nonce, &chunk->head, sizeof chunk->head, chunk->bytes,
                     chunk->n, chunk->bytes, chunk->bytes + chunk->n);
    size_t n = chunk->n + CRYPTO_TAG_SIZE;
    chunk->n = 0;
    return pathsafe_put(writer->path, writer->fd, chunk->bytes, n, err);
}

int checkpoint_put(struct checkpoint_writer *writer, const void *data, size_t len,
                   struct error *err)
{
    struct chunk *chunk = &writer->chunk;
    const unsigned char *from = data;
    if (len > chunk->head.len - chunk->n_done)
        return error_set(err, PPT_EINTERNAL, "more than the checkpoint's length");
    while (len > 0) {
        size_t n = CHUNK_BYTES - chunk->n < len ? CHUNK_BYTES - chunk->n : len;
        memcpy(chunk->bytes + chunk->n, from, n);
        chunk->n += n;
        chunk->n_done += n;
        from += n;
        len -= n;
        int rc = chunk->n == CHUNK_BYTES ? flush(writer, err) : 0;
        if (rc != 0)
            return rc;
    }
    return 0;
}

int checkpoint_commit(struct checkpoint_writer *writer, struct error *err)
{
    struct chunk *chunk = &writer->chunk;
    int rc = 0;
    if (chunk->n_done != chunk->head.len)
        rc = error_set(err, PPT_EINTERNAL, "less than the checkpoint's length");
    if (rc == 0 && (chunk->n > 0 || chunk->head.len == 0))
        rc = flush(writer, err);
    if (rc == 0 && fsync(writer->fd) != 0)
        rc = error_errno(err, PPT_EIO, "cannot write %s", writer->path);
    if (rc == 0)
        rc = make_older(writer->path, writer->n_kept, err);
    if (rc != 0) {
        checkpoint_abandon(writer);
        return rc;
    }
    rc = pathsafe_commit(writer->path, writer->fd, err);
    free_writer(writer);
    return rc;
}

void checkpoint_abandon(struct checkpoint_writer *writer)
{
    if (writer == NULL)
        return;
    pathsafe_abandon(writer->path, writer->fd);
    free_writer(writer);
}

/* ---- reading ---- */

static int refuse(struct error *err, const char *path, const char *why)
{
    error_set(err, PPT_ETRUST, "%s: %s", path, why);
    return error_hint(err, "remove the file to start from the first step; what was "
                           "spent stays spent");
}

/* All of `len`, or fewer at the file's end. */
static int read_some(struct checkpoint_reader *reader, void *ret, size_t len,
                     size_t *ret_n, struct error *err)
{
    size_t n = 0;
    while (n < len) {
        ssize_t got = read(reader->fd, (char *)ret + n, len - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_errno(err, PPT_EIO, "cannot read %s", reader->path);
        if (got == 0)
            break;
        n += (size_t)got;
    }
    *ret_n = n;
    return 0;
}

/* A ladder: what it is, whose it is, that it has the length it says. */
static int check_head(struct checkpoint_reader *reader,
                      const struct checkpoint_job *job, struct error *err)
{
    const struct head *head = &reader->chunk.head;
    const char *path = reader->path;
    unsigned char plan_digest[CRYPTO_SHA256_SIZE];
    size_t n = 0;
    struct stat st;
    int rc = read_some(reader, &reader->chunk.head, sizeof *head, &n, err);
    if (rc != 0)
        return rc;
    if (n < sizeof *head)
        return refuse(err, path, "cut short, not a checkpoint");
    if (memcmp(head->magic, MAGIC, sizeof head->magic) != 0)
        return refuse(err, path, "not a checkpoint");
    if (head->version != VERSION || head->head_bytes != sizeof *head)
        return refuse(err, path, "a checkpoint of another version");
    if (head->job_id != job->id) {
        error_set(err, PPT_ETRUST, "%s: checkpoint of job %lld, expected %lld", path,
                  (long long)head->job_id, (long long)job->id);
        return error_hint(err, "put this job's own back, or remove the file to start "
                               "from the first step");
    }
    digest_plan(job, plan_digest);
    if (!crypto_equal(head->plan_digest, plan_digest, sizeof plan_digest))
        return refuse(err, path, "checkpoint of another spec or data set");
    if (fstat(reader->fd, &st) != 0)
        return error_errno(err, PPT_EIO, "cannot look at %s", path);
    if (head->len > MAX_BYTES || (uint64_t)st.st_size != file_bytes(head->len))
        return refuse(err, path, "damaged checkpoint: not as long as it says");
    return 0;
}

static int unlock(struct checkpoint_reader *reader, const struct checkpoint_job *job,
                  struct error *err)
{
    unsigned char key[CRYPTO_KEY_SIZE], file_key[CRYPTO_KEY_SIZE], key_name[32];
    struct error key_err = {0};
    int rc = read_key(job, key, &key_err);
    if (rc == -PPT_ENOTFOUND) {
        error_set(err, PPT_ETRUST, "%s: its key %s is not there", reader->path,
                  job->key_path);
        return error_hint(err, "bring the key back, or remove the checkpoint to start "
                               "from the first step; what was spent stays spent");
    }
    if (rc != 0) {
        if (err != NULL)
            *err = key_err;
        return rc;
    }
    derive(key, &reader->chunk.head, file_key, key_name);
    if (crypto_equal(key_name, reader->chunk.head.key_name, sizeof key_name))
        reader->chunk.aead = crypto_aead_new(file_key);
    else
        rc = refuse(err, reader->path, "damaged checkpoint, or sealed by another key");
    crypto_wipe(key, sizeof key);
    crypto_wipe(file_key, sizeof file_key);
    return rc;
}

/* Opens the next chunk. */
static int fetch(struct checkpoint_reader *reader, struct error *err)
{
    struct chunk *chunk = &reader->chunk;
    unsigned char nonce[CRYPTO_NONCE_SIZE];
    uint64_t left = chunk->head.len - chunk->number * CHUNK_BYTES;
    size_t want = left < CHUNK_BYTES ? (size_t)left : CHUNK_BYTES, n = 0;
    int rc = read_some(reader, chunk->bytes, want + CRYPTO_TAG_SIZE, &n, err);
    if (rc != 0)
        return rc;
    nonce_of(chunk->number++, nonce);
    if (n != want + CRYPTO_TAG_SIZE ||
        !crypto_aead_open(chunk->aead, nonce, &chunk->head, sizeof chunk->head,
                          chunk->bytes, want, chunk->bytes + want, chunk->bytes))
        return refuse(err, reader->path, "damaged checkpoint");
    chunk->at = 0;
    chunk->n = want;
    return 0;
}

/* NULL if there is no such file. */
static int open_file(const char *path, struct checkpoint_reader **ret_reader,
                     struct error *err)
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    *ret_reader = NULL;
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0)
        return errno == ELOOP ? refuse(err, path, "a symbolic link, not a checkpoint")
                              : error_errno(err, PPT_EIO, "cannot open %s", path);
    struct checkpoint_reader *reader = calloc(1, sizeof *reader);
    char *name = strdup(path);
    if (reader == NULL || name == NULL) {
        free(reader);
        free(name);
        close(fd);
        return error_set(err, PPT_ENOMEM, "no memory for a checkpoint");
    }
    reader->fd = fd;
    reader->path = name;
    *ret_reader = reader;
    return 0;
}

/* Every tag, then back to the first chunk. */
static int check_whole(struct checkpoint_reader *reader, struct error *err)
{
    struct chunk *chunk = &reader->chunk;
    uint64_t n = n_chunks(chunk->head.len);
    int rc = 0;
    while (rc == 0 && chunk->number < n)
        rc = fetch(reader, err);
    if (rc == 0 && lseek(reader->fd, sizeof(struct head), SEEK_SET) < 0)
        rc = error_errno(err, PPT_EIO, "cannot read %s", reader->path);
    chunk->number = 0;
    return rc != 0 ? rc : fetch(reader, err);
}

/* One file, if it is this job's and whole. */
static int open_whole(const char *path, const struct checkpoint_job *job,
                      struct checkpoint_reader **ret_reader, struct error *err)
{
    struct checkpoint_reader *reader;
    int rc = open_file(path, &reader, err);
    if (rc != 0 || reader == NULL) {
        *ret_reader = NULL;
        return rc;
    }
    rc = check_head(reader, job, err);
    if (rc == 0)
        rc = unlock(reader, job, err);
    if (rc == 0)
        rc = check_whole(reader, err);
    if (rc != 0)
        checkpoint_close(reader);
    else
        *ret_reader = reader;
    return rc;
}

/* The newest takes the place of those that are damaged, or they would be kept as older
 * ones instead of it. */
static int take_place(const char *path, int age, struct error *err)
{
    char name[PATH_MAX], own[PATH_MAX];
    int rc = name_of(path, age, own, err);
    for (int younger = 1; rc == 0 && younger < age; younger++) {
        rc = name_of(path, younger, name, err);
        if (rc == 0 && unlink(name) != 0 && errno != ENOENT)
            rc = error_errno(err, PPT_EIO, "cannot remove %s", name);
    }
    if (rc == 0 && age > 0 && rename(own, path) != 0)
        rc = error_errno(err, PPT_EIO, "cannot put %s in place", own);
    return rc;
}

int checkpoint_open(const char *path, const struct checkpoint_job *job,
                    struct checkpoint_reader **ret_reader, uint64_t *ret_len,
                    int *ret_n_damaged, struct error *err)
{
    struct error first = {0};
    struct checkpoint_reader *reader = NULL;
    int n_damaged = 0, rc = 0, age = 0;
    for (; rc == 0 && reader == NULL && age < job->n_kept; age++) {
        char name[PATH_MAX];
        struct error own = {0};
        rc = name_of(path, age, name, err);
        int open_rc = rc == 0 ? open_whole(name, job, &reader, &own) : 0;
        if (open_rc == -PPT_ETRUST && n_damaged++ == 0)
            first = own;
        if (open_rc != 0 && open_rc != -PPT_ETRUST) {
            if (err != NULL)
                *err = own;
            rc = open_rc;
        }
    }
    if (rc == 0 && reader == NULL && n_damaged > 0) {
        if (err != NULL)
            *err = first;
        rc = -PPT_ETRUST;
    }
    if (rc == 0 && reader != NULL)
        rc = take_place(path, age - 1, err);
    if (rc != 0) {
        checkpoint_close(reader);
        return rc;
    }
    *ret_reader = reader;
    *ret_len = reader != NULL ? reader->chunk.head.len : 0;
    *ret_n_damaged = n_damaged;
    return 0;
}

int checkpoint_get(struct checkpoint_reader *reader, void *ret_data, size_t len,
                   struct error *err)
{
    struct chunk *chunk = &reader->chunk;
    unsigned char *to = ret_data;
    if (len > chunk->head.len - chunk->n_done)
        return refuse(err, reader->path, "damaged checkpoint: less than is needed");
    while (len > 0) {
        int rc = chunk->at == chunk->n ? fetch(reader, err) : 0;
        if (rc != 0)
            return rc;
        size_t n = chunk->n - chunk->at < len ? chunk->n - chunk->at : len;
        memcpy(to, chunk->bytes + chunk->at, n);
        chunk->at += n;
        chunk->n_done += n;
        to += n;
        len -= n;
    }
    return 0;
}

void checkpoint_close(struct checkpoint_reader *reader)
{
    if (reader == NULL)
        return;
    close(reader->fd);
    free_chunk(&reader->chunk);
    free(reader->path);
    free(reader);
}

int checkpoint_forget(const char *path, const char *key_path, struct error *err)
{
    char name[PATH_MAX];
    int rc = key_path == NULL ? 0 : pathsafe_wipe(key_path, CRYPTO_KEY_SIZE, err);
    for (int age = 0; rc == 0 && age < CHECKPOINT_MAX_KEPT; age++) {
        rc = name_of(path, age, name, err);
        if (rc == 0 && unlink(name) != 0 && errno != ENOENT)
            rc = error_errno(err, PPT_EIO, "cannot remove %s", name);
    }
    return rc;
}
