#include "worker/seal.h"

#include <assert.h>
#include <string.h>

const struct seal_limits seal_limits = {.n_records = UINT64_C(1) << 24,
                                        .n_bytes = UINT64_C(1) << 36};

static const char hello_name[8] = {'p', 'p', 't', ' ', 's', 'e', 'a', '1'};

static void store_be(unsigned char *to, uint64_t value, int n_bytes)
{
    for (int i = n_bytes - 1; i >= 0; i--) {
        to[i] = (unsigned char)(value & 255);
        value >>= 8;
    }
}

static void derive(const unsigned char chain[CRYPTO_KEY_SIZE], const char *use,
                   unsigned char ret_key[CRYPTO_KEY_SIZE])
{
    crypto_hkdf("", 0, chain, CRYPTO_KEY_SIZE, use, strlen(use), ret_key,
                CRYPTO_KEY_SIZE);
}

/* The chain's key is never used on records itself. */
static void use_chain(struct seal_way *way)
{
    unsigned char key[CRYPTO_KEY_SIZE];
    derive(way->chain, "ppt seal records", key);
    crypto_aead_free(way->aead);
    way->aead = crypto_aead_new(key);
    way->left = way->limits;
    crypto_wipe(key, sizeof key);
}

void seal_way_open(struct seal_way *way, const unsigned char key[CRYPTO_KEY_SIZE],
                   const struct seal_limits *limits)
{
    assert(limits->n_records > 0);
    *way = (struct seal_way){.limits = *limits};
    memcpy(way->chain, key, sizeof way->chain);
    use_chain(way);
}

void seal_way_close(struct seal_way *way)
{
    crypto_aead_free(way->aead);
    crypto_wipe(way, sizeof *way);
    way->is_broken = true;
}

/* Both ends count alike, so both change the key before the same record. */
static void take(struct seal_way *way, size_t len)
{
    assert(way->number < UINT64_MAX);
    bool is_fresh = way->left.n_records == way->limits.n_records;
    if (way->left.n_records == 0 || (way->left.n_bytes < len && !is_fresh)) {
        unsigned char next[CRYPTO_KEY_SIZE];
        derive(way->chain, "ppt seal next key", next);
        memcpy(way->chain, next, sizeof next);
        crypto_wipe(next, sizeof next);
        use_chain(way);
    }
    way->left.n_records--;
    way->left.n_bytes -= way->left.n_bytes < len ? way->left.n_bytes : len;
}

static void make_header(const struct seal_way *way, size_t len,
                        unsigned char ret_header[SEAL_HEADER_SIZE],
                        unsigned char ret_nonce[CRYPTO_NONCE_SIZE])
{
    store_be(ret_header, way->number, 8);
    store_be(ret_header + 8, len, 4);
    store_be(ret_nonce, 0, 4);
    store_be(ret_nonce + 4, way->number, 8);
}

void seal_write(struct seal_way *way, const void *plain, size_t len, void *ret_record)
{
    unsigned char nonce[CRYPTO_NONCE_SIZE], *record = ret_record;
    assert(len <= SEAL_MAX_BYTES && way->aead != NULL);
    take(way, len);
    make_header(way, len, record, nonce);
    crypto_aead_seal(way->aead, nonce, record, SEAL_HEADER_SIZE, plain, len,
                     record + SEAL_HEADER_SIZE, record + SEAL_HEADER_SIZE + len);
    way->number++;
}

int seal_read(struct seal_way *way, const void *record, size_t record_len,
              void *ret_plain, size_t len, struct error *err)
{
    unsigned char header[SEAL_HEADER_SIZE], nonce[CRYPTO_NONCE_SIZE];
    const unsigned char *at = record;
    if (way->is_broken)
        return error_set(err, PPT_ETRUST, "a sealed channel is closed");
    way->is_broken = true;
    if (len > SEAL_MAX_BYTES || record_len != len + SEAL_OVERHEAD)
        return error_set(err, PPT_ETRUST,
                         "a sealed message has %zu bytes and should have %zu",
                         record_len, len + SEAL_OVERHEAD);
    make_header(way, len, header, nonce);
    if (memcmp(header, at, sizeof header) != 0)
        return error_set(err, PPT_ETRUST, "a sealed message is not the next one");
    take(way, len);
    if (!crypto_aead_open(way->aead, nonce, header, sizeof header,
                          at + SEAL_HEADER_SIZE, len, at + SEAL_HEADER_SIZE + len,
                          ret_plain))
        return error_set(err, PPT_ETRUST, "a sealed message was changed on its way");
    way->number++;
    way->is_broken = false;
    return 0;
}

static void make_hello(int from, int to, const unsigned char key[CRYPTO_KEY_SIZE],
                       unsigned char ret_hello[SEAL_HELLO_SIZE])
{
    memcpy(ret_hello, hello_name, sizeof hello_name);
    store_be(ret_hello + 8, (uint64_t)from, 4);
    store_be(ret_hello + 12, (uint64_t)to, 4);
    memcpy(ret_hello + 16, key, CRYPTO_KEY_SIZE);
}

void seal_hello(struct seal_handshake *handshake, const struct seal_context *context,
                const struct seal_identity *identity, int rank, int peer,
                const unsigned char peer_identity[CRYPTO_KEY_SIZE],
                unsigned char ret_hello[SEAL_HELLO_SIZE])
{
    assert(rank != peer && rank >= 0 && peer >= 0);
    *handshake = (struct seal_handshake){
        .context = context, .identity = identity, .rank = rank, .peer = peer};
    memcpy(handshake->peer_identity, peer_identity, CRYPTO_KEY_SIZE);
    crypto_random(handshake->secret, sizeof handshake->secret);
    crypto_exchange_public(handshake->secret, handshake->public_key);
    make_hello(rank, peer, handshake->public_key, ret_hello);
}

/* Each field has a fixed size, so no two contexts hash alike. */
static void hash_transcript(struct seal_handshake *handshake)
{
    const struct seal_context *context = handshake->context;
    const bool is_low = handshake->rank < handshake->peer;
    unsigned char text[8 + 16 + 8 + 8 + 3 * 4 + 4 * CRYPTO_KEY_SIZE] = {0};
    unsigned char *mine = text + 52 + (is_low ? 0 : 2 * CRYPTO_KEY_SIZE);
    unsigned char *theirs = text + 52 + (is_low ? 2 * CRYPTO_KEY_SIZE : 0);
    size_t name_len = strlen(context->channel);
    assert(name_len < 16);
    memcpy(text, hello_name, sizeof hello_name);
    memcpy(text + 8, context->channel, name_len);
    store_be(text + 24, (uint64_t)context->job_id, 8);
    store_be(text + 32, (uint64_t)context->attempt, 8);
    store_be(text + 40, (uint64_t)context->size, 4);
    store_be(text + 44, (uint64_t)(is_low ? handshake->rank : handshake->peer), 4);
    store_be(text + 48, (uint64_t)(is_low ? handshake->peer : handshake->rank), 4);
    memcpy(mine, handshake->identity->public_key, CRYPTO_KEY_SIZE);
    memcpy(mine + CRYPTO_KEY_SIZE, handshake->public_key, CRYPTO_KEY_SIZE);
    memcpy(theirs, handshake->peer_identity, CRYPTO_KEY_SIZE);
    memcpy(theirs + CRYPTO_KEY_SIZE, handshake->peer_key, CRYPTO_KEY_SIZE);
    crypto_sha256(text, sizeof text, handshake->transcript);
}

/* What `signer` signs: its rank keeps a proof from being sent back to its maker. */
static void make_claim(const struct seal_handshake *handshake, int signer,
                       unsigned char ret_claim[16 + 4 + CRYPTO_SHA256_SIZE])
{
    memcpy(ret_claim, "ppt seal proof \0", 16);
    store_be(ret_claim + 16, (uint64_t)signer, 4);
    memcpy(ret_claim + 20, handshake->transcript, CRYPTO_SHA256_SIZE);
}

int seal_prove(struct seal_handshake *handshake, const void *hello, size_t hello_len,
               unsigned char ret_proof[SEAL_PROOF_SIZE], struct error *err)
{
    unsigned char expected[SEAL_HELLO_SIZE], claim[16 + 4 + CRYPTO_SHA256_SIZE];
    const unsigned char *at = hello;
    if (hello_len != SEAL_HELLO_SIZE)
        return error_set(err, PPT_ETRUST, "rank %d's greeting has %zu bytes",
                         handshake->peer, hello_len);
    make_hello(handshake->peer, handshake->rank, at + 16, expected);
    if (memcmp(expected, at, sizeof expected) != 0)
        return error_set(err, PPT_ETRUST,
                         "a greeting is not from rank %d to rank %d of this version",
                         handshake->peer, handshake->rank);
    memcpy(handshake->peer_key, at + 16, CRYPTO_KEY_SIZE);
    hash_transcript(handshake);
    make_claim(handshake, handshake->rank, claim);
    crypto_sign(handshake->identity->secret, claim, sizeof claim, ret_proof);
    return 0;
}

static void open_way(const struct seal_handshake *handshake,
                     const unsigned char shared[CRYPTO_KEY_SIZE], bool is_upwards,
                     const struct seal_limits *limits, struct seal_way *way)
{
    const char *use = is_upwards ? "ppt seal low to high" : "ppt seal high to low";
    unsigned char key[CRYPTO_KEY_SIZE];
    crypto_hkdf(handshake->transcript, sizeof handshake->transcript, shared,
                CRYPTO_KEY_SIZE, use, strlen(use), key, sizeof key);
    seal_way_open(way, key, limits);
    crypto_wipe(key, sizeof key);
}

int seal_finish(struct seal_handshake *handshake, const void *proof, size_t proof_len,
                const struct seal_limits *limits, struct seal_way *ret_out,
                struct seal_way *ret_in, struct error *err)
{
    unsigned char claim[16 + 4 + CRYPTO_SHA256_SIZE], shared[CRYPTO_KEY_SIZE];
    const bool is_low = handshake->rank < handshake->peer;
    make_claim(handshake, handshake->peer, claim);
    if (proof_len != SEAL_PROOF_SIZE ||
        !crypto_verify(handshake->peer_identity, claim, sizeof claim, proof))
        return error_set(err, PPT_ETRUST,
                         "rank %d could not prove to rank %d that it is the one that "
                         "the launcher named",
                         handshake->peer, handshake->rank);
    if (!crypto_exchange(handshake->secret, handshake->peer_key, shared))
        return error_set(err, PPT_ETRUST, "rank %d sent a weak key", handshake->peer);
    open_way(handshake, shared, is_low, limits, ret_out);
    open_way(handshake, shared, !is_low, limits, ret_in);
    crypto_wipe(shared, sizeof shared);
    return 0;
}

void seal_handshake_end(struct seal_handshake *handshake)
{
    crypto_wipe(handshake, sizeof *handshake);
}
