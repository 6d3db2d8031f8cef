/* Noise on a grid: every draw is the exact one, the law is the normal one, the marks
 * that floating point leaves are gone, and the sensitivity includes the rounding.
 * The key is fixed, so a run is reproducible; for a key drawn at random each
 * statistical test would fail with a probability under 1e-8 (normal quantile 6).
 * With the argument `long`: 10^8 draws instead of 10^7. */
#include <check.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "kernels/grid.h"
#include "kernels/polar.h"

enum { BLOCK = 1 << 16 };
static const double max_sigmas = 6.0;
static int64_t n_draws = 10000000;

/* The stream as the engine uses it: main bits below, extra bits above 2^63. */
struct stream {
    struct crypto_stream *crypto;
    uint64_t step;
    int64_t n_extra; /* calls */
};

static void extra(void *state, int64_t pair, uint64_t ret_words[GRID_EXTRA_WORDS])
{
    struct stream *stream = state;
    crypto_stream_seek(stream->crypto, stream->step, (1ull << 63) + 4 * (uint64_t)pair);
    crypto_stream_read(stream->crypto, ret_words, GRID_EXTRA_WORDS * sizeof(uint64_t));
    stream->n_extra++;
}

static struct stream open_stream(unsigned char seed)
{
    unsigned char key[CRYPTO_KEY_SIZE] = {seed};
    return (struct stream){.crypto = crypto_stream_new(key)};
}

static void next_bits(struct stream *stream, int64_t n, uint64_t *bits)
{
    stream->step++;
    crypto_stream_seek(stream->crypto, stream->step, 0);
    crypto_stream_read(stream->crypto, bits, (size_t)n * sizeof *bits);
}

static struct grid integers(double std_steps)
{
    struct grid grid;
    ck_assert(grid_for_integers(std_steps, &grid));
    return grid;
}

START_TEST(polar_vectors)
{
    char path[512], line[512];
    snprintf(path, sizeof path, "%s/tests/vectors/polar.txt", getenv("PPT_SOURCE_DIR"));
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    int n_rows = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        uint64_t w[8], words[POLAR_EXTRA_WORDS] = {0};
        int64_t s, k, l, ret[2];
        if (line[0] == '#') {
            continue;
        }
        ck_assert_int_eq(sscanf(line,
                                "%" SCNd64 " %" SCNx64 " %" SCNx64 " %" SCNx64
                                " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64
                                " %" SCNx64 " %" SCNd64 " %" SCNd64,
                                &s, &w[0], &w[1], &w[2], &w[3], &w[4], &w[5], &w[6],
                                &w[7], &k, &l),
                         11);
        memcpy(words, w + 1, 4 * sizeof *w);
        memcpy(words + 4, w + 6, 2 * sizeof *w);
        polar_round((double)s, (uint64_t[2]){w[0], w[5]}, words, ret);
        ck_assert_msg(ret[0] == k && ret[1] == l, "%sgave %" PRId64 " and %" PRId64,
                      line, ret[0], ret[1]);
        n_rows++;
    }
    fclose(file);
    ck_assert_int_gt(n_rows, 100);
}
END_TEST

/* Beside the C library's functions, in 64 binary digits. */
START_TEST(polar_agrees_with_the_library)
{
    struct stream stream = open_stream(1);
    uint64_t w[10];
    static const double stds[] = {0.37, 1.0, 12345.678, 0x1.fp30, 0x1p40};
    for (int i = 0; i < 20000; i++) {
        next_bits(&stream, 10, w);
        double s = stds[i % 5];
        w[0] >>= i % 60;
        int64_t k[2];
        polar_round(s, w, w + 2, k);
        long double u = (long double)w[0] * 0x1p-64L + (long double)w[2] * 0x1p-128L;
        long double v = (long double)w[1] * 0x1p-64L;
        long double radius = s * sqrtl(-2.0L * logl(u));
        long double angle = 2.0L * 3.14159265358979323846264338327950288L * v;
        long double room = 0.5L + radius * 0x1p-58L;
        ck_assert(fabsl((long double)k[0] - radius * cosl(angle)) <= room);
        ck_assert(fabsl((long double)k[1] - radius * sinl(angle)) <= room);
    }
    crypto_stream_free(stream.crypto);
}
END_TEST

static void compare(const struct grid *grid, struct stream *stream, int64_t n,
                    const uint64_t *bits, double *x)
{
    struct grid_source source = {extra, stream};
    memset(x, 0, (size_t)n * sizeof *x);
    grid_noise(grid, n, bits, &source, x);
    for (int64_t i = 0; i < n; i += 2) {
        uint64_t words[GRID_EXTRA_WORDS];
        int64_t k[2];
        extra(stream, i / 2, words);
        polar_round(grid->std_steps, bits + i, words, k);
        ck_assert_msg(x[i] == (double)k[0] && x[i + 1] == (double)k[1],
                      "std %g: pair %" PRId64 " from %016" PRIx64 " %016" PRIx64
                      " is %.0f %.0f, not %" PRId64 " %" PRId64,
                      grid->std_steps, i / 2, bits[i], bits[i + 1], x[i], x[i + 1],
                      k[0], k[1]);
    }
}

/* What double arithmetic decides, and what it leaves to polar.c, is right every time:
 * at 2^36 one pair in 300 is in doubt, at 2^40 one in 20, so an error bound too small
 * shows. */
START_TEST(every_draw_is_exact)
{
    struct stream stream = open_stream(2);
    uint64_t *bits = malloc(BLOCK * sizeof *bits);
    double *x = malloc(BLOCK * sizeof *x);
    static const double stds[] = {0.1, 1.0, 3.7, 1e4, 0x1p24, 0x1p30, 0x1p36, 0x1p40};
    for (int i = 0; i < 8; i++) {
        struct grid grid = integers(stds[i]);
        next_bits(&stream, BLOCK, bits);
        compare(&grid, &stream, BLOCK, bits, x);
        for (int64_t j = 0; j < BLOCK; j += 2) { /* long tails */
            bits[j] >>= j / 2 % 64;
        }
        compare(&grid, &stream, BLOCK, bits, x);
        for (int64_t j = 0; j < BLOCK; j += 2) { /* short radii, quarter turns */
            bits[j] = ~(bits[j] >> 10);
            bits[j + 1] = (bits[j + 1] & 7) << 61 | bits[j + 1] >> j / 2 % 60;
        }
        compare(&grid, &stream, BLOCK, bits, x);
    }
    crypto_stream_free(stream.crypto);
    free(bits), free(x);
}
END_TEST

START_TEST(edges)
{
    static const uint64_t values[] = {0,
                                      1,
                                      (1u << 11) - 1,
                                      1u << 11,
                                      (1u << 12) - 1,
                                      1u << 12,
                                      1ull << 61,
                                      1ull << 62,
                                      1ull << 63,
                                      (1ull << 63) - 1,
                                      3ull << 62,
                                      UINT64_MAX - (1u << 11),
                                      UINT64_MAX};
    enum { N = sizeof values / sizeof *values };
    uint64_t bits[2 * N * N];
    double x[2 * N * N];
    for (int i = 0; i < N * N; i++) {
        bits[2 * i] = values[i / N];
        bits[2 * i + 1] = values[i % N];
    }
    struct stream stream = open_stream(3);
    static const double stds[] = {0x1p-40, 0.3, 1.0, 77.5, 0x1p24, 0x1p40};
    for (int i = 0; i < 6; i++) {
        struct grid grid = integers(stds[i]);
        compare(&grid, &stream, 2 * N * N, bits, x);
    }
    crypto_stream_free(stream.crypto);
}
END_TEST

/* How often extra bits are asked for does not tell what the draws are. */
START_TEST(work_depends_on_the_size_only)
{
    enum { N = 20000 };
    struct stream stream = open_stream(4);
    uint64_t *bits = malloc(N * sizeof *bits);
    double *x = calloc(N, sizeof *x);
    struct grid_source source = {extra, &stream};
    for (int i = 0; i < 30; i++) {
        struct grid grid = integers(ldexp(1.0, i));
        next_bits(&stream, N, bits);
        stream.n_extra = 0;
        grid_noise(&grid, N, bits, &source, x);
        ck_assert_int_eq(stream.n_extra, grid_n_exact(grid.std_steps, N / 2));
    }
    /* with more in doubt than was foreseen, all are still worked out */
    struct grid grid = integers(1.0);
    memset(bits, 0, N * sizeof *bits);
    stream.n_extra = 0;
    grid_noise(&grid, N, bits, &source, x);
    ck_assert_int_eq(stream.n_extra, N / 2);
    ck_assert_int_lt(grid_n_exact(1.0, N / 2), 12);
    crypto_stream_free(stream.crypto);
    free(bits), free(x);
}
END_TEST

/* Quantile of chi-square by Wilson and Hilferty (1931). */
static double chi_square_limit(int df)
{
    double part = 2.0 / (9.0 * df);
    return df * pow(1.0 - part + max_sigmas * sqrt(part), 3.0);
}

static double upper(double z)
{
    return 0.5 * erfc(z / sqrt(2.0));
}

/* cells of width steps each, the outer two to infinity; P(cell) of the rounded normal
 * from the smaller tail */
static double chance_of(int cell, int n_cells, int64_t width, double s)
{
    double low = ((double)(cell - n_cells / 2) * (double)width - 0.5) / s;
    double high = ((double)(cell + 1 - n_cells / 2) * (double)width - 0.5) / s;
    double at_low = cell == 0 ? -INFINITY : low;
    double at_high = cell == n_cells - 1 ? INFINITY : high;
    return at_low > 0.0 ? upper(at_low) - upper(at_high)
                        : upper(-at_high) - upper(-at_low);
}

static void check_law(double s, int n_cells, int64_t width, unsigned char seed)
{
    struct stream stream = open_stream(seed);
    struct grid_source source = {extra, &stream};
    struct grid grid = integers(s);
    uint64_t *bits = malloc(BLOCK * sizeof *bits);
    double *x = malloc(BLOCK * sizeof *x), *count = calloc((size_t)n_cells, sizeof *x);
    double n_far = 0.0, n = 0.0, sum = 0.0, squares = 0.0;
    for (; n < (double)n_draws; n += BLOCK) {
        next_bits(&stream, BLOCK, bits);
        memset(x, 0, BLOCK * sizeof *x);
        grid_noise(&grid, BLOCK, bits, &source, x);
        for (int i = 0; i < BLOCK; i++) {
            double cell = floor(x[i] / (double)width) + n_cells / 2;
            cell = fmin(fmax(cell, 0.0), n_cells - 1.0);
            count[(int)cell]++;
            n_far += fabs(x[i]) > 4.5 * s;
            sum += x[i] / s;
            squares += x[i] / s * (x[i] / s);
        }
    }
    double chi_square = 0.0;
    for (int i = 0; i < n_cells; i++) {
        double expected = n * chance_of(i, n_cells, width, s);
        ck_assert_double_gt(expected, 20.0);
        chi_square += (count[i] - expected) * (count[i] - expected) / expected;
    }
    ck_assert_double_lt(chi_square, chi_square_limit(n_cells - 1));
    double far = 2.0 * n * upper((floor(4.5 * s) + 0.5) / s);
    ck_assert_double_lt(fabs(n_far - far), max_sigmas * sqrt(far) + 6.0);
    double variance = 1.0 + 1.0 / (12.0 * s * s); /* to exp(-2 pi^2 s^2) */
    ck_assert_double_lt(fabs(sum), max_sigmas * sqrt(n * variance));
    ck_assert_double_lt(fabs(squares - n * variance), max_sigmas * sqrt(2.1 * n));
    crypto_stream_free(stream.crypto);
    free(bits), free(x), free(count);
}

START_TEST(law_of_few_steps)
{
    check_law(1.7, 15, 1, 5);
    check_law(10.0, 81, 1, 6);
}
END_TEST

START_TEST(law_of_many_steps)
{
    check_law(0x1p24, 751, (int64_t)(0x1p24 / 100.0), 7);
}
END_TEST

/* Draws of a pair and of neighbouring pairs have nothing to do with each other. */
START_TEST(independent)
{
    struct stream stream = open_stream(8);
    struct grid_source source = {extra, &stream};
    struct grid grid = integers(0x1p20);
    uint64_t *bits = malloc(BLOCK * sizeof *bits);
    double *x = calloc(BLOCK, sizeof *x);
    next_bits(&stream, BLOCK, bits);
    grid_noise(&grid, BLOCK, bits, &source, x);
    for (int lag = 1; lag <= 3; lag++) {
        double sum = 0.0, squares = 0.0;
        for (int i = lag; i < BLOCK; i++) {
            double a = x[i] * 0x1p-20, b = x[i - lag] * 0x1p-20;
            sum += a * b;
            squares += (a * a - 1.0) * (b * b - 1.0) / 2.0;
        }
        ck_assert_double_lt(fabs(sum), max_sigmas * sqrt(BLOCK));
        ck_assert_double_lt(fabs(squares), 2.0 * max_sigmas * sqrt(BLOCK));
    }
    crypto_stream_free(stream.crypto);
    free(bits), free(x);
}
END_TEST

/* The attack: released values are sums of a neighbour's gradient (0 or 1) and noise.
 * Noise near -1 is a multiple of 2^-53, so what is left of 1 is one too; what noise
 * gives to 0 mostly is not. */
static void add_naive(int64_t n, const uint64_t *bits, double std, double *x)
{
    for (int64_t i = 0; i < n; i += 2) {
        double u = (double)((bits[i] >> 11) + 1) * 0x1p-53;
        double v = (double)(bits[i + 1] >> 11) * 0x1p-53;
        double radius = sqrt(-2.0 * log(u)), angle = 2.0 * 3.141592653589793 * v;
        x[i] += std * (radius * cos(angle));
        x[i + 1] += std * (radius * sin(angle));
    }
}

/* Of the values nearest to 0, the share that are multiples of unit. */
static double share_of_multiples(const double *x, double unit)
{
    double n_near = 0.0, n_multiples = 0.0;
    for (int i = 0; i < BLOCK; i++) {
        n_near += fabs(x[i]) < 0.125;
        n_multiples += fabs(x[i]) < 0.125 && fmod(x[i], unit) == 0.0;
    }
    ck_assert_double_gt(n_near, 1000.0);
    return n_multiples / n_near;
}

static void release(bool is_naive, double sum, uint64_t step, double *x)
{
    struct stream stream = open_stream(9);
    struct grid_source source = {extra, &stream};
    uint64_t *bits = malloc(BLOCK * sizeof *bits);
    struct grid grid;
    double clip;
    ck_assert(grid_plan(1.0, 1.3, BLOCK, 1, &grid, &clip));
    for (int i = 0; i < BLOCK; i++) {
        x[i] = sum;
    }
    stream.step = step;
    next_bits(&stream, BLOCK, bits);
    if (is_naive) {
        add_naive(BLOCK, bits, 1.3, x);
    } else {
        grid_round(&grid, BLOCK, x);
        grid_noise(&grid, BLOCK, bits, &source, x);
    }
    crypto_stream_free(stream.crypto);
    free(bits);
}

START_TEST(no_marks)
{
    double *with = malloc(BLOCK * sizeof *with),
           *without = malloc(BLOCK * sizeof *with);
    release(true, 1.0, 0, with);
    release(true, 0.0, 1, without);
    ck_assert_double_eq(share_of_multiples(with, 0x1p-53), 1.0);
    ck_assert_double_lt(share_of_multiples(without, 0x1p-53), 0.3);

    /* on the grid, for sums that are not themselves on it, nothing is seen at any unit:
     * all values are multiples of the step, and the next digits are fair coins */
    struct grid grid;
    double clip;
    ck_assert(grid_plan(1.0, 1.3, BLOCK, 1, &grid, &clip));
    release(false, 0.7, 2, with);
    release(false, 0x1.23456789abcdp-20, 3, without);
    ck_assert_double_eq(share_of_multiples(with, grid.step), 1.0);
    ck_assert_double_eq(share_of_multiples(without, grid.step), 1.0);
    for (int i = 1; i <= 4; i++) {
        double unit = ldexp(grid.step, i), share = ldexp(1.0, -i);
        double room = max_sigmas * sqrt(share / 1000.0);
        ck_assert_double_lt(fabs(share_of_multiples(with, unit) - share), room);
        ck_assert_double_lt(fabs(share_of_multiples(without, unit) - share), room);
    }
    free(with), free(without);
}
END_TEST

/* Rounding may stretch a difference, up to the sensitivity and no further. */
START_TEST(sensitivity_includes_rounding)
{
    static const int64_t sizes[] = {1, 2, 10, 1000, 26010, 1 << 20};
    for (int i = 0; i < 6; i++) {
        int64_t n = sizes[i];
        struct grid grid;
        double clip, after = 0.0, before = 0.0;
        double *x = malloc((size_t)n * sizeof *x), *y = malloc((size_t)n * sizeof *y);
        ck_assert(grid_plan(1.5, 1.0, n, 4, &grid, &clip));
        ck_assert_double_le(sqrt((double)n) * grid.step, 0x1p-16 * 1.5);
        ck_assert_double_gt(sqrt((double)n) * grid.step, 0x1p-17 * 1.5);
        /* the worst there is: each coordinate's difference is just above a half more
         * than a whole number of steps, and grows to the next */
        double each = clip / sqrt((double)n) / grid.step;
        double whole = floor(each - 1e-6), width = fmin(each, whole + 1e-6);
        for (int64_t j = 0; j < n; j++) {
            x[j] = (3.5 + 1e-7) * grid.step;
            y[j] = (3.5 - 1e-7 - width + 2e-7) * grid.step;
            y[j] = fmax(y[j], x[j] - each * grid.step);
            before += (x[j] - y[j]) * (x[j] - y[j]);
        }
        ck_assert_double_le(sqrt(before), clip);
        grid_round(&grid, n, x);
        grid_round(&grid, n, y);
        for (int64_t j = 0; j < n; j++) {
            after += (x[j] - y[j]) * (x[j] - y[j]);
        }
        ck_assert_double_gt(sqrt(after), sqrt(before) + 0.9 * (1.5 - clip));
        ck_assert_double_le(sqrt(after), 1.5);
        free(x), free(y);
    }
}
END_TEST

START_TEST(rounds_and_cuts)
{
    struct grid grid;
    double clip;
    ck_assert(grid_plan(1.0, 1.0, 1, 1024, &grid, &clip));
    double step = grid.step, most = 0x1p42 * step;
    double x[] = {0.0,      0.49 * step, 0.51 * step, -0.51 * step, 1e300,
                  INFINITY, -INFINITY,   NAN,         -1e-320,      0x1.8p10 * step};
    double y[] = {0.0, 0.0, step, -step, most, most, -most, 0.0, 0.0, 0x1.8p10 * step};
    grid_round(&grid, 10, x);
    for (int i = 0; i < 10; i++) {
        ck_assert_double_eq(x[i], y[i]);
    }
    ck_assert_double_eq(grid.max_steps, 0x1p42);
}
END_TEST

/* Terms in any order, on one sum or on several: the same bits. Cut where they leave the
 * room there is, and what is added moves a sum by no more than itself, rounded. */
START_TEST(adds_whole_steps)
{
    enum { N_TERMS = 4000 };
    static float x[N_TERMS];
    const struct grid grid = {0x1p-20, 0.0, 0x1p50};
    double forth = 0.0, back = 0.0, parts[3] = {0.0, 0.0, 0.0}, whole = 0.0;
    unsigned char key[CRYPTO_KEY_SIZE] = {77};
    struct crypto_stream *stream = crypto_stream_new(key);
    for (int i = 0; i < N_TERMS; i++) {
        int32_t bits;
        crypto_stream_read(stream, (unsigned char *)&bits, sizeof bits);
        x[i] = ldexpf((float)bits, -10 - i % 40);
        whole += rint((double)x[i] * 0x1p20) * 0x1p-20;
    }
    crypto_stream_free(stream);
    for (int i = 0; i < N_TERMS; i++) {
        grid_add(&grid, 1, &x[i], &forth);
        grid_add(&grid, 1, &x[N_TERMS - 1 - i], &back);
        grid_add(&grid, 1, &x[i], &parts[i % 3]);
    }
    ck_assert_double_eq(forth, whole);
    ck_assert_double_eq(back, whole);
    ck_assert_double_eq(parts[0] + parts[1] + parts[2], whole);
    const struct grid narrow = {1.0, 0.0, 10.0};
    const float odd[] = {NAN, INFINITY, -INFINITY, 1e30f, 2.5f, 3.5f, -0.49f, 7.0f};
    const double then[] = {3.0, 10.0, -7.0, 10.0, 5.0, 7.0, 3.0, 10.0};
    for (int i = 0; i < 8; i++) {
        double sum = 3.0;
        grid_add(&narrow, 1, &odd[i], &sum);
        ck_assert_double_eq(sum, then[i]);
    }
}
END_TEST

START_TEST(refuses_nonsense)
{
    struct grid grid = {0};
    double clip = 0.0;
    static const double bad[] = {0.0, -1.0, NAN, INFINITY, 1e300};
    for (int i = 0; i < 5; i++) {
        ck_assert(!grid_plan(bad[i], 1.0, 100, 1, &grid, &clip));
        ck_assert(!grid_plan(1.0, bad[i], 100, 1, &grid, &clip));
        ck_assert(!grid_for_integers(bad[i], &grid));
    }
    ck_assert(!grid_plan(1.0, 1.0, 0, 1, &grid, &clip));
    ck_assert(!grid_plan(1.0, 1.0, 1ll << 41, 1, &grid, &clip));
    ck_assert(!grid_plan(1.0, 1.0, 100, 0, &grid, &clip));
    ck_assert(!grid_plan(1.0, 1e9, 1 << 20, 1, &grid, &clip));
    ck_assert_double_eq(grid.step, 0.0);
    ck_assert_double_eq(clip, 0.0);
}
END_TEST

int main(int argc, char **argv)
{
    n_draws = argc > 1 && strcmp(argv[1], "long") == 0 ? 100000000 : n_draws;
    Suite *suite = suite_create("kernels");
    TCase *tcase = tcase_create("grid");
    tcase_set_timeout(tcase, 300);
    tcase_add_test(tcase, polar_vectors);
    tcase_add_test(tcase, polar_agrees_with_the_library);
    tcase_add_test(tcase, every_draw_is_exact);
    tcase_add_test(tcase, edges);
    tcase_add_test(tcase, work_depends_on_the_size_only);
    tcase_add_test(tcase, law_of_few_steps);
    tcase_add_test(tcase, law_of_many_steps);
    tcase_add_test(tcase, independent);
    tcase_add_test(tcase, no_marks);
    tcase_add_test(tcase, sensitivity_includes_rounding);
    tcase_add_test(tcase, rounds_and_cuts);
    tcase_add_test(tcase, adds_whole_steps);
    tcase_add_test(tcase, refuses_nonsense);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
