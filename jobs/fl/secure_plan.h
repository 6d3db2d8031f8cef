/* What a job by secure aggregation settles before its first round: the numbers of the
 * ring, the noise on them, and which cohorts have a graph. Private to this room.
 *
 * All of it comes from public numbers and stays the same in every round. Where the clip
 * norm C follows a quantile (jobs/dp/threshold.h), clients send in units of it: an
 * update clipped to C times C_0 / C, C_0 the first, and behind it as one value more a
 * vote of 1/2 or -1/2 times 2 r C_0. So whatever C is, the vector that is encoded is
 * C_0 sqrt(1 + r^2) long at most, which encode_update sees to, and the integers' bound
 * is the sensitivity that the noise of the priced multiplier s goes with: it is s_g C
 * on the updates' sum, and s_b on the votes'. The vote is rotated with the rest: alone
 * its sum, in which all clients may point one way, would not fit a ring that is planned
 * for sums with random signs.
 */
#ifndef PPT_JOBS_FL_SECURE_PLAN_H
#define PPT_JOBS_FL_SECURE_PLAN_H

#include "jobs/fl/secure.h"

/* Sets terms, grid, first_norm, vote_weight and share; `secure` is otherwise open.
 * Errors: PPT_ERANGE (too few bits, no such noise, or cohorts without a graph),
 * PPT_ENOMEM. */
int secure_plan(struct secure *secure, const unsigned char master[CRYPTO_KEY_SIZE],
                struct error *err);

/* The graph of a round of n. Errors: PPT_ERANGE. */
int secure_plan_degree(const struct secure *secure, uint32_t n, uint32_t *ret_degree,
                       uint32_t *ret_threshold, struct error *err);

#endif
