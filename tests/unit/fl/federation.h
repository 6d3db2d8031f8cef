/* A cohort of clients and a server in one process, for tests and benchmarks: they
 * exchange nothing but bytes. */
#ifndef PPT_TESTS_UNIT_FL_FEDERATION_H
#define PPT_TESTS_UNIT_FL_FEDERATION_H

#include <stdint.h>

#include "base/buf.h"
#include "jobs/fl/secagg_client.h"
#include "jobs/fl/secagg_server.h"

struct federation {
    uint32_t n;
    struct secagg_member *members;
    unsigned char (*roster)[CRYPTO_KEY_SIZE];
    struct session session; /* as the server and most clients see it */
    struct secagg_client **clients;
    struct secagg_server *server;
    uint32_t *vectors; /* [n][n_coords], random */
    /* The stage whose message a client no longer sends; SECAGG_SUMMED: never. */
    enum secagg_stage *leaves;
    double *client_s; /* CPU time of each client so far */
    double server_s;  /* of the server in `next` */
    uint64_t *sent_bytes;
    struct buf message, reply;
};

/* Aborts on failure. Terms without roster; identities and vectors are drawn. */
void federation_open(struct federation *federation, const struct session_terms *terms);
void federation_close(struct federation *federation);

/* Clients of the same members for another session. */
int federation_join(struct federation *federation, uint32_t number,
                    const struct session *session, struct error *err);

/* One client's part of this stage: the server's message to it in federation->message,
 * then its answer to that in federation->reply. */
int federation_fetch(struct federation *federation, uint32_t number, struct error *err);
int federation_answer(struct federation *federation, uint32_t number,
                      struct error *err);

/* The whole stage: all that have not left, then the server's next. A client that stops
 * is a drop-out. */
int federation_stage(struct federation *federation, struct error *err);

/* All stages; the first error is the server's. */
int federation_run(struct federation *federation, struct error *err);

/* Whether ret_sum is the survivors' sum, coordinate by coordinate. */
bool federation_is_exact(const struct federation *federation, const uint32_t *sum);

#endif
