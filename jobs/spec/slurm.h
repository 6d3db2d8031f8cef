/* resources.slurm: what a job may ask of Slurm beyond ranks, cores, memory and time.
 *
 * Jobs run as the scheduler's own user, so an option is power over that user. Options
 * are therefore checked against a list of those that only say where and when a job
 * runs; every other one is refused, and so is every abbreviation, which Slurm would
 * take. What such an option says, the site's launcher.arguments may still overrule.
 */
#ifndef PPT_JOBS_SPEC_SLURM_H
#define PPT_JOBS_SPEC_SLURM_H

#include "jobs/spec/field.h"

extern const struct field_section field_slurm;

/* Of struct spec_resources. No key, null and an empty mapping all mean "nothing". */
void slurm_read(struct ydoc_faults *faults, const struct ydoc_node *node, void *base);
/* Writes nothing where nothing is set, so older specs keep their digests. */
void slurm_write(struct json *json, const struct field *field, const void *base);

#endif
