/* Noise chosen epoch by epoch from what was released so far, within what was reserved.
 *
 * A rule looks at private outputs only (a paid evaluation, say) and wishes for an entry
 * of a menu fixed beforehand; adaptive_pick grants it, or the nearest cheaper entry
 * that the reservation still has room for.
 *
 * Guarantee: whatever the rule wishes for, and whatever it looked at of what had been
 * released, the whole training has the Renyi curve `reserved`, at every order. Proof:
 * let L be the log of the likelihood ratio of all outputs so far and S(a) the sum of
 * the granted epochs' rho(a). An epoch chosen from the past multiplies e^{(a-1)L} by a
 * factor whose mean given the past is at most e^{(a-1) rho(a)}, so e^{(a-1)(L - S(a))}
 * is a supermartingale of mean at most 1; and S(a) <= reserved(a) on every path, at
 * every order by itself. That is the Renyi filter of Feldman, Zrnic 2021 (arXiv
 * 2008.11193). It needs a bound at fixed orders that holds given every past. Composed
 * privacy-loss distributions have no such filter (pld.h): an adaptive plan is never
 * priced by them. The README proves that the ledger may hold such reservations.
 *
 * The reservation binds at all orders; one that is to bind at some only has
 * COST_INFINITE at the others, and then bounds nothing there.
 */
#ifndef PPT_JOBS_PRIVACY_ADAPTIVE_H
#define PPT_JOBS_PRIVACY_ADAPTIVE_H

#include <stdint.h>

#include "base/error.h"
#include "jobs/privacy/cost.h"

#define ADAPTIVE_MAX_ENTRIES 16

/* Most noise first: each epoch costs no more at any order than the next entry's. */
struct adaptive_menu {
    int n;
    struct cost epochs[ADAPTIVE_MAX_ENTRIES];
};

/* The menu of DP-SGD epochs at these noise multipliers, which must not rise: each
 * steps_per_epoch Poisson-subsampled Gaussians. Errors: PPT_ERANGE. */
int adaptive_menu_gaussian(const double *noise_multipliers, int n, double sample_rate,
                           int64_t steps_per_epoch, enum privacy_unit unit,
                           struct adaptive_menu *ret_menu, struct error *err);

/* The rule: one entry up (less noise) when the last epoch brought less than
 * `least_gain` of the output that is to grow, else the entry held. Both outputs must be
 * private ones; what is no number brings nothing. Any other rule of private outputs is
 * as sound. */
int adaptive_wish(const struct adaptive_menu *menu, int held, double before,
                  double after, double least_gain);

/* The entry for the next epoch: the dearest one up to `wish` (cut to the menu) with
 * which this epoch and n_later more at entry 0 stay within `reserved`, given what is
 * spent; -1 where even entry 0 does not fit, and training must stop. So a reservation
 * that holds n_epochs of entry 0 holds all n_epochs, whatever is wished for.
 * Errors: PPT_ERANGE (n_later < 0; an empty menu, or one that is not in order; units or
 * relations that differ). */
int adaptive_pick(const struct adaptive_menu *menu, const struct cost *spent,
                  const struct cost *reserved, int64_t n_later, int wish,
                  int *ret_entry, struct error *err);

#endif
