/* Training in a fixed order of the data, with noise that may be correlated over steps:
 * how far one record can move what is released, and so the price as one Gaussian.
 *
 * For data that cannot be sampled at random: each record takes part at known or secret
 * steps, at most n_participations times, and at least min_separation steps apart. What
 * is released is the prefix sums (or any factor's product) of clipped gradients with
 * noise s C^-1 Z, which is one Gaussian release of C x: mu = sens(C)/s, also when
 * gradients depend on earlier outputs (Denisov et al. 2022, arXiv 2202.08312,
 * Theorem 2.1). No amplification is claimed, so the order may be sequential and even
 * public.
 *
 * Guarantee: sensitivities are upper bounds over all participation patterns and all
 * gradients of norm at most 1, rounded up. Relations: add_remove means that a record's
 * gradients become zero; replace_one costs twice the distance (gdp_mu's rule).
 */
#ifndef PPT_JOBS_PRIVACY_FIXED_ORDER_H
#define PPT_JOBS_PRIVACY_FIXED_ORDER_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "jobs/privacy/pld.h"
#include "jobs/privacy/unit.h"

#define FIXED_ORDER_MAX_STEPS 10000000

struct participation {
    int64_t n_steps;
    int64_t n_participations; /* of one record, at most */
    int64_t min_separation;   /* steps from one to its next, at least; >= 1 */
};

/* mu of the whole training from a sensitivity below and the noise multiplier of Z.
 * Errors: PPT_ERANGE. */
int fixed_order_mu(double sensitivity, double noise_multiplier,
                   enum privacy_relation relation, double *ret_mu, struct error *err);

/* Shuffled fixed batches: each record once an epoch, in a batch that a secret shuffle
 * decides. Given the shuffle, a record moves one step an epoch; delta is convex in the
 * pair of laws, so a mixture over shuffles is no worse than one of them:
 * sqrt(n_epochs). That is the bound; no amplification by shuffling is claimed, since
 * the one that Poisson sampling gives does not hold here (arXiv 2403.17673). */
int fixed_order_shuffled(int64_t n_epochs, double *ret_sensitivity, struct error *err);

/* Binary tree: each step is a leaf, each node's noisy sum is released. On the level of
 * nodes 2^l wide a record moves a node by at most m <= min(k, ceil(2^l/b)), k
 * participations b apart, and sum m^2 <= k max m; so sens^2 <= sum_l k min(k,
 * ceil(2^l/b)). sqrt(floor(log2 n) + 1) for one participation. Errors: PPT_ERANGE. */
int fixed_order_tree(const struct participation *participation, double *ret_sensitivity,
                     struct error *err);

/* Banded factor, given as the norms of C's columns: entries below the diagonal further
 * than n_bands - 1 are 0. With min_separation >= n_bands the columns that a record
 * touches have no row in common, so their norms add in squares, whatever the gradients
 * are; the worst pattern is found exactly, or bounded by the largest column where steps
 * times participations exceed 10^9. Errors: PPT_ERANGE (separation below the
 * bands, negative or NaN norms), PPT_ENOMEM. */
int fixed_order_banded(const double *column_norms,
                       const struct participation *participation, int64_t n_bands,
                       double *ret_sensitivity, struct error *err);

/* The same for a Toeplitz factor: C[i+j][i] = coefficients[j], j < n_bands. */
int fixed_order_toeplitz(const double *coefficients, int64_t n_bands,
                         const struct participation *participation,
                         double *ret_sensitivity, struct error *err);

/* A banded factor with sampling: records are dealt once into n_bands groups; step t
 * samples group t mod n_bands, each of its records with probability
 * n_bands * sample_rate. A record's steps touch disjoint rows, so the training is
 * ceil(n_steps/n_bands) Poisson-subsampled Gaussians at that rate with noise
 * noise_multiplier/max_column_norm: one release for pld.h (after arXiv 2306.08153). The
 * deal into groups may be public but must not depend on other records.
 * Errors: PPT_ERANGE (the rate above 1). */
int fixed_order_sampled(double noise_multiplier, double max_column_norm,
                        int64_t n_bands, double sample_rate, int64_t n_steps,
                        struct pld_release *ret_release, struct error *err);

#endif
