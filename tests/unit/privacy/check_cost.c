/* Costs: rounding up, saturation, conversion both ways, weights and caps. */
#include <check.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "jobs/privacy/cost.h"
#include "jobs/privacy/mechanism.h"

static struct cost zero(void)
{
    return cost_zero(UNIT_EXAMPLE, RELATION_ADD_REMOVE);
}

/* Uniform in [0, 1), the same in every run. */
static double uniform(void)
{
    static uint64_t state = 7;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 11) * 0x1p-53;
}

static struct curve flat(double rho)
{
    struct curve curve = {.unit = UNIT_EXAMPLE, .relation = RELATION_ADD_REMOVE};
    for (int i = 0; i < COST_N_ORDERS; i++)
        curve.rho[i] = rho;
    return curve;
}

static struct cost price(double noise, double rate, int64_t steps)
{
    struct mechanism mechanism = {.kind = MECHANISM_SUBSAMPLED_GAUSSIAN,
                                  .noise_multiplier = noise,
                                  .sample_rate = rate};
    struct curve curve;
    struct cost cost;
    ck_assert_int_eq(mechanism_curve(&mechanism, UNIT_EXAMPLE, &curve, NULL), 0);
    ck_assert_int_eq(cost_from_curve(&curve, steps, &cost, NULL), 0);
    return cost;
}

static double epsilon_of(const struct cost *cost, double delta)
{
    double epsilon = NAN;
    ck_assert_int_eq(cost_epsilon(cost, delta, &epsilon, NULL, NULL), 0);
    return epsilon;
}

static double delta_of(const struct cost *cost, double epsilon)
{
    double delta = NAN;
    ck_assert_int_eq(cost_delta(cost, epsilon, &delta, NULL, NULL), 0);
    return delta;
}

START_TEST(orders_increase_and_are_exact)
{
    ck_assert(cost_orders[0] > 1);
    for (int i = 0; i < COST_N_ORDERS; i++) {
        ck_assert(cost_orders[i] * 16 == floor(cost_orders[i] * 16));
        ck_assert(i == 0 || cost_orders[i] > cost_orders[i - 1]);
    }
    ck_assert(cost_orders[COST_N_ORDERS - 1] >= 1024);
}
END_TEST

START_TEST(counts_round_up)
{
    /* 2^-41 nat is half a unit: each of many counts must be covered */
    struct curve curve = flat(0x1p-41);
    struct cost cost;
    for (int64_t count = 0; count < 100; count++) {
        ck_assert_int_eq(cost_from_curve(&curve, count, &cost, NULL), 0);
        ck_assert_int_ge(cost.rho[5] * 2, count);
        ck_assert_int_le(cost.rho[5], (count + 1) / 2 + (count > 0));
    }
    /* a rho whose product is exact but has more digits than a double */
    for (int i = 0; i < 1000; i++) {
        curve = flat(uniform());
        int64_t count = (int64_t)(uniform() * 1e6);
        ck_assert_int_eq(cost_from_curve(&curve, count, &cost, NULL), 0);
        long double exact = (long double)curve.rho[0] * (long double)count * 0x1p40L;
        ck_assert((long double)cost.rho[0] >= exact);
        ck_assert((long double)cost.rho[0] <= exact * (1 + 4e-15L) + 1);
    }
    curve = flat(1e-300);
    ck_assert_int_eq(cost_from_curve(&curve, 1, &cost, NULL), 0);
    ck_assert_int_eq(cost.rho[0], 1);
    curve = flat(DBL_TRUE_MIN);
    ck_assert_int_eq(cost_from_curve(&curve, 1, &cost, NULL), 0);
    ck_assert_int_eq(cost.rho[0], 1);
}
END_TEST

START_TEST(large_costs_saturate)
{
    struct curve curve = flat(1);
    struct cost cost, sum;
    ck_assert_int_eq(cost_from_curve(&curve, INT64_MAX, &cost, NULL), 0);
    ck_assert_int_eq(cost.rho[3], COST_INFINITE);
    curve = flat(INFINITY);
    curve.delta = 1;
    ck_assert_int_eq(cost_from_curve(&curve, 1, &cost, NULL), 0);
    ck_assert_int_eq(cost.rho[3], COST_INFINITE);
    ck_assert_int_ge(cost.delta, (int64_t)1 << 62);
    ck_assert_int_le(cost.delta, ((int64_t)1 << 62) + 8192);
    ck_assert_int_eq(cost_add(&cost, &cost, &sum, NULL), 0);
    ck_assert_int_eq(sum.rho[3], COST_INFINITE);
    ck_assert_int_eq(sum.delta, COST_INFINITE);
    cost.delta = 0;
    ck_assert(isinf(epsilon_of(&cost, 1e-6)));
    ck_assert(delta_of(&cost, 5) == 1);
    ck_assert_int_eq(cost_from_curve(&curve, 0, &cost, NULL), 0);
    ck_assert_int_eq(cost.rho[3], 0);
}
END_TEST

START_TEST(adding_is_associative)
{
    for (int i = 0; i < 1000; i++) {
        struct cost c[3], left, right;
        for (int j = 0; j < 3; j++) {
            c[j] = zero();
            c[j].delta = (int64_t)(uniform() * 0x1p62);
            for (int k = 0; k < COST_N_ORDERS; k++)
                c[j].rho[k] =
                    uniform() < 0.1 ? COST_INFINITE : (int64_t)(uniform() * 0x1p62);
        }
        cost_add(&c[0], &c[1], &left, NULL);
        cost_add(&left, &c[2], &left, NULL);
        cost_add(&c[1], &c[2], &right, NULL);
        cost_add(&c[0], &right, &right, NULL);
        ck_assert_mem_eq(left.rho, right.rho, sizeof left.rho);
        ck_assert_int_eq(left.delta, right.delta);
        for (int k = 0; k < COST_N_ORDERS; k++)
            ck_assert_int_ge(left.rho[k], c[0].rho[k]);
    }
}
END_TEST

START_TEST(units_do_not_mix)
{
    struct cost a = zero(), b = cost_zero(UNIT_USER, RELATION_ADD_REMOVE), sum = a;
    struct error err = {0};
    ck_assert_int_eq(cost_add(&a, &b, &sum, &err), -PPT_ERANGE);
    ck_assert(strstr(err.text, "per user") != NULL);
    b = cost_zero(UNIT_EXAMPLE, RELATION_REPLACE_ONE);
    ck_assert_int_eq(cost_add(&a, &b, &sum, &err), -PPT_ERANGE);
    ck_assert(strstr(err.text, "replace_one") != NULL);
    b = zero();
    b.rho[100] = -1;
    ck_assert_int_eq(cost_add(&a, &b, &sum, &err), -PPT_ERANGE);
}
END_TEST

/* delta(epsilon) of a Gaussian of sensitivity mu * sigma: Balle and Wang 2018 (arXiv
 * 1805.06530), theorem 8. */
static double exact_delta(double mu, double epsilon)
{
    double a = (mu / 2 - epsilon / mu) * M_SQRT1_2;
    double b = (-mu / 2 - epsilon / mu) * M_SQRT1_2;
    return erfc(-a) / 2 - exp(epsilon) * erfc(-b) / 2;
}

START_TEST(conversion_bounds_the_gaussian)
{
    for (double mu = 0.01; mu < 5; mu *= 1.3) {
        struct cost cost = price(1 / mu, 1, 1);
        for (double epsilon = 0; epsilon < 10; epsilon += 0.25) {
            double delta = delta_of(&cost, epsilon), exact = exact_delta(mu, epsilon);
            ck_assert_msg(delta >= exact, "mu %g epsilon %g: %g < %g", mu, epsilon,
                          delta, exact);
        }
        for (double delta = 1e-12; delta < 0.5; delta *= 10) {
            double epsilon = epsilon_of(&cost, delta);
            ck_assert_msg(exact_delta(mu, epsilon) <= delta, "mu %g delta %g", mu,
                          delta);
        }
    }
}
END_TEST

START_TEST(conversion_is_tight)
{
    /* arXiv 2004.00010, proposition 12, at every order of the grid, by hand */
    struct cost cost = price(1.1, 0.004, 3750);
    double best = INFINITY, delta = 1e-5;
    for (int i = 0; i < COST_N_ORDERS; i++) {
        double a = cost_orders[i];
        best = fmin(best, (double)cost.rho[i] / COST_RHO_PER_NAT + log(1 - 1 / a) -
                              (log(delta) + log(a)) / (a - 1));
    }
    ck_assert_double_ge(epsilon_of(&cost, delta), best);
    ck_assert_double_eq_tol(epsilon_of(&cost, delta), best, 1e-12);
    int order = -1;
    double epsilon;
    cost_epsilon(&cost, delta, &epsilon, &order, NULL);
    double a = cost_orders[order];
    double alone = (double)cost.rho[order] / COST_RHO_PER_NAT + log(1 - 1 / a) -
                   (log(delta) + log(a)) / (a - 1);
    ck_assert_double_eq_tol(alone, epsilon, 1e-12);
}
END_TEST

START_TEST(epsilon_and_delta_agree_on_the_safe_side)
{
    for (int i = 0; i < 400; i++) {
        struct cost cost = price(0.5 * pow(40, uniform()), pow(1e-4, uniform()),
                                 1 + (int64_t)pow(1e6, uniform()));
        double delta = pow(10, -1 - 11 * uniform());
        double epsilon = epsilon_of(&cost, delta);
        if (epsilon == 0 || epsilon > 500)
            continue;
        double back = delta_of(&cost, epsilon);
        /* delta(epsilon(d)) <= d, up to the two margins; never far below it */
        ck_assert_msg(back <= delta * (1 + 1e-9) && back >= delta * (1 - 1e-6),
                      "%g became %g at epsilon %g", delta, back, epsilon);
        double again = epsilon_of(&cost, back);
        ck_assert(again >= epsilon * (1 - 1e-9));
        /* more delta, less epsilon; more epsilon, less delta */
        ck_assert(epsilon_of(&cost, delta * 2 < 1 ? delta * 2 : delta) <= epsilon);
        ck_assert(delta_of(&cost, epsilon * 1.5) <= back);
    }
}
END_TEST

START_TEST(more_work_costs_more)
{
    for (int i = 0; i < 200; i++) {
        double noise = 0.6 * pow(10, uniform()), rate = pow(1e-3, uniform());
        int64_t steps = 1 + (int64_t)pow(1e5, uniform());
        struct cost base = price(noise, rate, steps);
        struct cost noisier = price(noise * 1.01, rate, steps);
        struct cost rarer = price(noise, rate * 0.99, steps);
        struct cost longer = price(noise, rate, steps + 1 + steps / 100);
        double epsilon = epsilon_of(&base, 1e-6);
        ck_assert(epsilon_of(&noisier, 1e-6) <= epsilon);
        ck_assert(epsilon_of(&rarer, 1e-6) <= epsilon);
        ck_assert(epsilon_of(&longer, 1e-6) >= epsilon);
    }
}
END_TEST

START_TEST(own_delta_is_taken_off)
{
    struct curve curve = flat(0.01);
    struct cost cost, without;
    cost_from_curve(&curve, 1, &without, NULL);
    curve.delta = 1e-7;
    cost_from_curve(&curve, 3, &cost, NULL);
    ck_assert((double)cost.delta >= 3e-7 * COST_DELTA_PER_ONE);
    cost_from_curve(&curve, 1, &cost, NULL);
    struct error err = {0};
    double epsilon;
    ck_assert(epsilon_of(&cost, 1e-6) >= epsilon_of(&without, 9e-7));
    ck_assert(epsilon_of(&cost, 1e-6) <= epsilon_of(&without, 8.99999e-7));
    ck_assert(delta_of(&cost, 1) >= delta_of(&without, 1) + 1e-7);
    ck_assert_int_eq(cost_epsilon(&cost, 1e-7, &epsilon, NULL, &err), -PPT_ERANGE);
    ck_assert(strstr(err.text, "own delta") != NULL);
    cost.delta = COST_INFINITE;
    ck_assert(delta_of(&cost, 1) == 1);
}
END_TEST

START_TEST(nothing_costs_nothing)
{
    struct cost cost = zero();
    ck_assert(epsilon_of(&cost, 1e-10) == 0);
    ck_assert(delta_of(&cost, 0) == 0);
}
END_TEST

START_TEST(nonsense_is_refused)
{
    struct curve curve = flat(1);
    struct cost cost = zero();
    double out = 42;
    struct error err = {0};
    ck_assert_int_eq(cost_from_curve(&curve, -1, &cost, &err), -PPT_ERANGE);
    ck_assert(strstr(err.text, "count is -1, expected") != NULL);
    curve.rho[COST_N_ORDERS - 1] = NAN;
    ck_assert_int_eq(cost_from_curve(&curve, 1, &cost, &err), -PPT_ERANGE);
    ck_assert(strstr(err.text, "at order 2048 is") != NULL);
    curve = flat(-1e-300);
    ck_assert_int_eq(cost_from_curve(&curve, 1, &cost, &err), -PPT_ERANGE);
    curve = flat(0);
    curve.delta = NAN;
    ck_assert_int_eq(cost_from_curve(&curve, 1, &cost, &err), -PPT_ERANGE);
    const double deltas[] = {0, -1e-6, 1, 2, NAN, INFINITY};
    for (int i = 0; i < 6; i++) {
        ck_assert_int_eq(cost_epsilon(&cost, deltas[i], &out, NULL, &err), -PPT_ERANGE);
        ck_assert(strstr(err.text, "expected a number in (0, 1)") != NULL);
    }
    const double epsilons[] = {-1e-9, NAN, INFINITY};
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(cost_delta(&cost, epsilons[i], &out, NULL, &err), -PPT_ERANGE);
        ck_assert(strstr(err.text, "epsilon is") != NULL);
    }
    ck_assert(out == 42);
    double weights[COST_N_ORDERS] = {0};
    int64_t caps[COST_N_ORDERS];
    ck_assert_int_eq(cost_weights(0, 1e-6, weights, &err), -PPT_ERANGE);
    ck_assert_int_eq(cost_weights(1, 0, weights, &err), -PPT_ERANGE);
    ck_assert_int_eq(cost_caps(NAN, 1e-6, weights, caps, &err), -PPT_ERANGE);
    weights[0] = weights[1] = 0.50000001;
    ck_assert_int_eq(cost_caps(1, 1e-6, weights, caps, &err), -PPT_ERANGE);
    ck_assert(strstr(err.text, "weights sum to") != NULL);
    weights[0] = -0.1;
    ck_assert_int_eq(cost_caps(1, 1e-6, weights, caps, &err), -PPT_ERANGE);
}
END_TEST

START_TEST(weights_sum_to_at_most_one)
{
    for (int i = 0; i < 200; i++) {
        double w[COST_N_ORDERS], up = 0, down = 0;
        double epsilon = 0.1 * pow(100, uniform()), delta = pow(10, -5 - 5 * uniform());
        ck_assert_int_eq(cost_weights(epsilon, delta, w, NULL), 0);
        int best = 0;
        for (int k = 0; k < COST_N_ORDERS; k++) {
            ck_assert(w[k] * 0x1p53 == floor(w[k] * 0x1p53)); /* sums are exact */
            up += w[k];
            down += w[COST_N_ORDERS - 1 - k];
            ck_assert(w[k] > 0);
            best = w[k] > w[best] ? k : best;
        }
        ck_assert(up <= 1 && down <= 1 && up > 0.999999);
        ck_assert_double_eq_tol(w[best], 0.9, 1e-15);
        /* no other order admits more Gaussian-shaped jobs under all of delta */
        double most = 0, at_best = 0;
        for (int k = 0; k < COST_N_ORDERS; k++) {
            double one[COST_N_ORDERS] = {0};
            int64_t caps[COST_N_ORDERS];
            one[k] = 1;
            ck_assert_int_eq(cost_caps(epsilon, delta, one, caps, NULL), 0);
            most = fmax(most, (double)caps[k] / cost_orders[k]);
            if (k == best)
                at_best = (double)caps[k] / cost_orders[k];
        }
        ck_assert(at_best >= most * (1 - 1e-9));
    }
}
END_TEST

START_TEST(caps_are_the_formula_rounded_down)
{
    for (int i = 0; i < 200; i++) {
        double w[COST_N_ORDERS];
        int64_t caps[COST_N_ORDERS];
        double epsilon = 0.05 * pow(400, uniform()),
               delta = pow(10, -4 - 8 * uniform());
        ck_assert_int_eq(cost_weights(epsilon, delta, w, NULL), 0);
        w[17] = 0;
        ck_assert_int_eq(cost_caps(epsilon, delta, w, caps, NULL), 0);
        ck_assert_int_eq(caps[17], -1);
        for (int k = 0; k < COST_N_ORDERS; k++) {
            if (k == 17)
                continue;
            long double a = cost_orders[k];
            long double cap = epsilon - logl(1 - 1 / a) +
                              (logl(w[k]) + logl(delta) + logl(a)) / (a - 1);
            if (cap * 0x1p40L < 0) {
                ck_assert_int_eq(caps[k], -1);
                continue;
            }
            ck_assert((long double)caps[k] <= cap * 0x1p40L);
            ck_assert((long double)caps[k] >= cap * 0x1p40L - 1200);
        }
    }
}
END_TEST

START_TEST(a_cost_within_a_cap_keeps_the_promise)
{
    /* the cap is the inverse of the conversion: what fits costs at most epsilon, and
     * what is a little above costs more */
    const double epsilon = 3, delta = 1e-6;
    double one[COST_N_ORDERS] = {0};
    int64_t caps[COST_N_ORDERS];
    for (int k = 0; k < COST_N_ORDERS; k++) {
        memset(one, 0, sizeof one);
        one[k] = 1;
        ck_assert_int_eq(cost_caps(epsilon, delta, one, caps, NULL), 0);
        if (caps[k] < 0)
            continue;
        struct cost cost = zero();
        for (int j = 0; j < COST_N_ORDERS; j++)
            cost.rho[j] = j == k ? caps[k] : COST_INFINITE;
        /* the conversion's own margin is above the cap's */
        ck_assert_double_le(epsilon_of(&cost, delta), epsilon * (1 + 1e-12) + 1e-12);
        cost.rho[k] += 100000;
        ck_assert_double_gt(epsilon_of(&cost, delta), epsilon);
    }
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("cost");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, orders_increase_and_are_exact);
    tcase_add_test(tcase, counts_round_up);
    tcase_add_test(tcase, large_costs_saturate);
    tcase_add_test(tcase, adding_is_associative);
    tcase_add_test(tcase, units_do_not_mix);
    tcase_add_test(tcase, conversion_bounds_the_gaussian);
    tcase_add_test(tcase, conversion_is_tight);
    tcase_add_test(tcase, epsilon_and_delta_agree_on_the_safe_side);
    tcase_add_test(tcase, more_work_costs_more);
    tcase_add_test(tcase, own_delta_is_taken_off);
    tcase_add_test(tcase, nothing_costs_nothing);
    tcase_add_test(tcase, nonsense_is_refused);
    tcase_add_test(tcase, weights_sum_to_at_most_one);
    tcase_add_test(tcase, caps_are_the_formula_rounded_down);
    tcase_add_test(tcase, a_cost_within_a_cap_keeps_the_promise);
    Suite *suite = suite_create("cost");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
