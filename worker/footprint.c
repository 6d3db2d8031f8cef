#include "worker/footprint.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "jobs/dp/footprint.h"
#include "jobs/plan.h"
#include "worker/shard.h"

/* Measured of ranks that do next to nothing (README.md): the first, and what each
 * further thread adds. */
#define PROCESS_BYTES ((int64_t)40 << 20)
#define THREAD_BYTES ((int64_t)3 << 20)

/* In the file, with its label as ppt-data writes it. */
static int64_t record_bytes(const struct manifest_split *split)
{
    static const int64_t sizes[TYPE_N] = {[TYPE_UINT8] = 1,
                                          [TYPE_FLOAT32] = 4,
                                          [TYPE_INT64] = 8,
                                          [TYPE_UINT16] = 2,
                                          [TYPE_INT32] = 4};
    int64_t n = 1;
    for (int d = 0; d < split->n_dims; d++)
        n *= split->dims[d];
    return n * sizes[split->x_type] + (split->n_classes <= 256 ? 1 : 8);
}

/* As shard.c has it: all that fits is kept, else it is read ahead. */
static int64_t shard_bytes(const struct spec *spec, const struct manifest_split *split,
                           bool is_read_ahead)
{
    int64_t ranks = spec->resources.ranks, each = record_bytes(split);
    int64_t cache = (int64_t)shard_cache_bytes(spec->resources.memory_bytes, ranks);
    int64_t n = (split->nominal_count + ranks - 1) / ranks;
    if (n <= cache / each)
        return n * each;
    int64_t ahead = cache < SHARD_AHEAD_BYTES ? cache : SHARD_AHEAD_BYTES;
    return (1 << 20) + (is_read_ahead ? ahead : 0);
}

int footprint_rank(const struct spec *spec, const struct manifest *manifest,
                   struct footprint *ret_footprint, struct error *err)
{
    const struct manifest_split *train = manifest_split(manifest, spec->dataset.train);
    const struct manifest_split *test = manifest_split(manifest, spec->dataset.test);
    int n_threads = (int)spec->resources.cores_per_rank;
    if (spec->kind != JOB_DP || spec->resources.gpus_per_rank > 0)
        return error_set(err, PPT_ESPEC, "there is no formula for the memory of %s",
                         spec->kind != JOB_DP ? "a federation" : "a job on GPUs");
    struct footprint footprint = {.process =
                                      PROCESS_BYTES + (n_threads - 1) * THREAD_BYTES};
    struct footprint_engine engine;
    int rc = footprint_trainer(spec, manifest, n_threads, &engine, err);
    if (rc != 0)
        return rc;
    footprint.engine = engine.bytes;
    footprint.micro_batch = engine.micro_batch;
    footprint.records = shard_bytes(spec, train, true);
    if (test != NULL && spec->training.evaluation != EVALUATION_NONE)
        footprint.records += shard_bytes(spec, test, false);
    *ret_footprint = footprint;
    return 0;
}

int64_t footprint_sum(const struct footprint *footprint)
{
    return footprint->engine + footprint->records + footprint->process;
}

int footprint_least(const struct spec *spec, const struct manifest *manifest,
                    int64_t *ret_job_bytes, struct error *err)
{
    const int64_t unit = spec->resources.ranks << 20;
    struct spec *other = malloc(sizeof *other);
    struct footprint footprint;
    int64_t has = 0, needs = unit;
    int rc = other == NULL ? error_set(err, PPT_ENOMEM, "no memory for a spec") : 0;
    if (rc == 0)
        *other = *spec;
    while (rc == 0 && needs > has) {
        other->resources.memory_bytes = has = (needs + unit - 1) / unit * unit;
        rc = footprint_rank(other, manifest, &footprint, err);
        if (rc == 0)
            needs = footprint_sum(&footprint) * spec->resources.ranks;
    }
    free(other);
    if (rc == 0)
        *ret_job_bytes = has;
    return rc;
}

static int print(const struct spec *spec, const struct footprint *footprint,
                 int64_t least, struct error *err)
{
    struct json json = {0};
    char *text = NULL;
    int64_t sum = footprint_sum(footprint);
    json_object(&json, NULL);
    json_integer(&json, "engine_bytes", footprint->engine);
    json_integer(&json, "records_bytes", footprint->records);
    json_integer(&json, "process_bytes", footprint->process);
    json_integer(&json, "rank_bytes", sum);
    json_integer(&json, "job_bytes", sum * spec->resources.ranks);
    json_integer(&json, "micro_batch", footprint->micro_batch);
    json_integer(&json, "least_job_bytes", least);
    json_close_object(&json);
    int rc = json_end(&json, &text, err);
    if (rc == 0)
        fputs(text, stdout);
    free(text);
    return rc;
}

int footprint_tell(const char *directory, struct error *err)
{
    char path[PLAN_PATH_SIZE];
    struct footprint footprint;
    struct manifest manifest;
    int64_t least = 0;
    struct spec *spec = malloc(sizeof *spec);
    int rc = spec == NULL ? error_set(err, PPT_ENOMEM, "no memory for a spec") : 0;
    if (rc == 0) {
        snprintf(path, sizeof path, "%s/spec.json", directory);
        rc = spec_read(path, NULL, spec, NULL, err);
    }
    if (rc == 0) {
        snprintf(path, sizeof path, "%s/manifest.yaml", directory);
        rc = manifest_read(path, &manifest, err);
    }
    if (rc == 0)
        rc = footprint_rank(spec, &manifest, &footprint, err);
    if (rc == 0)
        rc = footprint_least(spec, &manifest, &least, err);
    if (rc == 0)
        rc = print(spec, &footprint, least, err);
    free(spec);
    return rc;
}
