#include "worker/gz.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define BUFFER_BYTES (256u << 10)
#define MAX_READ_BYTES (1u << 30)

struct gz {
    gzFile file;
    char *path;
};

int gz_open(const char *path, struct gz **ret_file, struct error *err)
{
    struct gz *gz = calloc(1, sizeof *gz);
    char *copy = strdup(path);
    if (gz == NULL || copy == NULL) {
        free(gz), free(copy);
        return error_set(err, PPT_ENOMEM, "no memory to open %s", path);
    }
    errno = 0;
    gz->path = copy;
    gz->file = gzopen(path, "rbe");
    if (gz->file == NULL) {
        int rc =
            error_errno(err, errno == ENOENT ? PPT_ENOTFOUND : PPT_EIO, "%s", path);
        gz_close(gz);
        return rc;
    }
    gzbuffer(gz->file, BUFFER_BYTES);
    *ret_file = gz;
    return 0;
}

void gz_close(struct gz *gz)
{
    if (gz == NULL)
        return;
    if (gz->file != NULL)
        gzclose_r(gz->file);
    free(gz->path);
    free(gz);
}

const char *gz_path(const struct gz *gz)
{
    return gz->path;
}

static int gz_fail(struct gz *gz, struct error *err)
{
    int code;
    const char *message = gzerror(gz->file, &code);
    if (code == Z_ERRNO)
        return error_errno(err, PPT_EIO, "%s: cannot be read", gz->path);
    return error_set(err, PPT_EDATA, "%s: damaged or truncated gzip file (%s)",
                     gz->path, message);
}

int gz_read(struct gz *gz, void *ret_data, size_t len, size_t *ret_n, struct error *err)
{
    unsigned char *at = ret_data;
    size_t left = len;
    while (left > 0) {
        unsigned ask = left < MAX_READ_BYTES ? (unsigned)left : MAX_READ_BYTES;
        int n = gzread(gz->file, at, ask);
        if (n < 0)
            return gz_fail(gz, err);
        if (n == 0) {
            int code;
            gzerror(gz->file, &code);
            if (code != Z_OK && code != Z_STREAM_END)
                return gz_fail(gz, err);
            break;
        }
        at += n;
        left -= (size_t)n;
    }
    *ret_n = len - left;
    return 0;
}

int gz_read_exactly(struct gz *gz, void *ret_data, size_t len, const char *what,
                    struct error *err)
{
    size_t n = 0;
    int rc = gz_read(gz, ret_data, len, &n, err);
    if (rc == 0 && n != len)
        rc = error_set(err, PPT_EDATA, "%s: ends within %s", gz->path, what);
    return rc;
}

int gz_rewind(struct gz *gz, struct error *err)
{
    if (gzrewind(gz->file) != 0)
        return error_set(err, PPT_EIO, "%s: cannot be read a second time", gz->path);
    return 0;
}

bool gz_inflate(const void *data, size_t len, void *ret_data, size_t want)
{
    uLongf n = want;
    return uncompress(ret_data, &n, data, len) == Z_OK && n == want;
}
