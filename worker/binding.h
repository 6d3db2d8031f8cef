/* What each rank of a job runs on: its node, the cores that the kernel lets it use and
 * its device. How many threads it has follows from that, and the report says it.
 *
 * The cores are the kernel's word: whoever bound the rank (mpirun, Slurm's task
 * plug-in, a cgroup, a container) has done so before main, and PMIx tells of mpirun's
 * binding only. Which ranks are on one node is PMIx's word (wireup.h).
 */
#ifndef PPT_WORKER_BINDING_H
#define PPT_WORKER_BINDING_H

#include <stdint.h>

#include "base/error.h"
#include "jobs/comm.h"
#include "jobs/report.h"

#define BINDING_WORD_BITS 60 /* so that a word is not negative */
#define BINDING_N_WORDS 18   /* 1024 cores and more */

struct binding {
    int64_t node;                  /* another number on another node */
    int gpu;                       /* -1: none */
    int64_t cpus[BINDING_N_WORDS]; /* a set; empty: not known */
};

/* The calling thread's cores; node 0 and no GPU, for the caller to set. */
void binding_find(struct binding *ret_binding);

/* Every rank calls it with its own; ret_all[size] is the same on all then. 160 bytes a
 * rank are moved. Errors: PPT_ECOMM, PPT_ENOMEM, PPT_ERANGE (100000 ranks). */
int binding_gather(struct comm *comm, const struct binding *mine,
                   struct binding *ret_all, struct error *err);

/* How many threads a rank may compute with: what its job asks for, but no more than it
 * has cores; cores that ranks of its node have in common are shared out evenly, and one
 * thread is always allowed. Pure. */
int binding_threads(const struct binding *all, int size, int rank,
                    int64_t cores_per_rank);

/* For the report, without the hosts' names; ret_first[i] is the lowest rank on the
 * listed host i. Pure. */
void binding_places(const struct binding *all, int size,
                    struct report_places *ret_places, int ret_first[REPORT_MAX_HOSTS]);

#endif
