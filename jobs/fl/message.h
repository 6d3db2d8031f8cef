/* The messages of secure aggregation as bytes: what each holds, and the bounded reading
 * of those that come from elsewhere.
 *
 * A message is a byte for its kind, the session's id (32), the sender's number (4, the
 * server's is MESSAGE_SERVER) and the body below; integers are little endian. A list is
 * a count (4) and entries of one size that begin with a client's number (4), ascending
 * but in ASK. Private to this room, but for tests.
 *
 *   KEYS       channel key (32), mask key (32), signature (64)
 *   PEERS      list: number, channel key, mask key, signature: the neighbours' keys
 *   SHARES     digest of the own seed (32), list: to, sealed pair of shares (96)
 *   INBOX      list: from, sealed pair of shares
 *   MASKED     n_coords packed coordinates
 *   SURVIVORS  a bit for each client: whose vectors are in the sum
 *   VOUCH      list: to, tag (16) over the survivors
 *   ASK        list: from, tag; then list: of whom, which share (1)
 *   REVEAL     list: of whom, which share (1), share (40)
 */
#ifndef PPT_JOBS_FL_MESSAGE_H
#define PPT_JOBS_FL_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "jobs/fl/session.h"
#include "kernels/field.h"

enum message_kind {
    MESSAGE_KEYS = 1,
    MESSAGE_PEERS,
    MESSAGE_SHARES,
    MESSAGE_INBOX,
    MESSAGE_MASKED,
    MESSAGE_SURVIVORS,
    MESSAGE_VOUCH,
    MESSAGE_ASK,
    MESSAGE_REVEAL
};

/* Which of a client's two secrets: the seed of its own mask, for those who survive; its
 * mask key, for those who have vanished. */
enum message_share { SHARE_SEED, SHARE_MASK_KEY, SHARE_KINDS };

enum {
    MESSAGE_SHARE_WORDS = FIELD_WORDS(CRYPTO_KEY_SIZE),
    MESSAGE_SHARE_SIZE = 8 * MESSAGE_SHARE_WORDS,
    MESSAGE_SEALED_SIZE = SHARE_KINDS * MESSAGE_SHARE_SIZE + CRYPTO_TAG_SIZE,
    /* entries of lists, the number included */
    MESSAGE_KEYS_SIZE = 2 * CRYPTO_KEY_SIZE + CRYPTO_SIGNATURE_SIZE,
    MESSAGE_PEER_ENTRY = 4 + MESSAGE_KEYS_SIZE,
    MESSAGE_SEALED_ENTRY = 4 + MESSAGE_SEALED_SIZE,
    MESSAGE_TAG_ENTRY = 4 + CRYPTO_TAG_SIZE,
    MESSAGE_ASK_ENTRY = 4 + 1,
    MESSAGE_REVEAL_ENTRY = 4 + 1 + MESSAGE_SHARE_SIZE,
    MESSAGE_HEAD_SIZE = 1 + CRYPTO_SHA256_SIZE + 4
};
#define MESSAGE_SERVER UINT32_MAX

/* Writes a head to an emptied buf. */
void message_begin(struct buf *message, enum message_kind kind,
                   const struct session *session, uint32_t sender);

/* Reads a head; the body is then in *ret_body. Errors: PPT_ETRUST malformed (too short,
 * another kind, a sender that is no client nor the server), other_session. */
int message_open(const void *data, size_t len, enum message_kind kind,
                 const struct session *session, uint32_t *ret_sender,
                 struct buf_reader *ret_body, struct error *err);

/* A list of a body, its entries left where they lie. */
struct message_list {
    uint32_t n;
    size_t entry_size;
    const unsigned char *entries;
};

/* Reads one of at most `most` entries, whose numbers are those of clients and, if it
 * must be, ascending. Errors: PPT_ETRUST malformed. */
int message_list(struct buf_reader *body, const struct session *session, uint32_t most,
                 size_t entry_size, bool is_ascending, struct message_list *ret_list,
                 struct error *err);

/* The number of entry i, and its bytes behind the number. */
uint32_t message_number(const struct message_list *list, uint32_t i);
const unsigned char *message_entry(const struct message_list *list, uint32_t i);

/* Nothing may be left of a body. Errors: PPT_ETRUST malformed. */
int message_end(const struct buf_reader *body, struct error *err);

/* A share as bytes and back; false where a word is no element of the field. */
void message_put_share(const uint64_t *share, unsigned char *ret_bytes);
bool message_get_share(const unsigned char *bytes, uint64_t *ret_share);

/* Sets of clients, a bit each. */
size_t message_set_size(const struct session *session);
bool message_set_has(const unsigned char *set, uint32_t client);
void message_set_add(unsigned char *set, uint32_t client);
void message_set_drop(unsigned char *set, uint32_t client);
uint32_t message_set_count(const unsigned char *set, const struct session *session);

#endif
