/* What a job's resources.slurm comes to on sbatch's command line. */
#ifndef PPT_SCHEDULER_SLURM_WISHES_H
#define PPT_SCHEDULER_SLURM_WISHES_H

#include "jobs/spec/spec.h"

#define SLURM_MAX_WISHES (SPEC_MAX_OPTIONS + 7)
#define SLURM_WISH_SIZE (SPEC_NAME_SIZE + 16)

/* One argument each, no shell between; returns how many. The time margin is not among
 * them. NULL wishes nothing. The spec has been checked (spec_parse). */
int slurm_wishes(const struct spec_slurm *slurm,
                 char ret_wishes[SLURM_MAX_WISHES][SLURM_WISH_SIZE]);

#endif
