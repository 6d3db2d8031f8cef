/* Who takes part in a round: the same on every rank that has the same key.
 *
 * Poisson: each client independently with the price's rate, exactly
 * (jobs/dp/sampler.h). Fixed: a uniform set of `cohort` clients; or of as many seats,
 * of which some are empty where there are fewer clients than `n_least`. Weighted: drawn
 * one after the other, each with a chance in proportion to its records among those that
 * are left (Efraimidis, Spirakis 2006). Dealt: each client is in one of the 1/rate
 * rounds of a pass (jobs/dp/sampler.h), and of those the `cohort` with the largest
 * numbers of a stream that is each one's own; so one client more comes in the place of
 * one at most, and changes nobody else's round. Fixed order: dealt once for all passes,
 * and all of a round's come: a client's rounds are 1/rate apart, whoever else there is.
 * A price that counts on the draw holds only where the key is secret and nobody is told
 * who was drawn, or how many.
 */
#ifndef PPT_JOBS_FL_COHORT_H
#define PPT_JOBS_FL_COHORT_H

#include <stdbool.h>
#include <stdint.h>

#include "jobs/dp/sampler.h"
#include "jobs/fl/partition.h"
#include "jobs/spec/spec.h"

struct cohort {
    enum spec_selection selection;
    struct sampler sampler;       /* poisson, dealt, fixed order */
    struct crypto_stream *stream; /* but for poisson */
    const struct partition *partition;
    int64_t n_clients, n_fixed, n_least;
    int64_t *scratch; /* fixed: [n_clients], [n_least] if that is more */
    struct lot *lots; /* weighted, dealt: [n_clients] */
    int64_t *members; /* ascending; those of the last draw */
    int64_t n;
};

/* Of `n_fixed` clients where they are fixed or weighted, at most so many where they are
 * dealt; fixed from n_least seats at least, 0 where all are taken. The partition is
 * kept by the caller. Close with cohort_close, which wipes. Errors: PPT_ERANGE (no such
 * rate, or more than there are clients), PPT_ENOMEM. */
int cohort_open(struct cohort *cohort, enum spec_selection selection,
                double sample_rate, int64_t n_fixed, int64_t n_least,
                const struct partition *partition,
                const unsigned char key[CRYPTO_KEY_SIZE], struct error *err);
void cohort_close(struct cohort *cohort);

/* Draws the members of a round into the cohort, of those who are able:
 * is_able[n_clients] or NULL for all. Poisson and fixed order: each of them as if all
 * were; fixed: all of them where they are fewer (and no seat is empty). */
void cohort_draw(struct cohort *cohort, int64_t round, const bool *is_able);

#endif
