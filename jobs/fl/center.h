/* Rules that weigh whole updates by their length or their distance from a center.
 * Private to this room, but for tests. Every rank calls them with its slices; all
 * distances are those of the whole vectors. Errors: PPT_ECOMM, PPT_ENOMEM.
 */
#ifndef PPT_JOBS_FL_CENTER_H
#define PPT_JOBS_FL_CENTER_H

#include "jobs/fl/stack.h"

/* n_iterations of Weiszfeld's from the mean, with weights 1 / max(smoothing, |g_i -
 * z|): the smoothed geometric median (RFA: Pillutla et al. 2022, arXiv 1912.13445). */
int center_geometric(const struct stack *stack, int64_t n_iterations, double smoothing,
                     double *ret, struct error *err);

/* center += the mean of (g_i - center) min(1, clip_norm / |g_i - center|), n_iterations
 * times. From the last round's center it is centered clipping (Karimireddy, He, Jaggi,
 * ICML 2021, arXiv 2012.10333); once from zeros, norm bounding. */
int center_clip(const struct stack *stack, int64_t n_iterations, double clip_norm,
                double *center, struct error *err);

#endif
