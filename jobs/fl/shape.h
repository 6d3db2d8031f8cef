/* How a private client's update is made shorter where privacy.clipping is automatic or
 * per_layer. The bound on a user is not here: what comes out is still clipped to
 * clip_norm as a whole (round.h, encode.h), which it seldom needs.
 */
#ifndef PPT_JOBS_FL_SHAPE_H
#define PPT_JOBS_FL_SHAPE_H

#include "jobs/model/net.h"
#include "jobs/spec/spec.h"

/* after[n_params] - before becomes, automatic: times clip_norm / (its L2 norm + gamma);
 * per_layer: in each of the L layers with parameters no longer than clip_norm /
 * sqrt(L). Otherwise, and where it is not finite, it stays as it is. */
void shape_update(const struct spec_privacy *privacy, const struct net *net,
                  const float *before, float *after);

#endif
