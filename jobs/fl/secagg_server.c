#include "jobs/fl/secagg_server.h"

#include <stdlib.h>
#include <string.h>

#include "jobs/fl/cause.h"
#include "jobs/fl/server_state.h"
#include "kernels/ring.h"

static int allocate(struct secagg_server *server, struct error *err)
{
    const struct session_terms *terms = &server->session->terms;
    const size_t n = terms->n_clients, edges = n * terms->degree;
    const size_t shares = n * terms->threshold;
    server->n_sent = calloc(n, sizeof *server->n_sent);
    server->has_withdrawn = calloc(n, sizeof *server->has_withdrawn);
    server->masked = calloc(n, sizeof *server->masked);
    server->neighbours = malloc(edges * sizeof *server->neighbours);
    server->keys = calloc(n, sizeof *server->keys);
    server->digests = calloc(n, sizeof *server->digests);
    server->sealed = calloc(edges, sizeof *server->sealed);
    server->tags = calloc(edges, sizeof *server->tags);
    server->survivors = calloc(1, message_set_size(server->session));
    server->sum = calloc(terms->n_coords, sizeof *server->sum);
    server->n_revealed = calloc(n, sizeof *server->n_revealed);
    server->points = calloc(shares, sizeof *server->points);
    server->shares = calloc(shares * MESSAGE_SHARE_WORDS, sizeof *server->shares);
    bool is_there = server->n_sent && server->has_withdrawn && server->masked &&
                    server->neighbours && server->keys && server->digests &&
                    server->sealed && server->tags && server->survivors &&
                    server->sum && server->n_revealed && server->points &&
                    server->shares;
    return is_there ? 0 : error_set(err, PPT_ENOMEM, "no memory for the server");
}

int secagg_server_new(const struct session *session, struct secagg_server **ret_server,
                      struct error *err)
{
    struct secagg_server *server = calloc(1, sizeof *server);
    if (server == NULL) {
        return error_set(err, PPT_ENOMEM, "no memory for the server");
    }
    server->session = session;
    int rc = allocate(server, err);
    if (rc != 0) {
        secagg_server_free(server);
        return rc;
    }
    for (uint32_t u = 0; u < session->terms.n_clients; u++) {
        session_neighbours(session, u,
                           server->neighbours + (size_t)u * session->terms.degree);
    }
    *ret_server = server;
    return 0;
}

static void wipe(struct secagg_server *server)
{
    const struct session_terms *terms = &server->session->terms;
    if (server->sum != NULL) {
        crypto_wipe(server->sum, terms->n_coords * sizeof *server->sum);
    }
    if (server->shares != NULL) {
        crypto_wipe(server->shares,
                    (size_t)terms->n_clients * terms->threshold * MESSAGE_SHARE_SIZE);
    }
}

void secagg_server_free(struct secagg_server *server)
{
    if (server == NULL) {
        return;
    }
    wipe(server);
    free(server->n_sent);
    free(server->has_withdrawn);
    free(server->masked);
    free(server->neighbours);
    free(server->keys);
    free(server->digests);
    free(server->sealed);
    free(server->tags);
    free(server->survivors);
    free(server->sum);
    free(server->n_revealed);
    free(server->points);
    free(server->shares);
    free(server);
}

enum secagg_stage secagg_server_stage(const struct secagg_server *server)
{
    return server->stage;
}

bool secagg_server_survives(const struct secagg_server *server, uint32_t client)
{
    return client < server->session->terms.n_clients &&
           message_set_has(server->survivors, client);
}

/* Where client v stands among u's neighbours; degree if nowhere. */
static uint32_t find(const struct secagg_server *server, uint32_t u, uint32_t v)
{
    const uint32_t degree = server->session->terms.degree;
    const uint32_t *neighbours = server_neighbours(server, u);
    uint32_t low = 0, high = degree;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (neighbours[middle] < v) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < degree && neighbours[low] == v ? low : degree;
}

static size_t edge(const struct secagg_server *server, uint32_t u, uint32_t i)
{
    return (size_t)u * server->session->terms.degree + i;
}

/* Of a point of low order nothing can be derived: all its neighbours would stop. */
static bool is_point(const unsigned char public_key[CRYPTO_KEY_SIZE])
{
    const unsigned char any[CRYPTO_KEY_SIZE] = {1};
    unsigned char shared[CRYPTO_KEY_SIZE];
    return crypto_exchange(any, public_key, shared);
}

static int take_keys(struct secagg_server *server, uint32_t u, struct buf_reader *body,
                     struct error *err)
{
    const struct session *session = server->session;
    unsigned char text[SESSION_SIGNED_SIZE];
    const unsigned char *keys = buf_read_bytes(body, MESSAGE_KEYS_SIZE);
    int rc = message_end(body, err);
    if (rc != 0 || keys == NULL) {
        return rc;
    }
    session_signed(session, u, keys, keys + CRYPTO_KEY_SIZE, text);
    if (!crypto_verify(session->terms.roster[u], text, sizeof text,
                       keys + 2 * CRYPTO_KEY_SIZE)) {
        return cause_set(err, CAUSE_KEY_NOT_SIGNED,
                         "client %u has not signed these keys for this round and model",
                         (unsigned)u);
    }
    if (!is_point(keys) || !is_point(keys + CRYPTO_KEY_SIZE)) {
        return cause_set(err, CAUSE_MALFORMED,
                         "client %u has sent a key that nothing can be sealed with",
                         (unsigned)u);
    }
    memcpy(server->keys[u], keys, MESSAGE_KEYS_SIZE);
    return 0;
}

/* The list must name the neighbours that are at this stage, all of them. */
static int need_all(const struct secagg_server *server, uint32_t u,
                    const struct message_list *list, enum secagg_stage stage,
                    bool of_survivors, struct error *err)
{
    const uint32_t *neighbours = server_neighbours(server, u);
    uint32_t n = 0;
    for (uint32_t i = 0; i < server->session->terms.degree; i++) {
        uint32_t v = neighbours[i];
        if (!server_reached(server, v, stage) ||
            (of_survivors && !message_set_has(server->survivors, v))) {
            continue;
        }
        if (n == list->n || message_number(list, n) != v) {
            n = UINT32_MAX;
            break;
        }
        n++;
    }
    return n == list->n ? 0
                        : cause_set(err, CAUSE_MALFORMED,
                                    "client %u has not answered for its neighbours",
                                    (unsigned)u);
}

/* A list with an entry for each neighbour at that stage, and no more behind it. */
static int read_all(const struct secagg_server *server, uint32_t u,
                    struct buf_reader *body, size_t entry_size, enum secagg_stage stage,
                    bool of_survivors, struct message_list *ret_list, struct error *err)
{
    int rc = message_list(body, server->session, server->session->terms.degree,
                          entry_size, true, ret_list, err);
    if (rc == 0) {
        rc = message_end(body, err);
    }
    return rc == 0 ? need_all(server, u, ret_list, stage, of_survivors, err) : rc;
}

static int take_shares(struct secagg_server *server, uint32_t u,
                       struct buf_reader *body, struct error *err)
{
    struct message_list list;
    const unsigned char *digest = buf_read_bytes(body, CRYPTO_SHA256_SIZE);
    int rc =
        read_all(server, u, body, MESSAGE_SEALED_ENTRY, SECAGG_KEYS, false, &list, err);
    if (rc != 0) {
        return rc;
    }
    memcpy(server->digests[u], digest, CRYPTO_SHA256_SIZE);
    for (uint32_t i = 0; i < list.n; i++) {
        uint32_t at = find(server, u, message_number(&list, i));
        memcpy(server->sealed[edge(server, u, at)], message_entry(&list, i),
               MESSAGE_SEALED_SIZE);
    }
    return 0;
}

static int take_masked(struct secagg_server *server, uint32_t u,
                       struct buf_reader *body, struct error *err)
{
    const struct session_terms *terms = &server->session->terms;
    const unsigned char *packed =
        buf_read_bytes(body, ring_size_bytes(terms->n_coords, terms->n_bits));
    int rc = message_end(body, err);
    if (rc == 0 &&
        !ring_add_packed(server->sum, terms->n_coords, terms->n_bits, packed)) {
        rc = cause_set(err, CAUSE_MALFORMED, "a vector with bits behind its end");
    }
    if (rc == 0) {
        message_set_add(server->survivors, u);
        crypto_sha256(packed, ring_size_bytes(terms->n_coords, terms->n_bits),
                      server->masked[u]);
    }
    return rc;
}

static int take_vouches(struct secagg_server *server, uint32_t u,
                        struct buf_reader *body, struct error *err)
{
    struct message_list list;
    int rc =
        read_all(server, u, body, MESSAGE_TAG_ENTRY, SECAGG_MASKED, true, &list, err);
    for (uint32_t i = 0; rc == 0 && i < list.n; i++) {
        uint32_t at = find(server, u, message_number(&list, i));
        memcpy(server->tags[edge(server, u, at)], message_entry(&list, i),
               CRYPTO_TAG_SIZE);
    }
    return rc;
}

static enum message_share asked_share(const struct secagg_server *server, uint32_t v)
{
    return message_set_has(server->survivors, v) ? SHARE_SEED : SHARE_MASK_KEY;
}

static int take_reveals(struct secagg_server *server, uint32_t u,
                        struct buf_reader *body, struct error *err)
{
    const uint32_t threshold = server->session->terms.threshold;
    struct message_list list;
    uint64_t share[MESSAGE_SHARE_WORDS];
    int rc = read_all(server, u, body, MESSAGE_REVEAL_ENTRY, SECAGG_SHARES, false,
                      &list, err);
    for (uint32_t i = 0; rc == 0 && i < list.n; i++) {
        const unsigned char *entry = message_entry(&list, i);
        if (entry[0] != asked_share(server, message_number(&list, i)) ||
            !message_get_share(entry + 1, share)) {
            rc = cause_set(err, CAUSE_MALFORMED, "client %u has revealed no share",
                           (unsigned)u);
        }
    }
    for (uint32_t i = 0; rc == 0 && i < list.n; i++) {
        uint32_t v = message_number(&list, i), n = server->n_revealed[v];
        if (n < threshold) {
            size_t at = (size_t)v * threshold + n;
            server->points[at] = (uint64_t)u + 1;
            message_get_share(message_entry(&list, i) + 1,
                              server->shares + at * MESSAGE_SHARE_WORDS);
            server->n_revealed[v]++;
        }
    }
    crypto_wipe(share, sizeof share);
    return rc;
}

/* What a stage takes, and how. */
static const struct {
    enum message_kind kind;
    int (*take)(struct secagg_server *server, uint32_t client, struct buf_reader *body,
                struct error *err);
} takes[] = {
    [SECAGG_KEYS] = {MESSAGE_KEYS, take_keys},
    [SECAGG_SHARES] = {MESSAGE_SHARES, take_shares},
    [SECAGG_MASKED] = {MESSAGE_MASKED, take_masked},
    [SECAGG_VOUCHES] = {MESSAGE_VOUCH, take_vouches},
    [SECAGG_REVEALS] = {MESSAGE_REVEAL, take_reveals},
};

int secagg_server_take(struct secagg_server *server, uint32_t from, const void *data,
                       size_t len, struct error *err)
{
    struct buf_reader body;
    uint32_t u = 0;
    if (server->stage >= SECAGG_SUMMED) {
        return cause_set(err, CAUSE_OUT_OF_TURN, "the round is over");
    }
    int rc = message_open(data, len, takes[server->stage].kind, server->session, &u,
                          &body, err);
    if (rc == 0 && (u == MESSAGE_SERVER || u != from)) {
        rc = cause_set(err, CAUSE_MALFORMED, "not a message of client %u",
                       (unsigned)from);
    }
    if (rc == 0 && (server->n_sent[u] != server->stage || server->has_withdrawn[u])) {
        rc =
            cause_set(err, CAUSE_OUT_OF_TURN,
                      "client %u has sent this before or has dropped out", (unsigned)u);
    }
    if (rc == 0) {
        rc = takes[server->stage].take(server, u, &body, err);
    }
    if (rc == 0) {
        server->n_sent[u]++;
    }
    return rc;
}

/* Nothing will be released. */
static void end(struct secagg_server *server)
{
    wipe(server);
    server->stage = SECAGG_ENDED;
}

/* Enough clients have sent at a stage. */
static int check_numbers(const struct secagg_server *server, enum secagg_stage stage,
                         struct error *err)
{
    const struct session_terms *terms = &server->session->terms;
    uint32_t n = 0;
    for (uint32_t u = 0; u < terms->n_clients; u++) {
        n += server_reached(server, u, stage);
    }
    if (stage <= SECAGG_MASKED && n < terms->min_clients) {
        return cause_set(err, CAUSE_COHORT_TOO_SMALL,
                         "%u clients are left, at least %u must be", (unsigned)n,
                         (unsigned)terms->min_clients);
    }
    if (n < terms->threshold) {
        return cause_set(err, CAUSE_BELOW_THRESHOLD,
                         "%u clients are left, the threshold is %u", (unsigned)n,
                         (unsigned)terms->threshold);
    }
    return 0;
}

int secagg_server_next(struct secagg_server *server, struct error *err)
{
    if (server->stage >= SECAGG_SUMMED) {
        return cause_set(err, CAUSE_OUT_OF_TURN, "the round is over");
    }
    int rc = check_numbers(server, server->stage, err);
    if (rc == 0 && server->stage == SECAGG_MASKED) {
        rc = unmask_check(server, err);
    }
    if (rc == 0 && server->stage == SECAGG_REVEALS) {
        rc = unmask_sum(server, err);
    }
    if (rc != 0) {
        end(server);
    } else {
        server->stage++;
    }
    return rc;
}

/* A vector leaves the sum as it came: it must be the very one. */
static int take_back(struct secagg_server *server, uint32_t u, const void *masked,
                     size_t len, struct error *err)
{
    const struct session_terms *terms = &server->session->terms;
    const size_t size = ring_size_bytes(terms->n_coords, terms->n_bits);
    unsigned char digest[CRYPTO_SHA256_SIZE];
    struct buf_reader body = {0};
    uint32_t sender = 0;
    int rc =
        message_open(masked, len, MESSAGE_MASKED, server->session, &sender, &body, err);
    const unsigned char *packed = rc == 0 ? buf_read_bytes(&body, size) : NULL;
    if (rc == 0) {
        rc = message_end(&body, err);
    }
    if (rc != 0) {
        return rc;
    }
    crypto_sha256(packed, size, digest);
    if (sender != u || memcmp(digest, server->masked[u], sizeof digest) != 0) {
        return cause_set(err, CAUSE_MALFORMED,
                         "not the masked vector that client %u had sent", (unsigned)u);
    }
    uint32_t *vector = calloc(terms->n_coords, sizeof *vector);
    if (vector == NULL) {
        return error_set(err, PPT_ENOMEM, "no memory for a vector");
    }
    ring_add_packed(vector, terms->n_coords, terms->n_bits, packed);
    ring_sub(server->sum, vector, terms->n_coords);
    free(vector);
    message_set_drop(server->survivors, u);
    server->n_sent[u] = SECAGG_MASKED; /* as if it had not sent it */
    return 0;
}

int secagg_server_withdraw(struct secagg_server *server, uint32_t client,
                           const void *masked, size_t len, struct error *err)
{
    int rc = 0;
    if (server->stage > SECAGG_VOUCHES || server->has_told) {
        return cause_set(err, CAUSE_TOO_LATE,
                         "client %u withdraws after the survivors were told",
                         (unsigned)client);
    }
    if (client >= server->session->terms.n_clients || server->has_withdrawn[client]) {
        return cause_set(err, CAUSE_OUT_OF_TURN, "client %u cannot withdraw now",
                         (unsigned)client);
    }
    if (message_set_has(server->survivors, client)) {
        rc = take_back(server, client, masked, len, err);
    }
    if (rc != 0) {
        return rc;
    }
    server->has_withdrawn[client] = true;
    if (server->stage == SECAGG_VOUCHES) { /* what was checked may no longer hold */
        rc = check_numbers(server, SECAGG_MASKED, err);
        if (rc == 0) {
            rc = unmask_check(server, err);
        }
        if (rc != 0) {
            end(server);
        }
    }
    return rc;
}

/* How many neighbours of a client have sent at a stage. */
static uint32_t n_reached(const struct secagg_server *server, uint32_t client,
                          enum secagg_stage stage)
{
    const uint32_t *neighbours = server_neighbours(server, client);
    uint32_t n = 0;
    for (uint32_t i = 0; i < server->session->terms.degree; i++) {
        n += server_reached(server, neighbours[i], stage);
    }
    return n;
}

static void write_peers(const struct secagg_server *server, uint32_t u,
                        struct buf *message)
{
    const uint32_t degree = server->session->terms.degree;
    const uint32_t *neighbours = server_neighbours(server, u);
    message_begin(message, MESSAGE_PEERS, server->session, MESSAGE_SERVER);
    buf_u32(message, n_reached(server, u, SECAGG_KEYS));
    for (uint32_t i = 0; i < degree; i++) {
        if (server_reached(server, neighbours[i], SECAGG_KEYS)) {
            buf_u32(message, neighbours[i]);
            buf_bytes(message, server->keys[neighbours[i]], MESSAGE_KEYS_SIZE);
        }
    }
}

static void write_inbox(const struct secagg_server *server, uint32_t u,
                        struct buf *message)
{
    const uint32_t degree = server->session->terms.degree;
    const uint32_t *neighbours = server_neighbours(server, u);
    message_begin(message, MESSAGE_INBOX, server->session, MESSAGE_SERVER);
    buf_u32(message, n_reached(server, u, SECAGG_SHARES));
    for (uint32_t i = 0; i < degree; i++) {
        uint32_t v = neighbours[i];
        if (server_reached(server, v, SECAGG_SHARES)) {
            buf_u32(message, v);
            buf_bytes(message, server->sealed[edge(server, v, find(server, v, u))],
                      MESSAGE_SEALED_SIZE);
        }
    }
}

static void write_survivors(const struct secagg_server *server, struct buf *message)
{
    message_begin(message, MESSAGE_SURVIVORS, server->session, MESSAGE_SERVER);
    buf_bytes(message, server->survivors, message_set_size(server->session));
}

static void write_ask(const struct secagg_server *server, uint32_t u,
                      struct buf *message)
{
    const uint32_t degree = server->session->terms.degree;
    const uint32_t *neighbours = server_neighbours(server, u);
    message_begin(message, MESSAGE_ASK, server->session, MESSAGE_SERVER);
    buf_u32(message, n_reached(server, u, SECAGG_VOUCHES));
    for (uint32_t i = 0; i < degree; i++) {
        uint32_t v = neighbours[i];
        if (server_reached(server, v, SECAGG_VOUCHES)) {
            buf_u32(message, v);
            buf_bytes(message, server->tags[edge(server, v, find(server, v, u))],
                      CRYPTO_TAG_SIZE);
        }
    }
    buf_u32(message, n_reached(server, u, SECAGG_SHARES));
    for (uint32_t i = 0; i < degree; i++) {
        if (server_reached(server, neighbours[i], SECAGG_SHARES)) {
            buf_u32(message, neighbours[i]);
            buf_u8(message, (uint8_t)asked_share(server, neighbours[i]));
        }
    }
}

int secagg_server_message(struct secagg_server *server, uint32_t client,
                          struct buf *ret_message, struct error *err)
{
    buf_clear(ret_message);
    if (server->stage == SECAGG_KEYS || server->stage >= SECAGG_SUMMED ||
        client >= server->session->terms.n_clients || server->has_withdrawn[client] ||
        !server_reached(server, client, server->stage - 1)) {
        return cause_set(err, CAUSE_OUT_OF_TURN, "no message for client %u now",
                         (unsigned)client);
    }
    switch (server->stage) {
    case SECAGG_SHARES:
        write_peers(server, client, ret_message);
        break;
    case SECAGG_MASKED:
        write_inbox(server, client, ret_message);
        break;
    case SECAGG_VOUCHES:
        server->has_told = true;
        write_survivors(server, ret_message);
        break;
    default:
        write_ask(server, client, ret_message);
    }
    return buf_check(ret_message, err);
}

int secagg_server_sum(struct secagg_server *server, uint32_t *ret_sum,
                      uint32_t *ret_n_survivors, struct error *err)
{
    const struct session_terms *terms = &server->session->terms;
    const uint32_t keep = UINT32_MAX >> (RING_MAX_BITS - terms->n_bits);
    if (server->has_released) {
        return cause_set(err, CAUSE_RELEASED, "this round's sum was handed out before");
    }
    if (server->stage != SECAGG_SUMMED) {
        return cause_set(err, CAUSE_OUT_OF_TURN, "this round has no sum");
    }
    for (uint32_t i = 0; i < terms->n_coords; i++) {
        ret_sum[i] = server->sum[i] & keep;
    }
    *ret_n_survivors = message_set_count(server->survivors, server->session);
    wipe(server);
    server->has_released = true;
    server->stage = SECAGG_ENDED;
    return 0;
}
