/* The tight Renyi price of a plan: every order is tried, not only the ledger's.
 *
 * Guarantee: an upper bound for a plan fixed in advance, rounded up, within 1e-5 of the
 * least that any order in [1 + 2^-10, 65536] gives. Which number counts: this one is
 * what a job is said to cost and what its target is met by. The LEDGER adds jobs and
 * limits them at its 128 orders (cost.h), which are fixed for ever because later jobs
 * may depend on earlier ones; an epsilon read from it is never below this figure,
 * mostly by less than 0.1 %, and by up to 5 % where a curve has a cliff between two of
 * its orders.
 */
#ifndef PPT_JOBS_PRIVACY_RENYI_H
#define PPT_JOBS_PRIVACY_RENYI_H

#include <stdint.h>

#include "base/error.h"
#include "jobs/privacy/mechanism.h"

#define RENYI_MAX_RELEASES 64
#define RENYI_MAX_COUNT INT64_C(1000000000000)

/* `count` releases of one mechanism. */
struct renyi_release {
    struct mechanism mechanism;
    int64_t count;
};

/* The releases are in range and all of one relation. Errors: PPT_ERANGE. */
int renyi_check(const struct renyi_release *releases, int n, struct error *err);

/* The smallest epsilon at delta in (0, 1) over all orders; also never more than the sum
 * of the largest losses, where they are bounded. *ret_order, where not NULL, gets the
 * order used, INFINITY for that sum. The target (alpha-1) epsilon is convex in alpha up
 * to a linear denominator, so one bracket holds the minimum: the best order of the
 * ledger's grid and its neighbours; golden section narrows it.
 * Errors: PPT_ERANGE (delta, or what renyi_check refuses). */
int renyi_epsilon(const struct renyi_release *releases, int n, double delta,
                  double *ret_epsilon, double *ret_order, struct error *err);

/* What a plan has released by the time it ends, where outputs may have decided when:
 * `order` is renyi_epsilon's for the whole plan, these are the releases made by then.
 * Rounded up; never more than the whole plan's epsilon, save by rounding or where that
 * is 0. Errors: PPT_ERANGE (as above; an order not in [MECHANISM_MIN_ORDER, 65536] nor
 * INFINITY). */
int renyi_epsilon_stopped(const struct renyi_release *releases, int n, double delta,
                          double order, double *ret_epsilon, struct error *err);

#endif
