#include "worker/scatter.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_RADIUS = 7, MAX_TAPS = 2 * MAX_RADIUS + 1 };
enum { MIN_SIDE = 9, MAX_SIDE = 1024 }; /* so small that one mirror is enough */
static const double pi = 3.14159265358979323846;

/* Constants of the three orders, near the values' mean and deviation on images of
 * strokes; the same for every data set. */
static const float middle[3] = {0.125f, 0.03f, 0.006f},
                   spread[3] = {0.2f, 0.05f, 0.01f};

/* The two factors of a separable filter; complex, and the Gaussian to take off. */
struct filter {
    int radius;
    float gauss[MAX_TAPS];
    float x_re[MAX_TAPS], x_im[MAX_TAPS], y_re[MAX_TAPS], y_im[MAX_TAPS];
    float less_re, less_im; /* times the Gaussian */
};

struct scatter {
    struct source inner;
    int64_t h, w;
    struct filter psi[2][SCATTER_ANGLES];
    struct filter phi, phi_half; /* for the image and for every second value of it */
    unsigned char *raw;          /* one record of inner */
    float *image, *first;        /* h w each */
    float *line, *part[4];       /* work: a mirrored row; products of rows */
};

static void make_gauss(double deviation, struct filter *ret_filter)
{
    double sum = 0.0;
    int r = (int)ceil(4.0 * deviation);
    memset(ret_filter, 0, sizeof *ret_filter);
    ret_filter->radius = r;
    for (int k = -r; k <= r; k++)
        sum += exp(-k * k / (2 * deviation * deviation));
    for (int k = -r; k <= r; k++)
        ret_filter->gauss[k + r] =
            (float)(exp(-k * k / (2 * deviation * deviation)) / sum);
}

/* gauss(k) exp(i rate k), and the sum of it. */
static void make_wave(const struct filter *filter, double rate, float *re, float *im,
                      double *ret_re, double *ret_im)
{
    *ret_re = *ret_im = 0.0;
    for (int k = -filter->radius, t = 0; k <= filter->radius; k++, t++) {
        re[t] = (float)(filter->gauss[t] * cos(rate * k));
        im[t] = (float)(filter->gauss[t] * sin(rate * k));
        *ret_re += re[t];
        *ret_im += im[t];
    }
}

static void make_psi(int j, int l, struct filter *ret_filter)
{
    double xi = 0.75 * pi / (1 << j), angle = pi * l / SCATTER_ANGLES;
    double x_re, x_im, y_re, y_im;
    make_gauss(0.8 * (1 << j), ret_filter);
    make_wave(ret_filter, xi * cos(angle), ret_filter->x_re, ret_filter->x_im, &x_re,
              &x_im);
    make_wave(ret_filter, xi * sin(angle), ret_filter->y_re, ret_filter->y_im, &y_re,
              &y_im);
    ret_filter->less_re = (float)(x_re * y_re - x_im * y_im);
    ret_filter->less_im = (float)(x_re * y_im + x_im * y_re);
}

/* line[r + i] = x[i], mirrored r values beyond both ends. */
static void mirror(const float *x, int64_t n, int r, float *line)
{
    memcpy(line + r, x, (size_t)n * sizeof *x);
    for (int k = 1; k <= r; k++) {
        line[r - k] = x[k];
        line[r + n - 1 + k] = x[n - 1 - k];
    }
}

static int64_t mirrored(int64_t at, int64_t n)
{
    return at < 0 ? -at : at >= n ? 2 * n - 2 - at : at;
}

/* Every `step`th value of each row of x[h, w], filtered along it: to[h, wide]. */
static void filter_rows(const float *x, int64_t h, int64_t w, int step, int radius,
                        const float *taps, float *line, float *to)
{
    int64_t wide = (w + step - 1) / step;
    for (int64_t y = 0; y < h; y++, to += wide) {
        mirror(x + y * w, w, radius, line);
        for (int64_t i = 0; i < wide; i++)
            to[i] = 0.0f;
        for (int t = 0; t <= 2 * radius; t++)
            for (int64_t i = 0; i < wide; i++)
                to[i] += taps[t] * line[i * step + t];
    }
}

/* sum[wide] += tap * row. */
static void add_row(int64_t wide, float tap, const float *restrict row,
                    float *restrict sum)
{
    for (int64_t i = 0; i < wide; i++)
        sum[i] += tap * row[i];
}

/* x * phi at every `step`th value each way. */
static void smooth(const struct scatter *scatter, const struct filter *phi,
                   const float *x, int64_t h, int64_t w, int step, float *to)
{
    int64_t wide = (w + step - 1) / step, tall = (h + step - 1) / step;
    float *rows = scatter->part[0];
    filter_rows(x, h, w, step, phi->radius, phi->gauss, scatter->line, rows);
    for (int64_t y = 0; y < tall; y++, to += wide) {
        memset(to, 0, (size_t)wide * sizeof *to);
        for (int t = 0; t <= 2 * phi->radius; t++)
            add_row(wide, phi->gauss[t],
                    rows + mirrored(y * step + t - phi->radius, h) * wide, to);
    }
}

/* |x * psi| at every `step`th value each way. */
static void wavelet(const struct scatter *scatter, const struct filter *psi,
                    const float *x, int64_t h, int64_t w, int step, float *to)
{
    int64_t wide = (w + step - 1) / step, tall = (h + step - 1) / step;
    float *re = scatter->part[0], *im = scatter->part[1], *gauss = scatter->part[2];
    float *sum = scatter->part[3];
    int r = psi->radius;
    filter_rows(x, h, w, step, r, psi->x_re, scatter->line, re);
    filter_rows(x, h, w, step, r, psi->x_im, scatter->line, im);
    filter_rows(x, h, w, step, r, psi->gauss, scatter->line, gauss);
    for (int64_t y = 0; y < tall; y++, to += wide) {
        float *sum_re = sum, *sum_im = sum + wide;
        memset(sum, 0, 2 * (size_t)wide * sizeof *sum);
        for (int t = 0; t <= 2 * r; t++) {
            int64_t at = mirrored(y * step + t - r, h) * wide;
            add_row(wide, psi->y_re[t], re + at, sum_re);
            add_row(wide, -psi->y_im[t], im + at, sum_re);
            add_row(wide, -psi->less_re * psi->gauss[t], gauss + at, sum_re);
            add_row(wide, psi->y_im[t], re + at, sum_im);
            add_row(wide, psi->y_re[t], im + at, sum_im);
            add_row(wide, -psi->less_im * psi->gauss[t], gauss + at, sum_im);
        }
        for (int64_t i = 0; i < wide; i++)
            to[i] = sqrtf(sum_re[i] * sum_re[i] + sum_im[i] * sum_im[i]);
    }
}

static void scale_channel(float *x, int64_t n, int order)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = (x[i] - middle[order]) / spread[order];
}

static void normalise(float *x, int64_t n)
{
    double sum = 0.0, square = 0.0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i];
    double mean = sum / (double)n;
    for (int64_t i = 0; i < n; i++)
        square += ((double)x[i] - mean) * ((double)x[i] - mean);
    double inverse = 1.0 / sqrt(square / (double)n + 1e-5);
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)(((double)x[i] - mean) * inverse);
}

/* scatter->image to SCATTER_CHANNELS planes of ceil(h / 4) x ceil(w / 4). */
static void transform(const struct scatter *scatter, float *to)
{
    int64_t h = scatter->h, w = scatter->w, half_h = (h + 1) / 2, half_w = (w + 1) / 2;
    int64_t plane = ((h + 3) / 4) * ((w + 3) / 4), channel = 0;
    float *first = scatter->first, *second = first + h * w;
    smooth(scatter, &scatter->phi, scatter->image, h, w, 4, to);
    scale_channel(to, plane, 0);
    for (int l = 0; l < SCATTER_ANGLES; l++) {
        wavelet(scatter, &scatter->psi[0][l], scatter->image, h, w, 1, first);
        float *own = to + ++channel * plane;
        smooth(scatter, &scatter->phi, first, h, w, 4, own);
        scale_channel(own, plane, 1);
        for (int m = 0; m < SCATTER_ANGLES; m++) {
            own = to + (1 + 2 * SCATTER_ANGLES + l * SCATTER_ANGLES + m) * plane;
            wavelet(scatter, &scatter->psi[1][m], first, h, w, 2, second);
            smooth(scatter, &scatter->phi_half, second, half_h, half_w, 2, own);
            scale_channel(own, plane, 2);
        }
    }
    for (int l = 0; l < SCATTER_ANGLES; l++) {
        float *own = to + ++channel * plane;
        wavelet(scatter, &scatter->psi[1][l], scatter->image, h, w, 2, second);
        smooth(scatter, &scatter->phi_half, second, half_h, half_w, 2, own);
        scale_channel(own, plane, 1);
    }
    normalise(to, SCATTER_CHANNELS * plane);
}

static void read_pixels(struct scatter *scatter)
{
    int64_t n = scatter->h * scatter->w;
    if (scatter->inner.x_type == TYPE_FLOAT32) {
        memcpy(scatter->image, scatter->raw, (size_t)n * sizeof(float));
        return;
    }
    for (int64_t i = 0; i < n; i++)
        scatter->image[i] = (float)scatter->raw[i] * (1.0f / 255.0f);
}

static int scatter_read(struct source *source, size_t max, void *ret_x, int64_t *ret_y,
                        size_t *ret_n, struct error *err)
{
    struct scatter *scatter = source->state;
    size_t bytes = source_row_bytes(source), n = 0;
    for (; n < max; n++) {
        size_t got = 0;
        int rc =
            scatter->inner.read(&scatter->inner, 1, scatter->raw, ret_y + n, &got, err);
        if (rc != 0)
            return rc;
        if (got == 0)
            break;
        read_pixels(scatter);
        transform(scatter, (float *)(void *)((unsigned char *)ret_x + n * bytes));
    }
    *ret_n = n;
    return 0;
}

static void scatter_free(struct scatter *scatter)
{
    free(scatter->raw), free(scatter->image), free(scatter->first);
    free(scatter->line), free(scatter->part[0]);
    free(scatter);
}

static void scatter_close(struct source *source)
{
    struct scatter *scatter = source->state;
    source_close(&scatter->inner);
    scatter_free(scatter);
}

static bool allocate(struct scatter *scatter)
{
    size_t n = (size_t)(scatter->h * scatter->w);
    scatter->raw = malloc(source_row_bytes(&scatter->inner));
    scatter->image = malloc(n * sizeof(float));
    scatter->first = malloc(2 * n * sizeof(float)); /* and the second behind it */
    scatter->line = malloc(((size_t)scatter->w + 2 * MAX_RADIUS) * sizeof(float));
    scatter->part[0] = malloc((3 * n + 2 * (size_t)scatter->w) * sizeof(float));
    if (scatter->part[0] == NULL)
        return false;
    for (int p = 1; p < 4; p++)
        scatter->part[p] = scatter->part[p - 1] + n;
    return scatter->raw != NULL && scatter->image != NULL && scatter->first != NULL &&
           scatter->line != NULL;
}

static void make_filters(struct scatter *scatter)
{
    for (int j = 0; j < 2; j++)
        for (int l = 0; l < SCATTER_ANGLES; l++)
            make_psi(j, l, &scatter->psi[j][l]);
    make_gauss(1.6, &scatter->phi);
    make_gauss(0.8, &scatter->phi_half);
}

/* h x w, or 1 x h x w. */
static bool image_of(const struct source *source, int64_t *ret_h, int64_t *ret_w)
{
    const int64_t *dims = source->dims;
    bool has_channel = source->n_dims == 3 && dims[0] == 1;
    if (source->n_dims != 2 && !has_channel)
        return false;
    *ret_h = dims[has_channel];
    *ret_w = dims[has_channel + 1];
    return *ret_h >= MIN_SIDE && *ret_w >= MIN_SIDE && *ret_h <= MAX_SIDE &&
           *ret_w <= MAX_SIDE;
}

int scatter_source(struct source *source, struct error *err)
{
    int64_t h, w;
    if (!image_of(source, &h, &w))
        return error_set(err, PPT_EDATA,
                         "scattering features are of images of one channel from %d x "
                         "%d to %d x %d pixels: these records are none",
                         MIN_SIDE, MIN_SIDE, MAX_SIDE, MAX_SIDE);
    struct scatter *scatter = calloc(1, sizeof *scatter);
    if (scatter == NULL)
        return error_set(err, PPT_ENOMEM, "no memory for features");
    scatter->inner = *source;
    scatter->h = h;
    scatter->w = w;
    if (!allocate(scatter)) {
        scatter_free(scatter);
        return error_set(err, PPT_ENOMEM, "no memory for features");
    }
    make_filters(scatter);
    source->x_type = TYPE_FLOAT32;
    source->n_dims = 3;
    source->dims[0] = SCATTER_CHANNELS;
    source->dims[1] = (h + 3) / 4;
    source->dims[2] = (w + 3) / 4;
    source->state = scatter;
    source->read = scatter_read;
    source->close = scatter_close;
    return 0;
}
