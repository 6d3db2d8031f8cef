#include "jobs/spec/spec.h"

#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "base/json.h"
#include "base/pathsafe.h"
#include "base/ydoc.h"
#include "jobs/spec/check.h"
#include "jobs/spec/field.h"
#include "jobs/spec/name.h"
#include "jobs/spec/spec_tree.h"

static const char *const preset_names[PRESET_N] = {
    [PRESET_LOGISTIC] = "logistic",
    [PRESET_MLP] = "mlp",
    [PRESET_CNN] = "cnn",
    [PRESET_LAYERS] = "layers",
};

static const char *const sum_names[SUM_N] = {
    [SUM_FLOAT] = "float",
    [SUM_FIXED] = "fixed",
};

static const char *const sampling_names[SAMPLE_N] = {
    [SAMPLE_POISSON] = "poisson",
    [SAMPLE_BALLS_IN_BINS] = "balls_in_bins",
    [SAMPLE_FIXED_ORDER] = "fixed_order",
};

static const char *const loss_names[LOSS_N] = {
    [LOSS_CROSS_ENTROPY] = "cross_entropy",
    [LOSS_MSE] = "mse",
    [LOSS_HINGE] = "hinge",
};

static const char *const position_names[POSITION_N] = {
    [POSITION_LEARNT] = "learnt",
    [POSITION_WAVES] = "waves",
};

static const char *const states_names[STATES_N] = {
    [STATES_ALL] = "all",
    [STATES_LAST] = "last",
};

static const char *const mask_names[MASK_N] = {
    [MASK_NONE] = "none",
    [MASK_CAUSAL] = "causal",
};

static const char *const optimizer_names[OPTIMIZER_N] = {
    [OPTIMIZER_SGD] = "sgd",
    [OPTIMIZER_MOMENTUM] = "momentum",
    [OPTIMIZER_ADAM] = "adam",
    [OPTIMIZER_YOGI] = "yogi",
};

static const char *const clip_mode_names[CLIP_N] = {
    [CLIP_FLAT] = "flat",
    [CLIP_PER_LAYER] = "per_layer",
    [CLIP_AUTOMATIC] = "automatic",
    [CLIP_QUANTILE] = "quantile",
};

static const char *const schedule_names[SCHEDULE_N] = {
    [SCHEDULE_CONSTANT] = "constant",
    [SCHEDULE_COSINE] = "cosine",
    [SCHEDULE_STEP] = "step",
};

static const char *const evaluation_names[EVALUATION_N] = {
    [EVALUATION_NONE] = "none",
    [EVALUATION_PUBLIC] = "public",
    [EVALUATION_PAID] = "paid",
};

const char *spec_preset_name(enum spec_preset preset)
{
    return preset_names[preset];
}

const char *spec_layer_name(enum spec_layer_kind kind)
{
    return field_layer[kind].path;
}

const char *spec_sum_name(enum spec_sum sum)
{
    return sum_names[sum];
}

const char *spec_sampling_name(enum spec_sampling sampling)
{
    return sampling_names[sampling];
}

const char *spec_loss_name(enum spec_loss loss)
{
    return loss_names[loss];
}

const char *spec_position_name(enum spec_position position)
{
    return position_names[position];
}

const char *spec_mask_name(enum spec_mask mask)
{
    return mask_names[mask];
}

const char *spec_states_name(enum spec_states states)
{
    return states_names[states];
}

const char *spec_optimizer_name(enum spec_optimizer optimizer)
{
    return optimizer_names[optimizer];
}

const char *spec_clip_mode_name(enum spec_clip_mode mode)
{
    return clip_mode_names[mode];
}

const char *spec_schedule_name(enum spec_schedule schedule)
{
    return schedule_names[schedule];
}

const char *spec_evaluation_name(enum spec_evaluation evaluation)
{
    return evaluation_names[evaluation];
}

struct spec_policy spec_policy_default(void)
{
    return (struct spec_policy){
        .min_epsilon = 0.1,
        .max_epsilon = 10,
        .max_delta = 1e-6,
        .max_ranks = 128,
        .max_cores_per_rank = 64,
        .max_time_limit_s = 7 * 86400,
        .max_memory_bytes = (int64_t)1 << 40,
    };
}

void spec_from_tree(struct ydoc_faults *faults, const struct ydoc_node *root,
                    const struct spec_policy *policy, struct spec *ret_spec)
{
    memset(ret_spec, 0, sizeof *ret_spec);
    field_read(faults, root, &field_top, ret_spec);
    check_sense(faults, root, ret_spec);
    if (policy != NULL)
        check_policy(faults, root, ret_spec, policy);
}

int spec_tree_end(struct ydoc_faults *faults, struct error *err)
{
    int rc = ydoc_faults_end(faults, "job spec", err);
    if (rc != 0)
        error_hint(err, "ppt-jobspec(5) describes every field");
    return rc;
}

int spec_name(struct spec *spec, struct error *err)
{
    char *text;
    int rc = spec_canonical(spec, &text, err);
    if (rc != 0)
        return rc;
    crypto_sha256_hex(text, strlen(text), spec->sha256);
    free(text);
    return 0;
}

int spec_parse(const char *text, size_t len, const char *path,
               const struct spec_policy *policy, struct spec *ret_spec,
               struct error *err)
{
    struct spec spec;
    struct ydoc_limits limits = {.max_bytes = SPEC_MAX_BYTES};
    struct ydoc_faults faults = {.path = path};
    struct ydoc *doc = ydoc_parse(text, len, &limits, &faults);
    spec_from_tree(&faults, ydoc_root(doc), policy, &spec);
    ydoc_free(doc);

    int rc = spec_tree_end(&faults, err);
    if (rc == 0)
        rc = spec_name(&spec, err);
    if (rc == 0)
        *ret_spec = spec;
    return rc;
}

int spec_set_account(struct spec *spec, const char *account, struct error *err)
{
    if (!name_is_account(account) || strlen(account) >= sizeof spec->account)
        return error_set(err, PPT_ESPEC,
                         "\"%.200s\" is no account such as acme/research/vision",
                         account);
    strcpy(spec->account, account);
    return spec_name(spec, err);
}

int spec_read(const char *path, const struct spec_policy *policy, struct spec *ret_spec,
              char **ret_text, struct error *err)
{
    char *text;
    size_t len;
    int rc = pathsafe_read_file(path, SPEC_MAX_BYTES, &text, &len, err);
    if (rc != 0)
        return rc;
    rc = spec_parse(text, len, path, policy, ret_spec, err);
    if (rc == 0 && ret_text != NULL)
        *ret_text = text;
    else
        free(text);
    return rc;
}

int spec_canonical(const struct spec *spec, char **ret_text, struct error *err)
{
    struct json json = {0};
    json_object(&json, NULL);
    field_write(&json, &field_top, spec);
    json_close_object(&json);
    return json_end(&json, ret_text, err);
}
