/* What a job ran on: environment.json in its directory, written by rank 0 before the
 * first step, so that it is there however the run ends.
 *
 * It is what rank 0's node says of itself, for audits and for running a job again in
 * the same way. It proves nothing against a node that lies. No record, count or key is
 * in it.
 */
#ifndef PPT_WORKER_ENVIRONMENT_H
#define PPT_WORKER_ENVIRONMENT_H

#include "base/error.h"

#define ENVIRONMENT_FILE "environment.json"

/* Version and ELF build id of this program, kernel, processor, `products` (the family
 * of kernels that makes them, kernels_cpu_products), memory, models of NVIDIA GPUs and
 * their driver, and every loaded library with its build id: two runs with the same ids
 * and family ran the same machine code.
 * The libraries are those that were loaded when the process was first asked; one thread
 * may ask. Replaces `path` atomically and for reading only: the jobs of one process
 * share one file under many names. On disk once the directory is synced. Errors:
 * PPT_EIO, PPT_ENOMEM. */
int environment_write(const char *path, const char *products, struct error *err);

#endif
