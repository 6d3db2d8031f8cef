/* Where a falling function crosses zero, always ending on the side where it is not
 * positive: the last step of every calibration.
 *
 * Internal to jobs/privacy.
 */
#ifndef PPT_JOBS_PRIVACY_FALLING_H
#define PPT_JOBS_PRIVACY_FALLING_H

#include "base/error.h"

struct falling {
    /* The function at x, INFINITY where it has no value but x is too small.
     * Errors end the search. */
    int (*value)(void *state, double x, double *ret_value, struct error *err);
    void *state;
    double start, stride; /* where to look first, and how far around it */
    double least, most;   /* of x */
    double width;         /* good enough: between both sides */
    double closeness;     /* good enough: the function at the answer */
};

/* *ret_x gets the smallest x found with value(x) <= 0 (the function was evaluated
 * there), NAN if there is none up to `most`. Illinois method, at most 80 evaluations.
 */
int falling_root(const struct falling *falling, double *ret_x, struct error *err);

#endif
