/* Rules over updates of which some are false: by hand, against other ways to compute
 * them, and what each must withstand. Ranks: check_fl_run. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/fl/center.h"
#include "jobs/fl/krum.h"
#include "jobs/fl/middle.h"
#include "jobs/fl/mix.h"
#include "jobs/fl/robust.h"

enum { N = 11, F = 2, D = 48 };

static struct stack stack;

static struct stack stack_of(int64_t n, int64_t n_slice)
{
    struct stack made;
    ck_assert_int_eq(stack_open(&made, &comm_alone, n, n_slice, NULL), 0);
    return made;
}

/* N vectors around 1, of which the last F are what `wrong` says. */
static void setup(void)
{
    stack = stack_of(N, D);
    srand48(5);
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < D; j++) {
            stack_row(&stack, i)[j] = (float)(1.0 + 0.1 * (drand48() - 0.5));
        }
    }
}

static void teardown(void)
{
    stack_close(&stack);
}

static void spoil(float value)
{
    for (int i = N - F; i < N; i++) {
        for (int j = 0; j < D; j++) {
            stack_row(&stack, i)[j] = value;
        }
    }
}

/* Vectors that differ in their first coordinate only. */
static struct stack line(const float *at, int64_t n)
{
    struct stack made = stack_of(n, 16);
    for (int64_t i = 0; i < n; i++) {
        stack_row(&made, i)[0] = at[i];
    }
    return made;
}

START_TEST(distances)
{
    double square[N * N], to[N], center[D];
    spoil(200.0f);
    for (int j = 0; j < D; j++) {
        center[j] = 0.25 * j;
    }
    ck_assert_int_eq(stack_squares(&stack, square, NULL), 0);
    ck_assert_int_eq(stack_squares_to(&stack, center, to, NULL), 0);
    for (int i = 0; i < N; i++) {
        long double to_center = 0.0L;
        for (int j = 0; j < D; j++) {
            long double d = (long double)stack_row(&stack, i)[j] - center[j];
            to_center += d * d;
        }
        ck_assert_double_eq_tol(to[i], (double)to_center, 1e-14 * (double)to_center);
        for (int k = 0; k < N; k++) {
            long double sum = 0.0L;
            for (int j = 0; j < D; j++) {
                long double d = (long double)stack_row(&stack, i)[j] -
                                (long double)stack_row(&stack, k)[j];
                sum += d * d;
            }
            ck_assert_double_eq_tol(square[i * N + k], (double)sum,
                                    1e-14 * (double)sum + 1e-18);
            ck_assert(square[i * N + k] == square[k * N + i]);
        }
    }
}
END_TEST

/* Of several tiles and a part of one. */
enum { LONG = 16 * 77 };

/* Coordinates of size 2^-30 to 2^9, times 2^exponent. */
static struct stack random_stack(int exponent)
{
    struct stack made = stack_of(N, LONG);
    for (int64_t j = 0; j < N * LONG; j++) {
        made.rows[j] = (float)ldexp(drand48() - 0.5, (int)(j % 40) - 30 + exponent);
    }
    return made;
}

/* The same bits however the blocks of 16 lie: another rank has them elsewhere. Of large
 * vectors the last place is that of double, of small ones the unit of 2^-64. */
START_TEST(distances_in_any_order)
{
    struct stack there = random_stack(-20 * _i), turned = stack_of(N, LONG);
    double center[2][LONG], square[2][N * N], to[2][N];
    for (int j = 0; j < LONG; j++) {
        int from = (j + 16 * 29) % LONG;
        for (int i = 0; i < N; i++) {
            stack_row(&turned, i)[j] = stack_row(&there, i)[from];
        }
        center[0][from] = center[1][j] = ldexp(from % 77, -20 * _i - 10);
    }
    const struct stack *stacks[] = {&there, &turned};
    for (int s = 0; s < 2; s++) {
        ck_assert_int_eq(stack_squares(stacks[s], square[s], NULL), 0);
        ck_assert_int_eq(stack_squares_to(stacks[s], center[s], to[s], NULL), 0);
    }
    ck_assert_mem_eq(square[0], square[1], sizeof square[0]);
    ck_assert_mem_eq(to[0], to[1], sizeof to[0]);
    for (int i = 1; i < N; i++) {
        long double sum = 0.0L;
        for (int j = 0; j < LONG; j++) {
            long double d = (long double)stack_row(&there, i)[j] -
                            (long double)stack_row(&there, 0)[j];
            sum += d * d;
        }
        ck_assert_double_eq_tol(square[0][i], (double)sum, 1e-14 * (double)sum + 1e-18);
    }
    stack_close(&there);
    stack_close(&turned);
}
END_TEST

/* Few are near, most are, all are: each beside the mean of those with the least
 * distances, one with coordinates at the end among them. */
START_TEST(mixes_as_it_says)
{
    static const int near[] = {1, 4, N - F, N};
    struct stack points = random_stack(0), mixed = stack_of(N, LONG);
    double square[N * N];
    for (int j = 0; j < LONG; j++) {
        stack_row(&points, 3)[j] = 256.0f;
    }
    ck_assert_int_eq(stack_squares(&points, square, NULL), 0);
    ck_assert_int_eq(mix_nearest(&points, near[_i], &mixed, NULL), 0);
    for (int i = 0; i < N; i++) {
        double mean[LONG] = {0.0};
        for (int k = 0; k < N; k++) {
            int closer = 0;
            for (int l = 0; l < N; l++) {
                closer += square[i * N + l] < square[i * N + k];
            }
            for (int j = 0; closer < near[_i] && j < LONG; j++) {
                mean[j] += (double)stack_row(&points, k)[j] / near[_i];
            }
        }
        for (int j = 0; j < LONG; j++) {
            ck_assert_double_eq_tol((double)stack_row(&mixed, i)[j], mean[j],
                                    1e-7 * fabs(mean[j]) + 1e-12);
        }
    }
    stack_close(&points);
    stack_close(&mixed);
}
END_TEST

/* The largest that may be: all coordinates at the ends. */
START_TEST(large_distances)
{
    enum { MANY = 1 << 20 };
    struct stack far = stack_of(2, MANY);
    for (int j = 0; j < MANY; j++) {
        stack_row(&far, 0)[j] = 256.0f;
        stack_row(&far, 1)[j] = -256.0f;
    }
    double square[4];
    ck_assert_int_eq(stack_squares(&far, square, NULL), 0);
    ck_assert_double_eq(square[1], 0x1p38);
    stack_close(&far);
}
END_TEST

START_TEST(what_is_an_update)
{
    float x[4] = {0.0f, -256.0f, 256.0f, 1e-30f};
    ck_assert(stack_is_update(x, 4));
    static const float wrong[] = {NAN, INFINITY, -INFINITY, 256.001f, -300.0f};
    for (int i = 0; i < 5; i++) {
        x[3] = wrong[i];
        ck_assert(!stack_is_update(x, 4));
    }
}
END_TEST

/* With f = 1 scores are sums over the two nearest: 4.93, 1.94, 2.5, 3.69, 8.73. */
START_TEST(krum_by_hand)
{
    static const float at[5] = {-0.3f, 1.0f, 1.5f, 3.0f, 4.2f};
    struct stack points = line(at, 5);
    double square[25];
    bool is_chosen[5];
    ck_assert_int_eq(stack_squares(&points, square, NULL), 0);
    ck_assert_int_eq(krum_choose(square, 5, 1, 1, is_chosen, NULL), 0);
    ck_assert(is_chosen[1]);
    ck_assert_int_eq(krum_choose(square, 5, 1, 3, is_chosen, NULL), 0);
    ck_assert(is_chosen[1] && is_chosen[2] && is_chosen[3]);
    /* without 1 the one nearest counts: 3 and 4.2 are closest, and the lower is taken;
     * then -0.3 and 1.5 */
    ck_assert_int_eq(krum_repeat(square, 5, 1, 3, is_chosen, NULL), 0);
    ck_assert(is_chosen[1] && is_chosen[3] && is_chosen[0]);
    ck_assert(!is_chosen[2] && !is_chosen[4]);
    stack_close(&points);
}
END_TEST

START_TEST(middles_by_hand)
{
    static const float odd[5] = {7.0f, -3.0f, 1.0f, 100.0f, 2.0f};
    double ret[16];
    struct stack points = line(odd, 5);
    ck_assert_int_eq(middle_trim(&points, 1, ret, NULL), 0);
    ck_assert_double_eq(ret[0], 2.0);
    ck_assert_double_eq(ret[1], 0.0);
    ck_assert_int_eq(middle_trim(&points, 3, ret, NULL), 0);
    ck_assert_double_eq_tol(ret[0], 10.0 / 3.0, 1e-15);
    ck_assert_int_eq(middle_near(&points, 2, ret, NULL), 0);
    ck_assert_double_eq(ret[0], 1.5);
    ck_assert_int_eq(middle_near(&points, 4, ret, NULL), 0);
    ck_assert_double_eq(ret[0], 7.0 / 4.0);
    points.n = 4;
    ck_assert_int_eq(middle_trim(&points, 2, ret, NULL), 0);
    ck_assert_double_eq(ret[0], 4.0); /* of -3, 1, 7, 100 */
    stack_close(&points);
}
END_TEST

static int by_value(const void *a, const void *b)
{
    const float *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Long columns too, against the library's sort. */
START_TEST(medians_of_many)
{
    enum { MANY = 1001 };
    struct stack many = stack_of(MANY, 16);
    float column[MANY];
    double ret[16];
    for (int i = 0; i < MANY; i++) {
        stack_row(&many, i)[5] = column[i] = (float)(drand48() - 0.5);
    }
    qsort(column, MANY, sizeof *column, by_value);
    ck_assert_int_eq(middle_trim(&many, 1, ret, NULL), 0);
    ck_assert_double_eq(ret[5], (double)column[MANY / 2]);
    stack_close(&many);
}
END_TEST

/* On a line the geometric median is the median; weights by the distance. */
START_TEST(centers_by_hand)
{
    static const float at[3] = {0.0f, 1.0f, 20.0f};
    struct stack points = line(at, 3);
    double ret[16] = {0.0};
    ck_assert_int_eq(center_geometric(&points, 100, 1e-9, ret, NULL), 0);
    ck_assert_double_eq_tol(ret[0], 1.0, 1e-2);
    ck_assert_int_eq(center_geometric(&points, 1, 1e-9, ret, NULL), 0);
    /* from 7 with 1/7, 1/6, 1/13 */
    ck_assert_double_eq_tol(
        ret[0], (1.0 / 6.0 + 20.0 / 13.0) / (1.0 / 7.0 + 1.0 / 6.0 + 1.0 / 13.0),
        1e-12);
    ck_assert_int_eq(center_geometric(&points, 1, 1e9, ret, NULL), 0);
    ck_assert_double_eq_tol(ret[0], 7.0, 1e-12);

    double center[16] = {10.0};
    ck_assert_int_eq(center_clip(&points, 1, 9.5, center, NULL), 0);
    ck_assert_double_eq_tol(center[0], 10.0 + (-9.5 - 9.0 + 9.5) / 3.0, 1e-12);
    memset(center, 0, sizeof center);
    ck_assert_int_eq(center_clip(&points, 2, 2.0, center, NULL), 0);
    /* 0 -> (0 + 1 + 2) / 3 = 1 -> 1 + (-1 + 0 + 2) / 3 */
    ck_assert_double_eq_tol(center[0], 4.0 / 3.0, 1e-12);
    stack_close(&points);
}
END_TEST

START_TEST(mixes_by_hand)
{
    static const float at[4] = {0.0f, 1.0f, 2.5f, 50.0f};
    struct stack points = line(at, 4), mixed = line(at, 4);
    ck_assert_int_eq(mix_nearest(&points, 2, &mixed, NULL), 0);
    ck_assert_int_eq(mixed.n, 4);
    ck_assert_float_eq(stack_row(&mixed, 0)[0], 0.5f);
    ck_assert_float_eq(stack_row(&mixed, 1)[0], 0.5f);
    ck_assert_float_eq(stack_row(&mixed, 2)[0], 1.75f);
    ck_assert_float_eq(stack_row(&mixed, 3)[0], 26.25f);

    unsigned char key[CRYPTO_KEY_SIZE] = {3};
    struct crypto_stream *stream = crypto_stream_new(key);
    double sums[2] = {0.0, 0.0};
    points.n = 3;
    for (int round = 0; round < 50; round++) {
        ck_assert_int_eq(mix_buckets(&points, 2, stream, &mixed, NULL), 0);
        ck_assert_int_eq(mixed.n, 2);
        double pair = stack_row(&mixed, 0)[0], alone = stack_row(&mixed, 1)[0];
        ck_assert_double_eq(2.0 * pair + alone, 3.5); /* everybody once */
        sums[1] += alone;
    }
    ck_assert_double_gt(sums[1], 0.0); /* not always the first, */
    ck_assert_double_lt(sums[1], 50.0 * 2.5);
    crypto_stream_free(stream);
    stack_close(&points);
    stack_close(&mixed);
}
END_TEST

static struct spec_robust rule_of(int rule)
{
    return (struct spec_robust){.is_on = true,
                                .rule = (enum spec_rule)rule,
                                .byzantine = F,
                                .clip_norm = 2.0,
                                .iterations = 8,
                                .smoothing = 1e-6};
}

/* Two of eleven at -200 or 200 do not pull a rule away from those around 1; they pull
 * the mean. Lengths are bounded by 2 where norms are, and directions are not. */
START_TEST(withstands)
{
    struct spec_robust spec = rule_of(_i);
    for (int side = -1; side <= 1; side += 2) {
        double center[D], weight[N], mean[D];
        for (int j = 0; j < D; j++) {
            center[j] = 1.0; /* of a round before */
        }
        for (int i = 0; i < N; i++) {
            weight[i] = 1.0;
        }
        spoil(200.0f * (float)side);
        ck_assert_int_eq(robust_rule(&spec, &stack, F, center, NULL), 0);
        stack_mean(&stack, weight, mean);
        double length = 0.0;
        for (int j = 0; j < D; j++) {
            ck_assert_double_gt(fabs(mean[j] - 1.0), 30.0);
            length += center[j] * center[j];
            if (_i != RULE_NORM_BOUND) {
                double near = _i == RULE_CENTERED_CLIPPING ? 0.3 : 0.06;
                ck_assert_double_lt(fabs(center[j] - 1.0), near);
            }
        }
        if (_i == RULE_NORM_BOUND) {
            ck_assert_double_le(sqrt(length), 2.0 + 1e-9);
            ck_assert_double_gt(center[0], 0.0);
        }
    }
}
END_TEST

/* With as few as it says a rule still works; with one less it says so. */
START_TEST(knows_its_least)
{
    struct spec_robust spec = rule_of(_i);
    struct error err = {0};
    double center[D] = {0.0};
    stack.n = spec_rule_least(spec.rule, F);
    ck_assert_int_eq(robust_rule(&spec, &stack, F, center, &err), 0);
    ck_assert_double_gt(center[0], 0.0);
    stack.n--;
    ck_assert_int_eq(robust_rule(&spec, &stack, F, center, &err), -PPT_ERANGE);
    char wanted[64];
    snprintf(wanted, sizeof wanted, "rule %s over %d updates of which 2 may be false",
             spec_rule_name(spec.rule), (int)stack.n);
    ck_assert_msg(strstr(err.text, wanted) != NULL, "%s", err.text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("robust");
    TCase *tcase = tcase_create("robust");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, distances);
    tcase_add_loop_test(tcase, distances_in_any_order, 0, 2);
    tcase_add_test(tcase, large_distances);
    tcase_add_loop_test(tcase, mixes_as_it_says, 0, 4);
    tcase_add_test(tcase, what_is_an_update);
    tcase_add_test(tcase, krum_by_hand);
    tcase_add_test(tcase, middles_by_hand);
    tcase_add_test(tcase, medians_of_many);
    tcase_add_test(tcase, centers_by_hand);
    tcase_add_test(tcase, mixes_by_hand);
    tcase_add_loop_test(tcase, withstands, 0, RULE_N);
    tcase_add_loop_test(tcase, knows_its_least, 0, RULE_N);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
