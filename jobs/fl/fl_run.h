/* The kind `fl`: simulates a federation. Clients that are the data set's users train on
 * the ranks of the job, a server adds up their updates and moves the model.
 *
 * Guarantees, for a job whose spec is private, under add/remove of one user with all of
 * its records:
 * - a round releases sum_u round(clip(update of u)) + N(0, (noise_multiplier * C)^2)
 *   over a Poisson cohort at price.sample_rate, divided by a public constant (DP-FedAvg
 *   with a fixed denominator: McMahan et al. 2018, arXiv 1710.06963). What a user adds
 *   has L2 norm C at most in exact arithmetic (round.h); sums are exact, and noise is
 *   that of kernels/grid.h;
 * - the cohort comes from a key that is fresh in every process and told to no one but
 *   the ranks; who was in it and how many is neither logged nor released;
 * - the meter has made a round's charge durable before it begins.
 * Clients that are made up of examples (iid, dirichlet, shards) are for data that are
 * nobody's secret: a record in or out deals others to other clients.
 * Plain jobs: from one spec comes one model, the same bits for any number of ranks.
 * With aggregation: secagg the updates are encoded, masked and added up by the protocol
 * of secagg_client.h, which clients and server run; the price is the same (secure.h).
 * With consent nobody's records are used in a round who does not consent at its end
 * (consent.h).
 * Limits: the server is trusted with the sum before noise, and without secagg with
 * every update. Time depends on the size of the cohort.
 */
#ifndef PPT_JOBS_FL_FL_RUN_H
#define PPT_JOBS_FL_FL_RUN_H

#include "base/error.h"
#include "jobs/env.h"
#include "jobs/manifest.h"
#include "jobs/plan.h"
#include "jobs/report.h"
#include "jobs/spec/spec.h"

/* As dp_run (jobs/dp/dp_run.h), a round being its step, but that env->io->train is the
 * whole split on every rank. Errors: those of dp_run. */
int fl_run(const struct plan *plan, const struct spec *spec,
           const struct manifest *manifest, struct env *env, struct report *ret_report,
           struct error *err);

#endif
