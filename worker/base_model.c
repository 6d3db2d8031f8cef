#include "worker/base_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "base/pathsafe.h"
#include "jobs/spec/name.h"
#include "worker/h5.h"
#include "worker/safetensors.h"

#define MAX_FILE_BYTES ((size_t)64 << 30)

struct base_model {
    char path[MANIFEST_PATH_SIZE + SPEC_NAME_SIZE];
    char *bytes; /* safetensors */
    struct safetensors *file;
    struct h5 *h5;
};

/* "dir/data.h5" and "base.h5" -> "dir/base.h5". */
static int beside(const char *data_file, const char *name, struct base_model *base,
                  struct error *err)
{
    const char *slash = strrchr(data_file, '/');
    int len = slash == NULL ? 0 : (int)(slash + 1 - data_file);
    int n = snprintf(base->path, sizeof base->path, "%.*s%s", len, data_file, name);
    return n < (int)sizeof base->path
               ? 0
               : error_set(err, PPT_EIO, "the path of %s is too long", name);
}

static int check_digest(const struct base_model *base, size_t len, const char *expected,
                        struct error *err)
{
    char hex[CRYPTO_HEX_SIZE];
    crypto_sha256_hex(base->bytes, len, hex);
    if (strcmp(hex, expected) == 0)
        return 0;
    error_set(err, PPT_ETRUST, "%s: not the model.base that the spec names",
              base->path);
    return error_hint(err, "its SHA-256 is %s", hex);
}

int base_model_open(const char *data_file, const struct spec_base *spec,
                    struct base_model **ret_base, struct error *err)
{
    size_t len = 0;
    struct base_model *base = calloc(1, sizeof *base);
    if (base == NULL)
        return error_set(err, PPT_ENOMEM, "no memory for model.base");
    int rc = beside(data_file, spec->file, base, err);
    if (rc == 0)
        rc = pathsafe_read_file(base->path, MAX_FILE_BYTES, &base->bytes, &len, err);
    if (rc == 0)
        rc = check_digest(base, len, spec->sha256, err);
    if (rc == 0 && name_has_suffix(base->path, NAME_SAFETENSORS)) {
        rc = safetensors_parse(base->bytes, len, base->path, &base->file, err);
    } else if (rc == 0) {
        free(base->bytes);
        base->bytes = NULL;
        rc = h5_open(base->path, &base->h5, err);
    }
    if (rc != 0) {
        base_model_close(base);
        return rc;
    }
    *ret_base = base;
    return 0;
}

void base_model_close(struct base_model *base)
{
    if (base == NULL)
        return;
    safetensors_free(base->file);
    h5_close(base->h5, NULL);
    free(base->bytes);
    free(base);
}

static int read_h5(struct base_model *base, const struct tensor_view *wanted,
                   float *ret_values, struct error *err)
{
    char name[2 * H5_MAX_NAME];
    struct h5_data *data;
    snprintf(name, sizeof name, "tensors/%s", wanted->name);
    int rc = h5_data_open(base->h5, name, &data, err);
    if (rc != 0)
        return rc;
    const struct h5_shape *shape = h5_data_shape(data);
    bool is_same = shape->type == TYPE_FLOAT32 && shape->n_dims == wanted->n_dims;
    for (int d = 0; is_same && d < wanted->n_dims; d++)
        is_same = shape->dims[d] == wanted->dims[d];
    rc = is_same
             ? h5_data_read(data, 0, (size_t)wanted->dims[0], ret_values, err)
             : error_set(err, PPT_EDATA,
                         "%s: %s has another shape than the layer, or is not float32",
                         base->path, wanted->name);
    h5_data_close(data);
    return rc;
}

int base_model_read(struct base_model *base, const struct tensor_view *wanted,
                    float *ret_values, struct error *err)
{
    int64_t n = 1;
    int rc = base->h5 != NULL ? read_h5(base, wanted, ret_values, err)
                              : safetensors_read(base->file, wanted, ret_values, err);
    for (int d = 0; d < wanted->n_dims; d++)
        n *= wanted->dims[d];
    for (int64_t i = 0; rc == 0 && i < n; i++)
        if (!isfinite(ret_values[i]))
            rc = error_set(err, PPT_EDATA, "%s: %s holds a NaN or an infinity",
                           base->path, wanted->name);
    return rc;
}
