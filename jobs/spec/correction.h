/* What federation.correction does not go together with. */
#ifndef PPT_JOBS_SPEC_CORRECTION_H
#define PPT_JOBS_SPEC_CORRECTION_H

#include "jobs/spec/field.h"

/* Adds a fault for each combination that is impossible; `node` is the federation's. */
void correction_check(struct ydoc_faults *faults, const struct ydoc_node *node,
                      const struct spec *spec);

#endif
