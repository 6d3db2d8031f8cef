/* The tightest price of a plan: privacy-loss distributions, composed.
 *
 * A plan is releases of known mechanisms with known counts, fixed before the first of
 * them runs (schedules that depend on public data only are fine). epsilon at a delta,
 * and delta at an epsilon, come out as proven upper bounds: discretisation is a
 * mean-preserving spread, truncation, wrap-around and round-off are bounded and added,
 * and both directions of the relation are composed through all releases before the
 * larger one is taken. pld.md has the error analysis.
 *
 * Guarantee: never below the truth, for delta from 1e-5 to 1e-30 (accepted: 1e-40 to 1)
 * and up to 10^10 releases. Typically within 1e-4 of the truth relatively (plus 1e-5)
 * up to 10^6 releases; beyond, the grid is as fine as 2^21 points allow and the answer
 * loosens. Where error terms alone exceed delta the answer is refused.
 *
 * This reports a pre-committed plan. It is NOT a filter: stopping an adaptive sequence
 * of jobs by composed privacy-loss distributions is unsound, since later mechanisms may
 * depend on earlier outputs (arXiv 2602.06756). The ledger's filter stays Renyi.
 */
#ifndef PPT_JOBS_PRIVACY_PLD_H
#define PPT_JOBS_PRIVACY_PLD_H

#include <stdint.h>

#include "base/error.h"
#include "jobs/privacy/pair.h"
#include "jobs/privacy/unit.h"

#define PLD_MAX_RELEASES 64
#define PLD_MAX_COUNT INT64_C(10000000000)
#define PLD_MIN_DELTA 1e-40
#define PLD_MAX_EPSILON 1e6

/* `count` releases of one mechanism. */
struct pld_release {
    enum pair_noise noise;
    double scale;              /* noise over the add/remove sensitivity */
    double rate;               /* of Poisson subsampling; 1: none */
    const struct atoms *atoms; /* PAIR_ATOMS only (atoms.h); the caller keeps it */
    int64_t count;
    union {
        const struct mixture *mixture;     /* PAIR_MIXTURE only (mixture.h); the same */
        const struct truncated *truncated; /* PAIR_TRUNCATED only; the same */
    };
};

/* One plan, one relation: relations cannot be mixed. REPLACE_ONE takes Gaussian noise
 * only, on samples that may be cut too (scale is still over the add/remove
 * sensitivity). */
struct pld_plan {
    enum privacy_relation relation;
    int n;
    const struct pld_release *releases;
};

/* Where an answer came from. */
struct pld_detail {
    double remove, add; /* the answer in each direction; equal under replace-one */
    double step;        /* the grid's, of the direction that decided; 0 if exact */
    int64_t n_points;
};

/* The smallest epsilon >= 0 at delta, rounded up. ret_detail may be NULL.
 * Errors: PPT_ERANGE (a parameter out of range, or more precision asked for than the
 * method has), PPT_ENOMEM. */
int pld_epsilon(const struct pld_plan *plan, double delta, double *ret_epsilon,
                struct pld_detail *ret_detail, struct error *err);

/* The smallest delta at epsilon >= 0, rounded up, at most 1. Errors: the same. */
int pld_delta(const struct pld_plan *plan, double epsilon, double *ret_delta,
              struct pld_detail *ret_detail, struct error *err);

/* The smallest noise multiplier, to a relative 1e-6 and rounded up, with which n_steps
 * Poisson-subsampled Gaussian releases cost at most epsilon at delta; the answer was
 * priced. Errors: PPT_ERANGE (no noise in [PAIR_MIN_SCALE, PAIR_MAX_SCALE] does),
 * PPT_ENOMEM. */
int pld_noise_multiplier(double epsilon, double delta, double sample_rate,
                         int64_t n_steps, enum privacy_relation relation,
                         double *ret_noise_multiplier, struct error *err);

#endif
