/* A convolution is a matrix product over unfolded windows; these are the foldings. */
#include "kernels/cpu.h"

#include <string.h>

static void pad_image(const struct window *w, const float *x, float *padded)
{
    int64_t row = w->w * w->c;
    int64_t padded_row = (w->w + 2 * w->pad) * w->c;
    memset(padded, 0, (size_t)((w->h + 2 * w->pad) * padded_row) * sizeof *padded);
    for (int64_t i = 0; i < w->h; i++) {
        memcpy(padded + (i + w->pad) * padded_row + w->pad * w->c, x + i * row,
               (size_t)row * sizeof *x);
    }
}

/* Rows of a window are short: a loop over fixed 8 floats beats a call of memcpy. */
static inline void copy_run(float *restrict to, const float *restrict from, int64_t len)
{
    int64_t i = 0;
    for (; i + 8 <= len; i += 8) {
        memcpy(to + i, from + i, 8 * sizeof *to);
    }
    for (; i < len; i++) {
        to[i] = from[i];
    }
}

static inline void add_run(float *restrict to, const float *restrict from, int64_t len)
{
    for (int64_t i = 0; i < len; i++) {
        to[i] += from[i];
    }
}

CPU_CLONES void conv2d_unfold(const struct window *window, int64_t n, const float *x,
                              float *cols, float *scratch)
{
    const struct window w = *window;
    int64_t run = w.size * w.c;
    int64_t padded_row = (w.w + 2 * w.pad) * w.c;
    for (int64_t i = 0; i < n; i++) {
        const float *image = x + i * w.h * w.w * w.c;
        if (w.pad > 0) {
            pad_image(&w, image, scratch);
            image = scratch;
        }
        for (int64_t oy = 0; oy < w.out_h; oy++) {
            const float *top = image + oy * w.stride * padded_row;
            for (int64_t ox = 0; ox < w.out_w; ox++) {
                const float *from = top + ox * w.stride * w.c;
                for (int64_t ky = 0; ky < w.size; ky++) {
                    copy_run(cols, from + ky * padded_row, run);
                    cols += run;
                }
            }
        }
    }
}

static inline void fold_one(const struct window *window, const float *cols, float *x,
                            float *scratch)
{
    const struct window w = *window;
    int64_t run = w.size * w.c;
    int64_t padded_row = (w.w + 2 * w.pad) * w.c;
    memset(scratch, 0, (size_t)((w.h + 2 * w.pad) * padded_row) * sizeof *scratch);
    for (int64_t oy = 0; oy < w.out_h; oy++) {
        float *top = scratch + oy * w.stride * padded_row;
        for (int64_t ox = 0; ox < w.out_w; ox++) {
            float *to = top + ox * w.stride * w.c;
            for (int64_t ky = 0; ky < w.size; ky++) {
                add_run(to + ky * padded_row, cols, run);
                cols += run;
            }
        }
    }
    for (int64_t i = 0; i < w.h; i++) {
        memcpy(x + i * w.w * w.c, scratch + (i + w.pad) * padded_row + w.pad * w.c,
               (size_t)(w.w * w.c) * sizeof *x);
    }
}

CPU_CLONES void conv2d_fold(const struct window *window, int64_t n, const float *cols,
                            float *x, float *scratch)
{
    const struct window w = *window;
    int64_t from = w.out_h * w.out_w * w.size * w.size * w.c, to = w.h * w.w * w.c;
    for (int64_t i = 0; i < n; i++) {
        fold_one(&w, cols + i * from, x + i * to, scratch);
    }
}

void conv2d_channels_last(int64_t n, int64_t places, int64_t c, const float *x,
                          float *y)
{
    for (int64_t i = 0; i < n; i++) {
        const float *from = x + i * places * c;
        float *to = y + i * places * c;
        for (int64_t j = 0; j < c; j++) {
            for (int64_t t = 0; t < places; t++) {
                to[t * c + j] = from[j * places + t];
            }
        }
    }
}
