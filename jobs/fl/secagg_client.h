/* The client's side of secure aggregation: SecAgg (Bonawitz et al., Practical secure
 * aggregation for privacy-preserving machine learning, CCS 2017) and, with fewer
 * neighbours than clients, SecAgg+ (Bell et al., CCS 2020). A plain object that takes
 * the server's bytes and hands back its own, in five steps:
 *
 *   keys    two X25519 keys of this round, signed by the registered identity
 *   share   the neighbours' keys are genuine; both own secrets, in Shamir shares sealed
 *           for them
 *   mask    vector + own mask + masks with the neighbours, which cancel in the sum
 *   vouch   a tag for each surviving neighbour over the list of survivors
 *   reveal  enough of them hold the same list: of each neighbour one share, of the seed
 *           if it survives, of the mask key if it does not
 *
 * Guarantees, with Ed25519, X25519, AES-256 and SHA-256 as they should be: what leaves
 * here tells no more of the vector than the sum over the survivors does, as long as
 * fewer than the terms' threshold of a client's neighbours work for the server, the
 * survivors who do not are connected, and - with a server that lies about who survived
 * - degree.h was asked for such a server. A peer goes one way, from known to shared to
 * asked, and never gives its second share; a member joins each round once; the first
 * step that fails ends the client, which wipes its secrets and says nothing more.
 * Limits: tags are of the pair's channel key, not signatures: they convince the peer,
 * no third party. A client may lie about its vector: see robust rules.
 */
#ifndef PPT_JOBS_FL_SECAGG_CLIENT_H
#define PPT_JOBS_FL_SECAGG_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "jobs/fl/session.h"

/* Who lasts longer than a round: an identity, and the first round it may still join.
 * One for each job. */
struct secagg_member {
    unsigned char identity[CRYPTO_KEY_SIZE]; /* Ed25519, secret */
    uint64_t next_round;
};

struct secagg_client; /* opaque */

/* Joins the session as its client `number`; the session is kept by the caller for as
 * long. The member may not join this round again, whatever comes of it. Free with
 * secagg_client_free, which wipes. Errors: PPT_ETRUST round_used (a second sum over the
 * same round would tell the difference) or key_not_signed (the roster has another
 * identity at this number), PPT_ENOMEM. */
int secagg_client_new(const struct session *session, uint32_t number,
                      struct secagg_member *member, struct secagg_client **ret_client,
                      struct error *err);
void secagg_client_free(struct secagg_client *client);

/* The steps, in this order and once each. Each takes the server's message (but the
 * first) and writes the client's into *ret_message, emptied before and empty on
 * failure. Errors: PPT_ETRUST or PPT_EPOLICY with a cause (cause.h), PPT_ESTATE
 * out_of_turn, PPT_ENOMEM. */
int secagg_client_keys(struct secagg_client *client, struct buf *ret_message,
                       struct error *err);
int secagg_client_share(struct secagg_client *client, const void *peers, size_t len,
                        struct buf *ret_message, struct error *err);
/* vector[n_coords], modulo 2^n_bits; the caller's. */
int secagg_client_mask(struct secagg_client *client, const void *inbox, size_t len,
                       const uint32_t *vector, struct buf *ret_message,
                       struct error *err);
int secagg_client_vouch(struct secagg_client *client, const void *survivors, size_t len,
                        struct buf *ret_message, struct error *err);
int secagg_client_reveal(struct secagg_client *client, const void *ask, size_t len,
                         struct buf *ret_message, struct error *err);

#endif
