/* The law of a mean of independent lognormals, above it in convex order.
 *
 * Internal to jobs/privacy (balls_in_bins.h). Masses stand at values e^{i step}, at 0
 * and "at infinity", which carries mean but no mass. Every operation replaces values by
 * mean-preserving spreads, so for each convex f that grows at most linearly E f of the
 * result is at least that of the exact law, up to the two errors that are kept:
 * masses are right to a relative `mass_error`, and values to a relative `value_error`.
 */
#ifndef PPT_JOBS_PRIVACY_MEAN_LAW_H
#define PPT_JOBS_PRIVACY_MEAN_LAW_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct mean_law {
    double step;
    int64_t first; /* mass[i] is at e^{(first + i) step} */
    size_t n;
    double *mass;
    double zero;     /* mass at 0 */
    double infinite; /* mean at infinity */
    double mass_error, value_error;
};

/* The law of Y = e^{X/s - 1/2s^2}, X standard normal, cut where less than `rare` of its
 * mass lies below or of its mean above. Caller frees. Errors: PPT_ENOMEM, PPT_ERANGE.
 */
int mean_law_lognormal(double s, double step, double rare, struct mean_law *ret_law,
                       struct error *err);
void mean_law_free(struct mean_law *law);

/* The law of (weight_a A + weight_b B)/(weight_a + weight_b), A and B independent on
 * grids of one step, cut as above. Caller frees. Errors: PPT_ENOMEM. */
int mean_law_mix(const struct mean_law *a, double weight_a, const struct mean_law *b,
                 double weight_b, double rare, struct mean_law *ret_law,
                 struct error *err);

/* The law of the mean of `count` independent copies, on a grid whose step has been
 * halved n_halvings times. Steps are halved on the way: what an early, coarse split
 * adds to the variance is averaged away by the copies still to come. Errors: the same.
 */
int mean_law_power(const struct mean_law *law, int64_t count, int n_halvings,
                   double rare, struct mean_law *ret_law, struct error *err);

/* How many halvings pay for this many copies. */
int mean_law_halvings(int64_t count);

#endif
