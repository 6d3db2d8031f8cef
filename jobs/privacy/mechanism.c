#include "jobs/privacy/mechanism.h"

#include <string.h>

#include "jobs/privacy/rdp.h"

static const char *const names[MECHANISM_N_KINDS] = {
    [MECHANISM_GAUSSIAN] = "gaussian",
    [MECHANISM_SUBSAMPLED_GAUSSIAN] = "subsampled-gaussian",
};

const char *mechanism_name(enum mechanism_kind kind)
{
    return names[kind];
}

int mechanism_from_name(const char *name)
{
    for (int i = 0; i < MECHANISM_N_KINDS; i++)
        if (name != NULL && strcmp(name, names[i]) == 0)
            return i;
    return -1;
}

static int check(const struct mechanism *m, struct error *err)
{
    if ((unsigned)m->kind >= MECHANISM_N_KINDS)
        return error_set(err, PPT_ERANGE, "mechanism is number %d, expected 0 to %d",
                         (int)m->kind, MECHANISM_N_KINDS - 1);
    if (!(m->noise_multiplier >= RDP_MIN_NOISE && m->noise_multiplier <= RDP_MAX_NOISE))
        return error_set(err, PPT_ERANGE,
                         "noise_multiplier is %g, expected a number in [%g, %g]",
                         m->noise_multiplier, RDP_MIN_NOISE, RDP_MAX_NOISE);
    if (m->kind == MECHANISM_GAUSSIAN && m->sample_rate != 1)
        return error_set(err, PPT_ERANGE,
                         "sample_rate is %g, expected 1 for the gaussian mechanism",
                         m->sample_rate);
    if (!(m->sample_rate >= RDP_MIN_RATE && m->sample_rate <= 1))
        return error_set(err, PPT_ERANGE,
                         "sample_rate is %g, expected a number in [2^-53, 1]",
                         m->sample_rate);
    return 0;
}

int mechanism_curve(const struct mechanism *mechanism, enum privacy_unit unit,
                    struct curve *ret_curve, struct error *err)
{
    int rc = check(mechanism, err);
    if (rc != 0)
        return rc;
    *ret_curve = (struct curve){.unit = unit, .relation = RELATION_ADD_REMOVE};
    rdp_subsampled_gaussian_curve(cost_orders, COST_N_ORDERS,
                                  mechanism->noise_multiplier, mechanism->sample_rate,
                                  ret_curve->rho);
    return 0;
}
