#include "worker/agree.h"

int agree(struct comm *comm, int rc, struct error *err)
{
    int64_t blame = rc == 0 ? 0 : comm->size - comm->rank;
    if (blame > 0 && rc != -PPT_ECOMM)
        blame += comm->size;
    struct error comm_err = {0};
    int comm_rc = comm->ops->max_i64(comm, &blame, 1, &comm_err);
    if (comm_rc == 0 && blame > 0)
        comm_rc =
            comm->ops->broadcast(comm, err, sizeof *err,
                                 (2 * comm->size - (int)blame) % comm->size, &comm_err);
    if (comm_rc != 0) {
        if (rc == 0)
            *err = comm_err;
        return rc != 0 ? rc : comm_rc;
    }
    return blame > 0 ? -err->code : 0;
}
