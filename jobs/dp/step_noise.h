/* A step's noise, from its position to the slice, for the trainer: who draws it, and
 * when. Does nothing in jobs without noise of their own, but for step_noise_add, which
 * is not for them.
 *
 * A device draws it in a second queue beside the gradients that it still works on.
 * One lane: a thread draws it while gradients are computed (noise.h), where the rank
 * has a core to spare. Several: all cores compute gradients, but while one lane reads
 * records or exchanges sums the others draw (early.h), and what is left then is shared
 * by all. Correlated noise is drawn at the end. The released numbers are the same
 * whatever timing does.
 */
#ifndef PPT_JOBS_DP_STEP_NOISE_H
#define PPT_JOBS_DP_STEP_NOISE_H

#include "jobs/dp/trainer.h"

/* Noise of each lane, all by the same key; what is drawn early, and what the past
 * leaves. Closed by trainer_close. Errors: PPT_ENOMEM, PPT_ESPEC (bands on a device),
 * PPT_ERANGE (correlated.h). */
int step_noise_open(struct trainer *trainer, struct error *err);

/* The step is paid for: from now on its noise may be drawn. */
void step_noise_begin(struct trainer *trainer);

/* On a device: when the gradients are queued, and before anybody waits for them. */
void step_noise_aside(struct trainer *trainer);

/* Between the two lane 0 needs no other lane: they may draw. */
void step_noise_meanwhile(struct trainer *trainer);
void step_noise_pause(struct trainer *trainer);

/* All of this rank's noise of the step onto its slice of the total. Errors:
 * PPT_EINTERNAL (another grid than that of the steps before, with correlated noise). */
int step_noise_add(struct trainer *trainer, struct error *err);

#endif
