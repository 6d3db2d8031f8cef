#include "worker/safetensors.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/ydoc.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "numbers are read as they lie");

#define MAX_HEADER_BYTES (1u << 20)
#define MAX_NODES (1 << 16)
#define MAX_DIMS 8
#define MOST ((int64_t)1 << 48)

struct safetensors {
    const char *path;
    const unsigned char *data; /* behind the header */
    int64_t n_bytes;           /* of it */
    struct ydoc *doc;
};

/* Bytes of an element; 0: none of the format's types. */
static int64_t element_bytes(const char *dtype)
{
    static const struct {
        const char *name;
        int bytes;
    } types[] = {{"F32", 4}, {"F16", 2}, {"BF16", 2}, {"F64", 8},     {"I64", 8},
                 {"I32", 4}, {"I16", 2}, {"I8", 1},   {"U8", 1},      {"U16", 2},
                 {"U32", 4}, {"U64", 8}, {"BOOL", 1}, {"F8_E4M3", 1}, {"F8_E5M2", 1}};
    for (size_t t = 0; t < sizeof types / sizeof *types; t++)
        if (strcmp(types[t].name, dtype) == 0)
            return types[t].bytes;
    return 0;
}

/* The product of the shape; at most MOST. */
static int read_shape(struct ydoc_faults *faults, const struct ydoc_node *shape,
                      int64_t *ret_n)
{
    int64_t n = 1;
    if (shape == NULL)
        return -PPT_ESPEC; /* said already */
    if (shape->kind != YDOC_SEQUENCE || shape->n_children > MAX_DIMS) {
        ydoc_fault(faults, shape, "expected a list of at most %d sizes", MAX_DIMS);
        return -PPT_ESPEC;
    }
    for (const struct ydoc_node *size = shape->first; size != NULL; size = size->next) {
        int64_t dim = 0;
        if (ydoc_integer(faults, size, 0, MOST, &dim) != 0)
            return -PPT_ESPEC;
        if (dim > 0 && n > MOST / dim) {
            ydoc_fault(faults, shape, "expected at most 2^48 values");
            return -PPT_ESPEC;
        }
        n *= dim;
    }
    *ret_n = n;
    return 0;
}

/* Where its bytes lie, within `n_bytes` and as many as its type and shape make. */
static void check_tensor(struct ydoc_faults *faults, const struct ydoc_node *tensor,
                         int64_t n_bytes)
{
    static const char *const keys[] = {"dtype", "shape", "data_offsets"};
    char dtype[16] = "";
    int64_t n = 0, at[2] = {0, 0};
    if (ydoc_only_keys(faults, tensor, keys, 3) != 0)
        return;
    const struct ydoc_node *type = ydoc_need(faults, tensor, "dtype");
    if (ydoc_string(faults, type, sizeof dtype, dtype) != 0)
        return;
    if (element_bytes(dtype) == 0) {
        ydoc_fault(faults, type, "expected a type such as F32");
        return;
    }
    if (read_shape(faults, ydoc_need(faults, tensor, "shape"), &n) != 0)
        return;
    const struct ydoc_node *offsets = ydoc_need(faults, tensor, "data_offsets");
    if (offsets == NULL)
        return;
    if (offsets->kind != YDOC_SEQUENCE || offsets->n_children != 2) {
        ydoc_fault(faults, offsets, "expected where it begins and where it ends");
        return;
    }
    if (ydoc_integer(faults, offsets->first, 0, n_bytes, &at[0]) != 0 ||
        ydoc_integer(faults, offsets->first->next, 0, n_bytes, &at[1]) != 0)
        return;
    if (at[1] - at[0] != n * element_bytes(dtype))
        ydoc_fault(faults, offsets,
                   "expected as many bytes as its type and shape make");
}

static int check_header(struct safetensors *file, const char *header, size_t len,
                        struct error *err)
{
    struct ydoc_limits limits = {.max_bytes = MAX_HEADER_BYTES, .max_nodes = MAX_NODES};
    struct ydoc_faults *faults = calloc(1, sizeof *faults);
    if (faults == NULL)
        return error_set(err, PPT_ENOMEM, "no memory to read %s", file->path);
    faults->path = file->path;
    file->doc = ydoc_parse(header, len, &limits, faults);
    const struct ydoc_node *root = ydoc_root(file->doc);
    if (root != NULL && root->kind != YDOC_MAPPING)
        ydoc_fault(faults, root, "expected tensors by name");
    if (root != NULL && root->kind == YDOC_MAPPING)
        for (const struct ydoc_node *n = root->first; n != NULL; n = n->next)
            if (strcmp(n->key, "__metadata__") != 0)
                check_tensor(faults, n, file->n_bytes);
    int rc = ydoc_faults_end(faults, "safetensors header", err);
    free(faults);
    if (rc == -PPT_ESPEC && err != NULL) /* it is data that is at fault, no spec */
        err->code = PPT_EDATA;
    return rc == -PPT_ESPEC ? -PPT_EDATA : rc;
}

int safetensors_parse(const void *bytes, size_t len, const char *path,
                      struct safetensors **ret_file, struct error *err)
{
    uint64_t n_header = 0;
    const unsigned char *at = bytes;
    if (len < sizeof n_header)
        return error_set(err, PPT_EDATA, "%s: too short for a safetensors file", path);
    memcpy(&n_header, at, sizeof n_header);
    if (n_header > MAX_HEADER_BYTES || n_header > len - sizeof n_header)
        return error_set(err, PPT_EDATA,
                         "%s: not a safetensors file, or its header is longer than 1 "
                         "MiB or than the file",
                         path);
    struct safetensors *file = calloc(1, sizeof *file);
    if (file == NULL)
        return error_set(err, PPT_ENOMEM, "no memory to read %s", path);
    file->path = path;
    file->data = at + sizeof n_header + n_header;
    file->n_bytes = (int64_t)(len - sizeof n_header - n_header);
    int rc = check_header(file, (const char *)at + sizeof n_header, n_header, err);
    if (rc != 0) {
        safetensors_free(file);
        return rc;
    }
    *ret_file = file;
    return 0;
}

void safetensors_free(struct safetensors *file)
{
    if (file != NULL)
        ydoc_free(file->doc);
    free(file);
}

static bool has_dims(const struct ydoc_node *shape, const struct tensor_view *wanted)
{
    bool is_same = shape->n_children == wanted->n_dims;
    int d = 0;
    for (const struct ydoc_node *n = shape->first; is_same && n != NULL; n = n->next)
        is_same = strtoll(n->text, NULL, 10) == wanted->dims[d++];
    return is_same;
}

int safetensors_read(const struct safetensors *file, const struct tensor_view *wanted,
                     float *ret_values, struct error *err)
{
    const struct ydoc_node *tensor = ydoc_get(ydoc_root(file->doc), wanted->name);
    if (tensor == NULL || strcmp(wanted->name, "__metadata__") == 0)
        return error_set(err, PPT_EDATA, "%s: has no tensor %s", file->path,
                         wanted->name);
    if (strcmp(ydoc_get(tensor, "dtype")->text, "F32") != 0)
        return error_set(err, PPT_EDATA, "%s: %s is %s, expected F32", file->path,
                         wanted->name, ydoc_get(tensor, "dtype")->text);
    if (!has_dims(ydoc_get(tensor, "shape"), wanted))
        return error_set(err, PPT_EDATA, "%s: %s has another shape than the layer",
                         file->path, wanted->name);
    /* both were checked to lie within the data */
    const struct ydoc_node *offsets = ydoc_get(tensor, "data_offsets");
    long long begin = strtoll(offsets->first->text, NULL, 10);
    long long end = strtoll(offsets->first->next->text, NULL, 10);
    memcpy(ret_values, file->data + begin, (size_t)(end - begin));
    return 0;
}
