/* Whether what ranks have on devices meets there (NCCL, by comm_nccl.h's table) or in
 * the hosts' memory (MPI), and the first of these as a struct comm_device.
 *
 * Devices meet where every rank has one, no two the same, all ranks are on one node and
 * their channels are not sealed. NCCL encrypts nothing, and what moves is sums before
 * their noise: between nodes, or where sealing was asked for, they go by the hosts'
 * memory and the sealed channels, however slow. Nothing switches that off. NCCL inside
 * each node and sealed channels between them would be allowed, and is not built.
 * In all other cases, also where NCCL does not start, the ranks go on by MPI.
 *
 * On a node what NCCL moves is as open as MPI's: memory of the job's user, and the
 * loopback interface.
 *
 * NCCL is asked all the while whether it has met a failure, such as a peer that is
 * gone. Then the link is aborted, so that no kernel of ours spins on a device, and this
 * and every later call fails; the ranks agree on a cause that is not only that they
 * lost each other (agree.h). What NCCL does not notice is a peer that stays away: as
 * with MPI the others wait, and the peer, which knows why, ends all of them by its own
 * clock (stop.h), with its cause in the report.
 */
#ifndef PPT_WORKER_DEVICE_COMM_H
#define PPT_WORKER_DEVICE_COMM_H

#include <stdbool.h>

#include "base/error.h"
#include "jobs/comm.h"
#include "worker/comm_nccl.h"

/* The table of the module at `path`, opened for good; false, and why in *err, where it
 * is not there, cannot be loaded or is another build's. */
bool device_comm_module(const char *path, const struct nccl_module **ret_module,
                        struct error *err);

struct device_comm_site {
    const struct nccl_module *module; /* NULL: this rank has none */
    int device;                       /* the current one of this thread; -1: none */
    bool is_sealed;                   /* the same on all ranks */
    int patience_s;                   /* for the first meeting */
};

/* Every rank calls it; control is not the job's channel. *ret_device is NULL where the
 * hosts' memory it is, on all ranks or on none; else end it by device_comm_close.
 * Errors: those of control. */
int device_comm_open(struct comm *control, const struct device_comm_site *site,
                     struct comm_device **ret_device, struct error *err);

/* NULL is allowed. Each rank for itself, no collective. */
void device_comm_close(struct comm_device *device);

#endif
