/* A clip norm that follows a quantile: what one record may add is what was priced, the
 * noise is divided as was asked, and the norm goes where it should. */
#include <check.h>
#include <math.h>

#include "jobs/dp/threshold.h"
#include "jobs/privacy/split.h"

static const double multipliers[] = {0.05, 0.5, 1.0, 3.7, 100.0};
static const double counts[] = {0.52, 1.0, 20.0, 1e5}; /* over the multiplier */
static const int64_t sizes[] = {1, 77, 26010, 1 << 30};
static const double norms[] = {1e-6, 0.7, 1e6};
enum { N_COMBINATIONS = 5 * 4 * 4 * 3 };

static struct spec_privacy privacy_of(double norm)
{
    return (struct spec_privacy){
        .is_private = true,
        .clip_norm = norm,
        .clipping = {.mode = CLIP_QUANTILE, .quantile = 0.5, .rate = 0.2},
    };
}

START_TEST(enforces_what_was_priced)
{
    double s = multipliers[_i % 5], s_b = s * counts[_i / 5 % 4], s_g;
    int64_t n_params = sizes[_i / 20 % 4];
    double norm = norms[_i / 80];
    struct spec_privacy privacy = privacy_of(norm);
    struct threshold t;
    ck_assert_int_eq(split_gradient_noise(s, s_b, &s_g, NULL), 0);
    ck_assert_int_eq(threshold_open(&t, &privacy, s, s_g, s_b, n_params, 8, NULL), 0);
    double noise = t.grid.std_steps * t.grid.step, half = t.weight / 2.0;
    /* a record's part, rounded with it and without it, and the priced multiplier */
    double part = sqrt(t.clip * t.clip + half * half);
    double rounded = part + sqrt((double)n_params + 1.0) * t.grid.step;
    ck_assert_double_le(rounded * s, noise * (1.0 + 1e-15));
    ck_assert_double_eq(fmod(half, t.grid.step), 0.0);
    /* nothing is given away: the gradients have s_g, the count s_b */
    ck_assert_double_ge(t.clip, norm * 0.998);
    ck_assert_double_le(t.clip, norm);
    ck_assert_double_eq_tol(noise / norm / s_g, 1.0, 1e-12);
    ck_assert_double_gt(t.weight, 0.0);
    if (half > 100.0 * t.grid.step) {
        ck_assert_double_eq_tol(noise / t.weight / s_b, 1.0, 0.011);
    } else {
        ck_assert_double_le(noise / t.weight, s_b * (1.0 + 1e-12));
    }
}
END_TEST

START_TEST(a_fixed_norm_needs_no_votes)
{
    struct spec_privacy privacy = {.is_private = true, .clip_norm = 0.7};
    struct threshold t;
    ck_assert_int_eq(threshold_open(&t, &privacy, 1.3, 0.0, 0.0, 500, 2, NULL), 0);
    ck_assert_double_eq(t.weight, 0.0);
    ck_assert_double_le(t.clip + sqrt(500.0) * t.grid.step, 0.7);
    ck_assert_double_ge(t.grid.std_steps * t.grid.step, 1.3 * 0.7);
}
END_TEST

/* b = 1: all were short, so the norm is too large. */
START_TEST(goes_towards_the_quantile)
{
    struct spec_privacy privacy = privacy_of(2.0);
    struct threshold t;
    double s_g;
    ck_assert_int_eq(split_gradient_noise(1.0, 10.0, &s_g, NULL), 0);
    privacy.clipping.quantile = 0.25;
    ck_assert_int_eq(threshold_open(&t, &privacy, 1.0, s_g, 10.0, 100, 1, NULL), 0);
    double batch = 200.0;
    for (int short_enough = 0; short_enough <= 200; short_enough += 50) {
        double votes = 0.5 * (short_enough - (batch - short_enough));
        float next = threshold_next(&t, votes * t.weight, batch);
        double expected = 2.0 * exp(-0.2 * (short_enough / batch - 0.25));
        ck_assert_double_eq_tol((double)next, expected, 1e-6);
    }
}
END_TEST

START_TEST(stays_within_limits)
{
    struct spec_privacy privacy = privacy_of(2.0);
    struct threshold t;
    struct error err;
    double s_g;
    ck_assert_int_eq(split_gradient_noise(1.0, 10.0, &s_g, NULL), 0);
    ck_assert_int_eq(threshold_open(&t, &privacy, 1.0, s_g, 10.0, 100, 1, NULL), 0);
    const double impossible[] = {NAN, INFINITY, 0.0, -1.0, 2.0 * 0x1.1p20, 0x1p-20};
    for (int i = 0; i < 6; i++) {
        struct threshold before = t;
        ck_assert_int_eq(threshold_set(&t, impossible[i], &err), -PPT_ERANGE);
        ck_assert_double_eq(t.norm, before.norm);
    }
    for (int sign = -1; sign <= 1; sign += 2) { /* noise can be as large as it likes */
        float next = threshold_next(&t, sign * 1e300, 1.0);
        ck_assert_int_eq(threshold_set(&t, (double)next, &err), 0);
        ck_assert_double_gt(t.clip, 0.99 * t.norm);
        next = threshold_next(&t, sign * 1e300, 1.0);
        ck_assert_int_eq(threshold_set(&t, (double)next, &err), 0);
        ck_assert_int_eq(threshold_set(&t, 2.0, &err), 0);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dp");
    TCase *tcase = tcase_create("threshold");
    tcase_add_loop_test(tcase, enforces_what_was_priced, 0, N_COMBINATIONS);
    tcase_add_test(tcase, a_fixed_norm_needs_no_votes);
    tcase_add_test(tcase, goes_towards_the_quantile);
    tcase_add_test(tcase, stays_within_limits);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
