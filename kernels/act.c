/* Activations, in place. */
#include "kernels/cpu.h"

#include "kernels/fastmath.h"

CPU_CLONES void act_relu_forward(int64_t len, float *x)
{
    for (int64_t i = 0; i < len; i++) {
        x[i] = x[i] < 0.0f ? 0.0f : x[i];
    }
}

CPU_CLONES void act_relu_backward(int64_t len, const float *restrict y,
                                  float *restrict dy)
{
    for (int64_t i = 0; i < len; i++) {
        dy[i] = y[i] > 0.0f ? dy[i] : 0.0f;
    }
}

CPU_CLONES void act_tanh_forward(int64_t len, float *x)
{
    for (int64_t i = 0; i < len; i++) {
        x[i] = fastmath_tanh(x[i]);
    }
}

CPU_CLONES void act_tanh_backward(int64_t len, const float *restrict y,
                                  float *restrict dy)
{
    for (int64_t i = 0; i < len; i++) {
        dy[i] *= 1.0f - y[i] * y[i];
    }
}
