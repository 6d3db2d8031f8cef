/* Rounds of clients that trust nobody (federation.local): each makes its update noisy
 * before it leaves it, and the server adds up what it gets. Private to this room, but
 * for tests.
 *
 * A round has `cohort` seats, a public number. Clients are dealt (cohort.h): each is
 * in one round of a pass; a seat that is left empty is a stand-in's, whose message is
 * that of a client whose update is zeros. So a round is always the sum of as many
 * messages, divided by as many.
 *
 * Guarantee, for any two updates x and x' and so whatever the clients did: a message is
 *   gaussian   clip(x, C) + N(0, (2 C z)^2) on a public grid (kernels/grid.h): as
 *              |clip(x, C) - clip(x', C)| <= 2 C, in whole numbers, it costs what the
 *              Gaussian mechanism with noise multiplier z does;
 *   steps      where a walk ends whose every step has noise (walk.h), in whole
 *              numbers of a public unit: computed from what costs the same;
 *   privunit   C / m times PrivUnitG's word on a direction (jobs/privacy/priv_unit.h):
 * a pure epsilon. The direction is that of x or, so that the mean is clip(x, C) also
 * where x is short, the opposite one with chance (1 - |x| / C) / 2 (Duchi, Jordan,
 * Wainwright 2018, arXiv 1604.02390): no length is said. How long that takes tells on
 * which side of the cap it fell, which together with the message tells much: who can
 * time a client must not be one who learns its message. That is what the server learns
 * of a client in a pass. It also bounds what a model, or all that anybody sees, tells
 * of a user being in the data or not: with the same draws for everybody else one user
 * more changes one message of the pass at most, be it a stand-in's or that of a client
 * who finds no seat. Each pass is charged as one such release to everybody (price.h:
 * "pass"); that its round is secret is not counted on, nor that other people's noise is
 * in the sum. Who goes on in the middle of a pass pays for a whole one, as it deals
 * anew.
 *
 * Draws have a key that is fresh in every process; a message has a substream.
 */
#ifndef PPT_JOBS_FL_RANDOMISE_H
#define PPT_JOBS_FL_RANDOMISE_H

#include "jobs/dp/noise.h"
#include "jobs/dp/trainer.h"
#include "jobs/fl/cohort.h"
#include "jobs/fl/local.h"
#include "jobs/fl/walk.h"
#include "jobs/privacy/priv_unit.h"

struct randomise {
    enum spec_local kind; /* LOCAL_NONE: nothing else is set */
    struct trainer *trainer;
    struct local *local;
    const struct cohort *cohort;
    double clip_norm;
    int64_t n_seats;
    struct noise noise;
    struct grid grid; /* of a message's draws */
    double unit;      /* of the sum in the model's parameters */
    struct walk walk; /* steps */
    /* privunit */
    struct priv_unit plan;
    struct crypto_stream *coins;
    double *direction, *draw; /* [n_padded] */
};

/* `master` is fresh, secret and the same on all ranks; all else is kept by the caller.
 * Sets the trainer's grid. Close with randomise_close, which wipes. Errors: PPT_ERANGE
 * (no such noise for so many seats or values), PPT_ENOMEM. */
int randomise_open(struct randomise *randomise, const struct spec *spec,
                   struct trainer *trainer, struct local *local,
                   const struct cohort *cohort,
                   const unsigned char master[CRYPTO_KEY_SIZE], struct error *err);
void randomise_close(struct randomise *randomise); /* a zeroed one too */

/* Adds the opposite of the message of a seat in round trainer->step to
 * trainer->sum: of the update after - before, `after` NULL: of a stand-in (who walks
 * where clients do: steps). */
void randomise_add(struct randomise *randomise, int64_t seat, const float *after,
                   const float *before);

/* The round trainer->step of the cohort that was drawn, and the model's update by it;
 * trainer->sum is zeros. Every rank calls it. Errors: those of local_train, PPT_ECOMM.
 */
int randomise_run(struct randomise *randomise, struct error *err);

#endif
