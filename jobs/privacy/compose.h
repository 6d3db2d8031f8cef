/* Many releases, one direction: the law of their summed privacy loss, and delta from
 * it.
 *
 * Internal to jobs/privacy: pld.h is the way in, pld.md the proof. Loss laws on one
 * grid (pmf.h) are tilted by e^{theta L} before they are convolved by FFT, so that what
 * rounding, wrapping round and cutting off cost is small next to delta itself, and is
 * added to it.
 */
#ifndef PPT_JOBS_PRIVACY_COMPOSE_H
#define PPT_JOBS_PRIVACY_COMPOSE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "jobs/privacy/pair.h"
#include "jobs/privacy/pmf.h"

#define COMPOSE_MAX_PAIRS 64
#define COMPOSE_MAX_COUNT INT64_C(10000000000) /* all releases together */
#define COMPOSE_MIN_DELTA 1e-40

/* What the composed law will be asked, which decides where it must be sharp. */
struct compose_goal {
    bool is_delta; /* epsilon is wanted at `delta`; otherwise delta at `epsilon` */
    double delta, epsilon;
};

struct composed {
    double step;   /* the grid's */
    int64_t first; /* mass[i] is at loss (first + i) * step */
    int64_t n;
    double *mass; /* of the tilted law, at least 0 */
    double theta; /* e^{scale - theta * loss} undoes the tilt */
    double scale;
    double error;    /* |mass[i] - true mass| at most, */
    double error_l2; /* and the root of the sum of its squares */
    double infinite; /* mass above the window or at infinite loss, at most */
    double shift;    /* to be added to epsilon */
};

/* counts[j] releases of pairs[j], j < n, all seen in one direction. Caller frees with
 * composed_free. Errors: PPT_ERANGE (counts, parameters), PPT_ENOMEM. */
int compose(const struct pair *pairs, const int64_t *counts, int n,
            const struct compose_goal *goal, struct composed *ret_composed,
            struct error *err);
/* The same for count releases of a law that stands on a grid already.
 * Errors: PPT_ERANGE (also where that grid is too fine for the sum), PPT_ENOMEM. */
int compose_pmf(const struct pmf *pmf, int64_t count, const struct compose_goal *goal,
                struct composed *ret_composed, struct error *err);
void composed_free(struct composed *composed);

/* Upper bounds. composed_epsilon: PPT_ERANGE where the error terms alone exceed delta.
 */
int composed_epsilon(const struct composed *composed, double delta, double *ret_epsilon,
                     struct error *err);
double composed_delta(const struct composed *composed, double epsilon);

#endif
