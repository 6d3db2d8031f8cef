/* The section federation.devices: how fast clients are, when they are there, and how
 * many more are asked than are waited for. */
#ifndef PPT_JOBS_SPEC_DEVICES_H
#define PPT_JOBS_SPEC_DEVICES_H

#include "jobs/spec/field.h"

/* The table, for fields.c. */
extern const struct field_section field_devices, field_trace;

/* Reads and writes the key of a struct spec_federation. */
void devices_read(struct ydoc_faults *faults, const struct ydoc_node *node,
                  void *federation);
void devices_write(struct json *json, const struct field *field,
                   const void *federation);

/* Adds a fault for each combination that is impossible; `node` is the federation's. */
void devices_check(struct ydoc_faults *faults, const struct ydoc_node *node,
                   const struct spec *spec);

#endif
