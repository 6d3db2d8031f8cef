/* Renyi divergences of the subsampled Gaussian against 50-digit values, both ways. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "jobs/privacy/mechanism.h"
#include "jobs/privacy/rdp.h"

/* Quadrature and rounding together, relative; RDP_SLACK leaves room for 100 of it. */
#define TOLERANCE 1e-12
/* A curve of the whole grid; the time of five attempts' best. */
#define CURVE_MAX_S 0.005

static FILE *open_vector(const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/tests/vectors/%s", getenv("PPT_SOURCE_DIR"), name);
    FILE *file = fopen(path, "r");
    ck_assert_msg(file != NULL, "%s", path);
    return file;
}

START_TEST(agrees_with_quadrature)
{
    FILE *file = open_vector("rdp_quadrature.csv");
    char line[512];
    int n = 0, n_add = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        double alpha, s, q, remove_direction, add_direction;
        int fields = sscanf(line, "%lf,%lf,%lf,%lf,%lf", &alpha, &s, &q,
                            &remove_direction, &add_direction);
        if (fields < 4)
            continue;
        n++;
        double rho = rdp_subsampled_gaussian(alpha, s, q);
        ck_assert_msg(rho >= remove_direction, "below the truth: %s", line);
        ck_assert_msg(fabs(rho / (1 + RDP_SLACK) / remove_direction - 1) < TOLERANCE,
                      "got %.17g: %s", rho, line);
        if (fields < 5)
            continue;
        n_add++;
        ck_assert_msg(rho >= add_direction, "the other direction is larger: %s", line);
        double add = rdp_subsampled_gaussian_add(alpha, s, q);
        ck_assert_msg(add >= add_direction, "adding is below the truth: %s", line);
        ck_assert_msg(fabs(add / (1 + RDP_SLACK) / add_direction - 1) < TOLERANCE,
                      "got %.17g for adding: %s", add, line);
    }
    fclose(file);
    ck_assert_int_ge(n, 160);
    ck_assert_int_ge(n_add, 155);
}
END_TEST

START_TEST(whole_orders_agree_with_their_neighbours)
{
    /* the binomial sum and the quadrature are two algorithms: they must join up */
    const double noises[] = {0.3, 1, 7, 1e4}, rates[] = {1e-12, 1e-4, 0.02, 0.6};
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++)
            for (int alpha = 2; alpha <= 64; alpha *= 2) {
                double step = 1e-6, s = noises[i], q = rates[j];
                double at = rdp_subsampled_gaussian(alpha, s, q);
                double around = (rdp_subsampled_gaussian(alpha - step, s, q) +
                                 rdp_subsampled_gaussian(alpha + step, s, q)) /
                                2;
                ck_assert_msg(fabs(around / at - 1) < 1e-10, "%d %g %g: %.3g", alpha, s,
                              q, around / at - 1);
            }
}
END_TEST

/* Uniform in [0, 1), the same in every run. */
static double uniform(void)
{
    static uint64_t state = 20240607;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 11) * 0x1p-53;
}

START_TEST(is_monotone)
{
    for (int i = 0; i < 2000; i++) {
        double s = 0.2 * pow(5000, uniform()), q = pow(1e-9, uniform());
        double alpha = cost_orders[(int)(uniform() * (COST_N_ORDERS - 1))];
        double rho = rdp_subsampled_gaussian(alpha, s, q);
        /* steps large enough to stand above the rounding that RDP_SLACK allows */
        double noisier = rdp_subsampled_gaussian(alpha, s * 1.001, q);
        double rarer = rdp_subsampled_gaussian(alpha, s, q * 0.999);
        double higher = rdp_subsampled_gaussian(alpha * 1.01, s, q);
        ck_assert_msg(noisier < rho, "noise: %g %g %g", alpha, s, q);
        ck_assert_msg(rarer < rho, "rate: %g %g %g", alpha, s, q);
        ck_assert_msg(higher > rho * (1 - 1e-12), "order: %g %g %g", alpha, s, q);
        ck_assert(rho <= alpha / (2 * s * s) * (1 + 2 * RDP_SLACK));
    }
}
END_TEST

START_TEST(full_batch_is_the_gaussian)
{
    for (int i = 0; i < COST_N_ORDERS; i++) {
        double gaussian = cost_orders[i] / (2 * 1.7 * 1.7);
        double rho = rdp_subsampled_gaussian(cost_orders[i], 1.7, 1);
        ck_assert_double_ge(rho, gaussian);
        ck_assert_double_le(rho, gaussian * (1 + 2 * RDP_SLACK));
        /* and the limit is reached without a jump */
        double near = rdp_subsampled_gaussian(cost_orders[i], 1.7, 1 - 0x1p-53);
        ck_assert_double_eq_tol(near / rho, 1, 1e-9);
    }
}
END_TEST

START_TEST(a_curve_is_its_orders)
{
    struct mechanism mechanism = {.kind = MECHANISM_SUBSAMPLED_GAUSSIAN,
                                  .noise_multiplier = 0.9,
                                  .sample_rate = 0.003};
    struct curve curve;
    ck_assert_int_eq(mechanism_curve(&mechanism, UNIT_USER, &curve, NULL), 0);
    ck_assert_int_eq(curve.unit, UNIT_USER);
    ck_assert_int_eq(curve.relation, RELATION_ADD_REMOVE);
    ck_assert(curve.delta == 0);
    for (int i = 0; i < COST_N_ORDERS; i++) {
        double rho = rdp_subsampled_gaussian(cost_orders[i], 0.9, 0.003);
        ck_assert_double_eq_tol(curve.rho[i] / rho, 1, 1e-13);
    }
}
END_TEST

static struct mechanism at(enum mechanism_kind kind, double noise, double rate)
{
    return (struct mechanism){
        .kind = kind, .noise_multiplier = noise, .sample_rate = rate};
}

static void expect_range(struct mechanism mechanism, const char *text)
{
    struct curve curve = {.delta = 42};
    struct error err = {0};
    ck_assert_int_eq(mechanism_curve(&mechanism, UNIT_EXAMPLE, &curve, &err),
                     -PPT_ERANGE);
    ck_assert_msg(strstr(err.text, text) != NULL, "'%s' lacks '%s'", err.text, text);
    ck_assert(curve.delta == 42);
}

START_TEST(nonsense_is_refused)
{
    const enum mechanism_kind sampled = MECHANISM_SUBSAMPLED_GAUSSIAN;
    expect_range(at(sampled, NAN, 0.1), "noise_multiplier is nan");
    expect_range(at(sampled, -1, 0.1),
                 "noise_multiplier is -1, expected a number in [0.05, 1e+06]");
    expect_range(at(sampled, 0, 0.1), "noise_multiplier is 0");
    expect_range(at(sampled, 2e6, 0.1), "noise_multiplier is 2e+06");
    expect_range(at(sampled, 1, NAN), "sample_rate is");
    expect_range(at(sampled, 1, 0), "sample_rate is 0");
    expect_range(at(sampled, 1, -0.5), "sample_rate is -0.5");
    expect_range(at(sampled, 1, 1.5),
                 "sample_rate is 1.5, expected a number in [2^-53, 1]");
    expect_range(at(MECHANISM_GAUSSIAN, 1, 0.5), "expected 1");
    expect_range(at(MECHANISM_N_KINDS, 1, 0.5), "mechanism is number");
}
END_TEST

START_TEST(names_go_both_ways)
{
    for (int i = 0; i < MECHANISM_N_KINDS; i++)
        ck_assert_int_eq(mechanism_from_name(mechanism_name((enum mechanism_kind)i)),
                         i);
    for (int i = 0; i < UNIT_N; i++)
        ck_assert_int_eq(unit_from_name(unit_name((enum privacy_unit)i)), i);
    for (int i = 0; i < RELATION_N; i++)
        ck_assert_int_eq(relation_from_name(relation_name((enum privacy_relation)i)),
                         i);
    ck_assert_int_eq(mechanism_from_name("laplacian"), -1);
    ck_assert_int_eq(unit_from_name(NULL), -1);
    ck_assert_int_eq(relation_from_name(""), -1);
}
END_TEST

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

START_TEST(a_curve_is_fast)
{
    struct mechanism mechanism = {.kind = MECHANISM_SUBSAMPLED_GAUSSIAN,
                                  .noise_multiplier = 0.7,
                                  .sample_rate = 0.004};
    double best_s = INFINITY;
    for (int i = 0; i < 5; i++) {
        struct curve curve;
        double start_s = now_s();
        ck_assert_int_eq(mechanism_curve(&mechanism, UNIT_EXAMPLE, &curve, NULL), 0);
        best_s = fmin(best_s, now_s() - start_s);
    }
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    best_s /= 10; /* an instrumented build is not what is timed */
#endif
    ck_assert_double_le(best_s, CURVE_MAX_S);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("rdp");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, agrees_with_quadrature);
    tcase_add_test(tcase, whole_orders_agree_with_their_neighbours);
    tcase_add_test(tcase, is_monotone);
    tcase_add_test(tcase, full_batch_is_the_gaussian);
    tcase_add_test(tcase, a_curve_is_its_orders);
    tcase_add_test(tcase, nonsense_is_refused);
    tcase_add_test(tcase, names_go_both_ways);
    tcase_add_test(tcase, a_curve_is_fast);
    Suite *suite = suite_create("rdp");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
