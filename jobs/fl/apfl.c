#include "jobs/fl/apfl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int apfl_open(struct apfl *apfl, const struct spec *spec, int64_t n_params,
              struct error *err)
{
    const struct spec_personal *personal = &spec->federation.personal;
    *apfl = (struct apfl){0};
    if (!personal->is_on || personal->kind != PERSONAL_APFL) {
        return 0;
    }
    apfl->mixed = malloc((size_t)n_params * sizeof *apfl->mixed);
    apfl->grad = malloc((size_t)n_params * sizeof *apfl->grad);
    if (apfl->mixed == NULL || apfl->grad == NULL) {
        apfl_close(apfl);
        return error_set(err, PPT_ENOMEM, "no memory for clients' own models");
    }
    apfl->n = n_params;
    apfl->alpha_0 = personal->alpha;
    return 0;
}

void apfl_close(struct apfl *apfl)
{
    free(apfl->mixed);
    free(apfl->grad);
    *apfl = (struct apfl){0};
}

static int find(struct keep *keep, int64_t client, float **ret_own, float **ret_share,
                struct error *err)
{
    *ret_own = keep_vector(keep, client, KEEP_OWN);
    *ret_share = keep_vector(keep, client, KEEP_SHARE);
    return *ret_own != NULL && *ret_share != NULL
               ? 0
               : error_set(err, PPT_ENOMEM, "no memory for a client's own model");
}

int apfl_begin(struct apfl *apfl, struct keep *keep, int64_t client,
               const float *common, struct error *err)
{
    if (apfl->n == 0) {
        return 0;
    }
    int rc = find(keep, client, &apfl->own, &apfl->share, err);
    if (rc == 0 && apfl->share[1] == 0.0f) {
        memcpy(apfl->own, common, (size_t)apfl->n * sizeof *apfl->own);
        apfl->share[0] = (float)apfl->alpha_0;
        apfl->share[1] = 1.0f;
    }
    apfl->is_first = true;
    return rc;
}

void apfl_end(struct apfl *apfl)
{
    apfl->own = NULL;
}

static void mix(double alpha, int64_t n, const float *own, const float *params,
                float *ret_mixed)
{
    for (int64_t j = 0; j < n; j++) {
        ret_mixed[j] =
            (float)(alpha * (double)own[j] + (1.0 - alpha) * (double)params[j]);
    }
}

void apfl_mix(struct apfl *apfl, const float *params)
{
    if (apfl->own == NULL) {
        return;
    }
    mix((double)apfl->share[0], apfl->n, apfl->own, params, apfl->mixed);
    memset(apfl->grad, 0, (size_t)apfl->n * sizeof *apfl->grad);
}

void apfl_step(struct apfl *apfl, const float *params, double rate)
{
    if (apfl->own == NULL) {
        return;
    }
    double alpha = (double)apfl->share[0], slope = 0.0;
    for (int64_t j = 0; j < apfl->n; j++) {
        double own = (double)apfl->own[j];
        slope += (own - (double)params[j]) * apfl->grad[j];
        apfl->own[j] = (float)(own - rate * alpha * apfl->grad[j]);
    }
    if (apfl->is_first) {
        apfl->share[0] = (float)fmin(1.0, fmax(0.0, alpha - rate * slope));
    }
    apfl->is_first = false;
}

int apfl_use(const struct apfl *apfl, struct keep *keep, int64_t client, float *params,
             struct error *err)
{
    float *own, *share;
    if (!keep_has(keep, client, KEEP_SHARE)) {
        return 0;
    }
    int rc = find(keep, client, &own, &share, err);
    if (rc == 0 && share[1] != 0.0f) {
        mix((double)share[0], apfl->n, own, params, params);
    }
    return rc;
}
