#include "scheduler/estimate.h"

#include <stdlib.h>

/* Steps of the same work: what is not compared costs next to no time. */
static const char find_like[] =
    "SELECT id, wall_s / n_steps_done FROM"
    " (SELECT *, spec::jsonb AS has, $2::jsonb AS wants FROM ppt.queue"
    "  WHERE dataset = $1 AND state = 'done' AND n_steps_done > 0 AND wall_s > 0"
    "  ORDER BY id DESC LIMIT 200) AS q "
    "WHERE has->'kind' = wants->'kind' AND has->'model' = wants->'model'"
    " AND has->'federation' IS NOT DISTINCT FROM wants->'federation'"
    " AND has->'privacy'->'clipping' IS NOT DISTINCT FROM wants->'privacy'->'clipping'"
    " AND is_private = $3"
    " AND has->'training'->'batch_size' IS NOT DISTINCT FROM"
    "     wants->'training'->'batch_size'"
    " AND has->'training'->'optimizer' IS NOT DISTINCT FROM"
    "     wants->'training'->'optimizer'"
    " AND has->'training'->'sampling' IS NOT DISTINCT FROM"
    "     wants->'training'->'sampling'"
    " AND has->'training'->'sum' IS NOT DISTINCT FROM wants->'training'->'sum'"
    " AND has->'training'->'bands' IS NOT DISTINCT FROM wants->'training'->'bands'"
    " AND has->'resources'->'ranks' = wants->'resources'->'ranks'"
    " AND has->'resources'->'cores_per_rank' = wants->'resources'->'cores_per_rank'"
    " AND has->'resources'->'gpus_per_rank' = wants->'resources'->'gpus_per_rank' "
    "ORDER BY id DESC LIMIT 1";

int estimate_training(struct db *db, const struct spec *spec, int64_t n_steps,
                      struct estimate *ret_estimate, struct error *err)
{
    struct db_params params = {0};
    struct db_result *result = NULL;
    struct estimate estimate = {0};
    char *text;
    int rc = spec_canonical(spec, &text, err);
    if (rc != 0)
        return rc;
    db_param_text(&params, spec->dataset.name);
    db_param_text(&params, text);
    db_param_bool(&params, spec->privacy.is_private);
    rc = db_run(db, find_like, &params, &result, err);
    free(text);
    if (rc != 0)
        return rc;
    if (db_rows(result) > 0) {
        estimate.job_id = db_int64(result, 0, 0);
        estimate.step_s = db_double(result, 0, 1);
        estimate.training_s = estimate.step_s * (double)n_steps;
    }
    db_result_free(result);
    *ret_estimate = estimate;
    return 0;
}
