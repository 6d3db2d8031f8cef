/* Exact discrete samplers: the machine enumerated against the distributions, and many
 * draws of it by chi-square and in the tails. The key is fixed, so a run is
 * reproducible; for a key drawn at random each statistical test would fail with a
 * probability under 1e-8 (normal quantile 6). With the argument `long`: 10^8 draws of
 * each distribution instead of 10^7. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "kernels/discrete.h"

enum { BLOCK = 1 << 16, MAX_MAGNITUDE = 400 };
static const double max_sigmas = 6.0;
static int64_t n_draws = 10000000;

struct stream {
    struct crypto_stream *crypto;
    int64_t n_words;
};

static void words(void *state, uint64_t *ret_words, int64_t n)
{
    struct stream *stream = state;
    crypto_stream_read(stream->crypto, ret_words, (size_t)n * sizeof *ret_words);
    stream->n_words += n;
}

static struct stream open_stream(unsigned char seed)
{
    unsigned char key[CRYPTO_KEY_SIZE] = {seed};
    return (struct stream){.crypto = crypto_stream_new(key)};
}

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
static double weight(const struct discrete *discrete, int64_t k)
{
    if (discrete->kind == DISCRETE_LAPLACE) {
        return exp(-(double)llabs(k) * (double)discrete->divisor /
                   (double)discrete->scale);
    }
    return exp(-(double)(k * k) * (double)discrete->denominator /
               (2.0 * (double)discrete->numerator));
}

static double total_weight(const struct discrete *discrete)
{
    double total = 0.0;
    for (int64_t k = 200000; k > 0; k--) {
        total += 2.0 * weight(discrete, k);
    }
    return total + 1.0;
}

static void check_enumerated(const struct discrete *discrete)
{
    static struct tally tally;
    double total = total_weight(discrete);
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

START_TEST(gaussian_enumerated)
{
    static const uint64_t cases[][2] = {{1, 1},  {1, 3}, {5, 4},
                                        {1, 20}, {4, 1}, {6, 1}};
    for (int i = 0; i < 6; i++) {
        struct discrete discrete;
        ck_assert(discrete_gaussian(cases[i][0], cases[i][1], &discrete));
        check_enumerated(&discrete);
    }
}
END_TEST

/* Quantile of chi-square by Wilson and Hilferty (1931). */
static double chi_square_limit(int df)
{
    double part = 2.0 / (9.0 * df);
    return df * pow(1.0 - part + max_sigmas * sqrt(part), 3.0);
}

/* Cells of `width` integers, the outer two to infinity, and the share of the draws
 * beyond `far`. */
static void check_law(const struct discrete *discrete, int n_cells, int64_t width,
                      int64_t far, unsigned char seed)
{
    struct stream stream = open_stream(seed);
    struct discrete_source source = {words, &stream};
    int64_t *x = malloc(BLOCK * sizeof *x), middle = n_cells / 2;
    double *count = calloc((size_t)n_cells, sizeof *count);
    double *expected = calloc((size_t)n_cells, sizeof *expected);
    double n = 0.0, n_far = 0.0, far_weight = 0.0, total = total_weight(discrete);
    for (; n < (double)n_draws; n += BLOCK) {
        discrete_draw(discrete, BLOCK, &source, x);
        for (int i = 0; i < BLOCK; i++) {
            double cell = floor((double)x[i] / (double)width) + (double)middle;
            count[(int)fmin(fmax(cell, 0.0), n_cells - 1.0)]++;
            n_far += llabs((long long)x[i]) > far;
        }
    }
    for (int64_t k = -200000; k <= 200000; k++) {
        double cell = floor((double)k / (double)width) + (double)middle;
        double share = weight(discrete, k) / total;
        expected[(int)fmin(fmax(cell, 0.0), n_cells - 1.0)] += n * share;
        far_weight += llabs((long long)k) > far ? share : 0.0;
    }
    double chi_square = 0.0;
    for (int i = 0; i < n_cells; i++) {
        ck_assert_double_gt(expected[i], 20.0);
        chi_square += (count[i] - expected[i]) * (count[i] - expected[i]) / expected[i];
    }
    ck_assert_double_lt(chi_square, chi_square_limit(n_cells - 1));
    ck_assert_double_gt(n * far_weight, 20.0);
    ck_assert_double_lt(fabs(n_far - n * far_weight),
                        max_sigmas * sqrt(n * far_weight) + 6.0);
    crypto_stream_free(stream.crypto);
    free(x), free(count), free(expected);
}

START_TEST(laplace_law)
{
    struct discrete discrete;
    ck_assert(discrete_laplace(10, 3, &discrete));
    check_law(&discrete, 61, 1, 38, 1);
}
END_TEST

START_TEST(gaussian_law)
{
    struct discrete discrete;
    ck_assert(discrete_gaussian(1000003, 7, &discrete)); /* sigma 378 */
    check_law(&discrete, 301, 10, 1701, 2);
}
END_TEST

/* The largest parameters: no overflow shows in mean and variance. */
START_TEST(largest_parameters)
{
    static const uint64_t variances[][2] = {
        {1ull << 54, 1}, {(1ull << 54) - 1, 1}, {1ull << 54, 1ull << 54},
        {1, 1ull << 54}, {(1ull << 54) - 5, 3}, {3, 4}};
    struct stream stream = open_stream(3);
    struct discrete_source source = {words, &stream};
    int64_t *x = malloc(BLOCK * sizeof *x);
    struct discrete discrete;
    for (int i = 0; i < 7; i++) {
        double variance = 2.0 * 0x1p110, fourth = 6.0; /* of Laplace, over variance^2 */
        if (i < 6) {
            ck_assert(discrete_gaussian(variances[i][0], variances[i][1], &discrete));
            variance = (double)variances[i][0] / (double)variances[i][1];
            fourth = 3.0;
        } else {
            ck_assert(discrete_laplace(1ull << 55, 1, &discrete));
        }
        double sum = 0.0, squares = 0.0;
        discrete_draw(&discrete, BLOCK, &source, x);
        for (int j = 0; j < BLOCK; j++) {
            sum += (double)x[j] / BLOCK;
            squares += (double)x[j] * (double)x[j] / BLOCK;
        }
        ck_assert_double_lt(fabs(sum), max_sigmas * sqrt(variance / BLOCK) + 1e-12);
        if (variance > 0.9) { /* below, a discrete Gaussian's is smaller */
            double room = variance * sqrt((fourth - 1.0) / BLOCK);
            ck_assert_double_lt(fabs(squares - variance), max_sigmas * room);
        }
    }
    crypto_stream_free(stream.crypto);
    free(x);
}
END_TEST

/* Every batch of a size uses the same number of words, whatever is drawn. */
START_TEST(work_depends_on_the_size_only)
{
    struct stream stream = open_stream(4);
    struct discrete_source source = {words, &stream};
    struct discrete discrete;
    int64_t x[100];
    ck_assert(discrete_gaussian(17, 10, &discrete));
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
    struct stream stream = open_stream(5);
    struct discrete discrete;
    uint64_t w[2];
    static const uint64_t variances[][2] = {{1, 3}, {17, 10}, {1000000, 1}};
    for (int i = 0; i < 3; i++) {
        struct discrete_state state;
        int64_t draw, n_steps = 0, worst = 0, at = 0;
        ck_assert(discrete_gaussian(variances[i][0], variances[i][1], &discrete));
        discrete_start(&discrete, &state);
        for (int n = 0; n < 20000; n_steps++) {
            words(&stream, w, 2);
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
    struct stream *stream = state;
    words(state, ret_words, n);
    if (stream->n_words < 200000) {
        memset(ret_words, 0xff, (size_t)n * sizeof *ret_words);
    }
}

START_TEST(goes_on_where_steps_were_not_enough)
{
    struct stream stream = open_stream(6);
    struct discrete_source source = {stubborn, &stream};
    struct discrete discrete;
    int64_t x[10] = {0}, any = 0;
    ck_assert(discrete_gaussian(1000000, 1, &discrete));
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
    ck_assert(!discrete_gaussian(0, 1, &discrete));
    ck_assert(!discrete_gaussian(1, 0, &discrete));
    ck_assert(!discrete_gaussian((1ull << 54) + 1, 1, &discrete));
    ck_assert(!discrete_gaussian(1, (1ull << 54) + 1, &discrete));
    ck_assert(!discrete_gaussian(UINT64_MAX, UINT64_MAX, &discrete));
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
    tcase_add_test(tcase, gaussian_enumerated);
    tcase_add_test(tcase, laplace_law);
    tcase_add_test(tcase, gaussian_law);
    tcase_add_test(tcase, largest_parameters);
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
