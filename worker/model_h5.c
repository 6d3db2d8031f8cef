#include "worker/model_h5.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/pathsafe.h"
#include "worker/files.h"
#include "worker/h5.h"
#include "worker/mould.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "values are cast as is");

/* A larger one is written by HDF5 always: there its structure costs little. */
#define MAX_CAST_BYTES ((size_t)256 << 10)
#define MAX_IMAGE_BYTES ((size_t)1 << 20)

static int write_facts(struct h5 *file, const struct model_facts *facts,
                       struct error *err)
{
    int rc = 0;
    for (int i = 0; rc == 0 && i < facts->n; i++) {
        const struct model_fact *fact = &facts->facts[i];
        if (fact->type == FACT_TEXT)
            rc = h5_set_text(file, "/", fact->name, fact->text, err);
        else if (fact->type == FACT_INTEGER)
            rc = h5_set_integer(file, "/", fact->name, fact->integer, err);
        else
            rc = h5_set_number(file, "/", fact->name, fact->number, err);
    }
    return rc;
}

static int write_tensor(struct h5 *file, const struct tensor_view *tensor,
                        struct error *err)
{
    char name[2 * H5_MAX_NAME];
    struct h5_shape shape = {.type = TYPE_FLOAT32, .n_dims = tensor->n_dims};
    struct h5_data *data;
    for (int d = 0; d < tensor->n_dims; d++)
        shape.dims[d] = tensor->dims[d];
    snprintf(name, sizeof name, "tensors/%s", tensor->name);
    int rc = h5_data_create(file, name, &shape, 0, &data, err);
    if (rc != 0)
        return rc;
    rc = h5_data_write(data, 0, (size_t)shape.dims[0], tensor->data, err);
    h5_data_close(data);
    return rc;
}

static int write_file(const char *path, bool is_bare, const struct model_facts *facts,
                      const struct tensor_view *tensors, int n_tensors,
                      struct error *err)
{
    struct h5 *file;
    int rc = (is_bare ? h5_create_bare : h5_create)(path, &file, err);
    if (rc != 0)
        return rc;
    rc = write_facts(file, facts, err);
    if (rc == 0)
        rc = h5_group(file, "tensors", err);
    for (int t = 0; rc == 0 && t < n_tensors; t++)
        rc = write_tensor(file, &tensors[t], err);
    if (rc != 0) {
        h5_close(file, NULL);
        return rc;
    }
    return h5_close(file, err);
}

/* ---- models like the last one, of which a world of a pool has many ---- */

/* The last small model's; never freed. */
static struct {
    char *shape; /* all that is not a value, NULL: there was none */
    size_t shape_len;
    struct mould mould; /* empty: this shape has none */
} last;

static struct mould_value value_of(const struct model_fact *fact)
{
    if (fact->type == FACT_TEXT)
        return (struct mould_value){fact->text, strlen(fact->text)};
    if (fact->type == FACT_INTEGER)
        return (struct mould_value){&fact->integer, sizeof fact->integer};
    return (struct mould_value){&fact->number, sizeof fact->number};
}

static size_t tensor_bytes(const struct tensor_view *tensor)
{
    size_t n = sizeof *tensor->data;
    for (int d = 0; d < tensor->n_dims; d++)
        n *= (size_t)tensor->dims[d];
    return n;
}

/* values[facts->n + n_tensors]. */
static void list_values(const struct model_facts *facts,
                        const struct tensor_view *tensors, int n_tensors,
                        struct mould_value *values)
{
    for (int i = 0; i < facts->n; i++)
        values[i] = value_of(&facts->facts[i]);
    for (int t = 0; t < n_tensors; t++)
        values[facts->n + t] =
            (struct mould_value){tensors[t].data, tensor_bytes(&tensors[t])};
}

/* Caller frees; NULL: no memory. */
static char *describe_shape(const struct model_facts *facts,
                            const struct tensor_view *tensors, int n_tensors,
                            size_t *ret_len)
{
    char *shape = NULL;
    FILE *file = open_memstream(&shape, ret_len);
    if (file == NULL)
        return NULL;
    fwrite(&facts->n, sizeof facts->n, 1, file);
    for (int i = 0; i < facts->n; i++) {
        const struct model_fact *fact = &facts->facts[i];
        size_t len = value_of(fact).len;
        fwrite(&fact->type, sizeof fact->type, 1, file);
        fwrite(fact->name, strlen(fact->name) + 1, 1, file);
        fwrite(&len, sizeof len, 1, file);
    }
    for (int t = 0; t < n_tensors; t++) {
        size_t n_dims = (size_t)tensors[t].n_dims;
        fwrite(tensors[t].name, strlen(tensors[t].name) + 1, 1, file);
        fwrite(&n_dims, sizeof n_dims, 1, file);
        fwrite(tensors[t].dims, sizeof tensors[t].dims[0], n_dims, file);
    }
    if (fclose(file) == 0)
        return shape;
    free(shape);
    return NULL;
}

/* A mark's room: its zero behind it, and the next one aligned. */
static size_t room(size_t len)
{
    return (len / sizeof(double) + 1) * sizeof(double);
}

/* The facts and tensors get random marks for values, which lie in `marks` one behind
 * the other. */
static void put_marks(unsigned char *marks, const struct mould_value *values,
                      struct model_facts *facts, struct tensor_view *tensors,
                      int n_tensors)
{
    for (int i = 0; i < facts->n + n_tensors; i++) {
        const size_t len = values[i].len;
        struct model_fact *fact = i < facts->n ? &facts->facts[i] : NULL;
        crypto_random(marks, len);
        marks[len] = '\0';
        if (fact == NULL) {
            tensors[i - facts->n].data = (const float *)(const void *)marks;
        } else if (fact->type == FACT_TEXT) {
            for (size_t c = 0; c < len; c++)
                marks[c] |= 0x80; /* a text has no zeros */
            fact->text = (const char *)marks;
        } else {
            memcpy(&fact->integer, marks, sizeof fact->integer);
            memcpy(&fact->number, marks, sizeof fact->number);
        }
        marks += room(len);
    }
}

/* HDF5 writes a file with marks for values once. */
static bool make_mould(const char *temporary, const struct model_facts *facts,
                       const struct tensor_view *tensors, int n_tensors,
                       struct mould_value *values)
{
    const int n_values = facts->n + n_tensors;
    struct model_facts marked = *facts;
    struct tensor_view *copies = calloc((size_t)n_tensors + 1, sizeof *copies);
    unsigned char *marks = NULL;
    char *image = NULL;
    size_t n_bytes = 0, len = 0;
    for (int i = 0; i < n_values; i++)
        n_bytes += room(values[i].len);
    marks = malloc(n_bytes);
    bool is_made = copies != NULL && marks != NULL;
    if (is_made) {
        memcpy(copies, tensors, (size_t)n_tensors * sizeof *copies);
        put_marks(marks, values, &marked, copies, n_tensors);
        list_values(&marked, copies, n_tensors, values);
        is_made =
            write_file(temporary, true, &marked, copies, n_tensors, NULL) == 0 &&
            pathsafe_read_file(temporary, MAX_IMAGE_BYTES, &image, &len, NULL) == 0 &&
            mould_make(image, len, values, n_values, &last.mould);
        unlink(temporary);
    }
    free(copies);
    free(marks);
    list_values(facts, tensors, n_tensors, values);
    return is_made;
}

/* The mould of this shape is the last one, or becomes it; false: it has none. */
static bool find_mould(const char *temporary, const struct model_facts *facts,
                       const struct tensor_view *tensors, int n_tensors,
                       struct mould_value *values)
{
    size_t len = 0;
    char *shape = describe_shape(facts, tensors, n_tensors, &len);
    if (shape == NULL)
        return false;
    if (last.shape != NULL && last.shape_len == len &&
        memcmp(last.shape, shape, len) == 0) {
        free(shape);
        return last.mould.image != NULL;
    }
    free(last.shape);
    mould_free(&last.mould);
    last.shape = shape;
    last.shape_len = len;
    return make_mould(temporary, facts, tensors, n_tensors, values);
}

/* Writes the file without HDF5, and does not sync it, if there is a mould for it;
 * *ret_is_cast says whether. */
static int cast_file(const char *temporary, const struct model_facts *facts,
                     const struct tensor_view *tensors, int n_tensors,
                     bool *ret_is_cast, struct error *err)
{
    struct mould_value *values =
        calloc((size_t)(facts->n + n_tensors) + 1, sizeof *values);
    size_t n_bytes = 0;
    char *image = NULL;
    int rc = 0;
    if (values != NULL)
        list_values(facts, tensors, n_tensors, values);
    for (int i = 0; values != NULL && i < facts->n + n_tensors; i++)
        n_bytes += values[i].len;
    if (values != NULL && n_bytes <= MAX_CAST_BYTES &&
        find_mould(temporary, facts, tensors, n_tensors, values))
        image = mould_cast(&last.mould, values);
    free(values);
    *ret_is_cast = image != NULL;
    if (image != NULL)
        rc = pathsafe_write_fast(temporary, image, last.mould.len, 0666, err);
    free(image);
    return rc;
}

int model_h5_save(const char *path, const struct model_facts *facts,
                  const struct tensor_view *tensors, int n_tensors, struct error *err)
{
    char temporary[PLAN_PATH_SIZE];
    bool is_cast;
    if (snprintf(temporary, sizeof temporary, "%s.tmp", path) >= (int)sizeof temporary)
        return error_set(err, PPT_EIO, "the path %s is too long", path);
    int rc = cast_file(temporary, facts, tensors, n_tensors, &is_cast, err);
    if (!is_cast)
        rc = write_file(temporary, false, facts, tensors, n_tensors, err);
    if (rc != 0) {
        unlink(temporary);
        return rc;
    }
    return (is_cast ? files_replace_unsynced : files_replace)(temporary, path, err);
}
