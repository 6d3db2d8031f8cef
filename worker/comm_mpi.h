/* MPI's door: struct comm over an MPI communicator. With the start and end of MPI
 * itself, so that no other file knows MPI.
 *
 * MPI's errors are returned as PPT_ECOMM, not fatal; a rank that dies takes the job
 * with it (mpirun ends the others), so no call waits for a dead one for ever.
 */
#ifndef PPT_WORKER_COMM_MPI_H
#define PPT_WORKER_COMM_MPI_H

#include <signal.h>
#include <stddef.h>

#include "base/error.h"
#include "jobs/comm.h"

/* Starts MPI; one thread may call it. Once a process. Errors: PPT_ECOMM. */
int comm_mpi_start(int *argc, char ***argv, struct error *err);

/* Ends MPI on every rank together. */
void comm_mpi_end(void);

/* Ends every rank's process at once; mpirun's exit status is `status`. */
_Noreturn void comm_mpi_abort(int status);

/* A communicator of its own over all ranks: messages of two of them never meet. Every
 * rank calls it. Free by comm_mpi_free before comm_mpi_end. Errors: PPT_ECOMM. */
int comm_mpi_new(struct comm *ret_comm, struct error *err);
void comm_mpi_free(struct comm *comm);

/* A channel of some of comm's ranks alone, in the order listed, this one among them;
 * only they call it. It has no counter. Free as above. Errors: PPT_ECOMM, PPT_ENOMEM.
 */
int comm_mpi_new_among(const struct comm *comm, const int *ranks, int n,
                       struct comm *ret_comm, struct error *err);

/* As comm_mpi_new, to agree about errors on: max_i64 and broadcast sleep while they
 * wait, and give up with PPT_ECOMM once *give_up is not 0. After that only
 * comm_mpi_abort ends the process cleanly. */
int comm_mpi_new_control(const volatile sig_atomic_t *give_up, struct comm *ret_comm,
                         struct error *err);

/* One message each way at the same time: send_len bytes to rank `to`, and at most
 * recv_size from rank `from`, whose length comes back; COMM_MPI_NOBODY for either
 * leaves that half out. Both < 2^31. Messages between two ranks keep their order. On a
 * control channel it sleeps and gives up as above, and the buffers must live on until
 * the process ends. Errors: PPT_ECOMM (also: a message longer than recv_size). */
#define COMM_MPI_NOBODY (-1)
int comm_mpi_exchange(struct comm *comm, const void *send, size_t send_len, int to,
                      void *recv, size_t recv_size, int from, size_t *ret_recv_len,
                      struct error *err);

#endif
