/* Prices points for comparison with another accountant (tests/dev).
 *
 * With "orders" prints the grid, one order a line. Otherwise reads lines
 * "noise_multiplier sample_rate n_steps delta" and prints for each the epsilon over the
 * ledger's grid, over its whole-numbered orders alone, over all orders, and by composed
 * privacy-loss distributions; nan where an accountant refuses.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "jobs/privacy/accountant.h"

static int whole_orders(const struct renyi_release *release, double delta,
                        double *ret_epsilon, struct error *err)
{
    struct curve curve;
    struct cost cost;
    int rc = mechanism_curve(&release->mechanism, UNIT_EXAMPLE, &curve, err);
    for (int i = 0; rc == 0 && i < COST_N_ORDERS; i++)
        if (cost_orders[i] != floor(cost_orders[i]))
            curve.rho[i] = INFINITY;
    if (rc == 0)
        rc = cost_from_curve(&curve, release->count, &cost, err);
    if (rc == 0)
        rc = cost_epsilon(&cost, delta, ret_epsilon, NULL, err);
    return rc;
}

static double ask(enum accountant_kind kind, const struct renyi_release *release,
                  double delta)
{
    double epsilon;
    int rc = accountant_epsilon(kind, release, 1, delta, &epsilon, NULL, NULL);
    return rc == 0 ? epsilon : NAN;
}

int main(int argc, char **argv)
{
    struct error err = {0};
    struct renyi_release release = {mechanism_default(MECHANISM_SUBSAMPLED_GAUSSIAN),
                                    1};
    double delta, whole;
    log_init("price_points", false);
    if (argc == 2 && strcmp(argv[1], "orders") == 0) {
        for (int i = 0; i < COST_N_ORDERS; i++)
            printf("%.17g\n", cost_orders[i]);
        return 0;
    }
    while (scanf("%lf %lf %" SCNd64 " %lf", &release.mechanism.noise_multiplier,
                 &release.mechanism.sample_rate, &release.count, &delta) == 4) {
        if (whole_orders(&release, delta, &whole, &err) != 0)
            return log_error(&err);
        printf("%.17g %.17g %.17g %.17g\n", ask(ACCOUNTANT_LEDGER, &release, delta),
               whole, ask(ACCOUNTANT_RDP, &release, delta),
               ask(ACCOUNTANT_PLD, &release, delta));
    }
    return 0;
}
