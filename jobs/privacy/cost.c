#include "jobs/privacy/cost.h"

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

/* Close together where a Gaussian or subsampled Gaussian with epsilon in [0.1, 10] and
 * delta in [1e-10, 1e-5] has its best order (the README says what that costs against
 * every order), with the twelve finite orders that published schedulers use among them.
 * Multiples of 1/16, so that alpha and alpha - 1 are exact in every language. */
const double cost_orders[COST_N_ORDERS] = {
    1.125,  1.25,  1.5,    1.75,  2.0,   2.1875, 2.375,  2.5,    2.6875, 2.875, 3.0,
    3.1875, 3.375, 3.5625, 3.75,  4.0,   4.1875, 4.375,  4.5625, 4.75,   5.0,   5.25,
    5.5,    5.75,  6.0,    6.25,  6.5,   6.75,   7.0,    7.25,   7.5,    7.75,  8.0,
    8.25,   8.5,   8.75,   9.0,   9.375, 9.75,   10.125, 10.5,   11.0,   11.5,  12.0,
    12.5,   13.0,  13.5,   14.0,  14.5,  15.0,   15.5,   16.0,   16.75,  17.5,  18.5,
    19.25,  20.0,  20.75,  21.5,  22.5,  23.25,  24.25,  25.25,  26.0,   27.0,  28.0,
    29.0,   30.0,  31.0,   32.0,  33.0,  35.0,   36.0,   37.0,   38.0,   40.0,  41.0,
    43.0,   44.0,  46.0,   47.0,  49.0,  51.0,   53.0,   55.0,   57.0,   59.0,  61.0,
    64.0,   66.0,  68.0,   70.0,  73.0,  76.0,   79.0,   82.0,   86.0,   90.0,  93.0,
    97.0,   101.0, 106.0,  110.0, 115.0, 120.0,  125.0,  131.0,  138.0,  145.0, 152.0,
    160.0,  169.0, 178.0,  188.0, 200.0, 212.0,  226.0,  242.0,  259.0,  278.0, 300.0,
    325.0,  352.0, 400.0,  512.0, 724.0, 1024.0, 2048.0};

/* Room for the few roundings of a formula whose terms have these magnitudes together.
 */
static double margin(double magnitudes)
{
    return 8 * DBL_EPSILON * magnitudes;
}

bool cost_equal(const struct cost *a, const struct cost *b)
{
    return a->unit == b->unit && a->relation == b->relation && a->delta == b->delta &&
           a->mu2 == b->mu2 && memcmp(a->rho, b->rho, sizeof a->rho) == 0;
}

struct cost cost_zero(enum privacy_unit unit, enum privacy_relation relation)
{
    return (struct cost){.unit = unit, .relation = relation};
}

/* amount * count * scale, rounded up to an integer, COST_INFINITE where too large. */
static int64_t scale_up(double amount, int64_t count, double scale)
{
    if (amount == 0 || count == 0)
        return 0;
    double scaled = ceil(amount * (double)count * scale * (1 + 4 * DBL_EPSILON));
    if (scaled >= 0x1p63)
        return COST_INFINITE;
    return scaled < 1 ? 1 : (int64_t)scaled; /* below 1: the product underflowed */
}

int cost_from_curve(const struct curve *curve, int64_t count, struct cost *ret_cost,
                    struct error *err)
{
    if (count < 0)
        return error_set(err, PPT_ERANGE,
                         "count is %lld, expected a number in [0, 2^63 - 1]",
                         (long long)count);
    if (!(curve->delta >= 0 && curve->delta <= 1))
        return error_set(err, PPT_ERANGE,
                         "delta of a curve is %g, expected a number in [0, 1]",
                         curve->delta);
    for (int i = 0; i < COST_N_ORDERS; i++)
        if (!(curve->rho[i] >= 0))
            return error_set(
                err, PPT_ERANGE,
                "rho of a curve at order %g is %g, expected a number in [0, infinity]",
                cost_orders[i], curve->rho[i]);
    *ret_cost = cost_zero(curve->unit, curve->relation);
    for (int i = 0; i < COST_N_ORDERS; i++)
        ret_cost->rho[i] = scale_up(curve->rho[i], count, COST_RHO_PER_NAT);
    ret_cost->delta = scale_up(curve->delta, count, COST_DELTA_PER_ONE);
    ret_cost->mu2 = count == 0 ? 0 : COST_INFINITE;
    return 0;
}

int64_t cost_gaussian_mu2(double noise_multiplier, int64_t count)
{
    /* off by two roundings at most, which scale_up has room for */
    double mu2 = 1 / (noise_multiplier * noise_multiplier);
    return scale_up(mu2, count, COST_RHO_PER_NAT);
}

static int64_t add_saturating(int64_t a, int64_t b)
{
    return a > COST_INFINITE - b ? COST_INFINITE : a + b;
}

static int check_amounts(const struct cost *cost, struct error *err)
{
    int64_t smallest = cost->delta < cost->mu2 ? cost->delta : cost->mu2;
    for (int i = 0; i < COST_N_ORDERS; i++)
        if (cost->rho[i] < smallest)
            smallest = cost->rho[i];
    if (smallest < 0)
        return error_set(err, PPT_ERANGE,
                         "a cost holds %lld, expected amounts in [0, 2^63 - 1]",
                         (long long)smallest);
    return 0;
}

int cost_add(const struct cost *a, const struct cost *b, struct cost *ret_sum,
             struct error *err)
{
    if (a->unit != b->unit || a->relation != b->relation)
        return error_set(err, PPT_ERANGE,
                         "cannot add a cost per %s (%s) to one per %s (%s)",
                         unit_name(b->unit), relation_name(b->relation),
                         unit_name(a->unit), relation_name(a->relation));
    int rc = check_amounts(a, err);
    if (rc == 0)
        rc = check_amounts(b, err);
    if (rc != 0)
        return rc;
    struct cost sum = cost_zero(a->unit, a->relation);
    for (int i = 0; i < COST_N_ORDERS; i++)
        sum.rho[i] = add_saturating(a->rho[i], b->rho[i]);
    sum.delta = add_saturating(a->delta, b->delta);
    sum.mu2 = add_saturating(a->mu2, b->mu2);
    *ret_sum = sum;
    return 0;
}

/* An upper bound in nats. */
static double rho_nats(int64_t rho)
{
    return rho == COST_INFINITE ? INFINITY
                                : (double)rho / COST_RHO_PER_NAT * (1 + DBL_EPSILON);
}

static double delta_upper(int64_t delta)
{
    return (double)delta / COST_DELTA_PER_ONE * (1 + DBL_EPSILON);
}

/* True if (alpha, rho)-RDP, any alpha > 1, already means total variation <= delta.
 * KL <= D_alpha, and TV <= sqrt(1 - e^-KL) (Bretagnolle and Huber 1979). */
static bool is_below_total_variation(double rho, double delta)
{
    return -expm1(-rho) * (1 + 8 * DBL_EPSILON) <=
           delta * delta * (1 - 4 * DBL_EPSILON);
}

double cost_epsilon_stopped_at(double alpha, double rho, double delta)
{
    double entropy = log1p(-1 / alpha);
    double tail = -log(delta) / (alpha - 1), order = log(alpha) / (alpha - 1);
    double epsilon = rho + entropy + tail - order;
    epsilon += margin(rho - entropy + tail + order);
    return epsilon > 0 ? epsilon : 0;
}

double cost_epsilon_at(double alpha, double rho, double delta)
{
    if (is_below_total_variation(rho, delta))
        return 0;
    return cost_epsilon_stopped_at(alpha, rho, delta);
}

static int check_delta(double delta, struct error *err)
{
    if (!(delta > 0 && delta < 1))
        return error_set(err, PPT_ERANGE, "delta is %g, expected a number in (0, 1)",
                         delta);
    return 0;
}

int cost_epsilon(const struct cost *cost, double delta, double *ret_epsilon,
                 int *ret_order, struct error *err)
{
    int rc = check_delta(delta, err);
    if (rc == 0)
        rc = check_amounts(cost, err);
    if (rc != 0)
        return rc;
    double left = delta;
    if (cost->delta > 0)
        left = nextafter(delta - delta_upper(cost->delta), 0);
    if (!(left > 0))
        return error_set(
            err, PPT_ERANGE,
            "delta is %g, expected more than the mechanisms' own delta of %g", delta,
            delta_upper(cost->delta));
    double best = INFINITY;
    int order = 0;
    for (int i = 0; i < COST_N_ORDERS; i++) {
        if (cost->rho[i] == COST_INFINITE)
            continue;
        double epsilon = cost_epsilon_at(cost_orders[i], rho_nats(cost->rho[i]), left);
        if (epsilon < best) {
            best = epsilon;
            order = i;
        }
    }
    *ret_epsilon = best;
    if (ret_order != NULL)
        *ret_order = order;
    return 0;
}

static double delta_at(double alpha, double rho, double epsilon)
{
    double gain = (alpha - 1) * rho, loss = (alpha - 1) * epsilon;
    double entropy = (alpha - 1) * log1p(-1 / alpha), order = log(alpha);
    double log_delta = gain - loss + entropy - order;
    log_delta += margin(gain + loss - entropy + order);
    double variation = sqrt(-expm1(-rho)); /* see is_below_total_variation */
    return fmin(exp(log_delta), variation) * (1 + 8 * DBL_EPSILON);
}

int cost_delta(const struct cost *cost, double epsilon, double *ret_delta,
               int *ret_order, struct error *err)
{
    if (!(epsilon >= 0 && epsilon <= DBL_MAX))
        return error_set(err, PPT_ERANGE,
                         "epsilon is %g, expected a number in [0, infinity)", epsilon);
    int rc = check_amounts(cost, err);
    if (rc != 0)
        return rc;
    double best = 1;
    int order = 0;
    for (int i = 0; i < COST_N_ORDERS; i++) {
        if (cost->rho[i] == COST_INFINITE)
            continue;
        double delta = delta_at(cost_orders[i], rho_nats(cost->rho[i]), epsilon);
        if (delta < best) {
            best = delta;
            order = i;
        }
    }
    if (cost->delta > 0)
        best = nextafter(best + delta_upper(cost->delta), INFINITY);
    *ret_delta = fmin(best, 1);
    if (ret_order != NULL)
        *ret_order = order;
    return 0;
}

static int check_target(double epsilon, double delta, struct error *err)
{
    if (!(epsilon > 0 && epsilon <= DBL_MAX))
        return error_set(err, PPT_ERANGE,
                         "epsilon is %g, expected a number in (0, infinity)", epsilon);
    return check_delta(delta, err);
}

/* A lower bound of the largest rho at which (alpha, rho)-RDP implies
 * (epsilon, e^log_delta)-DP, in nats; may be negative. */
static double cap_nats(double epsilon, double log_delta, double alpha)
{
    double entropy = log1p(-1 / alpha);
    double tail = log_delta / (alpha - 1), order = log(alpha) / (alpha - 1);
    return epsilon - entropy + tail + order -
           margin(epsilon - entropy + fabs(tail) + order);
}

int cost_weights(double epsilon, double delta, double ret_weights[COST_N_ORDERS],
                 struct error *err)
{
    int rc = check_target(epsilon, delta, err);
    if (rc != 0)
        return rc;
    int best = 0;
    double most = -INFINITY;
    for (int i = 0; i < COST_N_ORDERS; i++) {
        double jobs = cap_nats(epsilon, log(delta), cost_orders[i]) / cost_orders[i];
        if (jobs > most) {
            most = jobs;
            best = i;
        }
    }
    /* multiples of 2^-53: their sums up to 1 are exact in any order of adding */
    const double unit = 0x1p-53;
    for (int i = 0; i < COST_N_ORDERS; i++)
        ret_weights[i] = floor(0.1 / (COST_N_ORDERS - 1) / unit) * unit;
    ret_weights[best] = floor(0.9 / unit) * unit;
    return 0;
}

static int check_weights(const double weights[COST_N_ORDERS], struct error *err)
{
    double sum = 0;
    for (int i = 0; i < COST_N_ORDERS; i++) {
        if (!(weights[i] >= 0))
            return error_set(err, PPT_ERANGE,
                             "weight of order %g is %g, expected a number in [0, 1]",
                             cost_orders[i], weights[i]);
        sum += weights[i];
    }
    if (!(sum <= 1))
        return error_set(err, PPT_ERANGE, "weights sum to %.17g, expected at most 1",
                         sum);
    return 0;
}

int cost_caps(double epsilon, double delta, const double weights[COST_N_ORDERS],
              int64_t ret_caps[COST_N_ORDERS], struct error *err)
{
    int rc = check_target(epsilon, delta, err);
    if (rc == 0)
        rc = check_weights(weights, err);
    if (rc != 0)
        return rc;
    for (int i = 0; i < COST_N_ORDERS; i++) {
        ret_caps[i] = -1;
        if (weights[i] == 0)
            continue;
        double cap = cap_nats(epsilon, log(weights[i]) + log(delta), cost_orders[i]);
        double scaled = floor(cap * COST_RHO_PER_NAT);
        if (scaled >= 0x1p63)
            ret_caps[i] = COST_INFINITE - 1; /* an unbounded cost never fits */
        else if (scaled >= 0)
            ret_caps[i] = (int64_t)scaled;
    }
    return 0;
}
