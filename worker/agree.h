/* How ranks agree on whether a step has failed, so that none waits for another. */
#ifndef PPT_WORKER_AGREE_H
#define PPT_WORKER_AGREE_H

#include "base/error.h"
#include "jobs/comm.h"

/* Every rank calls it with the outcome of its own step (0, or a negative code and its
 * *err). Returns 0 on all ranks if it was 0 on all; else the code of the lowest rank
 * that failed by something else than PPT_ECOMM, which is mostly what ranks have whose
 * peer has failed, or of the lowest that failed by that; every rank then has its *err.
 * `err` is not NULL. Errors besides: PPT_ECOMM. */
int agree(struct comm *comm, int rc, struct error *err);

#endif
