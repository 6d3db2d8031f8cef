#include "jobs/dp/snapshot.h"

#include <stdlib.h>
#include <string.h>

#include "jobs/dp/verdict.h"
#include "jobs/dp/votes.h"

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
        .n_params = trainer->n_kept,
        .n_states = trainer_n_states(trainer) +
                    (trainer->store != NULL ? trainer->store->n_arrays : 0),
    };
    memcpy(head.magic, "PPTDPCK1", sizeof head.magic);
    memcpy(head.spec_sha256, trainer->plan->spec_sha256, sizeof head.spec_sha256);
    return head;
}

/* Rank 0's side of a checkpoint that is being written; the others only gather. An error
 * of rank 0's disk must not keep it from the collectives, so it is kept till the end.
 */
struct writing {
    struct io *io; /* NULL: not rank 0, or nothing begun */
    int rc;
    struct error *err;
};

static void put(struct writing *writing, const void *data, size_t len)
{
    if (writing->io != NULL && writing->rc == 0) {
        writing->rc = writing->io->checkpoint_put(writing->io, data, len, writing->err);
    }
}

static void begin(struct writing *writing, const struct head *head)
{
    struct io *io = writing->io;
    size_t n_bytes = (size_t)head->n_params * sizeof(float);
    uint64_t len = sizeof *head + (1 + (uint64_t)head->n_states) * n_bytes;
    if (io != NULL) {
        writing->rc = io->checkpoint_begin(io, len, writing->err);
        writing->io = writing->rc == 0 ? io : NULL;
        put(writing, head, sizeof *head);
    }
}

/* The store's, from their owners. */
static int put_store(const struct trainer *trainer, struct writing *writing,
                     float *whole, struct error *err)
{
    const struct trainer_store *store = trainer->store;
    struct comm *comm = trainer->env->comm;
    size_t n_bytes = (size_t)trainer->n_kept * sizeof(float);
    int rc = 0;
    for (int64_t i = 0; rc == 0 && store != NULL && i < store->n_arrays; i++) {
        int owner = store->owner(store->state, i);
        const float *array = owner == comm->rank ? store->look(store->state, i) : NULL;
        if (array != NULL) {
            memcpy(whole, array, n_bytes);
        } else {
            memset(whole, 0, n_bytes);
        }
        rc = comm->ops->broadcast(comm, whole, n_bytes, owner, err);
        put(writing, whole, n_bytes);
    }
    return rc;
}

/* Every array whole, one after the other. */
static int put_arrays(struct trainer *trainer, struct writing *writing, float *mine,
                      float *whole, struct error *err)
{
    struct comm *comm = trainer->env->comm;
    const struct memory *memory = trainer->env->kernels->memory;
    size_t slice = (size_t)trainer->n_slice;
    size_t n_bytes = (size_t)trainer->n_kept * sizeof(float);
    const float *params = NULL;
    int rc = trainer_params(trainer, &params, err);
    if (rc != 0) {
        return rc;
    }
    put(writing, params, n_bytes);
    for (int i = 0; i < trainer_n_states(trainer); i++) {
        memory->download(mine, trainer->state + i * trainer->n_slice,
                         slice * sizeof *mine);
        rc = trainer_check(trainer, err);
        if (rc == 0) {
            rc = comm->ops->all_gather_f32(comm, mine, whole, slice, err);
        }
        if (rc != 0) {
            return rc;
        }
        put(writing, whole, n_bytes);
    }
    return put_store(trainer, writing, whole, err);
}

int snapshot_save(struct trainer *trainer, struct error *err)
{
    struct comm *comm = trainer->env->comm;
    struct head head = head_of(trainer);
    struct error disk_err = {0};
    struct writing writing = {.io = comm->rank == 0 ? trainer->env->io : NULL,
                              .err = &disk_err};
    float *whole = calloc((size_t)trainer->n_padded, sizeof *whole);
    float *mine = calloc((size_t)trainer->n_slice, sizeof *mine);
    int rc = whole == NULL || mine == NULL
                 ? error_set(err, PPT_ENOMEM, "cannot allocate a checkpoint's arrays")
                 : 0;
    if (rc == 0) {
        begin(&writing, &head);
        rc = put_arrays(trainer, &writing, mine, whole, err);
        if (writing.io != NULL) {
            writing.rc = writing.io->checkpoint_end(
                writing.io, rc != 0 ? rc : writing.rc, &disk_err);
        }
    }
    if (rc == 0) {
        if (writing.rc != 0 && err != NULL) {
            *err = disk_err;
        }
        rc = verdict_share(comm, writing.rc, err);
    }
    free(whole);
    free(mine);
    return rc;
}

static int check_head(const struct trainer *trainer, const struct head *head,
                      uint64_t len, struct error *err)
{
    struct head expected = head_of(trainer);
    expected.step = head->step;
    uint64_t n_floats = (uint64_t)expected.n_params * (1 + (uint64_t)expected.n_states);
    if (memcmp(head, &expected, sizeof *head) != 0 || head->step < 0 ||
        head->step > trainer->n_steps ||
        len != sizeof *head + n_floats * sizeof(float)) {
        error_set(err, PPT_ETRUST, "the checkpoint is damaged or of another job");
        return error_hint(err, "remove it to start the training over");
    }
    return 0;
}

/* Rank 0: opens it and says which step it is of; -1 where there is none. */
static int open_it(const struct trainer *trainer, bool *ret_is_open, int64_t *ret_step,
                   struct error *err)
{
    struct io *io = trainer->env->io;
    struct head head = {0};
    uint64_t len = 0;
    int rc = io->checkpoint_open(io, ret_is_open, &len, err);
    if (rc != 0 || !*ret_is_open) {
        return rc;
    }
    if (len >= sizeof head) {
        rc = io->checkpoint_get(io, &head, sizeof head, err);
    }
    if (rc == 0) {
        rc = check_head(trainer, &head, len, err);
    }
    if (rc == 0) {
        *ret_step = head.step;
    }
    return rc;
}

/* The next whole array from rank 0 to all. */
static int share(struct trainer *trainer, float *whole, struct error *err)
{
    struct comm *comm = trainer->env->comm;
    struct io *io = trainer->env->io;
    size_t n_bytes = (size_t)trainer->n_kept * sizeof(float);
    int rc = 0;
    memset(whole, 0, (size_t)trainer->n_padded * sizeof *whole);
    if (comm->rank == 0) {
        rc = io->checkpoint_get(io, whole, n_bytes, err);
    }
    rc = verdict_share(comm, rc, err);
    return rc != 0 ? rc : comm->ops->broadcast(comm, whole, n_bytes, 0, err);
}

static bool has_values(const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        if (x[i] != 0.0f) {
            return true;
        }
    }
    return false;
}

/* The store's, to their owners; those of zeros need not be made. */
static int take_store(struct trainer *trainer, float *whole, struct error *err)
{
    const struct trainer_store *store = trainer->store;
    struct comm *comm = trainer->env->comm;
    int own_rc = 0, rc = 0;
    for (int64_t i = 0; rc == 0 && store != NULL && i < store->n_arrays; i++) {
        rc = share(trainer, whole, err);
        if (rc == 0 && store->owner(store->state, i) == comm->rank &&
            has_values(whole, trainer->n_kept)) {
            float *array = store->make(store->state, i);
            if (array == NULL) {
                own_rc = error_set(err, PPT_ENOMEM,
                                   "cannot allocate the checkpoint's arrays");
                continue;
            }
            memcpy(array, whole, (size_t)trainer->n_kept * sizeof *array);
        }
    }
    return rc != 0 || store == NULL ? rc : verdict_join(comm, own_rc, err);
}

static int take(struct trainer *trainer, struct error *err)
{
    const struct memory *memory = trainer->env->kernels->memory;
    int64_t n = trainer->n_slice;
    float *whole = calloc((size_t)trainer->n_padded, sizeof *whole);
    if (whole == NULL) {
        return error_set(err, PPT_ENOMEM, "cannot allocate the checkpoint's arrays");
    }
    int rc = share(trainer, whole, err);
    if (rc == 0) {
        memory->upload(trainer->params, whole,
                       (size_t)trainer->n_padded * sizeof *whole);
    }
    for (int i = 0; rc == 0 && i < trainer_n_states(trainer); i++) {
        rc = share(trainer, whole, err);
        if (rc == 0) {
            memory->upload(trainer->state + i * n, whole + trainer->env->comm->rank * n,
                           (size_t)n * sizeof *whole);
        }
    }
    if (rc == 0) {
        rc = take_store(trainer, whole, err);
    }
    free(whole);
    rc = rc != 0 ? rc : trainer_check(trainer, err);
    return rc != 0 ? rc : votes_heed(trainer, err);
}

int snapshot_load(struct trainer *trainer, struct error *err)
{
    struct comm *comm = trainer->env->comm;
    bool is_open = false;
    int64_t step = -1; /* none */
    int rc = comm->rank == 0 ? open_it(trainer, &is_open, &step, err) : 0;
    rc = verdict_share(comm, rc, err);
    if (rc == 0) {
        rc = comm->ops->broadcast(comm, &step, sizeof step, 0, err);
    }
    if (rc == 0 && step >= 0) {
        rc = take(trainer, err);
        trainer->step = rc == 0 ? step : trainer->step;
    }
    if (is_open) {
        trainer->env->io->checkpoint_close(trainer->env->io);
    }
    return rc;
}
