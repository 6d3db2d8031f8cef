/* The currency of the ledger: a Renyi curve on a fixed grid of orders, plus a delta.
 *
 * Guarantee: every conversion into a struct cost rounds up, every addition saturates at
 * COST_INFINITE, and every epsilon read back out is an upper bound. A bare epsilon
 * exists only in a spec and on a screen. The price of one job is renyi.h's, over all
 * orders; this is the currency in which jobs are added and limited.
 */
#ifndef PPT_JOBS_PRIVACY_COST_H
#define PPT_JOBS_PRIVACY_COST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "jobs/privacy/unit.h"

#define COST_N_ORDERS 128
#define COST_RHO_PER_NAT 1099511627776.0         /* 2^40: rho is in 2^-40 nat */
#define COST_DELTA_PER_ONE 4611686018427387904.0 /* 2^62: delta is in 2^-62 */
#define COST_INFINITE INT64_MAX

/* The grid of orders alpha, increasing, all > 1. Part of the ledger's format: a
 * database keeps a copy and ppt-schedd refuses to start if the two differ. */
extern const double cost_orders[COST_N_ORDERS];

/* A Renyi curve in nats: rho[i] >= D_alpha(P||Q) and D_alpha(Q||P) at cost_orders[i].
 * INFINITY where no bound is known. */
struct curve {
    enum privacy_unit unit;
    enum privacy_relation relation;
    double rho[COST_N_ORDERS];
    double delta; /* additive slack of the mechanism itself, mostly 0 */
};

struct cost {
    enum privacy_unit unit;
    enum privacy_relation relation;
    int64_t rho[COST_N_ORDERS]; /* 2^-40 nat, >= 0, COST_INFINITE where unbounded */
    int64_t delta;              /* 2^-62, >= 0 */
    /* 2^-40, >= 0: the sum of (sensitivity / noise)^2 where every release is a Gaussian
     * over all records, exact in currency gaussian (gdp.h); else COST_INFINITE. */
    int64_t mu2;
};

/* The cost that is nothing. */
struct cost cost_zero(enum privacy_unit unit, enum privacy_relation relation);

/* The same amount of the same unit and relation? */
bool cost_equal(const struct cost *a, const struct cost *b);

/* count releases of a mechanism with this curve, rounded up. They have no mu2: a curve
 * does not tell it. See cost_gaussian_mu2.
 * Errors: PPT_ERANGE (NaN, negative, count < 0). */
int cost_from_curve(const struct curve *curve, int64_t count, struct cost *ret_cost,
                    struct error *err);

/* mu2 of count releases of Gaussian noise with this multiplier, of nothing sampled,
 * rounded up. Requires noise_multiplier > 0, count >= 0. */
int64_t cost_gaussian_mu2(double noise_multiplier, int64_t count);

/* sum = a + b, saturating. Errors: PPT_ERANGE if units or relations differ. */
int cost_add(const struct cost *a, const struct cost *b, struct cost *ret_sum,
             struct error *err);

/* The smallest epsilon at this delta over the grid, rounded up; INFINITY where the cost
 * is. Tight conversion: Canonne, Kamath, Steinke 2020 (arXiv 2004.00010), Prop. 12.
 * *ret_order, where not NULL, gets the grid index used.
 * Errors: PPT_ERANGE (delta not in (0,1), delta <= cost->delta). */
int cost_epsilon(const struct cost *cost, double delta, double *ret_epsilon,
                 int *ret_order, struct error *err);

/* The epsilon >= 0 that D_alpha <= rho (nats, both ways) means at delta in (0, 1),
 * rounded up: the conversion above at one order. */
double cost_epsilon_at(double alpha, double rho, double delta);

/* The same for what a plan has released by the time it ends, where outputs may have
 * decided when: alpha is fixed in advance, rho is what was released by then. Not below
 * cost_epsilon_at, and equal unless that is 0 (README: a run that ends early). */
double cost_epsilon_stopped_at(double alpha, double rho, double delta);

/* The smallest delta at this epsilon over the grid, rounded up, at most 1.
 * Errors: PPT_ERANGE (epsilon negative or NaN). */
int cost_delta(const struct cost *cost, double epsilon, double *ret_delta,
               int *ret_order, struct error *err);

/* The weights of the sound filter (design note in jobs/privacy/README.md): w sums to at
 * most 1 over the orders, fixed before the first job. Nine tenths stand on the order
 * that suits Gaussian-shaped jobs best at (epsilon, delta); the rest is spread evenly.
 * Errors: PPT_ERANGE. */
int cost_weights(double epsilon, double delta, double ret_weights[COST_N_ORDERS],
                 struct error *err);

/* The filter's caps, rounded down: cap[i] = epsilon - ln(1-1/a) + (ln(w[i] delta) + ln
 * a)/(a-1) in 2^-40 nat; negative or weightless orders get -1 (never usable).
 * Errors: PPT_ERANGE. */
int cost_caps(double epsilon, double delta, const double weights[COST_N_ORDERS],
              int64_t ret_caps[COST_N_ORDERS], struct error *err);

#endif
