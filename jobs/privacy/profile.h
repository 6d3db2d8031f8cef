/* A rough sketch of a pair's privacy loss, to choose tilts, windows and grids by.
 *
 * Internal to jobs/privacy. No bound rests on it: a poor sketch costs accuracy, never
 * soundness. A thousand atoms or so, geometric in the loss, so that it fits losses of
 * any scale.
 */
#ifndef PPT_JOBS_PRIVACY_PROFILE_H
#define PPT_JOBS_PRIVACY_PROFILE_H

#include <stdint.h>

#include "jobs/privacy/pair.h"
#include "jobs/privacy/pmf.h"

#define PROFILE_MAX_ATOMS 1600

struct profile {
    int n;
    double loss[PROFILE_MAX_ATOMS], log_mass[PROFILE_MAX_ATOMS];
};

/* The sketch of the losses in [low, high]. */
void profile_fill(const struct pair *pair, double low, double high,
                  struct profile *ret_profile);

/* The sketch of a law that stands on a grid already. */
void profile_of_pmf(const struct pmf *pmf, struct profile *ret_profile);

struct profile_moments {
    double log_mgf, mean, variance;
};

/* log E e^{tL} and its first two derivatives in t, summed over count[j] releases of
 * profiles[j]. */
struct profile_moments profile_tilted(const struct profile *profiles,
                                      const int64_t *counts, int n, double t);

/* E_t[L^2] of one release of each, weighted by the counts, under the tilt t. */
double profile_square(const struct profile *profiles, const int64_t *counts, int n,
                      double t);

/* log delta at epsilon = mean(t) by a normal law for the tilted sum: exact for Gaussian
 * losses, right to a few percent where many releases add up. */
double profile_log_delta(const struct profile_moments *moments, double t);

/* The tilt t >= 0 at which profile_log_delta is log_delta, or mean is epsilon; 0 where
 * it is below already. */
double profile_tilt_for_delta(const struct profile *profiles, const int64_t *counts,
                              int n, double log_delta);
double profile_tilt_for_epsilon(const struct profile *profiles, const int64_t *counts,
                                int n, double epsilon);

/* Chernoff: the side's bound b (above for sign 1, below for -1) beyond which the tilted
 * sum has mass at most e^-log_rarity, and the extra tilt that gives it. */
double profile_chernoff(const struct profile *profiles, const int64_t *counts, int n,
                        double t, double log_rarity, int sign, double *ret_extra);

#endif
