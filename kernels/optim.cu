/* Twins of optim.c. Floors: sgd 16 bytes a parameter, momentum 24, adam and yogi
 * 32. */
#include "kernels/cuda.h"

#include <math.h>

static __global__ void sgd(double rate, int64_t n, const double *grad, float *param)
{
    CUDA_EACH(i, n)
    {
        param[i] = (float)((double)param[i] - rate * grad[i]);
    }
}

static __global__ void momentum(double rate, double momentum, int64_t n,
                                const double *grad, float *param, float *velocity)
{
    CUDA_EACH(i, n)
    {
        float moved = (float)(momentum * (double)velocity[i] + grad[i]);
        velocity[i] = moved;
        param[i] = (float)((double)param[i] - rate * (double)moved);
    }
}

struct adam_scales {
    double rate, beta1, beta2, mean_scale, square_scale, noise, least;
};

static __global__ void adam(struct adam_scales s, int64_t n, const double *grad,
                            float *param, float *mean, float *square)
{
    CUDA_EACH(i, n)
    {
        float m = (float)(s.beta1 * (double)mean[i] + (1.0 - s.beta1) * grad[i]);
        float v =
            (float)(s.beta2 * (double)square[i] + (1.0 - s.beta2) * grad[i] * grad[i]);
        double known = (double)v * s.square_scale - s.noise;
        known = known < s.least ? s.least : known;
        double step = (double)m * s.mean_scale / (sqrt(known) + 1e-8);
        mean[i] = m;
        square[i] = v;
        param[i] = (float)((double)param[i] - s.rate * step);
    }
}

static __global__ void yogi(double rate, double beta1, double left, double tau,
                            int64_t n, const double *grad, float *param, float *mean,
                            float *square)
{
    CUDA_EACH(i, n)
    {
        double first = tau * tau, g2 = grad[i] * grad[i];
        double v = first + (double)square[i];
        double towards = v > g2 ? -left : v < g2 ? left : 0.0;
        float m = (float)(beta1 * (double)mean[i] + (1.0 - beta1) * grad[i]);
        float moved = (float)((double)square[i] + towards * g2);
        v = first + (double)moved;
        mean[i] = m;
        square[i] = moved;
        param[i] = (float)((double)param[i] -
                           rate * ((double)m / (sqrt(v > 0.0 ? v : 0.0) + tau)));
    }
}

void cuda_sgd(const struct optim *optim, int64_t n, const double *grad, float *param)
{
    CUDA_LAUNCH(sgd, cuda_blocks(n), CUDA_THREADS, optim->learning_rate, n, grad,
                param);
}

void cuda_momentum(const struct optim *optim, int64_t n, const double *grad,
                   float *param, float *velocity)
{
    CUDA_LAUNCH(momentum, cuda_blocks(n), CUDA_THREADS, optim->learning_rate,
                optim->momentum, n, grad, param, velocity);
}

void cuda_adam(const struct optim *optim, int64_t n, const double *grad, float *param,
               float *mean, float *square)
{
    struct adam_scales s = {optim->learning_rate,
                            optim->beta1,
                            optim->beta2,
                            1.0 / (1.0 - pow(optim->beta1, (double)optim->step)),
                            1.0 / (1.0 - pow(optim->beta2, (double)optim->step)),
                            optim->noise_square,
                            optim->noise_floor};
    CUDA_LAUNCH(adam, cuda_blocks(n), CUDA_THREADS, s, n, grad, param, mean, square);
}

void cuda_yogi(const struct optim *optim, int64_t n, const double *grad, float *param,
               float *mean, float *square)
{
    CUDA_LAUNCH(yogi, cuda_blocks(n), CUDA_THREADS, optim->learning_rate, optim->beta1,
                1.0 - optim->beta2, optim->tau, n, grad, param, mean, square);
}
