/* Whose turn it is: which of the orders that a world of a pool was sent it may begin,
 * and which were taken back from it before; decided between two processes by one number
 * in memory that both see.
 *
 * The orders of one call are numbered 1, 2, 3, ... The number is the last order on
 * which there is a decision: the world moves it on by one to begin the next order, the
 * scheduler moves it to the last one that it has sent to take back all that the world
 * has not begun. Whoever moves it first has decided, so no order is both begun and
 * taken back; and as the memory outlives either process, that holds whoever dies when,
 * and while the world is busy with a job and hears nothing.
 *
 * Both are processes of one user on one machine that trust each other.
 */
#ifndef PPT_JOBS_TURN_H
#define PPT_JOBS_TURN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct turn;

/* The world's: a new one at 0, and the descriptor by which another process opens the
 * same. Caller closes both. Errors: PPT_EIO. */
int turn_create(struct turn **ret_turn, int *ret_fd, struct error *err);

/* The scheduler's, through that descriptor, which may be closed afterwards. Caller
 * closes. Errors: PPT_ETRUST (it is no such memory, or could be cut short), PPT_EIO. */
int turn_open(int fd, struct turn **ret_turn, struct error *err);

/* Lets go of it; NULL is allowed. */
void turn_close(struct turn *turn);

/* The world begins this order, the one after the last that was decided. False: it was
 * taken back, and nothing of it may be touched. */
bool turn_begin(struct turn *turn, int64_t number);

/* Takes back the orders after the last decided one up to number `last`: none of them
 * will be begun. Returns that last decided one. */
int64_t turn_take_back(struct turn *turn, int64_t last);

/* The last order on which there is a decision. */
int64_t turn_now(const struct turn *turn);

#endif
