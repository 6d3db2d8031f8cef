/* How well the model does on the test split, in the two ways that a spec may ask for.
 */
#ifndef PPT_JOBS_DP_EVALUATE_H
#define PPT_JOBS_DP_EVALUATE_H

#include "jobs/dp/trainer.h"

/* For a test split that holds nobody's secret: correct / all, on every rank. Every rank
 * calls it. Errors: PPT_EDATA, PPT_EIO, PPT_ECOMM, PPT_ESPEC (no records). */
int evaluate_public(struct trainer *trainer, double *ret_accuracy, struct error *err);

/* For a private test split: charges one PRICE_EVALUATION, then rank 0 alone learns the
 * number of correct records and adds N(0, evaluation_noise^2), rounded to an integer,
 * once; the noisy count over the nominal one, clamped to [0, 1]. A record changes the
 * count by at most 1. *ret_is_paid false (and no accuracy) where the meter refuses.
 * Accuracy is set on rank 0 only; other ranks get 0. Every rank calls it. Errors: as
 * above, PPT_ERANGE (no such noise). */
int evaluate_paid(struct trainer *trainer, bool *ret_is_paid, double *ret_accuracy,
                  struct error *err);

#endif
