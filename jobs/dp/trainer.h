/* The state of one rank of a running dp job, or of a federation's server: net,
 * parameters, this rank's slice of them and of the optimizer, sampler and noise. For
 * jobs/dp and jobs/fl.
 *
 * The parameters are padded with zeros to size * n_slice floats so that each rank owns
 * one slice of the same length. Arrays lie in the memory of the kernels; where that is
 * not the host's, the slices that ranks exchange pass through a copy on the host.
 * Memory (trainer_memory_bytes) beside the feed's does not depend on the batch size:
 * the net's (net.h), and for P padded parameters, s states of the optimizer and slices
 * of S: 4 P + 8 P + S (8 + 4 + 4 s), 8 more for each record of a micro-batch, in
 * private jobs also the noise's (noise.h, early.h, correlated.h); on a device the
 * loader's (loader.h).
 *
 * Lanes: a rank of several cores works on as many micro-batches at once, each in a lane
 * with a net, a sum and noise of its own, and products are then one thread's. A step's
 * records are shared out evenly by their number, and the lanes' sums are added in the
 * lanes' order, so the model depends on the number of lanes, by rounding in the sums,
 * but on no timing; the noise's bits depend on neither. L lanes take L times the net
 * (a base once), 8 P (L - 1), and 4 + 4 features for each of L micro-batches' records.
 * There is one lane on a device, with sums in fixed point, in federations, and where
 * half of a rank's memory has no room for more.
 */
#ifndef PPT_JOBS_DP_TRAINER_H
#define PPT_JOBS_DP_TRAINER_H

#include <stdbool.h>
#include <stdint.h>

#include "jobs/dp/correlated.h"
#include "jobs/dp/early.h"
#include "jobs/dp/feed.h"
#include "jobs/dp/lanes.h"
#include "jobs/dp/loader.h"
#include "jobs/dp/noise.h"
#include "jobs/dp/threshold.h"
#include "jobs/env.h"
#include "jobs/model/net.h"
#include "jobs/plan.h"

/* Where the vectors that a step adds up come from elsewhere than gradients of records
 * that this rank samples: then each coordinate of `sum` is filled by the caller with
 * multiples of the grid's step (private) or any numbers that add up exactly (not).
 * Where the clip norm follows a quantile that includes the votes, times their weight.
 */
struct trainer_source {
    double divisor;           /* public: of the sum */
    double expected_votes;    /* public, private jobs: units behind a step (votes.h) */
    double expected_examples; /* behind a step, for people */
    int n_states;             /* arrays of n_slice that the caller keeps from step to
                                 step, in checkpoints too: trainer_own_states */
    bool has_noise;           /* private: the vectors bring their noise with them */
};

/* Arrays of n_params floats, each on one rank, that checkpoints hold too. */
struct trainer_store {
    int64_t n_arrays;
    int (*owner)(void *state, int64_t i); /* its rank, who alone may call these: */
    /* To be read; NULL stands for zeros. */
    const float *(*look)(void *state, int64_t i);
    /* To be written; zeros at first; NULL: no memory. */
    float *(*make)(void *state, int64_t i);
    void *state;
};

/* What a lane has of its own. */
struct trainer_lane {
    struct net net;
    double *sum; /* n_padded */
    double loss; /* plain jobs only */
    struct noise noise;
};

struct trainer {
    const struct plan *plan;
    const struct spec *spec;
    struct env *env;
    struct net net;
    bool is_private, adds_noise;
    bool has_source; /* trainer_source */
    double sample_rate;
    double expected_batch;    /* public: sample_rate times the nominal count; the sum is
                                 divided by it */
    double expected_votes;    /* public: units that a step expects */
    double expected_examples; /* behind a step: told only */
    int64_t nominal_test;     /* of the test split, 0 if not stated */
    int64_t n_steps, step;    /* in all, and done */

    struct feed feed;
    struct loader loader;       /* on a device, between the feed and the net */
    struct noise noise;         /* private jobs only, and what follows */
    struct correlated past;     /* where the price has bands: of the noise so far */
    struct threshold threshold; /* how long a gradient may be; the sum's grid */
    /* Threads that share a rank's step; the first one's net, sum and noise are the
     * trainer's, the others' lie here. */
    struct lanes lanes;
    struct trainer_lane *more; /* lanes.n - 1 */
    struct early early;        /* with more than one lane, but for correlated noise */
    /* With more than one lane: the records of a round, lanes.n * net.max_n of them. */
    float *read;
    int32_t *label;
    int64_t *indices; /* lanes.n * net.max_n, on the host: for evaluation */
    /* Parameters that checkpoints hold: the net's, and behind them the clip norm where
     * it follows a quantile (votes.h). */
    int64_t n_kept;
    int64_t n_padded, n_slice;
    /* In the memory of the kernels. */
    float *params;  /* n_padded, the same on every rank */
    double *sum;    /* n_padded: this rank's clipped sum */
    double *slice;  /* n_slice: the total of this rank's slice */
    float *updated; /* n_slice */
    float *state;   /* each n_slice: velocity; or adam's or yogi's
                       mean, then square; then the
                       source's own */
    int n_own_states;
    const struct trainer_store *store; /* NULL: none; set before the first step */
    double *loss; /* plain jobs only: summed over the examples since the last look */
    double loss_count;
    /* Where the kernels' memory is not the host's, copies of the first four on it. */
    float *host_params, *host_updated;
    double *host_sum, *host_slice;
};

/* Allocates and initialises everything for step 0. `source` NULL: a dp job's sample,
 * clipped example by example; else the net computes plain sums and nothing is sampled.
 * Close with trainer_close, which wipes the keys. Errors: PPT_ESPEC, PPT_ENOMEM,
 * PPT_ERANGE. */
int trainer_open(struct trainer *trainer, const struct plan *plan,
                 const struct spec *spec, const struct manifest *manifest,
                 struct env *env, const struct trainer_source *source,
                 struct error *err);
void trainer_close(struct trainer *trainer);

/* Bytes of the host's memory that an open trainer takes, with those that begin to be
 * used in its first step; without the feed's. */
size_t trainer_memory_bytes(const struct trainer *trainer);

/* This rank's sum over its sample of trainer->step: clipped if the job is private. An
 * empty sample gives zeros. Errors: those of rows->read. */
int trainer_gradient(struct trainer *trainer, struct error *err);

/* Rounds to the grid, reduces, adds the noise (each slice's owner, once), updates,
 * gathers; step grows by one. The step must have been charged. Every rank calls it.
 * Errors: PPT_ECOMM, PPT_ESTATE (the device failed; nothing was sent). */
int trainer_release(struct trainer *trainer, struct error *err);

/* Its two halves: `slice` becomes the noisy total, which may be looked at; then `slice`
 * is the gradient, not divided yet, of the update. */
int trainer_total(struct trainer *trainer, struct error *err);
int trainer_apply(struct trainer *trainer, struct error *err);

/* Parameters on the host, valid until the next step. Errors: PPT_ESTATE (the device
 * failed). */
int trainer_params(struct trainer *trainer, const float **ret_params,
                   struct error *err);

/* The loss over the examples since the last look, their number, and both start anew.
 * Plain jobs only. */
void trainer_take_loss(struct trainer *trainer, double *ret_sum, double *ret_count);

/* 0, or what failed on the device first: PPT_ESTATE. Waits for it. */
int trainer_check(const struct trainer *trainer, struct error *err);

/* How many threads this rank may use, at least 1. */
int trainer_n_threads(const struct env *env, const struct spec *spec);

/* Records come in rounds of at most trainer_round: read to trainer_records, and then
 * shared out, each lane calling trainer_take_part for its net with its part of the n
 * records, *ret_n of them. */
int64_t trainer_round(const struct trainer *trainer);
float *trainer_records(struct trainer *trainer, int32_t **ret_label);
struct net *trainer_take_part(struct trainer *trainer, int lane, int64_t n,
                              int64_t *ret_n);

/* How many arrays of n_slice there are in `state`. */
int trainer_n_states(const struct trainer *trainer);

/* The first of the source's own; zeros at step 0. */
float *trainer_own_states(const struct trainer *trainer);

#endif
