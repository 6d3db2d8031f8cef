#include "jobs/fl/draw.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void draw_key_public(int64_t seed, const char *purpose,
                     unsigned char ret_key[CRYPTO_KEY_SIZE])
{
    char text[96];
    int len = snprintf(text, sizeof text, "ppt fl %s %lld", purpose, (long long)seed);
    crypto_sha256(text, (size_t)len, ret_key);
}

void draw_key_secret(const unsigned char master[CRYPTO_KEY_SIZE], const char *purpose,
                     unsigned char ret_key[CRYPTO_KEY_SIZE])
{
    static const char salt[] = "ppt fl";
    crypto_hkdf(salt, sizeof salt - 1, master, CRYPTO_KEY_SIZE, purpose,
                strlen(purpose), ret_key, CRYPTO_KEY_SIZE);
}

static uint64_t draw_word(struct crypto_stream *stream)
{
    uint64_t word;
    crypto_stream_read(stream, &word, sizeof word);
    return word;
}

int64_t draw_below(struct crypto_stream *stream, int64_t n)
{
    unsigned __int128 product = (unsigned __int128)draw_word(stream) * (uint64_t)n;
    return (int64_t)(product >> 64);
}

double draw_uniform(struct crypto_stream *stream)
{
    return ((double)(draw_word(stream) >> 11) + 0.5) * 0x1p-53;
}

double draw_normal(struct crypto_stream *stream)
{
    double radius = sqrt(-2.0 * log(draw_uniform(stream)));
    return radius * cos(6.28318530717958648 * draw_uniform(stream));
}

double draw_gamma(struct crypto_stream *stream, double shape)
{
    if (shape < 1.0) { /* of a larger shape, times U^(1/shape) */
        double larger = draw_gamma(stream, shape + 1.0);
        return larger * pow(draw_uniform(stream), 1.0 / shape);
    }
    double d = shape - 1.0 / 3.0, c = 1.0 / sqrt(9.0 * d);
    for (;;) {
        double x = draw_normal(stream), v = 1.0 + c * x;
        v = v * v * v;
        if (v > 0.0 &&
            log(draw_uniform(stream)) < 0.5 * x * x + d - d * v + d * log(v)) {
            return d * v;
        }
    }
}

void draw_shuffle(struct crypto_stream *stream, int64_t *items, int64_t n)
{
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = draw_below(stream, i + 1), kept = items[i];
        items[i] = items[j];
        items[j] = kept;
    }
}
