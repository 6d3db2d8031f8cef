/* The section federation.attack: which clients of a simulated federation are false. */
#ifndef PPT_JOBS_SPEC_ATTACK_H
#define PPT_JOBS_SPEC_ATTACK_H

#include "jobs/spec/field.h"

/* Reads and writes the key of a struct spec_federation. */
void attack_read(struct ydoc_faults *faults, const struct ydoc_node *node,
                 void *federation);
void attack_write(struct json *json, const struct field *field, const void *federation);

/* Adds a fault for each combination that is impossible; `node` is the federation's. */
void attack_check(struct ydoc_faults *faults, const struct ydoc_node *node,
                  const struct spec *spec);

#endif
