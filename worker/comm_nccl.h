/* NCCL, as the table of a module (ppt-comm-nccl.so) that is opened for jobs whose ranks
 * each compute on a device, and for no others: ppt-worker itself is linked with no
 * library of CUDA's. comm_nccl.c is NCCL's door and all that the module is made of;
 * device_comm.h says when it is used, and waits.
 *
 * Nothing here waits: what was begun goes on by itself (NCCL's communicators that do
 * not block, a stream of their own) and poll tells how far it is. A failure, also one
 * that NCCL met behind the caller's back, is poll's -1, and its words are error's.
 *
 * Sums are ncclFloat64's: doubles added as doubles, in an order that NCCL chooses.
 * Whole numbers of a grid stay exact below 2^53.
 *
 * NOT RUN on a device: everything in comm_nccl.c. It was compiled and linked with NCCL
 * 2.28 for CUDA 13, and run where there was no GPU: new_id, which listens on the
 * loopback interface alone, and the words where there is no such device (check_nccl).
 * So neither that two devices add up, nor how NCCL tells of a process that died, nor
 * what abort leaves on a device, nor its speed has been seen. `ctest -L gpu` (mpi_nccl)
 * runs the first of these: a rank beside itself where there is one device, ranks with
 * each other where there are two. What waits and chooses was run by a table that stands
 * in.
 */
#ifndef PPT_WORKER_COMM_NCCL_H
#define PPT_WORKER_COMM_NCCL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NCCL_ID_SIZE 128

struct nccl_link; /* one rank's end */

/* Handed out under the name ppt_nccl_module. Where a bool is false, error tells why. */
struct nccl_module {
    const char *version; /* PPT_VERSION */
    /* What no other device of a node is called, the same in every process: its UUID. */
    bool (*name)(int device, int64_t ret_name[2]);
    /* Rank 0's, for all ranks to open with: it holds an address where rank 0 listens.
     */
    bool (*new_id)(unsigned char ret_id[NCCL_ID_SIZE]);
    /* Begins to meet the others; NULL if it cannot. Ended by drop. */
    struct nccl_link *(*open)(const unsigned char id[NCCL_ID_SIZE], int device,
                              int rank, int size);
    /* Begun; arrays in device memory, to be left alone until poll says 1. As in comm.h;
     * nothing else may be going on on the link. */
    bool (*reduce_scatter_f64)(struct nccl_link *link, const double *send, double *recv,
                               size_t n_slice);
    bool (*all_gather_f32)(struct nccl_link *link, const float *send, float *recv,
                           size_t n_slice);
    /* Of what was begun last: 1 done, 0 going on, -1 failed, then only drop is left. */
    int (*poll)(struct nccl_link *link);
    /* Aborts what is going on and frees the link; others may be left waiting. */
    void (*drop)(struct nccl_link *link);
    /* What failed last on the calling thread, in words of NCCL's or CUDA's. */
    const char *(*error)(void);
};
#define NCCL_MODULE_SYMBOL "ppt_nccl_module"

#endif
