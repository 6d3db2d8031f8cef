/* Exact discrete samplers: the machine enumerated against the distributions, and many
 * draws of it by chi-square and in the tails (law.h). With the argument `long`: 10^8
 * draws instead of 10^7. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/discrete.h"
#include "tests/unit/kernels/law.h"

enum { MAX_MAGNITUDE = 400 };
static int64_t n_draws = 10000000;

/* Enumeration: the law of the machine's state after one word more, two, ..., by trying
 * every value of a word there is. States with less than dust are let go. */
enum { TABLE = 1 << 15 };
static const double dust = 1e-16, tolerance = 1e-9;

struct law {
    struct discrete_state state[TABLE];
    double chance[TABLE];
    int used[TABLE], n_used; /* slots in use */
};

struct tally {
    double draw[2 * MAX_MAGNITUDE + 1], all, again, lost;
};

static bool is_same(const struct discrete_state *a, const struct discrete_state *b)
{
    return a->stage == b->stage && a->k == b->k && a->part == b->part &&
           a->whole == b->whole && a->is_negative == b->is_negative &&
           a->num == b->num && a->den == b->den && a->rest == b->rest;
}

static void put(struct law *law, const struct discrete_state *state, double chance)
{
    uint64_t hash = 0,
             key[] = {state->stage, state->k,           state->part,
                      state->whole, state->is_negative, (uint64_t)state->rest};
    for (int i = 0; i < 6; i++) {
        hash = (hash ^ key[i]) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 29;
    }
    int at = (int)(hash % TABLE);
    while (law->chance[at] > 0.0 && !is_same(&law->state[at], state)) {
        at = (at + 1) % TABLE;
    }
    if (law->chance[at] == 0.0) {
        law->state[at] = *state;
        law->used[law->n_used++] = at;
        ck_assert_int_lt(law->n_used, TABLE / 2);
    }
    law->chance[at] += chance;
}

static bool is_restart(const struct discrete_state *a, const struct discrete_state *b)
{
    return a->stage == b->stage && a->k == b->k && a->num == b->num && a->den == b->den;
}

static void count_draw(const struct discrete *discrete, int64_t draw, double chance,
                       struct tally *tally)
{
    int64_t k = draw / (int64_t)discrete->divisor;
    ck_assert_int_le(llabs((long long)k), MAX_MAGNITUDE);
    tally->draw[k + MAX_MAGNITUDE] += chance;
    tally->all += chance;
}

/* Every value and sign of a word; the digits between must not matter. */
static void pass_on(const struct discrete *discrete, const struct discrete_state *start,
                    const struct discrete_state *from, double chance, struct law *next,
                    struct tally *tally)
{
    unsigned __int128 bound = from->den * from->k, cover = 1, top = 1;
    top <<= 127;
    while (cover < bound) {
        cover *= 2;
    }
    double each = chance / (2.0 * (double)bound);
    for (unsigned __int128 i = 0; i < 2 * cover; i++) {
        unsigned __int128 value = i >> 1, word = (value + 12345) * 0x9e3779b97f4a7c15u;
        word = word * word & ~(cover - 1) & ~top;
        word |= value | (i & 1 ? top : 0);
        struct discrete_state state = *from;
        int64_t draw;
        bool is_draw = discrete_step(discrete, word, &state, &draw);
        if (value >= bound) {
            ck_assert(!is_draw && is_same(&state, from));
        } else if (is_draw) {
            ck_assert(is_restart(&state, start));
            count_draw(discrete, draw, each, tally);
        } else if (discrete->kind != DISCRETE_BERNOULLI && is_restart(&state, start)) {
            tally->again += each;
        } else {
            put(next, &state, each);
        }
    }
}

static void enumerate(const struct discrete *discrete, struct tally *tally)
{
    struct law *now = calloc(1, sizeof *now), *next = calloc(1, sizeof *next);
    struct discrete_state start;
    *tally = (struct tally){0};
    discrete_start(discrete, &start);
    put(now, &start, 1.0);
    while (now->n_used > 0) {
        for (int i = 0; i < now->n_used; i++) {
            int at = now->used[i];
            if (now->chance[at] < dust) {
                tally->lost += now->chance[at];
            } else {
                pass_on(discrete, &start, &now->state[at], now->chance[at], next,
                        tally);
            }
            now->chance[at] = 0.0;
        }
        now->n_used = 0;
        struct law *other = now;
        now = next;
        next = other;
    }
    free(now), free(next);
    ck_assert_double_lt(fabs(tally->all + tally->again + tally->lost - 1.0), 1e-10);
    ck_assert_double_lt(tally->lost, 0.1 * tolerance);
}

/* What each magnitude weighs, unnormalised. */
static double weight(const void *of, int64_t k)
{
    const struct discrete *discrete = of;
    return exp(-(double)llabs(k) * (double)discrete->divisor / (double)discrete->scale);
}

static void draw_laplace(const void *of, int64_t n,
                         const struct discrete_source *source, int64_t *x)
{
    discrete_draw(of, n, source, x);
}

static struct law_tested tested(const struct discrete *discrete)
{
    return (struct law_tested){discrete, draw_laplace, weight};
}

static void check_enumerated(const struct discrete *discrete)
{
    static struct tally tally;
    struct law_tested law = tested(discrete);
    double total = law_total_weight(&law);
    enumerate(discrete, &tally);
    for (int64_t k = -MAX_MAGNITUDE; k <= MAX_MAGNITUDE; k++) {
        double found = tally.draw[k + MAX_MAGNITUDE] / tally.all;
        double expected = weight(discrete, k) / total;
        ck_assert_msg(fabs(found - expected) < tolerance, "%d: %.15g, not %.15g",
                      (int)k, found, expected);
    }
}

START_TEST(bernoulli_enumerated)
{
    static const uint64_t cases[][2] = {{0, 1}, {1, 1}, {2, 5}, {9, 10},
                                        {7, 3}, {5, 1}, {1, 7}, {40, 3}};
    for (int i = 0; i < 8; i++) {
        struct discrete discrete;
        static struct tally tally;
        ck_assert(discrete_bernoulli(cases[i][0], cases[i][1], &discrete));
        enumerate(&discrete, &tally);
        double expected = exp(-(double)cases[i][0] / (double)cases[i][1]);
        ck_assert_double_lt(fabs(tally.draw[MAX_MAGNITUDE + 1] - expected), tolerance);
        ck_assert_double_lt(fabs(tally.draw[MAX_MAGNITUDE] - 1.0 + expected),
                            tolerance);
    }
}
END_TEST

START_TEST(laplace_enumerated)
{
    static const uint64_t cases[][2] = {{1, 1}, {2, 1}, {3, 2},
                                        {1, 3}, {7, 2}, {10, 1}};
    for (int i = 0; i < 6; i++) {
        struct discrete discrete;
        ck_assert(discrete_laplace(cases[i][0], cases[i][1], &discrete));
        check_enumerated(&discrete);
    }
}
END_TEST

START_TEST(laplace_law)
{
    struct discrete discrete;
    ck_assert(discrete_laplace(10, 3, &discrete));
    struct law_tested law = tested(&discrete);
    law_check(&law, n_draws, 61, 1, 38, 1);
}
END_TEST

/* The largest parameter: no overflow shows in mean and variance. */
START_TEST(largest_parameter)
{
    const double variance = 2.0 * 0x1p110, fourth = 6.0; /* over variance^2 */
    struct law_stream stream = law_open(3);
    struct discrete_source source = {law_words, &stream};
    int64_t *x = malloc(LAW_BLOCK * sizeof *x);
    struct discrete discrete;
    double sum = 0.0, squares = 0.0;
    ck_assert(discrete_laplace(1ull << 55, 1, &discrete));
    discrete_draw(&discrete, LAW_BLOCK, &source, x);
    for (int j = 0; j < LAW_BLOCK; j++) {
        sum += (double)x[j] / LAW_BLOCK;
        squares += (double)x[j] * (double)x[j] / LAW_BLOCK;
    }
    ck_assert_double_lt(fabs(sum), LAW_MAX_SIGMAS * sqrt(variance / LAW_BLOCK));
    double room = variance * sqrt((fourth - 1.0) / LAW_BLOCK);
    ck_assert_double_lt(fabs(squares - variance), LAW_MAX_SIGMAS * room);
    crypto_stream_free(stream.crypto);
    free(x);
}
END_TEST

/* Every batch of a size uses the same number of words, whatever is drawn. */
START_TEST(work_depends_on_the_size_only)
{
    struct law_stream stream = law_open(4);
    struct discrete_source source = {law_words, &stream};
    struct discrete discrete;
    int64_t x[100];
    ck_assert(discrete_laplace(17, 10, &discrete));
    for (int n = 1; n <= 100; n += 33) {
        for (int i = 0; i < 200; i++) {
            stream.n_words = 0;
            discrete_draw(&discrete, n, &source, x);
            ck_assert_int_eq(stream.n_words, 2 * discrete_n_steps(&discrete, n));
        }
    }
    crypto_stream_free(stream.crypto);
}
END_TEST

/* Steps that n draws take in fact, of many batches, never come near the bound, nor is
 * the bound far above their mean where n is large. */
START_TEST(enough_steps)
{
    struct law_stream stream = law_open(5);
    struct discrete discrete;
    uint64_t w[2];
    static const uint64_t scales[][2] = {{1, 3}, {17, 10}, {1000, 1}};
    for (int i = 0; i < 3; i++) {
        struct discrete_state state;
        int64_t draw, n_steps = 0, worst = 0, at = 0;
        ck_assert(discrete_laplace(scales[i][0], scales[i][1], &discrete));
        discrete_start(&discrete, &state);
        for (int n = 0; n < 20000; n_steps++) {
            law_words(&stream, w, 2);
            if (discrete_step(&discrete, (unsigned __int128)w[0] << 64 | w[1], &state,
                              &draw)) {
                worst = n_steps + 1 - at > worst ? n_steps + 1 - at : worst;
                at = n_steps + 1;
                n++;
            }
        }
        ck_assert_int_lt(2 * worst, discrete_n_steps(&discrete, 1));
        ck_assert_int_lt(n_steps, discrete_n_steps(&discrete, 20000));
        ck_assert_int_lt(discrete_n_steps(&discrete, 20000), 3 * n_steps);
    }
    crypto_stream_free(stream.crypto);
}
END_TEST

/* A source that never lets a word be accepted at first: draws come all the same. */
static void stubborn(void *state, uint64_t *ret_words, int64_t n)
{
    struct law_stream *stream = state;
    law_words(state, ret_words, n);
    if (stream->n_words < 200000) {
        memset(ret_words, 0xff, (size_t)n * sizeof *ret_words);
    }
}

START_TEST(goes_on_where_steps_were_not_enough)
{
    struct law_stream stream = law_open(6);
    struct discrete_source source = {stubborn, &stream};
    struct discrete discrete;
    int64_t x[10] = {0}, any = 0;
    ck_assert(discrete_laplace(1000, 1, &discrete));
    discrete_draw(&discrete, 10, &source, x);
    ck_assert_int_gt(stream.n_words, 200000);
    for (int i = 0; i < 10; i++) {
        any += x[i] != 0;
    }
    ck_assert_int_gt(any, 8);
    crypto_stream_free(stream.crypto);
}
END_TEST

START_TEST(refuses_what_would_overflow)
{
    struct discrete discrete = {.kind = DISCRETE_LAPLACE, .scale = 77};
    ck_assert(!discrete_bernoulli(1, 0, &discrete));
    ck_assert(!discrete_laplace(0, 1, &discrete));
    ck_assert(!discrete_laplace(1, 0, &discrete));
    ck_assert(!discrete_laplace((1ull << 55) + 1, 1, &discrete));
    ck_assert(!discrete_laplace(1, UINT64_MAX, &discrete));
    ck_assert_uint_eq(discrete.scale, 77);
}
END_TEST

int main(int argc, char **argv)
{
    n_draws = argc > 1 && strcmp(argv[1], "long") == 0 ? 100000000 : n_draws;
    Suite *suite = suite_create("kernels");
    TCase *tcase = tcase_create("discrete");
    tcase_set_timeout(tcase, 600);
    tcase_add_test(tcase, bernoulli_enumerated);
    tcase_add_test(tcase, laplace_enumerated);
    tcase_add_test(tcase, laplace_law);
    tcase_add_test(tcase, largest_parameter);
    tcase_add_test(tcase, work_depends_on_the_size_only);
    tcase_add_test(tcase, enough_steps);
    tcase_add_test(tcase, goes_on_where_steps_were_not_enough);
    tcase_add_test(tcase, refuses_what_would_overflow);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
