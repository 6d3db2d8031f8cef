/* Exact discrete Gaussian draws: fixed point against published digits of exp, what is
 * decided in double against fixed point, the candidates enumerated against the law, and
 * many draws by chi-square and in the tails (law.h). With the argument `long`: 10^8
 * draws instead of 10^7. */
#include <check.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/staircase.h"
#include "tests/unit/kernels/law.h"

static int64_t n_draws = 10000000;

struct variance {
    uint64_t numerator, denominator;
};

static struct staircase plan(struct variance variance)
{
    struct staircase staircase;
    ck_assert(staircase_plan(variance.numerator, variance.denominator, &staircase));
    return staircase;
}

static struct fraction read_fraction(const char *hex)
{
    struct fraction x;
    ck_assert_int_eq(sscanf(hex, "%16" SCNx64 "%16" SCNx64 "%16" SCNx64 "%16" SCNx64,
                            &x.limb[3], &x.limb[2], &x.limb[1], &x.limb[0]),
                     4);
    return x;
}

/* |x - y| < 2^-places, places a multiple of 8. */
static void check_close(const struct fraction *x, const struct fraction *y, int places,
                        const char *line)
{
    struct fraction bound = {{0}}, high = *x, low = *y;
    bound.limb[(256 - places) / 64] = 1ull << (256 - places) % 64;
    if (fraction_is_less(x, y)) {
        high = *y;
        low = *x;
    }
    struct fraction limit = fraction_add(low, &bound);
    ck_assert_msg(fraction_is_less(&high, &limit) || fraction_is_less(&limit, &low),
                  "%s: %" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64, line, x->limb[3],
                  x->limb[2], x->limb[1], x->limb[0]);
}

static void check_exp(const char *line)
{
    uint64_t q, a, b;
    int at;
    ck_assert_int_eq(
        sscanf(line, "exp %" SCNu64 " %" SCNu64 " %" SCNu64 " %n", &q, &a, &b, &at), 3);
    struct fraction_rate rate = fraction_rate(a, b);
    struct fraction expected = read_fraction(line + at), found = fraction_exp(q, &rate);
    check_close(&found, &expected, 232, line);
}

static void check_from(const char *line)
{
    struct variance variance;
    int at;
    ck_assert_int_eq(sscanf(line, "from %" SCNu64 " %" SCNu64 " %n",
                            &variance.numerator, &variance.denominator, &at),
                     2);
    struct staircase staircase = plan(variance);
    for (int j = 0; j < STAIRCASE_STEPS - 1; j++) {
        struct fraction expected = read_fraction(line + at + 65 * j);
        check_close(&staircase.from[j], &expected, 216, line);
        ck_assert_uint_eq(staircase.head[j], staircase.from[j].limb[3] >> 16);
    }
}

START_TEST(fixed_point_has_its_digits)
{
    char path[512], line[2048];
    int n_exp = 0, n_from = 0;
    snprintf(path, sizeof path, "%s/tests/vectors/staircase.txt",
             getenv("PPT_SOURCE_DIR"));
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "exp", 3) == 0) {
            check_exp(line);
            n_exp++;
        } else if (strncmp(line, "from", 4) == 0) {
            check_from(line);
            n_from++;
        }
    }
    fclose(file);
    ck_assert_int_gt(n_exp, 20);
    ck_assert_int_eq(n_from, 8);
}
END_TEST

static const struct variance variances[] = {
    {1, 32}, {1, 3}, {1, 1}, {17, 10}, {15, 1}, {1000003, 7}, {1ull << 54, 1}};
enum { N_VARIANCES = sizeof variances / sizeof variances[0] };

/* Whatever digits come after, fixed point says what double said. */
static void check_decided(const struct staircase *staircase, uint64_t step,
                          uint64_t keep, int64_t value, uint64_t is_kept)
{
    static const uint64_t least[6] = {0},
                          most[6] = {UINT64_MAX, UINT64_MAX, UINT64_MAX,
                                     UINT64_MAX, UINT64_MAX, UINT64_MAX};
    for (int end = 0; end < 2; end++) {
        int64_t exact;
        uint64_t is_exact_kept =
            staircase_decide(staircase, step, keep, end == 0 ? least : most, &exact);
        ck_assert_int_eq(exact, value);
        ck_assert_uint_eq(is_exact_kept, is_kept);
    }
}

/* n candidates, of which so many are in doubt. */
static void check_candidates(const struct staircase *staircase, int n,
                             const uint64_t *step, const uint64_t *keep, int least,
                             int most)
{
    int64_t value[STAIRCASE_CHUNK];
    uint64_t is_kept[STAIRCASE_CHUNK];
    uint16_t list[STAIRCASE_CHUNK + 1];
    int64_t n_listed = staircase_try(staircase, n, step, keep, value, is_kept, list);
    ck_assert_int_ge(n_listed, least);
    ck_assert_int_le(n_listed, most);
    for (int i = 0, at = 0; i < n; i++) {
        if (at < n_listed && list[at] == i) {
            at++;
        } else {
            check_decided(staircase, step[i], keep[i], value[i], is_kept[i]);
        }
    }
}

static void random_candidates(struct law_stream *stream, uint64_t *step, uint64_t *keep)
{
    law_words(stream, step, STAIRCASE_CHUNK);
    law_words(stream, keep, STAIRCASE_CHUNK);
}

START_TEST(double_never_disagrees_with_fixed_point)
{
    struct staircase staircase = plan(variances[_i]);
    struct law_stream stream = law_open(1);
    uint64_t step[STAIRCASE_CHUNK], keep[STAIRCASE_CHUNK];
    for (int turn = 0; turn < 3; turn++) {
        random_candidates(&stream, step, keep);
        check_candidates(&staircase, STAIRCASE_CHUNK, step, keep, 0, 0);
    }
    crypto_stream_free(stream.crypto);
}
END_TEST

/* The digits at which a candidate of this step and place is no longer kept. */
static uint64_t last_kept(const struct staircase *staircase, uint64_t step,
                          uint64_t place)
{
    static const uint64_t extra[6] = {0};
    uint64_t low = 0, high = 1ull << 48;
    int64_t value;
    while (high - low > 1) {
        uint64_t middle = (low + high) / 2;
        *(staircase_decide(staircase, step, middle << 16 | place, extra, &value) != 0
              ? &low
              : &high) = middle;
    }
    return low;
}

/* Where digits are close to a chance or to a step's edge: just these are in doubt, and
 * a few are sure on both sides. */
START_TEST(the_doubtful_are_listed)
{
    struct staircase staircase = plan(variances[_i]);
    struct law_stream stream = law_open(2);
    uint64_t step[STAIRCASE_CHUNK], keep[STAIRCASE_CHUNK];
    random_candidates(&stream, step, keep);
    for (int i = 0; i < STAIRCASE_CHUNK; i++) {
        step[i] &= ~0x8000ull; /* positive: -0 is never kept */
    }
    for (int i = 0; i < STAIRCASE_CHUNK; i += 8) {
        uint64_t place = keep[i] & 0xffff, edge = last_kept(&staircase, step[i], place);
        for (int j = 0; j < 8; j++) {
            uint64_t digits = edge + (uint64_t)j - 4;
            digits = digits >> 63 ? 0 : digits >> 48 ? (1ull << 48) - 1 : digits;
            step[i + j] = step[i];
            keep[i + j] = digits << 16 | place;
        }
    }
    check_candidates(&staircase, STAIRCASE_CHUNK, step, keep, STAIRCASE_CHUNK / 8,
                     STAIRCASE_CHUNK / 2);
    random_candidates(&stream, step, keep);
    int n_edges = 0;
    for (int i = 0; i < STAIRCASE_CHUNK; i++) {
        uint64_t digits = staircase.head[i / 3 % 17] + (uint64_t)(i % 3) - 1;
        digits = digits >> 48 ? (1ull << 48) - 1 : digits;
        n_edges += i % 3 == 1;
        step[i] = digits << 16 | (step[i] & 0xffff);
    }
    /* where the variance is small many edges begin alike, with the greatest digits */
    int most = _i < 5 ? STAIRCASE_CHUNK : n_edges + STAIRCASE_CHUNK / 51 + 8;
    check_candidates(&staircase, STAIRCASE_CHUNK, step, keep, n_edges, most);
    crypto_stream_free(stream.crypto);
}
END_TEST

/* Enumerated: every step (by its 48 digits), place and sign, and the chance at which
 * fixed point keeps it; against the law. */
enum { MOST = 70 };

static uint64_t digits_of(const struct staircase *staircase, int j)
{
    return j == 0 ? 0 : j == STAIRCASE_STEPS ? 1ull << 48 : staircase->head[j - 1];
}

START_TEST(candidates_enumerated)
{
    static const struct variance small[] = {{1, 32}, {1, 3}, {1, 1}, {17, 10}, {15, 1}};
    static const uint64_t extra[6] = {0};
    struct staircase staircase = plan(small[_i]);
    double found[2 * MOST + 1] = {0}, all = 0.0, total = 0.0;
    double rate = 0.5 * (double)small[_i].denominator / (double)small[_i].numerator;
    ck_assert_uint_eq(staircase.width, 1);
    for (int j = 0; j < STAIRCASE_STEPS; j++) {
        uint64_t begin = digits_of(&staircase, j), end = digits_of(&staircase, j + 1);
        uint64_t n_places = j < 16 ? 1 : j == 16 ? 16 : 32;
        for (uint64_t place = 0; end > begin + 1 && place < 2 * n_places; place++) {
            uint64_t is_negative = place / n_places, in = place % n_places;
            uint64_t step = (begin + 1) << 16 | is_negative << 15;
            double chance = ((double)last_kept(&staircase, step, in) + 0.5) * 0x1p-48;
            int64_t value;
            if (staircase_decide(&staircase, step, in, extra, &value) == 0) {
                continue; /* -0 */
            }
            ck_assert_int_le(llabs((long long)value), MOST);
            double weight = (double)(end - begin) * 0x1p-48 / (2.0 * (double)n_places);
            found[value + MOST] += weight * chance;
            all += weight * chance;
        }
    }
    for (int k = -MOST; k <= MOST; k++) {
        total += exp(-rate * k * k);
    }
    for (int k = -MOST; k <= MOST; k++) {
        double expected = exp(-rate * k * k) / total;
        ck_assert_msg(fabs(found[k + MOST] / all - expected) < 1e-13, "%d: %g not %g",
                      k, found[k + MOST] / all, expected);
    }
    ck_assert_double_ge(all, staircase.chance);
    ck_assert_double_lt(all, 1.01 * staircase.chance + (_i < 2 ? 0.1 : 0.0));
}
END_TEST

/* The two wide steps: their last places. Of small variances next to nothing lies there.
 */
START_TEST(stairs_reach_far)
{
    static const uint64_t least[6] = {0};
    struct staircase staircase = plan(variances[_i]);
    uint64_t keep = 0xffff, step = UINT64_MAX & ~0x8000ull, most[6], is_kept;
    int64_t exact, value, width = (int64_t)staircase.width;
    uint16_t list[2];
    memset(most, 0xff, sizeof most);
    staircase_decide(&staircase, step, keep, most, &exact);
    staircase_try(&staircase, 1, &step, &keep, &value, &is_kept, list);
    ck_assert_int_eq(exact, 64 * width - 1);
    ck_assert_int_eq(value, exact);
    ck_assert_double_ge((double)exact + 1.0, 16.0 * sqrt(0.5 / staircase.rate));
    step = (staircase.head[15] + 1) << 16 | 0x7fff;
    staircase_decide(&staircase, step, keep, least, &exact);
    staircase_try(&staircase, 1, &step, &keep, &value, &is_kept, list);
    ck_assert_int_eq(exact, 32 * width - 1);
    ck_assert_int_eq(value, exact);
}
END_TEST

static void draw(const void *of, int64_t n, const struct discrete_source *source,
                 int64_t *x)
{
    staircase_draw(of, n, source, x);
}

static double weight(const void *of, int64_t k)
{
    const struct staircase *staircase = of;
    return exp(-(double)(k * k) * staircase->rate);
}

START_TEST(draws_have_their_law)
{
    static const struct {
        struct variance variance;
        int n_cells;
        int64_t width, far;
    } cases[] = {{{1000003, 7}, 301, 10, 1701}, {{17, 10}, 11, 1, 5}};
    struct staircase staircase = plan(cases[_i].variance);
    struct law_tested tested = {&staircase, draw, weight};
    law_check(&tested, n_draws, cases[_i].n_cells, cases[_i].width, cases[_i].far, 3);
}
END_TEST

/* Mean, variance and fourth moment over the whole range of variances. */
START_TEST(moments)
{
    struct staircase staircase = plan(variances[_i]);
    struct law_tested tested = {&staircase, draw, weight};
    struct law_stream stream = law_open(4);
    struct discrete_source source = {law_words, &stream};
    int64_t *x = malloc(LAW_BLOCK * sizeof *x);
    double variance = 0.5 / staircase.rate, sum = 0.0, squares = 0.0, fourths = 0.0;
    if (variance < 1.0) { /* a discrete Gaussian's own is smaller */
        variance = 0.0;
        for (int64_t k = 1; k < 50; k++) {
            variance += 2.0 * (double)(k * k) * weight(&staircase, k) /
                        law_total_weight(&tested);
        }
    }
    staircase_draw(&staircase, LAW_BLOCK, &source, x);
    for (int j = 0; j < LAW_BLOCK; j++) {
        double square = (double)x[j] * (double)x[j] / variance;
        sum += (double)x[j] / sqrt(variance) / LAW_BLOCK;
        squares += square / LAW_BLOCK;
        fourths += square * square / LAW_BLOCK;
    }
    double room = LAW_MAX_SIGMAS / sqrt(LAW_BLOCK);
    ck_assert_double_lt(fabs(sum), room);
    if (_i >= 2) { /* nearly normal: 3, with moments up to the eighth known */
        ck_assert_double_lt(fabs(squares - 1.0), sqrt(2.0) * room);
        ck_assert_double_lt(fabs(fourths - 3.0), sqrt(96.0) * room);
    }
    crypto_stream_free(stream.crypto);
    free(x);
}
END_TEST

/* Every batch of a size uses the same number of words, whatever is drawn. */
START_TEST(work_depends_on_the_size_only)
{
    struct law_stream stream = law_open(5);
    struct discrete_source source = {law_words, &stream};
    struct staircase staircase = plan(variances[_i]);
    static int64_t x[3000];
    for (int n = 1; n <= 3000; n += 999) {
        int64_t n_candidates = staircase_n_candidates(&staircase, n);
        int64_t n_chunks = (n_candidates + STAIRCASE_CHUNK - 1) / STAIRCASE_CHUNK;
        for (int i = 0; i < 50; i++) {
            stream.n_words = 0;
            staircase_draw(&staircase, n, &source, x);
            ck_assert_int_eq(stream.n_words,
                             2 * n_candidates + STAIRCASE_EXTRA_WORDS * n_chunks);
        }
    }
    crypto_stream_free(stream.crypto);
}
END_TEST

/* What a batch tries is what Chernoff's bound asks for and little more, and what many
 * batches need never comes near it. */
START_TEST(enough_candidates)
{
    struct staircase staircase = plan(variances[_i]);
    struct law_stream stream = law_open(6);
    uint64_t step[STAIRCASE_CHUNK], keep[STAIRCASE_CHUNK], is_kept[STAIRCASE_CHUNK];
    int64_t value[STAIRCASE_CHUNK], kept = 0, tried = 0, since = 0, worst = 0;
    uint16_t list[STAIRCASE_CHUNK + 1];
    for (int turn = 0; turn < 100; turn++) {
        random_candidates(&stream, step, keep);
        staircase_try(&staircase, STAIRCASE_CHUNK, step, keep, value, is_kept, list);
        for (int i = 0; i < STAIRCASE_CHUNK; i++) {
            tried++;
            since++;
            kept += (int64_t)is_kept[i];
            worst = since > worst ? since : worst;
            since = is_kept[i] != 0 ? 0 : since;
        }
    }
    double share = (double)kept / (double)tried;
    ck_assert_double_gt(share, staircase.chance - 6.0 / sqrt((double)tried));
    ck_assert_int_lt(worst, staircase_n_candidates(&staircase, 1));
    int64_t n_many = staircase_n_candidates(&staircase, 1000000);
    ck_assert_double_gt((double)n_many, 1000000 / staircase.chance);
    ck_assert_double_lt((double)n_many, 1.01 * 1000000 / staircase.chance);
    crypto_stream_free(stream.crypto);
}
END_TEST

/* Draws of a chunk among which many are in doubt come out right, as if each had been
 * decided in fixed point: the source begins every real with the digits of an edge. */
static void on_the_edge(void *state, uint64_t *ret_words, int64_t n)
{
    const struct staircase *staircase = ((void **)state)[0];
    law_words(((void **)state)[1], ret_words, n);
    if (n > STAIRCASE_EXTRA_WORDS) {
        for (int64_t i = 0; i < n / 2; i++) {
            ret_words[i] = staircase->head[0] << 16 | (ret_words[i] & 0xffff);
        }
    }
}

START_TEST(the_doubtful_are_decided)
{
    struct staircase staircase = plan((struct variance){1, 1});
    struct law_stream stream = law_open(7);
    void *state[] = {&staircase, &stream};
    struct discrete_source source = {on_the_edge, state};
    static int64_t x[1000];
    int n_ones = 0;
    staircase_draw(&staircase, 1000, &source, x);
    /* of U's later digits so many are past the edge: then the magnitude is 1, else 0,
     * which is kept half as often, as -0 is not */
    double past = 1.0 - (double)(staircase.from[0].limb[3] << 48 |
                                 staircase.from[0].limb[2] >> 16) *
                            0x1p-64;
    double share = past / (past + 0.5 * (1.0 - past));
    for (int i = 0; i < 1000; i++) {
        ck_assert_int_le(llabs((long long)x[i]), 1);
        n_ones += x[i] != 0;
    }
    ck_assert_double_lt(fabs(n_ones - 1000.0 * share),
                        LAW_MAX_SIGMAS * sqrt(1000.0 * share * (1.0 - share)));
    crypto_stream_free(stream.crypto);
}
END_TEST

/* A source that never lets a candidate be kept at first: draws come all the same. */
static void stubborn(void *state, uint64_t *ret_words, int64_t n)
{
    struct law_stream *stream = state;
    law_words(state, ret_words, n);
    if (stream->n_words < 20000) {
        for (int64_t i = 0; i < n; i++) {
            ret_words[i] = i < n / 2 ? 0x8000 : 0; /* -0 */
        }
    }
}

START_TEST(goes_on_where_candidates_were_not_enough)
{
    struct law_stream stream = law_open(8);
    struct discrete_source source = {stubborn, &stream};
    struct staircase staircase = plan((struct variance){1000000, 1});
    int64_t x[10] = {0}, any = 0;
    staircase_draw(&staircase, 10, &source, x);
    ck_assert_int_gt(stream.n_words, 20000);
    for (int i = 0; i < 10; i++) {
        any += x[i] != 0;
    }
    ck_assert_int_gt(any, 8);
    crypto_stream_free(stream.crypto);
}
END_TEST

START_TEST(refuses_what_would_overflow)
{
    struct staircase staircase = {.width = 77};
    ck_assert(!staircase_plan(0, 1, &staircase));
    ck_assert(!staircase_plan(1, 0, &staircase));
    ck_assert(!staircase_plan(1, 33, &staircase));
    ck_assert(!staircase_plan((1ull << 54) + 1, 1, &staircase));
    ck_assert(!staircase_plan(1ull << 54, (1ull << 54) + 1, &staircase));
    ck_assert(!staircase_plan(UINT64_MAX, UINT64_MAX, &staircase));
    ck_assert_uint_eq(staircase.width, 77);
    ck_assert(staircase_plan(1ull << 54, 1ull << 54, &staircase));
    ck_assert(staircase_plan(1ull << 49, 1ull << 54, &staircase));
}
END_TEST

int main(int argc, char **argv)
{
    n_draws = argc > 1 && strcmp(argv[1], "long") == 0 ? 100000000 : n_draws;
    Suite *suite = suite_create("kernels");
    TCase *tcase = tcase_create("staircase");
    tcase_set_timeout(tcase, 600);
    tcase_add_test(tcase, fixed_point_has_its_digits);
    tcase_add_loop_test(tcase, double_never_disagrees_with_fixed_point, 0, N_VARIANCES);
    tcase_add_loop_test(tcase, the_doubtful_are_listed, 0, N_VARIANCES);
    tcase_add_loop_test(tcase, candidates_enumerated, 0, 5);
    tcase_add_loop_test(tcase, stairs_reach_far, 4, N_VARIANCES);
    tcase_add_loop_test(tcase, draws_have_their_law, 0, 2);
    tcase_add_loop_test(tcase, moments, 0, N_VARIANCES);
    tcase_add_loop_test(tcase, work_depends_on_the_size_only, 0, N_VARIANCES);
    tcase_add_loop_test(tcase, enough_candidates, 0, N_VARIANCES);
    tcase_add_test(tcase, the_doubtful_are_decided);
    tcase_add_test(tcase, goes_on_where_candidates_were_not_enough);
    tcase_add_test(tcase, refuses_what_would_overflow);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
