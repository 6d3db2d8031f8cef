/* What clients remember from round to round: vectors as long as the model, each on the
 * rank that plays its client. Private to this room, but for tests.
 *
 * Such a client is always played by the same rank, its number modulo the ranks. Vectors
 * are made when they are first written; until then they are zeros. Checkpoints hold all
 * of them, so that a job goes on with the same bits on any number of ranks.
 * Memory of all ranks: 4 bytes for each client, vector and parameter, at most half of
 * the job's memory.
 */
#ifndef PPT_JOBS_FL_KEEP_H
#define PPT_JOBS_FL_KEEP_H

#include <stdbool.h>
#include <stdint.h>

#include "jobs/dp/trainer.h"

/* What there may be to remember. */
enum keep_what {
    KEEP_MOMENTUM, /* federation.client_momentum */
    KEEP_RESIDUAL, /* what compression has left out (compress.h) */
    KEEP_CONTROL,  /* its control variate (scaffold.h) */
    KEEP_OWN,      /* its own model (apfl.h) */
    KEEP_SHARE,    /* how much of that it uses, in the first two places */
    KEEP_N
};

struct keep {
    struct comm *comm;
    int64_t n_clients, n_vectors, n_params;
    int at[KEEP_N];  /* which of a client's n_vectors it is; -1: the spec has no need */
    float **vectors; /* [n_clients][n_vectors]; NULL: zeros, or another rank's */
    struct trainer_store store;
};

/* For what the spec needs, which may be nothing. Hands itself to the trainer's
 * checkpoints, so it must stay where it is. Close with keep_close.
 * Errors: PPT_ESPEC (more than half of resources.memory), PPT_ENOMEM. */
int keep_open(struct keep *keep, const struct spec *spec, struct trainer *trainer,
              int64_t n_clients, struct error *err);
void keep_close(struct keep *keep);

/* Which rank plays the client that is member i of a cohort, where pull.h does not say.
 */
int keep_player(const struct keep *keep, int64_t i, int64_t client);

/* A vector of a client of this rank, to be written; NULL: no memory. */
float *keep_vector(struct keep *keep, int64_t client, enum keep_what what);

/* Whether there is one already. */
bool keep_has(const struct keep *keep, int64_t client, enum keep_what what);

#endif
