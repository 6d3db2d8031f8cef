/* What a job will cost, from its spec and the public facts of its data set alone.
 *
 * A price is a list of releases: each a mechanism and how many times it may run. The
 * meter counts uses of the same list while the job runs, and settlement prices those
 * counts. The true record count never enters.
 *
 * A price has two forms, and both are upper bounds. `cost`, a curve on the ledger's
 * orders, is what is reserved, debited and limited. `epsilon` is what people are told
 * and what a target is met by: the least over all orders (renyi.h), because a plan is
 * fixed before it runs. The ledger's orders alone would say up to 5 % more.
 */
#ifndef PPT_JOBS_PRIVACY_PRICE_H
#define PPT_JOBS_PRIVACY_PRICE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "jobs/privacy/cost.h"
#include "jobs/privacy/mechanism.h"

struct spec;
struct manifest;

#define PRICE_MAX_RELEASES 8
#define PRICE_TRAINING_STEP                                                            \
    0                      /* releases[0]: one noisy gradient sum (dp), or a whole     \
                              epoch of them where records are dealt; sum of a          \
                              cohort's updates (fl), or a pass of rounds in which each \
                              client sends one update (federation.local, fixed order) */
#define PRICE_EVALUATION 1 /* releases[1], where paid for: one noisy test count */

struct price_release {
    char name[32]; /* "training-step", "epoch", "round", "pass", "evaluation" */
    struct mechanism mechanism;
    int64_t count; /* the most that may happen */
};

struct price {
    bool is_private; /* false: `privacy: none` on public data; no releases, no cost */
    enum privacy_unit unit;
    enum privacy_relation relation;
    int n_releases;
    struct price_release releases[PRICE_MAX_RELEASES];
    double delta;       /* at which epsilon is shown */
    double epsilon;     /* at `delta`, over all orders; 0 if not private */
    double sample_rate; /* batch_size / nominal count, or cohort / nominal number
                           of clients (users), rounded up to k/2^53; where records
                           or clients are dealt, 1 / bins: what a step expects of
                           them */
    double
        noise_multiplier; /* of the training step: of what it draws afresh; with
                             privunit what a message's comes to: 1/2m (priv_unit.h) */
    int64_t n_steps;      /* or rounds */
    int64_t n_bins;       /* steps of an epoch where records are dealt, rounds of a
                             pass where clients are, else 0 */
    int64_t n_bands;      /* where each epoch deals as the first did: of the noise
                             (correlation.h); else 0 */
    struct cost cost;     /* has a mu2 where the rate is 1 */
};

/* A round whose Skellam noise has noise_multiplier times the L2 sensitivity of whole
 * numbers. Its curve falls as that sensitivity grows, the L1 one being at most its
 * square: it is that of PRICE_SKELLAM_SENSITIVITY, below which nothing may run. */
#define PRICE_SKELLAM_SENSITIVITY 256
struct mechanism price_skellam(double noise_multiplier, double sample_rate);

/* By how many clip norms one user moves the sum of a private round: one; two where
 * cohorts have a fixed size, as a user then comes in the place of another. That is
 * priced as a sample without replacement (jobs/fl/noise.md, section 5).
 * price->noise_multiplier is noise to a clip norm; the round's release has that over
 * this. */
double price_clip_norms(const struct spec *spec);

/* Errors: PPT_ERANGE (no noise reaches the target, batch larger than the data set),
 * PPT_ESPEC (spec and manifest disagree). */
int price_job(const struct spec *spec, const struct manifest *manifest,
              struct price *ret_price, struct error *err);

/* The cost of having used used[i] of releases[i] (i < n_releases), rounded up.
 * Errors: PPT_ERANGE (negative, or more than the count). */
int price_used(const struct price *price, const int64_t *used, struct cost *ret_cost,
               struct error *err);

/* The epsilon at price->delta of having used used[i] of releases[i], rounded up: the
 * price of the whole plan where all are, 0 where none is. Between, it goes by the order
 * that is best for the whole plan, not by the best for the part: somebody may have
 * ended the run because of its outputs, and only an order fixed in advance bounds that
 * (README: a run that ends early). Errors: PPT_ERANGE (as price_used). */
int price_epsilon(const struct price *price, const int64_t *used, double *ret_epsilon,
                  struct error *err);

#endif
