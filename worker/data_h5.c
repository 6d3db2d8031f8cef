#include "worker/data_h5.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct data_splits {
    int n;
    char names[MANIFEST_MAX_SPLITS][MANIFEST_NAME_SIZE];
    struct data_split splits[MANIFEST_MAX_SPLITS];
};

int data_h5_create(const char *path, enum privacy_unit unit,
                   enum privacy_relation relation, struct data_h5 *ret_data,
                   struct error *err)
{
    struct h5 *file;
    int rc = h5_create(path, &file, err);
    if (rc != 0)
        return rc;
    rc = h5_set_integer(file, "/", "ppt_data_version", DATA_H5_VERSION, err);
    if (rc == 0)
        rc = h5_set_text(file, "/", "unit", unit_name(unit), err);
    if (rc == 0)
        rc = h5_set_text(file, "/", "relation", relation_name(relation), err);
    if (rc != 0) {
        h5_close(file, NULL);
        return rc;
    }
    *ret_data = (struct data_h5){.file = file, .unit = unit, .relation = relation};
    return 0;
}

static void member_path(const char *split, char member, char ret_path[2 * H5_MAX_NAME])
{
    snprintf(ret_path, 2 * H5_MAX_NAME, "%s/%c", split, member);
}

static void split_shapes(const struct data_split *split, struct h5_shape *ret_x,
                         struct h5_shape *ret_y)
{
    *ret_x = (struct h5_shape){.type = split->x_type, .n_dims = split->n_dims + 1};
    ret_x->dims[0] = split->n_rows;
    for (int d = 0; d < split->n_dims; d++)
        ret_x->dims[d + 1] = split->dims[d];
    *ret_y =
        (struct h5_shape){.type = split->y_type, .n_dims = 1, .dims = {split->n_rows}};
}

static int add_group(struct data_h5 *data, const char *name,
                     const struct data_split *split, struct error *err)
{
    int rc = h5_group(data->file, name, err);
    if (rc == 0)
        rc = h5_set_integer(data->file, name, "n_classes", split->n_classes, err);
    if (rc == 0 && split->n_tokens > 0)
        rc = h5_set_integer(data->file, name, "n_tokens", split->n_tokens, err);
    return rc;
}

int data_h5_add(struct data_h5 *data, const char *name, struct data_split *split,
                struct error *err)
{
    char x_path[2 * H5_MAX_NAME], y_path[2 * H5_MAX_NAME], u_path[2 * H5_MAX_NAME];
    struct h5_shape u = {.type = TYPE_INT64, .n_dims = 1, .dims = {split->n_rows}};
    struct h5_shape x, y;
    member_path(name, 'x', x_path);
    member_path(name, 'y', y_path);
    member_path(name, 'u', u_path);
    split_shapes(split, &x, &y);
    int rc = add_group(data, name, split, err);
    if (rc == 0)
        rc = h5_data_create(data->file, x_path, &x, 0, &split->x, err);
    if (rc != 0)
        return rc;
    rc = h5_data_create(data->file, y_path, &y, 0, &split->y, err);
    if (rc == 0 && split->has_users)
        rc = h5_data_create(data->file, u_path, &u, 0, &split->u, err);
    if (rc != 0)
        data_split_close(split);
    return rc;
}

int data_h5_join(struct data_h5 *data, const char *name, const struct data_split *split,
                 const struct h5_source *sources, const int64_t *n_rows, int n,
                 struct error *err)
{
    char x_path[2 * H5_MAX_NAME], y_path[2 * H5_MAX_NAME];
    struct h5_shape x, y;
    member_path(name, 'x', x_path);
    member_path(name, 'y', y_path);
    split_shapes(split, &x, &y);
    int rc = add_group(data, name, split, err);
    if (rc == 0)
        rc = h5_data_join(data->file, x_path, &x, sources, n_rows, n, err);
    if (rc == 0)
        rc = h5_data_join(data->file, y_path, &y, sources, n_rows, n, err);
    return rc;
}

static int read_name(struct h5 *file, const char *attribute,
                     int (*from_name)(const char *), int *ret_value, struct error *err)
{
    char name[64];
    int rc = h5_get_text(file, "/", attribute, name, sizeof name, err);
    if (rc != 0)
        return rc;
    int value = from_name(name);
    if (value < 0)
        return error_set(err, PPT_EDATA, "%s: unknown %s \"%s\"", h5_path(file),
                         attribute, name);
    *ret_value = value;
    return 0;
}

int data_h5_open(const char *path, struct data_h5 *ret_data, struct error *err)
{
    struct h5 *file;
    int64_t version;
    int unit, relation;
    int rc = h5_open(path, &file, err);
    if (rc != 0)
        return rc;
    rc = h5_get_integer(file, "/", "ppt_data_version", &version, err);
    if (rc != 0)
        error_hint(err, "make data set files with ppt-data import; their layout is in "
                        "ppt-data(5)");
    if (rc == 0 && version != DATA_H5_VERSION)
        rc = error_set(err, PPT_EDATA, "%s: layout version %lld, expected %d", path,
                       (long long)version, DATA_H5_VERSION);
    if (rc == 0)
        rc = read_name(file, "unit", unit_from_name, &unit, err);
    if (rc == 0)
        rc = read_name(file, "relation", relation_from_name, &relation, err);
    if (rc != 0) {
        h5_close(file, NULL);
        return rc;
    }
    *ret_data = (struct data_h5){.file = file,
                                 .unit = (enum privacy_unit)unit,
                                 .relation = (enum privacy_relation)relation};
    return 0;
}

static void close_arrays(struct data_split *split)
{
    h5_data_close(split->x);
    h5_data_close(split->y);
    h5_data_close(split->u);
}

int data_h5_close(struct data_h5 *data, struct error *err)
{
    struct h5 *file = data->file;
    struct data_splits *shared = data->shared;
    for (int i = 0; shared != NULL && i < shared->n; i++)
        close_arrays(&shared->splits[i]);
    free(shared);
    data->shared = NULL;
    data->file = NULL;
    return h5_close(file, err);
}

int data_h5_share(struct data_h5 *data, struct error *err)
{
    data->shared = calloc(1, sizeof *data->shared);
    return data->shared != NULL
               ? 0
               : error_set(err, PPT_ENOMEM, "no memory to keep %s open",
                           h5_path(data->file));
}

/* Ids of tokens are whole numbers, one after the other. */
static int check_tokens(const char *path, const char *name, const struct h5_shape *x,
                        int64_t n_tokens, struct error *err)
{
    bool is_whole =
        x->type == TYPE_UINT8 || x->type == TYPE_UINT16 || x->type == TYPE_INT32;
    if (!is_whole || x->n_dims != 2)
        return error_set(err, PPT_EDATA,
                         "%s: %s/x is %s of %d dimensions, expected uint8, uint16 or "
                         "int32 of 2 for tokens",
                         path, name, manifest_type_name(x->type), x->n_dims);
    if (n_tokens < 2 || n_tokens > MANIFEST_MAX_TOKENS)
        return error_set(err, PPT_EDATA, "%s: %s has n_tokens %lld, expected 2 to %lld",
                         path, name, (long long)n_tokens,
                         (long long)MANIFEST_MAX_TOKENS);
    return 0;
}

/* x is (count x 1..3 dims) of uint8 or float32, y is (count) of uint8 or int64. */
static int check_split(const char *path, const char *name, const struct h5_shape *x,
                       const struct h5_shape *y, int64_t n_classes, bool has_tokens,
                       struct error *err)
{
    if (!has_tokens && x->type != TYPE_UINT8 && x->type != TYPE_FLOAT32)
        return error_set(err, PPT_EDATA, "%s: %s/x is %s, expected uint8 or float32",
                         path, name, manifest_type_name(x->type));
    if (y->type != TYPE_UINT8 && y->type != TYPE_INT64)
        return error_set(err, PPT_EDATA, "%s: %s/y is %s, expected uint8 or int64",
                         path, name, manifest_type_name(y->type));
    if (x->n_dims < 2)
        return error_set(err, PPT_EDATA,
                         "%s: %s/x has 1 dimension, expected the count and 1 to 3 of a "
                         "record",
                         path, name);
    if (y->n_dims != 1)
        return error_set(err, PPT_EDATA, "%s: %s/y has %d dimensions, expected 1", path,
                         name, y->n_dims);
    if (x->dims[0] != y->dims[0])
        return error_set(err, PPT_EDATA,
                         "%s: %s/x and %s/y do not hold the same number of records",
                         path, name, name);
    if (n_classes < 2 || n_classes > INT32_MAX)
        return error_set(err, PPT_EDATA,
                         "%s: %s has n_classes %lld, expected 2 or more", path, name,
                         (long long)n_classes);
    return 0;
}

/* Opens u, where it is there. */
static int open_users(const struct data_h5 *data, const char *name,
                      struct data_split *split, struct error *err)
{
    char path[2 * H5_MAX_NAME];
    member_path(name, 'u', path);
    split->has_users = h5_has_data(data->file, path);
    if (!split->has_users)
        return 0;
    int rc = h5_data_open(data->file, path, &split->u, err);
    if (rc != 0)
        return rc;
    const struct h5_shape *u = h5_data_shape(split->u);
    if (u->type == TYPE_INT64 && u->n_dims == 1 &&
        u->dims[0] == h5_data_shape(split->x)->dims[0])
        return 0;
    return error_set(err, PPT_EDATA,
                     "%s: %s is not one int64 for each record, which says whose it is",
                     h5_path(data->file), path);
}

static int open_split(const struct data_h5 *data, const char *name,
                      struct data_split *ret_split, struct error *err)
{
    char x_path[2 * H5_MAX_NAME], y_path[2 * H5_MAX_NAME];
    struct data_split split = {0};
    member_path(name, 'x', x_path);
    member_path(name, 'y', y_path);
    int rc = h5_get_integer(data->file, name, "n_classes", &split.n_classes, err);
    bool has_tokens = rc == 0 && h5_has_attribute(data->file, name, "n_tokens");
    if (has_tokens)
        rc = h5_get_integer(data->file, name, "n_tokens", &split.n_tokens, err);
    if (rc == 0)
        rc = h5_data_open(data->file, x_path, &split.x, err);
    if (rc == 0)
        rc = h5_data_open(data->file, y_path, &split.y, err);
    if (rc != 0)
        goto out;
    const struct h5_shape *x = h5_data_shape(split.x), *y = h5_data_shape(split.y);
    rc = check_split(h5_path(data->file), name, x, y, split.n_classes, has_tokens, err);
    if (rc == 0 && has_tokens)
        rc = check_tokens(h5_path(data->file), name, x, split.n_tokens, err);
    if (rc == 0)
        rc = open_users(data, name, &split, err);
    if (rc != 0)
        goto out;
    split.n_rows = x->dims[0];
    split.x_type = x->type;
    split.y_type = y->type;
    split.n_dims = x->n_dims - 1;
    for (int d = 0; d < split.n_dims; d++)
        split.dims[d] = x->dims[d + 1];
    *ret_split = split;
    return 0;
out:
    close_arrays(&split);
    return rc;
}

static const struct data_split *find_shared(const struct data_splits *shared,
                                            const char *name)
{
    for (int i = 0; shared != NULL && i < shared->n; i++)
        if (strcmp(shared->names[i], name) == 0)
            return &shared->splits[i];
    return NULL;
}

static bool is_direct(const struct data_split *split)
{
    return h5_data_is_direct(split->x) && h5_data_is_direct(split->y) &&
           (split->u == NULL || h5_data_is_direct(split->u));
}

static void share(struct data_splits *shared, const char *name,
                  struct data_split *split)
{
    if (shared == NULL || shared->n == MANIFEST_MAX_SPLITS || !is_direct(split))
        return;
    split->is_shared = true;
    snprintf(shared->names[shared->n], sizeof shared->names[0], "%s", name);
    shared->splits[shared->n++] = *split;
}

int data_h5_split(const struct data_h5 *data, const char *name,
                  struct data_split *ret_split, struct error *err)
{
    const struct data_split *known = find_shared(data->shared, name);
    if (known != NULL) {
        *ret_split = *known;
        return 0;
    }
    int rc = open_split(data, name, ret_split, err);
    if (rc == 0)
        share(data->shared, name, ret_split);
    return rc;
}

void data_split_close(struct data_split *split)
{
    if (!split->is_shared)
        close_arrays(split);
    split->x = split->y = split->u = NULL;
}

int data_split_match(const struct data_split *split,
                     const struct manifest_split *stated, const char *path,
                     struct error *err)
{
    if (split->x_type != stated->x_type)
        return error_set(err, PPT_EDATA, "%s: %s/x is %s, the manifest says %s", path,
                         stated->name, manifest_type_name(split->x_type),
                         manifest_type_name(stated->x_type));
    if (split->n_dims != stated->n_dims)
        return error_set(err, PPT_EDATA,
                         "%s: a record of %s has %d dimensions, the manifest says %d",
                         path, stated->name, split->n_dims, stated->n_dims);
    for (int d = 0; d < split->n_dims; d++)
        if (split->dims[d] != stated->dims[d])
            return error_set(err, PPT_EDATA,
                             "%s: dimension %d of a record of %s is %lld, the manifest "
                             "says %lld",
                             path, d + 1, stated->name, (long long)split->dims[d],
                             (long long)stated->dims[d]);
    if (split->n_classes != stated->n_classes)
        return error_set(
            err, PPT_EDATA, "%s: %s has %lld classes, the manifest says %lld", path,
            stated->name, (long long)split->n_classes, (long long)stated->n_classes);
    if (split->n_tokens != stated->n_tokens)
        return error_set(
            err, PPT_EDATA, "%s: %s has %lld tokens, the manifest says %lld", path,
            stated->name, (long long)split->n_tokens, (long long)stated->n_tokens);
    if (split->has_users != (stated->nominal_users > 0))
        return error_set(
            err, PPT_EDATA,
            split->has_users
                ? "%s: %s/u says whose each record is, but the manifest has "
                  "no nominal_users"
                : "%s: no %s/u says whose each record is, but the manifest "
                  "has nominal_users",
            path, stated->name);
    return 0;
}
