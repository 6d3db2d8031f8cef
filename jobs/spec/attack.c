#include "jobs/spec/attack.h"

#include "jobs/spec/federation.h"

#define COUNT(array) (int)(sizeof(array) / sizeof(array)[0])

static const char *const kind_names[ATTACK_N] = {
    [ATTACK_SIGN_FLIP] = "sign_flip",
    [ATTACK_LABEL_FLIP] = "label_flip",
    [ATTACK_ALIE] = "alie",
    [ATTACK_IPM] = "ipm",
    [ATTACK_MIN_MAX] = "min_max",
    [ATTACK_MIMIC] = "mimic",
    [ATTACK_NAN] = "nan",
};

const char *spec_attack_name(enum spec_attack_kind kind)
{
    return kind_names[kind];
}

static const char *kind_word(int i)
{
    return kind_names[i];
}

static bool has_strength(const void *base)
{
    const struct spec_attack *attack = base;
    return attack->kind == ATTACK_IPM || attack->kind == ATTACK_N;
}

static const struct field attack_fields[] = {
    {.key = "kind",
     .type = FIELD_WORD,
     .offset = offsetof(struct spec_attack, kind),
     .is_required = true,
     .word = kind_word,
     .n_words = ATTACK_N},
    {.key = "clients",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_attack, clients),
     .is_required = true,
     .n_least = 1,
     .n_most = 1 << 20},
    {.key = "strength",
     .type = FIELD_NUMBER,
     .offset = offsetof(struct spec_attack, strength),
     .range = {0, 1e6, true, false},
     .number_default = 0.1,
     .applies = has_strength,
     .only_with = "kind: ipm"},
};
const struct field_section field_attack = {"federation.attack", attack_fields,
                                           COUNT(attack_fields)};

void attack_read(struct ydoc_faults *faults, const struct ydoc_node *node, void *base)
{
    struct spec_attack *attack = &((struct spec_federation *)base)->attack;
    if (node == NULL)
        return;
    field_read(faults, node, &field_attack, attack);
    attack->is_on = true;
}

void attack_write(struct json *json, const struct field *field, const void *base)
{
    const struct spec_attack *attack = &((const struct spec_federation *)base)->attack;
    if (!attack->is_on)
        return;
    json_object(json, field->key);
    field_write(json, &field_attack, attack);
    json_close_object(json);
}

void attack_check(struct ydoc_faults *faults, const struct ydoc_node *node,
                  const struct spec *spec)
{
    const struct spec_federation *federation = &spec->federation;
    const struct spec_attack *attack = &federation->attack;
    if (!attack->is_on)
        return;
    if (spec->privacy.is_private) {
        ydoc_fault_at(faults, node, "attack",
                      "expected no such section, or privacy: none: false clients are "
                      "simulated on data that are nobody's secret only");
        return;
    }
    if (!spec_selection_is_exact(federation->selection) && !federation->robust.is_on)
        ydoc_fault_at(faults, node, "selection",
                      "expected fixed with attack: its updates are gathered side by "
                      "side, with room for so many");
    if (federation->weighting == WEIGHTING_EXAMPLES && !federation->robust.is_on)
        ydoc_fault_at(faults, node, "weighting", "expected equal with attack");
    if (federation->clients > 0 && attack->clients > federation->clients)
        ydoc_fault_at(faults, ydoc_get(node, "attack"), "clients",
                      "expected at most as many as there are clients, %lld",
                      (long long)federation->clients);
}
