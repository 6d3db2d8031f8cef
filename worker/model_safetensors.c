#include "worker/model_safetensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "worker/files.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are written as is");

static int64_t n_bytes(const struct tensor_view *tensor)
{
    int64_t n = (int64_t)sizeof(float);
    for (int d = 0; d < tensor->n_dims; d++)
        n *= tensor->dims[d];
    return n;
}

static void add_metadata(struct json *json, const struct model_facts *facts)
{
    json_object(json, "__metadata__");
    for (int i = 0; i < facts->n; i++) {
        const struct model_fact *fact = &facts->facts[i];
        char number[32];
        if (fact->type == FACT_INTEGER)
            snprintf(number, sizeof number, "%" PRId64, fact->integer);
        else if (fact->type == FACT_NUMBER)
            json_shortest(fact->number, number);
        json_string(json, fact->name, fact->type == FACT_TEXT ? fact->text : number);
    }
    json_close_object(json);
}

static void add_tensor(struct json *json, const struct tensor_view *tensor,
                       int64_t begin)
{
    json_object(json, tensor->name);
    json_string(json, "dtype", "F32");
    json_array(json, "shape");
    for (int d = 0; d < tensor->n_dims; d++)
        json_integer(json, NULL, tensor->dims[d]);
    json_close_array(json);
    json_array(json, "data_offsets");
    json_integer(json, NULL, begin);
    json_integer(json, NULL, begin + n_bytes(tensor));
    json_close_array(json);
    json_close_object(json);
}

static int make_header(const struct model_facts *facts,
                       const struct tensor_view *tensors, int n_tensors,
                       char **ret_text, struct error *err)
{
    struct json json = {0};
    int64_t begin = 0;
    for (int t = 0; t < n_tensors; t++)
        for (int other = 0; other < t; other++)
            if (strcmp(tensors[t].name, tensors[other].name) == 0)
                return error_set(err, PPT_EDATA, "the model has two tensors %s",
                                 tensors[t].name);
    json_object(&json, NULL);
    add_metadata(&json, facts);
    for (int t = 0; t < n_tensors; t++) {
        add_tensor(&json, &tensors[t], begin);
        begin += n_bytes(&tensors[t]);
    }
    json_close_object(&json);
    return json_end(&json, ret_text, err);
}

/* The length counts the header with the blanks that put the first tensor on a multiple
 * of 8, where readers may map it. */
static int write_file(const char *path, const char *header,
                      const struct tensor_view *tensors, int n_tensors,
                      struct error *err)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL)
        return error_errno(err, PPT_EIO, "cannot create %s", path);
    size_t len = strcspn(header, "\n");
    uint64_t padded = (len + 7) / 8 * 8;
    fwrite(&padded, sizeof padded, 1, file);
    fwrite(header, 1, len, file);
    fprintf(file, "%*s", (int)(padded - len), "");
    for (int t = 0; t < n_tensors; t++)
        fwrite(tensors[t].data, 1, (size_t)n_bytes(&tensors[t]), file);
    bool has_failed = ferror(file) != 0;
    if (fclose(file) != 0 || has_failed)
        return error_errno(err, PPT_EIO, "cannot write %s", path);
    return 0;
}

int model_safetensors_save(const char *path, const struct model_facts *facts,
                           const struct tensor_view *tensors, int n_tensors,
                           struct error *err)
{
    char temporary[PLAN_PATH_SIZE];
    char *header = NULL;
    if (snprintf(temporary, sizeof temporary, "%s.tmp", path) >= (int)sizeof temporary)
        return error_set(err, PPT_EIO, "the path %s is too long", path);
    int rc = make_header(facts, tensors, n_tensors, &header, err);
    if (rc != 0)
        return rc;
    rc = write_file(temporary, header, tensors, n_tensors, err);
    free(header);
    if (rc != 0) {
        unlink(temporary);
        return rc;
    }
    return files_replace_unsynced(temporary, path, err);
}
