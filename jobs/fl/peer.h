/* What a client of secure aggregation keeps of each neighbour, and the sealed things
 * that go between the two. Private to this room.
 */
#ifndef PPT_JOBS_FL_PEER_H
#define PPT_JOBS_FL_PEER_H

#include <stdbool.h>
#include <stdint.h>

#include "jobs/fl/message.h"
#include "jobs/fl/session.h"

/* One way only. */
enum peer_state { PEER_SILENT, PEER_KNOWN, PEER_SHARED, PEER_ASKED };

struct peer {
    uint32_t number;
    enum peer_state state;
    unsigned char mask_public[CRYPTO_KEY_SIZE];
    unsigned char channel_key[CRYPTO_KEY_SIZE];       /* secret, of the two */
    uint64_t share[SHARE_KINDS][MESSAGE_SHARE_WORDS]; /* of the peer's two secrets */
};

/* The pair of shares from client `from` to client `to`, MESSAGE_SEALED_SIZE bytes.
 * peer_open_shares is false, with nothing written, where they are not genuine. */
void peer_seal_shares(const unsigned char channel_key[CRYPTO_KEY_SIZE], uint32_t from,
                      uint32_t to, uint64_t (*shares)[MESSAGE_SHARE_WORDS],
                      unsigned char *ret_sealed);
bool peer_open_shares(const unsigned char channel_key[CRYPTO_KEY_SIZE], uint32_t from,
                      uint32_t to, const unsigned char *sealed,
                      uint64_t (*ret_shares)[MESSAGE_SHARE_WORDS]);

/* The tag by which `from` tells `to` that it was shown these survivors. */
void peer_vouch(const unsigned char channel_key[CRYPTO_KEY_SIZE], uint32_t from,
                uint32_t to, const unsigned char survivors[CRYPTO_SHA256_SIZE],
                unsigned char ret_tag[CRYPTO_TAG_SIZE]);
bool peer_vouched(const unsigned char channel_key[CRYPTO_KEY_SIZE], uint32_t from,
                  uint32_t to, const unsigned char survivors[CRYPTO_SHA256_SIZE],
                  const unsigned char tag[CRYPTO_TAG_SIZE]);

#endif
