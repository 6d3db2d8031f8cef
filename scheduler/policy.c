#include "scheduler/policy.h"

#include <stdlib.h>
#include <string.h>

/* When a job that waits will have its room, and what is left beside it then. */
struct reservation {
    bool is_made;
    int64_t at_s;
    struct places left;
};

static int compare_ends(const void *a, const void *b)
{
    const struct policy_holder *x = a, *y = b;
    return (x->ends_s > y->ends_s) - (x->ends_s < y->ends_s);
}

/* All that holds room: what ran before, and what starts now. Caller frees. */
static struct policy_holder *holders_of(const struct policy_site *site,
                                        const struct policy_job *jobs, int n,
                                        const struct policy_choice *choices, int *ret_n)
{
    struct policy_holder *holders =
        calloc((size_t)(site->n_holders + n) + 1, sizeof *holders);
    int n_holders = site->n_holders;
    if (holders == NULL)
        return NULL;
    if (n_holders > 0)
        memcpy(holders, site->holders, (size_t)n_holders * sizeof *holders);
    for (int i = 0; i < n; i++) {
        if (!choices[i].starts)
            continue;
        struct policy_holder *holder = &holders[n_holders++];
        holder->rank = jobs[i].rank;
        holder->ends_s = jobs[i].lasts_s;
        memcpy(holder->ranks, choices[i].ranks, sizeof holder->ranks);
    }
    qsort(holders, (size_t)n_holders, sizeof *holders, compare_ends);
    *ret_n = n_holders;
    return holders;
}

/* For jobs[n], behind those that have been decided on. */
static void reserve(const struct policy_site *site, const struct policy_job *jobs,
                    int n, const struct policy_choice *choices,
                    const struct places *room, struct reservation *reservation)
{
    const struct policy_job *job = &jobs[n];
    int64_t ranks[PLACES_MAX];
    int n_holders = 0;
    struct policy_holder *holders = holders_of(site, jobs, n, choices, &n_holders);
    *reservation = (struct reservation){.is_made = true, .left = {.n = room->n}};
    struct places free_then = *room;
    for (int i = 0; holders != NULL && i < n_holders; i++) {
        places_give(&free_then, &holders[i].rank, holders[i].ranks);
        bool is_last = i + 1 == n_holders || holders[i + 1].ends_s > holders[i].ends_s;
        if (!is_last || !places_choose(&free_then, &job->rank, job->n_ranks, ranks))
            continue;
        places_take(&free_then, &job->rank, ranks);
        reservation->at_s = holders[i].ends_s;
        reservation->left = free_then;
        break;
    }
    free(holders);
}

static struct places_room lesser(const struct places_room *a,
                                 const struct places_room *b)
{
    return (struct places_room){
        .n_cores = a->n_cores < b->n_cores ? a->n_cores : b->n_cores,
        .memory_bytes =
            a->memory_bytes < b->memory_bytes ? a->memory_bytes : b->memory_bytes,
        .n_gpus = a->n_gpus < b->n_gpus ? a->n_gpus : b->n_gpus};
}

/* Where the job can start now without being in the way of what is reserved. */
static bool find_place(const struct policy_job *job, const struct places *room,
                       struct reservation *reservation, int64_t *ret_ranks)
{
    struct places both = *room;
    if (!reservation->is_made || job->lasts_s <= reservation->at_s)
        return places_choose(room, &job->rank, job->n_ranks, ret_ranks);
    for (int i = 0; i < both.n; i++)
        both.nodes[i] = lesser(&room->nodes[i], &reservation->left.nodes[i]);
    if (!places_choose(&both, &job->rank, job->n_ranks, ret_ranks))
        return false;
    places_take(&reservation->left, &job->rank, ret_ranks);
    return true;
}

static bool fits_at_all(const struct policy_site *site, const struct policy_job *job)
{
    int64_t ranks[PLACES_MAX];
    return places_choose(site->whole, &job->rank, job->n_ranks, ranks);
}

int policy_choose(const struct policy_site *site, const struct policy_job *jobs, int n,
                  struct policy_choice *ret_choices)
{
    struct places room = site->room;
    struct reservation reservation = {0};
    int n_starts = 0;
    for (int i = 0; i < n; i++) {
        struct policy_choice *choice = &ret_choices[i];
        *choice = (struct policy_choice){0};
        choice->starts = find_place(&jobs[i], &room, &reservation, choice->ranks);
        if (choice->starts) {
            places_take(&room, &jobs[i].rank, choice->ranks);
            n_starts++;
        } else if (!reservation.is_made && jobs[i].waited_s >= site->patience_s &&
                   fits_at_all(site, &jobs[i])) {
            reserve(site, jobs, i, ret_choices, &room, &reservation);
        }
    }
    return n_starts;
}
