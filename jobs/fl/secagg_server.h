/* The server's side of secure aggregation: routes what clients have sealed for each
 * other, adds up masked vectors as they come, and takes the masks off the sum with what
 * the survivors reveal. A plain object that exchanges bytes; secagg_client.h has the
 * steps.
 *
 * Guarantees: the sum that is handed out is that of exactly the survivors' vectors, or
 * none is: below the threshold, with fewer survivors than the terms' minimum, or where
 * the survivors' graph is in pieces, it stops with a cause and the partial sum is
 * wiped. A secret that was rebuilt is checked against what its owner sent before (its
 * public key, its seed's digest), so a false share ends the round instead of spoiling
 * the sum. One sum a session, once. Limits: a client that sends false shares can stop a
 * round. Any client may leave out any step; it is then a drop-out.
 */
#ifndef PPT_JOBS_FL_SECAGG_SERVER_H
#define PPT_JOBS_FL_SECAGG_SERVER_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "jobs/fl/session.h"

enum secagg_stage {
    SECAGG_KEYS,    /* takes keys */
    SECAGG_SHARES,  /* sends the neighbours' keys, takes sealed shares */
    SECAGG_MASKED,  /* sends sealed shares, takes masked vectors */
    SECAGG_VOUCHES, /* sends the survivors, takes tags over them */
    SECAGG_REVEALS, /* sends tags and asks, takes shares */
    SECAGG_SUMMED,  /* the sum is there */
    SECAGG_ENDED    /* handed out, or stopped */
};

struct secagg_server; /* opaque */

/* The session is kept by the caller for as long. Free with secagg_server_free, which
 * wipes. Memory: about n_clients * degree * 130 + 4 n_coords bytes, whatever n_coords
 * times n_clients is. Errors: PPT_ENOMEM. */
int secagg_server_new(const struct session *session, struct secagg_server **ret_server,
                      struct error *err);
void secagg_server_free(struct secagg_server *server);

enum secagg_stage secagg_server_stage(const struct secagg_server *server);

/* Takes the message of this stage that came from client `from`: whoever carries
 * messages knows for sure from whom one came, for of a message's head only the keys are
 * signed. On failure it counts as not sent, and the server goes on. Errors: PPT_ETRUST
 * with a cause, PPT_ESTATE out_of_turn (also: it was sent before, or a stage was left
 * out). */
int secagg_server_take(struct secagg_server *server, uint32_t from, const void *data,
                       size_t len, struct error *err);

/* Ends the stage: who has not sent by now is a drop-out. At the last one the masks come
 * off. On failure nothing will ever be released. Errors: PPT_EPOLICY below_threshold,
 * cohort_too_small, not_connected; PPT_ETRUST not_rebuilt; PPT_ESTATE out_of_turn;
 * PPT_ENOMEM. */
int secagg_server_next(struct secagg_server *server, struct error *err);

/* A client takes its consent back. It is a drop-out from here on, and if its vector is
 * in the sum already, that is taken out again: then `masked` is its masked vector, the
 * message that was taken, which its sender or who keeps it must bring again (else NULL
 * and 0; it is not looked at). Its own mask is never rebuilt, so what it had sent stays
 * hidden. Possible until the first client is told who survives: after that others vouch
 * for it. Errors: PPT_ESTATE too_late, out_of_turn (no such client, or it has withdrawn
 * before); PPT_ETRUST malformed (not the message that was taken; nothing is changed);
 * PPT_ENOMEM. Where too few are left, and the stage of masked vectors is over, as
 * secagg_server_next, and the round has ended. */
int secagg_server_withdraw(struct secagg_server *server, uint32_t client,
                           const void *masked, size_t len, struct error *err);

/* This stage's message to a client that is still in. Errors: PPT_ESTATE out_of_turn,
 * PPT_ENOMEM. */
int secagg_server_message(struct secagg_server *server, uint32_t client,
                          struct buf *ret_message, struct error *err);

/* Whether a client's vector is in the sum; from SECAGG_VOUCHES on. */
bool secagg_server_survives(const struct secagg_server *server, uint32_t client);

/* The sum of the survivors' vectors, n_coords coordinates modulo 2^n_bits (bits above
 * are 0), and how many there are. Once. Errors: PPT_ESTATE released or out_of_turn. */
int secagg_server_sum(struct secagg_server *server, uint32_t *ret_sum,
                      uint32_t *ret_n_survivors, struct error *err);

#endif
