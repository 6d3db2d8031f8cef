/* Ranks agreeing on what rank 0 found: an error there must be everybody's, or the
 * others would wait for it in the next collective for ever. */
#ifndef PPT_JOBS_DP_VERDICT_H
#define PPT_JOBS_DP_VERDICT_H

#include "base/error.h"
#include "jobs/comm.h"

/* Every rank calls it with rc and err as rank 0 has them (others: anything). Returns
 * rank 0's rc on all, with its text. Errors: rank 0's, or PPT_ECOMM. */
int verdict_share(struct comm *comm, int rc, struct error *err);

/* Every rank calls it with an rc of its own. Returns rc where it is not 0; elsewhere
 * the largest code of the others, or 0. Errors: those, or PPT_ECOMM. */
int verdict_join(struct comm *comm, int rc, struct error *err);

#endif
