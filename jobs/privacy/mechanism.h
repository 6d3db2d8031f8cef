/* The private mechanisms this product runs, each as a Renyi curve per release.
 *
 * The seam for every later mechanism: name + parameters -> curve -> cost -> (epsilon,
 * delta). A mechanism is data; it can be written into a plan and read back.
 */
#ifndef PPT_JOBS_PRIVACY_MECHANISM_H
#define PPT_JOBS_PRIVACY_MECHANISM_H

#include "base/error.h"
#include "jobs/privacy/cost.h"

enum mechanism_kind {
    MECHANISM_GAUSSIAN,            /* N(f, (noise_multiplier * sensitivity)^2) */
    MECHANISM_SUBSAMPLED_GAUSSIAN, /* the same over a Poisson sample at sample_rate */
    MECHANISM_N_KINDS
};

struct mechanism {
    enum mechanism_kind kind;
    double noise_multiplier; /* standard deviation over L2 sensitivity, > 0 */
    double sample_rate;      /* of the Poisson sample, in (0, 1]; 1 for GAUSSIAN */
};

/* "gaussian", "subsampled-gaussian". The reverse returns -1 for an unknown name. */
const char *mechanism_name(enum mechanism_kind kind);
int mechanism_from_name(const char *name);

/* The curve of one release, an upper bound at every order, add/remove adjacency.
 * Errors: PPT_ERANGE names the parameter, its value and the accepted range. */
int mechanism_curve(const struct mechanism *mechanism, enum privacy_unit unit,
                    struct curve *ret_curve, struct error *err);

#endif
