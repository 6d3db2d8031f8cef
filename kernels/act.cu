/* Twins of act.c. Floors: forward and scale 8 bytes a value (read and written),
 * backward 12; tanh, sigmoid and GELU about 30 flops a value, far below the bytes'
 * time. */
#include "kernels/cuda.h"

#include "kernels/fastmath.h"

static __global__ void relu_forward(int64_t len, float *x)
{
    CUDA_EACH(i, len)
    {
        x[i] = x[i] < 0.0f ? 0.0f : x[i]; /* NaN stays */
    }
}

static __global__ void relu_backward(int64_t len, const float *y, float *dy)
{
    CUDA_EACH(i, len)
    {
        dy[i] = y[i] > 0.0f ? dy[i] : 0.0f;
    }
}

static __global__ void tanh_forward(int64_t len, float *x)
{
    CUDA_EACH(i, len)
    {
        x[i] = fastmath_tanh(x[i]);
    }
}

static __global__ void tanh_backward(int64_t len, const float *y, float *dy)
{
    CUDA_EACH(i, len)
    {
        dy[i] *= 1.0f - y[i] * y[i];
    }
}

static __global__ void squash_forward(struct squash s, int64_t len, float *x)
{
    CUDA_EACH(i, len)
    {
        x[i] = s.scale * fastmath_sigmoid(s.steepness * x[i]) - s.offset;
    }
}

static __global__ void squash_backward(struct squash s, int64_t len, const float *y,
                                       float *dy)
{
    float inverse = 1.0f / s.scale;
    CUDA_EACH(i, len)
    {
        float share = (y[i] + s.offset) * inverse;
        dy[i] *= s.scale * s.steepness * share * (1.0f - share);
    }
}

static __global__ void scale(int64_t len, float by, float *x)
{
    CUDA_EACH(i, len)
    {
        x[i] *= by;
    }
}

static __global__ void gelu_forward(int64_t len, const float *x, float *y)
{
    CUDA_EACH(i, len)
    {
        float density;
        y[i] = x[i] * fastmath_normal(x[i], &density);
    }
}

static __global__ void gelu_backward(int64_t len, const float *x, const float *dy,
                                     float *dx)
{
    CUDA_EACH(i, len)
    {
        float density, below = fastmath_normal(x[i], &density);
        dx[i] = dy[i] * (below + x[i] * density);
    }
}

void cuda_relu_forward(int64_t len, float *x)
{
    CUDA_LAUNCH(relu_forward, cuda_blocks(len), CUDA_THREADS, len, x);
}

void cuda_relu_backward(int64_t len, const float *y, float *dy)
{
    CUDA_LAUNCH(relu_backward, cuda_blocks(len), CUDA_THREADS, len, y, dy);
}

void cuda_tanh_forward(int64_t len, float *x)
{
    CUDA_LAUNCH(tanh_forward, cuda_blocks(len), CUDA_THREADS, len, x);
}

void cuda_tanh_backward(int64_t len, const float *y, float *dy)
{
    CUDA_LAUNCH(tanh_backward, cuda_blocks(len), CUDA_THREADS, len, y, dy);
}

void cuda_squash_forward(const struct squash *squash, int64_t len, float *x)
{
    CUDA_LAUNCH(squash_forward, cuda_blocks(len), CUDA_THREADS, *squash, len, x);
}

void cuda_squash_backward(const struct squash *squash, int64_t len, const float *y,
                          float *dy)
{
    CUDA_LAUNCH(squash_backward, cuda_blocks(len), CUDA_THREADS, *squash, len, y, dy);
}

void cuda_scale(int64_t len, float by, float *x)
{
    CUDA_LAUNCH(scale, cuda_blocks(len), CUDA_THREADS, len, by, x);
}

void cuda_gelu_forward(int64_t len, const float *x, float *y)
{
    CUDA_LAUNCH(gelu_forward, cuda_blocks(len), CUDA_THREADS, len, x, y);
}

void cuda_gelu_backward(int64_t len, const float *x, const float *dy, float *dx)
{
    CUDA_LAUNCH(gelu_backward, cuda_blocks(len), CUDA_THREADS, len, x, dy, dx);
}
