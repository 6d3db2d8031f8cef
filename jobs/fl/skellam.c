#include "jobs/fl/skellam.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

enum {
    LIMBS = 5,
    TOTAL_PLACES = 313, /* the law's whole is 2^313; k I_k is below a quarter of it */
    BATCH = 256,
    LANES = 16,
};

#define SLICE (UINT64_C(1) << 49) /* codes */

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

/* x a / b, rounded down; x a < 2^320. */
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
        rest = product.limb[i] - quotient.limb[i] * b;
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

/* 2^TOTAL_PLACES part / whole, rounded down, by long division; part < whole < 2^319. */
static struct wide quotient_of(struct wide part, const struct wide *whole)
{
    struct wide quotient = {0};
    for (int bit = 0; bit < TOTAL_PLACES; bit++) {
        struct wide copy = part;
        add(&part, &copy);
        copy = quotient;
        add(&quotient, &copy);
        if (!is_below(&part, whole)) {
            subtract(&part, whole);
            quotient.limb[0] |= 1;
        }
    }
    return quotient;
}

/* Calls `see` with I_k(v) in a unit of its own, for k = first .. 0. I_first is set to
 * `start` of them and I_{first + 1} to 0. */
static void descend(int64_t first, int64_t sixty_fourths, const struct wide *start,
                    void (*see)(void *state, int64_t k, const struct wide *value),
                    void *state)
{
    struct wide above = {0}, here = *start;
    for (int64_t k = first; k > 0; k--) {
        see(state, k, &here);
        struct wide below = ratio(&here, 2 * 64 * (uint64_t)k, (uint64_t)sixty_fourths);
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
};

/* Its first 127 places. */
static unsigned __int128 chance_of(const struct wide *x)
{
    const int drop = TOTAL_PLACES - 127 - 2 * 64;
    unsigned __int128 upper = (unsigned __int128)x->limb[4] << 64 | x->limb[3];
    return upper << (64 - drop) | x->limb[2] >> drop;
}

/* Where the highest digit of x < 2^127 is that is 1, then the 57 after it: grows with
 * x. 0 has the code of 1. */
static inline uint64_t code_of(unsigned __int128 x)
{
    uint64_t high = (uint64_t)(x >> 64), low = (uint64_t)x | 1;
    int zeros = high != 0 ? __builtin_clzll(high) : 64 + __builtin_clzll(low);
    unsigned __int128 after = (x | 1) << zeros << 1;
    return (uint64_t)(127 - zeros) << 57 | (uint64_t)(after >> 71);
}

static void fill(void *state, int64_t k, const struct wide *value)
{
    struct filling *filling = state;
    if (k > 0) {
        add_up(&filling->sum, k, value);
        filling->skellam->least[k - 1] = chance_of(&filling->sum);
        filling->skellam->code[k - 1] = code_of(filling->skellam->least[k - 1]);
    }
}

/* A search for u begins at how many chances are above all codes of u's slice, and is
 * over at how many are above all of the next. */
static void slice(struct skellam *skellam)
{
    int64_t rank = 0, span = 0;
    for (int64_t i = SKELLAM_SLICES - 1; i >= -1; i--) {
        int64_t before = rank;
        uint64_t last = i < 0 ? 0 : (uint64_t)(i + 1) * SLICE - 1;
        while (rank < skellam->n && skellam->code[rank] > last) {
            rank++;
        }
        span = rank - before > span ? rank - before : span;
        if (i >= 0) {
            skellam->begin[i] = (int32_t)rank;
        }
    }
    for (int64_t i = 0; i < SKELLAM_SLICES; i++) { /* not to look beyond the end */
        int64_t most = skellam->n - span;
        skellam->begin[i] =
            skellam->begin[i] < most ? skellam->begin[i] : (int32_t)most;
    }
    skellam->span = span;
}

int skellam_open(struct skellam *skellam, int64_t sixty_fourths, struct error *err)
{
    double variance = (double)sixty_fourths / 64.0;
    *skellam = (struct skellam){0};
    if (variance < (double)SKELLAM_LEAST_VARIANCE ||
        variance > (double)SKELLAM_MOST_VARIANCE) {
        return error_set(err, PPT_ERANGE,
                         "the variance of a Skellam draw is %g, expected a number "
                         "in [%d, %lld]",
                         variance, SKELLAM_LEAST_VARIANCE,
                         (long long)SKELLAM_MOST_VARIANCE);
    }
    int64_t first = first_of(variance);
    struct wide total = {0};
    skellam->least = malloc((size_t)first * sizeof *skellam->least);
    skellam->code = malloc((size_t)first * sizeof *skellam->code);
    skellam->begin = malloc(SKELLAM_SLICES * sizeof *skellam->begin);
    if (skellam->least == NULL || skellam->code == NULL || skellam->begin == NULL) {
        skellam_close(skellam);
        return error_set(err, PPT_ENOMEM, "no memory for the law of noise");
    }
    skellam->n = first;
    struct wide start = {{0, UINT64_C(1) << 63}};
    descend(first, sixty_fourths, &start, add_up, &total); /* < 2^190 of start */
    struct filling filling = {.skellam = skellam};
    start = quotient_of(start, &total);
    descend(first, sixty_fourths, &start, fill, &filling);
    slice(skellam);
    return 0;
}

void skellam_close(struct skellam *skellam)
{
    free(skellam->least);
    free(skellam->code);
    free(skellam->begin);
    *skellam = (struct skellam){0};
}

/* Of each u how many of the chances, which fall, are above it. All searches take the
 * same steps, none of which branches on u; side by side they do not wait for each
 * other's loads. */
static void rank_of(const struct skellam *skellam, const unsigned __int128 u[LANES],
                    int64_t rank[LANES])
{
    uint64_t code[LANES];
    for (int i = 0; i < LANES; i++) {
        code[i] = code_of(u[i]);
        rank[i] = skellam->begin[code[i] / SLICE];
    }
    for (int64_t n = skellam->span; n > 0; n -= n - n / 2) {
        int64_t half = n - n / 2;
        for (int i = 0; i < LANES; i++) {
            rank[i] += skellam->code[rank[i] + half - 1] > code[i] ? half : 0;
        }
    }
    for (int i = 0; i < LANES; i++) { /* alike in 58 digits: once in 2^50 draws */
        while (rank[i] < skellam->n && skellam->least[rank[i]] > u[i]) {
            rank[i]++;
        }
    }
    crypto_wipe(code, sizeof code);
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
