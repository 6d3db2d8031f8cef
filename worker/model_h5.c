#include "worker/model_h5.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "worker/files.h"
#include "worker/h5.h"

/* What was spent: the whole, and how often each release was used. */
static int write_cost(struct h5 *file, const struct price *price,
                      const int64_t used[PRICE_MAX_RELEASES], struct error *err)
{
    struct cost cost;
    double epsilon;
    int rc = price_used(price, used, &cost, err);
    if (rc == 0)
        rc = cost_epsilon(&cost, price->delta, &epsilon, NULL, err);
    if (rc == 0)
        rc = h5_set_text(file, "/", "unit", unit_name(price->unit), err);
    if (rc == 0)
        rc = h5_set_text(file, "/", "relation", relation_name(price->relation), err);
    if (rc == 0)
        rc = h5_set_number(file, "/", "epsilon", epsilon, err);
    if (rc == 0)
        rc = h5_set_number(file, "/", "delta", price->delta, err);
    for (int i = 0; rc == 0 && i < price->n_releases; i++) {
        char name[64];
        snprintf(name, sizeof name, "used_%s", price->releases[i].name);
        rc = h5_set_integer(file, "/", name, used[i], err);
    }
    return rc;
}

static int write_facts(struct h5 *file, const struct plan *plan,
                       const struct spec *spec, const int64_t used[PRICE_MAX_RELEASES],
                       struct error *err)
{
    char *canonical = NULL;
    int rc = spec_canonical(spec, &canonical, err);
    if (rc == 0)
        rc = h5_set_integer(file, "/", "ppt_model_version", MODEL_H5_VERSION, err);
    if (rc == 0)
        rc = h5_set_integer(file, "/", "job_id", plan->job_id, err);
    if (rc == 0)
        rc = h5_set_text(file, "/", "spec_sha256", plan->spec_sha256, err);
    if (rc == 0)
        rc = h5_set_text(file, "/", "spec", canonical, err);
    if (rc == 0)
        rc = h5_set_integer(file, "/", "is_private", plan->price.is_private, err);
    if (rc == 0 && plan->price.is_private)
        rc = write_cost(file, &plan->price, used, err);
    free(canonical);
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

static int write_file(const char *path, const struct plan *plan,
                      const struct spec *spec, const int64_t used[PRICE_MAX_RELEASES],
                      const struct tensor_view *tensors, int n_tensors,
                      struct error *err)
{
    struct h5 *file;
    int rc = h5_create(path, &file, err);
    if (rc != 0)
        return rc;
    rc = write_facts(file, plan, spec, used, err);
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

int model_h5_save(const char *path, const struct plan *plan, const struct spec *spec,
                  const int64_t used[PRICE_MAX_RELEASES],
                  const struct tensor_view *tensors, int n_tensors, struct error *err)
{
    char temporary[PLAN_PATH_SIZE];
    if (snprintf(temporary, sizeof temporary, "%s.tmp", path) >= (int)sizeof temporary)
        return error_set(err, PPT_EIO, "the path %s is too long", path);
    int rc = write_file(temporary, plan, spec, used, tensors, n_tensors, err);
    if (rc != 0) {
        unlink(temporary);
        return rc;
    }
    return files_replace(temporary, path, err);
}
