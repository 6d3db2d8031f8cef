/* APFL: a model of each client's own, mixed with the common one, that goes on from
 * round to round (Deng, Kamani, Mahdavi 2020, arXiv 2003.13461, algorithm 1). Private
 * to this room, but for tests.
 *
 * In a round that a client is in, each step from its copy w of the common model also
 * moves its own model v, by the same records:
 *   v = v - rate alpha gradient(alpha v + (1 - alpha) w)
 * and after the first of them its share alpha, kept from 0 to 1, is
 *   alpha = alpha - rate <v - w, gradient(alpha v + (1 - alpha) w)>,
 * both at the v, w and alpha before the step. v begins as the first model that the
 * client was handed, and alpha as federation.personal.alpha. What the client uses after
 * the last round is alpha v + (1 - alpha) w with the common w: the common model where
 * it was in no round.
 *
 * v and alpha lie in keep.h: two vectors as long as the model, as checkpoints know no
 * shorter ones. A rank has 12 bytes a parameter beside.
 */
#ifndef PPT_JOBS_FL_APFL_H
#define PPT_JOBS_FL_APFL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "jobs/fl/keep.h"
#include "jobs/spec/spec.h"

struct apfl {
    int64_t n;      /* parameters; 0: the spec wants no such models */
    double alpha_0; /* of a client that begins */
    float *mixed;   /* [n]: where the gradient is taken */
    double *grad;   /* [n] */
    /* Of the client that trains; own NULL: nobody, or without a model of its own. */
    float *own, *share; /* v; alpha, and 1 once it has begun */
    bool is_first;      /* step of the round */
};

/* Close with apfl_close. Errors: PPT_ENOMEM. */
int apfl_open(struct apfl *apfl, const struct spec *spec, int64_t n_params,
              struct error *err);
void apfl_close(struct apfl *apfl);

/* The client begins a round from `common`[n]. Nothing where there are no such models.
 * Errors: PPT_ENOMEM. */
int apfl_begin(struct apfl *apfl, struct keep *keep, int64_t client,
               const float *common, struct error *err);
/* No client trains. */
void apfl_end(struct apfl *apfl);

/* Before a step from `params`[n]: mixed is there, and grad is zeros. */
void apfl_mix(struct apfl *apfl, const float *params);

/* After the mean gradient is in grad, and while `params` are those before the step. */
void apfl_step(struct apfl *apfl, const float *params, double rate);

/* params[n], the common model, becomes what the client uses. Errors: PPT_ENOMEM. */
int apfl_use(const struct apfl *apfl, struct keep *keep, int64_t client, float *params,
             struct error *err);

#endif
