/* AES-256-CTR's key stream by the CPU's wide AES instructions (VAES, 256 bits at once),
 * about twice as fast as OpenSSL 3.0's narrow ones. Bit for bit OpenSSL's; where the
 * CPU has none, OpenSSL makes it. Behind crypto.h; private to this room.
 *
 * Time depends on nothing but n_blocks: no tables, no branches on keys. */
#ifndef PPT_BASE_KEYSTREAM_H
#define PPT_BASE_KEYSTREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KEYSTREAM_BLOCK = 16, KEYSTREAM_ROUNDS = 14 };

/* The key of each round, twice: for two blocks side by side. A
 * secret: the caller wipes it. */
struct keystream {
    unsigned char round_key[KEYSTREAM_ROUNDS + 1][2 * KEYSTREAM_BLOCK];
};

/* Whether this CPU and this system have the instructions; else call nothing below. */
bool keystream_is_there(void);

/* FIPS 197's key schedule of it, section 5.2. */
void keystream_set_key(struct keystream *keystream, const unsigned char key[32]);

/* ret[16 n_blocks]: the encryption of the counters high * 2^64 + low, + 1, ... as
 * big-endian numbers modulo 2^128 (NIST SP 800-38A, 6.5). */
void keystream_blocks(const struct keystream *keystream, uint64_t high, uint64_t low,
                      size_t n_blocks, unsigned char *ret);

#endif
