/* Remembers the last few curves, calibrations and epsilons: those who price the same
 * kind of job again and again do its sums once.
 *
 * All are functions of their arguments alone, so what is remembered is bit for bit
 * what would be computed. Nothing here is secret: mechanisms and targets are public.
 * Each thread remembers for itself; a fixed amount of memory.
 */
#ifndef PPT_JOBS_PRIVACY_PRICE_MEMO_H
#define PPT_JOBS_PRIVACY_PRICE_MEMO_H

#include "base/error.h"
#include "jobs/privacy/cost.h"
#include "jobs/privacy/mechanism.h"
#include "jobs/privacy/renyi.h"

/* mechanism_curve, remembered. Errors: its own, and they are not remembered. */
int price_memo_curve(const struct mechanism *mechanism, enum privacy_unit unit,
                     struct curve *ret_curve, struct error *err);

/* calibrate_noise_multiplier beside one other release or none (NULL), remembered.
 * Errors: as above. */
int price_memo_noise(double epsilon, double delta, const struct renyi_release *training,
                     const struct renyi_release *other, double *ret_noise,
                     struct error *err);

/* renyi_epsilon, remembered. Errors: as above. */
int price_memo_epsilon(const struct renyi_release *releases, int n, double delta,
                       double *ret_epsilon, double *ret_order, struct error *err);

#endif
