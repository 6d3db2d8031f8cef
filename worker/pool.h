/* A world of a worker pool: ranks that stay alive and run plan after plan, one at a
 * time.
 *
 * Guarantees: a world serves the jobs of one login and never those of another. Every
 * rank holds the job's lock until it can do nothing more for that job, so that a free
 * lock says that no rank is left. A job that ends otherwise than well, and one whose
 * channels were sealed, ends its world with it; the next job gets a new one.
 *
 * Wiped when a job ends: the keys of its noise and sampling, every block of memory that
 * is given back, and the used part of the stack. Not wiped: what OpenBLAS and MPI keep
 * in buffers of their own until the world ends; the jobs of another login never come
 * there.
 */
#ifndef PPT_WORKER_POOL_H
#define PPT_WORKER_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/crypto.h"
#include "base/error.h"
#include "worker/world.h"

/* How long a world without a scheduler waits for one to come back. */
#define POOL_PATIENCE_S 60

/* Every rank calls it, before anything else of the process: from now on memory is wiped
 * as it is freed, and the process's mark (jobs/pool.h) can be changed. Errors:
 * PPT_EUSAGE (not started as ppt-schedd does it: there is no mark to be changed). */
int pool_prepare(struct error *err);

struct pool_site {
    const char *directory; /* the world's own */
    const unsigned char *public_key;
    int64_t max_jobs;
    bool is_in_pilot; /* orders are files of that directory (orders.h), not messages */
};

/* Every rank calls it with the same arguments; all ranks are on one node. Takes orders
 * from the scheduler at the socket of the directory above its own, or from files, and
 * runs plans until it has run `max_jobs`, is told to leave, stopped by SIGTERM while
 * idle, or has had no scheduler at the socket for POOL_PATIENCE_S; 0 then. A rank that
 * is lost ends the process.
 * Errors: PPT_ECOMM, PPT_EIO (the ranks cannot meet). */
int pool_serve(struct world *world, const struct pool_site *site, struct error *err);

#endif
