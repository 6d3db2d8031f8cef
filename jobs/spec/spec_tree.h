/* A spec out of a tree: what spec.c and sweep.c share. Not for other rooms. */
#ifndef PPT_JOBS_SPEC_SPEC_TREE_H
#define PPT_JOBS_SPEC_SPEC_TREE_H

#include "base/ydoc.h"
#include "jobs/spec/spec.h"

/* Reads and checks; root may be NULL after a fault of syntax. All faults are added.
 * The digest is left empty. */
void spec_from_tree(struct ydoc_faults *faults, const struct ydoc_node *root,
                    const struct spec_policy *policy, struct spec *ret_spec);

/* ydoc_faults_end in a spec's words. */
int spec_tree_end(struct ydoc_faults *faults, struct error *err);

/* Fills in the digest of a spec that is complete but for it. Errors: PPT_ENOMEM. */
int spec_name(struct spec *spec, struct error *err);

#endif
