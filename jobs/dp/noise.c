#include "jobs/dp/noise.h"

#include <string.h>

/* The substream that only says the key of the kernels' generator. */
static const uint64_t substream_of_key = UINT64_MAX - 1;

int noise_open(struct noise *noise, const struct kernels *kernels,
               const unsigned char key[CRYPTO_KEY_SIZE], int64_t max_n,
               struct error *err)
{
    size_t len = (size_t)max_n * sizeof *noise->bits;
    *noise = (struct noise){.kernels = kernels, .max_n = max_n};
    noise->bits = kernels->memory->alloc(len);
    if (noise->bits == NULL) {
        return error_set(err, PPT_ENOMEM, "cannot allocate the bits of %lld draws",
                         (long long)max_n);
    }
    noise->stream = crypto_stream_new(key);
    if (kernels->random_words != NULL) {
        crypto_stream_seek(noise->stream, substream_of_key, 0);
        crypto_stream_read(noise->stream, noise->own_key, sizeof noise->own_key);
    }
    return 0;
}

void noise_close(struct noise *noise)
{
    if (noise->stream != NULL) {
        crypto_stream_free(noise->stream);
    }
    if (noise->bits != NULL) {
        noise->kernels->memory->zero(noise->bits,
                                     (size_t)noise->max_n * sizeof *noise->bits);
        noise->kernels->memory->free(noise->bits);
    }
    crypto_wipe(noise, sizeof *noise);
}

/* Where a pair's bits stand in the stream: block `pair` of the substream, and the few
 * more that a pair may need from block 2^63 + 4 pair on. */
struct position {
    struct crypto_stream *stream;
    uint64_t substream, first_pair;
};

static void read_extra(void *state, int64_t pair, uint64_t ret_words[GRID_EXTRA_WORDS])
{
    const struct position *position = state;
    uint64_t block = 4 * (position->first_pair + (uint64_t)pair);
    crypto_stream_seek(position->stream, position->substream, (1ull << 63) + block);
    crypto_stream_read(position->stream, ret_words,
                       GRID_EXTRA_WORDS * sizeof *ret_words);
}

void noise_add(struct noise *noise, const struct grid *grid, uint64_t substream,
               int64_t first, int64_t n, double *x)
{
    const struct kernels *kernels = noise->kernels;
    struct position position = {noise->stream, substream, (uint64_t)first / 2};
    struct grid_source source = {read_extra, &position};
    size_t len = (size_t)n * sizeof *noise->bits;
    if (kernels->random_words != NULL) {
        kernels->random_words(noise->own_key, 0, substream, n, noise->bits);
    } else {
        crypto_stream_seek(noise->stream, substream, position.first_pair);
        crypto_stream_read(noise->stream, noise->bits, len);
    }
    kernels->grid_noise(grid, n, noise->bits, &source, x);
    kernels->memory->zero(noise->bits, len);
}

void noise_add_value(struct noise *noise, const struct grid *grid, uint64_t substream,
                     double *value)
{
    struct position position = {noise->stream, substream, 0};
    struct grid_source source = {read_extra, &position};
    uint64_t bits[2];
    double pair[2] = {*value, 0.0};
    crypto_stream_seek(noise->stream, substream, 0);
    crypto_stream_read(noise->stream, bits, sizeof bits);
    grid_noise(grid, 2, bits, &source, pair);
    *value = pair[0];
    crypto_wipe(bits, sizeof bits);
    crypto_wipe(pair, sizeof pair);
}
