#include "worker/binding.h"

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_CPUS (BINDING_WORD_BITS * BINDING_N_WORDS)
#define N_FIELDS (2 + BINDING_N_WORDS) /* node, gpu + 1, cpus */

static bool has(const struct binding *binding, int cpu)
{
    return (binding->cpus[cpu / BINDING_WORD_BITS] >> cpu % BINDING_WORD_BITS & 1) != 0;
}

void binding_find(struct binding *ret_binding)
{
    cpu_set_t set;
    *ret_binding = (struct binding){.gpu = -1};
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return; /* more cores than a set has room for */
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET((size_t)cpu, &set))
            ret_binding->cpus[cpu / BINDING_WORD_BITS] |= INT64_C(1)
                                                          << cpu % BINDING_WORD_BITS;
}
_Static_assert(CPU_SETSIZE <= N_CPUS, "the kernel's set fits");

/* A maximum over fields that are zero on all ranks but one. */
int binding_gather(struct comm *comm, const struct binding *mine,
                   struct binding *ret_all, struct error *err)
{
    const size_t size = (size_t)comm->size;
    int64_t *fields = calloc(size, N_FIELDS * sizeof *fields);
    if (fields == NULL)
        return error_set(err, PPT_ENOMEM, "no memory for %d ranks", comm->size);
    int64_t *own = fields + (size_t)comm->rank * N_FIELDS;
    own[0] = mine->node;
    own[1] = mine->gpu + 1;
    memcpy(own + 2, mine->cpus, sizeof mine->cpus);
    int rc = comm->ops->max_i64(comm, fields, size * N_FIELDS, err);
    for (size_t i = 0; rc == 0 && i < size; i++) {
        const int64_t *from = fields + i * N_FIELDS;
        ret_all[i] = (struct binding){.node = from[0], .gpu = (int)from[1] - 1};
        memcpy(ret_all[i].cpus, from + 2, sizeof ret_all[i].cpus);
    }
    free(fields);
    return rc;
}

static bool overlap(const struct binding *a, const struct binding *b)
{
    bool any = false;
    for (int i = 0; i < BINDING_N_WORDS; i++)
        any |= (a->cpus[i] & b->cpus[i]) != 0;
    return any && a->node == b->node;
}

int binding_threads(const struct binding *all, int size, int rank,
                    int64_t cores_per_rank)
{
    int n_cpus = 0, n_sharers = 0;
    for (int cpu = 0; cpu < N_CPUS; cpu++)
        n_cpus += has(&all[rank], cpu);
    for (int i = 0; i < size; i++)
        n_sharers += overlap(&all[i], &all[rank]);
    int64_t n = n_cpus == 0 ? cores_per_rank : n_cpus / n_sharers;
    if (n > cores_per_rank)
        n = cores_per_rank;
    return n > 1 ? (int)n : 1;
}

/* "0-3,8"; what does not fit becomes "...". */
static void write_cpus(const struct binding *binding, char ret_text[REPORT_CPUS_SIZE])
{
    size_t len = 0;
    ret_text[0] = '\0';
    for (int cpu = 0; cpu < N_CPUS; cpu++) {
        char range[32];
        int first = cpu;
        if (!has(binding, cpu))
            continue;
        while (cpu + 1 < N_CPUS && has(binding, cpu + 1))
            cpu++;
        int n = snprintf(range, sizeof range, first == cpu ? "%s%d" : "%s%d-%d",
                         len > 0 ? "," : "", first, cpu);
        if (len + (size_t)n + sizeof ",..." > REPORT_CPUS_SIZE) {
            snprintf(ret_text + len, REPORT_CPUS_SIZE - len, ",...");
            return;
        }
        memcpy(ret_text + len, range, (size_t)n + 1);
        len += (size_t)n;
    }
}

static int host_of(const struct report_places *places, const struct binding *all,
                   const int *first, int64_t node)
{
    for (int i = 0; i < places->n_hosts_listed; i++)
        if (all[first[i]].node == node)
            return i;
    return -1;
}

/* mpirun counts its own node too, where no rank may be: numbers have gaps. */
static bool is_first_there(const struct binding *all, int rank)
{
    for (int i = 0; i < rank; i++)
        if (all[i].node == all[rank].node)
            return false;
    return true;
}

void binding_places(const struct binding *all, int size,
                    struct report_places *ret_places, int ret_first[REPORT_MAX_HOSTS])
{
    struct report_places *places = ret_places;
    *places = (struct report_places){0};
    for (int rank = 0; rank < size; rank++) {
        int host = host_of(places, all, ret_first, all[rank].node);
        places->n_hosts += is_first_there(all, rank);
        if (host < 0 && places->n_hosts_listed == REPORT_MAX_HOSTS)
            continue;
        if (host < 0) {
            host = places->n_hosts_listed++;
            ret_first[host] = rank;
        }
        places->hosts[host].n_ranks++;
        if (places->n_ranks_listed == REPORT_MAX_RANKS)
            continue;
        struct report_rank *listed = &places->ranks[places->n_ranks_listed++];
        *listed =
            (struct report_rank){.rank = rank, .host = host, .gpu = all[rank].gpu};
        write_cpus(&all[rank], listed->cpus);
    }
}
