/* Taking the masks off: whose secrets are needed, whether enough shares of them can
 * come, and what is subtracted with them. */
#include <stdlib.h>
#include <string.h>

#include "jobs/fl/cause.h"
#include "jobs/fl/server_state.h"
#include "kernels/shamir.h"

/* How many neighbours of a client survive. */
static uint32_t n_surviving(const struct secagg_server *server, uint32_t client)
{
    const uint32_t *neighbours = server_neighbours(server, client);
    uint32_t n = 0;
    for (uint32_t i = 0; i < server->session->terms.degree; i++) {
        n += message_set_has(server->survivors, neighbours[i]);
    }
    return n;
}

/* Whose secret is needed: survivors' seeds, and the mask keys of those who vanished
 * after their shares had gone out, if a survivor has masked with them. */
static bool is_needed(const struct secagg_server *server, uint32_t client)
{
    return message_set_has(server->survivors, client) ||
           (server_reached(server, client, SECAGG_SHARES) &&
            n_surviving(server, client) > 0);
}

/* Every survivor is reached from the first one over survivors. */
static int check_connected(const struct secagg_server *server, struct error *err)
{
    const uint32_t n = server->session->terms.n_clients;
    uint32_t *queue = malloc(n * sizeof *queue), n_queued = 0, n_survivors = 0;
    bool *is_seen = calloc(n, sizeof *is_seen);
    int rc = 0;
    if (queue == NULL || is_seen == NULL) {
        rc = error_set(err, PPT_ENOMEM, "no memory for a graph");
        goto out;
    }
    for (uint32_t u = 0; u < n; u++) {
        if (message_set_has(server->survivors, u) && n_survivors++ == 0) {
            queue[n_queued++] = u;
            is_seen[u] = true;
        }
    }
    for (uint32_t at = 0; at < n_queued; at++) {
        const uint32_t *neighbours = server_neighbours(server, queue[at]);
        for (uint32_t i = 0; i < server->session->terms.degree; i++) {
            uint32_t v = neighbours[i];
            if (message_set_has(server->survivors, v) && !is_seen[v]) {
                is_seen[v] = true;
                queue[n_queued++] = v;
            }
        }
    }
    if (n_queued != n_survivors) {
        rc = cause_set(err, CAUSE_NOT_CONNECTED,
                       "the survivors' graph is in pieces: each would be a sum of its "
                       "own");
    }
out:
    free(queue);
    free(is_seen);
    return rc;
}

int unmask_check(const struct secagg_server *server, struct error *err)
{
    const uint32_t threshold = server->session->terms.threshold;
    for (uint32_t u = 0; u < server->session->terms.n_clients; u++) {
        if (is_needed(server, u) && n_surviving(server, u) < threshold) {
            return cause_set(
                err, CAUSE_BELOW_THRESHOLD,
                "client %u has %u surviving neighbours, the threshold is %u",
                (unsigned)u, (unsigned)n_surviving(server, u), (unsigned)threshold);
        }
    }
    return check_connected(server, err);
}

/* A client's secret from the shares that came. scratch: 2 * threshold words. */
static int rebuild(const struct secagg_server *server, uint32_t client,
                   uint64_t *scratch, unsigned char ret_secret[CRYPTO_KEY_SIZE],
                   struct error *err)
{
    const uint32_t threshold = server->session->terms.threshold;
    const size_t first = (size_t)client * threshold;
    uint64_t words[MESSAGE_SHARE_WORDS];
    if (server->n_revealed[client] < threshold) {
        return cause_set(err, CAUSE_BELOW_THRESHOLD,
                         "%u shares of client %u were revealed, the threshold is %u",
                         (unsigned)server->n_revealed[client], (unsigned)client,
                         (unsigned)threshold);
    }
    uint64_t *weights = scratch + threshold;
    bool is_good = shamir_weights(server->points + first, threshold, scratch, weights);
    if (is_good) {
        shamir_combine(weights, threshold, server->shares + first * MESSAGE_SHARE_WORDS,
                       MESSAGE_SHARE_WORDS, words);
        is_good = field_unpack(words, CRYPTO_KEY_SIZE, ret_secret);
        crypto_wipe(words, sizeof words);
    }
    return is_good
               ? 0
               : cause_set(err, CAUSE_NOT_REBUILT,
                           "the shares of client %u give no secret", (unsigned)client);
}

/* A survivor's own mask. */
static int take_off_own(struct secagg_server *server, uint32_t client,
                        unsigned char secret[CRYPTO_KEY_SIZE], struct error *err)
{
    unsigned char digest[CRYPTO_SHA256_SIZE], key[CRYPTO_KEY_SIZE];
    crypto_sha256(secret, CRYPTO_KEY_SIZE, digest);
    if (memcmp(digest, server->digests[client], sizeof digest) != 0) {
        return cause_set(err, CAUSE_NOT_REBUILT,
                         "the shares of client %u do not give its seed",
                         (unsigned)client);
    }
    session_key(server->session, SESSION_SELF, client, client, secret, key);
    session_mask(server->session, server->sum, true, key);
    crypto_wipe(key, sizeof key);
    return 0;
}

/* The masks that survivors share with a client who has vanished. */
static int take_off_shared(struct secagg_server *server, uint32_t client,
                           unsigned char secret[CRYPTO_KEY_SIZE], struct error *err)
{
    const struct session *session = server->session;
    const uint32_t *neighbours = server_neighbours(server, client);
    unsigned char shared[CRYPTO_KEY_SIZE], key[CRYPTO_KEY_SIZE];
    struct crypto_exchanger *exchanger = crypto_exchanger_new(secret);
    int rc = 0;
    crypto_exchanger_public(exchanger, key);
    if (memcmp(key, server->keys[client] + CRYPTO_KEY_SIZE, CRYPTO_KEY_SIZE) != 0) {
        rc = cause_set(err, CAUSE_NOT_REBUILT,
                       "the shares of client %u do not give its mask key",
                       (unsigned)client);
    }
    for (uint32_t i = 0; i < session->terms.degree && rc == 0; i++) {
        uint32_t v = neighbours[i];
        if (!message_set_has(server->survivors, v)) {
            continue;
        }
        if (!crypto_exchanger_derive(exchanger, server->keys[v] + CRYPTO_KEY_SIZE,
                                     shared)) {
            rc = cause_set(err, CAUSE_NOT_REBUILT, "the mask key of client %u is weak",
                           (unsigned)v);
            continue;
        }
        session_key(session, SESSION_MASK, client, v, shared, key);
        /* v has subtracted it where this client's number is the greater one. */
        session_mask(session, server->sum, client < v, key);
    }
    crypto_exchanger_free(exchanger);
    crypto_wipe(shared, sizeof shared);
    crypto_wipe(key, sizeof key);
    return rc;
}

int unmask_sum(struct secagg_server *server, struct error *err)
{
    const struct session_terms *terms = &server->session->terms;
    unsigned char secret[CRYPTO_KEY_SIZE];
    uint64_t *scratch = malloc(2 * (size_t)terms->threshold * sizeof *scratch);
    int rc = 0;
    if (scratch == NULL) {
        return error_set(err, PPT_ENOMEM, "no memory for shares");
    }
    for (uint32_t u = 0; u < terms->n_clients && rc == 0; u++) {
        if (!is_needed(server, u)) {
            continue;
        }
        rc = rebuild(server, u, scratch, secret, err);
        if (rc == 0) {
            rc = message_set_has(server->survivors, u)
                     ? take_off_own(server, u, secret, err)
                     : take_off_shared(server, u, secret, err);
        }
    }
    crypto_wipe(secret, sizeof secret);
    free(scratch);
    return rc;
}
