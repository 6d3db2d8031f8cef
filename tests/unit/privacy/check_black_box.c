/* Mechanisms of which nothing is known but their (epsilon, delta): the worst of them is
 * a pair of laws on four outcomes (Kairouz, Oh, Viswanath 2015, section 3), so the
 * composed-loss accountant must reproduce the theorem on optimal composition. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "jobs/privacy/atoms.h"
#include "jobs/privacy/pld.h"
#include "tests/unit/privacy/rows.h"

/* Ours is an upper bound of epsilon, to this fraction. */
#define PRECISION 1e-3
/* Deltas of a few outcomes are sums of doubles. */
#define ROUNDING 1e-12

static struct error err;

static struct atoms *worst_of(double epsilon, double delta)
{
    struct atoms *atoms;
    double more = (1 - delta) * exp(epsilon) / (1 + exp(epsilon));
    double less = (1 - delta) / (1 + exp(epsilon));
    const double p[] = {delta, more, less, 0}, q[] = {0, less, more, delta};
    int rc = atoms_new(p, q, 4, 1e-15, &atoms, &err);
    ck_assert_msg(rc == 0, "%s", err.text);
    return atoms;
}

static double delta_of(const struct pld_plan *plan, double epsilon)
{
    double delta = NAN;
    int rc = pld_delta(plan, epsilon, &delta, NULL, &err);
    ck_assert_msg(rc == 0, "%s", err.text);
    return delta;
}

/* The theorem's sum for n such mechanisms, over how often the likelier outcome came. */
static double exact_delta(double step_epsilon, double step_delta, int n, double epsilon)
{
    double sum = 0;
    for (int less = 0; less <= n; less++) {
        double log_choose = lgamma(n + 1) - lgamma(less + 1) - lgamma(n - less + 1);
        double loss = (n - 2 * less) * step_epsilon;
        double log_p =
            log_choose + (n - less) * step_epsilon - n * log1p(exp(step_epsilon));
        if (loss > epsilon)
            sum += exp(log_p) * -expm1(epsilon - loss);
    }
    double kept = pow(1 - step_delta, n);
    return 1 - kept + kept * sum;
}

START_TEST(composition_is_the_optimal_one)
{
    static const struct {
        double epsilon, delta, total;
        int n;
    } cases[] = {{1, 0.001, 20, 30},
                 {1, 0.001, 18, 30},
                 {0.1, 1e-6, 2, 100},
                 {0.5, 0, 4, 12},
                 {2, 0.01, 3, 3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct atoms *atoms = worst_of(cases[i].epsilon, cases[i].delta);
        struct pld_release release = {
            .noise = PAIR_ATOMS, .rate = 1, .atoms = atoms, .count = cases[i].n};
        struct pld_plan plan = {RELATION_ADD_REMOVE, 1, &release};
        double exact =
            exact_delta(cases[i].epsilon, cases[i].delta, cases[i].n, cases[i].total);
        /* In terms of epsilon, in which the accountant's precision is stated. */
        double nearby = exact_delta(cases[i].epsilon, cases[i].delta, cases[i].n,
                                    cases[i].total * (1 - PRECISION));
        double ours = delta_of(&plan, cases[i].total);
        ck_assert_msg(ours >= exact * (1 - ROUNDING) && ours <= nearby,
                      "case %zu: %.12g, exactly %.12g", i, ours, exact);
        atoms_free(atoms);
    }
}
END_TEST

/* The published answers are multiples of the mechanisms' epsilons: the least that keeps
 * delta. Between two of them the exact curve goes on, so ours lies at or below. */
static int check_row(const struct golden *row)
{
    if (strcmp(row->mechanism, "advanced_composition_KOV") != 0)
        return 0;
    double step = row->delta > 0 ? 0.001 : 0; /* the row's note */
    int n = (int)row->steps;
    double before = row->expected - 2 * row->epsilon, epsilon = NAN;
    ck_assert_double_le(exact_delta(row->epsilon, step, n, row->expected), row->delta);
    ck_assert_double_gt(exact_delta(row->epsilon, step, n, before), row->delta);
    struct atoms *atoms = worst_of(row->epsilon, step);
    struct pld_release release = {
        .noise = PAIR_ATOMS, .rate = 1, .atoms = atoms, .count = n};
    struct pld_plan plan = {RELATION_ADD_REMOVE, 1, &release};
    double delta = row->delta > 0 ? row->delta : 1e-18; /* no delta is 0 */
    int rc = pld_epsilon(&plan, delta, &epsilon, NULL, &err);
    ck_assert_msg(rc == 0, "%s: %s", row->id, err.text);
    ck_assert_msg(epsilon <= row->expected * (1 + PRECISION) && epsilon > before,
                  "%s: %.9f", row->id, epsilon);
    ck_assert_msg(exact_delta(row->epsilon, step, n, epsilon) <= delta * (1 + ROUNDING),
                  "%s: %.9f is too little", row->id, epsilon);
    atoms_free(atoms);
    return 1;
}

START_TEST(published_compositions)
{
    ck_assert_int_eq(rows_each("eps", check_row), 2); /* G189, G191 */
}
END_TEST

/* Two unlike ones: G184, (1, 0.1) and (2, 0.2) at the sum of their epsilons. */
static int check_pair(const struct golden *row)
{
    if (strcmp(row->mechanism, "epsilon_delta") != 0)
        return 0;
    struct atoms *first = worst_of(1, 0.1), *second = worst_of(2, 0.2);
    struct pld_release releases[] = {
        {.noise = PAIR_ATOMS, .rate = 1, .atoms = first, .count = 1},
        {.noise = PAIR_ATOMS, .rate = 1, .atoms = second, .count = 1}};
    struct pld_plan plan = {RELATION_ADD_REMOVE, 2, releases};
    /* The largest loss is epsilon itself; the grid spreads it over a cell of about
     * 1e-5, so the published delta, the chance of an infinite loss, is met just above.
     */
    double at = delta_of(&plan, row->epsilon);
    double above = delta_of(&plan, row->epsilon * (1 + 1e-4));
    ck_assert_msg(above >= row->expected * (1 - ROUNDING) &&
                      above <= row->expected * (1 + 1e-10) && at >= above &&
                      at <= row->expected * (1 + 1e-4),
                  "%s: %.12f, %.12f", row->id, at, above);
    atoms_free(first);
    atoms_free(second);
    return 1;
}

START_TEST(published_pairs)
{
    ck_assert_int_eq(rows_each("delta", check_pair), 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("black_box");
    TCase *tcase = tcase_create("black_box");
    tcase_add_test(tcase, composition_is_the_optimal_one);
    tcase_add_test(tcase, published_compositions);
    tcase_add_test(tcase, published_pairs);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
