/* Single releases: published deltas in both directions and under replacement, published
 * noises, and tails that fit together. */
#include <check.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/privacy/atoms.h"
#include "jobs/privacy/pair.h"
#include "tests/unit/privacy/rows.h"

static struct error err;

static bool is(const struct golden *row, const char *mechanism)
{
    return strcmp(row->mechanism, mechanism) == 0;
}

/* e^{-i^2/2s^2} on [-bound, bound], against itself shifted: masses that only one of the
 * two laws has. */
static struct atoms *truncated(double s, int shift, int bound)
{
    double p[64] = {0}, q[64] = {0}, sum = 0;
    for (int i = -bound; i <= bound; i++)
        sum += exp(-0.5 * i * i / (s * s));
    for (int i = -bound; i <= bound; i++) {
        double mass = exp(-0.5 * i * i / (s * s)) / sum;
        q[i + bound] = mass;
        p[i + bound + shift] = mass;
    }
    struct atoms *atoms = NULL;
    ck_assert_msg(
        atoms_new(p, q, (size_t)(2 * bound + 1 + shift), 1e-15, &atoms, &err) == 0,
        "%s", err.text);
    return atoms;
}

static struct atoms *atoms_of(const struct golden *row, double noise)
{
    struct atoms *atoms = NULL;
    int64_t sensitivity = (int64_t)row->sensitivity;
    if (is(row, "discrete_gaussian_trunc"))
        return truncated(row->sigma, (int)sensitivity, row->sigma > 5 ? 5 : 2);
    int rc = is(row, "discrete_gaussian")
                 ? atoms_discrete_gaussian(noise, sensitivity, &atoms, &err)
                 : atoms_discrete_laplace(1 / noise, sensitivity, &atoms, &err);
    ck_assert_msg(rc == 0, "%s", err.text);
    return atoms;
}

/* The row's pair with this noise; false where it is none of ours. */
static bool pair_of(const struct golden *row, double noise, struct pair *ret_pair,
                    struct atoms **ret_atoms)
{
    struct pair pair = {.rate = row->rate, .scale = noise / row->sensitivity};
    *ret_atoms = NULL;
    if (row->steps != 1)
        return false;
    /* published noises of the discrete Gaussian are REMOVE's, whatever their rows say
     */
    if (strcmp(row->adjacency, "ADD") == 0 && !is(row, "discrete_gaussian"))
        pair.direction = PAIR_ADD;
    else if (strcmp(row->adjacency, "REPLACE") == 0)
        pair.direction = PAIR_REPLACE;
    else
        pair.direction = PAIR_REMOVE;
    if (is(row, "gaussian") || is(row, "poisson_gaussian")) {
        pair.noise = PAIR_GAUSSIAN;
    } else if (is(row, "laplace") || is(row, "poisson_laplace")) {
        pair.noise = PAIR_LAPLACE;
    } else if (strstr(row->mechanism, "discrete_") != NULL) {
        pair.noise = PAIR_ATOMS;
        pair.atoms = *ret_atoms = atoms_of(row, noise);
    } else {
        return false;
    }
    ck_assert_msg(pair_check(&pair, &err) == 0, "%s: %s", row->id, err.text);
    *ret_pair = pair;
    return true;
}

static int check_delta(const struct golden *row)
{
    struct pair pair;
    struct atoms *atoms;
    if (!pair_of(row, row->sigma, &pair, &atoms))
        return 0;
    double delta = pair_delta(&pair, row->epsilon);
    ck_assert_msg(delta >= row->low && delta <= row->high,
                  "%s: %.17g not in %.17g %.17g", row->id, delta, row->low, row->high);
    atoms_free(atoms);
    return 1;
}

START_TEST(published_deltas)
{
    ck_assert_int_eq(rows_each("delta", check_delta), 97);
}
END_TEST

/* The published noise meets its target, a little less of it does not. */
static int check_noise(const struct golden *row)
{
    struct pair pair;
    struct atoms *atoms;
    if (strstr(row->bound, "rdp") != NULL || !pair_of(row, row->high, &pair, &atoms))
        return 0;
    ck_assert_msg(pair_delta(&pair, row->epsilon) <= row->delta, "%s", row->id);
    atoms_free(atoms);
    pair_of(row, row->low - 1e-4, &pair, &atoms); /* published to three digits */
    ck_assert_msg(pair_delta(&pair, row->epsilon) > row->delta, "%s", row->id);
    atoms_free(atoms);
    return 1;
}

START_TEST(published_noises)
{
    ck_assert_int_eq(rows_each("sigma", check_noise), 42);
}
END_TEST

/* The most that a test with the note's rate of false alarms detects: each delta bounds
 * it by e^epsilon fpr + delta(epsilon), and one of them is tight. */
static int check_power(const struct golden *row)
{
    struct pair pair;
    struct atoms *atoms;
    double fpr = NAN, power = 1;
    if (sscanf(row->note, "fpr=%lf", &fpr) != 1 ||
        !pair_of(row, row->sigma, &pair, &atoms))
        return 0;
    for (double epsilon = 0; epsilon < 20; epsilon += 1e-3)
        power = fmin(power, exp(epsilon) * fpr + pair_delta(&pair, epsilon));
    ck_assert_msg(power >= row->low && power <= row->high, "%s: %.17g", row->id, power);
    return 1;
}

START_TEST(published_powers)
{
    ck_assert_int_eq(rows_each("tpr", check_power), 6);
}
END_TEST

static const struct pair pairs[] = {
    {PAIR_GAUSSIAN, PAIR_REMOVE, 1, 1, NULL, {NULL}},
    {PAIR_GAUSSIAN, PAIR_REMOVE, 0.8, 1e-5, NULL, {NULL}},
    {PAIR_GAUSSIAN, PAIR_ADD, 0.8, 1e-5, NULL, {NULL}},
    {PAIR_GAUSSIAN, PAIR_REMOVE, 0.05, 0.01, NULL, {NULL}},
    {PAIR_GAUSSIAN, PAIR_ADD, 1, 0.999, NULL, {NULL}},
    {PAIR_GAUSSIAN, PAIR_REMOVE, 1000, 0.5, NULL, {NULL}},
    {PAIR_GAUSSIAN, PAIR_REPLACE, 1, 0.2, NULL, {NULL}},
    {PAIR_GAUSSIAN, PAIR_REPLACE, 0.1, 1e-6, NULL, {NULL}},
    {PAIR_GAUSSIAN, PAIR_REPLACE, 2, 1, NULL, {NULL}},
    {PAIR_LAPLACE, PAIR_REMOVE, 2, 1, NULL, {NULL}},
    {PAIR_LAPLACE, PAIR_ADD, 0.5, 0.3, NULL, {NULL}},
};

/* In each thin slice of losses P's mass is e^loss times Q's. */
START_TEST(masses_fit_their_loss)
{
    const struct pair *pair = &pairs[_i];
    struct tails near, far;
    pair_tails(pair, -60, &near);
    for (double loss = -60; loss < 60; loss += 0.03125) {
        pair_tails(pair, loss + 0.03125, &far);
        ck_assert_double_eq_tol(near.up_p + near.low_p, 1, 1e-15);
        ck_assert_double_eq_tol(near.up_q + near.low_q, 1, 1e-15);
        double a = near.up_p < 0.5 ? near.up_p - far.up_p : far.low_p - near.low_p;
        double b = near.up_q < 0.5 ? near.up_q - far.up_q : far.low_q - near.low_q;
        double slack = 8 * near.rel * (near.up_p + far.low_p) + 1e-13;
        double ratio = a / b;
        if (a > 1e-10 && b > 1e-10) {
            ck_assert_double_ge(ratio, exp(loss) * (1 - 1e-4));
            ck_assert_double_le(ratio, exp(loss + 0.03125) * (1 + 1e-4));
        }
        ck_assert_double_ge(a, -slack);
        near = far;
    }
}
END_TEST

/* delta(epsilon) of one direction fixes the other: swapping P and Q,
 * delta'(-e) = 1 - e^-e + e^-e delta(e). */
START_TEST(directions_mirror_each_other)
{
    struct pair there = pairs[_i], back = pairs[_i];
    if (there.direction != PAIR_REPLACE)
        back.direction = there.direction == PAIR_REMOVE ? PAIR_ADD : PAIR_REMOVE;
    for (double epsilon = 0; epsilon < 20; epsilon += 0.37) {
        double delta = pair_delta(&there, epsilon);
        double mirrored = -expm1(-epsilon) + exp(-epsilon) * delta;
        ck_assert_double_eq_tol(pair_delta(&back, -epsilon), mirrored, 1e-11);
    }
}
END_TEST

START_TEST(nonsense_is_refused)
{
    const struct pair wrong[] = {
        {PAIR_GAUSSIAN, PAIR_REMOVE, NAN, 0.5, NULL, {NULL}},
        {PAIR_GAUSSIAN, PAIR_REMOVE, 0.049, 0.5, NULL, {NULL}},
        {PAIR_GAUSSIAN, PAIR_REMOVE, 1e8, 0.5, NULL, {NULL}},
        {PAIR_GAUSSIAN, PAIR_REMOVE, -1, 0.5, NULL, {NULL}},
        {PAIR_GAUSSIAN, PAIR_REMOVE, 1, 0, NULL, {NULL}},
        {PAIR_GAUSSIAN, PAIR_REMOVE, 1, 1.0000001, NULL, {NULL}},
        {PAIR_GAUSSIAN, PAIR_REMOVE, 1, NAN, NULL, {NULL}},
        {PAIR_LAPLACE, PAIR_REPLACE, 1, 0.5, NULL, {NULL}},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        ck_assert_int_eq(pair_check(&wrong[i], &err), -PPT_ERANGE);
    struct atoms *atoms = NULL;
    const double fair[] = {0.5, 0.5}, short_of_one[] = {0.5, 0.4},
                 below[] = {1.5, -0.5};
    ck_assert_int_eq(atoms_new(fair, short_of_one, 2, 0, &atoms, &err), -PPT_ERANGE);
    ck_assert_int_eq(atoms_new(below, fair, 2, 0, &atoms, &err), -PPT_ERANGE);
    ck_assert_int_eq(atoms_new(fair, fair, 0, 0, &atoms, &err), -PPT_ERANGE);
    ck_assert_int_eq(atoms_new(fair, fair, 2, NAN, &atoms, &err), -PPT_ERANGE);
    ck_assert_int_eq(atoms_discrete_gaussian(0.01, 1, &atoms, &err), -PPT_ERANGE);
    ck_assert_int_eq(atoms_discrete_gaussian(1, 0, &atoms, &err), -PPT_ERANGE);
    ck_assert_int_eq(atoms_discrete_laplace(NAN, 1, &atoms, &err), -PPT_ERANGE);
    ck_assert_int_eq(atoms_discrete_laplace(1e4, 1, &atoms, &err), -PPT_ERANGE);
    ck_assert_ptr_null(atoms);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pair");
    TCase *tcase = tcase_create("pair");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, published_deltas);
    tcase_add_test(tcase, published_noises);
    tcase_add_test(tcase, published_powers);
    int n = (int)(sizeof pairs / sizeof pairs[0]);
    tcase_add_loop_test(tcase, masses_fit_their_loss, 0, n);
    tcase_add_loop_test(tcase, directions_mirror_each_other, 0, n);
    tcase_add_test(tcase, nonsense_is_refused);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
