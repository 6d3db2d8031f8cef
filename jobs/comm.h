/* How the ranks of a job talk, without a word of MPI: a table of collectives.
 *
 * Every rank calls the same sequence with the same sizes, also when its own batch is
 * empty. Every call may fail with PPT_ECOMM; after that the job must end.
 */
#ifndef PPT_JOBS_COMM_H
#define PPT_JOBS_COMM_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct comm;

struct comm_ops {
    /* data[n] becomes the sum over ranks, the same bits on all. */
    int (*sum_f64)(struct comm *comm, double *data, size_t n, struct error *err);
    int (*max_i64)(struct comm *comm, int64_t *data, size_t n, struct error *err);
    /* send[size * n_slice] summed over ranks; recv gets slice `rank` of n_slice. */
    int (*reduce_scatter_f64)(struct comm *comm, const double *send, double *recv,
                              size_t n_slice, struct error *err);
    /* recv[size * n_slice]: everybody's slice in rank order. */
    int (*all_gather_f32)(struct comm *comm, const float *send, float *recv,
                          size_t n_slice, struct error *err);
    /* len bytes from rank `root` to all. */
    int (*broadcast)(struct comm *comm, void *data, size_t len, int root,
                     struct error *err);
    int (*barrier)(struct comm *comm, struct error *err);
    /* No collective, and NULL where the ranks have none that answers at once: how often
     * any of them has called it before, a number that no other call gets. */
    int (*take)(struct comm *comm, int64_t *ret_number, struct error *err);
};

/* Two of them among arrays in the memory of the ranks' devices, where those can reach
 * each other. What was queued on a device before is done when they are called, and the
 * result is there when they return. The order of adding is not told: only whole numbers
 * whose sums stay within 2^53 come out with the same bits as from comm_ops. */
struct comm_device {
    int (*reduce_scatter_f64)(struct comm_device *device, const double *send,
                              double *recv, size_t n_slice, struct error *err);
    int (*all_gather_f32)(struct comm_device *device, const float *send, float *recv,
                          size_t n_slice, struct error *err);
};

struct comm {
    int rank;
    int size;
    int n_beside; /* other ranks on this one's machine, as far as is known */
    const struct comm_ops *ops;
    void *state; /* the implementation's */
    /* NULL: what lies on devices goes by the hosts' memory. On all ranks or on none. */
    struct comm_device *device;
};

/* A world of one rank, for tests and single-process tools. */
extern struct comm comm_alone;

#endif
