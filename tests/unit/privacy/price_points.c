/* Prices points for comparison with another accountant (tests/dev).
 *
 * With "orders" prints the grid, one order a line. Otherwise reads lines
 * "noise_multiplier sample_rate n_steps delta" and prints for each the epsilon over the
 * whole grid and over its whole-numbered orders alone.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "jobs/privacy/mechanism.h"

static int epsilon_of(const struct curve *curve, int64_t n_steps, double delta,
                      double *ret_epsilon, struct error *err)
{
    struct cost cost;
    int rc = cost_from_curve(curve, n_steps, &cost, err);
    if (rc == 0)
        rc = cost_epsilon(&cost, delta, ret_epsilon, NULL, err);
    return rc;
}

static int price(double noise, double rate, int64_t n_steps, double delta,
                 struct error *err)
{
    struct mechanism mechanism = {.kind = MECHANISM_SUBSAMPLED_GAUSSIAN,
                                  .noise_multiplier = noise,
                                  .sample_rate = rate};
    struct curve curve;
    double all = NAN, whole = NAN;
    int rc = mechanism_curve(&mechanism, UNIT_EXAMPLE, &curve, err);
    if (rc == 0)
        rc = epsilon_of(&curve, n_steps, delta, &all, err);
    for (int i = 0; i < COST_N_ORDERS; i++)
        if (cost_orders[i] != floor(cost_orders[i]))
            curve.rho[i] = INFINITY;
    if (rc == 0)
        rc = epsilon_of(&curve, n_steps, delta, &whole, err);
    if (rc == 0)
        printf("%.17g %.17g\n", all, whole);
    return rc;
}

int main(int argc, char **argv)
{
    struct error err = {0};
    double noise, rate, delta;
    int64_t n_steps;
    log_init("price_points", false);
    if (argc == 2 && strcmp(argv[1], "orders") == 0) {
        for (int i = 0; i < COST_N_ORDERS; i++)
            printf("%.17g\n", cost_orders[i]);
        return 0;
    }
    while (scanf("%lf %lf %" SCNd64 " %lf", &noise, &rate, &n_steps, &delta) == 4)
        if (price(noise, rate, n_steps, delta, &err) != 0)
            return log_error(&err);
    return 0;
}
