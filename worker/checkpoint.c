#include "worker/checkpoint.h"

#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "base/pathsafe.h"

#define MAGIC "PPTCKPT"
#define VERSION 1
#define MAX_BYTES ((size_t)64 << 30)

/* As on disk: little-endian, no holes. */
struct header {
    char magic[8];
    uint32_t version;
    uint32_t header_bytes;
    int64_t job_id;
    uint64_t payload_bytes;
    unsigned char spec_digest[CRYPTO_SHA256_SIZE]; /* of the spec's hexadecimal name */
    unsigned char payload_digest[CRYPTO_SHA256_SIZE];
};
_Static_assert(sizeof(struct header) == 96, "the file's format");

static void fill_header(int64_t job_id, const char *spec_sha256, const void *data,
                        size_t len, struct header *header)
{
    *header = (struct header){.magic = MAGIC,
                              .version = VERSION,
                              .header_bytes = sizeof *header,
                              .job_id = job_id,
                              .payload_bytes = len};
    crypto_sha256(spec_sha256, strlen(spec_sha256), header->spec_digest);
    crypto_sha256(data, len, header->payload_digest);
}

int checkpoint_save(const char *path, int64_t job_id, const char *spec_sha256,
                    const void *data, size_t len, struct error *err)
{
    struct header header;
    if (len > MAX_BYTES - sizeof header)
        return error_set(err, PPT_EIO, "a checkpoint of %zu bytes is too large", len);
    unsigned char *whole = malloc(sizeof header + len);
    if (whole == NULL)
        return error_set(err, PPT_ENOMEM, "no memory for a checkpoint");
    fill_header(job_id, spec_sha256, data, len, &header);
    memcpy(whole, &header, sizeof header);
    if (len > 0)
        memcpy(whole + sizeof header, data, len);
    int rc = pathsafe_replace(path, whole, sizeof header + len, 0600, err);
    free(whole);
    return rc;
}

/* A ladder: what it is, that it is whole, whose it is, that it is unchanged. */
static int check_header(const char *path, const char *text, size_t len, int64_t job_id,
                        const char *spec_sha256, struct error *err)
{
    struct header found, wanted;
    if (len < sizeof found)
        return error_set(err, PPT_ETRUST, "%s: cut short, not a checkpoint", path);
    memcpy(&found, text, sizeof found);
    fill_header(job_id, spec_sha256, text + sizeof found, len - sizeof found, &wanted);
    if (memcmp(found.magic, wanted.magic, sizeof found.magic) != 0)
        return error_set(err, PPT_ETRUST, "%s: not a checkpoint", path);
    if (found.version != VERSION || found.header_bytes != sizeof found)
        return error_set(err, PPT_ETRUST, "%s: checkpoint version %u, expected %d",
                         path, found.version, VERSION);
    if (found.job_id != job_id)
        return error_set(err, PPT_ETRUST, "%s: checkpoint of job %lld, expected %lld",
                         path, (long long)found.job_id, (long long)job_id);
    if (!crypto_equal(found.spec_digest, wanted.spec_digest, sizeof found.spec_digest))
        return error_set(err, PPT_ETRUST, "%s: checkpoint of another spec", path);
    if (found.payload_bytes != wanted.payload_bytes ||
        !crypto_equal(found.payload_digest, wanted.payload_digest,
                      sizeof found.payload_digest))
        return error_set(err, PPT_ETRUST, "%s: damaged checkpoint", path);
    return 0;
}

int checkpoint_load(const char *path, int64_t job_id, const char *spec_sha256,
                    void **ret_data, size_t *ret_len, struct error *err)
{
    char *text = NULL;
    size_t len = 0;
    struct error read_err = {0};
    int rc = pathsafe_read_file(path, MAX_BYTES, &text, &len, &read_err);
    if (rc == -PPT_ENOTFOUND) {
        *ret_data = NULL;
        *ret_len = 0;
        return 0;
    }
    if (rc != 0) {
        if (err != NULL)
            *err = read_err;
        return rc;
    }
    rc = check_header(path, text, len, job_id, spec_sha256, err);
    if (rc != 0) {
        error_hint(err, "remove the file to start from the first step; what was spent "
                        "stays spent");
        free(text);
        return rc;
    }
    len -= sizeof(struct header);
    memmove(text, text + sizeof(struct header), len);
    *ret_data = text;
    *ret_len = len;
    return 0;
}
