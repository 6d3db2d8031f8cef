/* The kind `dp`: trains one model by differentially private SGD (or plain SGD on public
 * data) over however many ranks, and hands back a report.
 *
 * Guarantees, for a job whose spec is private, under add/remove of one undamaged
 * example (a record with a NaN, an Inf or a label outside the classes ends the job when
 * it is first read, and that is seen: imports refuse it):
 * - a step releases sum_i min(1, C/|g_i|) g_i + N(0, (noise_multiplier * C)^2), both
 *   rounded to multiples of a public step, over a Poisson sample at price.sample_rate,
 *   divided by a public constant. C leaves room for the rounding (kernels/grid.h);
 *   |g_i| is an upper bound in floating point, and a NaN or Inf that comes up on the
 *   way through the model makes the example contribute nothing;
 * - what is released is a function of that multiple, and the multiple is exactly that
 *   of real-valued noise but for 2^-62 in a whole job: neither the lattice nor the
 *   precision of floating-point numbers tells anything (kernels/samplers.md);
 * - the meter has made a step's charge durable before its noise is drawn;
 * - the sequence and sizes of collectives depend on the plan and on the clock of rank 0
 *   only, never on records: empty samples run every one of them;
 * - record indices, sample sizes and record counts are neither logged nor sent.
 * Limits: a micro-batch is added up in float, whose rounding depends on who is in it; a
 * thousandth of C is kept free for that, not a proven bound. The time of a step depends
 * on the size of its sample.
 */
#ifndef PPT_JOBS_DP_DP_RUN_H
#define PPT_JOBS_DP_DP_RUN_H

#include "base/error.h"
#include "jobs/env.h"
#include "jobs/manifest.h"
#include "jobs/plan.h"
#include "jobs/report.h"
#include "jobs/spec/spec.h"

/* Runs plan->price.n_steps steps (fewer if the meter refuses, which is no error), from
 * the checkpoint if io has one, saves the model and fills the report (all of it but
 * `model` and the two ids' origin: they are copied from the plan). Every rank calls it;
 * reports of ranks other than 0 hold the same steps and timing but no accuracy that was
 * paid for. Also filled, with outcome REPORT_INTERRUPTED, where it returns
 * -PPT_EINTERRUPTED after env->stop: the checkpoint is then written.
 * Errors: PPT_ESPEC (model does not fit the data, and names the layer, or not the
 * memory that the job asks for), PPT_EDATA, PPT_EIO,
 * PPT_ECOMM, PPT_ENOMEM, PPT_ETRUST (checkpoint of another job), PPT_ERANGE (training
 * diverged), PPT_EINTERRUPTED. */
int dp_run(const struct plan *plan, const struct spec *spec,
           const struct manifest *manifest, struct env *env, struct report *ret_report,
           struct error *err);

#endif
