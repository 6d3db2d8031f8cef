#include "jobs/dp/threshold.h"

#include <math.h>

/* Above the rounding of a few operations in double. */
static const double up = 1.0 + 0x1p-49, down = 1.0 - 0x1p-49;

/* Sets grid, clip and weight for threshold->norm. */
static bool plan(struct threshold *threshold)
{
    double r = threshold->ratio, norm = threshold->norm, inner;
    if (r == 0.0) {
        threshold->weight = 0.0;
        return grid_plan(norm, threshold->multiplier, threshold->n_params,
                         threshold->n_parts, &threshold->grid, &threshold->clip);
    }
    if (!grid_plan(norm * sqrt(1.0 + r * r), threshold->multiplier,
                   threshold->n_params + 1, threshold->n_parts, &threshold->grid,
                   &inner)) {
        return false;
    }
    double half = ceil(r * norm / threshold->grid.step) * threshold->grid.step;
    double square = inner * inner * down - half * half * up;
    threshold->weight = 2.0 * half;
    threshold->clip = square > 0.0 ? sqrt(square) * down : 0.0;
    return threshold->clip > 0.0;
}

int threshold_open(struct threshold *threshold, const struct spec_privacy *privacy,
                   double multiplier, double gradient_noise, double count_noise,
                   int64_t n_params, int64_t n_parts, struct error *err)
{
    bool is_adaptive = privacy->clipping.mode == CLIP_QUANTILE;
    *threshold = (struct threshold){
        .clipping = privacy->clipping,
        .first_norm = privacy->clip_norm,
        .multiplier = multiplier,
        .ratio = is_adaptive ? gradient_noise / (2.0 * count_noise) : 0.0,
        .n_params = n_params,
        .n_parts = n_parts,
        .norm = privacy->clip_norm,
    };
    if (plan(threshold)) {
        return 0;
    }
    return error_set(err, PPT_ERANGE,
                     "no noise with multiplier %g and clip norm %g for %lld "
                     "parameters: the multiplier times the root of their number "
                     "may be 2^23 at most",
                     multiplier, privacy->clip_norm, (long long)n_params);
}

int threshold_set(struct threshold *threshold, double norm, struct error *err)
{
    struct threshold next = *threshold;
    double factor = norm / threshold->first_norm;
    next.norm = norm;
    if (!(factor <= THRESHOLD_MAX_FACTOR && factor >= 1.0 / THRESHOLD_MAX_FACTOR) ||
        !plan(&next)) {
        return error_set(err, PPT_ERANGE,
                         "%g cannot be a clip norm, having begun at %g", norm,
                         threshold->first_norm);
    }
    *threshold = next;
    return 0;
}

float threshold_next(const struct threshold *threshold, double released,
                     double expected_votes)
{
    const struct spec_clipping *clipping = &threshold->clipping;
    double limit = 0.5 * THRESHOLD_MAX_FACTOR; /* a float's rounding stays within */
    double short_enough = released / threshold->weight / expected_votes + 0.5;
    double shift = clipping->rate * (short_enough - clipping->quantile);
    double factor = threshold->norm / threshold->first_norm * exp(-shift);
    return (float)(threshold->first_norm * fmin(fmax(factor, 1.0 / limit), limit));
}
