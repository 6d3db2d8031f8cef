/* Twins of conv2d.c, a thread a result. Floors: unfold writes 4 bytes for each of
 * n out_h out_w size^2 c values and reads x once (it lies in cache while windows
 * overlap); fold reads as many and writes x once. */
#include "kernels/cuda.h"

static __global__ void unfold(struct window w, int64_t n, const float *x, float *cols)
{
    CUDA_EACH(at, n * w.out_h * w.out_w * w.size * w.size * w.c)
    {
        int64_t ch = at % w.c, rest = at / w.c;
        int64_t kx = rest % w.size;
        rest /= w.size;
        int64_t ky = rest % w.size;
        rest /= w.size;
        int64_t ox = rest % w.out_w;
        rest /= w.out_w;
        int64_t iy = rest % w.out_h * w.stride + ky - w.pad;
        int64_t ix = ox * w.stride + kx - w.pad, i = rest / w.out_h;
        bool is_inside = iy >= 0 && iy < w.h && ix >= 0 && ix < w.w;
        cols[at] = is_inside ? x[((i * w.h + iy) * w.w + ix) * w.c + ch] : 0.0f;
    }
}

/* Each value gathers from the windows it lies in, in the CPU's order: bit for bit. */
static __global__ void fold(struct window w, const float *cols, float *x)
{
    CUDA_EACH(at, w.h * w.w * w.c)
    {
        int64_t ch = at % w.c, py = at / w.c / w.w + w.pad, px = at / w.c % w.w + w.pad;
        float sum = 0.0f;
        for (int64_t oy = py < w.size ? 0 : (py - w.size) / w.stride + 1;
             oy < w.out_h && oy * w.stride <= py; oy++) {
            for (int64_t ox = px < w.size ? 0 : (px - w.size) / w.stride + 1;
                 ox < w.out_w && ox * w.stride <= px; ox++) {
                int64_t ky = py - oy * w.stride, kx = px - ox * w.stride;
                int64_t row = oy * w.out_w + ox, col = (ky * w.size + kx) * w.c + ch;
                sum += cols[row * w.size * w.size * w.c + col];
            }
        }
        x[at] = sum;
    }
}

void cuda_unfold(const struct window *window, int64_t n, const float *x, float *cols,
                 float *scratch)
{
    struct window w = *window;
    (void)scratch;
    CUDA_LAUNCH(unfold, cuda_blocks(n * w.out_h * w.out_w * w.size * w.size * w.c),
                CUDA_THREADS, w, n, x, cols);
}

void cuda_fold(const struct window *window, const float *cols, float *x, float *scratch)
{
    struct window w = *window;
    (void)scratch;
    CUDA_LAUNCH(fold, cuda_blocks(w.h * w.w * w.c), CUDA_THREADS, w, cols, x);
}
