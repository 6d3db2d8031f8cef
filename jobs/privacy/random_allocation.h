/* The Renyi curve of one epoch of balls in bins: each record falls into one of t steps,
 * uniformly and independently, and each step's sum gets Gaussian noise.
 *
 * Internal to jobs/privacy (mechanism.h). The likelihood ratio is the W of
 * balls_in_bins.h, a mean of t independent lognormals; pld.md, section 6, proves that
 * this pair is the worst one also where gradients follow from earlier steps, and why
 * both sums below are bounds:
 *   removing a record   E W^a at whole orders a: a! times a coefficient of the t-th
 *                       power of a power series with positive coefficients;
 *   adding one          E W^-k = (1/Gamma(k)) integral of x^(k-1) (E e^(-xY/t))^t dx.
 * Epochs compose adaptively, so this may stand in a filter, which balls_in_bins.h may
 * not.
 *
 * Guarantee: upper bounds for both directions of add/remove, rounded up. Between whole
 * orders the convex (alpha-1) D is interpolated. Above RANDOM_ALLOCATION_MAX_ORDER, and
 * where the epoch costs more than 30 nats if nothing is amplified, the bound is that
 * of one Gaussian release, alpha/2s^2.
 */
#ifndef PPT_JOBS_PRIVACY_RANDOM_ALLOCATION_H
#define PPT_JOBS_PRIVACY_RANDOM_ALLOCATION_H

#include <stdint.h>

#define RANDOM_ALLOCATION_MAX_ORDER 2048
#define RANDOM_ALLOCATION_MAX_BINS 1000000000

/* ret_rho[i], in nats, at alphas[i] > 1, i < n. Noise in [0.05, 1e6] over the
 * sensitivity; n_bins in [1, RANDOM_ALLOCATION_MAX_BINS]. Costs up to some tens of
 * milliseconds where noise is large; each thread remembers the last pair of noise and
 * bins. */
void random_allocation_rho(double noise_multiplier, int64_t n_bins,
                           const double *alphas, int n, double *ret_rho);

#endif
