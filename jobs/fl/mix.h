/* What is done to updates before a robust rule sees them, so that the honest ones are
 * more alike. Private to this room, but for tests.
 */
#ifndef PPT_JOBS_FL_MIX_H
#define PPT_JOBS_FL_MIX_H

#include "base/crypto.h"
#include "jobs/fl/stack.h"

/* Each vector becomes the mean of the n_near that are nearest to it, itself among them
 * (nearest-neighbour mixing, with n_near = n - f: Allouah et al., AISTATS 2023, arXiv
 * 2302.01772). `mixed` has as many rows. Errors: PPT_ECOMM, PPT_ENOMEM. */
int mix_nearest(const struct stack *stack, int64_t n_near, struct stack *mixed,
                struct error *err);

/* Means of `size` vectors each, dealt at random; the last bucket may hold fewer
 * (bucketing: Karimireddy, He, Jaggi, ICLR 2022, arXiv 2006.09365). Sets mixed->n to
 * n / size, rounded up. The stream is the same on all ranks. Errors: PPT_ENOMEM. */
int mix_buckets(const struct stack *stack, int64_t size, struct crypto_stream *stream,
                struct stack *mixed, struct error *err);

#endif
