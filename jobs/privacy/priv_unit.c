#include "jobs/privacy/priv_unit.h"

#include <math.h>

#include "jobs/privacy/normal.h"

/* How far the product that is computed may be from that of the real draw. */
#define SLACK 0x1p-12

static double upper(double t)
{
    return exp(normal_log_upper(t));
}

/* The largest p that keeps the ratio, as k / 2^53, rounded down. */
static void choose(double epsilon, double gamma, struct priv_unit *ret_plan)
{
    double least = upper(gamma + SLACK) * (1 - 0x1p-40), q = upper(gamma);
    double odds = exp(epsilon) * least / (1 - least);
    double whole = floor(odds / (1 + odds) * (1 - 0x1p-40) * 0x1p53);
    double p = whole * 0x1p-53, density = exp(-gamma * gamma / 2) / sqrt(2 * M_PI);
    *ret_plan = (struct priv_unit){.epsilon = epsilon,
                                   .gamma = gamma,
                                   .p = p,
                                   .whole = (uint64_t)whole,
                                   .m = density * (p / q - (1 - p) / (1 - q))};
}

int priv_unit_plan(double epsilon, struct priv_unit *ret_plan, struct error *err)
{
    struct priv_unit best = {0};
    if (!(epsilon >= PRIV_UNIT_LEAST_EPSILON && epsilon <= PRIV_UNIT_MOST_EPSILON))
        return error_set(err, PPT_ERANGE,
                         "privunit would have epsilon %g a message, expected a number "
                         "in [%g, %g]",
                         epsilon, PRIV_UNIT_LEAST_EPSILON, PRIV_UNIT_MOST_EPSILON);
    for (int i = 0; i <= (int)(64 * PRIV_UNIT_MOST_GAMMA); i++) {
        struct priv_unit plan;
        choose(epsilon, i / 64.0, &plan);
        if (plan.m > best.m)
            best = plan;
    }
    *ret_plan = best;
    return 0;
}
