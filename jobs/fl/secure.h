/* A round's sum by secure aggregation: the cohort's clients, played by the ranks, and
 * the server, played by rank 0, exchange the messages of secagg_client.h and
 * secagg_server.h as bytes. Private to this room, but for tests.
 *
 * Sensitivity (private jobs): a client's vector is whole numbers of L2 norm
 * encode_bound at most, checked after all rounding, whatever its weight (weight.h), and
 * the released sum is that of a set of clients in which one user is one client or none.
 * Noise of noise_multiplier times that bound, in whole numbers too, is added once to
 * the unmasked sum, and only then is it taken modulo the ring again: (sum mod 2^b +
 * noise) mod 2^b is a function of sum + noise, so a sum that leaves the ring spoils the
 * model and not the privacy. A round that fails for want of clients would tell how many
 * came. So private cohorts have min_clients stand-ins, who send zeros; nobody vanishes
 * in them; and there is a graph for every size from min_clients on, up to the
 * protocol's 2^20 clients, which half of is the most that a spec may expect. The ranks
 * hold every client's keys: the protocol is run, not its isolation.
 *
 * Noise by the clients (share.h): a user who takes part must not bring noise that would
 * be missing without it, or the size of the noise would tell. So stand-ins fill a round
 * up to noise.participants, and of those who take part that many add a share, clients
 * and stand-ins alike; members of a larger cohort beyond that number add none. The sum
 * is then the clients' vectors plus so many shares, however many clients came, and a
 * user moves it by its own vector only. min_survivors shares are the priced noise; a
 * round in which fewer survive has no sum.
 */
#ifndef PPT_JOBS_FL_SECURE_H
#define PPT_JOBS_FL_SECURE_H

#include "jobs/dp/trainer.h"
#include "jobs/fl/cohort.h"
#include "jobs/fl/consent.h"
#include "jobs/fl/encode.h"
#include "jobs/fl/local.h"
#include "jobs/fl/secagg_client.h"
#include "jobs/fl/secagg_server.h"
#include "jobs/fl/share.h"
#include "jobs/fl/weight.h"

/* Standard deviations of a coordinate of the sum that the ring holds: the chance that
 * one wraps around is below 2 e^{-SECURE_SPREAD^2 / 2} = 5.4e-7 even where all updates
 * are alike (each is a sum of bounded terms with random signs of its own: Hoeffding). A
 * larger one is paid in scale, a smaller one by errors of 2^bits. */
#define SECURE_SPREAD 5.5

struct secure {
    const struct spec *spec;
    struct trainer *trainer;
    struct local *local;
    struct cohort *cohort;
    struct consent *consent;
    int64_t n_clients, n_stand_ins; /* stand-ins are numbered behind the clients */
    struct encode_terms terms;      /* and what follows: secure_plan.h */
    struct grid grid; /* private: of the noise on the sum, whole numbers */
    double first_norm, vote_weight;
    struct share share; /* noise by clients, else zeros, and so is what follows */
    uint32_t n_sharers; /* participants with a share: those with the lowest numbers */
    struct weight_digits digits; /* of a weight behind the values, or none; a round's */
    struct crypto_stream *rounding;            /* of clients' encodings */
    struct crypto_stream *fate;                /* who vanishes, and when */
    unsigned char identities[CRYPTO_KEY_SIZE]; /* every identity is derived from it */
    struct secagg_member *members;             /* [n_clients + n_stand_ins] */
    unsigned char (*publics)[CRYPTO_KEY_SIZE]; /* theirs; zeros until needed */

    /* Of a round. */
    struct session session;
    struct secagg_server *server; /* rank 0 */
    unsigned char (*roster)[CRYPTO_KEY_SIZE];
    const int64_t *drawn; /* [n_drawn]: the clients of it: the cohort, or a group */
    uint32_t n_drawn;
    const float *given;             /* [n_drawn][n_padded]: what they send; NULL: they
                                       train */
    uint32_t n;                     /* drawn and stand-ins */
    uint32_t n_turns;               /* the most of them that one rank plays */
    struct secagg_client **clients; /* [n]: those of this rank */
    struct buf *sent;               /* [n]: this rank's masked vectors, with consent */
    uint8_t *leaves;                /* [n]: at which stage, SECAGG_SUMMED: never */
    uint32_t *ring;                 /* [n_values + WEIGHT_MAX_DIGITS] */
    float *update;                  /* [n_padded], twice so many with scaffold.h */
    struct buf mail, text;
    uint32_t n_survivors; /* of the last round */
    int64_t n_bytes;      /* rank 0: of the round's messages */
    int64_t most_bytes;   /* this rank's longest masked vector since it was set to 0 */
    double
        total_weight; /* their shares' sum, where weights are sent; else their number */
};

/* `master` is fresh, secret and the same on all ranks; all else is kept by the caller.
 * Close with secure_close, which wipes.
 * Errors: PPT_ERANGE (too few bits, or no graph for cohorts of this size), PPT_ENOMEM.
 */
int secure_open(struct secure *secure, const struct spec *spec, struct trainer *trainer,
                struct local *local, struct cohort *cohort, struct consent *consent,
                const unsigned char master[CRYPTO_KEY_SIZE], struct error *err);
void secure_close(struct secure *secure);

/* The round trainer->step of the cohort that was drawn, and the model's update by it.
 * Who withdraws its consent before anybody is told who survives is taken out of the
 * sum; for that each rank keeps its clients' masked vectors until then. In private jobs
 * no more clients of the whole list may withdraw in that time than any cohort bears
 * drop-outs: one that failed would tell who was in it.
 * Every rank calls it. Errors: PPT_EPOLICY and PPT_ETRUST with a cause (cause.h), those
 * of local_train, PPT_ECOMM, PPT_ENOMEM. */
int secure_run(struct secure *secure, struct error *err);

/* Plain jobs: the mean over the survivors of those clients in round trainer->step, in
 * which each may be once. given[n][n_padded], on the ranks that play them, NULL: their
 * training. ret_mean[n_padded], on all ranks. Every rank calls it. Errors: as above. */
int secure_mean(struct secure *secure, const int64_t *clients, uint32_t n,
                const float *given, float *ret_mean, struct error *err);

#endif
