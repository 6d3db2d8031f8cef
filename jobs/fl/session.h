/* One round of secure aggregation as all its parties see it: who takes part, what it is
 * bound to, who is whose neighbour, and the keys that are derived from it.
 *
 * Each party makes a session for itself from what it was told. Its id is a digest of
 * all of that - the job, the round, the model that was handed out, the sizes,
 * everybody's identity key - and goes into every signature, every derived key and every
 * message; so parties that were told different things share nothing that the server
 * could add up: they stop (Pasquini, Francati, Ateniese: Eluding secure aggregation,
 * CCS 2022).
 */
#ifndef PPT_JOBS_FL_SESSION_H
#define PPT_JOBS_FL_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/crypto.h"

#define SESSION_MAX_CLIENTS (1u << 20)

/* What a party is told. Copied but for the roster, which the caller keeps. Nothing here
 * says whether degree, threshold and min_clients are enough: who is told them by a
 * server that may lie compares them with what degree.h finds for its own wishes. */
struct session_terms {
    unsigned char job[CRYPTO_SHA256_SIZE]; /* which federation: its spec's digest */
    unsigned char
        model[CRYPTO_SHA256_SIZE]; /* of the model handed out for this round */
    uint64_t round;             /* below UINT64_MAX; grows; never used twice in a job */
    uint32_t n_clients;         /* of the cohort, numbered from 0 */
    uint32_t degree, threshold; /* jobs/fl/degree.h */
    uint32_t min_clients;       /* of whom fewer survivors release nothing */
    uint32_t n_coords;          /* of everybody's vector */
    int n_bits;                 /* a coordinate is modulo 2^n_bits */
    /* n_clients Ed25519 public keys, registered beforehand by means of trust that are
     * not this protocol's. */
    const unsigned char (*roster)[CRYPTO_KEY_SIZE];
};

struct session {
    struct session_terms terms;
    unsigned char id[CRYPTO_SHA256_SIZE];
    uint32_t *order, *place; /* the circle: who stands at a place, and the way back */
};

/* Close with session_close. Read-only after: parties of one process that were told the
 * same may share it. Errors: PPT_ERANGE (sizes that cannot be), PPT_EPOLICY
 * (cohort_too_small), PPT_ETRUST (key_twice: an identity stands in the roster twice),
 * PPT_ENOMEM. */
int session_open(struct session *session, const struct session_terms *terms,
                 struct error *err);
void session_close(struct session *session);

/* The `degree` neighbours of a client, ascending. */
void session_neighbours(const struct session *session, uint32_t client,
                        uint32_t *ret_neighbours);

/* What an identity key signs of a client's two public keys of this round. */
#define SESSION_SIGNED_SIZE (16 + CRYPTO_SHA256_SIZE + 4 + 2 * CRYPTO_KEY_SIZE)
void session_signed(const struct session *session, uint32_t client,
                    const unsigned char channel_public[CRYPTO_KEY_SIZE],
                    const unsigned char mask_public[CRYPTO_KEY_SIZE],
                    unsigned char ret_text[SESSION_SIGNED_SIZE]);

/* A key of two clients for one purpose, from what they share by X25519: the same for
 * (a, b) and (b, a). And a client's key of its own seed. */
enum session_purpose { SESSION_CHANNEL, SESSION_MASK, SESSION_SELF };
void session_key(const struct session *session, enum session_purpose purpose,
                 uint32_t a, uint32_t b, const unsigned char secret[CRYPTO_KEY_SIZE],
                 unsigned char ret_key[CRYPTO_KEY_SIZE]);

/* vector[n_coords] += (-=) the mask of a key: AES-256-CTR, 32 bits a coordinate. */
void session_mask(const struct session *session, uint32_t *vector, bool is_minus,
                  const unsigned char key[CRYPTO_KEY_SIZE]);

#endif
