/* What Slurm calls an attempt and says of it, for people to see. Nothing is decided by
 * it.
 */
#ifndef PPT_SCHEDULER_SLURM_JOB_H
#define PPT_SCHEDULER_SLURM_JOB_H

#include <stdint.h>

struct slurm_job {
    int64_t id;      /* 0: Slurm knows of none, or was not asked */
    char state[24];  /* squeue's word, such as PENDING; "" with id 0 */
    char reason[96]; /* why it is in it, cut where it is longer; "": no reason given */
};

#endif
