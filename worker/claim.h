/* Who has which of a node's devices: a lock a device, which ends with the process that
 * holds it, however that ends.
 *
 * The scheduler counts GPUs a node, mpirun hands out none: ranks of several jobs each
 * see all of them. So a rank takes one that no other rank holds. Where Slurm hands out
 * GPUs a rank sees its own only and nobody need ask.
 *
 * Two places, of which the first that can be trusted counts. `shared` is the
 * administrator's: a folder with a file 0, 1, ... for each device, all owned by root
 * and written by nobody else, so that nobody can put others there; locks need only
 * reading, so all logins see each other's. `own` is made here, and is this login's
 * alone: ranks of other logins are not seen. In both, a login could hold locks that it
 * does not need. Devices are numbered as a rank sees them: ranks of one node must see
 * the same.
 */
#ifndef PPT_WORKER_CLAIM_H
#define PPT_WORKER_CLAIM_H

#include <stdbool.h>

/* The first device from `first` on (around 0..n_devices-1) that nobody holds, and holds
 * it until the process ends. Where all are held, or neither place can be trusted:
 * `first` modulo n_devices, and *ret_is_alone is false. */
int claim_device(const char *shared, const char *own, int n_devices, int first,
                 bool *ret_is_alone);

/* Has Slurm given this process GPUs? Not where it runs jobs and knows of none. */
bool claim_is_slurms(void);

#endif
