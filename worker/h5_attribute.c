#include <stdlib.h>
#include <string.h>

#include "worker/h5.h"
#include "worker/h5_inside.h"

/* Creates attribute `name` of `type` at `where` and writes the one value. */
static int set_attribute(struct h5 *file, const char *where, const char *name,
                         hid_t file_type, hid_t memory_type, const void *value,
                         struct error *err)
{
    hid_t space = H5Screate(H5S_SCALAR);
    hid_t id = h5_keep(H5Acreate_by_name(file->id, where, name, file_type, space,
                                         H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    hid_t status = id < 0 ? -1 : h5_keep(H5Awrite(id, memory_type, value));
    int rc = 0;
    if (status < 0)
        rc = h5_fail(err, PPT_EIO, "%s: attribute %s of %s cannot be written",
                     file->path, name, where);
    if (id >= 0)
        H5Aclose(id);
    H5Sclose(space);
    return rc;
}

int h5_set_text(struct h5 *file, const char *where, const char *name, const char *value,
                struct error *err)
{
    H5_HOLD_LIBRARY;
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, strlen(value) + 1);
    H5Tset_cset(type, H5T_CSET_UTF8);
    int rc = set_attribute(file, where, name, type, type, value, err);
    H5Tclose(type);
    return rc;
}

int h5_set_integer(struct h5 *file, const char *where, const char *name, int64_t value,
                   struct error *err)
{
    H5_HOLD_LIBRARY;
    return set_attribute(file, where, name, H5T_STD_I64LE, H5T_NATIVE_INT64, &value,
                         err);
}

int h5_set_number(struct h5 *file, const char *where, const char *name, double value,
                  struct error *err)
{
    H5_HOLD_LIBRARY;
    return set_attribute(file, where, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, &value,
                         err);
}

/* Opens attribute `name`, which must be one value of class `class`. */
static int open_attribute(struct h5 *file, const char *where, const char *name,
                          H5T_class_t class, const char *class_name, hid_t *ret_id,
                          struct error *err)
{
    int rc = h5_check_links(file, where, err);
    if (rc != 0)
        return rc;
    hid_t id = -1;
    if (H5Aexists_by_name(file->id, where, name, H5P_DEFAULT) > 0)
        id = h5_keep(H5Aopen_by_name(file->id, where, name, H5P_DEFAULT, H5P_DEFAULT));
    if (id < 0)
        return h5_fail(err, PPT_EDATA, "%s: %s has no attribute %s", file->path, where,
                       name);
    hid_t type = H5Aget_type(id);
    hid_t space = H5Aget_space(id);
    bool fits = H5Tget_class(type) == class && H5Sget_simple_extent_npoints(space) == 1;
    if (class == H5T_STRING && H5Tis_variable_str(type) != 0)
        fits = false;
    H5Sclose(space);
    H5Tclose(type);
    if (!fits) {
        H5Aclose(id);
        return h5_fail(err, PPT_EDATA, "%s: attribute %s of %s is not one %s",
                       file->path, name, where, class_name);
    }
    *ret_id = id;
    return 0;
}

bool h5_has_attribute(struct h5 *file, const char *where, const char *name)
{
    H5_HOLD_LIBRARY;
    return h5_object_type(file, where) == H5O_TYPE_GROUP &&
           H5Aexists_by_name(file->id, where, name, H5P_DEFAULT) > 0;
}

int h5_get_text(struct h5 *file, const char *where, const char *name, char *ret_value,
                size_t size, struct error *err)
{
    H5_HOLD_LIBRARY;
    hid_t id;
    int rc = open_attribute(file, where, name, H5T_STRING, "string of fixed length",
                            &id, err);
    if (rc != 0)
        return rc;
    hid_t type = H5Aget_type(id);
    size_t len = H5Tget_size(type);
    char *text = calloc(1, len + 1);
    if (len > size)
        rc = error_set(err, PPT_EDATA,
                       "%s: attribute %s of %s has %zu bytes, expected at most %zu",
                       file->path, name, where, len, size);
    else if (text == NULL)
        rc = error_set(err, PPT_ENOMEM, "no memory for attribute %s", name);
    else if (h5_keep(H5Aread(id, type, text)) < 0)
        rc = h5_fail(err, PPT_EDATA, "%s: attribute %s of %s cannot be read",
                     file->path, name, where);
    else if (strlen(text) >= size)
        rc = error_set(err, PPT_EDATA, "%s: attribute %s of %s has no end", file->path,
                       name, where);
    if (rc == 0)
        memcpy(ret_value, text, strlen(text) + 1);
    free(text);
    H5Tclose(type);
    H5Aclose(id);
    return rc;
}

static int get_value(struct h5 *file, const char *where, const char *name,
                     H5T_class_t class, const char *class_name, hid_t memory_type,
                     void *ret_value, struct error *err)
{
    hid_t id;
    int rc = open_attribute(file, where, name, class, class_name, &id, err);
    if (rc != 0)
        return rc;
    if (h5_keep(H5Aread(id, memory_type, ret_value)) < 0)
        rc = h5_fail(err, PPT_EDATA, "%s: attribute %s of %s cannot be read",
                     file->path, name, where);
    H5Aclose(id);
    return rc;
}

int h5_get_integer(struct h5 *file, const char *where, const char *name,
                   int64_t *ret_value, struct error *err)
{
    H5_HOLD_LIBRARY;
    int64_t value;
    int rc = get_value(file, where, name, H5T_INTEGER, "integer", H5T_NATIVE_INT64,
                       &value, err);
    if (rc == 0)
        *ret_value = value;
    return rc;
}

int h5_get_number(struct h5 *file, const char *where, const char *name,
                  double *ret_value, struct error *err)
{
    H5_HOLD_LIBRARY;
    double value;
    int rc = get_value(file, where, name, H5T_FLOAT, "number", H5T_NATIVE_DOUBLE,
                       &value, err);
    if (rc == 0)
        *ret_value = value;
    return rc;
}
