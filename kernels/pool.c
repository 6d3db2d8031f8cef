/* Pooling. With a stride of 1 a whole row of outputs reads a contiguous run of inputs
 * for each place of the window, so rows are the vector loops; otherwise channels are.
 */
#include "kernels/cpu.h"

#include <string.h>

struct runs {
    int64_t n, len; /* runs in a row of outputs, floats in one */
};

static inline struct runs runs_of(const struct window *w)
{
    if (w->stride == 1) {
        return (struct runs){.n = 1, .len = w->out_w * w->c};
    }
    return (struct runs){.n = w->out_w, .len = w->c};
}

static inline void max_run(const struct window *w, int64_t len, const float *restrict x,
                           float *restrict y, int32_t *restrict index)
{
    memcpy(y, x, (size_t)len * sizeof *y);
    memset(index, 0, (size_t)len * sizeof *index);
    for (int32_t place = 1; place < w->size * w->size; place++) {
        const float *from = x + ((place / w->size) * w->w + place % w->size) * w->c;
        for (int64_t i = 0; i < len; i++) {
            float best = y[i], other = from[i];
            index[i] = other > best ? place : index[i];
            y[i] = other > best ? other : best;
        }
    }
}

CPU_CLONES void pool_max_forward(const struct window *window, int64_t n, const float *x,
                                 float *y, int32_t *index)
{
    const struct window w = *window;
    struct runs runs = runs_of(&w);
    for (int64_t i = 0; i < n; i++) {
        for (int64_t oy = 0; oy < w.out_h; oy++) {
            const float *top = x + (i * w.h + oy * w.stride) * w.w * w.c;
            for (int64_t r = 0; r < runs.n; r++) {
                max_run(&w, runs.len, top + r * w.stride * w.c, y, index);
                y += runs.len;
                index += runs.len;
            }
        }
    }
}

static inline void max_run_back(const struct window *w, int64_t len,
                                const float *restrict dy, const int32_t *restrict index,
                                float *restrict dx)
{
    for (int32_t place = 0; place < w->size * w->size; place++) {
        float *to = dx + ((place / w->size) * w->w + place % w->size) * w->c;
        for (int64_t i = 0; i < len; i++) {
            to[i] += index[i] == place ? dy[i] : 0.0f;
        }
    }
}

CPU_CLONES void pool_max_backward(const struct window *window, int64_t n,
                                  const float *dy, const int32_t *index, float *dx)
{
    const struct window w = *window;
    struct runs runs = runs_of(&w);
    memset(dx, 0, (size_t)(n * w.h * w.w * w.c) * sizeof *dx);
    for (int64_t i = 0; i < n; i++) {
        for (int64_t oy = 0; oy < w.out_h; oy++) {
            float *top = dx + (i * w.h + oy * w.stride) * w.w * w.c;
            for (int64_t r = 0; r < runs.n; r++) {
                max_run_back(&w, runs.len, dy, index, top + r * w.stride * w.c);
                dy += runs.len;
                index += runs.len;
            }
        }
    }
}

static inline void avg_run(const struct window *w, int64_t len, const float *restrict x,
                           float *restrict y)
{
    memset(y, 0, (size_t)len * sizeof *y);
    for (int64_t place = 0; place < w->size * w->size; place++) {
        const float *from = x + ((place / w->size) * w->w + place % w->size) * w->c;
        for (int64_t i = 0; i < len; i++) {
            y[i] += from[i];
        }
    }
    float share = 1.0f / (float)(w->size * w->size);
    for (int64_t i = 0; i < len; i++) {
        y[i] *= share;
    }
}

CPU_CLONES void pool_avg_forward(const struct window *window, int64_t n, const float *x,
                                 float *y)
{
    const struct window w = *window;
    struct runs runs = runs_of(&w);
    for (int64_t i = 0; i < n; i++) {
        for (int64_t oy = 0; oy < w.out_h; oy++) {
            const float *top = x + (i * w.h + oy * w.stride) * w.w * w.c;
            for (int64_t r = 0; r < runs.n; r++) {
                avg_run(&w, runs.len, top + r * w.stride * w.c, y);
                y += runs.len;
            }
        }
    }
}

static inline void avg_run_back(const struct window *w, int64_t len,
                                const float *restrict dy, float *restrict dx)
{
    float share = 1.0f / (float)(w->size * w->size);
    for (int64_t place = 0; place < w->size * w->size; place++) {
        float *to = dx + ((place / w->size) * w->w + place % w->size) * w->c;
        for (int64_t i = 0; i < len; i++) {
            to[i] += share * dy[i];
        }
    }
}

CPU_CLONES void pool_avg_backward(const struct window *window, int64_t n,
                                  const float *dy, float *dx)
{
    const struct window w = *window;
    struct runs runs = runs_of(&w);
    memset(dx, 0, (size_t)(n * w.h * w.w * w.c) * sizeof *dx);
    for (int64_t i = 0; i < n; i++) {
        for (int64_t oy = 0; oy < w.out_h; oy++) {
            float *top = dx + (i * w.h + oy * w.stride) * w.w * w.c;
            for (int64_t r = 0; r < runs.n; r++) {
                avg_run_back(&w, runs.len, dy, top + r * w.stride * w.c);
                dy += runs.len;
            }
        }
    }
}
