/* A struct comm whose messages are sealed (seal.h says against whom, and what leaks):
 * every collective is made of records between two ranks, over the point-to-point
 * messages of a comm_mpi.
 *
 * The order of adding is fixed by the number of ranks and their nodes, and a sum is
 * made in one place: the same bits on all ranks, in every run. It may differ from MPI's
 * order, so sums that are not exact may differ from comm_mpi's in the last bits.
 */
#ifndef PPT_WORKER_COMM_SEALED_H
#define PPT_WORKER_COMM_SEALED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "jobs/comm.h"
#include "worker/seal.h"

/* Handshakes with every other rank; every rank calls it. `plain` comes from
 * comm_mpi_new or comm_mpi_new_control, stays the caller's, and carries nothing else
 * until comm_sealed_free. `keys`: the ranks' public identities, `size` of them, of
 * which this rank's is `identity`; neither is needed afterwards. Two rounds of
 * messages; a rank that is refused does not keep the others waiting. Errors: PPT_ETRUST
 * (a rank is not who it should be), PPT_ECOMM, PPT_ENOMEM. Every collective may fail
 * with PPT_ETRUST besides PPT_ECOMM; then the job must end. */
int comm_sealed_new(struct comm *plain, const struct seal_context *context,
                    const struct seal_identity *identity,
                    unsigned char (*keys)[CRYPTO_KEY_SIZE],
                    const struct seal_limits *limits, struct comm *ret_comm,
                    struct error *err);

/* From now on the two collectives of a training step go by nodes: ranks of a node add
 * up among themselves, in the clear as on a single node, and each passes on only what
 * belongs to its place, sealed, to the ranks in its place on the other nodes; so for P
 * ranks on N nodes each seals (N - 1) / P of the numbers and not (P - 1) / P. Sums of
 * whole numbers are the same to the bit. nodes[size]: every rank's, as the sealed
 * control channel told it, for whoever can change them has ranks talk in the clear. No
 * more than a check where nodes have unlike numbers of ranks, or one. Every rank calls
 * it. Errors: PPT_ECOMM, PPT_ENOMEM. */
int comm_sealed_by_node(struct comm *comm, const int64_t *nodes, struct error *err);

/* Wipes the keys. */
void comm_sealed_free(struct comm *comm);

/* True once a message did not verify or could not be moved: other ranks may wait for
 * ever, so only comm_mpi_abort ends the process cleanly. */
bool comm_sealed_is_broken(const struct comm *comm);

#endif
