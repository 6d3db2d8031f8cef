/* Twins of conv2d.c, a thread a result. Floors: unfold writes 4 bytes for each of
 * n out_h out_w size^2 c values and reads x once (it lies in cache while windows
 * overlap); fold reads as many and writes x once; channels_last 8 bytes a value. */
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
static __global__ void fold(struct window w, int64_t n, const float *all_cols, float *x)
{
    int64_t len = w.out_h * w.out_w * w.size * w.size * w.c;
    CUDA_EACH(at, n * w.h * w.w * w.c)
    {
        int64_t ch = at % w.c, row_at = at / w.c / w.w;
        int64_t py = row_at % w.h + w.pad, px = at / w.c % w.w + w.pad;
        const float *cols = all_cols + row_at / w.h * len;
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

void cuda_fold(const struct window *window, int64_t n, const float *cols, float *x,
               float *scratch)
{
    struct window w = *window;
    (void)scratch;
    CUDA_LAUNCH(fold, cuda_blocks(n * w.h * w.w * w.c), CUDA_THREADS, w, n, cols, x);
}

static __global__ void channels_last(int64_t n, int64_t places, int64_t c,
                                     const float *x, float *y)
{
    CUDA_EACH(at, n * places * c)
    {
        int64_t j = at % c, t = at / c % places, i = at / c / places;
        y[at] = x[(i * c + j) * places + t];
    }
}

void cuda_channels_last(int64_t n, int64_t places, int64_t c, const float *x, float *y)
{
    CUDA_LAUNCH(channels_last, cuda_blocks(n * places * c), CUDA_THREADS, n, places, c,
                x, y);
}
