/* Updates on a flat block of parameters. */
#include "kernels/cpu.h"

#include <math.h>

CPU_CLONES void optim_sgd(const struct optim *optim, int64_t n, const double *grad,
                          float *param)
{
    double rate = optim->learning_rate;
    for (int64_t i = 0; i < n; i++) {
        param[i] = (float)((double)param[i] - rate * grad[i]);
    }
}

CPU_CLONES void optim_momentum(const struct optim *optim, int64_t n, const double *grad,
                               float *param, float *velocity)
{
    double rate = optim->learning_rate, momentum = optim->momentum;
    for (int64_t i = 0; i < n; i++) {
        velocity[i] = (float)(momentum * (double)velocity[i] + grad[i]);
        param[i] = (float)((double)param[i] - rate * (double)velocity[i]);
    }
}

CPU_CLONES void optim_adam(const struct optim *optim, int64_t n, const double *grad,
                           float *param, float *mean, float *square)
{
    double beta1 = optim->beta1, beta2 = optim->beta2;
    double mean_scale = 1.0 / (1.0 - pow(beta1, (double)optim->step));
    double square_scale = 1.0 / (1.0 - pow(beta2, (double)optim->step));
    double rate = optim->learning_rate;
    double noise = optim->noise_square, least = optim->noise_floor;
    for (int64_t i = 0; i < n; i++) {
        mean[i] = (float)(beta1 * (double)mean[i] + (1.0 - beta1) * grad[i]);
        square[i] =
            (float)(beta2 * (double)square[i] + (1.0 - beta2) * grad[i] * grad[i]);
        double known = (double)square[i] * square_scale - noise;
        known = known < least ? least : known; /* NaN stays */
        double step = (double)mean[i] * mean_scale / (sqrt(known) + 1e-8);
        param[i] = (float)((double)param[i] - rate * step);
    }
}

CPU_CLONES void optim_yogi(const struct optim *optim, int64_t n, const double *grad,
                           float *param, float *mean, float *square)
{
    double beta1 = optim->beta1, left = 1.0 - optim->beta2;
    double rate = optim->learning_rate, tau = optim->tau, first = tau * tau;
    for (int64_t i = 0; i < n; i++) {
        double g2 = grad[i] * grad[i], v = first + (double)square[i];
        double towards = v > g2 ? -left : v < g2 ? left : 0.0;
        mean[i] = (float)(beta1 * (double)mean[i] + (1.0 - beta1) * grad[i]);
        square[i] = (float)((double)square[i] + towards * g2);
        v = first + (double)square[i];
        double step = (double)mean[i] / (sqrt(v > 0.0 ? v : 0.0) + tau);
        param[i] = (float)((double)param[i] - rate * step);
    }
}
