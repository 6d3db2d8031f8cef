#include "worker/trace_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "base/pathsafe.h"
#include "jobs/plan.h"

/* "dir/data.h5" and "phones.csv" -> "dir/phones.csv". */
static int beside(const char *data_file, const char *name,
                  char ret_path[PLAN_PATH_SIZE], struct error *err)
{
    const char *slash = strrchr(data_file, '/');
    int len = slash == NULL ? 0 : (int)(slash + 1 - data_file);
    int n = snprintf(ret_path, PLAN_PATH_SIZE, "%.*s%s", len, data_file, name);
    return n < PLAN_PATH_SIZE
               ? 0
               : error_set(err, PPT_EIO, "the path of %s is too long", name);
}

int trace_file_read(const char *data_file, const struct spec_base *spec,
                    char **ret_text, size_t *ret_len, struct error *err)
{
    char path[PLAN_PATH_SIZE], hex[CRYPTO_HEX_SIZE];
    char *text = NULL;
    size_t len = 0;
    int rc = beside(data_file, spec->file, path, err);
    if (rc == 0)
        rc = pathsafe_read_file(path, TRACE_FILE_MAX_BYTES, &text, &len, err);
    if (rc != 0)
        return rc;
    crypto_sha256_hex(text, len, hex);
    if (strcmp(hex, spec->sha256) != 0) {
        free(text);
        error_set(err, PPT_ETRUST,
                  "%s: not the federation.devices.trace that the spec names", path);
        return error_hint(err, "its SHA-256 is %s", hex);
    }
    *ret_text = text;
    *ret_len = len;
    return 0;
}
