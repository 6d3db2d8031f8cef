/* Pairs are drawn in double together with a bound on their error. Where a half-integer
 * lies within the bound, the pair is worked out again in fixed point (polar.c); so that
 * the time does not tell how many there were, a fixed number always are. */
#include "kernels/grid.h"

#include <math.h>
#include <string.h>

#include "kernels/cpu.h"
#include "kernels/polar.h"

enum {
    PAIRS = 64, /* in one pass: a bit of a word each, and all stay in the first cache */
    CHUNK_PAIRS = GRID_CHUNK / 2,
};
_Static_assert(CHUNK_PAIRS <= UINT16_MAX, "a pair of a chunk fits its list");
_Static_assert(GRID_EXTRA_WORDS == POLAR_EXTRA_WORDS, "one pair's extra bits");

/* |z - computed z| <= error_radius r + error_tail / (u0 r): samplers.md. */
static const double error_radius = 0x1.cp-49, error_tail = 0x1.8p-52;

static const uint64_t sign_bit = (uint64_t)1 << 63;

static inline double as_double(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint64_t as_bits(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* The upper 52 bits as k / 2^52, exact, by way of 1's bit pattern: a vector of 64-bit
 * integers has no direct conversion before AVX-512. */
static inline double fraction(uint64_t bits)
{
    return as_double(0x3ff0000000000000u | bits >> 12) - 1.0;
}

/* -ln(u) / 2 for u in (0, 1], not -0: u = 2^e m with m in [sqrt(1/2), sqrt(2)), and
 * ln m = 2 (f + f^3/3 + f^5/5 + ...), f = (m - 1)/(m + 1), f^2 < 0.02944. The
 * polynomials here are those with the least largest error; it is in samplers.md. */
static inline double half_log(double u)
{
    uint64_t bits = as_bits(u);
    uint64_t offset = bits - 0x3fe6a09e667f3bcdu + 0x4000000000000000u;
    double e = as_double(0x4330000000000000u | offset >> 52) - (0x1p52 + 1024.0);
    double m = as_double((offset & 0xfffffffffffffu) + 0x3fe6a09e667f3bcdu);
    double f = (m - 1.0) / (m + 1.0), s = f * f;
    double sum = 0x1.58759a12ef12dp-4;
    sum = sum * s + 0x1.732c516fc6e7dp-4;
    sum = sum * s + 0x1.c722769d7784fp-4;
    sum = sum * s + 0x1.2492417a8fb18p-3;
    sum = sum * s + 0x1.999999a28ea3cp-3;
    sum = sum * s + 0x1.555555555397ap-2;
    return fabs(e * 0.34657359027997264 + (f + f * s * sum));
}

/* sin and cos of x pi/2, x in [-1/2, 1/2]. */
static inline double sin_small(double x)
{
    double s = x * x;
    double sum = 0x1.e3c393587657bp-25;
    sum = sum * s - 0x1.e2ffde30d7174p-19;
    sum = sum * s + 0x1.50782f2fbb398p-13;
    sum = sum * s - 0x1.32d2cce2314efp-8;
    sum = sum * s + 0x1.466bc67757d86p-4;
    sum = sum * s - 0x1.4abbce625be3cp-1;
    return x * (1.5707963267948966 + s * sum);
}

static inline double cos_small(double x)
{
    double s = x * x;
    double sum = 0x1.f3ef41ff7f461p-22;
    sum = sum * s - 0x1.a6ca00956b9ebp-16;
    sum = sum * s + 0x1.e1f4fbfbff189p-11;
    sum = sum * s - 0x1.55d3c7dcb5f2cp-6;
    sum = sum * s + 0x1.03c1f081b14bdp-2;
    sum = sum * s - 0x1.3bd3cc9be45a5p+0;
    return 1.0 + s * sum;
}

/* To the nearest integer; |x| < 2^51. */
static inline double nearest(double x)
{
    return (x + 0x1.8p52) - 0x1.8p52;
}

/* cos and sin of 2 pi V: the quarter that is nearest, and an angle from it of at most
 * pi/4. Quarters turn (c, s) into (-s, c), (-c, -s), (s, -c); no branches, no flags. */
static inline void turn(uint64_t bits, double *ret_cosine, double *ret_sine)
{
    uint64_t turned = bits + ((uint64_t)1 << 61); /* quarter, then the place in it */
    /* the place, but for its last bits, minus a half: exact */
    uint64_t place = 0x3ff0000000000000u | (turned >> 10 & 0xfffffffffffffu);
    double x = as_double(place) - 1.5;
    uint64_t s = as_bits(sin_small(x)), c = as_bits(cos_small(x));
    uint64_t swap = (s ^ c) & (0 - (turned >> 62 & 1));
    *ret_cosine = as_double(c ^ swap ^ ((turned ^ turned << 1) & sign_bit));
    *ret_sine = as_double(s ^ swap ^ (turned & sign_bit));
}

/* n_pairs integers of each kind, and whether they are in doubt: then they are 0. */
static inline void draw_pairs(int64_t n_pairs, double std_steps,
                              const uint64_t *restrict bits, double *restrict first,
                              double *restrict second, uint64_t *restrict in_doubt)
{
    const double twice = 2.0 * std_steps, half_tail = 0.5 * std_steps * error_tail;
    for (int64_t i = 0; i < n_pairs; i++) {
        double below = fraction(bits[2 * i]), u = below + 0x1p-52;   /* in (0, 1] */
        double half = sqrt(half_log(u)), width = twice * half, x, y; /* of r */
        turn(bits[2 * i + 1], &x, &y);
        x *= width;
        y *= width;
        double k = nearest(x), l = nearest(y), off = fabs(x - k), off_y = fabs(y - l);
        off = (off > off_y ? off : off_y) + error_radius * width;
        /* off + the tail's error < 1/2: never where below is 0, or u is 1 */
        uint64_t sure = (0.5 - off) * (below * half) > half_tail ? UINT64_MAX : 0;
        first[i] = as_double(as_bits(k) & sure);
        second[i] = as_double(as_bits(l) & sure);
        in_doubt[i] = sure + 1;
    }
}

/* Pairs in doubt, a bit each, of the blocks that have any. */
struct doubts {
    int64_t n_blocks;
    uint64_t bits[CHUNK_PAIRS / PAIRS + 1];
    uint16_t first[CHUNK_PAIRS / PAIRS + 1];
};

/* So many are looked for, found or not. Of 512 pairs more are in doubt with probability
 * below 2^-84, and a chunk has 120 such parts (samplers.md). */
static int64_t n_looks(double std_steps, int64_t n_pairs)
{
    return n_pairs <= 512 && std_steps <= 0x1p30 ? 12
                                                 : grid_n_exact(std_steps, n_pairs);
}

static inline uint64_t is_any(uint64_t bits)
{
    return (bits | (0 - bits)) >> 63;
}

/* Their numbers; returns how many. Looks in vain leave pair 0 behind the last. */
CPU_INLINE int64_t list_doubts(struct doubts *doubts, int64_t looks, uint16_t *list)
{
    int64_t n_listed = 0, block = 0;
    doubts->bits[doubts->n_blocks] = 0;
    doubts->first[doubts->n_blocks] = 0;
    for (int64_t k = 0; k < looks || block < doubts->n_blocks; k++) {
        uint64_t left = doubts->bits[block], has_left = is_any(left);
        uint64_t more = left & (left - 1);
        int lowest = __builtin_ctzll(left | (has_left ^ 1));
        list[n_listed] = (uint16_t)(doubts->first[block] + lowest);
        n_listed += (int64_t)has_left;
        doubts->bits[block] = more;
        block += (int64_t)(has_left & (is_any(more) ^ 1));
    }
    return n_listed;
}

/* Of a block; draws are secrets: with one the sum that it hides can be had back. */
struct block {
    double first[PAIRS], second[PAIRS], draws[2 * PAIRS];
    uint64_t in_doubt[PAIRS];
};

CPU_CLONES int64_t grid_noise_sure(const struct grid *grid, int64_t n,
                                   const uint64_t *bits, double *x, uint16_t *list)
{
    struct block block;
    struct doubts doubts;
    int64_t n_pairs = n / 2, n_blocks = 0;
    for (int64_t at = 0; at < n_pairs; at += PAIRS) {
        int64_t n_now = n_pairs - at < PAIRS ? n_pairs - at : PAIRS;
        uint64_t in_doubt = 0;
        draw_pairs(n_now, grid->std_steps, bits + 2 * at, block.first, block.second,
                   block.in_doubt);
        for (int64_t i = 0; i < n_now; i++) {
            block.draws[2 * i] = block.first[i];
            block.draws[2 * i + 1] = block.second[i];
        }
        for (int64_t i = 0; i < 2 * n_now; i++) {
            x[2 * at + i] += grid->step * block.draws[i];
        }
        for (int64_t i = 0; i < n_now; i++) {
            in_doubt |= block.in_doubt[i] << i;
        }
        doubts.bits[n_blocks] = in_doubt;
        doubts.first[n_blocks] = (uint16_t)at;
        n_blocks += (int64_t)is_any(in_doubt);
    }
    doubts.n_blocks = n_blocks;
    memset(&block, 0, sizeof block);
    __asm__ volatile("" : : "r"(&block) : "memory");
    return list_doubts(&doubts, n_looks(grid->std_steps, n_pairs), list);
}

void grid_noise_exact(const struct grid *grid, const uint64_t bits[2],
                      const uint64_t extra[GRID_EXTRA_WORDS], bool is_wanted, double *x)
{
    int64_t draw[2], mask = -(int64_t)is_wanted;
    polar_round(grid->std_steps, bits, extra, draw);
    x[0] += grid->step * (double)(draw[0] & mask);
    x[1] += grid->step * (double)(draw[1] & mask);
    memset(draw, 0, sizeof draw);
    __asm__ volatile("" : : "r"(draw) : "memory");
}

void grid_noise(const struct grid *grid, int64_t n, const uint64_t *bits,
                const struct grid_source *source, double *x)
{
    uint64_t extra[GRID_EXTRA_WORDS];
    uint16_t list[CHUNK_PAIRS + 1];
    for (int64_t at = 0; at < n / 2; at += CHUNK_PAIRS) {
        int64_t left = n / 2 - at, n_pairs = left < CHUNK_PAIRS ? left : CHUNK_PAIRS;
        int64_t n_exact = grid_n_exact(grid->std_steps, n_pairs);
        memset(list, 0, (size_t)(n_pairs + 1) * sizeof *list);
        int64_t n_listed =
            grid_noise_sure(grid, 2 * n_pairs, bits + 2 * at, x + 2 * at, list);
        for (int64_t i = 0; i < n_exact || i < n_listed; i++) {
            int64_t pair = at + list[i];
            source->extra(source->state, pair, extra);
            grid_noise_exact(grid, bits + 2 * pair, extra, i < n_listed, x + 2 * pair);
        }
    }
    memset(list, 0, sizeof list);
    memset(extra, 0, sizeof extra);
    __asm__ volatile("" : : "r"(list), "r"(extra) : "memory");
}

CPU_CLONES static void add_and_clear(int64_t n, double *restrict drawn,
                                     double *restrict x)
{
    for (int64_t i = 0; i < n; i++) {
        x[i] += drawn[i];
        drawn[i] = 0.0;
    }
}

void grid_add_drawn(int64_t n, double *drawn, double *x)
{
    add_and_clear(n, drawn, x);
    __asm__ volatile("" : : "r"(drawn) : "memory"); /* no dead stores */
}

CPU_CLONES void grid_add_sum(int64_t n, const double *restrict x, double *restrict sum)
{
    for (int64_t i = 0; i < n; i++) {
        sum[i] += x[i];
    }
}

/* A pair is in doubt with probability at most p = std_steps 2^-43 + 2^-20
 * (samplers.md), and k of n with at most (n p)^k / k!. */
int64_t grid_n_exact(double std_steps, int64_t n_pairs)
{
    double expected = (double)n_pairs * (std_steps * 0x1p-43 + 0x1p-20), chance = 1.0;
    for (int64_t k = 1; k <= n_pairs; k++) {
        chance *= expected / (double)k;
        if (chance < 0x1p-64 && (double)k > expected) {
            return k - 1;
        }
    }
    return n_pairs;
}

bool grid_plan(double sensitivity, double noise_multiplier, int64_t n_coordinates,
               int64_t n_parts, struct grid *ret_grid, double *ret_clip)
{
    const double most = 0x1p500;
    if (!(sensitivity > 1.0 / most && sensitivity < most && noise_multiplier > 0.0 &&
          noise_multiplier < most) ||
        n_coordinates < 1 || n_coordinates > (int64_t)1 << 40 || n_parts < 1 ||
        n_parts > 1 << 20) {
        return false;
    }
    double width = sqrt((double)n_coordinates) * (1.0 + 0x1p-50);
    int exponent;
    (void)frexp(sensitivity * 0x1p-16 / width, &exponent);
    double step = ldexp(1.0, exponent - 1);
    double std_steps = nextafter(noise_multiplier * (sensitivity / step), INFINITY);
    if (!(std_steps <= GRID_MAX_STD_STEPS && std_steps >= 1.0 / GRID_MAX_STD_STEPS)) {
        return false;
    }
    *ret_grid = (struct grid){step, std_steps, floor(0x1p52 / (double)n_parts)};
    *ret_clip = nextafter(sensitivity - width * step, 0.0);
    return true;
}

bool grid_for_integers(double std, struct grid *ret_grid)
{
    if (!(std >= 1.0 / GRID_MAX_STD_STEPS && std <= GRID_MAX_STD_STEPS)) {
        return false;
    }
    *ret_grid = (struct grid){1.0, std, 0x1p52};
    return true;
}

CPU_CLONES void grid_add(const struct grid *grid, int64_t n, const float *x,
                         double *sum)
{
    double step = grid->step, inverse = 1.0 / step, most = grid->max_steps;
    for (int64_t i = 0; i < n; i++) {
        double steps = rint((double)x[i] * inverse); /* exact but for the rint */
        steps = steps < most ? steps : most;
        steps = steps > -most ? steps : -most;
        double total = sum[i] * inverse + (x[i] == x[i] ? steps : 0.0); /* < 2^53 */
        total = total < most ? total : most;
        total = total > -most ? total : -most;
        sum[i] = total * step;
    }
}

CPU_CLONES void grid_round(const struct grid *grid, int64_t n, double *x)
{
    double step = grid->step, inverse = 1.0 / step, most = grid->max_steps;
    for (int64_t i = 0; i < n; i++) {
        double steps = rint(x[i] * inverse);
        steps = steps < most ? steps : most;
        steps = steps > -most ? steps : -most;
        x[i] = x[i] == x[i] ? steps * step : 0.0;
    }
}
