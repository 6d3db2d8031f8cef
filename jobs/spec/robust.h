/* The section federation.robust: by which rule a server that does not trust all of its
 * clients makes one update of theirs. */
#ifndef PPT_JOBS_SPEC_ROBUST_H
#define PPT_JOBS_SPEC_ROBUST_H

#include "jobs/spec/field.h"

/* Reads and writes the key of a struct spec_federation. */
void robust_read(struct ydoc_faults *faults, const struct ydoc_node *node,
                 void *federation);
void robust_write(struct json *json, const struct field *field, const void *federation);

/* Adds a fault for each combination that is impossible; `node` is the federation's. */
void robust_check(struct ydoc_faults *faults, const struct ydoc_node *node,
                  const struct spec *spec);

#endif
