#include "jobs/fl/skellam.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

enum { LIMBS = 5, BATCH = 256, LANES = 16 };

/* A whole number, lowest limb first. */
struct wide {
    uint64_t limb[LIMBS];
};

static void add(struct wide *sum, const struct wide *x)
{
    uint64_t carry = 0;
    for (int i = 0; i < LIMBS; i++) {
        unsigned __int128 s = (unsigned __int128)sum->limb[i] + x->limb[i] + carry;
        sum->limb[i] = (uint64_t)s;
        carry = (uint64_t)(s >> 64);
    }
    assert(carry == 0);
}

/* x a / b, rounded down; a b < 2^64. */
static struct wide ratio(const struct wide *x, uint64_t a, uint64_t b)
{
    struct wide product, quotient;
    uint64_t carry = 0, rest = 0;
    for (int i = 0; i < LIMBS; i++) {
        unsigned __int128 p = (unsigned __int128)x->limb[i] * a + carry;
        product.limb[i] = (uint64_t)p;
        carry = (uint64_t)(p >> 64);
    }
    assert(carry == 0);
    for (int i = LIMBS - 1; i >= 0; i--) {
        unsigned __int128 p = (unsigned __int128)rest << 64 | product.limb[i];
        quotient.limb[i] = (uint64_t)(p / b);
        rest = (uint64_t)(p % b);
    }
    return quotient;
}

static bool is_below(const struct wide *x, const struct wide *y)
{
    for (int i = LIMBS - 1; i >= 0; i--) {
        if (x->limb[i] != y->limb[i]) {
            return x->limb[i] < y->limb[i];
        }
    }
    return false;
}

static void subtract(struct wide *x, const struct wide *y)
{
    uint64_t borrow = 0;
    for (int i = 0; i < LIMBS; i++) {
        unsigned __int128 d = (unsigned __int128)x->limb[i] - y->limb[i] - borrow;
        x->limb[i] = (uint64_t)d;
        borrow = (uint64_t)(d >> 64) & 1;
    }
}

/* 2^127 part / whole, rounded down, by long division; part < whole < 2^319. */
static unsigned __int128 quotient_of(struct wide part, const struct wide *whole)
{
    unsigned __int128 quotient = 0;
    for (int bit = 0; bit < 127; bit++) {
        struct wide copy = part;
        add(&part, &copy);
        quotient <<= 1;
        if (!is_below(&part, whole)) {
            subtract(&part, whole);
            quotient |= 1;
        }
    }
    return quotient;
}

/* Calls `see` with I_k(v) in a unit of its own, for k = first .. 0. I_first is set to
 * 2^100 of them and I_{first + 1} to 0. */
static void descend(int64_t first, int64_t variance,
                    void (*see)(void *state, int64_t k, const struct wide *value),
                    void *state)
{
    struct wide above = {0}, here = {{0, UINT64_C(1) << 36}};
    for (int64_t k = first; k > 0; k--) {
        see(state, k, &here);
        struct wide below = ratio(&here, 2 * (uint64_t)k, (uint64_t)variance);
        add(&below, &above);
        above = here;
        here = below;
    }
    see(state, 0, &here);
}

/* The least k with log(I_k / I_0) below -170 log 2, by the leading term of Debye's
 * expansion, which is too large. What is beyond weighs less than 2^-160, and the other
 * solution of the recurrence, which the start mixes in, below 2^-127 less than 2^-80 of
 * what is there. */
static int64_t first_of(double variance)
{
    double low = 0.0, high = 64.0 * sqrt(variance) + 256.0;
    while (high - low > 0.5) {
        double k = (low + high) / 2.0;
        double log_ratio = k * k / (variance + hypot(k, variance)) -
                           k * asinh(k / variance); /* sqrt(k^2+v^2) - v first */
        if (log_ratio < -170.0 * M_LN2) {
            high = k;
        } else {
            low = k;
        }
    }
    return (int64_t)ceil(high);
}

/* Both signs of every k > 0 count. */
static void add_up(void *state, int64_t k, const struct wide *value)
{
    add(state, value);
    if (k > 0) {
        add(state, value);
    }
}

struct filling {
    struct skellam *skellam;
    struct wide sum;
    const struct wide *total;
};

static void fill(void *state, int64_t k, const struct wide *value)
{
    struct filling *filling = state;
    if (k > 0) {
        add_up(&filling->sum, k, value);
        filling->skellam->least[k - 1] = quotient_of(filling->sum, filling->total);
        filling->skellam->top[k - 1] = (uint64_t)(filling->skellam->least[k - 1] >> 63);
    }
}

int skellam_open(struct skellam *skellam, int64_t variance, struct error *err)
{
    *skellam = (struct skellam){0};
    if (variance < SKELLAM_LEAST_VARIANCE || variance > SKELLAM_MOST_VARIANCE) {
        return error_set(err, PPT_ERANGE,
                         "the variance of a Skellam draw is %lld, expected a number "
                         "in [%d, %lld]",
                         (long long)variance, SKELLAM_LEAST_VARIANCE,
                         (long long)SKELLAM_MOST_VARIANCE);
    }
    int64_t first = first_of((double)variance);
    struct wide total = {0};
    skellam->least = malloc((size_t)first * sizeof *skellam->least);
    skellam->top = malloc((size_t)first * sizeof *skellam->top);
    if (skellam->least == NULL || skellam->top == NULL) {
        skellam_close(skellam);
        return error_set(err, PPT_ENOMEM, "no memory for the law of noise");
    }
    skellam->n = first;
    descend(first, variance, add_up, &total);
    struct filling filling = {.skellam = skellam, .total = &total};
    descend(first, variance, fill, &filling);
    return 0;
}

void skellam_close(struct skellam *skellam)
{
    free(skellam->least);
    free(skellam->top);
    *skellam = (struct skellam){0};
}

/* Of each u how many of the chances, which fall, are above it. All searches take the
 * same steps, none of which branches on u; side by side they do not wait for each
 * other's loads. */
static void rank_of(const struct skellam *skellam, const unsigned __int128 u[LANES],
                    int64_t rank[LANES])
{
    for (int i = 0; i < LANES; i++) {
        rank[i] = 0;
    }
    for (int64_t n = skellam->n; n > 0; n -= n - n / 2) {
        int64_t half = n - n / 2;
        for (int i = 0; i < LANES; i++) {
            bool is_above = skellam->top[rank[i] + half - 1] > (uint64_t)(u[i] >> 63);
            rank[i] += is_above ? half : 0;
        }
    }
    for (int i = 0; i < LANES; i++) { /* alike in 64 bits: once in 2^50 draws */
        while (rank[i] < skellam->n && skellam->least[rank[i]] > u[i]) {
            rank[i]++;
        }
    }
}

void skellam_draw(const struct skellam *skellam, int64_t n,
                  struct crypto_stream *stream, int64_t *x)
{
    unsigned __int128 words[BATCH], u[LANES];
    int64_t rank[LANES];
    for (int64_t at = 0; at < n; at += LANES) {
        if (at % BATCH == 0) {
            crypto_stream_read(stream, words, sizeof words);
        }
        const unsigned __int128 *word = words + at % BATCH;
        for (int i = 0; i < LANES; i++) {
            u[i] = word[i] << 1 >> 1;
        }
        rank_of(skellam, u, rank);
        for (int i = 0; i < LANES && at + i < n; i++) {
            int64_t sign = -(int64_t)(word[i] >> 127);
            x[at + i] = (rank[i] ^ sign) - sign;
        }
    }
    crypto_wipe(words, sizeof words);
    crypto_wipe(u, sizeof u);
    crypto_wipe(rank, sizeof rank);
}
