/* Noise in each step of a client's own training (federation.local: steps), so that no
 * model the client ever holds in a round tells more of its records than is paid for.
 * Private to the room, but for tests.
 *
 * A client takes S steps, S = training.steps, a public number. In each, the gradient g
 * of the whole batch is clipped to C = clip_norm and becomes
 *     g + N(0, (2 C z sqrt(S))^2), z the price's noise multiplier,
 * on a public grid (kernels/grid.h). Whatever the client's records are, |g - g'| <= 2
 * C, in whole numbers: one step is the Gaussian mechanism with multiplier z sqrt(S),
 * and S of them, of which each may depend on what came before, are one with multiplier
 * z (their Renyi divergences add up: S a / (2 S z^2); the curves of trade-off as well:
 * Dong, Roth, Su 2022, corollary 3.3). What comes out of the walk, and all on its way,
 * is computed from the noisy gradients and public numbers; nothing is taken off for
 * what is not shown. A batch is not a secret sample, so nothing is taken off for it.
 * Who has no records, and who fills a seat, walks with gradients of zero.
 */
#ifndef PPT_JOBS_FL_WALK_H
#define PPT_JOBS_FL_WALK_H

#include <stdbool.h>
#include <stdint.h>

#include "jobs/dp/noise.h"

/* Rounds, seats and steps of a walk are below these, so that no noise is used twice. */
#define WALK_MOST_SEATS ((int64_t)1 << 20)
#define WALK_MOST_STEPS ((int64_t)1 << 20)

struct walk {
    struct noise *noise; /* for as many draws as a gradient has values, or one more */
    struct grid grid;    /* of the gradient of a batch */
    double clip_norm;
    uint64_t substream; /* of the next step */
};

/* On the grid of sums of vectors that are `clip_norm` long. `noise` is kept by the
 * caller. False: no such noise, or too many steps. */
bool walk_plan(struct walk *walk, struct noise *noise, const struct grid *grid,
               double clip_norm, double noise_multiplier, int64_t n_steps);

/* Before the first step of a seat's client in a round. */
void walk_begin(struct walk *walk, int64_t round, int64_t seat);

/* gradient[n] of a batch, n even, becomes what the client may see of it. One that is
 * not finite is zeros. */
void walk_step(struct walk *walk, int64_t n, double *gradient);

#endif
