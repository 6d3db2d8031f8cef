/* SCAFFOLD: control variates against the drift of clients with unlike records
 * (Karimireddy et al., ICML 2020, arXiv 1910.06378, algorithm 1, option II). Private to
 * this room, but for tests.
 *
 * A client keeps c_i, the server c; both are 0 at first. A client's step is
 *   y = y - rate (gradient(y) - c_i + c),
 * after K steps from x its control becomes c_i - c + (x - y) / (K rate), and the change
 * goes to the server beside the update: c grows by the sum of the changes over the
 * number of all clients with records, N, so it stays the mean of all c_i. Changes are
 * added up as whole numbers, as updates are (round.h): the model is the same bits for
 * any number of ranks.
 *
 * By secure aggregation (secure.h) a client sends one vector, its update and behind it
 * its control's change times scaffold_unit, which makes it a movement of parameters
 * like the update, under one bound and one mask. Clipping and rounding do not let all
 * of it through; so a client's control moves by what its vector says, and c is still
 * the mean of all c_i. Who sends no vector does not move.
 *
 * c is a state of the server's slice, in checkpoints, and told to all ranks before each
 * round. Memory of a rank: 12 bytes a parameter and 8 of its slice; the c_i are
 * keep.h's. Plain jobs only: a control depends on the rounds that a client was in
 * before, which no price covers.
 */
#ifndef PPT_JOBS_FL_SCAFFOLD_H
#define PPT_JOBS_FL_SCAFFOLD_H

#include "jobs/dp/trainer.h"
#include "jobs/fl/partition.h"

struct scaffold {
    struct trainer *trainer; /* NULL: the spec has no correction */
    const struct spec *spec;
    int64_t n_clients; /* N */
    double n_steps;    /* of a client, on average */
    float *common;     /* [n_padded]: c of this round */
    double *sum;       /* [n_padded]: of the changes / N on this rank */
    double *slice;     /* [n_slice]: the total */
};

/* How many arrays of a slice the server keeps for it. */
int scaffold_n_states(const struct spec_federation *federation);

/* Vectors as long as the model that go each way between server and client. */
int scaffold_n_vectors(const struct spec_federation *federation);

/* All is kept by the caller for as long. Close with scaffold_close. Errors: PPT_ENOMEM.
 */
int scaffold_open(struct scaffold *scaffold, const struct spec *spec,
                  struct trainer *trainer, const struct partition *partition,
                  struct error *err);
void scaffold_close(struct scaffold *scaffold);

/* Begins a round: the server's control to all ranks. Every rank calls it.
 * Errors: PPT_ECOMM. */
int scaffold_begin(struct scaffold *scaffold, struct error *err);

/* A client's control `own`[n_params] after n_steps > 0 steps at that rate from the
 * trainer's model to `after`. Errors: PPT_ERANGE (its change is not finite, or larger
 * than STACK_MOST: training diverged). */
int scaffold_move(struct scaffold *scaffold, const float *after, double rate,
                  int64_t n_steps, float *own, struct error *err);

/* Ends the round: the server's control grows. Every rank calls it. Errors: PPT_ECOMM.
 */
int scaffold_end(struct scaffold *scaffold, struct error *err);

/* By secure aggregation, between scaffold_begin and the trainer's update. What the
 * change of a control is multiplied by: this round's rate times the steps that a client
 * takes on average; public, the same for all. */
double scaffold_unit(const struct scaffold *scaffold);

/* The change times the unit, of a client that went n_steps steps at that rate from the
 * trainer's model to `after`; zeros where there were none. ret[n_params]. */
void scaffold_propose(const struct scaffold *scaffold, const float *after, double rate,
                      int64_t n_steps, float *ret);

/* A client's control `own` by what was sent, and the server's, this rank's slice of it,
 * by all clients' sum; each [n_params], in the unit. */
void scaffold_take(const struct scaffold *scaffold, const float *sent, float *own);
void scaffold_grow(const struct scaffold *scaffold, const float *sum);

#endif
