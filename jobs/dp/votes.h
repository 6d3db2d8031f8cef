/* A step's votes on the clip norm, where it follows a quantile (threshold.h): on their
 * way from the examples into the sum, through the noise, and to every rank. For jobs/dp
 * and, with a client's update in the place of a gradient, jobs/fl, which adds them to
 * the sum itself; each does nothing in other jobs.
 *
 * The votes' sum is the coordinate behind the gradients, and goes through rounding,
 * exchange and noise with them; the clip norm is the float behind the parameters, and
 * is gathered and kept in checkpoints with them. No collective is added.
 */
#ifndef PPT_JOBS_DP_VOTES_H
#define PPT_JOBS_DP_VOTES_H

#include "jobs/dp/trainer.h"

/* Does this job's clip norm follow a quantile? */
bool votes_are_taken(const struct trainer *trainer);

/* What a unit has to say whose vector was so long before it was clipped: 1/2 where that
 * is short enough, -1/2 where not, 0 where it is no vector. */
double votes_of(const struct trainer *trainer, double norm);

/* Of the n examples that this net clipped last, in halves, to a sum of n_padded. */
void votes_add(const struct trainer *trainer, const struct net *net, double *sum,
               int64_t n);

/* This rank's votes as part of its sum: times their weight, where no source has seen to
 * that. Before grid_round. */
void votes_weigh(struct trainer *trainer);

/* Once noise is on the slice: the rank that owns the votes takes them out of it, so
 * that no optimizer sees them, and returns the next step's clip norm; the others 0. */
float votes_take(struct trainer *trainer);

/* Puts it where it is gathered from; by the owner only. */
void votes_tell(struct trainer *trainer, float next_norm);

/* The clip norm behind the parameters is the one from here on. Errors: PPT_ERANGE (it
 * cannot be one: not a checkpoint of ours), PPT_ESTATE. */
int votes_heed(struct trainer *trainer, struct error *err);

#endif
