#include "jobs/comm.h"

#include <string.h>

static int keep_f64(struct comm *comm, double *data, size_t n, struct error *err)
{
    (void)comm, (void)data, (void)n, (void)err;
    return 0;
}

static int keep_i64(struct comm *comm, int64_t *data, size_t n, struct error *err)
{
    (void)comm, (void)data, (void)n, (void)err;
    return 0;
}

static int copy_f64(struct comm *comm, const double *send, double *recv, size_t n_slice,
                    struct error *err)
{
    (void)comm, (void)err;
    memcpy(recv, send, n_slice * sizeof *recv);
    return 0;
}

static int copy_f32(struct comm *comm, const float *send, float *recv, size_t n_slice,
                    struct error *err)
{
    (void)comm, (void)err;
    memcpy(recv, send, n_slice * sizeof *recv);
    return 0;
}

static int keep_bytes(struct comm *comm, void *data, size_t len, int root,
                      struct error *err)
{
    (void)comm, (void)data, (void)len, (void)root, (void)err;
    return 0;
}

static int pass(struct comm *comm, struct error *err)
{
    (void)comm, (void)err;
    return 0;
}

static const struct comm_ops alone_ops = {
    .sum_f64 = keep_f64,
    .max_i64 = keep_i64,
    .reduce_scatter_f64 = copy_f64,
    .all_gather_f32 = copy_f32,
    .broadcast = keep_bytes,
    .barrier = pass,
};

struct comm comm_alone = {.rank = 0, .size = 1, .ops = &alone_ops, .state = NULL};
