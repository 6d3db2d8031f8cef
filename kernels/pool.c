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

/* Outputs side by side, in the compiler's own vectors: of plain loops it made branches.
 */
enum { LANES = 16 };
typedef float lanes_f32 __attribute__((vector_size(LANES * sizeof(float))));
typedef int32_t lanes_i32 __attribute__((vector_size(LANES * sizeof(int32_t))));

static inline void max_lanes(const struct window *w, const float *x, float *y,
                             int32_t *index)
{
    lanes_f32 best, other;
    lanes_i32 won = {0}, place = {0};
    memcpy(&best, x, sizeof best);
    for (int64_t ky = 0; ky < w->size; ky++) {
        for (int64_t kx = 0; kx < w->size; kx++) {
            memcpy(&other, x + (ky * w->w + kx) * w->c, sizeof other);
            lanes_i32 wins = other > best; /* all ones or zero */
            won = (won & ~wins) | (place & wins);
            best = (lanes_f32)(((lanes_i32)other & wins) | ((lanes_i32)best & ~wins));
            place += 1;
        }
    }
    memcpy(y, &best, sizeof best);
    memcpy(index, &won, sizeof won);
}

static inline void max_one(const struct window *w, const float *x, float *y,
                           int32_t *index)
{
    float best = *x;
    int32_t won = 0, place = 0;
    for (int64_t ky = 0; ky < w->size; ky++) {
        for (int64_t kx = 0; kx < w->size; kx++, place++) {
            float other = x[(ky * w->w + kx) * w->c];
            won = other > best ? place : won;
            best = other > best ? other : best;
        }
    }
    *y = best;
    *index = won;
}

static inline void max_run(const struct window *w, int64_t len, const float *x,
                           float *y, int32_t *index)
{
    int64_t i = 0;
    for (; i + LANES <= len; i += LANES) {
        max_lanes(w, x + i, y + i, index + i);
    }
    for (; i < len; i++) {
        max_one(w, x + i, y + i, index + i);
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
