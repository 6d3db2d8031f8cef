/* What every keyed stream of the engine was read for: base/crypto.h's streams, watched
 * from outside through the linker's --wrap. */
#ifndef PPT_TESTS_AUDIT_DRAWS_H
#define PPT_TESTS_AUDIT_DRAWS_H

#include <stdint.h>

#include "base/crypto.h"

/* One stream from its making to its end. */
struct draws_stream {
    unsigned char key[CRYPTO_KEY_SIZE];
    uint64_t n_bytes, n_calls;
    uint64_t digest; /* of all seeks and lengths, in order */
};

enum { DRAWS_MAX = 64 };

struct draws {
    int n;
    struct draws_stream streams[DRAWS_MAX];
};

/* Forgets what was seen; between two runs. */
void draws_begin(void);

/* Streams that have ended since, in the order of their keys; those keyed by a rank's
 * sampling key (key with the rank xored into its first byte) are left out: what they
 * are read for is the sample. */
struct draws draws_of_noise(const unsigned char sampling_key[CRYPTO_KEY_SIZE],
                            int n_ranks);

#endif
