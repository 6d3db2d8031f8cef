#include "worker/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/agree.h"
#include "worker/files.h"
#include "worker/page_cache.h"
#include "worker/shard.h"

/* SHA-256 of blocks [first, first + n) of a file of size_bytes. */
static int hash_blocks(int fd, const char *path, int64_t size_bytes, int64_t first,
                       int64_t n, int n_beside, unsigned char *ret_hashes,
                       struct error *err)
{
    if (n == 0)
        return 0;
    unsigned char *block = malloc(
        size_bytes < MANIFEST_BLOCK_BYTES ? (size_t)size_bytes : MANIFEST_BLOCK_BYTES);
    if (block == NULL)
        return error_set(err, PPT_ENOMEM, "no memory to check %s", path);
    const bool drops_behind =
        !page_cache_may_hold(n * MANIFEST_BLOCK_BYTES, n_beside, size_bytes);
    int rc = 0;
    for (int64_t b = first; rc == 0 && b < first + n; b++) {
        int64_t offset = b * MANIFEST_BLOCK_BYTES;
        int64_t left = size_bytes - offset;
        size_t len = left < MANIFEST_BLOCK_BYTES ? (size_t)left : MANIFEST_BLOCK_BYTES;
        rc = files_read_at(fd, path, offset, len, block, err);
        if (rc == 0)
            crypto_sha256(block, len, ret_hashes + (b - first) * CRYPTO_SHA256_SIZE);
        if (drops_behind)
            page_cache_drop_behind(fd, offset, len);
    }
    free(block);
    return rc;
}

/* This rank's blocks into their place in hashes[n_blocks * 32]. */
static int hash_own(const char *path, int64_t *ret_n_blocks, unsigned char **ret_hashes,
                    struct comm *comm, struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, errno == ENOENT ? PPT_ENOTFOUND : PPT_EIO, "%s", path);
    struct stat st;
    unsigned char *hashes = NULL;
    int rc = 0;
    if (fstat(fd, &st) != 0)
        rc = error_errno(err, PPT_EIO, "%s", path);
    int64_t n_blocks =
        rc == 0 ? (st.st_size + MANIFEST_BLOCK_BYTES - 1) / MANIFEST_BLOCK_BYTES : 0;
    int64_t first, n;
    shard_bounds(n_blocks, comm->rank, comm->size, &first, &n);
    hashes = calloc((size_t)n_blocks + 1, CRYPTO_SHA256_SIZE);
    if (rc == 0 && hashes == NULL)
        rc = error_set(err, PPT_ENOMEM, "no memory to check %s", path);
    if (rc == 0)
        rc = hash_blocks(fd, path, st.st_size, first, n, comm->n_beside,
                         hashes + first * CRYPTO_SHA256_SIZE, err);
    close(fd);
    if (rc != 0) {
        free(hashes);
        return rc;
    }
    *ret_n_blocks = n_blocks;
    *ret_hashes = hashes;
    return 0;
}

/* Every rank sees the same number of blocks, or the ranks read different files. */
static int check_same_size(const char *path, int64_t n_blocks, struct comm *comm,
                           struct error *err)
{
    int64_t extremes[2] = {n_blocks, -n_blocks};
    int rc = comm->ops->max_i64(comm, extremes, 2, err);
    if (rc == 0 && extremes[0] != -extremes[1])
        rc = error_set(err, PPT_EDATA, "%s: the ranks see files of different size",
                       path);
    return rc;
}

int digest_file(const char *path, struct comm *comm, char ret_hex[MANIFEST_HEX_SIZE],
                struct error *err)
{
    int64_t n_blocks = 0, first, n;
    unsigned char *hashes = NULL;
    int rc = hash_own(path, &n_blocks, &hashes, comm, err);
    rc = agree(comm, rc, err);
    if (rc == 0)
        rc = check_same_size(path, n_blocks, comm, err);
    for (int r = 0; rc == 0 && r < comm->size; r++) {
        shard_bounds(n_blocks, r, comm->size, &first, &n);
        rc = comm->ops->broadcast(comm, hashes + first * CRYPTO_SHA256_SIZE,
                                  (size_t)n * CRYPTO_SHA256_SIZE, r, err);
    }
    if (rc == 0)
        crypto_sha256_hex(hashes, (size_t)n_blocks * CRYPTO_SHA256_SIZE, ret_hex);
    free(hashes);
    return rc;
}

/* ---- what was found before ---- */

#define MAX_FOUND 64

/* A file as it was when it had this digest. */
struct found {
    char hex[MANIFEST_HEX_SIZE]; /* "": none */
    struct file_state state;
};

/* In a pool, one job after the other reads the same few files. */
static struct found found[MAX_FOUND];
static int n_found; /* ever */

static bool was_found(const char *hex, const struct file_state *now)
{
    for (int i = 0; i < MAX_FOUND; i++)
        if (strcmp(found[i].hex, hex) == 0 && files_are_same(&found[i].state, now))
            return true;
    return false;
}

static void remember(const char *hex, const struct file_state *state)
{
    struct found *next = &found[n_found++ % MAX_FOUND];
    next->state = *state;
    snprintf(next->hex, sizeof next->hex, "%s", hex);
}

int digest_check(const char *path, const char *expected, struct comm *comm,
                 struct error *err)
{
    char hex[MANIFEST_HEX_SIZE];
    struct file_state before, after;
    bool is_at_rest = files_at_rest(path, &before);
    int64_t is_new = !is_at_rest || !was_found(expected, &before);
    int rc = comm->ops->max_i64(comm, &is_new, 1, err);
    if (rc != 0 || !is_new)
        return rc;
    rc = digest_file(path, comm, hex, err);
    if (rc == 0 && strcmp(hex, expected) == 0) {
        if (is_at_rest && files_at_rest(path, &after) &&
            files_are_same(&before, &after))
            remember(expected, &after);
        return 0;
    }
    if (rc != 0)
        return rc;
    error_set(err, PPT_EDATA,
              "%s: its contents are not those the manifest was made for", path);
    error_detail(err, "digest of the file %s\ndigest in the manifest %s", hex,
                 expected);
    return error_hint(err, "restore the file, or import it again and register the new "
                           "manifest with ppt-budget dataset add");
}

int digest_check_sources(const struct h5 *file, struct comm *comm, struct error *err)
{
    char source[MANIFEST_PATH_SIZE];
    int rc = 0;
    for (int i = 0; rc == 0 && i < h5_n_sources(file); i++) {
        rc = agree(comm, h5_source_path(file, i, source, err), err);
        if (rc == 0)
            rc = digest_check(source, h5_source(file, i)->digest, comm, err);
    }
    return rc;
}
