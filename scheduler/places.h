/* Which nodes of several a job's ranks go to: cores, memory and GPUs counted a node.
 *
 * Pure arithmetic. A job that fits one node gets one, the fullest that has room, so
 * that its ranks talk in memory and large jobs find whole nodes; a larger one takes as
 * few nodes as it can.
 */
#ifndef PPT_SCHEDULER_PLACES_H
#define PPT_SCHEDULER_PLACES_H

#include <stdbool.h>
#include <stdint.h>

#define PLACES_MAX 64 /* nodes */

/* What a node has free, or what one rank needs of it. */
struct places_room {
    int64_t n_cores, memory_bytes, n_gpus;
};

struct places {
    int n;
    struct places_room nodes[PLACES_MAX];
};

/* n nodes of this size, at most PLACES_MAX. */
struct places places_of(int64_t n, const struct places_room *node);

/* Sets ret_ranks[i], for each of places->n nodes, to the number of ranks on it; their
 * sum is n_ranks. False: there is no room for so many now. */
bool places_choose(const struct places *places, const struct places_room *rank,
                   int64_t n_ranks, int64_t *ret_ranks);

/* Takes that many ranks' room from each node, or gives it back. */
void places_take(struct places *places, const struct places_room *rank,
                 const int64_t *ranks);
void places_give(struct places *places, const struct places_room *rank,
                 const int64_t *ranks);

#endif
