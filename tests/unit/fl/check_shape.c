/* Automatic and per-layer clipping of a client's whole update. */
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "jobs/fl/shape.h"

enum { FIRST = 4, SECOND = 3, N = FIRST + SECOND };

/* A layer without parameters between two that have them. */
static const struct net net = {.n_layers = 3,
                               .n_params = N,
                               .layers = {{.n_params = FIRST, .offset = 0},
                                          {.n_params = 0, .offset = FIRST},
                                          {.n_params = SECOND, .offset = FIRST}}};
static const float before[N] = {1, -2, 0.5f, 3, -1, 2, 0};
static float after[N];

/* An update of these norms in the two layers. */
static void move(double first, double second)
{
    for (int j = 0; j < N; j++) {
        double by = j < FIRST ? first / 2.0 : second / sqrt(3.0);
        after[j] = (float)((double)before[j] + (j % 2 ? by : -by));
    }
}

static double moved(int at, int n)
{
    double sum = 0.0;
    for (int j = at; j < at + n; j++) {
        double d = (double)after[j] - (double)before[j];
        sum += d * d;
    }
    return sqrt(sum);
}

static struct spec_privacy privacy(enum spec_clip_mode mode)
{
    return (struct spec_privacy){
        .is_private = true, .clip_norm = 2.0, .clipping = {.mode = mode, .gamma = 0.5}};
}

START_TEST(automatic_is_by_the_norm)
{
    struct spec_privacy p = privacy(CLIP_AUTOMATIC);
    static const double norms[] = {0.0, 0.1, 2.0, 50.0};
    for (int i = 0; i < 4; i++) {
        move(0.6 * norms[i], 0.8 * norms[i]);
        shape_update(&p, &net, before, after);
        ck_assert_double_eq_tol(moved(0, N), 2.0 * norms[i] / (norms[i] + 0.5), 1e-5);
        ck_assert_double_eq_tol(moved(0, FIRST), 0.6 * moved(0, N), 1e-5);
    }
}
END_TEST

START_TEST(layers_have_a_share_each)
{
    struct spec_privacy p = privacy(CLIP_PER_LAYER);
    move(10.0, 0.3);
    shape_update(&p, &net, before, after);
    ck_assert_double_eq_tol(moved(0, FIRST), sqrt(2.0), 1e-5);
    ck_assert_double_eq_tol(moved(FIRST, SECOND), 0.3, 1e-5);
    ck_assert(after[0] < before[0] && after[1] > before[1]);
    move(10.0, 10.0);
    shape_update(&p, &net, before, after);
    ck_assert_double_eq_tol(moved(0, N), 2.0, 1e-5);
}
END_TEST

START_TEST(others_stay_as_they_are)
{
    struct spec_privacy flat = privacy(CLIP_FLAT), p = privacy(CLIP_AUTOMATIC);
    move(10.0, 10.0);
    shape_update(&flat, &net, before, after);
    ck_assert_double_eq_tol(moved(0, N), sqrt(200.0), 1e-4);
    after[2] = INFINITY;
    shape_update(&p, &net, before, after);
    ck_assert(isinf(after[2]));
    ck_assert_double_eq_tol(moved(FIRST, SECOND), 10.0, 1e-4);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fl");
    TCase *tcase = tcase_create("shape");
    tcase_add_test(tcase, automatic_is_by_the_norm);
    tcase_add_test(tcase, layers_have_a_share_each);
    tcase_add_test(tcase, others_stay_as_they_are);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
