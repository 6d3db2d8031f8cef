/* The section federation.consent: how many clients must have agreed for a round. */
#ifndef PPT_JOBS_SPEC_CONSENT_H
#define PPT_JOBS_SPEC_CONSENT_H

#include "jobs/spec/field.h"

/* The table, for fields.c. */
extern const struct field_section field_consent;

/* Reads and writes the key of a struct spec_federation. */
void consent_read(struct ydoc_faults *faults, const struct ydoc_node *node,
                  void *federation);
void consent_write(struct json *json, const struct field *field,
                   const void *federation);

/* Adds a fault for each combination that is impossible; `node` is the federation's. */
void consent_check(struct ydoc_faults *faults, const struct ydoc_node *node,
                   const struct spec *spec);

#endif
