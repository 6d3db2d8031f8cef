#include "kernels/staircase.h"

#include <math.h>
#include <string.h>

#include "kernels/cpu.h"

enum {
    NARROW = STAIRCASE_STEPS - 2, /* steps of one width; then one of 16, one of 32 */
    N_EXACT = 1,                  /* in a chunk, whatever is in doubt */
    HEAD_SHIFT = 16,              /* a word's upper 48 bits begin a real */
};
_Static_assert(NARROW == 16, "the first wide step begins at 16 widths");
_Static_assert(STAIRCASE_CHUNK <= UINT16_MAX, "a candidate of a chunk fits its list");

#define MAX_VARIANCE (1ull << 54)

static inline double as_double(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* k < 2^52 as a double: a vector of 64-bit integers has no conversion before AVX-512.
 */
static inline double whole(uint64_t k)
{
    return as_double(0x4330000000000000u | k) - 0x1p52;
}

/* 2^48 exp(-x), off by less than 1 where x >= 0 is off by less than 2^-50 x: Taylor's
 * polynomial to degree 12 of exp(f), |f| <= ln(2) / 2. */
static inline double chance_of(double x)
{
    x = x < 64.0 ? x : 64.0;
    double shifted = 0x1.8p52 - x * 1.4426950408889634; /* rounds to an integer */
    double power = shifted - 0x1.8p52;
    double f = -(x + power * 0x1.62e42fefa38p-1) - power * 0x1.ef35793c7673p-45;
    double e = 1.0 / 479001600.0;
    e = e * f + 1.0 / 39916800.0;
    e = e * f + 1.0 / 3628800.0;
    e = e * f + 1.0 / 362880.0;
    e = e * f + 1.0 / 40320.0;
    e = e * f + 1.0 / 5040.0;
    e = e * f + 1.0 / 720.0;
    e = e * f + 1.0 / 120.0;
    e = e * f + 1.0 / 24.0;
    e = e * f + 1.0 / 6.0;
    e = e * f + 0.5;
    e = e * f + 1.0;
    e = e * f + 1.0;
    uint64_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    return e * as_double((bits + 1023 + 48) << 52);
}

/* The place of a candidate: passed narrow steps lie below it; is_wide and is_wider are
 * masks of the two that are not narrow. */
struct place {
    uint64_t is_negative, from, in; /* magnitude: from + in */
};

static inline struct place place_of(uint64_t width, uint64_t passed, uint64_t is_wide,
                                    uint64_t is_wider, uint64_t step, uint64_t keep)
{
    uint64_t rest = (step & 0xffff) << 16 | (keep & 0xffff);
    uint64_t mask =
        (width - 1) | (is_wide & (16 * width - 1)) | (is_wider & (32 * width - 1));
    return (struct place){rest >> 31, width * (passed + (16 & is_wider)),
                          rest & 0x7fffffff & mask};
}

/* With its sign; *ret_is_zero is 1 for -0, which is no number of its own. */
static inline int64_t value_of(struct place place, uint64_t *ret_is_minus_zero)
{
    uint64_t magnitude = place.from + place.in, sign = 0 - place.is_negative;
    *ret_is_minus_zero = place.is_negative & ((magnitude - 1) >> 63);
    return (int64_t)((magnitude ^ sign) - sign);
}

CPU_CLONES int64_t staircase_try(const struct staircase *staircase, int64_t n,
                                 const uint64_t *restrict step,
                                 const uint64_t *restrict keep, int64_t *restrict value,
                                 uint64_t *restrict is_kept, uint16_t *list)
{
    const uint64_t width = staircase->width;
    const double rate = staircase->rate;
    uint64_t head[STAIRCASE_STEPS - 1], in_doubt[STAIRCASE_CHUNK];
    memcpy(head, staircase->head, sizeof head);
    for (int64_t i = 0; i < n; i++) {
        uint64_t first = step[i] >> HEAD_SHIFT, passed = 0, doubt = 0, minus_zero;
#pragma GCC unroll 17
        for (int j = 0; j < STAIRCASE_STEPS - 1; j++) {
            uint64_t less = (first - head[j]) >> 63;
            passed += j < NARROW ? less ^ 1 : 0;
            doubt |= (first ^ head[j]) - 1;
        }
        uint64_t is_wide = ((first - head[NARROW - 1]) >> 63) - 1;
        uint64_t is_wider = ((first - head[NARROW]) >> 63) - 1;
        struct place place =
            place_of(width, passed, is_wide, is_wider, step[i], keep[i]);
        double in = whole(place.in), w = whole(keep[i] >> HEAD_SHIFT);
        double chance = chance_of(in * (2.0 * whole(place.from) + in) * rate);
        uint64_t sure = w + 2.0 <= chance ? 1 : 0, hopeless = w >= chance + 1.0 ? 1 : 0;
        value[i] = value_of(place, &minus_zero);
        is_kept[i] = sure & (minus_zero ^ 1);
        in_doubt[i] = doubt >> 63 | ((sure | hopeless) ^ 1);
    }
    int64_t n_listed = 0;
    for (int64_t i = 0; i < n; i++) {
        list[n_listed] = (uint16_t)i;
        n_listed += (int64_t)in_doubt[i];
    }
    return n_listed;
}

/* 48 digits, then 192. */
static struct fraction real_of(uint64_t word, const uint64_t extra[3])
{
    uint64_t head = word >> HEAD_SHIFT;
    return (struct fraction){{extra[2] << 16, extra[1] << 16 | extra[2] >> 48,
                              extra[0] << 16 | extra[1] >> 48,
                              head << 16 | extra[0] >> 48}};
}

uint64_t staircase_decide(const struct staircase *staircase, uint64_t step,
                          uint64_t keep, const uint64_t extra[STAIRCASE_EXTRA_WORDS],
                          int64_t *ret_value)
{
    struct fraction u = real_of(step, extra), w = real_of(keep, extra + 3);
    uint64_t passed = 0, less = 0, minus_zero, is_wide = 0;
    for (int j = 0; j < STAIRCASE_STEPS - 1; j++) {
        less = fraction_is_less(&u, &staircase->from[j]);
        passed += j < NARROW ? less ^ 1 : 0;
        is_wide = j == NARROW - 1 ? less - 1 : is_wide;
    }
    struct place place =
        place_of(staircase->width, passed, is_wide, less - 1, step, keep);
    struct fraction chance =
        fraction_exp(place.in * (2 * place.from + place.in), &staircase->exact);
    *ret_value = value_of(place, &minus_zero);
    return fraction_is_less(&w, &chance) & (minus_zero ^ 1);
}

struct chunk {
    uint64_t words[2 * STAIRCASE_CHUNK], is_kept[STAIRCASE_CHUNK];
    int64_t value[STAIRCASE_CHUNK];
    uint16_t list[STAIRCASE_CHUNK + 1];
};

/* Tries n_now candidates; those that are kept go to x from *n_drawn on, n in all. */
static void run(const struct staircase *staircase, int64_t n_now,
                const struct discrete_source *source, struct chunk *chunk, int64_t n,
                int64_t *x, int64_t *n_drawn)
{
    uint64_t extra[STAIRCASE_EXTRA_WORDS];
    const uint64_t *step = chunk->words, *keep = chunk->words + n_now;
    memset(chunk->list, 0, sizeof chunk->list);
    source->words(source->state, chunk->words, 2 * n_now);
    int64_t n_listed = staircase_try(staircase, n_now, step, keep, chunk->value,
                                     chunk->is_kept, chunk->list);
    for (int64_t i = 0; i < N_EXACT || i < n_listed; i++) {
        uint16_t at = chunk->list[i];
        uint64_t is_wanted = i < n_listed ? UINT64_MAX : 0;
        int64_t value;
        source->words(source->state, extra, STAIRCASE_EXTRA_WORDS);
        uint64_t is_kept =
            staircase_decide(staircase, step[at], keep[at], extra, &value);
        chunk->is_kept[at] ^= (chunk->is_kept[at] ^ is_kept) & is_wanted;
        chunk->value[at] ^= (chunk->value[at] ^ value) & (int64_t)is_wanted;
    }
    int64_t found = *n_drawn;
    for (int64_t i = 0; i < n_now; i++) {
        uint64_t has_room = (uint64_t)(found - n) >> 63;
        uint64_t is_draw = chunk->is_kept[i] & has_room;
        int64_t *at = x + (found - (int64_t)(has_room ^ 1));
        *at ^= (*at ^ chunk->value[i]) & -(int64_t)is_draw;
        found += (int64_t)is_draw;
    }
    *n_drawn = found;
    memset(extra, 0, sizeof extra);
    __asm__ volatile("" : : "r"(extra) : "memory");
}

void staircase_draw(const struct staircase *staircase, int64_t n,
                    const struct discrete_source *source, int64_t *x)
{
    struct chunk chunk;
    int64_t n_drawn = 0;
    if (n < 1) {
        return;
    }
    memset(x, 0, (size_t)n * sizeof *x);
    for (int64_t left = staircase_n_candidates(staircase, n); left > 0;
         left -= STAIRCASE_CHUNK) {
        run(staircase, left < STAIRCASE_CHUNK ? left : STAIRCASE_CHUNK, source, &chunk,
            n, x, &n_drawn);
    }
    while (n_drawn < n) { /* with probability below 2^-64 */
        run(staircase, STAIRCASE_CHUNK, source, &chunk, n, x, &n_drawn);
    }
    memset(&chunk, 0, sizeof chunk);
    __asm__ volatile("" : : "r"(&chunk) : "memory");
}

/* The least N with exp(-N D) <= 2^-64, D the divergence of a coin of (n - 1) / N from
 * one of `chance`; a little more for rounding. */
int64_t staircase_n_candidates(const struct staircase *staircase, int64_t n)
{
    const double nats = 64.0 * 0.6931471805599453 + 0x1p-10, p = staircase->chance;
    double low = ceil((double)n / p), high = 4.0 * (low + 100.0);
    while (high - low > 1.0) {
        double m = floor(0.5 * (low + high)), kept = (double)n - 1.0, share = kept / m;
        double divergence = (1.0 - share) * log((1.0 - share) / (1.0 - p)) +
                            (kept > 0.0 ? share * log(share / p) : 0.0);
        *(m * divergence > nats ? &high : &low) = m;
    }
    return (int64_t)high;
}

/* e 2^-by, 0 <= by < 64. */
static struct fraction shifted_right(struct fraction e, int by)
{
    for (int i = 0; i < 4 && by > 0; i++) {
        e.limb[i] = e.limb[i] >> by | (i < 3 ? e.limb[i + 1] << (64 - by) : 0);
    }
    return e;
}

/* The weights of all steps: over 64 narrow ones of height 1. */
static void weigh(struct staircase *staircase)
{
    struct fraction sum[STAIRCASE_STEPS + 1] = {{{0}}};
    for (int j = 0; j < STAIRCASE_STEPS; j++) {
        uint64_t from = (j <= NARROW ? (uint64_t)j : 32) * staircase->width;
        struct fraction weight = fraction_exp(from * from, &staircase->exact);
        weight = shifted_right(weight, j < NARROW ? 6 : j == NARROW ? 2 : 1);
        sum[j + 1] = fraction_add(weight, &sum[j]);
    }
    for (int j = 0; j < STAIRCASE_STEPS - 1; j++) {
        staircase->from[j] = fraction_divide(sum[j + 1], &sum[STAIRCASE_STEPS]);
        staircase->head[j] = staircase->from[j].limb[3] >> HEAD_SHIFT;
    }
    /* kept: the bell over twice the stairs, as -0 is not */
    double variance = 0.5 / staircase->rate, narrow = (double)staircase->width;
    double stairs = narrow * 64.0 * 0x1p-64 * (double)sum[STAIRCASE_STEPS].limb[3];
    double bell = fmax(1.0, sqrt(6.283185307179586 * variance));
    staircase->chance = bell / (2.0 * stairs) * (1.0 - 0x1p-30);
}

bool staircase_plan(uint64_t numerator, uint64_t denominator,
                    struct staircase *ret_staircase)
{
    if (numerator < 1 || numerator > MAX_VARIANCE || denominator < 1 ||
        denominator > MAX_VARIANCE || denominator > 32 * numerator) {
        return false;
    }
    double variance = (double)numerator / (double)denominator;
    struct staircase staircase = {.width = 1, .rate = 0.5 / variance};
    while (16.0 * (double)staircase.width * (double)staircase.width <= variance) {
        staircase.width *= 2;
    }
    staircase.exact = fraction_rate(denominator, 2 * numerator);
    weigh(&staircase);
    *ret_staircase = staircase;
    return true;
}
