/* What comes over the wire to a sealed channel, against any bytes: the first byte picks
 * a record, a greeting or a proof. A record is taken only if it is the very one that
 * was written, a greeting only if it names the right ranks, a proof never: nobody here
 * has the peer's key.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/seal.h"

#define HOLDS(condition)                                                               \
    do {                                                                               \
        if (!(condition)) {                                                            \
            fprintf(stderr, "does not hold: %s\n", #condition);                        \
            abort();                                                                   \
        }                                                                              \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { PLAIN = 5 };

/* Known keys, so that a seed can hold the right record. */
static void try_record(const uint8_t *data, size_t len)
{
    const unsigned char key[CRYPTO_KEY_SIZE] = {1, 2, 3};
    unsigned char right[PLAIN + SEAL_OVERHEAD], got[PLAIN] = {0};
    struct error err = {0};
    struct seal_way out, in;
    seal_way_open(&out, key, &seal_limits);
    seal_way_open(&in, key, &seal_limits);
    seal_write(&out, "plain", PLAIN, right);
    int rc = seal_read(&in, data, len, got, PLAIN, &err);
    if (len == sizeof right && memcmp(data, right, len) == 0) {
        HOLDS(rc == 0 && memcmp(got, "plain", PLAIN) == 0);
    } else {
        const unsigned char nothing[PLAIN] = {0};
        HOLDS(rc == -PPT_ETRUST && err.code == PPT_ETRUST && in.is_broken);
        HOLDS(memcmp(got, nothing, PLAIN) == 0);
    }
    seal_way_close(&out);
    seal_way_close(&in);
}

static void try_handshake(const uint8_t *data, size_t len, int is_proof)
{
    const struct seal_context context = {"data", 1, 1, 4};
    struct seal_identity mine, peer;
    struct seal_handshake handshake, other;
    struct seal_way out = {0}, in = {0};
    struct error err = {0};
    unsigned char hello[SEAL_HELLO_SIZE], proof[SEAL_PROOF_SIZE];
    crypto_sign_keypair(mine.secret, mine.public_key);
    crypto_sign_keypair(peer.secret, peer.public_key);
    seal_hello(&other, &context, &peer, 3, 2, mine.public_key, hello);
    unsigned char unused[SEAL_HELLO_SIZE];
    seal_hello(&handshake, &context, &mine, 2, 3, peer.public_key, unused);
    if (is_proof) {
        HOLDS(seal_prove(&handshake, hello, sizeof hello, proof, &err) == 0);
        HOLDS(seal_finish(&handshake, data, len, &seal_limits, &out, &in, &err) ==
              -PPT_ETRUST);
        HOLDS(out.aead == NULL && in.aead == NULL);
    } else {
        int rc = seal_prove(&handshake, data, len, proof, &err);
        HOLDS((rc == 0) == (len == sizeof hello && memcmp(data, hello, 16) == 0));
        HOLDS(rc == 0 || rc == -PPT_ETRUST);
    }
    seal_handshake_end(&handshake);
    seal_handshake_end(&other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0)
        return 0;
    if (data[0] % 3 == 0)
        try_record(data + 1, len - 1);
    else
        try_handshake(data + 1, len - 1, data[0] % 3 == 2);
    return 0;
}
