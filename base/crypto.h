/* OpenSSL's door: the cryptography every room uses, and nothing that it does not.
 *
 * Guarantees: random bytes come from the operating system; comparison takes the same
 * time whatever the bytes; wiped memory is wiped. A failure of OpenSSL itself aborts
 * the program: no caller could go on safely. May leak: lengths.
 */
#ifndef PPT_BASE_CRYPTO_H
#define PPT_BASE_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

#define CRYPTO_SHA256_SIZE 32
#define CRYPTO_HEX_SIZE 65
#define CRYPTO_KEY_SIZE 32
#define CRYPTO_SIGNATURE_SIZE 64
#define CRYPTO_NONCE_SIZE 12
#define CRYPTO_TAG_SIZE 16

/* len bytes from the operating system's generator. */
void crypto_random(void *ret, size_t len);

/* Overwrites memory that held a secret; never optimised away. */
void crypto_wipe(void *secret, size_t len);

/* True if equal, in time that depends on len only. */
bool crypto_equal(const void *a, const void *b, size_t len);

/* FIPS 180-4. */
void crypto_sha256(const void *data, size_t len,
                   unsigned char ret_digest[CRYPTO_SHA256_SIZE]);

/* Lower-case hexadecimal of a digest, NUL-terminated. */
void crypto_hex(const unsigned char digest[CRYPTO_SHA256_SIZE],
                char ret_hex[CRYPTO_HEX_SIZE]);

/* crypto_sha256 and crypto_hex in one. */
void crypto_sha256_hex(const void *data, size_t len, char ret_hex[CRYPTO_HEX_SIZE]);

/* Ed25519 (RFC 8032). A secret key is its 32-byte seed. */
void crypto_sign_keypair(unsigned char ret_secret[CRYPTO_KEY_SIZE],
                         unsigned char ret_public[CRYPTO_KEY_SIZE]);
void crypto_sign_public(const unsigned char secret[CRYPTO_KEY_SIZE],
                        unsigned char ret_public[CRYPTO_KEY_SIZE]);
void crypto_sign(const unsigned char secret[CRYPTO_KEY_SIZE], const void *data,
                 size_t len, unsigned char ret_signature[CRYPTO_SIGNATURE_SIZE]);
bool crypto_verify(const unsigned char public_key[CRYPTO_KEY_SIZE], const void *data,
                   size_t len, const unsigned char signature[CRYPTO_SIGNATURE_SIZE]);

/* The same signatures with one secret key for many messages, at half the time each.
 * Opaque; free with crypto_signer_free, which wipes the key. */
struct crypto_signer;
struct crypto_signer *crypto_signer_new(const unsigned char secret[CRYPTO_KEY_SIZE]);
void crypto_signer_free(struct crypto_signer *signer);
void crypto_signer_public(const struct crypto_signer *signer,
                          unsigned char ret_public[CRYPTO_KEY_SIZE]);
void crypto_signer_sign(const struct crypto_signer *signer, const void *data,
                        size_t len, unsigned char ret_signature[CRYPTO_SIGNATURE_SIZE]);

/* X25519 (RFC 7748). The public key of a secret one, and the secret that two parties
 * share; false, and the output wiped, where the other's key is of low order. The shared
 * secret is no key yet: derive one by crypto_hkdf. */
void crypto_exchange_public(const unsigned char secret[CRYPTO_KEY_SIZE],
                            unsigned char ret_public[CRYPTO_KEY_SIZE]);
bool crypto_exchange(const unsigned char secret[CRYPTO_KEY_SIZE],
                     const unsigned char their_public[CRYPTO_KEY_SIZE],
                     unsigned char ret_shared[CRYPTO_KEY_SIZE]);

/* The same with one secret key for many peers, at half the time each. Opaque; free with
 * crypto_exchanger_free, which wipes the key. Not thread-safe. */
struct crypto_exchanger;
struct crypto_exchanger *
crypto_exchanger_new(const unsigned char secret[CRYPTO_KEY_SIZE]);
void crypto_exchanger_free(struct crypto_exchanger *exchanger);
void crypto_exchanger_public(const struct crypto_exchanger *exchanger,
                             unsigned char ret_public[CRYPTO_KEY_SIZE]);
bool crypto_exchanger_derive(struct crypto_exchanger *exchanger,
                             const unsigned char their_public[CRYPTO_KEY_SIZE],
                             unsigned char ret_shared[CRYPTO_KEY_SIZE]);

/* HKDF-SHA256 (RFC 5869), extract and expand; len is at most 255 * 32. */
void crypto_hkdf(const void *salt, size_t salt_len, const void *secret,
                 size_t secret_len, const void *info, size_t info_len, void *ret,
                 size_t len);

/* AES-256-GCM (NIST SP 800-38D) under one key. A nonce must never be used twice under a
 * key: that tells the plain text and lets others forge. Opaque; free with
 * crypto_aead_free, which wipes the key. Not thread-safe. */
struct crypto_aead;
struct crypto_aead *crypto_aead_new(const unsigned char key[CRYPTO_KEY_SIZE]);
void crypto_aead_free(struct crypto_aead *aead);

/* len bytes of plain text to as many of cipher text (may be the same memory) and a tag
 * over them and the ad_len bytes of `ad`. len < 2^31. */
void crypto_aead_seal(struct crypto_aead *aead,
                      const unsigned char nonce[CRYPTO_NONCE_SIZE], const void *ad,
                      size_t ad_len, const void *plain, size_t len, void *ret_cipher,
                      unsigned char ret_tag[CRYPTO_TAG_SIZE]);

/* The way back: false, and the output wiped, where the tag does not fit. */
bool crypto_aead_open(struct crypto_aead *aead,
                      const unsigned char nonce[CRYPTO_NONCE_SIZE], const void *ad,
                      size_t ad_len, const void *cipher, size_t len,
                      const unsigned char tag[CRYPTO_TAG_SIZE], void *ret_plain);

/* A keyed stream of random bytes: AES-256-CTR (NIST SP 800-38A) over a 128-bit block
 * counter, so any position can be reached at once. Opaque; free with
 * crypto_stream_free, which wipes the key. Not thread-safe. */
struct crypto_stream;
struct crypto_stream *crypto_stream_new(const unsigned char key[CRYPTO_KEY_SIZE]);
/* The same stream by OpenSSL on every CPU: what the other is tested against. */
struct crypto_stream *
crypto_stream_new_narrow(const unsigned char key[CRYPTO_KEY_SIZE]);
void crypto_stream_free(struct crypto_stream *stream);

/* Moves to block `low` of substream `high` (the counter is high * 2^64 + low; a block
 * is 16 bytes), then crypto_stream_read hands out the key stream from there on. */
void crypto_stream_seek(struct crypto_stream *stream, uint64_t high, uint64_t low);
void crypto_stream_read(struct crypto_stream *stream, void *ret, size_t len);

#endif
