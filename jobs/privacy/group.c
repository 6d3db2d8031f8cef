#include "jobs/privacy/group.h"

#include <math.h>

#define SLACK 1e-12

/* A bound at any order from those of the grid: (order - 1) rho is convex, rho grows. */
static double at_order(const double rho[COST_N_ORDERS], double alpha)
{
    int i = 0;
    while (i < COST_N_ORDERS && cost_orders[i] < alpha)
        i++;
    if (i == COST_N_ORDERS)
        return INFINITY;
    if (i == 0 || cost_orders[i] == alpha || isinf(rho[i]))
        return rho[i];
    double low = cost_orders[i - 1], high = cost_orders[i];
    double part = (alpha - low) / (high - low);
    double cgf = (1 - part) * (low - 1) * rho[i - 1] + part * (high - 1) * rho[i];
    return fmin(cgf / (alpha - 1) * (1 + SLACK), rho[i]);
}

/* Two steps after one another: the bound for a + b records from those for a and for b.
 * p runs through the grid's orders over alpha. */
static void join(const double a[COST_N_ORDERS], const double b[COST_N_ORDERS],
                 double ret_both[COST_N_ORDERS])
{
    double both[COST_N_ORDERS];
    for (int i = 0; i < COST_N_ORDERS; i++) {
        double alpha = cost_orders[i];
        both[i] = INFINITY;
        for (int j = i + 1; j < COST_N_ORDERS; j++) {
            double p = cost_orders[j] / alpha;
            double second = (p * alpha - 1) / (p - 1); /* r (alpha - 1/p) */
            double sum = (alpha - 1 / p) / (alpha - 1) * a[j] + at_order(b, second);
            both[i] = fmin(both[i], sum * (1 + SLACK));
        }
    }
    for (int i = COST_N_ORDERS - 2; i >= 0; i--) /* D grows with the order */
        both[i] = fmin(both[i], both[i + 1]);
    for (int i = 0; i < COST_N_ORDERS; i++)
        ret_both[i] = both[i];
}

static int check_records(int64_t n_records, struct error *err)
{
    if (n_records < 1 || n_records > GROUP_MAX_RECORDS)
        return error_set(err, PPT_ERANGE,
                         "n_records of a user is %lld, expected a number in [1, %d]",
                         (long long)n_records, GROUP_MAX_RECORDS);
    return 0;
}

int group_curve(const struct curve *example, int64_t n_records, struct curve *ret_user,
                struct error *err)
{
    int rc = check_records(n_records, err);
    if (rc != 0)
        return rc;
    if (example->unit != UNIT_EXAMPLE)
        return error_set(err, PPT_ERANGE,
                         "the curve is per %s, expected one per example",
                         unit_name(example->unit));
    if (example->delta != 0)
        return error_set(err, PPT_ERANGE,
                         "the curve has a delta of %g, expected 0: groups are bounded "
                         "for pure Renyi curves only",
                         example->delta);
    struct curve power = *example, sum = {.unit = UNIT_USER};
    bool is_empty = true;
    sum.relation = example->relation;
    for (int64_t left = n_records; left > 0; left >>= 1) {
        if ((left & 1) != 0 && is_empty)
            for (int i = 0; i < COST_N_ORDERS; i++)
                sum.rho[i] = power.rho[i];
        else if ((left & 1) != 0)
            join(sum.rho, power.rho, sum.rho);
        is_empty = is_empty && (left & 1) == 0;
        if (left > 1)
            join(power.rho, power.rho, power.rho);
    }
    *ret_user = sum;
    return 0;
}

static int scale(struct mechanism *m, double k, struct error *err)
{
    switch (m->kind) {
    case MECHANISM_RANDOM_ALLOCATION: /* at worst all of them fall into one bin */
        m->kind = MECHANISM_GAUSSIAN;
        m->noise_multiplier /= k;
        return 0;
    case MECHANISM_GAUSSIAN:
        m->noise_multiplier /= k;
        return 0;
    case MECHANISM_LAPLACE:
    case MECHANISM_NOISY_MAX:
        m->scale /= k;
        return 0;
    case MECHANISM_DISCRETE_GAUSSIAN:
    case MECHANISM_DISCRETE_LAPLACE:
        m->sensitivity *= k;
        return 0;
    case MECHANISM_SKELLAM:
        m->sensitivity *= k;
        m->sensitivity_l1 *= k;
        return 0;
    case MECHANISM_EXPONENTIAL:
    case MECHANISM_PURE:
        m->epsilon *= k;
        return 0;
    case MECHANISM_SPARSE_VECTOR:
        m->threshold_scale /= k;
        m->query_scale /= k;
        return 0;
    default: {
        int rc = error_set(
            err, PPT_ERANGE,
            "%s has no single shift for a user's records, expected added noise",
            mechanism_name(m->kind));
        error_hint(err, "use the bound from its curve");
        return rc;
    }
    }
}

int group_mechanism(const struct mechanism *example, int64_t n_records,
                    struct mechanism *ret_user, struct error *err)
{
    struct mechanism user = *example;
    int rc = check_records(n_records, err);
    if (rc == 0)
        rc = mechanism_check(example, err);
    if (rc == 0 && example->sample_rate < 1)
        rc = error_set(err, PPT_ERANGE,
                       "sample_rate is %g, expected 1: a user's records are sampled "
                       "each alone, which is no single shift",
                       example->sample_rate);
    if (rc == 0)
        rc = scale(&user, (double)n_records, err);
    if (rc == 0)
        rc = mechanism_check(&user, err);
    if (rc == 0)
        *ret_user = user;
    return rc;
}
