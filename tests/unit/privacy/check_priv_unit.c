/* What PrivUnitG is planned with, against 40-digit values, and that it keeps to its
 * epsilon. */
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "jobs/privacy/priv_unit.h"

/* mpmath 1.4.1 at 40 digits: the gamma among the multiples of 1/64 up to 2.5 with the
 * largest m = phi(gamma) (p/Q - (1-p)/(1-Q)), where p = e^epsilon Q / (1 - Q +
 * e^epsilon Q), Q = erfc(gamma / sqrt 2) / 2; then p, m, and the largest m of all gamma
 * up to 8 (by steps of 0.001). */
static const struct {
    double epsilon, gamma, p, m, most;
} rows[] = {
    {0.01, 0.0, 0.502499979166875, 0.0039893895591567419, 0.0039894213},
    {0.1, 0.046875, 0.50629737637317853, 0.039891757356724761, 0.03989273},
    {1.0, 0.390625, 0.59201992687956708, 0.39745372662361375, 0.39746297},
    {2.0, 0.78125, 0.67231902565599374, 0.78646951250425543, 0.78648016},
    {4.0, 1.515625, 0.79095017619020252, 1.5156376590453248, 1.5156376},
    {6.0, 2.171875, 0.85946252305674549, 2.1658723274333052, 2.165911},
    {8.0, 2.5, 0.94904826036626326, 2.6780223617889363, 2.7429448},
    {16.0, 2.5, 0.99998199027661916, 2.8226936431585686, 4.5613261},
};

/* Our p leaves room for rounding, 2^-12 of gamma: m is smaller by as much. */
START_TEST(meets_the_reference)
{
    struct priv_unit plan;
    ck_assert_int_eq(priv_unit_plan(rows[_i].epsilon, &plan, NULL), 0);
    ck_assert_double_eq_tol(plan.gamma, rows[_i].gamma, 0.04);
    ck_assert_double_le(plan.m, rows[_i].m * (1 + 1e-12));
    ck_assert_double_gt(plan.m, rows[_i].m * (rows[_i].epsilon < 0.05 ? 0.9 : 0.99));
    if (plan.gamma == rows[_i].gamma) {
        ck_assert_double_le(plan.p, rows[_i].p);
        ck_assert_double_gt(plan.p, rows[_i].p - 5e-4);
    }
    if (rows[_i].gamma < PRIV_UNIT_MOST_GAMMA) {
        ck_assert_double_gt(rows[_i].m, 0.999 * rows[_i].most);
    }
    ck_assert_double_eq(plan.p, (double)plan.whole * 0x1p-53);
}
END_TEST

static double mass(double gamma)
{
    return 0.5 * erfc(gamma * M_SQRT1_2);
}

/* The largest ratio of two directions' chances of one draw, for caps whose mass is
 * anywhere that rounding may bring it to. */
START_TEST(keeps_to_its_epsilon)
{
    for (double epsilon = 0.01; epsilon <= 30; epsilon *= 1.07) {
        struct priv_unit plan;
        ck_assert_int_eq(priv_unit_plan(epsilon, &plan, NULL), 0);
        double worst = 0, p = plan.p;
        for (int i = -1; i <= 1; i++)
            for (int j = -1; j <= 1; j++) {
                double mu = mass(plan.gamma + i * 0x1p-12),
                       other = mass(plan.gamma + j * 0x1p-12);
                double near[] = {p / mu, p / other};
                double far[] = {(1 - p) / (1 - mu), (1 - p) / (1 - other)};
                worst = fmax(worst, near[0] / far[1]);
                worst = fmax(worst, far[0] / near[1]);
                worst = fmax(worst, near[0] / near[1]);
                worst = fmax(worst, far[0] / far[1]);
            }
        ck_assert_double_le(log(worst), epsilon * (1 + 1e-12));
        /* 1 - p has few digits where it is small */
        ck_assert_double_gt(log(worst), epsilon - (epsilon < 10 ? 1e-6 : 0.1));
    }
}
END_TEST

START_TEST(refuses)
{
    static const double bad[] = {0, 0.009, 31, -1, NAN, INFINITY};
    struct priv_unit plan;
    struct error err;
    for (int i = 0; i < 6; i++) {
        ck_assert_int_eq(priv_unit_plan(bad[i], &plan, &err), -PPT_ERANGE);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("priv_unit");
    TCase *tcase = tcase_create("priv_unit");
    tcase_add_loop_test(tcase, meets_the_reference, 0,
                        (int)(sizeof rows / sizeof rows[0]));
    tcase_add_test(tcase, keeps_to_its_epsilon);
    tcase_add_test(tcase, refuses);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
