/* Rules that look at one coordinate at a time: on this rank's slice alone. Private to
 * this room, but for tests. NaN is nowhere (stack_is_update).
 */
#ifndef PPT_JOBS_FL_MIDDLE_H
#define PPT_JOBS_FL_MIDDLE_H

#include "jobs/fl/stack.h"

/* ret[n_slice] = of each coordinate the mean of the n_kept of its n values that
 * - middle_trim: are left when as many are taken away below as above (the median for 1
 *   or 2 of them; Yin et al., ICML 2018, arXiv 1803.01498); n - n_kept is even;
 * - middle_near: are nearest the median, of two equally near the lower (Bulyan's
 *   second half: El Mhamdi et al. 2018, arXiv 1802.07927).
 * Errors: PPT_ENOMEM. */
int middle_trim(const struct stack *stack, int64_t n_kept, double *ret,
                struct error *err);
int middle_near(const struct stack *stack, int64_t n_kept, double *ret,
                struct error *err);

#endif
