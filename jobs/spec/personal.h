/* The section federation.personal: a model of each client's own beside the common one.
 */
#ifndef PPT_JOBS_SPEC_PERSONAL_H
#define PPT_JOBS_SPEC_PERSONAL_H

#include "jobs/spec/field.h"

/* The table, for fields.c. */
extern const struct field_section field_personal;

/* Reads and writes the key of a struct spec_federation. */
void personal_read(struct ydoc_faults *faults, const struct ydoc_node *node,
                   void *federation);
void personal_write(struct json *json, const struct field *field,
                    const void *federation);

/* Adds a fault for each combination that is impossible. */
void personal_check(struct ydoc_faults *faults, const struct ydoc_node *root,
                    const struct spec *spec);

#endif
