/* What the server of secure aggregation keeps, shared by its halves: taking and routing
 * (secagg_server.c), and taking the masks off (unmask.c). Private to this room.
 */
#ifndef PPT_JOBS_FL_SERVER_STATE_H
#define PPT_JOBS_FL_SERVER_STATE_H

#include "jobs/fl/message.h"
#include "jobs/fl/secagg_server.h"
#include "jobs/fl/session.h"

struct secagg_server {
    const struct session *session;
    enum secagg_stage stage;
    bool has_released, has_told; /* the sum; some client of who survives */
    uint8_t *n_sent;      /* [n]: how many messages each client has sent in time */
    bool *has_withdrawn;  /* [n] */
    uint32_t *neighbours; /* [n][degree] */
    unsigned char (*keys)[MESSAGE_KEYS_SIZE];     /* [n] */
    unsigned char (*digests)[CRYPTO_SHA256_SIZE]; /* [n]: of the seeds */
    unsigned char (*sealed)[MESSAGE_SEALED_SIZE]; /* [n][degree], by sender */
    unsigned char (*tags)[CRYPTO_TAG_SIZE];       /* [n][degree], by sender */
    unsigned char (*masked)[CRYPTO_SHA256_SIZE];  /* [n]: digests of masked vectors */
    unsigned char *survivors;                     /* a set */
    uint32_t *sum;                                /* [n_coords] */
    /* Of each client's secret the first `threshold` shares that came. */
    uint32_t *n_revealed; /* [n] */
    uint64_t *points;     /* [n][threshold] */
    uint64_t *shares;     /* [n][threshold][MESSAGE_SHARE_WORDS] */
};

static inline const uint32_t *server_neighbours(const struct secagg_server *server,
                                                uint32_t client)
{
    return server->neighbours + (size_t)client * server->session->terms.degree;
}

/* Has sent its messages of all stages up to this one. */
static inline bool server_reached(const struct secagg_server *server, uint32_t client,
                                  enum secagg_stage stage)
{
    return server->n_sent[client] > (unsigned)stage;
}

/* Can the survivors' sum be unmasked, and does it tell no part of itself? Errors:
 * PPT_EPOLICY below_threshold, not_connected; PPT_ENOMEM. */
int unmask_check(const struct secagg_server *server, struct error *err);

/* Takes off the sum all own masks of survivors and the masks that survivors share with
 * clients who vanished. Errors: PPT_EPOLICY below_threshold, PPT_ETRUST not_rebuilt,
 * PPT_ENOMEM. */
int unmask_sum(struct secagg_server *server, struct error *err);

#endif
