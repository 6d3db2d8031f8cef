/* comm_sealed on real ranks whose keys came over PMIx.
 *
 * mpi_sealed random      the same bits as comm_mpi in random sequences of collectives
 * mpi_sealed nodes       the same where ranks of a node add up first; little is sealed
 * mpi_sealed impostor    a rank with another key than the published one is refused
 * mpi_sealed tampered    one bit of one message is flipped under MPI: the job ends
 * mpi_sealed repeated    a message is replaced by the one before it: the job ends
 * mpi_sealed plain_text  a known text never stands in a message
 */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "worker/comm_mpi.h"
#include "worker/comm_sealed.h"
#include "worker/stop.h"
#include "worker/wireup.h"

#define CHECK(holds)                                                                   \
    do {                                                                               \
        if (!(holds)) {                                                                \
            fprintf(stderr, "rank %d: line %d: %s: %s\n", rank, __LINE__, #holds,      \
                    err.text);                                                         \
            comm_mpi_abort(1);                                                         \
        }                                                                              \
    } while (0)

enum { MOST = 100000, N_ROUNDS = 120, MAX_RANKS = 16 };

static struct error err;
static int rank;
static const char text[] = "a gradient that nobody else may read";

/* What sits on the wire: MPI's profiling interface lets this file stand before it. */
static enum { HONEST, FLIPS, REPEATS, LISTENS } wire;
static int n_sent, n_heard;
static size_t n_bytes_sent;
static unsigned written_to; /* a bit a rank */
static char last[512];

int MPI_Sendrecv(const void *send, int send_count, MPI_Datatype send_type, int to,
                 int send_tag, void *recv, int recv_count, MPI_Datatype recv_type,
                 int from, int recv_tag, MPI_Comm comm, MPI_Status *status)
{
    char copy[512];
    const void *out = send;
    int n_here = 0, n_all = 0;
    MPI_Comm_size(comm, &n_here);
    MPI_Comm_size(MPI_COMM_WORLD, &n_all);
    if (to != MPI_PROC_NULL && n_here == n_all) { /* else in the clear, on a node */
        n_bytes_sent += (size_t)send_count;
        written_to |= 1u << to;
    }
    if (to != MPI_PROC_NULL && send_count <= (int)sizeof copy) {
        n_sent++;
        memcpy(copy, send, (size_t)send_count);
        if (wire == FLIPS && rank == 1)
            copy[send_count / 2] ^= 1;
        if (wire == REPEATS && rank == 1 && n_sent > 1)
            memcpy(copy, last, sizeof copy);
        if (wire == LISTENS)
            n_heard += memmem(copy, (size_t)send_count, text, sizeof text) != NULL;
        memcpy(last, send, (size_t)send_count);
        out = copy;
    }
    return PMPI_Sendrecv(out, send_count, send_type, to, send_tag, recv, recv_count,
                         recv_type, from, recv_tag, comm, status);
}

static uint64_t next(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

/* Empty, single, odd and more than a record. */
static size_t some_length(uint64_t *seed)
{
    const size_t lengths[] = {0, 1, 7, 1000, 32768, 32769, MOST / MAX_RANKS};
    return lengths[next(seed) % (sizeof lengths / sizeof lengths[0])];
}

struct data {
    double send[MOST], a[MOST], b[MOST];
    int64_t i[MOST], j[MOST];
};

static void check_sums(struct comm *comm, struct comm *sealed, struct data *d,
                       uint64_t *seed, bool is_scattered)
{
    const size_t n =
        is_scattered ? some_length(seed) % (MOST / MAX_RANKS + 1) : some_length(seed);
    for (size_t i = 0; i < MOST; i++) /* whole numbers: exact in every order */
        d->send[i] = (double)((i * 31 + (size_t)rank * 17 + n) % 4099) - 2000;
    memcpy(d->a, d->send, sizeof d->a);
    memcpy(d->b, d->send, sizeof d->b);
    if (is_scattered) {
        CHECK(comm->ops->reduce_scatter_f64(comm, d->send, d->a, n, &err) == 0);
        CHECK(sealed->ops->reduce_scatter_f64(sealed, d->send, d->b, n, &err) == 0);
    } else {
        CHECK(comm->ops->sum_f64(comm, d->a, n, &err) == 0);
        CHECK(sealed->ops->sum_f64(sealed, d->b, n, &err) == 0);
    }
    CHECK(memcmp(d->a, d->b, sizeof d->a) == 0);
}

/* Sums that are not exact: the same bits on all ranks even so. */
static void check_inexact(struct comm *comm, struct comm *sealed, struct data *d,
                          uint64_t *seed)
{
    const size_t n = some_length(seed);
    for (size_t i = 0; i < n; i++)
        d->a[i] = 1.0 / (double)(3 + i + 1000 * (size_t)rank);
    CHECK(sealed->ops->sum_f64(sealed, d->a, n, &err) == 0);
    memcpy(d->b, d->a, sizeof d->b);
    CHECK(comm->ops->broadcast(comm, d->b, n * sizeof *d->b, 0, &err) == 0);
    CHECK(memcmp(d->a, d->b, n * sizeof *d->a) == 0);
}

static void check_max(struct comm *comm, struct comm *sealed, struct data *d,
                      uint64_t *seed)
{
    const size_t n = some_length(seed);
    for (size_t i = 0; i < n; i++)
        d->i[i] = d->j[i] =
            (int64_t)((i * 7919 + (size_t)rank * 104729) % 10007) - 5000;
    CHECK(comm->ops->max_i64(comm, d->i, n, &err) == 0);
    CHECK(sealed->ops->max_i64(sealed, d->j, n, &err) == 0);
    CHECK(memcmp(d->i, d->j, n * sizeof *d->i) == 0);
}

static void check_gather(struct comm *comm, struct comm *sealed, struct data *d,
                         uint64_t *seed)
{
    const size_t n = some_length(seed) % (MOST / MAX_RANKS + 1);
    float *own = (float *)d->send, *a = (float *)d->a, *b = (float *)d->b;
    for (size_t i = 0; i < n; i++)
        own[i] = 1.0f / (float)(i + 2 + (size_t)rank);
    memset(d->a, 0, sizeof d->a);
    memset(d->b, 0, sizeof d->b);
    CHECK(comm->ops->all_gather_f32(comm, own, a, n, &err) == 0);
    CHECK(sealed->ops->all_gather_f32(sealed, own, b, n, &err) == 0);
    CHECK(memcmp(d->a, d->b, sizeof d->a) == 0);
}

static void check_broadcast(struct comm *comm, struct comm *sealed, struct data *d,
                            uint64_t *seed)
{
    const size_t len = some_length(seed) * 3;
    const int root = (int)(next(seed) % (uint64_t)comm->size);
    memset(d->a, rank + 1, len);
    memset(d->b, rank + 1, len);
    CHECK(comm->ops->broadcast(comm, d->a, len, root, &err) == 0);
    CHECK(sealed->ops->broadcast(sealed, d->b, len, root, &err) == 0);
    CHECK(memcmp(d->a, d->b, len) == 0);
}

static void check_random(struct comm *comm, struct comm *sealed)
{
    struct data *d = calloc(1, sizeof *d);
    uint64_t seed = 20;
    CHECK(d != NULL);
    CHECK(sealed->n_beside == comm->n_beside && comm->n_beside == comm->size - 1);
    for (int i = 0; i < N_ROUNDS; i++) {
        switch (next(&seed) % 7) {
        case 0:
            check_sums(comm, sealed, d, &seed, false);
            break;
        case 1:
            check_sums(comm, sealed, d, &seed, true);
            break;
        case 2:
            check_inexact(comm, sealed, d, &seed);
            break;
        case 3:
            check_max(comm, sealed, d, &seed);
            break;
        case 4:
            check_gather(comm, sealed, d, &seed);
            break;
        case 5:
            check_broadcast(comm, sealed, d, &seed);
            break;
        case 6:
            CHECK(sealed->ops->barrier(sealed, &err) == 0);
            break;
        }
    }
    CHECK(!comm_sealed_is_broken(sealed));
    free(d);
}

/* Only ranks in the same place on other nodes get anything of a step from this one by
 * the sealed channel: a slice for each other node, whatever the number of ranks. */
static void check_little_is_sealed(struct comm *sealed, const int64_t *nodes,
                                   int n_places)
{
    enum { N = 50000 };
    const int size = sealed->size, n_nodes = size / n_places;
    struct data *d = calloc(1, sizeof *d);
    unsigned alike = 0;
    int place[MAX_RANKS] = {0};
    CHECK(d != NULL);
    for (int i = 0; i < size; i++) {
        for (int j = 0; j < i; j++)
            place[i] += nodes[j] == nodes[i];
    }
    for (int i = 0; i < size; i++)
        alike |= place[i] == place[rank] && i != rank ? 1u << i : 0;
    const size_t n_slice = N / (size_t)size;
    n_bytes_sent = written_to = 0;
    CHECK(sealed->ops->reduce_scatter_f64(sealed, d->send, d->a, n_slice, &err) == 0);
    CHECK(sealed->ops->all_gather_f32(sealed, (float *)d->send, (float *)d->a, n_slice,
                                      &err) == 0);
    size_t bytes = (size_t)(n_nodes - 1) * n_slice * (sizeof(double) + sizeof(float));
    CHECK((written_to & ~alike) == 0 && n_bytes_sent >= bytes);
    CHECK(n_bytes_sent <= bytes + bytes / 50);
    free(d);
}

/* Nodes in blocks, ranks dealt to nodes, and numbers of ranks that differ, where
 * everything stays as it was; n_nodes divides the number of ranks. */
static void check_nodes(struct comm *comm, struct comm *sealed, int n_nodes)
{
    const int size = comm->size, n_places = size / n_nodes;
    int64_t nodes[MAX_RANKS];
    for (int i = 0; i < size; i++)
        nodes[i] = i == 0 ? 900 : 3;
    CHECK(comm_sealed_by_node(sealed, nodes, &err) == 0);
    check_little_is_sealed(sealed, (int64_t[MAX_RANKS]){0, 1, 2, 3, 4, 5, 6, 7}, 1);
    for (int is_dealt = 0; is_dealt < 2; is_dealt++) {
        for (int i = 0; i < size; i++)
            nodes[i] = 1000 - (is_dealt ? i % n_nodes : i / n_places);
        CHECK(comm_sealed_by_node(sealed, nodes, &err) == 0);
        check_random(comm, sealed);
        check_little_is_sealed(sealed, nodes, n_places);
    }
}

/* Rank 1's messages are changed on their way; rank 0 must notice before it uses one. */
static void check_wire(struct comm *sealed)
{
    double sum[3] = {1, 1, 1};
    int rc = 0;
    for (int i = 0; rc == 0 && i < 3; i++)
        rc = sealed->ops->sum_f64(sealed, sum, 3, &err);
    if (rank == 0) {
        CHECK(rc == -PPT_ETRUST && comm_sealed_is_broken(sealed));
        CHECK(strstr(err.text, "from rank 1 to rank 0") != NULL);
        fprintf(stderr, "noticed: %s\n", err.text);
        comm_mpi_abort(0);
    }
}

static void check_plain_text(struct comm *comm, struct comm *sealed)
{
    char data[sizeof text] = "";
    memcpy(data, rank == 0 ? text : data, sizeof data);
    wire = LISTENS;
    CHECK(sealed->ops->broadcast(sealed, data, sizeof data, 0, &err) == 0);
    CHECK(memcmp(data, text, sizeof data) == 0 && n_heard == 0);
    CHECK(rank != 0 || n_sent > 0);
    /* The listener does hear what is not sealed. */
    size_t len;
    CHECK(comm_mpi_exchange(comm, text, sizeof text, rank, data, sizeof data, rank,
                            &len, &err) == 0);
    CHECK(n_heard == 1 && len == sizeof text);
}

static void check_impostor(struct comm *comm, const struct seal_context *context,
                           struct seal_identity *identity,
                           unsigned char (*keys)[CRYPTO_KEY_SIZE])
{
    struct comm sealed;
    if (rank == 1) {
        crypto_sign_keypair(identity->secret, identity->public_key);
        memcpy(keys[1], identity->public_key, CRYPTO_KEY_SIZE);
    }
    int rc =
        comm_sealed_new(comm, context, identity, keys, &seal_limits, &sealed, &err);
    CHECK(rc == -PPT_ETRUST);
    CHECK(rank == 1 || strstr(err.text, "rank 1 could not prove") != NULL);
    CHECK(comm->ops->barrier(comm, &err) == 0);
}

/* PMIx's word against mpirun's own and this machine's. */
static void check_place(int size)
{
    const char *expected = getenv("OMPI_COMM_WORLD_LOCAL_RANK");
    struct wireup_place place;
    char host[256] = "", told[256] = "";
    CHECK(gethostname(host, sizeof host - 1) == 0);
    for (int again = 0; again < 2; again++) { /* asked for once, told twice */
        place = (struct wireup_place){-1, -1};
        CHECK(wireup_find_place(size, &place, &err) == 0);
        CHECK(expected != NULL && place.local_rank == atoi(expected));
        CHECK(place.node == 0);
        told[0] = '\0';
        CHECK(wireup_host(size, (rank + 1) % size, told, sizeof told, &err) == 0);
        CHECK(strcmp(host, told) == 0);
    }
}

static void run(const char *what, struct comm *plain, struct comm *control)
{
    const struct seal_context context = {"data", 1, 1, plain->size};
    const struct seal_limits few = {.n_records = 20, .n_bytes = 1 << 20};
    struct seal_identity identity;
    unsigned char keys[MAX_RANKS][CRYPTO_KEY_SIZE];
    struct comm sealed;
    bool spans_nodes;
    check_place(plain->size);
    CHECK(wireup_join(plain->rank, plain->size, &spans_nodes, &err) == 0);
    CHECK(!spans_nodes); /* mpirun without a host file */
    crypto_sign_keypair(identity.secret, identity.public_key);
    CHECK(wireup_keys(plain->size, identity.public_key, keys, &err) == 0);
    wireup_leave(plain->size);
    if (strcmp(what, "impostor") == 0) {
        check_impostor(plain, &context, &identity, keys);
        return;
    }
    bool is_random = strcmp(what, "random") == 0;
    CHECK(comm_sealed_new(plain, &context, &identity, keys, &few, &sealed, &err) == 0);
    wire = strcmp(what, "tampered") == 0   ? FLIPS
           : strcmp(what, "repeated") == 0 ? REPEATS
                                           : HONEST;
    if (is_random)
        check_random(control, &sealed);
    else if (strcmp(what, "nodes") == 0)
        check_nodes(control, &sealed, 2);
    else if (wire != HONEST)
        check_wire(&sealed);
    else
        check_plain_text(plain, &sealed);
    comm_sealed_free(&sealed);
    if (!is_random)
        return;
    /* The same over the control channel. */
    CHECK(comm_sealed_new(control, &context, &identity, keys, &few, &sealed, &err) ==
          0);
    check_random(plain, &sealed);
    comm_sealed_free(&sealed);
}

int main(int argc, char **argv)
{
    struct comm comm, control;
    if (comm_mpi_start(&argc, &argv, &err) != 0 || comm_mpi_new(&comm, &err) != 0 ||
        comm_mpi_new_control(&stop_overdue, &control, &err) != 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    rank = comm.rank;
    run(argc > 1 ? argv[1] : "random", &comm, &control);
    comm_mpi_free(&control);
    comm_mpi_free(&comm);
    comm_mpi_end();
    return 0;
}
