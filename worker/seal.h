/* Sealed channels between two ranks: a handshake, and records that only the other end
 * can have written. No MPI here: comm_sealed moves the bytes.
 *
 * Handshake: each end sends a hello (a fresh X25519 key), then a proof: its Ed25519
 * signature over the hash of the channel's name, job, attempt, number of ranks, both
 * ranks, both identities and both X25519 keys. HKDF-SHA256 over the shared secret,
 * salted with that hash, gives one key a direction (sign-then-derive as in SIGMA,
 * Krawczyk 2003, with both identities signed). Records: AES-256-GCM. The nonce is the
 * record's number, which never repeats under a key. The reader takes the next number
 * and nothing else: no replay, no gap, no other order, not the other direction's
 * records. After 2^24 records or 2^36 bytes both ends move on to a key derived from the
 * old one, which is wiped (at that length the chance to tell AES from random is below
 * 2^-64 a key, NIST SP 800-38D appendix C).
 *
 * Guarantees: against whoever reads, changes, drops, repeats or invents messages
 * between two honest ranks: contents stay secret, also if a rank's memory is read after
 * the job (forward secrecy), and any change ends the job with PPT_ETRUST. Rests on:
 * that the identities are the ranks' own. They come over PMIx (wireup.h), so on the
 * resource manager's server and its own authentication. Whoever controls that, or the
 * kernel or the user account on a node, is not kept out. Leaks: who talks to whom,
 * when, and how much. Does not hide that a job runs, and cannot keep a message from
 * being lost. Not protected: MPI's own headers, which an attacker on the wire could use
 * against the MPI library itself.
 */
#ifndef PPT_WORKER_SEAL_H
#define PPT_WORKER_SEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/crypto.h"
#include "base/error.h"

#define SEAL_MAX_BYTES ((size_t)256 << 10) /* of plain text in one record */
#define SEAL_HEADER_SIZE 12                /* number 8, length 4; big-endian */
#define SEAL_OVERHEAD (SEAL_HEADER_SIZE + CRYPTO_TAG_SIZE)
#define SEAL_HELLO_SIZE 48 /* name 8, from 4, to 4, X25519 key 32 */
#define SEAL_PROOF_SIZE CRYPTO_SIGNATURE_SIZE

/* How much one key may protect. */
struct seal_limits {
    uint64_t n_records, n_bytes;
};
extern const struct seal_limits seal_limits;

/* One direction, at one of its ends. Zero it before seal_way_open. */
struct seal_way {
    unsigned char chain[CRYPTO_KEY_SIZE]; /* the next key comes from it */
    struct crypto_aead *aead;
    struct seal_limits limits, left; /* left: under the present key */
    uint64_t number;                 /* of the next record, from 0 */
    bool is_broken;                  /* a record did not verify: the way is closed */
};

/* Starts with a key that both ends have; seal_way_close wipes it. */
void seal_way_open(struct seal_way *way, const unsigned char key[CRYPTO_KEY_SIZE],
                   const struct seal_limits *limits);
void seal_way_close(struct seal_way *way);

/* len <= SEAL_MAX_BYTES bytes become a record of len + SEAL_OVERHEAD. */
void seal_write(struct seal_way *way, const void *plain, size_t len, void *ret_record);

/* The next record, which must hold just `len` bytes. Errors: PPT_ETRUST (of another
 * length, number or direction, or changed); the way reads no more then, and ret_plain
 * holds nothing of it. */
int seal_read(struct seal_way *way, const void *record, size_t record_len,
              void *ret_plain, size_t len, struct error *err);

/* Who a rank is: an Ed25519 key made for this process. Wipe the secret after use. */
struct seal_identity {
    unsigned char secret[CRYPTO_KEY_SIZE], public_key[CRYPTO_KEY_SIZE];
};

/* What both ends must agree on beforehand. */
struct seal_context {
    const char *channel; /* at most 15 bytes; names one of several */
    int64_t job_id, attempt;
    int size; /* ranks of the job */
};

/* One end of a handshake: seal_hello, seal_prove with the other's hello, seal_finish
 * with its proof. `identity` and `context` stay the caller's and must outlive it. */
struct seal_handshake {
    const struct seal_context *context;
    const struct seal_identity *identity;
    int rank, peer;
    unsigned char peer_identity[CRYPTO_KEY_SIZE];
    unsigned char secret[CRYPTO_KEY_SIZE], public_key[CRYPTO_KEY_SIZE];
    unsigned char peer_key[CRYPTO_KEY_SIZE];
    unsigned char transcript[CRYPTO_SHA256_SIZE];
};

/* Makes the X25519 key and the first message. */
void seal_hello(struct seal_handshake *handshake, const struct seal_context *context,
                const struct seal_identity *identity, int rank, int peer,
                const unsigned char peer_identity[CRYPTO_KEY_SIZE],
                unsigned char ret_hello[SEAL_HELLO_SIZE]);

/* Reads the other's hello and signs. Errors: PPT_ETRUST (no hello from `peer` to
 * `rank`). */
int seal_prove(struct seal_handshake *handshake, const void *hello, size_t hello_len,
               unsigned char ret_proof[SEAL_PROOF_SIZE], struct error *err);

/* Verifies the other's proof and opens both directions. Call seal_handshake_end in any
 * case. Errors: PPT_ETRUST (not signed by the peer's identity, or a weak key). */
int seal_finish(struct seal_handshake *handshake, const void *proof, size_t proof_len,
                const struct seal_limits *limits, struct seal_way *ret_out,
                struct seal_way *ret_in, struct error *err);

/* Wipes the handshake's secrets. */
void seal_handshake_end(struct seal_handshake *handshake);

#endif
