/* Sense: what no single field can know. */
#ifndef PPT_JOBS_SPEC_CHECK_H
#define PPT_JOBS_SPEC_CHECK_H

#include "base/ydoc.h"
#include "jobs/spec/spec.h"

/* Adds a fault for each impossible combination. `root` is where the spec was read from:
 * presence is asked there, so that a field with a fault of its own is not judged again.
 */
void check_sense(struct ydoc_faults *faults, const struct ydoc_node *root,
                 const struct spec *spec);

/* Adds a fault of policy for each bound of the site that the spec is beyond. */
void check_policy(struct ydoc_faults *faults, const struct ydoc_node *root,
                  const struct spec *spec, const struct spec_policy *policy);

#endif
