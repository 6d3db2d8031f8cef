#include "jobs/fl/secagg_client.h"

#include <stdlib.h>
#include <string.h>

#include "jobs/fl/cause.h"
#include "jobs/fl/message.h"
#include "jobs/fl/peer.h"
#include "kernels/ring.h"
#include "kernels/shamir.h"

enum step { STEP_KEYS, STEP_SHARE, STEP_MASK, STEP_VOUCH, STEP_REVEAL, STEP_ENDED };

struct secagg_client {
    const struct session *session; /* the caller's */
    uint32_t number;
    enum step step;
    unsigned char identity[CRYPTO_KEY_SIZE];
    /* Of this round only. */
    unsigned char channel_secret[CRYPTO_KEY_SIZE], mask_secret[CRYPTO_KEY_SIZE];
    unsigned char seed[CRYPTO_KEY_SIZE];
    unsigned char channel_public[CRYPTO_KEY_SIZE], mask_public[CRYPTO_KEY_SIZE];
    unsigned char *survivors; /* a set, from STEP_VOUCH on */
    unsigned char survivors_digest[CRYPTO_SHA256_SIZE];
    struct peer *peers; /* degree of them, ascending */
};

static void wipe(struct secagg_client *client)
{
    crypto_wipe(client->identity, sizeof client->identity);
    crypto_wipe(client->channel_secret, sizeof client->channel_secret);
    crypto_wipe(client->mask_secret, sizeof client->mask_secret);
    crypto_wipe(client->seed, sizeof client->seed);
    for (uint32_t i = 0; client->peers != NULL && i < client->session->terms.degree;
         i++) {
        crypto_wipe(client->peers[i].channel_key, sizeof client->peers[i].channel_key);
        crypto_wipe(client->peers[i].share, sizeof client->peers[i].share);
    }
}

void secagg_client_free(struct secagg_client *client)
{
    if (client == NULL) {
        return;
    }
    wipe(client);
    free(client->peers);
    free(client->survivors);
    free(client);
}

/* The member must be the one that the roster names here. */
static int check_member(const struct session *session, uint32_t number,
                        const struct secagg_member *member, struct error *err)
{
    unsigned char public_key[CRYPTO_KEY_SIZE];
    if (session->terms.round < member->next_round) {
        return cause_set(err, CAUSE_ROUND_USED,
                         "client %u has joined round %llu or a later one before",
                         (unsigned)number, (unsigned long long)session->terms.round);
    }
    if (number < session->terms.n_clients) {
        crypto_sign_public(member->identity, public_key);
    }
    if (number >= session->terms.n_clients ||
        memcmp(public_key, session->terms.roster[number], sizeof public_key) != 0) {
        return cause_set(err, CAUSE_KEY_NOT_SIGNED,
                         "the roster names another identity for client %u",
                         (unsigned)number);
    }
    return 0;
}

int secagg_client_new(const struct session *session, uint32_t number,
                      struct secagg_member *member, struct secagg_client **ret_client,
                      struct error *err)
{
    const uint32_t degree = session->terms.degree;
    int rc = check_member(session, number, member, err);
    if (rc != 0) {
        return rc;
    }
    struct secagg_client *client = calloc(1, sizeof *client);
    uint32_t *neighbours = malloc(degree * sizeof *neighbours);
    if (client != NULL) {
        client->session = session;
        client->peers = calloc(degree, sizeof *client->peers);
        client->survivors = calloc(1, message_set_size(session));
    }
    if (client == NULL || neighbours == NULL || client->peers == NULL ||
        client->survivors == NULL) {
        free(neighbours);
        secagg_client_free(client);
        return error_set(err, PPT_ENOMEM, "no memory for a client");
    }
    client->number = number;
    memcpy(client->identity, member->identity, sizeof client->identity);
    session_neighbours(session, number, neighbours);
    for (uint32_t i = 0; i < degree; i++) {
        client->peers[i].number = neighbours[i];
    }
    free(neighbours);
    member->next_round = session->terms.round + 1;
    *ret_client = client;
    return 0;
}

/* Each step begins and ends with these two. */
static int begin_step(struct secagg_client *client, enum step step, struct buf *message,
                      struct error *err)
{
    buf_clear(message);
    return client->step == step
               ? 0
               : cause_set(err, CAUSE_OUT_OF_TURN, "client %u is not at this step",
                           (unsigned)client->number);
}

static int end_step(struct secagg_client *client, int rc, struct buf *message,
                    struct error *err)
{
    if (rc == 0) {
        rc = buf_check(message, err);
    }
    if (rc != 0) {
        wipe(client);
        client->step = STEP_ENDED;
        buf_clear(message);
    } else {
        client->step++;
    }
    return rc;
}

/* A message to this client from the server. */
static int open_mine(const struct secagg_client *client, const void *data, size_t len,
                     enum message_kind kind, struct buf_reader *ret_body,
                     struct error *err)
{
    uint32_t sender = 0;
    int rc = message_open(data, len, kind, client->session, &sender, ret_body, err);
    if (rc == 0 && sender != MESSAGE_SERVER) {
        rc = cause_set(err, CAUSE_MALFORMED, "not a message of the server");
    }
    return rc;
}

/* The neighbour of that number, NULL if it is none. */
static struct peer *find_peer(struct secagg_client *client, uint32_t number)
{
    uint32_t low = 0, high = client->session->terms.degree;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (client->peers[middle].number < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    bool is_there =
        low < client->session->terms.degree && client->peers[low].number == number;
    return is_there ? &client->peers[low] : NULL;
}

/* The same, in the state that the step needs. */
static int need_peer(struct secagg_client *client, uint32_t number,
                     enum peer_state state, struct peer **ret_peer, struct error *err)
{
    *ret_peer = find_peer(client, number);
    if (*ret_peer == NULL || (*ret_peer)->state != state) {
        return cause_set(err, CAUSE_NOT_A_PEER,
                         "client %u is no neighbour of client %u at this step",
                         (unsigned)number, (unsigned)client->number);
    }
    return 0;
}

static int need_threshold(const struct secagg_client *client, uint32_t n,
                          const char *what, struct error *err)
{
    uint32_t threshold = client->session->terms.threshold;
    return n >= threshold ? 0
                          : cause_set(err, CAUSE_BELOW_THRESHOLD,
                                      "client %u has %u %s, the threshold is %u",
                                      (unsigned)client->number, (unsigned)n, what,
                                      (unsigned)threshold);
}

/* Step 1. */
static void make_keys(struct secagg_client *client, struct buf *message)
{
    unsigned char text[SESSION_SIGNED_SIZE], signature[CRYPTO_SIGNATURE_SIZE];
    crypto_random(client->channel_secret, sizeof client->channel_secret);
    crypto_random(client->mask_secret, sizeof client->mask_secret);
    crypto_random(client->seed, sizeof client->seed);
    crypto_exchange_public(client->channel_secret, client->channel_public);
    crypto_exchange_public(client->mask_secret, client->mask_public);
    session_signed(client->session, client->number, client->channel_public,
                   client->mask_public, text);
    crypto_sign(client->identity, text, sizeof text, signature);
    message_begin(message, MESSAGE_KEYS, client->session, client->number);
    buf_bytes(message, client->channel_public, CRYPTO_KEY_SIZE);
    buf_bytes(message, client->mask_public, CRYPTO_KEY_SIZE);
    buf_bytes(message, signature, sizeof signature);
}

int secagg_client_keys(struct secagg_client *client, struct buf *ret_message,
                       struct error *err)
{
    int rc = begin_step(client, STEP_KEYS, ret_message, err);
    if (rc == 0) {
        make_keys(client, ret_message);
        crypto_wipe(client->identity,
                    sizeof client->identity); /* nothing else is signed */
    }
    return end_step(client, rc, ret_message, err);
}

/* Step 2: one neighbour's keys, as they came. */
static int meet(struct secagg_client *client, struct crypto_exchanger *exchanger,
                uint32_t number, const unsigned char *keys, struct error *err)
{
    const struct session *session = client->session;
    const unsigned char *channel_public = keys, *mask_public = keys + CRYPTO_KEY_SIZE;
    unsigned char text[SESSION_SIGNED_SIZE], shared[CRYPTO_KEY_SIZE];
    struct peer *peer;
    int rc = need_peer(client, number, PEER_SILENT, &peer, err);
    if (rc != 0) {
        return rc;
    }
    session_signed(session, number, channel_public, mask_public, text);
    if (!crypto_verify(session->terms.roster[number], text, sizeof text,
                       keys + 2 * CRYPTO_KEY_SIZE) ||
        !crypto_exchanger_derive(exchanger, channel_public, shared)) {
        return cause_set(err, CAUSE_KEY_NOT_SIGNED,
                         "client %u has not signed these keys for this round and model",
                         (unsigned)number);
    }
    session_key(session, SESSION_CHANNEL, client->number, number, shared,
                peer->channel_key);
    crypto_wipe(shared, sizeof shared);
    memcpy(peer->mask_public, mask_public, CRYPTO_KEY_SIZE);
    peer->state = PEER_KNOWN;
    return 0;
}

static int meet_all(struct secagg_client *client, const void *data, size_t len,
                    uint32_t *ret_n, struct error *err)
{
    struct buf_reader body;
    struct message_list list;
    int rc = open_mine(client, data, len, MESSAGE_PEERS, &body, err);
    if (rc == 0) {
        rc = message_list(&body, client->session, client->session->terms.degree,
                          MESSAGE_PEER_ENTRY, true, &list, err);
    }
    if (rc == 0) {
        rc = message_end(&body, err);
    }
    if (rc == 0) {
        rc = need_threshold(client, list.n, "neighbours with keys", err);
    }
    if (rc != 0) {
        return rc;
    }
    struct crypto_exchanger *exchanger = crypto_exchanger_new(client->channel_secret);
    for (uint32_t i = 0; i < list.n && rc == 0; i++) {
        rc = meet(client, exchanger, message_number(&list, i), message_entry(&list, i),
                  err);
    }
    crypto_exchanger_free(exchanger);
    *ret_n = rc == 0 ? list.n : 0;
    return rc;
}

/* Random coefficients for `n` polynomials' words, from a key that is then forgotten. */
static void draw_elements(uint64_t *ret_elements, size_t n)
{
    unsigned char key[CRYPTO_KEY_SIZE];
    crypto_random(key, sizeof key);
    struct crypto_stream *stream = crypto_stream_new(key);
    uint64_t words[2];
    for (size_t i = 0; i < n; i++) {
        crypto_stream_read(stream, words, sizeof words);
        ret_elements[i] = field_random(words[0], words[1]);
    }
    crypto_stream_free(stream);
    crypto_wipe(key, sizeof key);
    crypto_wipe(words, sizeof words);
}

static int share_secrets(struct secagg_client *client, uint32_t n_known,
                         struct buf *message, struct error *err)
{
    const struct session_terms *terms = &client->session->terms;
    const size_t n = (terms->threshold - 1) * (size_t)MESSAGE_SHARE_WORDS;
    uint64_t secret[SHARE_KINDS][MESSAGE_SHARE_WORDS];
    uint64_t shares[SHARE_KINDS][MESSAGE_SHARE_WORDS];
    unsigned char digest[CRYPTO_SHA256_SIZE];
    uint64_t *elements = malloc((SHARE_KINDS * n + 1) * sizeof *elements);
    if (elements == NULL) {
        return error_set(err, PPT_ENOMEM, "no memory for shares");
    }
    draw_elements(elements, SHARE_KINDS * n);
    field_pack(client->seed, CRYPTO_KEY_SIZE, secret[SHARE_SEED]);
    field_pack(client->mask_secret, CRYPTO_KEY_SIZE, secret[SHARE_MASK_KEY]);
    crypto_sha256(client->seed, sizeof client->seed, digest);
    message_begin(message, MESSAGE_SHARES, client->session, client->number);
    buf_bytes(message, digest, sizeof digest);
    buf_u32(message, n_known);
    for (uint32_t i = 0; i < terms->degree; i++) {
        const struct peer *peer = &client->peers[i];
        unsigned char sealed[MESSAGE_SEALED_SIZE];
        if (peer->state != PEER_KNOWN) {
            continue;
        }
        for (int kind = 0; kind < SHARE_KINDS; kind++) {
            shamir_share(secret[kind], MESSAGE_SHARE_WORDS, elements + (size_t)kind * n,
                         terms->threshold, (uint64_t)peer->number + 1, shares[kind]);
        }
        peer_seal_shares(peer->channel_key, client->number, peer->number, shares,
                         sealed);
        buf_u32(message, peer->number);
        buf_bytes(message, sealed, sizeof sealed);
    }
    crypto_wipe(elements, SHARE_KINDS * n * sizeof *elements);
    crypto_wipe(secret, sizeof secret);
    crypto_wipe(shares, sizeof shares);
    free(elements);
    return 0;
}

int secagg_client_share(struct secagg_client *client, const void *peers, size_t len,
                        struct buf *ret_message, struct error *err)
{
    uint32_t n_known = 0;
    int rc = begin_step(client, STEP_SHARE, ret_message, err);
    if (rc == 0) {
        rc = meet_all(client, peers, len, &n_known, err);
    }
    crypto_wipe(client->channel_secret, sizeof client->channel_secret);
    if (rc == 0) {
        rc = share_secrets(client, n_known, ret_message, err);
    }
    return end_step(client, rc, ret_message, err);
}

/* Step 3: whose shares have come is who is masked with. */
static int take_inbox(struct secagg_client *client, const void *data, size_t len,
                      struct error *err)
{
    struct buf_reader body;
    struct message_list list = {0};
    int rc = open_mine(client, data, len, MESSAGE_INBOX, &body, err);
    if (rc == 0) {
        rc = message_list(&body, client->session, client->session->terms.degree,
                          MESSAGE_SEALED_ENTRY, true, &list, err);
    }
    if (rc == 0) {
        rc = message_end(&body, err);
    }
    if (rc == 0) {
        rc = need_threshold(client, list.n, "neighbours that shared", err);
    }
    for (uint32_t i = 0; i < list.n && rc == 0; i++) {
        struct peer *peer;
        rc = need_peer(client, message_number(&list, i), PEER_KNOWN, &peer, err);
        if (rc == 0 &&
            !peer_open_shares(peer->channel_key, peer->number, client->number,
                              message_entry(&list, i), peer->share)) {
            rc = cause_set(err, CAUSE_SHARE_NOT_GENUINE,
                           "the share of client %u was not sealed by it for client %u "
                           "in this round",
                           (unsigned)peer->number, (unsigned)client->number);
        }
        if (rc == 0) {
            peer->state = PEER_SHARED;
        }
    }
    return rc;
}

static int add_masks(struct secagg_client *client, uint32_t *masked, struct error *err)
{
    const struct session *session = client->session;
    unsigned char shared[CRYPTO_KEY_SIZE], key[CRYPTO_KEY_SIZE];
    struct crypto_exchanger *exchanger = crypto_exchanger_new(client->mask_secret);
    int rc = 0;
    session_key(session, SESSION_SELF, client->number, client->number, client->seed,
                key);
    session_mask(session, masked, false, key);
    for (uint32_t i = 0; i < session->terms.degree && rc == 0; i++) {
        const struct peer *peer = &client->peers[i];
        if (peer->state != PEER_SHARED) {
            continue;
        }
        if (!crypto_exchanger_derive(exchanger, peer->mask_public, shared)) {
            rc = cause_set(err, CAUSE_KEY_NOT_SIGNED,
                           "the mask key of client %u is weak", (unsigned)peer->number);
            continue;
        }
        session_key(session, SESSION_MASK, client->number, peer->number, shared, key);
        session_mask(session, masked, peer->number > client->number, key);
    }
    crypto_exchanger_free(exchanger);
    crypto_wipe(shared, sizeof shared);
    crypto_wipe(key, sizeof key);
    return rc;
}

static int mask_vector(struct secagg_client *client, const uint32_t *vector,
                       struct buf *message, struct error *err)
{
    const struct session_terms *terms = &client->session->terms;
    const size_t size = terms->n_coords * sizeof *vector;
    uint32_t *masked = malloc(size);
    if (masked == NULL) {
        return error_set(err, PPT_ENOMEM, "no memory for a vector");
    }
    memcpy(masked, vector, size);
    int rc = add_masks(client, masked, err);
    if (rc == 0) {
        message_begin(message, MESSAGE_MASKED, client->session, client->number);
        unsigned char *packed =
            buf_space(message, ring_size_bytes(terms->n_coords, terms->n_bits));
        if (packed != NULL) {
            ring_pack(masked, terms->n_coords, terms->n_bits, packed);
        }
    }
    crypto_wipe(masked, size);
    free(masked);
    return rc;
}

int secagg_client_mask(struct secagg_client *client, const void *inbox, size_t len,
                       const uint32_t *vector, struct buf *ret_message,
                       struct error *err)
{
    int rc = begin_step(client, STEP_MASK, ret_message, err);
    if (rc == 0) {
        rc = take_inbox(client, inbox, len, err);
    }
    if (rc == 0) {
        rc = mask_vector(client, vector, ret_message, err);
    }
    crypto_wipe(client->mask_secret, sizeof client->mask_secret);
    crypto_wipe(client->seed, sizeof client->seed);
    return end_step(client, rc, ret_message, err);
}

/* Step 4. */
static int check_survivors(const struct secagg_client *client, uint32_t *ret_n,
                           struct error *err)
{
    const struct session *session = client->session;
    uint32_t n = message_set_count(client->survivors, session), n_peers = 0;
    if (n < session->terms.min_clients) {
        return cause_set(err, CAUSE_COHORT_TOO_SMALL,
                         "%u clients are left, at least %u must be", (unsigned)n,
                         (unsigned)session->terms.min_clients);
    }
    if (!message_set_has(client->survivors, client->number)) {
        return cause_set(err, CAUSE_LEFT_OUT, "client %u is not among the survivors",
                         (unsigned)client->number);
    }
    for (uint32_t i = 0; i < session->terms.degree; i++) {
        const struct peer *peer = &client->peers[i];
        if (!message_set_has(client->survivors, peer->number)) {
            continue;
        }
        if (peer->state != PEER_SHARED) {
            return cause_set(err, CAUSE_NOT_A_PEER,
                             "client %u survives, but has sent client %u no share",
                             (unsigned)peer->number, (unsigned)client->number);
        }
        n_peers++;
    }
    *ret_n = n_peers;
    return need_threshold(client, n_peers, "surviving neighbours", err);
}

static int take_survivors(struct secagg_client *client, const void *data, size_t len,
                          uint32_t *ret_n, struct error *err)
{
    const size_t size = message_set_size(client->session);
    struct buf_reader body;
    int rc = open_mine(client, data, len, MESSAGE_SURVIVORS, &body, err);
    if (rc != 0) {
        return rc;
    }
    const unsigned char *set = buf_read_bytes(&body, size);
    const uint32_t n_spare = (uint32_t)(8 * size) - client->session->terms.n_clients;
    if (set == NULL || set[size - 1] >> (8 - n_spare) != 0) {
        return cause_set(err, CAUSE_MALFORMED, "not a set of survivors");
    }
    rc = message_end(&body, err);
    if (rc == 0) {
        memcpy(client->survivors, set, size);
        crypto_sha256(set, size, client->survivors_digest);
        rc = check_survivors(client, ret_n, err);
    }
    return rc;
}

int secagg_client_vouch(struct secagg_client *client, const void *survivors, size_t len,
                        struct buf *ret_message, struct error *err)
{
    uint32_t n = 0;
    int rc = begin_step(client, STEP_VOUCH, ret_message, err);
    if (rc == 0) {
        rc = take_survivors(client, survivors, len, &n, err);
    }
    if (rc == 0) {
        message_begin(ret_message, MESSAGE_VOUCH, client->session, client->number);
        buf_u32(ret_message, n);
        for (uint32_t i = 0; i < client->session->terms.degree; i++) {
            const struct peer *peer = &client->peers[i];
            unsigned char tag[CRYPTO_TAG_SIZE];
            if (message_set_has(client->survivors, peer->number)) {
                peer_vouch(peer->channel_key, client->number, peer->number,
                           client->survivors_digest, tag);
                buf_u32(ret_message, peer->number);
                buf_bytes(ret_message, tag, sizeof tag);
            }
        }
    }
    return end_step(client, rc, ret_message, err);
}

/* Step 5: enough neighbours hold the list that this client holds. */
static int check_vouches(struct secagg_client *client, const struct message_list *list,
                         struct error *err)
{
    uint32_t n_same = 0;
    for (uint32_t i = 0; i < list->n; i++) {
        const struct peer *peer = find_peer(client, message_number(list, i));
        n_same += peer != NULL && message_set_has(client->survivors, peer->number) &&
                  peer_vouched(peer->channel_key, peer->number, client->number,
                               client->survivors_digest, message_entry(list, i));
    }
    if (n_same < client->session->terms.threshold && n_same < list->n) {
        return cause_set(err, CAUSE_LISTS_DIFFER,
                         "%u of %u neighbours were told of other survivors than client "
                         "%u",
                         (unsigned)(list->n - n_same), (unsigned)list->n,
                         (unsigned)client->number);
    }
    return need_threshold(client, n_same, "neighbours that vouch for the survivors",
                          err);
}

/* One share of one peer, ever, and the one that its fate asks for. */
static int answer(struct secagg_client *client, uint32_t number, uint8_t kind,
                  struct buf *message, struct error *err)
{
    struct peer *peer = find_peer(client, number);
    unsigned char bytes[MESSAGE_SHARE_SIZE];
    if (peer != NULL && peer->state == PEER_ASKED) {
        return cause_set(err, CAUSE_BOTH_SHARES,
                         "client %u is asked for a second share of client %u",
                         (unsigned)client->number, (unsigned)number);
    }
    if (peer == NULL || peer->state != PEER_SHARED) {
        return cause_set(err, CAUSE_NOT_A_PEER, "client %u has no share of client %u",
                         (unsigned)client->number, (unsigned)number);
    }
    bool is_survivor = message_set_has(client->survivors, number);
    if (kind != (is_survivor ? SHARE_SEED : SHARE_MASK_KEY)) {
        return cause_set(err, CAUSE_WRONG_SHARE,
                         "client %u is asked for the %s of client %u, which %s",
                         (unsigned)client->number,
                         kind == SHARE_SEED ? "seed" : "mask key", (unsigned)number,
                         is_survivor ? "survives" : "does not survive");
    }
    peer->state = PEER_ASKED;
    message_put_share(peer->share[kind], bytes);
    crypto_wipe(peer->share, sizeof peer->share);
    buf_u32(message, number);
    buf_u8(message, kind);
    buf_bytes(message, bytes, sizeof bytes);
    return 0;
}

static int reveal(struct secagg_client *client, const void *data, size_t len,
                  struct buf *message, struct error *err)
{
    const struct session *session = client->session;
    const uint32_t degree = session->terms.degree;
    struct buf_reader body;
    struct message_list vouches = {0}, asked = {0};
    int rc = open_mine(client, data, len, MESSAGE_ASK, &body, err);
    if (rc == 0) {
        rc = message_list(&body, session, degree, MESSAGE_TAG_ENTRY, true, &vouches,
                          err);
    }
    if (rc == 0) {
        rc = message_list(&body, session, SHARE_KINDS * degree, MESSAGE_ASK_ENTRY,
                          false, &asked, err);
    }
    if (rc == 0) {
        rc = message_end(&body, err);
    }
    if (rc == 0) {
        rc = check_vouches(client, &vouches, err);
    }
    if (rc == 0) {
        message_begin(message, MESSAGE_REVEAL, session, client->number);
        buf_u32(message, asked.n);
    }
    for (uint32_t i = 0; i < asked.n && rc == 0; i++) {
        rc = answer(client, message_number(&asked, i), message_entry(&asked, i)[0],
                    message, err);
    }
    return rc;
}

int secagg_client_reveal(struct secagg_client *client, const void *ask, size_t len,
                         struct buf *ret_message, struct error *err)
{
    int rc = begin_step(client, STEP_REVEAL, ret_message, err);
    if (rc == 0) {
        rc = reveal(client, ask, len, ret_message, err);
    }
    rc = end_step(client, rc, ret_message, err);
    wipe(client); /* nothing more will be asked */
    return rc;
}
