#include "worker/array_file.h"

/* Type bytes of the format; the rest (int8, int16, float64) is refused. */
#define IDX_UINT8 0x08
#define IDX_INT32 0x0c
#define IDX_FLOAT32 0x0d

static int read_type(const char *path, unsigned char byte, struct array_head *head,
                     struct error *err)
{
    switch (byte) {
    case IDX_UINT8:
        head->type = ARRAY_UINT8;
        return 0;
    case IDX_INT32:
        head->type = ARRAY_INT32;
        return 0;
    case IDX_FLOAT32:
        head->type = ARRAY_FLOAT32;
        return 0;
    default:
        return error_set(err, PPT_EDATA,
                         "%s: IDX elements of type 0x%02x, expected 0x08 (uint8), 0x0c "
                         "(int32) or 0x0d (float32)",
                         path, byte);
    }
}

static int read_head(struct gz *file, struct array_head *ret_head, struct error *err)
{
    struct array_head head = {.is_big_endian = true};
    unsigned char magic[4], dim[4];
    int rc = gz_read_exactly(file, magic, sizeof magic, "its IDX header", err);
    if (rc != 0)
        return rc;
    if (magic[0] != 0 || magic[1] != 0)
        return error_set(err, PPT_EDATA, "%s: not an IDX file", gz_path(file));
    rc = read_type(gz_path(file), magic[2], &head, err);
    if (rc != 0)
        return rc;
    head.n_dims = magic[3];
    if (head.n_dims < 1 || head.n_dims > ARRAY_MAX_DIMS)
        return error_set(err, PPT_EDATA, "%s: %d dimensions, expected 1 to %d",
                         gz_path(file), head.n_dims, ARRAY_MAX_DIMS);
    for (int d = 0; d < head.n_dims; d++) {
        rc = gz_read_exactly(file, dim, sizeof dim, "its IDX header", err);
        if (rc != 0)
            return rc;
        head.dims[d] = (int64_t)dim[0] << 24 | dim[1] << 16 | dim[2] << 8 | dim[3];
    }
    *ret_head = head;
    return 0;
}

int source_open_idx(const char *x_path, const char *y_path, struct source *ret_source,
                    struct error *err)
{
    return array_file_open(x_path, y_path, read_head, ret_source, err);
}
