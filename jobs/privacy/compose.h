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

/* What the composed law will be asked, which decides where it must be sharp: epsilon at
 * `delta`, or else delta at `epsilon`. The other number is where the answer is
 * expected, 0 if nobody knows. */
struct compose_goal {
    bool is_delta;
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
    struct compose_goal planned; /* the goal, and where the answer was expected */
    double saddle;               /* the tilt that belongs to it */
};

/* Either pairs or one law that stands on a grid already, counts[j] times each. */
struct compose_law {
    const struct pair *pairs;
    const struct pmf *pmf; /* or this, with n = 1 */
    const int64_t *counts;
    int n;
};

/* The law of the sum, all seen in one direction. Caller frees with composed_free.
 * Errors: PPT_ERANGE (counts, parameters; a pmf whose grid is too fine for the sum),
 * PPT_ENOMEM. */
int compose(const struct compose_law *law, const struct compose_goal *goal,
            struct composed *ret_composed, struct error *err);
void composed_free(struct composed *composed);

/* Upper bounds. composed_epsilon: PPT_ERANGE where the error terms alone exceed delta.
 */
int composed_epsilon(const struct composed *composed, double delta, double *ret_epsilon,
                     struct error *err);
double composed_delta(const struct composed *composed, double epsilon);

/* Composes and asks; once more where the answer turns out to lie elsewhere than
 * expected. *ret_last gets the last law without its masses. Errors: those of the
 * others. */
int compose_answer(const struct compose_law *law, const struct compose_goal *goal,
                   double *ret_answer, struct composed *ret_last, struct error *err);

#endif
