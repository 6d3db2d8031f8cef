#include "tests/audit/draws.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct watched {
    struct crypto_stream *stream;
    struct draws_stream draws;
    bool is_over;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool is_watching;
static struct watched seen[DRAWS_MAX];
static int n_seen;

struct crypto_stream *__real_crypto_stream_new(const unsigned char *key);
void __real_crypto_stream_free(struct crypto_stream *stream);
void __real_crypto_stream_seek(struct crypto_stream *stream, uint64_t high,
                               uint64_t low);
void __real_crypto_stream_read(struct crypto_stream *stream, void *ret, size_t len);
struct crypto_stream *__wrap_crypto_stream_new(const unsigned char *key);
void __wrap_crypto_stream_free(struct crypto_stream *stream);
void __wrap_crypto_stream_seek(struct crypto_stream *stream, uint64_t high,
                               uint64_t low);
void __wrap_crypto_stream_read(struct crypto_stream *stream, void *ret, size_t len);

/* Locked. NULL for a stream that was made before draws_begin. */
static struct watched *find(const struct crypto_stream *stream)
{
    for (int i = 0; i < n_seen; i++) {
        if (seen[i].stream == stream && !seen[i].is_over) {
            return &seen[i];
        }
    }
    return NULL;
}

static void note(struct crypto_stream *stream, char call, uint64_t a, uint64_t b)
{
    pthread_mutex_lock(&lock);
    struct watched *watched = find(stream);
    if (watched != NULL) {
        const uint64_t words[3] = {(uint64_t)call, a, b};
        for (int i = 0; i < 3; i++) { /* FNV-1a on words */
            watched->draws.digest =
                (watched->draws.digest ^ words[i]) * UINT64_C(0x100000001b3);
        }
        watched->draws.n_calls++;
        watched->draws.n_bytes += call == 'r' ? a : 0;
        watched->is_over = call == 'f';
    }
    pthread_mutex_unlock(&lock);
}

struct crypto_stream *__wrap_crypto_stream_new(const unsigned char *key)
{
    struct crypto_stream *stream = __real_crypto_stream_new(key);
    pthread_mutex_lock(&lock);
    if (is_watching && n_seen < DRAWS_MAX) {
        seen[n_seen] = (struct watched){.stream = stream};
        memcpy(seen[n_seen++].draws.key, key, CRYPTO_KEY_SIZE);
    }
    pthread_mutex_unlock(&lock);
    return stream;
}

void __wrap_crypto_stream_free(struct crypto_stream *stream)
{
    if (is_watching) {
        note(stream, 'f', 0, 0);
    }
    __real_crypto_stream_free(stream);
}

void __wrap_crypto_stream_seek(struct crypto_stream *stream, uint64_t high,
                               uint64_t low)
{
    if (is_watching) {
        note(stream, 's', high, low);
    }
    __real_crypto_stream_seek(stream, high, low);
}

void __wrap_crypto_stream_read(struct crypto_stream *stream, void *ret, size_t len)
{
    if (is_watching) {
        note(stream, 'r', len, 0);
    }
    __real_crypto_stream_read(stream, ret, len);
}

void draws_begin(void)
{
    is_watching = true;
    n_seen = 0;
}

static int by_key(const void *a, const void *b)
{
    return memcmp(((const struct draws_stream *)a)->key,
                  ((const struct draws_stream *)b)->key, CRYPTO_KEY_SIZE);
}

static bool is_of_sampling(const unsigned char *key, const unsigned char *sampling_key,
                           int n_ranks)
{
    return memcmp(key + 1, sampling_key + 1, CRYPTO_KEY_SIZE - 1) == 0 &&
           (key[0] ^ sampling_key[0]) < n_ranks;
}

struct draws draws_of_noise(const unsigned char sampling_key[CRYPTO_KEY_SIZE],
                            int n_ranks)
{
    struct draws draws = {0};
    for (int i = 0; i < n_seen; i++) {
        if (seen[i].is_over &&
            !is_of_sampling(seen[i].draws.key, sampling_key, n_ranks)) {
            draws.streams[draws.n++] = seen[i].draws;
        }
    }
    qsort(draws.streams, (size_t)draws.n, sizeof draws.streams[0], by_key);
    is_watching = false;
    return draws;
}
