/* From the privacy of one example to that of a user who has several.
 *
 * Guarantee: an upper bound for two data sets that differ in all of one user's records,
 * at most `n_records` of them, under the same relation as the example's curve.
 */
#ifndef PPT_JOBS_PRIVACY_GROUP_H
#define PPT_JOBS_PRIVACY_GROUP_H

#include <stdint.h>

#include "base/error.h"
#include "jobs/privacy/mechanism.h"

#define GROUP_MAX_RECORDS 1000000

/* From the curve alone, for any mechanism: paths of n_records + 1 data sets, neighbours
 * in turn, through the weak triangle inequality of Mironov 2017 (arXiv 1702.07476),
 * Proposition 11: for 1/p + 1/r = 1,
 *   D_a(P||R) <= (a - 1/p)/(a - 1) D_{pa}(P||Q) + D_{r(a - 1/p)}(Q||R),
 * with the best p of many at each order, by doubling: never above his Proposition 2
 * (order / 2^c, 3^c times rho). Orders for which the grid is too short become INFINITY;
 * about n_records times the largest rho is lost all the same, so prefer
 * group_mechanism. Errors: PPT_ERANGE (n_records outside [1, GROUP_MAX_RECORDS]; a
 * curve that is not per example; one with a delta, for which the inequality does not
 * hold). */
int group_curve(const struct curve *example, int64_t n_records, struct curve *ret_user,
                struct error *err);

/* Exact for noise added to an answer (Gaussian, Laplace, discrete, Skellam), and the
 * best known for the exponential mechanism, noisy max and the sparse vector: n_records
 * records move the answer n_records times as far. Price the result with UNIT_USER.
 * Errors: PPT_ERANGE (n_records; a sampled mechanism, whose samples of one user's
 * records are no single shift; randomised response, where each record is an answer of
 * its own; noise that leaves its range). */
int group_mechanism(const struct mechanism *example, int64_t n_records,
                    struct mechanism *ret_user, struct error *err);

#endif
