/* Noise that is correlated over steps, for records in a fixed order: much of what one
 * step adds to the model the next steps take back.
 *
 * Step t releases x_t + (C^-1 Z)_t, with x_t its clipped sum, Z fresh Gaussian noise
 * and C lower triangular, Toeplitz, banded: C[t+j][t] = c_j for j < n_bands, c_0 = 1,
 * else 0. That is computed from C x + Z, one Gaussian release, also where x_t depends
 * on earlier outputs (Denisov et al. 2022, arXiv 2202.08312, Theorem 2.1). c_j is the
 * series of (1 - x)^(-1/2), the square root of the prefix sums, cut after n_bands
 * (Fichtenberger, Henzinger, Upadhyay 2023, arXiv 2202.11205; cut: Kalinin, Lampert
 * 2024, arXiv 2405.13763), each rounded to a multiple of 2^-8 so that sums on a grid
 * stay on one (jobs/dp/correlated.h). One band is fresh noise in each step.
 *
 * The price. Let a record take part in steps that are at least n_bands apart, one in
 * each pass, with a vector of norm at most 1. Column t of C touches rows t .. t +
 * n_bands - 1, so its columns have no row in common, and in C x it moves a part of
 * squared norm ||c||^2 at most for each pass, whatever the vectors are and however they
 * depend on what was released. Pass by pass: the log likelihood ratio of all outputs is
 * that of Gaussian shifts, of rows in their order, each known given the past; those of
 * one pass have a total square of at most ||c||^2. So a pass costs one Gaussian release
 * of noise multiplier noise/||c||, passes add up as releases do, and a pass may be paid
 * for before its first step whatever follows.
 * Neighbours: the record's vectors become 0 and nobody else's steps change
 * (jobs/dp/sampler.h and jobs/fl/cohort.h see to it: each record's step is drawn
 * independently of all others). Given everybody's steps that is the bound above; it is
 * the same for all, and divergences are jointly quasi-convex, so it holds for the
 * mixture over draws too, which is add/remove of a record. No amplification by the draw
 * is claimed, so the steps need not be secret.
 */
#ifndef PPT_JOBS_PRIVACY_CORRELATION_H
#define PPT_JOBS_PRIVACY_CORRELATION_H

#include <stdint.h>

#define CORRELATION_MAX_BANDS 1024
#define CORRELATION_DEFAULT_BANDS 16
#define CORRELATION_ONE 256 /* coefficients are whole multiples of 1/256 */

/* The bands of a job that wants `wanted` of them and whose passes have n_bins >= 1
 * steps: at most as many as a record's steps are apart. */
int64_t correlation_bands(int64_t wanted, int64_t n_bins);

/* CORRELATION_ONE c_j for j < n_bands: whole, falling, above 0. Requires 1 <= n_bands
 * <= CORRELATION_MAX_BANDS. */
void correlation_parts(int64_t n_bands, int64_t *ret_parts);

/* The noise multiplier that a pass is priced at, rounded down, where fresh noise has
 * standard deviation `fresh` times the clip norm; and the least fresh noise for which
 * that is at least `priced`, rounded up. Equal to their argument with one band. */
double correlation_priced(double fresh, int64_t n_bands);
double correlation_fresh(double priced, int64_t n_bands);

/* The root mean square, over the n_steps of a training, of the noise in the sum of all
 * steps so far, in units of the fresh noise's standard deviation: sqrt((n_steps + 1)/2)
 * with one band. */
double correlation_drift(int64_t n_bands, int64_t n_steps);

#endif
