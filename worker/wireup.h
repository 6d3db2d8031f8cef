/* PMIx's door: what the resource manager knows about a rank's peers, and how ranks hand
 * each other their public keys.
 *
 * The same under srun --mpi=pmix and mpirun: both run a PMIx server beside each node's
 * ranks, and a rank talks to it over a local socket that belongs to the job's user.
 * Keys are as genuine as these servers and their own network are (Slurm's daemons, Open
 * MPI's orted); nothing secret is handed to them.
 */
#ifndef PPT_WORKER_WIREUP_H
#define PPT_WORKER_WIREUP_H

#include <stdbool.h>

#include "base/crypto.h"
#include "base/error.h"

/* Joins the job's name space; after MPI has started, as its rank `rank` of `size`. Says
 * whether ranks run on more than one node; true where that is not known. A world of one
 * rank asks nobody. Pair with wireup_leave. Errors: PPT_ECOMM (no PMIx server, or it
 * numbers the ranks otherwise). */
int wireup_join(int rank, int size, bool *ret_spans_nodes, struct error *err);
void wireup_leave(int size);

/* This rank's number among the job's ranks on its node, from 0, for what they share out
 * there; may be called with or without wireup_join. A world of one rank asks nobody.
 * Errors: PPT_ECOMM (no PMIx server, or it does not know). */
int wireup_local_rank(int size, int *ret_local_rank, struct error *err);

/* Publishes this rank's public key and fetches all; every rank calls it, once a
 * process. ret_keys has room for `size`. Errors: PPT_ECOMM. */
int wireup_keys(int size, const unsigned char key[CRYPTO_KEY_SIZE],
                unsigned char (*ret_keys)[CRYPTO_KEY_SIZE], struct error *err);

#endif
