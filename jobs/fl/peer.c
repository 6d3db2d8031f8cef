#include "jobs/fl/peer.h"

#include <string.h>

enum { PLAIN_SIZE = SHARE_KINDS * MESSAGE_SHARE_SIZE };

/* A channel key is of one session and one pair, and each of the two seals one thing of
 * each kind under it: kind and sender make the nonce. */
enum sealed_kind { SEALED_SHARES = 1, SEALED_VOUCH };

static void make_nonce(enum sealed_kind kind, uint32_t from, uint32_t to,
                       unsigned char ret_nonce[CRYPTO_NONCE_SIZE])
{
    memset(ret_nonce, 0, CRYPTO_NONCE_SIZE);
    ret_nonce[0] = (unsigned char)kind;
    for (int i = 0; i < 4; i++) {
        ret_nonce[1 + i] = (unsigned char)(from >> (8 * i));
        ret_nonce[5 + i] = (unsigned char)(to >> (8 * i));
    }
}

void peer_seal_shares(const unsigned char channel_key[CRYPTO_KEY_SIZE], uint32_t from,
                      uint32_t to, uint64_t (*shares)[MESSAGE_SHARE_WORDS],
                      unsigned char *ret_sealed)
{
    unsigned char plain[PLAIN_SIZE], nonce[CRYPTO_NONCE_SIZE];
    struct crypto_aead *aead = crypto_aead_new(channel_key);
    make_nonce(SEALED_SHARES, from, to, nonce);
    for (int kind = 0; kind < SHARE_KINDS; kind++) {
        message_put_share(shares[kind], plain + kind * MESSAGE_SHARE_SIZE);
    }
    crypto_aead_seal(aead, nonce, NULL, 0, plain, sizeof plain, ret_sealed,
                     ret_sealed + PLAIN_SIZE);
    crypto_wipe(plain, sizeof plain);
    crypto_aead_free(aead);
}

bool peer_open_shares(const unsigned char channel_key[CRYPTO_KEY_SIZE], uint32_t from,
                      uint32_t to, const unsigned char *sealed,
                      uint64_t (*ret_shares)[MESSAGE_SHARE_WORDS])
{
    unsigned char plain[PLAIN_SIZE], nonce[CRYPTO_NONCE_SIZE];
    uint64_t shares[SHARE_KINDS][MESSAGE_SHARE_WORDS];
    struct crypto_aead *aead = crypto_aead_new(channel_key);
    make_nonce(SEALED_SHARES, from, to, nonce);
    bool is_good = crypto_aead_open(aead, nonce, NULL, 0, sealed, sizeof plain,
                                    sealed + PLAIN_SIZE, plain);
    for (int kind = 0; kind < SHARE_KINDS && is_good; kind++) {
        is_good = message_get_share(plain + kind * MESSAGE_SHARE_SIZE, shares[kind]);
    }
    if (is_good) {
        memcpy(ret_shares, shares, sizeof shares);
    }
    crypto_wipe(plain, sizeof plain);
    crypto_wipe(shares, sizeof shares);
    crypto_aead_free(aead);
    return is_good;
}

void peer_vouch(const unsigned char channel_key[CRYPTO_KEY_SIZE], uint32_t from,
                uint32_t to, const unsigned char survivors[CRYPTO_SHA256_SIZE],
                unsigned char ret_tag[CRYPTO_TAG_SIZE])
{
    unsigned char nonce[CRYPTO_NONCE_SIZE], nothing[1] = {0};
    struct crypto_aead *aead = crypto_aead_new(channel_key);
    make_nonce(SEALED_VOUCH, from, to, nonce);
    crypto_aead_seal(aead, nonce, survivors, CRYPTO_SHA256_SIZE, nothing, 0, nothing,
                     ret_tag);
    crypto_aead_free(aead);
}

bool peer_vouched(const unsigned char channel_key[CRYPTO_KEY_SIZE], uint32_t from,
                  uint32_t to, const unsigned char survivors[CRYPTO_SHA256_SIZE],
                  const unsigned char tag[CRYPTO_TAG_SIZE])
{
    unsigned char nonce[CRYPTO_NONCE_SIZE], nothing[1] = {0};
    struct crypto_aead *aead = crypto_aead_new(channel_key);
    make_nonce(SEALED_VOUCH, from, to, nonce);
    bool is_good = crypto_aead_open(aead, nonce, survivors, CRYPTO_SHA256_SIZE, nothing,
                                    0, tag, nothing);
    crypto_aead_free(aead);
    return is_good;
}
