#include "worker/comm_sealed.h"

#include <stdlib.h>
#include <string.h>

#include "worker/agree.h"
#include "worker/comm_mpi.h"

/* Numbers of 8 bytes in one record. */
#define MAX_NUMBERS (SEAL_MAX_BYTES / 8)
#define NOBODY COMM_MPI_NOBODY

/* Ranks as a table, nodes by places on them: rank_of[node * n_places + place]. Without
 * comm_sealed_by_node every rank is a node of its own. */
struct layout {
    int n_nodes, n_places; /* their product is the number of ranks */
    int node, place;       /* this rank's */
    int *rank_of;
    struct comm near; /* the ranks of this node, in the clear; not open: it is alone */
};

struct state {
    struct comm *plain;
    struct layout layout;
    struct seal_way *out, *in; /* size of each; a rank's own are unused */
    bool is_broken;
    unsigned char sent[SEAL_MAX_BYTES + SEAL_OVERHEAD];
    unsigned char got[SEAL_MAX_BYTES + SEAL_OVERHEAD];
    union {
        double f64[MAX_NUMBERS];
        int64_t i64[MAX_NUMBERS];
    } mine, theirs;
    double near[MAX_NUMBERS], near_got[MAX_NUMBERS];
};

static size_t at_most(size_t n, size_t most)
{
    return n < most ? n : most;
}

static int rank_at(const struct comm *comm, int distance)
{
    return (comm->rank + distance + comm->size) % comm->size;
}

/* One record each way. */
static int swap_record(struct state *state, const void *send, size_t send_len, int to,
                       void *recv, size_t recv_len, int from, struct error *err)
{
    size_t got_len = 0;
    if (to != NOBODY)
        seal_write(&state->out[to], send, send_len, state->sent);
    int rc = comm_mpi_exchange(state->plain, state->sent, send_len + SEAL_OVERHEAD, to,
                               state->got, sizeof state->got, from, &got_len, err);
    if (rc == 0 && from != NOBODY) {
        rc = seal_read(&state->in[from], state->got, got_len, recv, recv_len, err);
        if (rc != 0)
            error_prefix(err, "from rank %d to rank %d", from, state->plain->rank);
    }
    if (rc != 0)
        state->is_broken = true;
    return rc;
}

/* len bytes each way, in as many records as it takes; an empty message is a record. */
static int swap(struct comm *comm, const void *send, int to, void *recv, int from,
                size_t len, struct error *err)
{
    const char *send_at = send;
    char *recv_at = recv;
    for (size_t done = 0, k;; done += k) {
        k = at_most(len - done, SEAL_MAX_BYTES);
        int rc = swap_record(comm->state, to == NOBODY ? NULL : send_at + done, k, to,
                             from == NOBODY ? NULL : recv_at + done, k, from, err);
        if (rc != 0 || done + k == len)
            return rc;
    }
}

static void add_f64(void *sum, const void *term, size_t n)
{
    double *to = sum;
    const double *from = term;
    for (size_t i = 0; i < n; i++)
        to[i] += from[i];
}

static void keep_max(void *most, const void *other, size_t n)
{
    int64_t *to = most;
    const int64_t *from = other;
    for (size_t i = 0; i < n; i++)
        to[i] = to[i] > from[i] ? to[i] : from[i];
}

/* Along a binomial tree to rank 0, whose n <= MAX_NUMBERS numbers are then the result.
 */
static int reduce(struct comm *comm, void *data, size_t n,
                  void (*join)(void *, const void *, size_t), struct error *err)
{
    struct state *state = comm->state;
    int rc = 0;
    for (int step = 1; rc == 0 && step < comm->size; step *= 2) {
        if (comm->rank & step)
            return swap(comm, data, comm->rank - step, NULL, NOBODY, n * 8, err);
        if (comm->rank + step >= comm->size)
            continue;
        rc = swap(comm, NULL, NOBODY, &state->theirs, comm->rank + step, n * 8, err);
        if (rc == 0)
            join(data, &state->theirs, n);
    }
    return rc;
}

/* Along a binomial tree from the root. */
static int spread(struct comm *comm, void *data, size_t len, int root,
                  struct error *err)
{
    const int distance = (comm->rank - root + comm->size) % comm->size;
    int step = 1, rc = 0;
    while (step < comm->size && !(distance & step))
        step *= 2;
    if (step < comm->size)
        rc = swap(comm, NULL, NOBODY, data, rank_at(comm, -step), len, err);
    for (step /= 2; rc == 0 && step > 0; step /= 2) {
        if (distance + step < comm->size)
            rc = swap(comm, data, rank_at(comm, step), NULL, NOBODY, len, err);
    }
    return rc;
}

static int broadcast(struct comm *comm, void *data, size_t len, int root,
                     struct error *err)
{
    return len == 0 ? 0 : spread(comm, data, len, root, err);
}

static int reduce_and_spread(struct comm *comm, void *data, size_t n,
                             void (*join)(void *, const void *, size_t),
                             struct error *err)
{
    int rc = 0;
    for (size_t done = 0, k; rc == 0 && done < n; done += k) {
        k = at_most(n - done, MAX_NUMBERS);
        rc = reduce(comm, (char *)data + 8 * done, k, join, err);
    }
    return rc != 0 ? rc : broadcast(comm, data, 8 * n, 0, err);
}

static int sum_f64(struct comm *comm, double *data, size_t n, struct error *err)
{
    return reduce_and_spread(comm, data, n, add_f64, err);
}

static int max_i64(struct comm *comm, int64_t *data, size_t n, struct error *err)
{
    return reduce_and_spread(comm, data, n, keep_max, err);
}

/* The rank in this one's place on the node that is so many further. */
static int rank_on(const struct layout *layout, int distance)
{
    int node = (layout->node + distance + layout->n_nodes) % layout->n_nodes;
    return layout->rank_of[node * layout->n_places + layout->place];
}

/* In the clear, around the ranks of this node; len < 2^31. */
static int swap_near(struct state *state, const void *send, void *recv, size_t len,
                     struct error *err)
{
    struct layout *layout = &state->layout;
    const int n = layout->n_places, next = (layout->place + 1) % n;
    size_t got_len = 0;
    int rc = comm_mpi_exchange(&layout->near, send, len, next, recv, len,
                               (layout->place + n - 1) % n, &got_len, err);
    if (rc == 0 && got_len != len)
        rc = error_set(err, PPT_ECOMM, "a message of %zu bytes and not %zu", got_len,
                       len);
    state->is_broken |= rc != 0;
    return rc;
}

/* *ret_sum: what this node's ranks bring to k numbers, which begin at data, of the
 * slice in this one's place on another. The sum starts behind this rank and comes to it
 * last.
 */
static int add_near(struct state *state, const double *data, size_t n_slice, int node,
                    size_t k, const double **ret_sum, struct error *err)
{
    const struct layout *layout = &state->layout;
    const int n = layout->n_places, *rank_of = layout->rank_of + node * n;
    int at = (layout->place + n - 1) % n;
    *ret_sum = data + (size_t)rank_of[at] * n_slice;
    for (int step = 1; step < n; step++) {
        int rc = swap_near(state, *ret_sum, state->near_got, k * sizeof **ret_sum, err);
        if (rc != 0)
            return rc;
        at = (at + n - 1) % n;
        memcpy(state->near, state->near_got, k * sizeof *state->near);
        add_f64(state->near, data + (size_t)rank_of[at] * n_slice, k);
        *ret_sum = state->near;
    }
    return 0;
}

/* The same around the nodes, each of which brings its ranks' sum. */
static int scatter_part(struct comm *comm, const double *data, size_t n_slice, size_t k,
                        struct error *err)
{
    struct state *state = comm->state;
    const struct layout *layout = &state->layout;
    const int n = layout->n_nodes, next = rank_on(layout, 1);
    const int before = rank_on(layout, -1);
    double *sum = state->mine.f64;
    const double *ours;
    int at = (layout->node + n - 1) % n;
    int rc = add_near(state, data, n_slice, at, k, &ours, err);
    if (rc == 0)
        memcpy(sum, ours, k * sizeof *sum);
    for (int step = 1; rc == 0 && step < n; step++) {
        at = (at + n - 1) % n;
        rc = swap(comm, sum, next, &state->theirs, before, k * sizeof *sum, err);
        if (rc == 0)
            rc = add_near(state, data, n_slice, at, k, &ours, err);
        if (rc != 0)
            return rc;
        memcpy(sum, &state->theirs, k * sizeof *sum);
        add_f64(sum, ours, k);
    }
    return rc;
}

static int reduce_scatter_f64(struct comm *comm, const double *send, double *recv,
                              size_t n_slice, struct error *err)
{
    struct state *state = comm->state;
    for (size_t done = 0, k; done < n_slice; done += k) {
        k = at_most(n_slice - done, MAX_NUMBERS);
        int rc = scatter_part(comm, send + done, n_slice, k, err);
        if (rc != 0)
            return rc;
        memcpy(recv + done, state->mine.f64, k * sizeof *recv);
    }
    return 0;
}

/* One node's slices from place to place. */
static int share_near(struct state *state, float *recv, size_t n_slice, int node,
                      struct error *err)
{
    const struct layout *layout = &state->layout;
    const int n = layout->n_places, *rank_of = layout->rank_of + node * n;
    int rc = 0;
    for (int step = 0; step < n - 1; step++) {
        float *out = recv + (size_t)rank_of[(layout->place + n - step) % n] * n_slice;
        float *in =
            recv + (size_t)rank_of[(layout->place + n - step - 1) % n] * n_slice;
        for (size_t done = 0, k; rc == 0 && done < n_slice; done += k) {
            k = at_most(n_slice - done, MAX_NUMBERS);
            rc = swap_near(state, out + done, in + done, k * sizeof *out, err);
        }
    }
    return rc;
}

static int all_gather_f32(struct comm *comm, const float *send, float *recv,
                          size_t n_slice, struct error *err)
{
    struct state *state = comm->state;
    const struct layout *layout = &state->layout;
    int rc = 0;
    if (n_slice == 0)
        return 0;
    memmove(recv + (size_t)comm->rank * n_slice, send, n_slice * sizeof *recv);
    for (int step = 0; rc == 0 && step < layout->n_nodes - 1; step++) {
        float *out = recv + (size_t)rank_on(layout, -step) * n_slice;
        float *in = recv + (size_t)rank_on(layout, -step - 1) * n_slice;
        rc = swap(comm, out, rank_on(layout, 1), in, rank_on(layout, -1),
                  n_slice * sizeof *recv, err);
    }
    for (int node = 0; rc == 0 && node < layout->n_nodes; node++)
        rc = share_near(state, recv, n_slice, node, err);
    return rc;
}

static int barrier(struct comm *comm, struct error *err)
{
    struct state *state = comm->state;
    int rc = reduce(comm, &state->mine, 0, keep_max, err);
    return rc != 0 ? rc : spread(comm, &state->mine, 0, 0, err);
}

static const struct comm_ops sealed_ops = {
    .sum_f64 = sum_f64,
    .max_i64 = max_i64,
    .reduce_scatter_f64 = reduce_scatter_f64,
    .all_gather_f32 = all_gather_f32,
    .broadcast = broadcast,
    .barrier = barrier,
};

/* All greetings, then all proofs. What does not verify is remembered in *rc, and the
 * rounds go on, so that the others hear of it and do not wait. */
struct meeting {
    struct comm *plain;
    struct state *state;
    const struct seal_limits *limits;
    struct seal_handshake *handshakes;
    unsigned char (*hellos)[SEAL_HELLO_SIZE];
    unsigned char (*proofs)[SEAL_PROOF_SIZE];
    unsigned char got[128];
};

static void keep_first(int *rc, int other, struct error *err, const struct error *own)
{
    if (*rc == 0 && other != 0) {
        *rc = other;
        if (err != NULL)
            *err = *own;
    }
}

static int greet(struct meeting *meeting, int *rc, struct error *err)
{
    struct comm *plain = meeting->plain;
    for (int d = 1; d < plain->size; d++) {
        int to = rank_at(plain, d), from = rank_at(plain, -d);
        struct error own = {0};
        size_t len;
        int lost =
            comm_mpi_exchange(plain, meeting->hellos[to], SEAL_HELLO_SIZE, to,
                              meeting->got, sizeof meeting->got, from, &len, err);
        if (lost != 0)
            return lost;
        keep_first(rc,
                   seal_prove(&meeting->handshakes[from], meeting->got, len,
                              meeting->proofs[from], &own),
                   err, &own);
    }
    return 0;
}

static int prove(struct meeting *meeting, int *rc, struct error *err)
{
    struct comm *plain = meeting->plain;
    for (int d = 1; d < plain->size; d++) {
        int to = rank_at(plain, d), from = rank_at(plain, -d);
        struct error own = {0};
        size_t len;
        int lost =
            comm_mpi_exchange(plain, meeting->proofs[to], SEAL_PROOF_SIZE, to,
                              meeting->got, sizeof meeting->got, from, &len, err);
        if (lost != 0)
            return lost;
        keep_first(rc,
                   seal_finish(&meeting->handshakes[from], meeting->got, len,
                               meeting->limits, &meeting->state->out[from],
                               &meeting->state->in[from], &own),
                   err, &own);
    }
    return 0;
}

static int shake_hands(struct meeting *meeting, const struct seal_context *context,
                       const struct seal_identity *identity,
                       unsigned char (*keys)[CRYPTO_KEY_SIZE], struct error *err)
{
    const int rank = meeting->plain->rank, size = meeting->plain->size;
    int rc = 0;
    if (!crypto_equal(keys[rank], identity->public_key, CRYPTO_KEY_SIZE))
        rc = error_set(err, PPT_ETRUST, "rank %d is named with another key", rank);
    for (int peer = 0; peer < size; peer++) {
        if (peer != rank)
            seal_hello(&meeting->handshakes[peer], context, identity, rank, peer,
                       keys[peer], meeting->hellos[peer]);
    }
    int lost = greet(meeting, &rc, err);
    if (lost == 0)
        lost = prove(meeting, &rc, err);
    for (int peer = 0; peer < size; peer++)
        seal_handshake_end(&meeting->handshakes[peer]);
    return lost != 0 ? lost : rc;
}

static void free_layout(struct layout *layout)
{
    if (layout->near.state != NULL)
        comm_mpi_free(&layout->near);
    free(layout->rank_of);
}

static void free_state(struct state *state, int size)
{
    if (state == NULL)
        return;
    for (int peer = 0; peer < size; peer++) {
        if (state->out != NULL)
            seal_way_close(&state->out[peer]);
        if (state->in != NULL)
            seal_way_close(&state->in[peer]);
    }
    free(state->out);
    free(state->in);
    free_layout(&state->layout);
    crypto_wipe(state, sizeof *state);
    free(state);
}

static struct state *new_state(struct comm *plain)
{
    const size_t size = (size_t)plain->size;
    struct state *state = calloc(1, sizeof *state);
    if (state == NULL)
        return NULL;
    state->plain = plain;
    state->out = calloc(size, sizeof *state->out);
    state->in = calloc(size, sizeof *state->in);
    state->layout = (struct layout){.n_nodes = plain->size,
                                    .n_places = 1,
                                    .node = plain->rank,
                                    .rank_of = calloc(size, sizeof(int))};
    if (state->out == NULL || state->in == NULL || state->layout.rank_of == NULL) {
        free_state(state, plain->size);
        return NULL;
    }
    for (int rank = 0; rank < plain->size; rank++)
        state->layout.rank_of[rank] = rank;
    return state;
}

int comm_sealed_new(struct comm *plain, const struct seal_context *context,
                    const struct seal_identity *identity,
                    unsigned char (*keys)[CRYPTO_KEY_SIZE],
                    const struct seal_limits *limits, struct comm *ret_comm,
                    struct error *err)
{
    const size_t size = (size_t)plain->size;
    struct meeting meeting = {.plain = plain, .limits = limits};
    int rc = 0;
    meeting.state = new_state(plain);
    meeting.handshakes = calloc(size, sizeof *meeting.handshakes);
    meeting.hellos = calloc(size, sizeof *meeting.hellos);
    meeting.proofs = calloc(size, sizeof *meeting.proofs);
    if (meeting.state == NULL || meeting.handshakes == NULL || meeting.hellos == NULL ||
        meeting.proofs == NULL)
        rc = error_set(err, PPT_ENOMEM, "no memory to seal %zu channels", size);
    if (rc == 0)
        rc = shake_hands(&meeting, context, identity, keys, err);
    free(meeting.handshakes);
    free(meeting.hellos);
    free(meeting.proofs);
    if (rc != 0) {
        free_state(meeting.state, plain->size);
        return rc;
    }
    *ret_comm = (struct comm){.rank = plain->rank,
                              .size = plain->size,
                              .n_beside = plain->n_beside,
                              .ops = &sealed_ops,
                              .state = meeting.state};
    return 0;
}

/* Ranks before this one on its node, and how many nodes have a rank before it. */
static void place_of(const int64_t *nodes, int rank, int *ret_node, int *ret_place)
{
    int first = 0, n_before = 0, place = 0;
    while (nodes[first] != nodes[rank])
        first++;
    for (int i = 0; i < first; i++) { /* the first of each node */
        int j = 0;
        while (nodes[j] != nodes[i])
            j++;
        n_before += j == i;
    }
    for (int i = first; i < rank; i++)
        place += nodes[i] == nodes[rank];
    *ret_node = n_before;
    *ret_place = place;
}

/* False where nodes have unlike numbers of ranks. */
static bool arrange(const int64_t *nodes, int size, int rank, struct layout *layout)
{
    layout->n_places = 0;
    for (int i = 0; i < size; i++)
        layout->n_places += nodes[i] == nodes[0];
    layout->n_nodes = size / layout->n_places;
    for (int i = 0; i < size; i++) {
        int node, place;
        place_of(nodes, i, &node, &place);
        if (node >= layout->n_nodes || place >= layout->n_places)
            return false;
        layout->rank_of[node * layout->n_places + place] = i;
    }
    place_of(nodes, rank, &layout->node, &layout->place);
    return layout->n_nodes * layout->n_places == size;
}

int comm_sealed_by_node(struct comm *comm, const int64_t *nodes, struct error *err)
{
    struct state *state = comm->state;
    struct layout layout = {.rank_of = calloc((size_t)comm->size, sizeof(int))};
    int rc = 0;
    if (layout.rank_of == NULL)
        rc = error_set(err, PPT_ENOMEM, "no memory for %d ranks' nodes", comm->size);
    rc = agree(state->plain, rc, err);
    bool is_even = rc == 0 && arrange(nodes, comm->size, comm->rank, &layout);
    if (is_even && layout.n_places > 1)
        rc = comm_mpi_new_among(state->plain,
                                layout.rank_of + layout.node * layout.n_places,
                                layout.n_places, &layout.near, err);
    if (rc != 0 || !is_even || layout.n_places == 1) {
        free_layout(&layout);
        return rc;
    }
    free_layout(&state->layout);
    state->layout = layout;
    return 0;
}

void comm_sealed_free(struct comm *comm)
{
    free_state(comm->state, comm->size);
    *comm = (struct comm){0};
}

bool comm_sealed_is_broken(const struct comm *comm)
{
    const struct state *state = comm->state;
    return state != NULL && state->is_broken;
}
