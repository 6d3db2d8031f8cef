#include "kernels/discrete.h"

#include <math.h>
#include <string.h>

/* What a step's word decides. BERNOULLI stages run algorithm 1 for an exponent num/den
 * of at most 1: k counts up while Bernoulli(num / (den k)) succeeds, and odd is true.
 */
enum stage {
    STAGE_UNIFORM,  /* part = uniform below scale */
    STAGE_PART,     /* keep it with exp(-part / scale) */
    STAGE_WHOLE,    /* exp(-1): one scale more */
    STAGE_ACCEPT_1, /* exp(-1): one of the whole numbers in rest / b */
    STAGE_ACCEPT,   /* exp(-rest / b), rest < b */
};

enum {
    MAX_WHOLE = 127, /* exp(-128) < 2^-184 */
    MAX_K = 254,     /* 1 / 254! < 2^-1600 */
    BUFFER_WORDS = 512,
};

#define MAX_LAPLACE (1ull << 55)

/* yes where bit is 1, no where it is 0. */
static inline uint64_t choose(uint64_t bit, uint64_t yes, uint64_t no)
{
    return no ^ ((0 - bit) & (yes ^ no));
}

static inline unsigned __int128 choose_wide(uint64_t bit, unsigned __int128 yes,
                                            unsigned __int128 no)
{
    return no ^ ((0 - (unsigned __int128)bit) & (yes ^ no));
}

static inline uint64_t is_less(unsigned __int128 x, unsigned __int128 y)
{
    return (uint64_t)((x - y) >> 127); /* both below 2^127 */
}

/* 2^n - 1 >= x, the smallest. */
static inline unsigned __int128 cover(unsigned __int128 x)
{
    for (int shift = 1; shift < 128; shift *= 2) {
        x |= x >> shift;
    }
    return x;
}

static inline uint64_t is_stage(const struct discrete_state *state, enum stage stage)
{
    uint64_t difference = state->stage ^ (uint64_t)stage;
    return (difference - 1) >> 63;
}

/* Where bit is 1: decide on keeping by exp(-rest / b), the whole part first. */
static inline void accept_by(const struct discrete *discrete, uint64_t bit,
                             unsigned __int128 rest, struct discrete_state *state)
{
    uint64_t is_part = is_less(rest, discrete->b);
    state->rest = choose_wide(bit, rest, state->rest);
    state->stage =
        choose(bit, choose(is_part, STAGE_ACCEPT, STAGE_ACCEPT_1), state->stage);
    state->num = choose_wide(bit, choose_wide(is_part, rest, 1), state->num);
    state->den = choose_wide(bit, choose_wide(is_part, discrete->b, 1), state->den);
    state->k = choose(bit, choose(is_part, 1, 2), state->k);
}

/* Where bit is 1: the given Bernoulli stage with exponent num / den. k = 2 where that
 * is 1, as the first trial cannot fail. */
static inline void bernoulli_by(uint64_t bit, enum stage stage, uint64_t num,
                                uint64_t den, uint64_t k, struct discrete_state *state)
{
    state->stage = choose(bit, (uint64_t)stage, state->stage);
    state->num = choose_wide(bit, num, state->num);
    state->den = choose_wide(bit, den, state->den);
    state->k = choose(bit, k, state->k);
}

void discrete_start(const struct discrete *discrete, struct discrete_state *ret_state)
{
    *ret_state = (struct discrete_state){.den = discrete->scale, .k = 1};
    if (discrete->kind == DISCRETE_BERNOULLI) {
        accept_by(discrete, 1, discrete->a, ret_state);
    }
}

static inline bool step(const struct discrete *discrete, unsigned __int128 word,
                        struct discrete_state *state, int64_t *ret_draw)
{
    const bool is_bernoulli = discrete->kind == DISCRETE_BERNOULLI;
    unsigned __int128 bound = state->den * state->k; /* below 2^127 */
    unsigned __int128 value = word & cover(bound - 1);
    uint64_t is_negative = (uint64_t)(word >> 127);

    uint64_t is_uniform = is_stage(state, STAGE_UNIFORM);
    uint64_t is_valid = is_less(value, bound);
    uint64_t is_hit = is_less(value, state->num) & (is_uniform ^ 1);
    uint64_t is_over = is_less(MAX_K, state->k);
    uint64_t is_done = is_valid & ((is_hit ^ 1) | is_over), is_odd = state->k & 1;
    uint64_t yes = is_done & is_odd, no = is_done & (is_odd ^ 1);
    state->k += is_valid & is_hit;

    uint64_t drawn = is_done & is_uniform;
    uint64_t part_yes = yes & is_stage(state, STAGE_PART);
    uint64_t whole = is_stage(state, STAGE_WHOLE);
    uint64_t whole_yes = yes & whole, whole_no = no & whole;
    uint64_t one_yes = yes & is_stage(state, STAGE_ACCEPT_1);
    uint64_t accepted = yes & is_stage(state, STAGE_ACCEPT);
    uint64_t rejected = (no & (is_uniform ^ 1) & (whole ^ 1));

    /* the Laplace draw: part + whole scale, with a sign; not -0 */
    state->part = choose(drawn, (uint64_t)value, state->part);
    state->whole = choose(part_yes, 0, state->whole) + whole_yes;
    uint64_t magnitude = state->part + state->whole * discrete->scale;
    uint64_t is_zero = is_less(magnitude, discrete->divisor);
    uint64_t is_laplace = whole_no & ((is_negative & is_zero) ^ 1);
    uint64_t is_over_whole = whole_yes & is_less(MAX_WHOLE, state->whole);
    state->is_negative = choose(whole_no, is_negative, state->is_negative);

    uint64_t is_draw = is_bernoulli ? accepted | rejected : is_laplace;
    uint64_t restart =
        rejected | is_draw | (whole_no & (is_laplace ^ 1)) | is_over_whole;
    int64_t sign = -(int64_t)state->is_negative;
    *ret_draw = is_bernoulli ? (int64_t)accepted : ((int64_t)magnitude ^ sign) - sign;

    bernoulli_by(drawn, STAGE_PART, state->part, discrete->scale, 1, state);
    bernoulli_by(part_yes | whole_yes, STAGE_WHOLE, 1, 1, 2, state);
    if (is_bernoulli) {
        accept_by(discrete, one_yes, state->rest - discrete->b, state);
        accept_by(discrete, restart, discrete->a, state);
        return is_draw != 0;
    }
    bernoulli_by(restart, STAGE_UNIFORM, 0, discrete->scale, 1, state);
    return is_draw != 0;
}

bool discrete_step(const struct discrete *discrete, unsigned __int128 word,
                   struct discrete_state *state, int64_t *ret_draw)
{
    return step(discrete, word, state, ret_draw);
}

/* Runs n_steps; draws beyond n are thrown away. */
static void run(const struct discrete *discrete, int64_t n_steps,
                const struct discrete_source *source, struct discrete_state *state,
                int64_t n, int64_t *x, int64_t *n_drawn)
{
    uint64_t words[BUFFER_WORDS];
    while (n_steps > 0) {
        int64_t n_now = n_steps < BUFFER_WORDS / 2 ? n_steps : BUFFER_WORDS / 2;
        source->words(source->state, words, 2 * n_now);
        for (int64_t i = 0; i < n_now; i++) {
            int64_t draw;
            unsigned __int128 word = words[2 * i];
            uint64_t is_draw =
                step(discrete, word << 64 | words[2 * i + 1], state, &draw);
            uint64_t has_room = (uint64_t)(*n_drawn - n) >> 63;
            int64_t *at = x + (*n_drawn - (int64_t)(has_room ^ 1));
            *at = (int64_t)choose(is_draw & has_room, (uint64_t)draw, (uint64_t)*at);
            *n_drawn += (int64_t)(is_draw & has_room);
        }
        n_steps -= n_now;
    }
    memset(words, 0, sizeof words);
    __asm__ volatile("" : : "r"(words) : "memory");
}

void discrete_draw(const struct discrete *discrete, int64_t n,
                   const struct discrete_source *source, int64_t *x)
{
    struct discrete_state state;
    int64_t n_drawn = 0;
    if (n < 1) {
        return;
    }
    memset(x, 0, (size_t)n * sizeof *x);
    discrete_start(discrete, &state);
    run(discrete, discrete_n_steps(discrete, n), source, &state, n, x, &n_drawn);
    while (n_drawn < n) { /* with probability below 2^-64 */
        run(discrete, BUFFER_WORDS / 2, source, &state, n, x, &n_drawn);
    }
    if (discrete->divisor > 1) {
        for (int64_t i = 0; i < n; i++) {
            x[i] /= (int64_t)discrete->divisor;
        }
    }
    memset(&state, 0, sizeof state);
    __asm__ volatile("" : : "r"(&state) : "memory");
}

/* Of a word, that it is below bound once cut to as many digits. */
static double chance_valid(unsigned __int128 bound)
{
    return (double)bound / ((double)cover(bound - 1) + 1.0);
}

/* Mean of z^steps until a word is valid. */
static double until_valid(double z, unsigned __int128 bound)
{
    double chance = chance_valid(bound), left = 1.0 - z * (1.0 - chance);
    return left > 0.0 ? z * chance / left : INFINITY;
}

/* The same for a Bernoulli run with exponent num / den <= 1, an upper bound: trial j is
 * reached with probability at most 1 / (j - 1)!, or 1 / j! where num is uniform below
 * den. */
static double until_decided(double z, unsigned __int128 den, bool is_uniform)
{
    double mean = 1.0, product = 1.0, reached = 1.0;
    for (unsigned j = 1; j <= 40; j++) {
        reached /= is_uniform ? j : j > 1 ? j - 1 : 1;
        double before = product;
        product *= until_valid(z, den * j);
        mean += reached * (product - before);
    }
    return mean;
}

/* The same for how often exp(-1) succeeds in a row, and the failure. */
static double until_failure(double z)
{
    double yes = 0.0, no = 0.0, product = 1.0, reached = 1.0;
    for (unsigned j = 2; j <= 40; j++) {
        product *= until_valid(z, j);
        *(j % 2 == 0 ? &no : &yes) += product * reached * (1.0 - 1.0 / j);
        reached /= j;
    }
    return yes < 1.0 ? no / (1.0 - yes) : INFINITY;
}

/* The same for tries repeated until one succeeds, which each does with at least this
 * chance and in at least this many steps; one_try is the bound for a single one. */
static double until_success(double z, double one_try, double chance, int n_least)
{
    double success = chance * pow(z, n_least), left = 1.0 - one_try + success;
    return left > 0.0 ? success / left : INFINITY;
}

static double until_draw(const struct discrete *discrete, double z)
{
    double whole = until_failure(z), keep = until_decided(z, discrete->b, false);
    if (discrete->kind == DISCRETE_BERNOULLI) {
        return whole * keep;
    }
    double scale = (double)discrete->scale;
    double part =
        until_valid(z, discrete->scale) * until_decided(z, discrete->scale, true);
    double laplace = until_success(z, part, 1.0 - exp(-1.0), 2) * whole;
    double chance = 0.5 + 0.5 * exp(-(double)discrete->divisor / scale);
    return until_success(z, laplace, chance, 3);
}

int64_t discrete_n_steps(const struct discrete *discrete, int64_t n)
{
    const double nats = 64.0 * 0.6931471805599453;
    double least = 0x1p62;
    for (int i = 0; i < 100; i++) {
        double z = 1.0 + exp2(-0.25 * (i + 4));
        double mean = until_draw(discrete, z) * (1.0 + 0x1p-40); /* rounding */
        least = fmin(least, ((double)n * log(mean) + nats) / log(z));
    }
    return (int64_t)ceil(least);
}

bool discrete_bernoulli(uint64_t a, uint64_t b, struct discrete *ret)
{
    if (b < 1) {
        return false;
    }
    *ret = (struct discrete){
        .kind = DISCRETE_BERNOULLI, .scale = 1, .divisor = 1, .a = a, .b = b};
    return true;
}

bool discrete_laplace(uint64_t scale, uint64_t divisor, struct discrete *ret)
{
    if (scale < 1 || scale > MAX_LAPLACE || divisor < 1 || divisor > MAX_LAPLACE) {
        return false;
    }
    *ret = (struct discrete){
        .kind = DISCRETE_LAPLACE, .scale = scale, .divisor = divisor, .b = 1};
    return true;
}
