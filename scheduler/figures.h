/* Figures and times as people read them, and a pot's curve as an epsilon.
 *
 * Privacy is never flattered: what was spent is rounded up, what is left down.
 */
#ifndef PPT_SCHEDULER_FIGURES_H
#define PPT_SCHEDULER_FIGURES_H

#include <stdbool.h>
#include <stdint.h>

#include "scheduler/ledger.h"

#define FIGURES_SIZE 32

/* With two digits after the point, three below 1 ("0.413"), rounded up or down. "none"
 * for infinity. */
void figures_up(double epsilon, char ret_text[FIGURES_SIZE]);
void figures_down(double epsilon, char ret_text[FIGURES_SIZE]);

/* "2026-11-23 15:04:05", local time; "-" for 0. */
void figures_time(int64_t at_s, char ret_text[FIGURES_SIZE]);

/* "0:07", "1:02:03", "2-03:04:05". */
void figures_duration(int64_t duration_s, char ret_text[FIGURES_SIZE]);

/* "2.0 GiB". */
void figures_bytes(int64_t bytes, char ret_text[FIGURES_SIZE]);

/* What a pot has spent, and what is spent and reserved, as the epsilon that the filter
 * can prove for it: at each order the amounts are converted at the delta that the
 * order's weight leaves it, and the smallest is taken. 0 for an unused pot. The
 * remaining epsilon is the limit's less this, at least 0. It is not a promise that a
 * job of that epsilon fits, because curves of different shapes do not add up in
 * epsilon; ppt-submit --dry-run tells that for a given job. */
struct figures_pot {
    double limit, reserved, spent, remaining; /* epsilon at the limit's delta */
};
/* In currency gaussian the conversion is exact, at the whole delta. */
struct figures_pot figures_pot(const struct ledger_pot *pot);

/* The epsilon of a mu2 (jobs/privacy/cost.h) at this delta, rounded up; INFINITY where
 * it is unbounded or too large to say. */
double figures_gaussian(int64_t mu2, double delta);

/* "acme (all data)", "acme on mnist", "data set mnist". */
void figures_pot_name(const struct ledger_pot *pot, char *ret_text, size_t size);

#endif
