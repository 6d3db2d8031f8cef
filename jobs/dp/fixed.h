/* Sums in fixed point (`training.sum: fixed`): bit for bit the same for any number of
 * ranks, and with a sensitivity in whose proof no rounding is assumed. Private to this
 * room.
 *
 * Records are computed one at a time, so that an example's gradient is a function of
 * the record and the parameters alone: of no other record, of no place in a
 * micro-batch. Each is rounded to a public grid and added as a whole number of steps
 * (grid_add). Whole steps below 2^53 add up exactly in any order, on one rank and over
 * ranks; so the sum of a sample, and the model, do not depend on how the records lie on
 * ranks. The ranks must run the same code on processors of one kind. Samples are the
 * ranks' own, so models are the same bits where a sample is everybody (batch_size is
 * the nominal count) and there is no noise, and of the same law otherwise.
 *
 * Sensitivity. The clipped term g of a record has n_params coordinates and norm at most
 * clip; rounding moves each coordinate by at most step / 2, so the record moves the sum
 * by at most clip + sqrt(n_params) step / 2 (the cut at max_steps is a projection
 * coordinate by coordinate, which lengthens no difference, at whatever place in the
 * order). grid.h's clip leaves room for twice that. Floats of different examples are
 * never added, so what net.c keeps free for that is not used.
 *
 * Overflow. A rank's coordinate holds max_steps = 2^52 / size steps, and an example
 * adds at most clip / step + 1 of them: fixed_plan refuses a job that expects a batch
 * of more than half as many examples as fit if all point the same way. Beyond that (a
 * sample may be larger than expected) sums are cut, which is private but depends on the
 * order. Plain jobs have no clip norm: step 2^-30, so sums within 2^22 / size.
 *
 * Cost: layers read their weights for each example, and no product is larger than one
 * example's; on a CPU several times as slow as micro-batches, on a device more.
 */
#ifndef PPT_JOBS_DP_FIXED_H
#define PPT_JOBS_DP_FIXED_H

#include "jobs/dp/trainer.h"

/* After the clip norm's grid is planned: sets the grid of plain jobs, and checks that a
 * batch fits. Nothing without `sum: fixed`. Errors: PPT_ERANGE (it does not fit). */
int fixed_plan(struct trainer *trainer, struct error *err);

#endif
