#include "worker/board.h"

#include <linux/futex.h>
#include <sched.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Ranks that are about to agree wait for less than the shortest sleep takes. */
#define N_YIELDS 4
#define NAP_NS 20000000
#define CACHE_LINE 64

/* A count that one rank raises and others wait for. */
struct count {
    alignas(CACHE_LINE) atomic_uint value;
    atomic_uint n_asleep; /* who must be woken */
};

/* Pieces go to data[0] and data[1] in turn: a rank puts one up when all have passed the
 * one before the last. */
struct board_place {
    struct count posted; /* the last piece that this rank put up, plus one */
    struct count passed; /* the pieces that it is done with */
    alignas(CACHE_LINE) unsigned char data[2][BOARD_PIECE];
};

size_t board_bytes(int size)
{
    return (size_t)size * sizeof(struct board_place) + CACHE_LINE - 1;
}

struct board_place *board_places(void *memory)
{
    uintptr_t past = (uintptr_t)memory % CACHE_LINE;
    return (void *)((char *)memory + (past == 0 ? 0 : CACHE_LINE - past));
}

static bool is_reached(struct count *count, uint32_t value, uint32_t *ret_seen)
{
    *ret_seen = atomic_load(&count->value);
    return (int32_t)(*ret_seen - value) >= 0;
}

static void raise_to(struct count *count, uint32_t value)
{
    atomic_store(&count->value, value);
    /* In one order with the sleeper's: either it is seen here, or it sees the value. */
    if (atomic_load(&count->n_asleep) > 0)
        syscall(SYS_futex, &count->value, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

static int wait_until(const struct board *board, struct count *count, uint32_t value,
                      struct error *err)
{
    uint32_t seen;
    for (int i = 0; i < N_YIELDS; i++) {
        if (is_reached(count, value, &seen))
            return 0;
        sched_yield();
    }
    const struct timespec nap = {.tv_nsec = NAP_NS};
    int rc = 0;
    atomic_fetch_add(&count->n_asleep, 1);
    while (!is_reached(count, value, &seen)) {
        /* Comes back at once where the value is not `seen` any more. */
        syscall(SYS_futex, &count->value, FUTEX_WAIT, seen, &nap, NULL, 0);
        if (board->idle(board->idle_arg) != 0) {
            rc = error_set(err, PPT_ECOMM, "the other ranks do not answer");
            break;
        }
    }
    atomic_fetch_sub(&count->n_asleep, 1);
    return rc;
}

static unsigned char *post_place(struct board *board, struct error *err)
{
    for (int i = 0; i < board->size; i++)
        if (wait_until(board, &board->places[i].passed, board->n_rounds - 1, err) != 0)
            return NULL;
    return board->places[board->rank].data[board->n_rounds % 2];
}

static int post(struct board *board, const void *data, size_t len, struct error *err)
{
    unsigned char *place = post_place(board, err);
    if (place == NULL)
        return -err->code;
    if (len > 0)
        memcpy(place, data, len);
    raise_to(&board->places[board->rank].posted, board->n_rounds + 1);
    return 0;
}

/* What `rank` put up in this round. */
static int look(struct board *board, int rank, const void **ret_data, struct error *err)
{
    struct board_place *place = &board->places[rank];
    *ret_data = place->data[board->n_rounds % 2];
    return wait_until(board, &place->posted, board->n_rounds + 1, err);
}

static void pass(struct board *board)
{
    raise_to(&board->places[board->rank].passed, ++board->n_rounds);
}

static int max_piece(struct board *board, int64_t *data, size_t n, struct error *err)
{
    int rc = post(board, data, n * sizeof *data, err);
    for (int i = 0; rc == 0 && i < board->size; i++) {
        const void *others;
        int64_t value;
        rc = look(board, i, &others, err);
        for (size_t j = 0; rc == 0 && j < n; j++) {
            memcpy(&value, (const char *)others + j * sizeof value, sizeof value);
            data[j] = value > data[j] ? value : data[j];
        }
    }
    pass(board);
    return rc;
}

int board_max_i64(struct board *board, int64_t *data, size_t n, struct error *err)
{
    int rc;
    size_t k;
    do {
        k = n < BOARD_PIECE / sizeof *data ? n : BOARD_PIECE / sizeof *data;
        rc = max_piece(board, data, k, err);
        data += k;
        n -= k;
    } while (rc == 0 && n > 0);
    return rc;
}

int board_broadcast(struct board *board, void *data, size_t len, int root,
                    struct error *err)
{
    char *at = data;
    int rc = 0;
    for (size_t k; rc == 0 && len > 0; at += k, len -= k) {
        const void *from;
        k = len < BOARD_PIECE ? len : BOARD_PIECE;
        if (board->rank == root)
            rc = post(board, at, k, err);
        else if ((rc = look(board, root, &from, err)) == 0)
            memcpy(at, from, k);
        pass(board);
    }
    return rc;
}
