#include "jobs/spec/devices.h"

static const struct field trace_fields[] = {
    {.key = "file",
     .type = FIELD_NAME,
     .offset = offsetof(struct spec_base, file),
     .is_required = true},
    {.key = "sha256",
     .type = FIELD_OWN,
     .is_required = true,
     .read = field_read_digest,
     .write = field_write_digest},
};
const struct field_section field_trace = {"federation.devices.trace", trace_fields,
                                          sizeof trace_fields / sizeof trace_fields[0]};

static void read_trace(struct ydoc_faults *faults, const struct ydoc_node *node,
                       void *base)
{
    struct spec_devices *devices = base;
    if (node != NULL)
        field_read(faults, node, &field_trace, &devices->trace);
}

static void write_trace(struct json *json, const struct field *field, const void *base)
{
    const struct spec_devices *devices = base;
    if (devices->trace.file[0] == '\0')
        return;
    json_object(json, field->key);
    field_write(json, &field_trace, &devices->trace);
    json_close_object(json);
}

static bool is_drawn(const void *base)
{
    const struct spec_devices *devices = base;
    return devices->trace.file[0] == '\0';
}

/* The trace stands first, since it decides on others. */
static const struct field devices_fields[] = {
    {.key = "trace", .type = FIELD_OWN, .read = read_trace, .write = write_trace},
    {.key = "over_commit",
     .type = FIELD_NUMBER,
     .offset = offsetof(struct spec_devices, over_commit),
     .range = {1, 10, false, false},
     .number_default = 1.3},
    {.key = "examples_per_s",
     .type = FIELD_NUMBER,
     .offset = offsetof(struct spec_devices, examples_per_s),
     .range = {1e-6, 1e12, false, false},
     .number_default = 1000,
     .applies = is_drawn,
     .only_with = "no trace"},
    {.key = "bytes_per_s",
     .type = FIELD_NUMBER,
     .offset = offsetof(struct spec_devices, bytes_per_s),
     .range = {1e-6, 1e15, false, false},
     .number_default = 1e6,
     .applies = is_drawn,
     .only_with = "no trace"},
    {.key = "spread",
     .type = FIELD_NUMBER,
     .offset = offsetof(struct spec_devices, spread),
     .range = {0, 5, false, false},
     .number_default = 1,
     .applies = is_drawn,
     .only_with = "no trace"},
    {.key = "availability",
     .type = FIELD_NUMBER,
     .offset = offsetof(struct spec_devices, availability),
     .range = {0.01, 1, false, false},
     .number_default = 1,
     .applies = is_drawn,
     .only_with = "no trace"},
    {.key = "period",
     .type = FIELD_DURATION,
     .offset = offsetof(struct spec_devices, period_s),
     .n_least = 1,
     .n_most = 31622400,
     .n_default = 86400},
};
const struct field_section field_devices = {"federation.devices", devices_fields,
                                            sizeof devices_fields /
                                                sizeof devices_fields[0]};

void devices_read(struct ydoc_faults *faults, const struct ydoc_node *node, void *base)
{
    struct spec_federation *federation = base;
    if (node == NULL)
        return;
    federation->devices.is_on = true;
    field_read(faults, node, &field_devices, &federation->devices);
}

void devices_write(struct json *json, const struct field *field, const void *base)
{
    const struct spec_federation *federation = base;
    if (!federation->devices.is_on)
        return;
    json_object(json, field->key);
    field_write(json, &field_devices, &federation->devices);
    json_close_object(json);
}

void devices_check(struct ydoc_faults *faults, const struct ydoc_node *node,
                   const struct spec *spec)
{
    const struct spec_federation *federation = &spec->federation;
    if (!federation->devices.is_on)
        return;
    if (spec->privacy.is_private)
        ydoc_fault_at(faults, node, "devices",
                      "expected no such section, or privacy: none: who is there and "
                      "fast would choose the cohort, and only a secret draw is priced");
    else if (!spec_selection_is_exact(federation->selection))
        ydoc_fault_at(faults, node, "selection",
                      "expected fixed or weighted with devices: the first so many to "
                      "finish are waited for");
    if (federation->aggregation == AGGREGATION_SECAGG)
        ydoc_fault_at(faults, node, "devices",
                      "expected no such section, or aggregation: clear; secagg.vanish "
                      "loses clients there");
    if (federation->robust.is_on)
        ydoc_fault_at(
            faults, node, "robust",
            "expected no such section with devices: a rule counts on how many "
            "updates there are");
    if (federation->consent.is_asked)
        ydoc_fault_at(faults, node, "consent",
                      "expected no such section with devices: a job that goes on from "
                      "a checkpoint would not know what its clock was");
}
