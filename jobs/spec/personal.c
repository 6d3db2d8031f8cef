#include "jobs/spec/personal.h"

static const char *const kind_names[PERSONAL_N] = {
    [PERSONAL_FINE_TUNE] = "fine_tune",
    [PERSONAL_DITTO] = "ditto",
    [PERSONAL_FEDREP] = "fedrep",
    [PERSONAL_APFL] = "apfl",
};

const char *spec_personal_name(enum spec_personal_kind kind)
{
    return kind_names[kind];
}

static const char *kind_word(int i)
{
    return kind_names[i];
}

static bool is_ditto(const void *base)
{
    const struct spec_personal *personal = base;
    return personal->kind == PERSONAL_DITTO || personal->kind == PERSONAL_N;
}

static bool is_apfl(const void *base)
{
    const struct spec_personal *personal = base;
    return personal->kind == PERSONAL_APFL || personal->kind == PERSONAL_N;
}

static bool has_epochs(const void *base)
{
    const struct spec_personal *personal = base;
    return personal->kind != PERSONAL_APFL;
}

static const struct field personal_fields[] = {
    {.key = "kind",
     .type = FIELD_WORD,
     .offset = offsetof(struct spec_personal, kind),
     .is_required = true,
     .word = kind_word,
     .n_words = PERSONAL_N},
    {.key = "epochs",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_personal, epochs),
     .n_least = 1,
     .n_most = 1000,
     .n_default = 5,
     .applies = has_epochs,
     .only_with = "kind: fine_tune, ditto or fedrep"},
    {.key = "lambda",
     .type = FIELD_NUMBER,
     .offset = offsetof(struct spec_personal, lambda),
     .range = {0, 1e6, false, false},
     .number_default = 0.1,
     .applies = is_ditto,
     .only_with = "kind: ditto"},
    {.key = "holdout",
     .type = FIELD_NUMBER,
     .offset = offsetof(struct spec_personal, holdout),
     .range = {0.01, 0.9, false, false},
     .number_default = 0.2},
    {.key = "alpha",
     .type = FIELD_NUMBER,
     .offset = offsetof(struct spec_personal, alpha),
     .range = {0, 1, false, false},
     .number_default = 0.5,
     .applies = is_apfl,
     .only_with = "kind: apfl"},
};
const struct field_section field_personal = {"federation.personal", personal_fields,
                                             sizeof personal_fields /
                                                 sizeof personal_fields[0]};

void personal_read(struct ydoc_faults *faults, const struct ydoc_node *node, void *base)
{
    struct spec_personal *personal = &((struct spec_federation *)base)->personal;
    if (node == NULL)
        return;
    field_read(faults, node, &field_personal, personal);
    personal->is_on = true;
}

void personal_write(struct json *json, const struct field *field, const void *base)
{
    const struct spec_personal *personal =
        &((const struct spec_federation *)base)->personal;
    if (!personal->is_on)
        return;
    json_object(json, field->key);
    field_write(json, &field_personal, personal);
    json_close_object(json);
}

void personal_check(struct ydoc_faults *faults, const struct ydoc_node *root,
                    const struct spec *spec)
{
    const struct ydoc_node *node = ydoc_get(root, "federation");
    const struct spec_personal *personal = &spec->federation.personal;
    const struct ydoc_node *training = ydoc_get(root, "training");
    if (!personal->is_on)
        return;
    if (spec->privacy.is_private)
        ydoc_fault_at(faults, node, "personal",
                      "expected no such section, or privacy: none: how well models of "
                      "single clients do tells of single clients");
    if (personal->kind == PERSONAL_APFL && spec->federation.consent.is_asked)
        ydoc_fault_at(
            faults, node, "consent",
            "expected no such section with apfl: a round that is made anew "
            "without those who withdrew would move clients' own models twice");
    if (personal->kind == PERSONAL_FEDREP && spec->model.preset == PRESET_LOGISTIC)
        ydoc_fault_at(faults, ydoc_get(node, "personal"), "kind",
                      "expected fine_tune or ditto, or a model of several layers: with "
                      "fedrep the last one is each client's own, and logistic has no "
                      "other");
    if (personal->kind == PERSONAL_FEDREP &&
        spec->training.evaluation == EVALUATION_PUBLIC)
        ydoc_fault_at(faults, training, "evaluation",
                      "expected none with fedrep: the common model's last layer is "
                      "not trained, rounds.jsonl tells how the clients' own do");
}
