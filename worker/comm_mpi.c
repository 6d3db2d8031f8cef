#include "worker/comm_mpi.h"

#include <limits.h>
#include <mpi.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "worker/board.h"

/* The most elements of one MPI call: its counts are ints. */
#define MAX_COUNT ((size_t)1 << 30)
#define EXCHANGE_TAG 1
/* Ranks that are about to agree wait for a moment only, less than the shortest sleep
 * takes; a rank that waits for one that works must not take its core. Each nap is a
 * quarter longer than the last, so that few are much too long. */
#define N_YIELDS 64
/* Words between ranks, not data: one rank may be at the disk before it has something to
 * say. Where ranks share a core, waiting by yielding takes half of it. */
#define WORDS_BYTES 8192
#define FIRST_NAP_NS 10000
#define LAST_NAP_NS 1000000

struct state {
    MPI_Comm mpi;
    const volatile sig_atomic_t *give_up; /* of a control channel, else NULL */
    /* Where all ranks share a node, else MPI_WIN_NULL: rank 0's counter, of the job's
     * channel only, and the memory of the board. */
    MPI_Win counter, words;
    struct board board; /* places: NULL where there is none */
};

static int check(int status, const char *what, struct error *err)
{
    if (status == MPI_SUCCESS)
        return 0;
    char text[MPI_MAX_ERROR_STRING] = "";
    int len = 0;
    MPI_Error_string(status, text, &len);
    error_set(err, PPT_ECOMM, "the ranks could not %s", what);
    return error_detail(err, "%s", text);
}

static MPI_Comm mpi_of(const struct comm *comm)
{
    const struct state *state = comm->state;
    return state->mpi;
}

/* A reduction to rank 0 and a broadcast, and not an all-reduce: MPI allows that one to
 * add in a different order on each rank, and the contract is the same bits on all. */
static int sum_f64(struct comm *comm, double *data, size_t n, struct error *err)
{
    MPI_Comm mpi = mpi_of(comm);
    int rc = 0;
    for (size_t k; rc == 0 && n > 0; data += k, n -= k) {
        k = n < MAX_COUNT ? n : MAX_COUNT;
        const void *send = comm->rank == 0 ? MPI_IN_PLACE : (const void *)data;
        rc = check(MPI_Reduce(send, data, (int)k, MPI_DOUBLE, MPI_SUM, 0, mpi),
                   "add up", err);
        if (rc == 0)
            rc = check(MPI_Bcast(data, (int)k, MPI_DOUBLE, 0, mpi), "share a sum", err);
    }
    return rc;
}

static int max_i64(struct comm *comm, int64_t *data, size_t n, struct error *err)
{
    int rc = 0;
    for (size_t k; rc == 0 && n > 0; data += k, n -= k) {
        k = n < MAX_COUNT ? n : MAX_COUNT;
        rc = check(MPI_Allreduce(MPI_IN_PLACE, data, (int)k, MPI_INT64_T, MPI_MAX,
                                 mpi_of(comm)),
                   "find a maximum", err);
    }
    return rc;
}

static int check_slice(size_t n_slice, struct error *err)
{
    if (n_slice > INT_MAX)
        return error_set(err, PPT_ERANGE,
                         "%zu numbers in one slice, MPI can move at most %d", n_slice,
                         INT_MAX);
    return 0;
}

static int reduce_scatter_f64(struct comm *comm, const double *send, double *recv,
                              size_t n_slice, struct error *err)
{
    int rc = check_slice(n_slice, err);
    if (rc != 0)
        return rc;
    return check(MPI_Reduce_scatter_block(send, recv, (int)n_slice, MPI_DOUBLE, MPI_SUM,
                                          mpi_of(comm)),
                 "add up slices", err);
}

static int all_gather_f32(struct comm *comm, const float *send, float *recv,
                          size_t n_slice, struct error *err)
{
    int rc = check_slice(n_slice, err);
    if (rc != 0)
        return rc;
    return check(MPI_Allgather(send, (int)n_slice, MPI_FLOAT, recv, (int)n_slice,
                               MPI_FLOAT, mpi_of(comm)),
                 "gather slices", err);
}

static int broadcast(struct comm *comm, void *data, size_t len, int root,
                     struct error *err)
{
    char *at = data;
    int rc = 0;
    for (size_t k; rc == 0 && len > 0; at += k, len -= k) {
        k = len < MAX_COUNT ? len : MAX_COUNT;
        rc = check(MPI_Bcast(at, (int)k, MPI_BYTE, root, mpi_of(comm)), "share data",
                   err);
    }
    return rc;
}

static int barrier(struct comm *comm, struct error *err)
{
    struct state *state = comm->state;
    if (state->board.places != NULL)
        return board_max_i64(&state->board, NULL, 0, err);
    return check(MPI_Barrier(state->mpi), "meet", err);
}

/* Waits for a request, patiently; status is that of its start. */
static int wait_for(const struct comm *comm, int status, MPI_Request *request,
                    MPI_Status *ret_status, const char *what, struct error *err)
{
    const struct state *state = comm->state;
    struct timespec nap = {.tv_nsec = FIRST_NAP_NS};
    int is_done = 0, n_yields = 0;
    int rc = check(status, what, err);
    while (rc == 0) {
        rc = check(MPI_Test(request, &is_done, ret_status), what, err);
        if (rc != 0 || is_done)
            break;
        if (state->give_up != NULL && *state->give_up != 0)
            return error_set(err, PPT_ECOMM, "the other ranks do not answer");
        if (n_yields++ < N_YIELDS) {
            sched_yield();
            continue;
        }
        nanosleep(&nap, NULL);
        nap.tv_nsec += nap.tv_nsec < LAST_NAP_NS ? nap.tv_nsec / 4 : 0;
    }
    return rc;
}

static int control_max_i64(struct comm *comm, int64_t *data, size_t n,
                           struct error *err)
{
    struct state *state = comm->state;
    MPI_Request request;
    if (state->board.places != NULL)
        return board_max_i64(&state->board, data, n, err);
    if (n > MAX_COUNT)
        return error_set(err, PPT_ERANGE, "%zu numbers on the control channel", n);
    int status = MPI_Iallreduce(MPI_IN_PLACE, data, (int)n, MPI_INT64_T, MPI_MAX,
                                state->mpi, &request);
    return wait_for(comm, status, &request, MPI_STATUS_IGNORE, "find a maximum", err);
}

static int control_broadcast(struct comm *comm, void *data, size_t len, int root,
                             struct error *err)
{
    struct state *state = comm->state;
    char *at = data;
    int rc = 0;
    if (state->board.places != NULL)
        return board_broadcast(&state->board, data, len, root, err);
    for (size_t k; rc == 0 && len > 0; at += k, len -= k) {
        MPI_Request request;
        k = len < MAX_COUNT ? len : MAX_COUNT;
        int status = MPI_Ibcast(at, (int)k, MPI_BYTE, root, state->mpi, &request);
        rc = wait_for(comm, status, &request, MPI_STATUS_IGNORE, "share data", err);
    }
    return rc;
}

static int words_max_i64(struct comm *comm, int64_t *data, size_t n, struct error *err)
{
    return (n * sizeof *data <= WORDS_BYTES ? control_max_i64 : max_i64)(comm, data, n,
                                                                         err);
}

static int words_broadcast(struct comm *comm, void *data, size_t len, int root,
                           struct error *err)
{
    return (len <= WORDS_BYTES ? control_broadcast : broadcast)(comm, data, len, root,
                                                                err);
}

static int take(struct comm *comm, int64_t *ret_number, struct error *err)
{
    const struct state *state = comm->state;
    const int64_t one = 1;
    int64_t number = 0;
    int rc = check(
        MPI_Fetch_and_op(&one, &number, MPI_INT64_T, 0, 0, MPI_SUM, state->counter),
        "take a number", err);
    if (rc == 0)
        rc = check(MPI_Win_flush(0, state->counter), "take a number", err);
    if (rc == 0)
        *ret_number = number;
    return rc;
}

static const struct comm_ops mpi_ops = {
    .sum_f64 = sum_f64,
    .max_i64 = words_max_i64,
    .reduce_scatter_f64 = reduce_scatter_f64,
    .all_gather_f32 = all_gather_f32,
    .broadcast = words_broadcast,
    .barrier = barrier,
    .take = take,
};

/* Of ranks on several nodes, where a counter would answer only when the rank that has
 * it calls MPI. */
static const struct comm_ops apart_ops = {
    .sum_f64 = sum_f64,
    .max_i64 = words_max_i64,
    .reduce_scatter_f64 = reduce_scatter_f64,
    .all_gather_f32 = all_gather_f32,
    .broadcast = words_broadcast,
    .barrier = barrier,
};

static const struct comm_ops control_ops = {
    .sum_f64 = sum_f64,
    .max_i64 = control_max_i64,
    .reduce_scatter_f64 = reduce_scatter_f64,
    .all_gather_f32 = all_gather_f32,
    .broadcast = control_broadcast,
    .barrier = barrier,
};

static int wait_both(struct comm *comm, const void *send, size_t send_len, int to,
                     void *recv, size_t recv_size, int from, MPI_Status *ret_status,
                     struct error *err)
{
    static const char what[] = "pass messages on";
    MPI_Comm mpi = mpi_of(comm);
    const struct state *state = comm->state;
    if (state->give_up == NULL)
        return check(MPI_Sendrecv(send, (int)send_len, MPI_BYTE, to, EXCHANGE_TAG, recv,
                                  (int)recv_size, MPI_BYTE, from, EXCHANGE_TAG, mpi,
                                  ret_status),
                     what, err);
    MPI_Request out, in;
    int status =
        MPI_Irecv(recv, (int)recv_size, MPI_BYTE, from, EXCHANGE_TAG, mpi, &in);
    int rc = check(status, what, err);
    if (rc != 0)
        return rc;
    status = MPI_Isend(send, (int)send_len, MPI_BYTE, to, EXCHANGE_TAG, mpi, &out);
    rc = wait_for(comm, status, &out, MPI_STATUS_IGNORE, what, err);
    return rc != 0 ? rc : wait_for(comm, MPI_SUCCESS, &in, ret_status, what, err);
}

int comm_mpi_exchange(struct comm *comm, const void *send, size_t send_len, int to,
                      void *recv, size_t recv_size, int from, size_t *ret_recv_len,
                      struct error *err)
{
    MPI_Status status;
    int len = 0;
    if (send_len > INT_MAX || recv_size > INT_MAX)
        return error_set(err, PPT_ERANGE, "a message of %zu bytes", send_len);
    int rc = wait_both(comm, send, send_len, to == COMM_MPI_NOBODY ? MPI_PROC_NULL : to,
                       recv, recv_size, from == COMM_MPI_NOBODY ? MPI_PROC_NULL : from,
                       &status, err);
    if (rc == 0)
        rc = check(MPI_Get_count(&status, MPI_BYTE, &len), "measure a message", err);
    if (rc == 0)
        *ret_recv_len = (size_t)len;
    return rc;
}

int comm_mpi_start(int *argc, char ***argv, struct error *err)
{
    int provided = MPI_THREAD_SINGLE;
    int rc = check(MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &provided),
                   "start MPI", err);
    if (rc != 0)
        return rc;
    if (provided < MPI_THREAD_FUNNELED)
        return error_set(err, PPT_ECOMM,
                         "this MPI library cannot run beside other threads");
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    return 0;
}

void comm_mpi_end(void)
{
    MPI_Finalize();
}

_Noreturn void comm_mpi_abort(int status)
{
    MPI_Abort(MPI_COMM_WORLD, status);
    _Exit(status);
}

/* Sets n_beside. */
static int ask_node(struct comm *comm, struct error *err)
{
    const struct state *state = comm->state;
    MPI_Comm node = MPI_COMM_NULL;
    int n_here = 0;
    int rc = check(
        MPI_Comm_split_type(state->mpi, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node),
        "find those on their node", err);
    if (rc != 0)
        return rc;
    MPI_Comm_size(node, &n_here);
    MPI_Comm_free(&node);
    comm->n_beside = n_here - 1;
    return 0;
}

/* Whether all ranks could do it: what the library cannot share the job goes on
 * without. */
static int all_could(const struct state *state, bool *is_good, struct error *err)
{
    int could = *is_good;
    int rc = check(MPI_Allreduce(MPI_IN_PLACE, &could, 1, MPI_INT, MPI_MIN, state->mpi),
                   "share memory", err);
    *is_good = could;
    return rc;
}

static int open_counter(struct state *state, int rank, struct error *err)
{
    MPI_Win window = MPI_WIN_NULL;
    int64_t *counter = NULL;
    bool is_good =
        MPI_Win_allocate(rank == 0 ? sizeof *counter : 0, sizeof *counter,
                         MPI_INFO_NULL, state->mpi, &counter, &window) == MPI_SUCCESS &&
        MPI_Win_lock_all(0, window) == MPI_SUCCESS;
    if (is_good && rank == 0) {
        *counter = 0;
        is_good = MPI_Win_sync(window) == MPI_SUCCESS;
    }
    int rc = all_could(state, &is_good, err);
    if (rc == 0 && is_good)
        state->counter = window;
    return rc;
}

/* A rank that sleeps at the board lets MPI work on what it has not sent yet. */
static int at_board(void *arg)
{
    const struct state *state = arg;
    int is_there;
    MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, state->mpi, &is_there, MPI_STATUS_IGNORE);
    return state->give_up != NULL && *state->give_up != 0;
}

static int open_board(struct state *state, int rank, int size, struct error *err)
{
    MPI_Win window = MPI_WIN_NULL;
    MPI_Aint n_bytes = (MPI_Aint)board_bytes(size);
    void *memory = NULL;
    int unit;
    bool is_good =
        MPI_Win_allocate_shared(rank == 0 ? n_bytes : 0, 1, MPI_INFO_NULL, state->mpi,
                                &memory, &window) == MPI_SUCCESS &&
        MPI_Win_shared_query(window, 0, &n_bytes, &unit, &memory) == MPI_SUCCESS;
    if (is_good && rank == 0)
        memset(memory, 0, board_bytes(size));
    int rc = all_could(state, &is_good, err); /* nobody goes on before it is empty */
    if (rc == 0 && is_good) {
        state->words = window;
        state->board = (struct board){.places = board_places(memory),
                                      .rank = rank,
                                      .size = size,
                                      .idle = at_board,
                                      .idle_arg = state};
    }
    return rc;
}

/* Over a communicator that was just made, or not: status says. */
static int open_over(int status, MPI_Comm mpi, const struct comm_ops *ops,
                     const volatile sig_atomic_t *give_up, struct comm *ret_comm,
                     struct error *err)
{
    int rc = check(status, "open a channel", err);
    if (rc != 0)
        return rc;
    struct state *state = calloc(1, sizeof *state);
    if (state == NULL)
        return error_set(err, PPT_ENOMEM, "no memory for a communicator");
    MPI_Comm_set_errhandler(mpi, MPI_ERRORS_RETURN);
    *state = (struct state){
        .mpi = mpi, .give_up = give_up, .counter = MPI_WIN_NULL, .words = MPI_WIN_NULL};
    *ret_comm = (struct comm){.ops = ops, .state = state};
    MPI_Comm_rank(mpi, &ret_comm->rank);
    MPI_Comm_size(mpi, &ret_comm->size);
    return 0;
}

/* Over all ranks, with what those on one node can have. */
static int open_channel(const volatile sig_atomic_t *give_up, struct comm *ret_comm,
                        struct error *err)
{
    MPI_Comm mpi = MPI_COMM_NULL;
    struct comm comm;
    int status = MPI_Comm_dup(MPI_COMM_WORLD, &mpi);
    bool is_control = give_up != NULL;
    int rc = open_over(status, mpi, is_control ? &control_ops : &apart_ops, give_up,
                       &comm, err);
    if (rc != 0)
        return rc;
    struct state *state = comm.state;
    rc = ask_node(&comm, err);
    bool is_one_node = comm.n_beside == comm.size - 1 && comm.size > 1;
    if (rc == 0 && is_one_node)
        rc = open_board(state, comm.rank, comm.size, err);
    if (rc == 0 && is_one_node && !is_control)
        rc = open_counter(state, comm.rank, err);
    if (rc != 0) {
        comm_mpi_free(&comm);
        return rc;
    }
    if (state->counter != MPI_WIN_NULL)
        comm.ops = &mpi_ops;
    *ret_comm = comm;
    return 0;
}

int comm_mpi_new_among(const struct comm *comm, const int *ranks, int n,
                       struct comm *ret_comm, struct error *err)
{
    MPI_Group all, some = MPI_GROUP_NULL;
    MPI_Comm mpi = MPI_COMM_NULL;
    int status = MPI_Comm_group(mpi_of(comm), &all);
    if (status == MPI_SUCCESS) {
        status = MPI_Group_incl(all, n, ranks, &some);
        MPI_Group_free(&all);
    }
    if (status == MPI_SUCCESS) {
        status = MPI_Comm_create_group(mpi_of(comm), some, 0, &mpi);
        MPI_Group_free(&some);
    }
    return open_over(status, mpi, &apart_ops, NULL, ret_comm, err);
}

int comm_mpi_new(struct comm *ret_comm, struct error *err)
{
    return open_channel(NULL, ret_comm, err);
}

int comm_mpi_new_control(const volatile sig_atomic_t *give_up, struct comm *ret_comm,
                         struct error *err)
{
    return open_channel(give_up, ret_comm, err);
}

void comm_mpi_free(struct comm *comm)
{
    struct state *state = comm->state;
    if (state == NULL)
        return;
    if (state->counter != MPI_WIN_NULL) {
        MPI_Win_unlock_all(state->counter);
        MPI_Win_free(&state->counter);
    }
    if (state->words != MPI_WIN_NULL)
        MPI_Win_free(&state->words);
    MPI_Comm_free(&state->mpi);
    free(state);
    *comm = (struct comm){0};
}
