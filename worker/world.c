#include "worker/world.h"

#include <stdlib.h>
#include <string.h>

#include "worker/agree.h"
#include "worker/comm_mpi.h"
#include "worker/comm_sealed.h"
#include "worker/stop.h"
#include "worker/wireup.h"

int world_open(struct world *world, int *argc, char ***argv, struct error *err)
{
    *world = (struct world){0};
    int rc = comm_mpi_start(argc, argv, err);
    if (rc == 0)
        rc = comm_mpi_new(&world->plain, err);
    if (rc == 0)
        rc = comm_mpi_new_control(&stop_overdue, &world->plain_control, err);
    world->comm = &world->plain;
    world->control = &world->plain_control;
    return rc;
}

/* What any rank needs or wishes, all do. A message changed on its way can make ranks
 * seal that need not, or disagree and fail, but never talk in the clear across nodes.
 */
static int ask_all(struct world *world, bool *is_needed, bool *is_wished,
                   struct error *err)
{
    struct comm *control = &world->plain_control;
    int64_t any[2] = {*is_needed || *is_wished, *is_wished};
    int rc = control->ops->max_i64(control, any, 2, err);
    *is_needed |= *is_wished || any[0] != 0;
    *is_wished |= any[1] != 0;
    return rc;
}

static int seal_both(struct world *world, int64_t job_id, int64_t attempt,
                     struct error *err)
{
    const int size = world->plain.size;
    struct seal_context context = {
        .channel = "data", .job_id = job_id, .attempt = attempt, .size = size};
    struct seal_identity identity;
    unsigned char(*keys)[CRYPTO_KEY_SIZE] = calloc((size_t)size, sizeof *keys);
    int rc =
        keys == NULL ? error_set(err, PPT_ENOMEM, "no memory for %d keys", size) : 0;
    rc = agree(&world->plain_control, rc, err);
    crypto_sign_keypair(identity.secret, identity.public_key);
    if (rc == 0)
        rc = agree(&world->plain_control,
                   wireup_keys(size, identity.public_key, keys, err), err);
    if (rc == 0)
        rc = agree(&world->plain_control,
                   comm_sealed_new(&world->plain, &context, &identity, keys,
                                   &seal_limits, &world->sealed, err),
                   err);
    context.channel = "control";
    if (rc == 0)
        rc = agree(&world->plain_control,
                   comm_sealed_new(&world->plain_control, &context, &identity, keys,
                                   &seal_limits, &world->sealed_control, err),
                   err);
    crypto_wipe(&identity, sizeof identity);
    free(keys);
    if (rc != 0)
        return rc;
    world->comm = &world->sealed;
    world->control = &world->sealed_control;
    world->is_sealed = true;
    return 0;
}

/* The ranks' nodes come by the sealed channel; no one else decides who is near. */
static int group_by_node(struct world *world, struct error *err)
{
    struct comm *control = &world->sealed_control;
    const size_t size = (size_t)control->size;
    struct wireup_place place = {0};
    int64_t *nodes = calloc(size, sizeof *nodes);
    int rc = nodes == NULL ? error_set(err, PPT_ENOMEM, "no memory for %zu nodes", size)
                           : wireup_find_place(control->size, &place, err);
    rc = agree(control, rc, err);
    for (size_t i = 0; rc == 0 && i < size; i++)
        nodes[i] = i == (size_t)control->rank ? place.node : INT64_MIN;
    if (rc == 0)
        rc = control->ops->max_i64(control, nodes, size, err);
    if (rc == 0)
        rc = comm_sealed_by_node(&world->sealed, nodes, err);
    free(nodes);
    return agree(control, rc, err);
}

int world_seal(struct world *world, int64_t job_id, int64_t attempt, struct error *err)
{
    const char *wish = getenv("PPT_SEAL");
    const int rank = world->plain.rank, size = world->plain.size;
    bool is_needed = false, has_joined = false;
    bool is_wished = wish != NULL && strcmp(wish, "always") == 0;
    if (size == 1 || world->is_one_node || world->is_sealed)
        return 0;
    int rc = wireup_join(rank, size, &is_needed, err);
    has_joined = rc == 0;
    rc = agree(&world->plain_control, rc, err);
    if (rc == 0)
        rc = ask_all(world, &is_needed, &is_wished, err);
    world->is_one_node = rc == 0 && !is_needed;
    if (rc == 0 && is_needed)
        rc = seal_both(world, job_id, attempt, err);
    if (rc == 0 && is_needed && !is_wished)
        rc = group_by_node(world, err);
    if (has_joined)
        wireup_leave(size);
    return rc;
}

bool world_is_broken(const struct world *world)
{
    return comm_sealed_is_broken(&world->sealed) ||
           comm_sealed_is_broken(&world->sealed_control);
}

void world_close(struct world *world)
{
    if (world->sealed.state != NULL)
        comm_sealed_free(&world->sealed);
    if (world->sealed_control.state != NULL)
        comm_sealed_free(&world->sealed_control);
    comm_mpi_free(&world->plain_control);
    comm_mpi_free(&world->plain);
    comm_mpi_end();
}
