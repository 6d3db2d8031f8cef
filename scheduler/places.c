#include "scheduler/places.h"

#include <string.h>

struct places places_of(int64_t n, const struct places_room *node)
{
    struct places places = {.n = n < PLACES_MAX ? (int)n : PLACES_MAX};
    for (int i = 0; i < places.n; i++)
        places.nodes[i] = *node;
    return places;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* How often `part` goes into what is left of `whole`, which may be less than nothing;
 * at most `most`. */
static int64_t times(int64_t whole, int64_t part, int64_t most)
{
    if (part <= 0)
        return most;
    return whole < part ? 0 : least(whole / part, most);
}

/* How many of n ranks the node has room for. */
static int64_t capacity(const struct places_room *node, const struct places_room *rank,
                        int64_t n)
{
    n = times(node->n_cores, rank->n_cores, n);
    n = times(node->memory_bytes, rank->memory_bytes, n);
    return times(node->n_gpus, rank->n_gpus, n);
}

/* The node that holds all n with the fewest cores free, or else the one that holds
 * most of them; -1: none holds any. */
static int best(const struct places *places, const struct places_room *rank, int64_t n,
                const int64_t *taken)
{
    int found = -1;
    int64_t found_holds = 0;
    for (int i = 0; i < places->n; i++) {
        int64_t holds = taken[i] > 0 ? 0 : capacity(&places->nodes[i], rank, n);
        if (holds > found_holds ||
            (holds == found_holds && holds > 0 &&
             places->nodes[i].n_cores < places->nodes[found].n_cores)) {
            found = i;
            found_holds = holds;
        }
    }
    return found;
}

bool places_choose(const struct places *places, const struct places_room *rank,
                   int64_t n_ranks, int64_t *ret_ranks)
{
    int64_t taken[PLACES_MAX] = {0}, left = n_ranks;
    while (left > 0) {
        int i = best(places, rank, left, taken);
        if (i < 0)
            return false;
        taken[i] = capacity(&places->nodes[i], rank, left);
        left -= taken[i];
    }
    memcpy(ret_ranks, taken, (size_t)places->n * sizeof *taken);
    return true;
}

static void move(struct places *places, const struct places_room *rank,
                 const int64_t *ranks, int64_t sign)
{
    for (int i = 0; i < places->n; i++) {
        places->nodes[i].n_cores += sign * ranks[i] * rank->n_cores;
        places->nodes[i].memory_bytes += sign * ranks[i] * rank->memory_bytes;
        places->nodes[i].n_gpus += sign * ranks[i] * rank->n_gpus;
    }
}

void places_take(struct places *places, const struct places_room *rank,
                 const int64_t *ranks)
{
    move(places, rank, ranks, -1);
}

void places_give(struct places *places, const struct places_room *rank,
                 const int64_t *ranks)
{
    move(places, rank, ranks, 1);
}
