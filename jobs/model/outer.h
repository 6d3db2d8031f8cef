/* What linear layers and convolutions have in common: with T places, D inputs and P
 * outputs an example has inputs A_i (T x D) and output gradients G_i (T x P); its
 * weight gradient is A_i^T G_i and its bias gradient the column sums of G_i.
 *
 * Two ways to the norms. Kept: where (D + 1) P <= 2 T (D + P), the gradients of a
 * micro-batch are no larger than twice A and G, so each is computed and kept; its norm
 * is that of the very floats which are summed later, and the sum costs no second
 * product. With unit time for a float's product and sum, and twice that for a double's,
 * norms and sum take T D P kept, and T^2 (D + P) + T D P as ghosts (each of two
 * symmetric T x T products halved): so by time alone all should be kept, but for the
 * three or four passes over D P floats an example. Measured, the two are level at
 * D P = 3 T (D + P) (bench engine, "norms"); the rule's 2 bounds memory, and costs at
 * most a third of the time of these two in between.
 * Ghost: otherwise the norm comes from A A^T and G G^T in double. That sum
 * cancels, so the bound on its error is added, as is the bound on the rounding of the
 * product that sums: a near-zero gradient out of large A and G is clipped as if it were
 * large.
 */
#ifndef PPT_JOBS_MODEL_OUTER_H
#define PPT_JOBS_MODEL_OUTER_H

#include "jobs/model/layer.h"

struct outer {
    int64_t t, d, p;
    bool has_bias;
    float *a, *g; /* [max_n, t, d], [max_n, t, p] */
    float *kept;  /* [max_n, outer_n_params], or NULL: ghost norms */
};

/* d p, and p of a bias. */
int64_t outer_n_params(const struct outer *outer);

/* The rule above, for private nets. */
bool outer_is_kept(const struct layer *layer, int64_t t, int64_t d, int64_t p);

/* Of layer->shared, for both functions below, where no p is above `most_p`. */
int64_t outer_shared_floats(const struct layer *layer, int64_t most_p);

/* As in struct layer_ops; what is kept stays until the sum. */
void outer_norms(const struct layer *layer, const struct kernels *kernels,
                 const struct outer *outer, int64_t n, double *square, double *slack);
void outer_sum(const struct layer *layer, const struct kernels *kernels,
               const struct outer *outer, int64_t n, const float *factor, float *grad);

#endif
