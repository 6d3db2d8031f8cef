/* A table like NCCL's whose devices are this host's memory, between real ranks. */
#ifndef PPT_TESTS_MPI_NCCL_STAND_IN_H
#define PPT_TESTS_MPI_NCCL_STAND_IN_H

#include "jobs/comm.h"
#include "worker/comm_nccl.h"

struct nccl_stand_in {
    struct comm *comm;   /* the links' messages */
    int64_t device_name; /* of this rank's */
    bool refuses_id, refuses_open;
    bool is_never_met;                /* the first meeting goes on for ever */
    int fails_at, hangs_at;           /* a collective's number, from 1; 0: none */
    int n_opened, n_dropped, n_begun; /* what was done */
};

extern struct nccl_stand_in nccl_stand_in;
extern const struct nccl_module nccl_stand_in_module;

#endif
