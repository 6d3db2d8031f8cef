/* Low rank under masks: what clients send must add up, so all project their updates on
 * one subspace, which the round before has left. Private to this room, but for tests.
 *
 * Each tensor of two or more dimensions is a matrix M [rows, columns] as in low_rank.h.
 * In even rounds there is an orthonormal Q [columns, rank] and a client sends P = M Q,
 * which stands for P Q^T; the sum's P, made orthonormal, is what is there in the next
 * round, where a client sends M^T P, which stands for P (M^T P)^T, and whose sum
 * becomes the next Q. So a pair of rounds is a step of PowerSGD with factors averaged
 * over the clients and a warm start, and there is one exchange a round (ACP-SGD: Zhang
 * et al., ICDCS 2023). Round 0 draws Q from the seed; a column that the sums no longer
 * span is drawn anew, lest it were lost for good. Tensors that this makes no smaller
 * are sent as they are.
 *
 * A projection is linear and no longer than the update. The subspace is a state of the
 * server's slice, in checkpoints, and told to all ranks before each round. Memory of a
 * rank: 16 bytes a parameter.
 */
#ifndef PPT_JOBS_FL_SUBSPACE_H
#define PPT_JOBS_FL_SUBSPACE_H

#include "jobs/dp/trainer.h"
#include "jobs/fl/low_rank.h"

struct subspace {
    struct trainer *trainer;         /* NULL: the spec has none */
    const struct low_rank *low_rank; /* which tensors are split */
    struct crypto_stream *random;
    int64_t
        n_sent;    /* values that a client sends; in rounds that need less, zeros too */
    float *basis;  /* [n_padded]: a tensor's factor at its offset */
    float *values; /* [n_params]: for work, and: */
    double *factor; /* [n_params] */
};

/* Arrays of a slice that the server keeps for it. */
int subspace_n_states(const struct spec_federation *federation);

/* All is kept by the caller for as long. Does nothing where the spec has none. Close
 * with subspace_close. Errors: PPT_ENOMEM. */
int subspace_open(struct subspace *subspace, const struct spec *spec,
                  struct trainer *trainer, const struct low_rank *low_rank,
                  struct error *err);
void subspace_close(struct subspace *subspace);

/* Begins the round trainer->step. Every rank calls it. Errors: PPT_ECOMM. */
int subspace_begin(struct subspace *subspace, struct error *err);

/* update[n_params] becomes what is sent of it, n_sent values at its front, and from
 * there its projection. */
void subspace_gather(struct subspace *subspace, float *update);
void subspace_scatter(struct subspace *subspace, float *update);

/* Ends the round: sum[n_sent], the same on all ranks, makes the next one's subspace. */
void subspace_turn(struct subspace *subspace, const float *sum);

#endif
