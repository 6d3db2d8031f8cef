#include "jobs/dp/snapshot.h"

#include <stdlib.h>
#include <string.h>

#include "jobs/dp/verdict.h"

struct head {
    char magic[8];
    int64_t job_id, step, n_params, n_states;
    char spec_sha256[64];
};

_Static_assert(sizeof(struct head) == 104, "the checkpoint's head has no padding");

static struct head head_of(const struct trainer *trainer)
{
    struct head head = {
        .job_id = trainer->plan->job_id,
        .step = trainer->step,
        .n_params = trainer->net.n_params,
        .n_states = trainer_n_states(trainer),
    };
    memcpy(head.magic, "PPTDPCK1", sizeof head.magic);
    memcpy(head.spec_sha256, trainer->plan->spec_sha256, sizeof head.spec_sha256);
    return head;
}

int snapshot_save(struct trainer *trainer, struct error *err)
{
    struct comm *comm = trainer->env->comm;
    struct io *io = trainer->env->io;
    struct head head = head_of(trainer);
    size_t n_bytes = (size_t)head.n_params * sizeof(float);
    size_t len = sizeof head + (1 + (size_t)head.n_states) * n_bytes;
    const struct memory *memory = trainer->env->kernels->memory;
    size_t slice = (size_t)trainer->n_slice;
    float *whole = calloc((size_t)trainer->n_padded, sizeof *whole);
    float *mine = calloc(slice, sizeof *mine);
    const float *params = NULL;
    char *data = comm->rank == 0 ? malloc(len) : NULL;
    int rc = 0;
    if (whole == NULL || mine == NULL || (comm->rank == 0 && data == NULL)) {
        rc = error_set(err, PPT_ENOMEM, "cannot allocate a checkpoint of %zu bytes",
                       len);
        goto out;
    }
    rc = trainer_params(trainer, &params, err);
    if (rc != 0) {
        goto out;
    }
    if (data != NULL) {
        memcpy(data, &head, sizeof head);
        memcpy(data + sizeof head, params, n_bytes);
    }
    for (int i = 0; i < trainer_n_states(trainer); i++) {
        memory->download(mine, trainer->state + i * trainer->n_slice,
                         slice * sizeof *mine);
        rc = trainer_check(trainer, err);
        if (rc == 0) {
            rc = comm->ops->all_gather_f32(comm, mine, whole, slice, err);
        }
        if (rc != 0) {
            goto out;
        }
        if (data != NULL) {
            memcpy(data + sizeof head + (size_t)(i + 1) * n_bytes, whole, n_bytes);
        }
    }
    if (data != NULL) {
        rc = io->checkpoint_save(io, data, len, err);
    }
    rc = verdict_share(comm, rc, err);
out:
    free(whole);
    free(mine);
    free(data);
    return rc;
}

static int check_head(const struct trainer *trainer, const void *data, size_t len,
                      struct error *err)
{
    struct head expected = head_of(trainer), head = {0};
    if (len >= sizeof head) {
        memcpy(&head, data, sizeof head);
    }
    expected.step = head.step;
    size_t n_floats = (size_t)expected.n_params * (1 + (size_t)expected.n_states);
    if (memcmp(&head, &expected, sizeof head) != 0 || head.step < 0 ||
        head.step > trainer->n_steps || len != sizeof head + n_floats * sizeof(float)) {
        error_set(err, PPT_ETRUST, "the checkpoint is damaged or of another job");
        return error_hint(err, "remove it to start the training over");
    }
    return 0;
}

/* One whole array from rank 0 to all. */
static int share(struct trainer *trainer, const char *data, int i, float *whole,
                 struct error *err)
{
    struct comm *comm = trainer->env->comm;
    size_t n_bytes = (size_t)trainer->net.n_params * sizeof(float);
    memset(whole, 0, (size_t)trainer->n_padded * sizeof *whole);
    if (data != NULL) {
        memcpy(whole, data + sizeof(struct head) + (size_t)i * n_bytes, n_bytes);
    }
    return comm->ops->broadcast(comm, whole, n_bytes, 0, err);
}

static int take(struct trainer *trainer, const char *data, struct error *err)
{
    const struct memory *memory = trainer->env->kernels->memory;
    int64_t n = trainer->n_slice;
    float *whole = calloc((size_t)trainer->n_padded, sizeof *whole);
    if (whole == NULL) {
        return error_set(err, PPT_ENOMEM, "cannot allocate the checkpoint's arrays");
    }
    int rc = share(trainer, data, 0, whole, err);
    if (rc == 0) {
        memory->upload(trainer->params, whole,
                       (size_t)trainer->n_padded * sizeof *whole);
    }
    for (int i = 0; rc == 0 && i < trainer_n_states(trainer); i++) {
        rc = share(trainer, data, i + 1, whole, err);
        if (rc == 0) {
            memory->upload(trainer->state + i * n, whole + trainer->env->comm->rank * n,
                           (size_t)n * sizeof *whole);
        }
    }
    free(whole);
    return rc != 0 ? rc : trainer_check(trainer, err);
}

int snapshot_load(struct trainer *trainer, struct error *err)
{
    struct comm *comm = trainer->env->comm;
    struct io *io = trainer->env->io;
    void *data = NULL;
    size_t len = 0;
    int64_t step = -1; /* none */
    int rc = 0;
    if (comm->rank == 0) {
        rc = io->checkpoint_load(io, &data, &len, err);
        if (rc == 0 && data != NULL) {
            rc = check_head(trainer, data, len, err);
        }
        if (rc == 0 && data != NULL) {
            step = ((const struct head *)data)->step;
        }
    }
    rc = verdict_share(comm, rc, err);
    if (rc == 0) {
        rc = comm->ops->broadcast(comm, &step, sizeof step, 0, err);
    }
    if (rc == 0 && step >= 0) {
        rc = take(trainer, data, err);
        trainer->step = rc == 0 ? step : trainer->step;
    }
    free(data);
    return rc;
}
