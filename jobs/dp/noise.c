#include "jobs/dp/noise.h"

#include <assert.h>
#include <signal.h>
#include <string.h>

/* The substream that only says the key of the kernels' generator. */
static const uint64_t substream_of_key = UINT64_MAX - 1;

static void meet(const struct noise *noise)
{
    const struct beside *beside = noise->kernels->memory->beside;
    if (beside != NULL) {
        beside->meet();
    }
}

/* What the second queue works with, if there is one. */
static bool open_aside(struct noise *noise)
{
    const struct memory *memory = noise->kernels->memory;
    if (memory->beside == NULL) {
        return true;
    }
    noise->n_ahead = noise->max_n;
    noise->drawn = memory->alloc((size_t)noise->n_ahead * sizeof *noise->drawn);
    meet(noise); /* zeros, before anything is drawn onto them */
    return noise->drawn != NULL;
}

int noise_open(struct noise *noise, const struct kernels *kernels,
               const unsigned char key[CRYPTO_KEY_SIZE], int64_t max_n,
               struct error *err)
{
    *noise = (struct noise){.kernels = kernels, .max_n = max_n, .max_bits = max_n};
    if (kernels->random_words == NULL) {
        noise->max_bits = max_n < GRID_CHUNK ? max_n : GRID_CHUNK;
        noise->n_ahead = max_n / 4 < NOISE_WHOLE / 2 ? NOISE_WHOLE : max_n / 4 * 2;
        noise->n_ahead = max_n < noise->n_ahead ? max_n : noise->n_ahead;
    }
    noise->bits = kernels->memory->alloc((size_t)noise->max_bits * sizeof *noise->bits);
    if (noise->bits == NULL || !open_aside(noise)) {
        kernels->memory->free(noise->bits);
        *noise = (struct noise){0};
        return error_set(err, PPT_ENOMEM, "cannot allocate the bits of %lld draws",
                         (long long)max_n);
    }
    noise->stream = crypto_stream_new(key);
    if (kernels->random_words != NULL) {
        crypto_stream_seek(noise->stream, substream_of_key, 0);
        crypto_stream_read(noise->stream, noise->own_key, sizeof noise->own_key);
    }
    pthread_mutex_init(&noise->mutex, NULL);
    pthread_cond_init(&noise->changed, NULL);
    return 0;
}

size_t noise_memory_bytes(const struct noise *noise, bool is_ahead)
{
    return (size_t)noise->max_bits * sizeof *noise->bits +
           (is_ahead ? (size_t)noise->n_ahead * sizeof *noise->drawn : 0);
}

static void stop_thread(struct noise *noise)
{
    pthread_mutex_lock(&noise->mutex);
    noise->stop = true;
    pthread_cond_broadcast(&noise->changed);
    pthread_mutex_unlock(&noise->mutex);
    pthread_join(noise->thread, NULL);
}

void noise_close(struct noise *noise)
{
    if (noise->stream == NULL) {
        return;
    }
    if (noise->is_started) {
        stop_thread(noise);
    }
    pthread_cond_destroy(&noise->changed);
    pthread_mutex_destroy(&noise->mutex);
    const struct memory *memory = noise->kernels->memory;
    memory->zero(noise->bits, (size_t)noise->max_bits * sizeof *noise->bits);
    memory->free(noise->bits);
    if (noise->drawn != NULL) {
        memory->zero(noise->drawn, (size_t)noise->n_ahead * sizeof *noise->drawn);
        memory->free(noise->drawn);
    }
    crypto_stream_free(noise->stream);
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

/* x += the noise that is wished for, max_bits draws at a time: on a device all at once,
 * else as many as grid_noise works on at once anyway. */
static void draw(struct noise *noise, const struct noise_wish *wish, double *x)
{
    const struct kernels *kernels = noise->kernels;
    for (int64_t from = 0; from < wish->n; from += noise->max_bits) {
        int64_t left = wish->n - from,
                n = left < noise->max_bits ? left : noise->max_bits;
        struct position position = {noise->stream, wish->substream,
                                    (uint64_t)(wish->first + from) / 2};
        struct grid_source source = {read_extra, &position};
        size_t len = (size_t)n * sizeof *noise->bits;
        if (kernels->random_words != NULL) {
            kernels->random_words(noise->own_key, 0, wish->substream, n, noise->bits);
        } else {
            crypto_stream_seek(noise->stream, wish->substream, position.first_pair);
            crypto_stream_read(noise->stream, noise->bits, len);
        }
        kernels->grid_noise(&wish->grid, n, noise->bits, &source, x + from);
        kernels->memory->zero(noise->bits, len);
    }
}

int64_t noise_draw_sure(struct noise *noise, const struct noise_wish *part, double *x,
                        uint16_t *list)
{
    size_t len = (size_t)part->n * sizeof *noise->bits;
    assert(part->n <= noise->max_bits && part->n <= GRID_CHUNK);
    crypto_stream_seek(noise->stream, part->substream, (uint64_t)part->first / 2);
    crypto_stream_read(noise->stream, noise->bits, len);
    int64_t n_listed = grid_noise_sure(&part->grid, part->n, noise->bits, x, list);
    noise->kernels->memory->zero(noise->bits, len);
    return n_listed;
}

void noise_draw_exact(struct noise *noise, const struct noise_wish *wish, int64_t pair,
                      bool is_wanted, double *x)
{
    uint64_t bits[2], extra[GRID_EXTRA_WORDS];
    struct position position = {noise->stream, wish->substream,
                                (uint64_t)wish->first / 2};
    crypto_stream_seek(noise->stream, wish->substream,
                       position.first_pair + (uint64_t)pair);
    crypto_stream_read(noise->stream, bits, sizeof bits);
    read_extra(&position, pair, extra);
    grid_noise_exact(&wish->grid, bits, extra, is_wanted, x);
    crypto_wipe(bits, sizeof bits);
    crypto_wipe(extra, sizeof extra);
}

/* The part of a wish that is drawn ahead. */
static struct noise_wish early_part(const struct noise *noise,
                                    const struct noise_wish *wish)
{
    struct noise_wish part = *wish;
    part.n = wish->n < noise->n_ahead ? wish->n : noise->n_ahead;
    return part;
}

/* Draws each wish that the caller has not drawn first. */
static void *draw_ahead(void *state)
{
    struct noise *noise = state;
    pthread_mutex_lock(&noise->mutex);
    while (!noise->stop) {
        if (noise->ahead != NOISE_WANTED) {
            pthread_cond_wait(&noise->changed, &noise->mutex);
            continue;
        }
        noise->ahead = NOISE_DRAWING;
        pthread_mutex_unlock(&noise->mutex);
        struct noise_wish part = early_part(noise, &noise->wish);
        draw(noise, &part, noise->drawn);
        pthread_mutex_lock(&noise->mutex);
        noise->ahead = NOISE_DRAWN;
        pthread_cond_broadcast(&noise->changed);
    }
    pthread_mutex_unlock(&noise->mutex);
    return NULL;
}

/* Signals are for the threads that were there before. */
static bool start_thread(struct noise *noise)
{
    sigset_t all, before;
    size_t len = (size_t)noise->n_ahead * sizeof *noise->drawn;
    noise->drawn =
        noise->drawn != NULL ? noise->drawn : noise->kernels->memory->alloc(len);
    if (noise->drawn == NULL) {
        return false;
    }
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&noise->thread, NULL, draw_ahead, noise);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    noise->is_started = failed == 0;
    return noise->is_started;
}

/* A wish that the thread has not begun is nobody's any more; else it is drawn when this
 * returns. Returns whether it is drawn. */
static bool settle(struct noise *noise)
{
    pthread_mutex_lock(&noise->mutex);
    while (noise->ahead == NOISE_DRAWING) {
        pthread_cond_wait(&noise->changed, &noise->mutex);
    }
    bool is_drawn = noise->ahead == NOISE_DRAWN;
    noise->ahead = is_drawn ? NOISE_DRAWN : NOISE_NOTHING;
    pthread_mutex_unlock(&noise->mutex);
    return is_drawn;
}

void noise_begin(struct noise *noise, const struct grid *grid, uint64_t substream,
                 int64_t first, int64_t n)
{
    assert(n <= noise->max_n);
    bool is_aside = noise->kernels->memory->beside != NULL;
    if (noise->n_ahead == 0 || is_aside ||
        (!noise->is_started && !start_thread(noise))) {
        return;
    }
    if (settle(noise)) { /* somebody has given a step up */
        crypto_wipe(noise->drawn, (size_t)noise->n_ahead * sizeof *noise->drawn);
    }
    pthread_mutex_lock(&noise->mutex);
    noise->wish = (struct noise_wish){*grid, substream, first, n};
    noise->ahead = NOISE_WANTED;
    pthread_cond_broadcast(&noise->changed);
    pthread_mutex_unlock(&noise->mutex);
}

void noise_draw_aside(struct noise *noise, const struct grid *grid, uint64_t substream,
                      int64_t first, int64_t n)
{
    const struct memory *memory = noise->kernels->memory;
    struct noise_wish wish = {*grid, substream, first, n};
    assert(n <= noise->max_n);
    memory->beside->aside(true);
    if (settle(noise)) { /* somebody has given a step up */
        memory->zero(noise->drawn, (size_t)noise->n_ahead * sizeof *noise->drawn);
    }
    draw(noise, &wish, noise->drawn);
    memory->beside->aside(false);
    noise->wish = wish;
    noise->ahead = NOISE_DRAWN;
}

static bool is_same(const struct noise_wish *a, const struct noise_wish *b)
{
    return a->grid.step == b->grid.step && a->grid.std_steps == b->grid.std_steps &&
           a->substream == b->substream && a->first == b->first && a->n == b->n;
}

/* Sums of whole steps are exact: x is the same as if the draws were added to it. */
static void add_early(struct noise *noise, const struct noise_wish *wish, double *x)
{
    struct noise_wish early = early_part(noise, wish), late = *wish;
    noise->kernels->grid_add_drawn(early.n, noise->drawn, x);
    late.first += early.n;
    late.n -= early.n;
    draw(noise, &late, x + early.n);
    pthread_mutex_lock(&noise->mutex);
    noise->ahead = NOISE_NOTHING;
    pthread_mutex_unlock(&noise->mutex);
}

/* On a device the queues meet twice: what was drawn is there when it is added, and
 * zeros again before the next is drawn onto them. */
void noise_add(struct noise *noise, const struct grid *grid, uint64_t substream,
               int64_t first, int64_t n, double *x)
{
    struct noise_wish wish = {*grid, substream, first, n};
    meet(noise);
    if (settle(noise) && is_same(&wish, &noise->wish)) {
        add_early(noise, &wish, x);
    } else {
        draw(noise, &wish, x);
    }
    meet(noise);
}

void noise_add_value(struct noise *noise, const struct grid *grid, uint64_t substream,
                     double *value)
{
    struct position position = {noise->stream, substream, 0};
    struct grid_source source = {read_extra, &position};
    uint64_t bits[2];
    double pair[2] = {*value, 0.0};
    (void)settle(noise); /* the stream is this call's */
    crypto_stream_seek(noise->stream, substream, 0);
    crypto_stream_read(noise->stream, bits, sizeof bits);
    grid_noise(grid, 2, bits, &source, pair);
    *value = pair[0];
    crypto_wipe(bits, sizeof bits);
    crypto_wipe(pair, sizeof pair);
}
