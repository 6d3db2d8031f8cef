#include "jobs/privacy/renyi.h"

#include <float.h>
#include <math.h>
#include <stddef.h>

/* Orders above the grid's last are tried up to this one. */
#define MAX_ORDER 65536.0

/* Width in log(alpha - 1) at which the search ends. */
#define TOLERANCE 1e-6

int renyi_check(const struct renyi_release *releases, int n, struct error *err)
{
    if (n < 1 || n > RENYI_MAX_RELEASES)
        return error_set(err, PPT_ERANGE,
                         "a plan has %d mechanisms, expected between 1 and %d", n,
                         RENYI_MAX_RELEASES);
    for (int i = 0; i < n; i++) {
        const struct mechanism *m = &releases[i].mechanism;
        int rc = mechanism_check(m, err);
        if (rc != 0)
            return rc;
        if (releases[i].count < 1 || releases[i].count > RENYI_MAX_COUNT)
            return error_set(err, PPT_ERANGE,
                             "count of %s is %lld, expected a number in [1, %lld]",
                             mechanism_name(m->kind), (long long)releases[i].count,
                             (long long)RENYI_MAX_COUNT);
        enum privacy_relation relation = releases[0].mechanism.relation;
        if (m->relation != relation)
            return error_set(err, PPT_ERANGE,
                             "cannot add a price under %s to one under %s",
                             relation_name(m->relation), relation_name(relation));
    }
    return 0;
}

struct plan {
    const struct renyi_release *releases;
    int n;
    double delta;
};

/* The whole plan's divergence, rounded up, at each of `count` <= COST_N_ORDERS orders.
 */
static void divergences(const struct plan *plan, const double *alphas, int count,
                        double *ret_rho)
{
    double rho[COST_N_ORDERS];
    for (int j = 0; j < count; j++)
        ret_rho[j] = 0;
    for (int i = 0; i < plan->n; i++) {
        mechanism_rho(&plan->releases[i].mechanism, alphas, count, rho);
        for (int j = 0; j < count; j++)
            ret_rho[j] += rho[j] * (double)plan->releases[i].count;
    }
    for (int j = 0; j < count; j++)
        ret_rho[j] *= 1 + 4 * plan->n * DBL_EPSILON;
}

/* epsilon at each of `count` orders. */
static void epsilons(const struct plan *plan, const double *alphas, int count,
                     double *ret_epsilons)
{
    double rho[COST_N_ORDERS];
    divergences(plan, alphas, count, rho);
    for (int j = 0; j < count; j++)
        ret_epsilons[j] = cost_epsilon_at(alphas[j], rho[j], plan->delta);
}

static double epsilon(const struct plan *plan, double x)
{
    double alpha = 1 + exp(x), value;
    epsilons(plan, &alpha, 1, &value);
    return value;
}

struct best {
    double epsilon, x; /* x = log(alpha - 1) */
};

/* The least within [low, high], by golden section. */
static struct best narrow(const struct plan *plan, double low, double high)
{
    const double ratio = (sqrt(5) - 1) / 2;
    double a = high - ratio * (high - low), b = low + ratio * (high - low);
    double at_a = epsilon(plan, a), at_b = epsilon(plan, b);
    while (high - low > TOLERANCE) {
        if (at_a <= at_b) {
            high = b;
            b = a;
            at_b = at_a;
            a = high - ratio * (high - low);
            at_a = epsilon(plan, a);
        } else {
            low = a;
            a = b;
            at_a = at_b;
            b = low + ratio * (high - low);
            at_b = epsilon(plan, b);
        }
    }
    return at_a <= at_b ? (struct best){at_a, a} : (struct best){at_b, b};
}

/* Where the grid's last order is its best: doubles while that helps. */
static double upper_end(const struct plan *plan, double *ret_low)
{
    double best = INFINITY, low = *ret_low, alpha = cost_orders[COST_N_ORDERS - 1];
    for (; alpha <= MAX_ORDER; alpha *= 2) {
        double value;
        epsilons(plan, &alpha, 1, &value);
        if (value >= best)
            return log(alpha - 1);
        best = value;
        *ret_low = low;
        low = log(alpha - 1);
    }
    return log(MAX_ORDER - 1);
}

static double pure_sum(const struct plan *plan)
{
    double sum = 0;
    for (int i = 0; i < plan->n; i++)
        sum += mechanism_pure_epsilon(&plan->releases[i].mechanism) *
               (double)plan->releases[i].count;
    return sum * (1 + 4 * plan->n * DBL_EPSILON);
}

static int check(const struct renyi_release *releases, int n, double delta,
                 struct error *err)
{
    if (!(delta > 0 && delta < 1))
        return error_set(err, PPT_ERANGE, "delta is %g, expected a number in (0, 1)",
                         delta);
    return renyi_check(releases, n, err);
}

int renyi_epsilon_stopped(const struct renyi_release *releases, int n, double delta,
                          double order, double *ret_epsilon, struct error *err)
{
    int rc = check(releases, n, delta, err);
    if (rc != 0)
        return rc;
    if (!(order >= MECHANISM_MIN_ORDER && (order <= MAX_ORDER || isinf(order))))
        return error_set(err, PPT_ERANGE,
                         "order is %g, expected infinity or a number in [%g, %g]",
                         order, MECHANISM_MIN_ORDER, MAX_ORDER);
    struct plan plan = {releases, n, delta};
    double rho;
    if (isinf(order)) {
        *ret_epsilon = pure_sum(&plan);
    } else {
        divergences(&plan, &order, 1, &rho);
        *ret_epsilon = cost_epsilon_stopped_at(order, rho, delta);
    }
    return 0;
}

int renyi_epsilon(const struct renyi_release *releases, int n, double delta,
                  double *ret_epsilon, double *ret_order, struct error *err)
{
    int rc = check(releases, n, delta, err);
    if (rc != 0)
        return rc;
    struct plan plan = {releases, n, delta};
    double grid[COST_N_ORDERS];
    int k = 0;
    epsilons(&plan, cost_orders, COST_N_ORDERS, grid);
    for (int i = 1; i < COST_N_ORDERS; i++)
        if (grid[i] < grid[k])
            k = i;
    double low = log((k == 0 ? MECHANISM_MIN_ORDER : cost_orders[k - 1]) - 1);
    double high =
        k + 1 < COST_N_ORDERS ? log(cost_orders[k + 1] - 1) : upper_end(&plan, &low);
    struct best best = narrow(&plan, low, high);
    double order = 1 + exp(best.x), pure = pure_sum(&plan);
    if (grid[k] <= best.epsilon) {
        best.epsilon = grid[k];
        order = cost_orders[k];
    }
    *ret_epsilon = fmin(best.epsilon, pure);
    if (ret_order != NULL)
        *ret_order = pure <= best.epsilon ? INFINITY : order;
    return 0;
}
