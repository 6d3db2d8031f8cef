#include "base/crypto.h"

#include <errno.h>
#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/keystream.h"

static void require(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "ppt: cryptography failed: %s\n", what);
        abort();
    }
}

void crypto_random(void *ret, size_t len)
{
    unsigned char *at = ret;
    while (len > 0) {
        ssize_t got = getrandom(at, len, 0);
        if (got < 0 && errno == EINTR)
            continue;
        require(got > 0, "getrandom");
        at += got;
        len -= (size_t)got;
    }
}

void crypto_wipe(void *secret, size_t len)
{
    OPENSSL_cleanse(secret, len);
}

bool crypto_equal(const void *a, const void *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}

void crypto_sha256(const void *data, size_t len,
                   unsigned char ret_digest[CRYPTO_SHA256_SIZE])
{
    require(EVP_Digest(data, len, ret_digest, NULL, EVP_sha256(), NULL) == 1,
            "SHA-256");
}

void crypto_hex(const unsigned char digest[CRYPTO_SHA256_SIZE],
                char ret_hex[CRYPTO_HEX_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < CRYPTO_SHA256_SIZE; i++) {
        ret_hex[2 * i] = digits[digest[i] >> 4];
        ret_hex[2 * i + 1] = digits[digest[i] & 15];
    }
    ret_hex[2 * CRYPTO_SHA256_SIZE] = '\0';
}

void crypto_sha256_hex(const void *data, size_t len, char ret_hex[CRYPTO_HEX_SIZE])
{
    unsigned char digest[CRYPTO_SHA256_SIZE];
    crypto_sha256(data, len, digest);
    crypto_hex(digest, ret_hex);
}

static EVP_PKEY *secret_key(int type, const unsigned char secret[CRYPTO_KEY_SIZE])
{
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(type, NULL, secret, CRYPTO_KEY_SIZE);
    require(key != NULL, "secret key");
    return key;
}

static void public_of(const EVP_PKEY *key, unsigned char ret_public[CRYPTO_KEY_SIZE])
{
    size_t len = CRYPTO_KEY_SIZE;
    require(EVP_PKEY_get_raw_public_key(key, ret_public, &len) == 1, "public key");
}

static void public_of_secret(int type, const unsigned char secret[CRYPTO_KEY_SIZE],
                             unsigned char ret_public[CRYPTO_KEY_SIZE])
{
    EVP_PKEY *key = secret_key(type, secret);
    public_of(key, ret_public);
    EVP_PKEY_free(key);
}

void crypto_sign_keypair(unsigned char ret_secret[CRYPTO_KEY_SIZE],
                         unsigned char ret_public[CRYPTO_KEY_SIZE])
{
    crypto_random(ret_secret, CRYPTO_KEY_SIZE);
    crypto_sign_public(ret_secret, ret_public);
}

void crypto_sign_public(const unsigned char secret[CRYPTO_KEY_SIZE],
                        unsigned char ret_public[CRYPTO_KEY_SIZE])
{
    public_of_secret(EVP_PKEY_ED25519, secret, ret_public);
}

struct crypto_signer {
    EVP_PKEY *key;
};

struct crypto_signer *crypto_signer_new(const unsigned char secret[CRYPTO_KEY_SIZE])
{
    struct crypto_signer *signer = malloc(sizeof *signer);
    require(signer != NULL, "memory");
    signer->key = secret_key(EVP_PKEY_ED25519, secret);
    return signer;
}

void crypto_signer_free(struct crypto_signer *signer)
{
    if (signer == NULL)
        return;
    EVP_PKEY_free(signer->key); /* OpenSSL wipes the key */
    free(signer);
}

void crypto_signer_public(const struct crypto_signer *signer,
                          unsigned char ret_public[CRYPTO_KEY_SIZE])
{
    public_of(signer->key, ret_public);
}

void crypto_signer_sign(const struct crypto_signer *signer, const void *data,
                        size_t len, unsigned char ret_signature[CRYPTO_SIGNATURE_SIZE])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t size = CRYPTO_SIGNATURE_SIZE;
    require(ctx != NULL &&
                EVP_DigestSignInit(ctx, NULL, NULL, NULL, signer->key) == 1 &&
                EVP_DigestSign(ctx, ret_signature, &size, data, len) == 1,
            "Ed25519 signature");
    EVP_MD_CTX_free(ctx);
}

void crypto_sign(const unsigned char secret[CRYPTO_KEY_SIZE], const void *data,
                 size_t len, unsigned char ret_signature[CRYPTO_SIGNATURE_SIZE])
{
    struct crypto_signer *signer = crypto_signer_new(secret);
    crypto_signer_sign(signer, data, len, ret_signature);
    crypto_signer_free(signer);
}

bool crypto_verify(const unsigned char public_key[CRYPTO_KEY_SIZE], const void *data,
                   size_t len, const unsigned char signature[CRYPTO_SIGNATURE_SIZE])
{
    /* Bytes that are no curve point give no key or no valid signature: both false. */
    EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key,
                                                CRYPTO_KEY_SIZE);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    require(ctx != NULL, "memory");
    bool ok = key != NULL && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1 &&
              EVP_DigestVerify(ctx, signature, CRYPTO_SIGNATURE_SIZE, data, len) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    return ok;
}

void crypto_exchange_public(const unsigned char secret[CRYPTO_KEY_SIZE],
                            unsigned char ret_public[CRYPTO_KEY_SIZE])
{
    public_of_secret(EVP_PKEY_X25519, secret, ret_public);
}

struct crypto_exchanger {
    EVP_PKEY *mine;
    EVP_PKEY_CTX *ctx;
};

struct crypto_exchanger *
crypto_exchanger_new(const unsigned char secret[CRYPTO_KEY_SIZE])
{
    struct crypto_exchanger *exchanger = malloc(sizeof *exchanger);
    require(exchanger != NULL, "memory");
    exchanger->mine = secret_key(EVP_PKEY_X25519, secret);
    exchanger->ctx = EVP_PKEY_CTX_new(exchanger->mine, NULL);
    require(exchanger->ctx != NULL && EVP_PKEY_derive_init(exchanger->ctx) == 1,
            "X25519");
    return exchanger;
}

void crypto_exchanger_free(struct crypto_exchanger *exchanger)
{
    if (exchanger == NULL)
        return;
    EVP_PKEY_CTX_free(exchanger->ctx);
    EVP_PKEY_free(exchanger->mine); /* OpenSSL wipes the key */
    free(exchanger);
}

void crypto_exchanger_public(const struct crypto_exchanger *exchanger,
                             unsigned char ret_public[CRYPTO_KEY_SIZE])
{
    public_of(exchanger->mine, ret_public);
}

bool crypto_exchanger_derive(struct crypto_exchanger *exchanger,
                             const unsigned char their_public[CRYPTO_KEY_SIZE],
                             unsigned char ret_shared[CRYPTO_KEY_SIZE])
{
    EVP_PKEY *theirs = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, their_public,
                                                   CRYPTO_KEY_SIZE);
    size_t len = CRYPTO_KEY_SIZE;
    /* Without validation, which would be the exchange itself once more. */
    require(theirs != NULL &&
                EVP_PKEY_derive_set_peer_ex(exchanger->ctx, theirs, 0) == 1,
            "X25519");
    /* OpenSSL refuses a shared secret of zeros (RFC 7748, section 6.1). */
    bool ok = EVP_PKEY_derive(exchanger->ctx, ret_shared, &len) == 1 &&
              len == CRYPTO_KEY_SIZE;
    EVP_PKEY_free(theirs);
    if (!ok)
        crypto_wipe(ret_shared, CRYPTO_KEY_SIZE);
    return ok;
}

bool crypto_exchange(const unsigned char secret[CRYPTO_KEY_SIZE],
                     const unsigned char their_public[CRYPTO_KEY_SIZE],
                     unsigned char ret_shared[CRYPTO_KEY_SIZE])
{
    struct crypto_exchanger *exchanger = crypto_exchanger_new(secret);
    bool ok = crypto_exchanger_derive(exchanger, their_public, ret_shared);
    crypto_exchanger_free(exchanger);
    return ok;
}

/* Looked up by name once: that takes longer than the derivation. */
static EVP_KDF *hkdf;
static pthread_once_t hkdf_once = PTHREAD_ONCE_INIT;

static void find_hkdf(void)
{
    hkdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
}

void crypto_hkdf(const void *salt, size_t salt_len, const void *secret,
                 size_t secret_len, const void *info, size_t info_len, void *ret,
                 size_t len)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, "SHA256", 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)salt, salt_len),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)secret,
                                          secret_len),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)info, info_len),
        OSSL_PARAM_construct_end()};
    require(pthread_once(&hkdf_once, find_hkdf) == 0 && hkdf != NULL, "HKDF");
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(hkdf);
    require(ctx != NULL && EVP_KDF_derive(ctx, ret, len, params) == 1, "HKDF");
    EVP_KDF_CTX_free(ctx); /* OpenSSL wipes the secret */
}

struct crypto_aead {
    EVP_CIPHER_CTX *seal, *open;
};

struct crypto_aead *crypto_aead_new(const unsigned char key[CRYPTO_KEY_SIZE])
{
    struct crypto_aead *aead = malloc(sizeof *aead);
    require(aead != NULL, "memory");
    aead->seal = EVP_CIPHER_CTX_new();
    aead->open = EVP_CIPHER_CTX_new();
    require(aead->seal != NULL && aead->open != NULL &&
                EVP_EncryptInit_ex(aead->seal, EVP_aes_256_gcm(), NULL, key, NULL) ==
                    1 &&
                EVP_DecryptInit_ex(aead->open, EVP_aes_256_gcm(), NULL, key, NULL) == 1,
            "AES-256-GCM");
    return aead;
}

void crypto_aead_free(struct crypto_aead *aead)
{
    if (aead == NULL)
        return;
    EVP_CIPHER_CTX_free(aead->seal); /* OpenSSL wipes the key schedules */
    EVP_CIPHER_CTX_free(aead->open);
    free(aead);
}

void crypto_aead_seal(struct crypto_aead *aead,
                      const unsigned char nonce[CRYPTO_NONCE_SIZE], const void *ad,
                      size_t ad_len, const void *plain, size_t len, void *ret_cipher,
                      unsigned char ret_tag[CRYPTO_TAG_SIZE])
{
    unsigned char rest[CRYPTO_TAG_SIZE];
    int n = 0;
    require(len <= INT_MAX && ad_len <= INT_MAX, "AES-256-GCM lengths");
    require(EVP_EncryptInit_ex(aead->seal, NULL, NULL, NULL, nonce) == 1 &&
                EVP_EncryptUpdate(aead->seal, NULL, &n, ad, (int)ad_len) == 1 &&
                EVP_EncryptUpdate(aead->seal, ret_cipher, &n, plain, (int)len) == 1 &&
                EVP_EncryptFinal_ex(aead->seal, rest, &n) == 1 &&
                EVP_CIPHER_CTX_ctrl(aead->seal, EVP_CTRL_GCM_GET_TAG, CRYPTO_TAG_SIZE,
                                    ret_tag) == 1,
            "AES-256-GCM seal");
}

bool crypto_aead_open(struct crypto_aead *aead,
                      const unsigned char nonce[CRYPTO_NONCE_SIZE], const void *ad,
                      size_t ad_len, const void *cipher, size_t len,
                      const unsigned char tag[CRYPTO_TAG_SIZE], void *ret_plain)
{
    unsigned char expected[CRYPTO_TAG_SIZE], rest[CRYPTO_TAG_SIZE];
    int n = 0;
    require(len <= INT_MAX && ad_len <= INT_MAX, "AES-256-GCM lengths");
    memcpy(expected, tag, sizeof expected);
    require(EVP_DecryptInit_ex(aead->open, NULL, NULL, NULL, nonce) == 1 &&
                EVP_DecryptUpdate(aead->open, NULL, &n, ad, (int)ad_len) == 1 &&
                EVP_DecryptUpdate(aead->open, ret_plain, &n, cipher, (int)len) == 1 &&
                EVP_CIPHER_CTX_ctrl(aead->open, EVP_CTRL_GCM_SET_TAG, CRYPTO_TAG_SIZE,
                                    expected) == 1,
            "AES-256-GCM open");
    bool ok = EVP_DecryptFinal_ex(aead->open, rest, &n) == 1;
    if (!ok)
        crypto_wipe(ret_plain, len);
    return ok;
}

struct crypto_stream {
    EVP_CIPHER_CTX *ctx; /* NULL: made by `wide`, and what follows is used */
    struct keystream wide;
    uint64_t high, low; /* the next block */
    unsigned char rest[KEYSTREAM_BLOCK];
    size_t n_rest; /* of rest, the last so many bytes are not handed out yet */
};

struct crypto_stream *crypto_stream_new_narrow(const unsigned char key[CRYPTO_KEY_SIZE])
{
    struct crypto_stream *stream = calloc(1, sizeof *stream);
    require(stream != NULL, "memory");
    stream->ctx = EVP_CIPHER_CTX_new();
    require(stream->ctx != NULL && EVP_EncryptInit_ex(stream->ctx, EVP_aes_256_ctr(),
                                                      NULL, key, NULL) == 1,
            "AES-256-CTR");
    crypto_stream_seek(stream, 0, 0);
    return stream;
}

struct crypto_stream *crypto_stream_new(const unsigned char key[CRYPTO_KEY_SIZE])
{
    if (!keystream_is_there()) {
        return crypto_stream_new_narrow(key);
    }
    struct crypto_stream *stream = calloc(1, sizeof *stream);
    require(stream != NULL, "memory");
    keystream_set_key(&stream->wide, key);
    return stream;
}

void crypto_stream_free(struct crypto_stream *stream)
{
    if (stream == NULL)
        return;
    EVP_CIPHER_CTX_free(stream->ctx); /* OpenSSL wipes the key schedule */
    crypto_wipe(stream, sizeof *stream);
    free(stream);
}

static void store_be64(unsigned char *to, uint64_t value)
{
    for (int i = 7; i >= 0; i--) {
        to[i] = (unsigned char)(value & 255);
        value >>= 8;
    }
}

void crypto_stream_seek(struct crypto_stream *stream, uint64_t high, uint64_t low)
{
    unsigned char counter[16];
    stream->high = high;
    stream->low = low;
    stream->n_rest = 0;
    if (stream->ctx == NULL) {
        return;
    }
    store_be64(counter, high);
    store_be64(counter + 8, low);
    require(EVP_EncryptInit_ex(stream->ctx, NULL, NULL, NULL, counter) == 1,
            "AES-256-CTR counter");
}

static void read_blocks(struct crypto_stream *stream, size_t n, unsigned char *ret)
{
    keystream_blocks(&stream->wide, stream->high, stream->low, n, ret);
    stream->low += n;
    stream->high += stream->low < n;
}

static void read_wide(struct crypto_stream *stream, unsigned char *at, size_t len)
{
    size_t first = len < stream->n_rest ? len : stream->n_rest;
    size_t n = (len - first) / KEYSTREAM_BLOCK, last = (len - first) % KEYSTREAM_BLOCK;
    memcpy(at, stream->rest + KEYSTREAM_BLOCK - stream->n_rest, first);
    stream->n_rest -= first;
    read_blocks(stream, n, at + first);
    if (last > 0) {
        read_blocks(stream, 1, stream->rest);
        memcpy(at + len - last, stream->rest, last);
        stream->n_rest = KEYSTREAM_BLOCK - last;
    }
}

void crypto_stream_read(struct crypto_stream *stream, void *ret, size_t len)
{
    /* The key stream is the encryption of zeros: of the same few, which stay in the
     * first-level cache. */
    static const unsigned char zeros[8192];
    unsigned char *at = ret;
    if (stream->ctx == NULL) {
        read_wide(stream, at, len);
        return;
    }
    while (len > 0) {
        int chunk = len > sizeof zeros ? (int)sizeof zeros : (int)len, written = 0;
        require(EVP_EncryptUpdate(stream->ctx, at, &written, zeros, chunk) == 1 &&
                    written == chunk,
                "AES-256-CTR stream");
        at += chunk;
        len -= (size_t)chunk;
    }
}
