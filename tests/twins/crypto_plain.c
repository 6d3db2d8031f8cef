/* base/crypto.h's streams without OpenSSL, for programs that must build where there is
 * only a CUDA toolkit: a mixer (splitmix64), as fast as AES-256-CTR in hardware and not
 * secret at all. And the device's ChaCha20 on the host, as its definition (RFC 8439)
 * has it. */
#include "tests/twins/engine.h"

#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"

struct crypto_stream {
    uint64_t key, high, byte;
};

static uint64_t mix(uint64_t z)
{
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

struct crypto_stream *crypto_stream_new(const unsigned char key[CRYPTO_KEY_SIZE])
{
    struct crypto_stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL) {
        abort();
    }
    memcpy(&stream->key, key, sizeof stream->key);
    return stream;
}

void crypto_stream_free(struct crypto_stream *stream)
{
    free(stream);
}

void crypto_stream_seek(struct crypto_stream *stream, uint64_t high, uint64_t low)
{
    stream->high = mix(stream->key + mix(high + 1));
    stream->byte = 16 * low;
}

void crypto_stream_read(struct crypto_stream *stream, void *ret, size_t len)
{
    unsigned char *bytes = ret;
    uint64_t word = 0;
    for (size_t i = 0; i < len; i++) {
        uint64_t at = stream->byte + i;
        if (i == 0 || at % 8 == 0) {
            word = mix(stream->high + at / 8 * 0x9e3779b97f4a7c15u);
        }
        bytes[i] = (unsigned char)(word >> 8 * (at % 8));
    }
    stream->byte += len;
}

void crypto_wipe(void *secret, size_t len)
{
    memset(secret, 0, len);
    __asm__ volatile("" : : "r"(secret) : "memory");
}

static uint32_t rotate(uint32_t x, int n)
{
    return x << n | x >> (32 - n);
}

static void quarter(uint32_t x[16], int a, int b, int c, int d)
{
    x[a] += x[b], x[d] = rotate(x[d] ^ x[a], 16);
    x[c] += x[d], x[b] = rotate(x[b] ^ x[c], 12);
    x[a] += x[b], x[d] = rotate(x[d] ^ x[a], 8);
    x[c] += x[d], x[b] = rotate(x[b] ^ x[c], 7);
}

void engine_random_words(const uint8_t key[32], uint32_t stream, uint64_t step,
                         int64_t n, uint64_t *words)
{
    uint32_t start[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574}, x[16];
    memcpy(start + 4, key, 32);
    start[13] = stream, start[14] = (uint32_t)step, start[15] = (uint32_t)(step >> 32);
    for (int64_t at = 0; at < n; at += 8) {
        start[12] = (uint32_t)(at / 8);
        memcpy(x, start, sizeof x);
        for (int round = 0; round < 10; round++) {
            for (int i = 0; i < 4; i++) {
                quarter(x, i, 4 + i, 8 + i, 12 + i);
            }
            for (int i = 0; i < 4; i++) {
                quarter(x, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4);
            }
        }
        for (int i = 0; i < 16; i++) {
            x[i] += start[i];
        }
        int64_t left = n - at;
        memcpy(words + at, x, (size_t)(left < 8 ? left : 8) * sizeof *words);
    }
}
