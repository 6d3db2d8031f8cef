#include "worker/model_h5.h"

#include <stdio.h>
#include <unistd.h>

#include "worker/files.h"
#include "worker/h5.h"

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

static int write_file(const char *path, const struct model_facts *facts,
                      const struct tensor_view *tensors, int n_tensors,
                      struct error *err)
{
    struct h5 *file;
    int rc = h5_create(path, &file, err);
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

int model_h5_save(const char *path, const struct model_facts *facts,
                  const struct tensor_view *tensors, int n_tensors, struct error *err)
{
    char temporary[PLAN_PATH_SIZE];
    if (snprintf(temporary, sizeof temporary, "%s.tmp", path) >= (int)sizeof temporary)
        return error_set(err, PPT_EIO, "the path %s is too long", path);
    int rc = write_file(temporary, facts, tensors, n_tensors, err);
    if (rc != 0) {
        unlink(temporary);
        return rc;
    }
    return files_replace_soon(temporary, path, err); /* the report will sync it */
}
