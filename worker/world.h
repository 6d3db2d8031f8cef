/* The ranks of a job and how they talk: two channels over MPI, and their sealing where
 * ranks run on more than one node.
 *
 * On one node messages stay in memory that only the job's user can read, and are not
 * sealed; nor are sums and parameters between ranks of the same one of several nodes.
 * Across nodes they always are: nothing switches that off. PPT_SEAL=always in the
 * environment of any rank seals on a node too.
 */
#ifndef PPT_WORKER_WORLD_H
#define PPT_WORKER_WORLD_H

#include <stdbool.h>

#include "base/error.h"
#include "jobs/comm.h"

/* `comm` is the job's channel, `control` a second one over the same ranks, on which
 * they agree about errors. They point to the plain ones until world_seal. Not to be
 * moved. */
struct world {
    struct comm *comm, *control;
    bool is_sealed;
    bool is_one_node; /* all ranks have agreed on that, and ranks do not move */
    struct comm plain, plain_control, sealed, sealed_control;
};

/* Starts MPI and opens both channels. Errors: PPT_ECOMM, PPT_ENOMEM; only
 * comm_mpi_abort ends the process then. */
int world_open(struct world *world, int *argc, char ***argv, struct error *err);

/* Every rank calls it, when the ranks know which job they run; for the next job again.
 * Where is_sealed already the channels stay as they are, with the keys and the count of
 * messages of these ranks' first job: only for jobs of one user's step. Gives all ranks
 * the same answer. Afterwards comm and control are sealed, or is_sealed is false: one
 * node. What was said before, that a plan could be read or why not, was in the clear.
 * Errors: those of wireup.h and comm_sealed_new. */
int world_seal(struct world *world, int64_t job_id, int64_t attempt, struct error *err);

/* True where a rank may be gone or deaf: end by comm_mpi_abort, not by world_close. */
bool world_is_broken(const struct world *world);

/* Wipes keys, closes the channels, ends MPI; every rank calls it. */
void world_close(struct world *world);

#endif
