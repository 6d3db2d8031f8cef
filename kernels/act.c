/* Activations, in place but for GELU, whose derivative needs what went in; and scaling.
 */
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

CPU_CLONES void act_squash_forward(const struct squash *squash, int64_t len, float *x)
{
    const struct squash s = *squash;
    for (int64_t i = 0; i < len; i++) {
        x[i] = s.scale * fastmath_sigmoid(s.steepness * x[i]) - s.offset;
    }
}

CPU_CLONES void act_squash_backward(const struct squash *squash, int64_t len,
                                    const float *restrict y, float *restrict dy)
{
    const struct squash s = *squash;
    float inverse = 1.0f / s.scale;
    for (int64_t i = 0; i < len; i++) {
        float share = (y[i] + s.offset) * inverse; /* the sigmoid's value */
        dy[i] *= s.scale * s.steepness * share * (1.0f - share);
    }
}

CPU_CLONES void act_scale(int64_t len, float by, float *x)
{
    for (int64_t i = 0; i < len; i++) {
        x[i] *= by;
    }
}

CPU_CLONES void act_gelu_forward(int64_t len, const float *restrict x,
                                 float *restrict y)
{
    for (int64_t i = 0; i < len; i++) {
        float density;
        y[i] = x[i] * fastmath_normal(x[i], &density);
    }
}

CPU_CLONES void act_gelu_backward(int64_t len, const float *restrict x,
                                  const float *restrict dy, float *restrict dx)
{
    for (int64_t i = 0; i < len; i++) {
        float density, below = fastmath_normal(x[i], &density);
        dx[i] = dy[i] * (below + x[i] * density);
    }
}
