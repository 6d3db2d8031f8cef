/* Renyi divergences of the Poisson-subsampled Gaussian, at any order.
 *
 * Internal to jobs/privacy and its tests: everybody else goes through mechanism.h.
 * Guarantee: each value is at least the true divergence and exceeds it by a relative
 * 2 * RDP_SLACK at most. The curve is that of one record removed, the larger direction.
 */
#ifndef PPT_JOBS_PRIVACY_RDP_H
#define PPT_JOBS_PRIVACY_RDP_H

/* Every result is multiplied by 1 + RDP_SLACK, which covers quadrature and rounding
 * (the README derives the bound). */
#define RDP_SLACK 1e-10

/* Where the bound above is proven. */
#define RDP_MIN_NOISE 0.05
#define RDP_MAX_NOISE 1e6
#define RDP_MIN_RATE 0x1p-53

/* D_alpha((1-q) N(0,s^2) + q N(1,s^2) || N(0,s^2)) in nats for alphas[0..n-1], where s
 * is the noise multiplier and q the sample rate: Mironov, Talwar, Zhang 2019 (arXiv
 * 1908.10530), whose Theorem 5 says that the reverse direction is never larger.
 * Requires every alpha > 1, s in [RDP_MIN_NOISE, RDP_MAX_NOISE], q in
 * [RDP_MIN_RATE, 1]. */
void rdp_subsampled_gaussian_curve(const double *alphas, int n, double noise_multiplier,
                                   double sample_rate, double *ret_rho);

/* The same for one order. */
double rdp_subsampled_gaussian(double alpha, double noise_multiplier,
                               double sample_rate);

/* The other direction, D_alpha(N(0,s^2) || (1-q) N(0,s^2) + q N(1,s^2)): one record put
 * in. Never above the one removed; q < 1 or it is the Gaussian's. alpha in [1 + 2^-10,
 * 65536]. */
double rdp_subsampled_gaussian_add(double alpha, double noise_multiplier,
                                   double sample_rate);

#endif
