#include <stdlib.h>
#include <string.h>

#include "worker/array_file.h"

#define MAX_HEADER_BYTES 65536u

/* Where the value of a key of the header's Python dictionary starts, or NULL. */
static const char *find_value(const char *header, const char *key)
{
    const char *at = strstr(header, key);
    if (at == NULL)
        return NULL;
    at += strlen(key);
    at += strspn(at, " ");
    if (*at != ':')
        return NULL;
    at++;
    return at + strspn(at, " ");
}

static int read_type(const char *path, const char *descr, struct array_head *head,
                     struct error *err)
{
    static const struct {
        const char *name;
        enum array_type type;
    } types[] = {{"'|u1'", ARRAY_UINT8},
                 {"'<u1'", ARRAY_UINT8},
                 {"'<i4'", ARRAY_INT32},
                 {"'<i8'", ARRAY_INT64},
                 {"'<f4'", ARRAY_FLOAT32}};
    for (size_t i = 0; descr != NULL && i < sizeof types / sizeof types[0]; i++)
        if (strncmp(descr, types[i].name, strlen(types[i].name)) == 0) {
            head->type = types[i].type;
            return 0;
        }
    int len = descr != NULL ? (int)strcspn(descr, ",}\n") : 0;
    error_set(err, PPT_EDATA,
              "%s: elements of type %.*s, expected '|u1', '<f4', '<i4' or '<i8'", path,
              len < 32 ? len : 32, len > 0 ? descr : "");
    return error_hint(err, "save it again after a.astype(\"float32\"), or \"uint8\" or "
                           "\"int64\"");
}

static int read_shape(const char *path, const char *shape, struct array_head *head,
                      struct error *err)
{
    const char *at = shape;
    if (at == NULL || *at++ != '(')
        return error_set(err, PPT_EDATA, "%s: no shape in its header", path);
    while (*(at += strspn(at, " ,")) != ')') {
        char *end;
        long long dim = strtoll(at, &end, 10);
        if (end == at || dim < 0 || head->n_dims == ARRAY_MAX_DIMS)
            return error_set(err, PPT_EDATA,
                             "%s: its shape is not 1 to %d whole numbers", path,
                             ARRAY_MAX_DIMS);
        head->dims[head->n_dims++] = dim;
        at = end;
    }
    if (head->n_dims == 0)
        return error_set(err, PPT_EDATA, "%s: a single number, expected an array",
                         path);
    return 0;
}

static int parse_header(const char *path, const char *header,
                        struct array_head *ret_head, struct error *err)
{
    struct array_head head = {0};
    const char *order = find_value(header, "'fortran_order'");
    int rc = read_type(path, find_value(header, "'descr'"), &head, err);
    if (rc != 0)
        return rc;
    if (order == NULL || strncmp(order, "False", 5) != 0) {
        error_set(err, PPT_EDATA, "%s: in Fortran order, expected C order", path);
        return error_hint(err, "save it again after numpy.ascontiguousarray(a)");
    }
    rc = read_shape(path, find_value(header, "'shape'"), &head, err);
    if (rc == 0)
        *ret_head = head;
    return rc;
}

/* Length of the header's text: 2 bytes in version 1, 4 in versions 2 and 3. */
static int read_length(struct gz *file, uint32_t *ret_len, struct error *err)
{
    unsigned char magic[8], len[4] = {0};
    int rc = gz_read_exactly(file, magic, sizeof magic, "its NPY header", err);
    if (rc != 0)
        return rc;
    if (memcmp(magic, "\x93NUMPY", 6) != 0)
        return error_set(err, PPT_EDATA, "%s: not an NPY file", gz_path(file));
    if (magic[6] < 1 || magic[6] > 3)
        return error_set(err, PPT_EDATA, "%s: NPY version %d, expected 1 to 3",
                         gz_path(file), magic[6]);
    rc = gz_read_exactly(file, len, magic[6] == 1 ? 2 : 4, "its NPY header", err);
    if (rc != 0)
        return rc;
    *ret_len = (uint32_t)len[3] << 24 | (uint32_t)len[2] << 16 | (uint32_t)len[1] << 8 |
               len[0];
    if (*ret_len > MAX_HEADER_BYTES)
        return error_set(err, PPT_EDATA,
                         "%s: a header of %u bytes, expected at most %u", gz_path(file),
                         *ret_len, MAX_HEADER_BYTES);
    return 0;
}

static int read_head(struct gz *file, struct array_head *ret_head, struct error *err)
{
    uint32_t len = 0;
    int rc = read_length(file, &len, err);
    if (rc != 0)
        return rc;
    char *header = calloc(1, len + 1);
    if (header == NULL)
        return error_set(err, PPT_ENOMEM, "no memory to read %s", gz_path(file));
    rc = gz_read_exactly(file, header, len, "its NPY header", err);
    if (rc == 0)
        rc = parse_header(gz_path(file), header, ret_head, err);
    free(header);
    return rc;
}

int source_open_npy(const char *x_path, const char *y_path, struct source *ret_source,
                    struct error *err)
{
    return array_file_open(x_path, y_path, read_head, ret_source, err);
}
