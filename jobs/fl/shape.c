#include "jobs/fl/shape.h"

#include <math.h>

static double norm_of(const float *before, const float *after, int64_t n)
{
    double sum = 0.0;
    for (int64_t j = 0; j < n; j++) {
        double d = (double)after[j] - (double)before[j];
        sum += d * d;
    }
    return sqrt(sum);
}

static void scale(const float *before, float *after, int64_t n, double factor)
{
    for (int64_t j = 0; j < n; j++) {
        double d = (double)after[j] - (double)before[j];
        after[j] = (float)((double)before[j] + factor * d);
    }
}

static void shorten_layers(const struct net *net, double clip_norm, const float *before,
                           float *after)
{
    int n_layers = 0;
    for (int i = 0; i < net->n_layers; i++) {
        n_layers += net->layers[i].n_params > 0;
    }
    double most = clip_norm / sqrt((double)n_layers);
    for (int i = 0; i < net->n_layers; i++) {
        int64_t at = net->layers[i].offset, n = net->layers[i].n_params;
        double norm = norm_of(before + at, after + at, n);
        if (norm > most) {
            scale(before + at, after + at, n, most / norm);
        }
    }
}

void shape_update(const struct spec_privacy *privacy, const struct net *net,
                  const float *before, float *after)
{
    double norm = norm_of(before, after, net->n_params);
    if (!isfinite(norm)) {
        return;
    }
    if (privacy->clipping.mode == CLIP_AUTOMATIC) {
        scale(before, after, net->n_params,
              privacy->clip_norm / (norm + privacy->clipping.gamma));
    } else if (privacy->clipping.mode == CLIP_PER_LAYER) {
        shorten_layers(net, privacy->clip_norm, before, after);
    }
}
