/* Gaussian differential privacy: the exact price of full-batch Gaussian releases.
 *
 * T releases with noise multipliers s_i and no subsampling are exactly as private as
 * one Gaussian release with mu = sqrt(sum 1/s_i^2): delta and epsilon have closed forms
 * (Balle, Wang 2018, arXiv 1805.06530; Dong, Roth, Su 2022, arXiv 1905.02383).
 *
 * Guarantee: every delta, epsilon and mu is rounded up, by a relative 1e-12 or so.
 * Subsampled mechanisms are refused: the central-limit "mu" of a subsampled plan is not
 * a bound (it reports 6.595 where the truth is 6.767).
 * Unlike composed privacy-loss distributions, mu^2 may be kept as a running sum with
 * adaptively chosen releases (Smith, Thakurta 2022, arXiv 2210.17520).
 */
#ifndef PPT_JOBS_PRIVACY_GDP_H
#define PPT_JOBS_PRIVACY_GDP_H

#include <stdint.h>

#include "base/error.h"
#include "jobs/privacy/unit.h"

/* Where the rounding is covered. */
#define GDP_MIN_MU 1e-6
#define GDP_MAX_MU 1e4
#define GDP_MIN_DELTA 1e-300
#define GDP_MAX_EPSILON 1e8

/* mu of n_releases releases with this noise multiplier (over the add/remove
 * sensitivity) at this sample rate, which must be 1. Replace-one counts twice the
 * distance. Errors: PPT_ERANGE (a rate below 1, NaN, no noise, mu out of range). */
int gdp_mu(double noise_multiplier, double sample_rate, int64_t n_releases,
           enum privacy_relation relation, double *ret_mu, struct error *err);

/* Both plans together. Errors: PPT_ERANGE. */
int gdp_add(double mu, double other_mu, double *ret_mu, struct error *err);

/* delta at epsilon >= 0; its logarithm holds where delta itself would be 0.
 * Errors: PPT_ERANGE. */
int gdp_delta(double mu, double epsilon, double *ret_delta, struct error *err);
int gdp_log_delta(double mu, double epsilon, double *ret_log_delta, struct error *err);

/* The smallest epsilon >= 0 at delta in [GDP_MIN_DELTA, 1). Errors: PPT_ERANGE. */
int gdp_epsilon(double mu, double delta, double *ret_epsilon, struct error *err);

/* The smallest noise multiplier with which n_releases full-batch releases meet the
 * target, rounded up. Errors: PPT_ERANGE (also where mu would be out of range). */
int gdp_noise_multiplier(double epsilon, double delta, int64_t n_releases,
                         enum privacy_relation relation, double *ret_noise_multiplier,
                         struct error *err);

#endif
