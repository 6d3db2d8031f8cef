/* Who has which of a node's devices: a lock a device, which ends with the process that
 * holds it, however that ends.
 *
 * The scheduler counts GPUs a node, mpirun hands out none: ranks of several jobs each
 * see all of them. So a rank takes one that no other rank of this user holds. Under
 * Slurm a rank sees its own only and nobody need ask.
 */
#ifndef PPT_WORKER_CLAIM_H
#define PPT_WORKER_CLAIM_H

/* The first device from `first` on (around 0..n_devices-1) that nobody holds, and holds
 * it until the process ends; locks are files of `folder`, which need not be empty.
 * Where all are held, or no file can be made there: `first` modulo n_devices, shared.
 */
int claim_device(const char *folder, int n_devices, int first);

#endif
