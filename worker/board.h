/* A board on which the ranks of one node put up a few words for each other: what they
 * agree on between a job's steps. A rank that waits sleeps in the kernel (futex(2)) and
 * leaves its core to whoever it waits for; MPI's own waiting is polling.
 *
 * The ranks' collectives, one after the other in the same order on each. The memory is
 * the caller's, shared by all ranks, only theirs to read; what was put up stays there
 * until two collectives later.
 */
#ifndef PPT_WORKER_BOARD_H
#define PPT_WORKER_BOARD_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Bytes of one collective that go up in one piece; longer ones go in several. A job's
 * plan fits. */
#define BOARD_PIECE 16384

struct board_place; /* one rank's part of the memory */

/* One rank's view of a board. */
struct board {
    struct board_place *places; /* [size] */
    int rank, size;
    uint32_t n_rounds; /* pieces that this rank is done with, modulo 2^32 */
    /* Asked about every 20 ms of sleep; not 0 ends the wait. */
    int (*idle)(void *arg);
    void *idle_arg;
};

/* Bytes of memory that a board of `size` ranks takes. They start as zeros. */
size_t board_bytes(int size);

/* The places in that memory, wherever it begins: places lie on cache lines. All ranks
 * must have the memory equally far behind the beginning of a page. */
struct board_place *board_places(void *memory);

/* data[n] becomes the maximum over ranks. No rank leaves before all have come, also
 * with n = 0. Errors: PPT_ECOMM where idle ended the wait; the board is of no use to
 * anybody then. */
int board_max_i64(struct board *board, int64_t *data, size_t n, struct error *err);

/* len bytes from `root` to all; root does not wait for the others to read them, unless
 * it is two pieces ahead. Errors: as above. */
int board_broadcast(struct board *board, void *data, size_t len, int root,
                    struct error *err);

#endif
