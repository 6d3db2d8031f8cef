#include "jobs/dp/sampler.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* Thresholds floor(2^128 r/(1+r)). Squaring in 113-bit arithmetic doubles the relative
 * error of r each time: after j squarings it is below 2^(j-112), and r 2^j is at most
 * 1/(e q), which gives the bound in the header. */
static int fill_thresholds(__float128 r, unsigned __int128 threshold[SAMPLER_DIGITS])
{
    int n_digits = 0;
    while (n_digits < SAMPLER_DIGITS && r > (__float128)0x1p-128) {
        __float128 scaled = r / (1 + r) * 0x1p64 * 0x1p64;
        threshold[n_digits++] = (unsigned __int128)scaled;
        r *= r;
    }
    return n_digits;
}

int sampler_open(struct sampler *sampler, const unsigned char key[CRYPTO_KEY_SIZE],
                 double sample_rate, int64_t n_rows, struct error *err)
{
    double k = sample_rate * 0x1p53;
    if (!(k >= 1.0 && k <= 0x1p53) || k != floor(k)) {
        return error_set(err, PPT_ERANGE,
                         "sample rate %.17g: expected k / 2^53 in (0, 1]", sample_rate);
    }
    *sampler = (struct sampler){.n_rows = n_rows, .next = n_rows};
    sampler->stream = crypto_stream_new(key);
    sampler->n_digits =
        fill_thresholds((__float128)1 - (__float128)sample_rate, sampler->threshold);
    return 0;
}

int sampler_open_dealt(struct sampler *sampler,
                       const unsigned char key[CRYPTO_KEY_SIZE], int64_t n_bins,
                       bool is_fixed, int64_t n_rows, struct error *err)
{
    assert(n_bins >= 1);
    *sampler = (struct sampler){.n_rows = n_rows,
                                .next = n_rows,
                                .n_bins = n_bins,
                                .is_fixed = is_fixed,
                                .step = -1};
    int rc = deck_open(&sampler->deck, n_rows, err);
    if (rc == 0) {
        sampler->stream = crypto_stream_new(key);
    }
    return rc;
}

void sampler_close(struct sampler *sampler)
{
    if (sampler->stream != NULL) {
        crypto_stream_free(sampler->stream);
    }
    deck_close(&sampler->deck);
    crypto_wipe(sampler, sizeof *sampler);
}

static uint64_t next_word(struct sampler *sampler)
{
    if (sampler->n_used == SAMPLER_WORDS) {
        crypto_stream_read(sampler->stream, sampler->words, sizeof sampler->words);
        sampler->n_used = 0;
    }
    return sampler->words[sampler->n_used++];
}

/* True with probability threshold / 2^128: the second word is needed once in 2^64. */
static uint64_t draw_digit(struct sampler *sampler, unsigned __int128 threshold)
{
    uint64_t high = (uint64_t)(threshold >> 64), word = next_word(sampler);
    if (word != high) {
        return word < high;
    }
    return next_word(sampler) < (uint64_t)threshold;
}

/* Records to skip before the next one in the sample. */
static uint64_t draw_gap(struct sampler *sampler)
{
    uint64_t gap = 0;
    for (int j = 0; j < sampler->n_digits; j++) {
        gap |= draw_digit(sampler, sampler->threshold[j]) << j;
    }
    return gap;
}

/* Moves `next` to the first record of the sample at or after `from`. */
static void advance(struct sampler *sampler, int64_t from)
{
    sampler->next = sampler->n_rows;
    if (from < sampler->n_rows && sampler->n_bins > 0) {
        sampler->next = deck_find(&sampler->deck, from, draw_gap(sampler));
    } else if (from < sampler->n_rows) {
        uint64_t gap = draw_gap(sampler);
        if (gap < (uint64_t)(sampler->n_rows - from)) {
            sampler->next = from + (int64_t)gap;
        }
    }
}

static void begin(struct sampler *sampler, int64_t step)
{
    crypto_stream_seek(sampler->stream, (uint64_t)step, 0);
    sampler->n_used = SAMPLER_WORDS;
    advance(sampler, 0);
}

static void begin_bin(struct sampler *sampler, int64_t step)
{
    int64_t n_bins_left = sampler->n_bins - step % sampler->n_bins;
    __float128 r = (__float128)(n_bins_left - 1) / (__float128)n_bins_left;
    sampler->n_digits = fill_thresholds(r, sampler->threshold);
    sampler->step = step;
    begin(sampler, sampler->is_fixed ? step % sampler->n_bins : step);
}

/* What is left of a bin falls into no later one. */
static void drop_rest(struct sampler *sampler)
{
    int64_t dropped;
    while (sampler_next(sampler, &dropped, 1) > 0) {
    }
}

void sampler_begin(struct sampler *sampler, int64_t step)
{
    if (sampler->n_bins == 0) {
        begin(sampler, step);
        return;
    }
    int64_t bin = step % sampler->n_bins;
    if (bin > 0 && step == sampler->step + 1) {
        drop_rest(sampler);
    } else {
        deck_fill(&sampler->deck);
        for (int64_t earlier = step - bin; earlier < step; earlier++) {
            begin_bin(sampler, earlier);
            drop_rest(sampler);
        }
    }
    begin_bin(sampler, step);
}

size_t sampler_next(struct sampler *sampler, int64_t *ret_indices, size_t max)
{
    size_t n = 0;
    while (n < max && sampler->next < sampler->n_rows) {
        if (sampler->n_bins > 0) {
            deck_take(&sampler->deck, sampler->next);
        }
        ret_indices[n++] = sampler->next;
        advance(sampler, sampler->next + 1);
    }
    return n;
}
