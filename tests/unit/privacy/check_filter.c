/* The filter's rule "some order is within its cap", met by an adversary who submits
 * each job after seeing what the last one released. Everything is enumerated exactly.
 *
 * With one delta for every order the rule breaks its promise twofold; with weights that
 * sum to 1 it never does (jobs/privacy/README.md proves it). If the search below ever
 * finds more than delta under weighted caps, that proof is wrong.
 */
#include <check.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "jobs/privacy/cost.h"

#define EPSILON 10.0
#define DELTA 1e-7

/* A job that releases one bit: P = (p, 1-p) if the record is there, Q = (p e^-loss,
 * 1 - p e^-loss) if not. */
struct spike {
    double p, loss;
};

static double renyi(double alpha, double p, double q)
{
    /* log1p and expm1 keep the digits of tiny p */
    double rare = p * expm1((alpha - 1) * log(p / q));
    double usual = (1 - p) * expm1((alpha - 1) * (log1p(-p) - log1p(-q)));
    return log1p(rare + usual) / (alpha - 1);
}

static double spike_rho(struct spike spike, double alpha)
{
    double q = spike.p * exp(-spike.loss);
    return fmax(renyi(alpha, spike.p, q), renyi(alpha, q, spike.p));
}

static struct cost spike_cost(struct spike spike)
{
    struct curve curve = {.unit = UNIT_EXAMPLE, .relation = RELATION_ADD_REMOVE};
    struct cost cost;
    for (int i = 0; i < COST_N_ORDERS; i++)
        curve.rho[i] = spike_rho(spike, cost_orders[i]);
    ck_assert_int_eq(cost_from_curve(&curve, 1, &cost, NULL), 0);
    return cost;
}

static bool fits(const struct cost *spent, const int64_t caps[COST_N_ORDERS])
{
    for (int i = 0; i < COST_N_ORDERS; i++)
        if (spent->rho[i] <= caps[i])
            return true;
    return false;
}

static int order_index(double alpha)
{
    for (int i = 0; i < COST_N_ORDERS; i++)
        if (cost_orders[i] == alpha)
            return i;
    ck_abort_msg("order %g is not on the grid", alpha);
}

/* Caps at two orders, each with this weight; the rest are never usable. */
static void caps_of_two(double weight, int64_t caps[COST_N_ORDERS])
{
    const double orders[] = {4, 16};
    for (int i = 0; i < COST_N_ORDERS; i++)
        caps[i] = -1;
    for (int i = 0; i < 2; i++) {
        double one[COST_N_ORDERS] = {0};
        int64_t alone[COST_N_ORDERS];
        int k = order_index(orders[i]);
        one[k] = weight;
        ck_assert_int_eq(cost_caps(EPSILON, DELTA, one, alone, NULL), 0);
        caps[k] = alone[k];
    }
}

/* A run so far: the probabilities of what was seen, and what was spent. */
struct branch {
    double p, q;
    struct cost spent;
};

static struct branch follow(const struct branch *from, struct spike spike,
                            const struct cost *cost, bool spiked)
{
    struct branch next = *from;
    double q = spike.p * exp(-spike.loss);
    next.p *= spiked ? spike.p : 1 - spike.p;
    next.q *= spiked ? q : 1 - q;
    ck_assert_int_eq(cost_add(&from->spent, cost, &next.spent, NULL), 0);
    return next;
}

static double excess(double p, double q)
{
    return fmax(0, p - exp(EPSILON) * q);
}

START_TEST(unweighted_caps_break_their_promise)
{
    const struct spike first = {5e-5, 1.6};
    const struct spike after_spike = {0.031779231, 8.465};
    const struct spike otherwise = {3.9489590e-7, 10.29};
    int64_t caps[COST_N_ORDERS];
    caps_of_two(1, caps);
    int four = order_index(4), sixteen = order_index(16);
    ck_assert_double_eq_tol((double)caps[four] / COST_RHO_PER_NAT, 5.3770816, 1e-7);
    ck_assert_double_eq_tol((double)caps[sixteen] / COST_RHO_PER_NAT, 9.1748381, 1e-7);

    struct branch start = {1, 1, cost_zero(UNIT_EXAMPLE, RELATION_ADD_REMOVE)};
    struct cost cost = spike_cost(first);
    ck_assert(fits(&cost, caps));
    double delta = 0;
    for (int spiked = 0; spiked < 2; spiked++) {
        struct branch middle = follow(&start, first, &cost, spiked);
        struct spike second = spiked ? after_spike : otherwise;
        struct cost second_cost = spike_cost(second);
        for (int i = 0; i < 2; i++) {
            struct branch end = follow(&middle, second, &second_cost, i);
            ck_assert_msg(fits(&end.spent, caps), "branch %d is refused", spiked);
            delta += excess(end.p, end.q);
        }
    }
    ck_assert_double_eq_tol(delta, 1.9939e-7, 1e-11);

    /* the weighted caps refuse both second jobs */
    caps_of_two(0.5, caps);
    ck_assert(fits(&cost, caps));
    for (int spiked = 0; spiked < 2; spiked++) {
        struct branch middle = follow(&start, first, &cost, spiked);
        struct spike second = spiked ? after_spike : otherwise;
        struct cost second_cost = spike_cost(second);
        struct branch end = follow(&middle, second, &second_cost, true);
        ck_assert(!fits(&end.spent, caps));
    }

    /* and both deltas in full cannot even be asked for */
    double both[COST_N_ORDERS] = {0};
    both[four] = both[sixteen] = 1;
    ck_assert_int_eq(cost_caps(EPSILON, DELTA, both, caps, NULL), -PPT_ERANGE);
}
END_TEST

/* Uniform in [0, 1), the same in every run. */
static double uniform(void)
{
    static uint64_t state = 99;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 11) * 0x1p-53;
}

/* An adversary: a tree of spikes, node 0 first, children of i at 2i+1 (after a spike)
 * and 2i+2. A node with a target order is made as large as that order's cap allows. */
#define MAX_NODES 7

struct adversary {
    int n_nodes;
    double p[MAX_NODES], loss[MAX_NODES];
    int target[MAX_NODES]; /* grid index, or -1: p stands as it is */
};

/* The largest p (or 0) with which the job still fits at this one order. */
static double largest_p(const struct cost *spent, double loss, int order,
                        const int64_t caps[COST_N_ORDERS])
{
    double low = -60, high = 0; /* log p */
    double room = (double)(caps[order] - spent->rho[order] - 2) / COST_RHO_PER_NAT;
    for (int i = 0; i < 60; i++) {
        double middle = (low + high) / 2;
        double rho = spike_rho((struct spike){exp(middle), loss}, cost_orders[order]);
        if (rho <= room)
            low = middle;
        else
            high = middle;
    }
    return low == -60 ? 0 : exp(low);
}

/* Exact delta of the whole interaction with a filter that has these caps. */
static double attack(const struct adversary *a, int node, const struct branch *at,
                     const int64_t caps[COST_N_ORDERS])
{
    if (node >= a->n_nodes)
        return excess(at->p, at->q);
    struct spike spike = {a->p[node], a->loss[node]};
    if (a->target[node] >= 0)
        spike.p = largest_p(&at->spent, spike.loss, a->target[node], caps);
    if (spike.p <= 0)
        return excess(at->p, at->q);
    struct cost cost = spike_cost(spike);
    struct branch spiked = follow(at, spike, &cost, true);
    if (!fits(&spiked.spent, caps))
        return excess(at->p, at->q); /* refused: nothing is released */
    struct branch not_spiked = follow(at, spike, &cost, false);
    return attack(a, 2 * node + 1, &spiked, caps) +
           attack(a, 2 * node + 2, &not_spiked, caps);
}

static void mutate(struct adversary *a, const int *orders, int n_orders, double size)
{
    int node = (int)(uniform() * a->n_nodes);
    double what = uniform();
    if (what < 0.45)
        a->loss[node] = fabs(a->loss[node] + size * 8 * (uniform() - 0.5)) + 1e-3;
    else if (what < 0.9)
        a->p[node] = fmin(a->p[node] * exp(size * 20 * (uniform() - 0.5)), 0.9);
    else if (node > 0)
        a->target[node] = orders[(int)(uniform() * n_orders)];
}

/* The worst that a random search finds, over delta. */
static double search(const int64_t caps[COST_N_ORDERS], const int *orders, int n_orders,
                     int n_nodes, int n_tries)
{
    struct branch start = {1, 1, cost_zero(UNIT_EXAMPLE, RELATION_ADD_REMOVE)};
    double worst = 0;
    for (int restart = 0; restart < 3; restart++) {
        /* small first bet, then the largest at one order or the other */
        struct adversary best = {.n_nodes = n_nodes};
        for (int i = 0; i < n_nodes; i++) {
            best.p[i] = i == 0 ? 5e-5 : 1e-4;
            best.loss[i] = i == 0 ? 1 + uniform() : 8 + 3 * uniform();
            best.target[i] = i == 0 ? -1 : orders[i % n_orders];
        }
        double score = attack(&best, 0, &start, caps);
        for (int i = 0; i < n_tries; i++) {
            struct adversary next = best;
            mutate(&next, orders, n_orders, i < n_tries / 2 ? 1 : 0.05);
            double found = attack(&next, 0, &start, caps);
            if (found >= score) {
                best = next;
                score = found;
            }
        }
        worst = fmax(worst, score);
    }
    return worst / DELTA;
}

START_TEST(weighted_caps_keep_it)
{
    int64_t caps[COST_N_ORDERS];
    const int two[] = {order_index(4), order_index(16)};
    /* the search is strong enough to break the unweighted rule ... */
    caps_of_two(1, caps);
    double unweighted = search(caps, two, 2, 3, 3000);
    ck_assert_msg(unweighted > 1.9, "the search is weak: %g", unweighted);
    /* ... and gets close to delta, never above it, under weights */
    caps_of_two(0.5, caps);
    double two_jobs = search(caps, two, 2, 3, 3000);
    double three_jobs = search(caps, two, 2, 7, 1500);
    ck_assert_msg(two_jobs > 0.95, "the search is weak: %g", two_jobs);
    ck_assert_msg(two_jobs <= 1, "weighted caps are broken: %g", two_jobs);
    ck_assert_msg(three_jobs <= 1, "weighted caps are broken: %g", three_jobs);
}
END_TEST

START_TEST(default_weights_keep_it)
{
    double weights[COST_N_ORDERS];
    int64_t caps[COST_N_ORDERS];
    ck_assert_int_eq(cost_weights(EPSILON, DELTA, weights, NULL), 0);
    ck_assert_int_eq(cost_caps(EPSILON, DELTA, weights, caps, NULL), 0);
    int orders[COST_N_ORDERS], n_orders = 0;
    for (int i = 0; i < COST_N_ORDERS; i++)
        if (caps[i] > 0)
            orders[n_orders++] = i;
    ck_assert_int_gt(n_orders, 50);
    double worst = search(caps, orders, n_orders, 3, 1500);
    ck_assert_msg(worst > 0.5 && worst <= 1, "%g", worst);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("filter");
    tcase_set_timeout(tcase, 100);
    tcase_add_test(tcase, unweighted_caps_break_their_promise);
    tcase_add_test(tcase, weighted_caps_keep_it);
    tcase_add_test(tcase, default_weights_keep_it);
    Suite *suite = suite_create("filter");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
