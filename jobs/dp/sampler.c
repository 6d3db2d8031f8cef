#include "jobs/dp/sampler.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* Thresholds floor(2^128 r/(1+r)). Squaring in 113-bit arithmetic doubles the relative
 * error of r each time: after j squarings it is below 2^(j-112), and r 2^j is at most
 * 1/(e q), which gives the bound in the header. */
static void fill_thresholds(struct sampler *sampler, __float128 r)
{
    int n = 0;
    while (n < SAMPLER_DIGITS && r > (__float128)0x1p-128) {
        __float128 scaled = r / (1 + r) * 0x1p64 * 0x1p64;
        sampler->threshold[n] = (unsigned __int128)scaled;
        sampler->first[n] = (uint16_t)(sampler->threshold[n] >> 112);
        n++;
        r *= r;
    }
    sampler->n_digits = n;
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
    fill_thresholds(sampler, (__float128)1 - (__float128)sample_rate);
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

/* Random bits for `n` more pieces of 16, in a row; what is left of fewer is dropped. */
static const uint16_t *next_pieces(struct sampler *sampler, int n)
{
    if (sampler->n_used + n > SAMPLER_PIECES) {
        crypto_stream_read(sampler->stream, sampler->pieces, sizeof sampler->pieces);
        sampler->n_used = 0;
    }
    sampler->n_used += n;
    return sampler->pieces + sampler->n_used - n;
}

/* A digit whose first 16 bits are the threshold's: the other 112 decide, the last 48 of
 * them once in 2^80. */
static uint64_t draw_rest(struct sampler *sampler, unsigned __int128 threshold)
{
    uint64_t middle = (uint64_t)(threshold >> 48), last = (uint64_t)threshold << 16;
    uint64_t words[2];
    memcpy(words, next_pieces(sampler, 8), sizeof words);
    return words[0] != middle ? words[0] < middle : words[1] >> 16 < last >> 16;
}

/* Records to skip before the next one in the sample: digit j is 1 where 128 random bits
 * are below threshold j, and 16 of them mostly say so. */
static uint64_t draw_gap(struct sampler *sampler)
{
    const int n = sampler->n_digits;
    const uint16_t *random = next_pieces(sampler, n), *first = sampler->first;
    uint64_t gap = 0, undecided = 0;
    for (int j = 0; j < n; j++) {
        gap |= (uint64_t)(random[j] < first[j]) << j;
        undecided |= (uint64_t)(random[j] == first[j]) << j;
    }
    for (; undecided != 0; undecided &= undecided - 1) {
        int j = __builtin_ctzll(undecided);
        gap |= draw_rest(sampler, sampler->threshold[j]) << j;
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
    sampler->n_used = SAMPLER_PIECES;
    advance(sampler, 0);
}

static void begin_bin(struct sampler *sampler, int64_t step)
{
    int64_t n_bins_left = sampler->n_bins - step % sampler->n_bins;
    __float128 r = (__float128)(n_bins_left - 1) / (__float128)n_bins_left;
    fill_thresholds(sampler, r);
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
