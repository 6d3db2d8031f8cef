#include "jobs/dp/verdict.h"

#include <string.h>

int verdict_share(struct comm *comm, int rc, struct error *err)
{
    struct error shared = {0};
    if (comm->rank == 0 && rc != 0) {
        shared.code = -rc;
        if (err != NULL) {
            shared = *err;
        }
    }
    struct error lost = {0};
    int lost_rc = comm->ops->broadcast(comm, &shared, sizeof shared, 0, &lost);
    if (lost_rc != 0) {
        shared = lost;
        shared.code = -lost_rc;
    }
    if (shared.code != 0 && err != NULL) {
        *err = shared;
    }
    return -shared.code;
}

int verdict_join(struct comm *comm, int rc, struct error *err)
{
    int64_t code = -rc;
    struct error lost = {0};
    int lost_rc = comm->ops->max_i64(comm, &code, 1, &lost);
    if (rc != 0) {
        return rc;
    }
    if (lost_rc != 0) {
        return error_set(err, (enum ppt_error) - lost_rc, "%s", lost.text);
    }
    return code == 0 ? 0
                     : error_set(err, (enum ppt_error)code, "another rank failed: %s",
                                 error_sentence((int)code));
}
