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

/* Where this rank is; for what ranks share out on a node. */
struct wireup_place {
    int64_t node;   /* of the job's nodes, from 0, with gaps */
    int local_rank; /* among the job's ranks on this node, from 0 */
};

/* May be called with or without wireup_join. A world of one rank asks nobody. Errors:
 * PPT_ECOMM (no PMIx server, or it does not know). */
int wireup_find_place(int size, struct wireup_place *ret_place, struct error *err);

/* The name of the host of any rank, cut where it is too long. Otherwise as above. */
int wireup_host(int size, int rank, char *ret_name, size_t name_size,
                struct error *err);

/* Publishes this rank's public key and fetches all; every rank calls it, once a
 * process. ret_keys has room for `size`. Errors: PPT_ECOMM. */
int wireup_keys(int size, const unsigned char key[CRYPTO_KEY_SIZE],
                unsigned char (*ret_keys)[CRYPTO_KEY_SIZE], struct error *err);

#endif
