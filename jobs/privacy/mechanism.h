/* The private mechanisms this product prices, each as a Renyi curve per release.
 *
 * The seam for every mechanism: name + parameters -> curve -> cost -> (epsilon, delta).
 * A mechanism is data; it can be written into a plan and read back.
 *
 * Noisy max and the sparse vector are priced by their largest loss alone. The tighter
 * bounded-range price of the exponential mechanism is not theirs. With exponential
 * noise (permute and flip) two candidates with equal scores win with chance 1/2 each,
 * and when one record moves them 2 apart the lower one wins with e^-epsilon/2: losses
 * of epsilon and -log(2 - e^-epsilon), a range above epsilon. With Laplace noise, and
 * for the sparse vector, we know of no proof of a narrower range. Gumbel noise makes
 * noisy max the exponential mechanism itself, and is priced as such.
 *
 * Guarantee: a curve is at least the true divergence at every order, in both directions
 * of its relation. Sensitivities and scales are always those under `relation`: a
 * replace-one sensitivity may be twice the add/remove one, and only the caller knows.
 */
#ifndef PPT_JOBS_PRIVACY_MECHANISM_H
#define PPT_JOBS_PRIVACY_MECHANISM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "jobs/privacy/cost.h"

enum mechanism_kind {
    MECHANISM_GAUSSIAN,            /* N(f, (noise_multiplier * L2 sensitivity)^2) */
    MECHANISM_SUBSAMPLED_GAUSSIAN, /* the same over a Poisson sample at sample_rate */
    MECHANISM_LAPLACE,             /* Laplace noise, `scale` over the L1 sensitivity */
    MECHANISM_DISCRETE_GAUSSIAN,   /* whole numbers, mass ~ e^{-x^2 / 2 scale^2} */
    MECHANISM_DISCRETE_LAPLACE,    /* whole numbers, mass ~ e^{-|x| / scale} */
    MECHANISM_SKELLAM,             /* difference of two Poissons, together `variance` */
    MECHANISM_EXPONENTIAL,         /* picks i with chance ~ e^{epsilon u_i / 2 sens.} */
    MECHANISM_RANDOMISED_RESPONSE, /* uniform over `categories`, chance `flip` */
    MECHANISM_NOISY_MAX,     /* only the index of the largest score after Laplace or
                                exponential noise; with Gumbel: EXPONENTIAL */
    MECHANISM_SPARSE_VECTOR, /* which scores exceed a noisy threshold, until `cutoff` */
    MECHANISM_RANDOM_ALLOCATION, /* an epoch of balls in bins: `bins` Gaussian sums,
                                    each record in one of them; add/remove */
    MECHANISM_PURE,              /* anything whose largest loss is `epsilon` */
    MECHANISM_N_KINDS
};

enum mechanism_sampling {
    SAMPLING_NONE,
    SAMPLING_POISSON,             /* each record alone, at sample_rate; add/remove */
    SAMPLING_WITHOUT_REPLACEMENT, /* a fixed number of records; replace-one */
    SAMPLING_N
};

/* Fields that a kind does not use are ignored; mechanism_parameters says which it
 * uses. */
struct mechanism {
    enum mechanism_kind kind;
    double noise_multiplier; /* standard deviation over L2 sensitivity */
    double sample_rate;      /* in (0, 1]; 1 where nothing is sampled */
    enum mechanism_sampling sampling;
    enum privacy_relation relation;
    double scale;
    double sensitivity;    /* L2; L1 for DISCRETE_LAPLACE */
    double sensitivity_l1; /* SKELLAM */
    double variance;
    double epsilon;
    double flip;
    double categories;
    double threshold_scale, query_scale; /* Laplace noise over the sensitivity */
    double cutoff;   /* how often the sparse vector may say "above" */
    double monotone; /* 1: a record moves all scores the same way; else 0 */
    double bins;     /* steps of an epoch */
};

struct mechanism_parameter {
    const char *name; /* of the field */
    size_t offset;    /* of the double in struct mechanism */
    double low, high; /* where the bounds are proven */
    double otherwise; /* its value where it is not given; NAN: it must be */
    bool is_whole;
    int privacy; /* 1: larger is more private; -1: smaller is; 0: not a knob */
    const char *help;
};

/* "gaussian", "subsampled-gaussian", "laplace", ... The reverse returns -1 for an
 * unknown name. */
const char *mechanism_name(enum mechanism_kind kind);
int mechanism_from_name(const char *name);

/* "none", "poisson", "without_replacement". The reverse returns -1. */
const char *mechanism_sampling_name(enum mechanism_sampling sampling);
int mechanism_sampling_from_name(const char *name);

/* The kind's own parameters in reading order (sampling and relation are everybody's);
 * the first with privacy != 0 is its noise. */
const struct mechanism_parameter *mechanism_parameters(enum mechanism_kind kind,
                                                       int *ret_n);

/* The value of a parameter, to read or to set. */
double *mechanism_value(struct mechanism *mechanism,
                        const struct mechanism_parameter *parameter);

/* A mechanism of this kind with every parameter that has a default at it, and the
 * others NAN; nothing sampled (Poisson for SUBSAMPLED_GAUSSIAN), add/remove
 * (replace-one for RANDOMISED_RESPONSE). */
struct mechanism mechanism_default(enum mechanism_kind kind);

/* Errors: PPT_ERANGE names the parameter, its value and the accepted range; also where
 * a sampling does not go with a relation: Poisson sampling is priced under add/remove,
 * a sample without replacement under replace-one, randomised response under
 * replace-one. */
int mechanism_check(const struct mechanism *mechanism, struct error *err);

/* Divergences of one release, rounded up, at alphas[0..n-1], each > 1 (at least
 * MECHANISM_MIN_ORDER to be sharp). Samples have curves by theorem at whole orders;
 * between those the convex (alpha - 1) rho is interpolated. Requires that
 * mechanism_check passed. */
#define MECHANISM_MIN_ORDER (1 + 0x1p-10)
void mechanism_rho(const struct mechanism *mechanism, const double *alphas, int n,
                   double *ret_rho);

/* The largest privacy loss, rounded up; INFINITY where it is unbounded. Requires that
 * mechanism_check passed. */
double mechanism_pure_epsilon(const struct mechanism *mechanism);

/* The curve of one release on the ledger's grid, for the mechanism's relation.
 * Errors: those of mechanism_check. */
int mechanism_curve(const struct mechanism *mechanism, enum privacy_unit unit,
                    struct curve *ret_curve, struct error *err);

#endif
