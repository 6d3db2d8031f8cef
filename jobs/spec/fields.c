/* The table of all fields, section by section, and the few that need words of their
 * own. The order of a section's rows is the canonical form's order: never move a row.
 */
#include <string.h>

#include "jobs/spec/clipping.h"
#include "jobs/spec/federation.h"
#include "jobs/spec/field.h"
#include "jobs/spec/layer.h"
#include "jobs/spec/notify.h"
#include "jobs/spec/personal.h"
#include "jobs/spec/slurm.h"
#include "jobs/spec/training.h"

#define COUNT(array) (int)(sizeof(array) / sizeof(array)[0])
#define SECTION(name, path_, rows)                                                     \
    static const struct field_section name = {path_, rows, COUNT(rows)}

#define MOST_UNITS 65536
#define MOST_BYTES ((int64_t)1 << 50)

static const char *position_word(int i)
{
    return spec_position_name((enum spec_position)i);
}

static const char *mask_word(int i)
{
    return spec_mask_name((enum spec_mask)i);
}

static const char *states_word(int i)
{
    return spec_states_name((enum spec_states)i);
}

static const char *unit_word(int i)
{
    return unit_name((enum privacy_unit)i);
}

static const char *preset_word(int i)
{
    return spec_preset_name((enum spec_preset)i);
}

static bool is_word(const struct ydoc_node *node, const char *word)
{
    return node != NULL && node->kind == YDOC_SCALAR && strcmp(node->text, word) == 0;
}

/* kind: both names of each */

static void read_kind(struct ydoc_faults *faults, const struct ydoc_node *node,
                      void *base)
{
    const char *words[2 * JOB_N_KINDS];
    for (int k = 0; k < JOB_N_KINDS; k++) {
        words[k] = job_kinds[k].name;
        words[JOB_N_KINDS + k] = job_kinds[k].long_name;
    }
    int index = JOB_DP;
    ydoc_word(faults, node, words, 2 * JOB_N_KINDS, &index);
    struct spec *spec = base;
    spec->kind = (enum job_kind)(index % JOB_N_KINDS);
}

static void write_kind(struct json *json, const struct field *field, const void *base)
{
    const struct spec *spec = base;
    json_string(json, field->key, job_kinds[spec->kind].name);
}

/* dataset */

static const struct field dataset_fields[] = {
    {.key = "name",
     .type = FIELD_NAME,
     .offset = offsetof(struct spec_dataset, name),
     .is_required = true},
    {.key = "train",
     .type = FIELD_NAME,
     .offset = offsetof(struct spec_dataset, train),
     .text_default = "train"},
    {.key = "test", .type = FIELD_NAME, .offset = offsetof(struct spec_dataset, test)},
    {.key = "mean",
     .type = FIELD_NUMBER,
     .offset = offsetof(struct spec_dataset, mean),
     .range = {-1e6, 1e6, false, false}},
    {.key = "std",
     .type = FIELD_NUMBER,
     .offset = offsetof(struct spec_dataset, std),
     .range = {1e-6, 1e6, false, false},
     .number_default = 1},
};
SECTION(dataset_section, "dataset", dataset_fields);

/* model: a preset's name, or a mapping with a preset or with layers */

static bool is_mlp(const void *base)
{
    const struct spec_model *model = base;
    return model->preset == PRESET_MLP;
}

static void read_preset(struct ydoc_faults *faults, const struct ydoc_node *node,
                        void *base)
{
    const char *words[PRESET_LAYERS];
    for (int p = 0; p < PRESET_LAYERS; p++)
        words[p] = preset_word(p);
    struct spec_model *model = base;
    int index = PRESET_LAYERS;
    ydoc_word(faults, node, words, PRESET_LAYERS, &index);
    model->preset = (enum spec_preset)index;
}

static void write_preset(struct json *json, const struct field *field, const void *base)
{
    const struct spec_model *model = base;
    if (model->preset != PRESET_LAYERS)
        json_string(json, field->key, preset_word((int)model->preset));
}

static void read_layers(struct ydoc_faults *faults, const struct ydoc_node *node,
                        void *base)
{
    if (node != NULL)
        layer_read_list(faults, node, base);
}

static void write_layers(struct json *json, const struct field *field, const void *base)
{
    const struct spec_model *model = base;
    if (model->preset == PRESET_LAYERS)
        layer_write_list(json, field->key, model);
}

static const struct field base_fields[] = {
    {.key = "file",
     .type = FIELD_FILE,
     .offset = offsetof(struct spec_base, file),
     .is_required = true},
    {.key = "sha256",
     .type = FIELD_OWN,
     .is_required = true,
     .read = field_read_digest,
     .write = field_write_digest},
};
SECTION(base_section, "model.base", base_fields);

static void read_base(struct ydoc_faults *faults, const struct ydoc_node *node,
                      void *base)
{
    struct spec_model *model = base;
    if (node != NULL && !ydoc_is_null(node))
        field_read(faults, node, &base_section, &model->base);
}

static void write_base(struct json *json, const struct field *field, const void *base)
{
    const struct spec_model *model = base;
    if (model->base.file[0] == '\0')
        return;
    json_object(json, field->key);
    field_write(json, &base_section, &model->base);
    json_close_object(json);
}

static const struct field model_fields[] = {
    {.key = "preset", .type = FIELD_OWN, .read = read_preset, .write = write_preset},
    {.key = "hidden",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_model, hidden),
     .n_least = 1,
     .n_most = MOST_UNITS,
     .n_default = 128,
     .applies = is_mlp,
     .only_with = "preset: mlp"},
    {.key = "layers", .type = FIELD_OWN, .read = read_layers, .write = write_layers},
    {.key = "base", .type = FIELD_OWN, .read = read_base, .write = write_base},
};
SECTION(model_section, "model", model_fields);

static void read_model(struct ydoc_faults *faults, const struct ydoc_node *node,
                       void *base)
{
    struct spec *spec = base;
    if (node != NULL && node->kind == YDOC_SCALAR) {
        field_read(faults, NULL, &model_section, &spec->model);
        read_preset(faults, node, &spec->model);
        if (is_mlp(&spec->model))
            spec->model.hidden = model_fields[1].n_default;
        return;
    }
    field_read(faults, node, &model_section, &spec->model);
    if (node == NULL || node->kind != YDOC_MAPPING)
        return;
    bool has_preset = ydoc_get(node, "preset") != NULL;
    bool has_layers = ydoc_get(node, "layers") != NULL;
    if (has_preset && has_layers)
        ydoc_fault_at(faults, node, "layers",
                      "expected either a preset or layers, found both");
    if (!has_preset && !has_layers)
        ydoc_fault(faults, node,
                   "expected a preset or layers (such as preset: logistic), found "
                   "neither");
}

static void write_model(struct json *json, const struct field *field, const void *base)
{
    const struct spec *spec = base;
    json_object(json, field->key);
    field_write(json, &model_section, &spec->model);
    json_close_object(json);
}

/* privacy: a mapping, or the word none */

static const struct field privacy_fields[] = {
    {.key = "unit",
     .type = FIELD_WORD,
     .offset = offsetof(struct spec_privacy, unit),
     .word = unit_word,
     .n_words = UNIT_N,
     .n_default = UNIT_EXAMPLE},
    {.key = "epsilon",
     .type = FIELD_NUMBER,
     .offset = offsetof(struct spec_privacy, epsilon),
     .range = {0, 1000, true, false},
     .hides_zero = true},
    {.key = "delta",
     .type = FIELD_NUMBER,
     .offset = offsetof(struct spec_privacy, delta),
     .is_required = true,
     .range = {1e-15, 1, false, true}},
    {.key = "clip_norm",
     .type = FIELD_NUMBER,
     .offset = offsetof(struct spec_privacy, clip_norm),
     .is_required = true,
     .range = {1e-6, 1e6, false, false}},
    {.key = "noise_multiplier",
     .type = FIELD_NUMBER,
     .offset = offsetof(struct spec_privacy, noise_multiplier),
     .range = {0.05, 1e6, false, false},
     .zero_word = "auto"},
    {.key = "clipping",
     .type = FIELD_OWN,
     .read = clipping_read,
     .write = clipping_write},
};
SECTION(privacy_section, "privacy", privacy_fields);

static void read_privacy(struct ydoc_faults *faults, const struct ydoc_node *node,
                         void *base)
{
    struct spec *spec = base;
    spec->privacy.is_private = !is_word(node, "none");
    if (node == NULL || !spec->privacy.is_private)
        return;
    if (node->kind == YDOC_MAPPING)
        field_read(faults, node, &privacy_section, &spec->privacy);
    else
        ydoc_fault(faults, node,
                   "expected none, or a mapping with epsilon, delta and clip_norm");
}

static void write_privacy(struct json *json, const struct field *field,
                          const void *base)
{
    const struct spec *spec = base;
    if (!spec->privacy.is_private) {
        json_string(json, field->key, "none");
        return;
    }
    json_object(json, field->key);
    field_write(json, &privacy_section, &spec->privacy);
    json_close_object(json);
}

static const struct field resources_fields[] = {
    {.key = "ranks",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_resources, ranks),
     .n_least = 1,
     .n_most = 4096,
     .n_default = 1},
    {.key = "cores_per_rank",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_resources, cores_per_rank),
     .n_least = 1,
     .n_most = 1024,
     .n_default = 1},
    {.key = "gpus_per_rank",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_resources, gpus_per_rank),
     .n_most = 16},
    {.key = "time_limit",
     .type = FIELD_DURATION,
     .offset = offsetof(struct spec_resources, time_limit_s),
     .n_least = 1,
     .n_most = 365 * 86400,
     .n_default = 3600},
    {.key = "memory",
     .type = FIELD_SIZE,
     .offset = offsetof(struct spec_resources, memory_bytes),
     .n_least = 1 << 20,
     .n_most = MOST_BYTES,
     .n_default = SPEC_MEMORY},
    {.key = "priority",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_resources, priority),
     .n_least = -100,
     .n_most = 100},
    {.key = "slurm", .type = FIELD_OWN, .read = slurm_read, .write = slurm_write},
};
SECTION(resources_section, "resources", resources_fields);

/* output */

static const struct field output_fields[] = {
    {.key = "model",
     .type = FIELD_FILE,
     .offset = offsetof(struct spec_output, model),
     .text_default = "model.h5"},
};
SECTION(output_section, "output", output_fields);

/* sweep: sweep.c takes it out of the tree before a job of it is read */

static void read_sweep(struct ydoc_faults *faults, const struct ydoc_node *node,
                       void *base)
{
    (void)base;
    if (node != NULL)
        ydoc_fault(faults, node,
                   "expected one job, found a sweep: ppt-submit makes jobs of it");
}

static void write_sweep(struct json *json, const struct field *field, const void *base)
{
    (void)json;
    (void)field;
    (void)base;
}

static const struct field top_fields[] = {
    {.key = "name",
     .type = FIELD_NAME,
     .offset = offsetof(struct spec, name),
     .is_required = true},
    {.key = "account",
     .type = FIELD_ACCOUNT,
     .offset = offsetof(struct spec, account),
     .is_required = true},
    {.key = "kind",
     .type = FIELD_OWN,
     .is_required = true,
     .read = read_kind,
     .write = write_kind},
    {.key = "dataset",
     .type = FIELD_SECTION,
     .offset = offsetof(struct spec, dataset),
     .is_required = true,
     .section = &dataset_section},
    {.key = "model",
     .type = FIELD_OWN,
     .is_required = true,
     .read = read_model,
     .write = write_model},
    {.key = "privacy",
     .type = FIELD_OWN,
     .is_required = true,
     .read = read_privacy,
     .write = write_privacy},
    {.key = "training",
     .type = FIELD_SECTION,
     .offset = offsetof(struct spec, training),
     .is_required = true,
     .section = &field_training},
    {.key = "resources",
     .type = FIELD_SECTION,
     .offset = offsetof(struct spec, resources),
     .section = &resources_section},
    {.key = "output",
     .type = FIELD_SECTION,
     .offset = offsetof(struct spec, output),
     .section = &output_section},
    {.key = "sweep", .type = FIELD_OWN, .read = read_sweep, .write = write_sweep},
    {.key = "federation",
     .type = FIELD_OWN,
     .read = federation_read,
     .write = federation_write},
    {.key = "notify", .type = FIELD_OWN, .read = notify_read, .write = notify_write},
};
const struct field_section field_top = {"", top_fields, COUNT(top_fields)};

/* layers */

static bool has_rank(const void *base)
{
    const struct spec_layer *layer = base;
    return layer->rank > 0;
}

static const struct field linear_fields[] = {
    {.key = "out",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_layer, out),
     .n_least = 1,
     .n_most = MOST_UNITS,
     .zero_word = "classes"},
    {.key = "rank",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_layer, rank),
     .n_least = 1,
     .n_most = 1024,
     .hides_zero = true},
    {.key = "alpha",
     .type = FIELD_NUMBER,
     .offset = offsetof(struct spec_layer, alpha),
     .range = {0.001, 100000, false, false},
     .hides_zero = true,
     .applies = has_rank,
     .only_with = "rank"},
};
static const struct field conv2d_fields[] = {
    {.key = "out",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_layer, out),
     .is_required = true,
     .n_least = 1,
     .n_most = MOST_UNITS},
    {.key = "kernel",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_layer, kernel),
     .is_required = true,
     .n_least = 1,
     .n_most = 64},
    {.key = "stride",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_layer, stride),
     .n_least = 1,
     .n_most = 64,
     .n_default = 1},
    {.key = "padding",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_layer, padding),
     .n_most = 63},
};
static const struct field pool_fields[] = {
    {.key = "kernel",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_layer, kernel),
     .is_required = true,
     .n_least = 1,
     .n_most = 64},
    {.key = "stride", /* 0 until layer.c puts the kernel's width there */
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_layer, stride),
     .n_least = 1,
     .n_most = 64},
};
static const struct field group_norm_fields[] = {
    {.key = "groups",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_layer, groups),
     .is_required = true,
     .n_least = 1,
     .n_most = MOST_UNITS},
};

static const struct field tempered_sigmoid_fields[] = {
    {.key = "scale",
     .type = FIELD_NUMBER,
     .offset = offsetof(struct spec_layer, scale),
     .range = {0.001, 1000, false, false},
     .number_default = 2},
    {.key = "inverse_temperature",
     .type = FIELD_NUMBER,
     .offset = offsetof(struct spec_layer, inverse_temperature),
     .range = {0.001, 1000, false, false},
     .number_default = 2},
    {.key = "offset",
     .type = FIELD_NUMBER,
     .offset = offsetof(struct spec_layer, offset),
     .range = {-1000, 1000, false, false},
     .number_default = 1},
};

static const struct field residual_fields[] = {
    {.key = "over",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_layer, over),
     .is_required = true,
     .n_least = 1,
     .n_most = SPEC_MAX_LAYERS - 1},
};

static const struct field embedding_fields[] = {
    {.key = "out",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_layer, out),
     .is_required = true,
     .n_least = 1,
     .n_most = MOST_UNITS},
};

static const struct field position_fields[] = {
    {.key = "kind",
     .type = FIELD_WORD,
     .offset = offsetof(struct spec_layer, position),
     .word = position_word,
     .n_words = POSITION_N},
};

static const struct field attention_fields[] = {
    {.key = "heads",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_layer, heads),
     .is_required = true,
     .n_least = 1,
     .n_most = 1024},
    {.key = "mask",
     .type = FIELD_WORD,
     .offset = offsetof(struct spec_layer, mask),
     .word = mask_word,
     .n_words = MASK_N},
};

static const struct field lstm_fields[] = {
    {.key = "out",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_layer, out),
     .is_required = true,
     .n_least = 1,
     .n_most = MOST_UNITS / 4},
    {.key = "states",
     .type = FIELD_WORD,
     .offset = offsetof(struct spec_layer, states),
     .word = states_word,
     .n_words = STATES_N},
};

const struct field_section field_layer[LAYER_N_KINDS] = {
    [LAYER_LINEAR] = {"linear", linear_fields, COUNT(linear_fields)},
    [LAYER_CONV2D] = {"conv2d", conv2d_fields, COUNT(conv2d_fields)},
    [LAYER_MAX_POOL] = {"max_pool", pool_fields, COUNT(pool_fields)},
    [LAYER_AVG_POOL] = {"avg_pool", pool_fields, COUNT(pool_fields)},
    [LAYER_GROUP_NORM] = {"group_norm", group_norm_fields, COUNT(group_norm_fields)},
    [LAYER_LAYER_NORM] = {"layer_norm", NULL, 0},
    [LAYER_RELU] = {"relu", NULL, 0},
    [LAYER_TANH] = {"tanh", NULL, 0},
    [LAYER_TEMPERED_SIGMOID] = {"tempered_sigmoid", tempered_sigmoid_fields,
                                COUNT(tempered_sigmoid_fields)},
    [LAYER_GELU] = {"gelu", NULL, 0},
    [LAYER_RESIDUAL] = {"residual", residual_fields, COUNT(residual_fields)},
    [LAYER_FLATTEN] = {"flatten", NULL, 0},
    [LAYER_EMBEDDING] = {"embedding", embedding_fields, COUNT(embedding_fields)},
    [LAYER_POSITION] = {"position", position_fields, COUNT(position_fields)},
    [LAYER_ATTENTION] = {"attention", attention_fields, COUNT(attention_fields)},
    [LAYER_TOKEN_MEAN] = {"token_mean", NULL, 0},
    [LAYER_LSTM] = {"lstm", lstm_fields, COUNT(lstm_fields)},
};

const struct field_section *const field_sections[] = {
    &field_top,
    &dataset_section,
    &model_section,
    &base_section,
    &field_layer[LAYER_LINEAR],
    &field_layer[LAYER_CONV2D],
    &field_layer[LAYER_MAX_POOL],
    &field_layer[LAYER_AVG_POOL],
    &field_layer[LAYER_GROUP_NORM],
    &field_layer[LAYER_LAYER_NORM],
    &field_layer[LAYER_RELU],
    &field_layer[LAYER_TANH],
    &field_layer[LAYER_TEMPERED_SIGMOID],
    &field_layer[LAYER_GELU],
    &field_layer[LAYER_RESIDUAL],
    &field_layer[LAYER_FLATTEN],
    &field_layer[LAYER_EMBEDDING],
    &field_layer[LAYER_POSITION],
    &field_layer[LAYER_ATTENTION],
    &field_layer[LAYER_TOKEN_MEAN],
    &field_layer[LAYER_LSTM],
    &privacy_section,
    &field_clipping,
    &field_training,
    &field_schedule,
    &field_step,
    &resources_section,
    &field_slurm,
    &output_section,
    &field_federation,
    &field_server,
    &field_secagg,
    &field_consent,
    &field_devices,
    &field_trace,
    &field_robust,
    &field_noise,
    &field_attack,
    &field_personal,
    &field_compress,
    &field_notify,
    NULL,
};
