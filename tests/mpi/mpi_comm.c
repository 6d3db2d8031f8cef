/* The collectives of comm_mpi against what arithmetic says, on however many ranks. A
 * fault is printed with its rank and ends all of them with status 1. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/worker/cached.h"
#include "worker/agree.h"
#include "worker/comm_mpi.h"
#include "worker/digest.h"
#include "worker/stop.h"

#define CHECK(comm, holds)                                                             \
    do {                                                                               \
        if (!(holds)) {                                                                \
            fprintf(stderr, "rank %d: line %d: %s\n", (comm)->rank, __LINE__, #holds); \
            comm_mpi_abort(1);                                                         \
        }                                                                              \
    } while (0)

static struct error err;

/* Numbers whose sum depends on the order: the same bits must come out everywhere. */
static void check_sum(struct comm *comm)
{
    enum { N = 1000 };
    double data[N], mine[N];
    for (int i = 0; i < N; i++)
        data[i] = pow(10, (i * 7 + comm->rank * 13) % 33 - 16) + comm->rank;
    CHECK(comm, comm->ops->sum_f64(comm, data, N, &err) == 0);
    for (int i = 0; i < N; i++) {
        double sum = 0;
        for (int r = 0; r < comm->size; r++)
            sum += pow(10, (i * 7 + r * 13) % 33 - 16) + r;
        CHECK(comm, fabs(data[i] - sum) <= 1e-12 * sum);
    }
    memcpy(mine, data, sizeof data);
    CHECK(comm, comm->ops->broadcast(comm, data, sizeof data, 0, &err) == 0);
    CHECK(comm, memcmp(mine, data, sizeof data) == 0);
    CHECK(comm, comm->ops->sum_f64(comm, data, 0, &err) == 0);
}

/* Tests start all ranks on this machine. */
static void check_beside(struct comm *comm)
{
    CHECK(comm, comm->n_beside == comm->size - 1);
}

static void check_max(struct comm *comm)
{
    int64_t data[3] = {comm->rank, -comm->rank, INT64_MIN + comm->rank};
    CHECK(comm, comm->ops->max_i64(comm, data, 3, &err) == 0);
    CHECK(comm, data[0] == comm->size - 1 && data[1] == 0);
    CHECK(comm, data[2] == INT64_MIN + comm->size - 1);
}

/* Empty, odd and large slices. */
static void check_slices(struct comm *comm, size_t n_slice)
{
    size_t n = n_slice * (size_t)comm->size;
    double *send = calloc(n + 1, sizeof *send), *slice = calloc(n_slice + 1, 8);
    float *own = calloc(n_slice + 1, sizeof *own), *all = calloc(n + 1, sizeof *all);
    for (size_t i = 0; i < n; i++)
        send[i] = (double)i * (comm->rank + 1);
    CHECK(comm, comm->ops->reduce_scatter_f64(comm, send, slice, n_slice, &err) == 0);
    double ranks = comm->size * (comm->size + 1) / 2.0;
    for (size_t i = 0; i < n_slice; i++) {
        size_t at = (size_t)comm->rank * n_slice + i;
        CHECK(comm, slice[i] == (double)at * ranks);
        own[i] = (float)at;
    }
    CHECK(comm, comm->ops->all_gather_f32(comm, own, all, n_slice, &err) == 0);
    for (size_t i = 0; i < n; i++)
        CHECK(comm, all[i] == (float)i);
    free(send), free(slice), free(own), free(all);
}

static void check_broadcast(struct comm *comm)
{
    for (int root = 0; root < comm->size; root++) {
        char text[64] = "";
        if (comm->rank == root)
            snprintf(text, sizeof text, "from %d", root);
        CHECK(comm, comm->ops->broadcast(comm, text, sizeof text, root, &err) == 0);
        char wanted[64];
        snprintf(wanted, sizeof wanted, "from %d", root);
        CHECK(comm, strcmp(text, wanted) == 0);
    }
    CHECK(comm, comm->ops->barrier(comm, &err) == 0);
}

/* Everybody hears of the lowest rank's error, and of none where there is none. */
static void check_agree(struct comm *comm)
{
    struct error own = {0};
    CHECK(comm, agree(comm, 0, &own) == 0 && own.code == 0);
    int rc = 0;
    if (comm->rank >= comm->size / 2)
        rc = error_set(&own, PPT_EDATA, "rank %d has bad data", comm->rank);
    rc = agree(comm, rc, &own);
    char wanted[64];
    snprintf(wanted, sizeof wanted, "rank %d has bad data", comm->size / 2);
    CHECK(comm, rc == -PPT_EDATA && strcmp(own.text, wanted) == 0);
}

/* Who has only lost the others is not the cause, unless all have. */
static void check_agree_on_cause(struct comm *comm)
{
    struct error own = {0};
    int rc = error_set(&own, PPT_ECOMM, "rank %d lost the others", comm->rank);
    rc = agree(comm, rc, &own);
    CHECK(comm, rc == -PPT_ECOMM && strcmp(own.text, "rank 0 lost the others") == 0);
    bool is_last = comm->rank == comm->size - 1;
    rc = error_set(&own, is_last ? PPT_EDATA : PPT_ECOMM, "rank %d", comm->rank);
    rc = agree(comm, rc, &own);
    char wanted[64];
    snprintf(wanted, sizeof wanted, "rank %d", comm->size - 1);
    CHECK(comm, rc == -PPT_EDATA && strcmp(own.text, wanted) == 0);
}

/* Memory holds the three blocks that one of two ranks reads, but not all five: what was
 * read leaves the cache, and it stays where memory holds them. A block is 64 MiB. */
static void check_digest_cache(struct comm *comm, const char *path)
{
    char hex[MANIFEST_HEX_SIZE];
    for (int stays = 0; stays < 2; stays++) {
        unsigned char can_drop = comm->rank == 0 && cached_can_drop(path);
        CHECK(comm, comm->ops->broadcast(comm, &can_drop, 1, 0, &err) == 0);
        cached_claim_mib = stays ? 1000 : 4 * 64 * 4 / 3;
        CHECK(comm, digest_file(path, comm, hex, &err) == 0);
        CHECK(comm, comm->ops->barrier(comm, &err) == 0);
        double left = cached_mib(path);
        cached_claim_mib = 0;
        if (can_drop)
            CHECK(comm, stays ? left > 250 : left < 32.0 * comm->size + 1);
        CHECK(comm, comm->ops->barrier(comm, &err) == 0);
    }
}

/* Ranks share the blocks of a file of five; the digest is that of one rank alone. */
static void check_digest(struct comm *comm)
{
    char path[] = "/tmp/mpi_comm.XXXXXX", alone[MANIFEST_HEX_SIZE];
    char shared[MANIFEST_HEX_SIZE];
    if (comm->rank == 0) {
        int fd = mkstemp(path);
        FILE *file = fdopen(fd, "w");
        for (long b = 0; b < 5; b++) {
            fseek(file, b * (long)MANIFEST_BLOCK_BYTES, SEEK_SET);
            fprintf(file, "block %ld", b);
        }
        fclose(file);
    }
    CHECK(comm, comm->ops->broadcast(comm, path, sizeof path, 0, &err) == 0);
    CHECK(comm, digest_file(path, &comm_alone, alone, &err) == 0);
    CHECK(comm, digest_file(path, comm, shared, &err) == 0);
    CHECK(comm, strcmp(alone, shared) == 0);
    CHECK(comm, comm->ops->barrier(comm, &err) == 0);
    check_digest_cache(comm, path);
    if (comm->rank == 0)
        remove(path);
    CHECK(comm, digest_file("/nowhere", comm, shared, &err) == -PPT_ENOTFOUND);
}

/* The others never come: the control channel gives up, nothing hangs. */
static void check_silent(struct comm *comm, struct comm *control)
{
    if (comm->rank != 0) {
        comm->ops->barrier(comm, &err);
        return;
    }
    struct error own = {0};
    int rc = error_set(&own, PPT_EDATA, "only mine");
    stop_within(2);
    CHECK(comm, agree(control, rc, &own) == -PPT_EDATA);
    CHECK(comm, stop_overdue == 1 && strcmp(own.text, "only mine") == 0);
    comm_mpi_abort(0);
}

/* Each number comes to one rank once, those that came before are smaller, and all ranks
 * on one node have a counter. */
static void check_take(struct comm *comm)
{
    enum { N = 1000 };
    double taken[N] = {0};
    int64_t number = 0, last = -1;
    CHECK(comm, comm->size == 1 || comm->ops->take != NULL);
    while (comm->size > 1 && number < N) {
        CHECK(comm, comm->ops->take(comm, &number, &err) == 0);
        CHECK(comm, number > last);
        last = number;
        if (number < N)
            taken[number]++;
    }
    CHECK(comm, comm->ops->sum_f64(comm, taken, N, &err) == 0);
    for (int i = 0; i < N; i++)
        CHECK(comm, comm->size == 1 || taken[i] == 1);
    CHECK(comm, comm->size == 1 || number < N + comm->size);
}

static void check_all(struct comm *comm)
{
    check_beside(comm);
    check_sum(comm);
    check_max(comm);
    check_slices(comm, 0);
    check_slices(comm, 1);
    check_slices(comm, 100003);
    check_broadcast(comm);
    check_agree(comm);
    check_agree_on_cause(comm);
}

int main(int argc, char **argv)
{
    struct comm comm, control;
    bool is_silent = argc > 1 && strcmp(argv[1], "silent") == 0;
    if (comm_mpi_start(&argc, &argv, &err) != 0 || comm_mpi_new(&comm, &err) != 0 ||
        comm_mpi_new_control(&stop_overdue, &control, &err) != 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    if (is_silent) {
        check_silent(&comm, &control);
    } else {
        check_all(&comm);
        check_take(&comm);
        check_all(&control);
        check_digest(&control);
    }
    comm_mpi_free(&control);
    comm_mpi_free(&comm);
    comm_mpi_end();
    return 0;
}
