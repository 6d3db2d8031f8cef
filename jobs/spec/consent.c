#include "jobs/spec/consent.h"

#define MOST_CLIENTS (1 << 20)

static const struct field consent_fields[] = {
    {.key = "min_clients",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_consent, min_clients),
     .n_least = 1,
     .n_most = MOST_CLIENTS,
     .n_default = 10},
    {.key = "min_share",
     .type = FIELD_NUMBER,
     .offset = offsetof(struct spec_consent, min_share),
     .range = {0, 1, false, false},
     .number_default = 0.75},
};
const struct field_section field_consent = {"federation.consent", consent_fields,
                                            sizeof consent_fields /
                                                sizeof consent_fields[0]};

void consent_read(struct ydoc_faults *faults, const struct ydoc_node *node, void *base)
{
    struct spec_federation *federation = base;
    if (node == NULL)
        return;
    federation->consent.is_asked = true;
    field_read(faults, node, &field_consent, &federation->consent);
}

void consent_write(struct json *json, const struct field *field, const void *base)
{
    const struct spec_federation *federation = base;
    if (!federation->consent.is_asked)
        return;
    json_object(json, field->key);
    field_write(json, &field_consent, &federation->consent);
    json_close_object(json);
}

void consent_check(struct ydoc_faults *faults, const struct ydoc_node *node,
                   const struct spec *spec)
{
    const struct spec_federation *federation = &spec->federation;
    const struct spec_consent *consent = &federation->consent;
    if (!consent->is_asked)
        return;
    if (federation->robust.is_on)
        ydoc_fault_at(
            faults, node, "robust",
            "expected no such section with consent: a rule counts on how many "
            "updates there are");
    if (federation->attack.is_on)
        ydoc_fault_at(
            faults, node, "attack",
            "expected no such section with consent: its updates are looked at "
            "side by side");
    if (federation->client_momentum > 0)
        ydoc_fault_at(faults, node, "client_momentum",
                      "expected 0 with consent: a sum that is made anew would move it "
                      "twice");
    if (federation->compress.is_on)
        ydoc_fault_at(faults, node, "compress",
                      "expected no such section with consent: a sum that is made anew "
                      "would move what clients left out twice");
    if (federation->noise.by == NOISE_BY_CLIENTS)
        ydoc_fault_at(faults, node, "noise",
                      "expected by: server with consent: noise that leaves with a "
                      "client would tell that it was drawn");
    if (!spec->privacy.is_private && consent->min_clients > federation->cohort)
        ydoc_fault_at(faults, ydoc_get(node, "consent"), "min_clients",
                      "expected at most the cohort, which is %lld, found %lld",
                      (long long)federation->cohort, (long long)consent->min_clients);
}
