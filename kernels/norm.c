/* Group normalisation. Statistics are of one example each, so nothing of one example
 * reaches another: the reason it stands where batch normalisation may not. */
#include "kernels/cpu.h"

#include <math.h>

static const double norm_epsilon = 1e-5;

enum { LANES = 8 }; /* independent partial sums, so that the loops become vectors */

/* The sum of x[len] less `mean`, or of its squares. */
CPU_INLINE double sum_off(int64_t len, const float *x, double mean, bool is_square)
{
    double lane[LANES] = {0}, sum = 0.0;
    int64_t i = 0;
    for (; i + LANES <= len; i += LANES) {
        for (int j = 0; j < LANES; j++) {
            double off = (double)x[i + j] - mean;
            lane[j] += is_square ? off * off : off;
        }
    }
    for (int j = 0; i + j < len; j++) {
        double off = (double)x[i + j] - mean;
        lane[j] += is_square ? off * off : off;
    }
    for (int j = 0; j < LANES; j++) {
        sum += lane[j];
    }
    return sum;
}

CPU_INLINE void group_stats(const struct grouping *grouping, int64_t group,
                            const float *x, float *stats)
{
    int64_t width = grouping->c / grouping->groups;
    double count = (double)(width * grouping->n_places);
    double sum = 0.0, square = 0.0;
    const float *first = x + group * width;
    for (int64_t t = 0; t < grouping->n_places; t++) {
        sum += sum_off(width, first + t * grouping->c, 0.0, false);
    }
    double mean = sum / count;
    for (int64_t t = 0; t < grouping->n_places; t++) {
        square += sum_off(width, first + t * grouping->c, mean, true);
    }
    stats[0] = (float)mean;
    stats[1] = (float)(1.0 / sqrt(square / count + norm_epsilon));
}

CPU_CLONES void norm_forward(const struct grouping *grouping, int64_t n, const float *x,
                             const float *scale, const float *shift, float *y,
                             float *stats)
{
    const struct grouping s = *grouping;
    int64_t width = s.c / s.groups;
    for (int64_t i = 0; i < n; i++) {
        const float *from = x + i * s.n_places * s.c;
        float *to = y + i * s.n_places * s.c;
        for (int64_t group = 0; group < s.groups; group++) {
            float *stat = stats + (i * s.groups + group) * 2;
            group_stats(&s, group, from, stat);
            for (int64_t t = 0; t < s.n_places; t++) {
                for (int64_t j = group * width; j < (group + 1) * width; j++) {
                    float hat = (from[t * s.c + j] - stat[0]) * stat[1];
                    to[t * s.c + j] = hat * scale[j] + shift[j];
                }
            }
        }
    }
}

/* sum += the sum of dy scale over len values, dot += that of dy scale hat. */
CPU_INLINE void add_dots(int64_t len, const float *dy, const float *scale,
                         const float *x, float mean, float inverse, double *sum,
                         double *dot)
{
    double sums[LANES] = {0}, dots[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= len; i += LANES) {
        for (int j = 0; j < LANES; j++) {
            double d = (double)(dy[i + j] * scale[i + j]);
            sums[j] += d;
            dots[j] += d * (double)((x[i + j] - mean) * inverse);
        }
    }
    for (int j = 0; i + j < len; j++) {
        double d = (double)(dy[i + j] * scale[i + j]);
        sums[j] += d;
        dots[j] += d * (double)((x[i + j] - mean) * inverse);
    }
    for (int j = 0; j < LANES; j++) {
        *sum += sums[j];
        *dot += dots[j];
    }
}

CPU_CLONES void norm_backward(const struct grouping *grouping, int64_t n,
                              const float *x, const float *scale, const float *stats,
                              const float *dy, float *dx)
{
    const struct grouping s = *grouping;
    int64_t width = s.c / s.groups;
    double count = (double)(width * s.n_places);
    for (int64_t ig = 0; ig < n * s.groups; ig++) {
        int64_t base = ig / s.groups * s.n_places * s.c;
        int64_t first = ig % s.groups * width;
        float mean = stats[ig * 2], inverse = stats[ig * 2 + 1];
        double sum = 0.0, dot = 0.0;
        for (int64_t t = 0; t < s.n_places; t++) {
            int64_t at = base + t * s.c + first;
            add_dots(width, dy + at, scale + first, x + at, mean, inverse, &sum, &dot);
        }
        float mean_d = (float)(sum / count), mean_dot = (float)(dot / count);
        for (int64_t t = 0; t < s.n_places; t++) {
            for (int64_t j = first; j < first + width; j++) {
                int64_t at = base + t * s.c + j;
                float hat = (x[at] - mean) * inverse;
                dx[at] = inverse * (dy[at] * scale[j] - mean_d - hat * mean_dot);
            }
        }
    }
}

CPU_CLONES void norm_each(const struct grouping *grouping, int64_t n, const float *x,
                          const float *stats, const float *dy, float *each)
{
    const struct grouping s = *grouping;
    int64_t width = s.c / s.groups;
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < s.c; j++) {
            const float *stat = stats + (i * s.groups + j / width) * 2;
            double d_scale = 0.0, d_shift = 0.0;
            for (int64_t t = 0; t < s.n_places; t++) {
                int64_t at = (i * s.n_places + t) * s.c + j;
                d_scale += (double)dy[at] * (double)((x[at] - stat[0]) * stat[1]);
                d_shift += (double)dy[at];
            }
            each[i * 2 * s.c + j] = (float)d_scale;
            each[i * 2 * s.c + s.c + j] = (float)d_shift;
        }
    }
}

CPU_CLONES void norm_layer_each(int64_t n, int64_t places, int64_t c, const float *x,
                                const float *stats, const float *dy, float *each)
{
    enum { BLOCK = 128 };
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j0 = 0; j0 < c; j0 += BLOCK) {
            int64_t width = c - j0 < BLOCK ? c - j0 : BLOCK;
            double d_scale[BLOCK] = {0}, d_shift[BLOCK] = {0};
            for (int64_t t = i * places; t < (i + 1) * places; t++) {
                float mean = stats[2 * t], inverse = stats[2 * t + 1];
                for (int64_t j = 0; j < width; j++) {
                    double d = (double)dy[t * c + j0 + j];
                    d_scale[j] += d * (double)((x[t * c + j0 + j] - mean) * inverse);
                    d_shift[j] += d;
                }
            }
            for (int64_t j = 0; j < width; j++) {
                each[i * 2 * c + j0 + j] = (float)d_scale[j];
                each[i * 2 * c + c + j0 + j] = (float)d_shift[j];
            }
        }
    }
}
