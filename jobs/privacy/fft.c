#include "jobs/privacy/fft.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What the accuracy of the tables rests on. */
_Static_assert(LDBL_MANT_DIG >= 64, "the tables need a long double of 64 bits or more");
_Static_assert(DBL_MANT_DIG == 53, "the bound is stated for IEEE double");

struct complex_number {
    double re, im;
};

struct fft {
    size_t n, half;               /* reals; complex numbers */
    struct complex_number *roots; /* e^{-2 pi i k / half}, k < half */
    struct complex_number *twist; /* e^{-2 pi i k / n}, k <= half / 2 */
    struct complex_number *scratch;
};

static struct complex_number complex_times(struct complex_number a,
                                           struct complex_number b)
{
    return (struct complex_number){a.re * b.re - a.im * b.im,
                                   a.re * b.im + a.im * b.re};
}

/* ret[k] = e^{-2 pi i k / n} for k < count. Sines are dear, so each entry is a product
 * of two from short tables, in extended precision. */
static void fill_roots(size_t n, size_t count, struct complex_number *ret)
{
    enum { SPAN = 512 };
    const long double full = 6.283185307179586476925286766559L;
    long double fine[SPAN][2];
    for (size_t j = 0; j < SPAN; j++) {
        long double angle = full * (long double)j / (long double)n;
        fine[j][0] = cosl(angle);
        fine[j][1] = -sinl(angle);
    }
    for (size_t i = 0; i < count; i += SPAN) {
        long double angle = full * (long double)i / (long double)n;
        long double c = cosl(angle), s = -sinl(angle);
        for (size_t j = 0; j < SPAN && i + j < count; j++) {
            ret[i + j].re = (double)(c * fine[j][0] - s * fine[j][1]);
            ret[i + j].im = (double)(c * fine[j][1] + s * fine[j][0]);
        }
    }
}

int fft_new(size_t n, struct fft **ret_fft, struct error *err)
{
    if (n < FFT_MIN_LENGTH || n > FFT_MAX_LENGTH || (n & (n - 1)) != 0)
        return error_set(err, PPT_ERANGE,
                         "a transform's length must be a power of two from %d to %d, "
                         "not %zu",
                         FFT_MIN_LENGTH, FFT_MAX_LENGTH, n);
    struct fft *fft = calloc(1, sizeof *fft);
    if (fft == NULL)
        return error_set(err, PPT_ENOMEM, "no memory for a transform of %zu", n);
    fft->n = n;
    fft->half = n / 2;
    fft->roots = malloc(fft->half * sizeof *fft->roots);
    fft->twist = malloc((fft->half / 2 + 1) * sizeof *fft->twist);
    fft->scratch = malloc((fft->half + 1) * sizeof *fft->scratch);
    if (fft->roots == NULL || fft->twist == NULL || fft->scratch == NULL) {
        fft_free(fft);
        return error_set(err, PPT_ENOMEM, "no memory for a transform of %zu", n);
    }
    fill_roots(fft->half, fft->half, fft->roots);
    fill_roots(n, fft->half / 2 + 1, fft->twist);
    *ret_fft = fft;
    return 0;
}

void fft_free(struct fft *fft)
{
    if (fft == NULL)
        return;
    free(fft->roots);
    free(fft->twist);
    free(fft->scratch);
    free(fft);
}

size_t fft_length(const struct fft *fft)
{
    return fft->n;
}

double fft_error(size_t n)
{
    return (2.75 * log2((double)n) + 5) * 0x1p-53;
}

/* One radix-4 pass (Stockham: the order sorts itself out): `m` is the length still to
 * be transformed, `stride` how many such transforms lie interleaved. */
static void pass_four(const struct fft *fft, size_t m, size_t stride,
                      const struct complex_number *restrict x,
                      struct complex_number *restrict y)
{
    size_t quarter = m / 4, leap = quarter * stride;
    for (size_t p = 0; p < quarter; p++) {
        struct complex_number w1 = fft->roots[p * stride];
        struct complex_number w2 = fft->roots[2 * p * stride];
        struct complex_number w3 = fft->roots[3 * p * stride];
        const struct complex_number *in = x + p * stride;
        struct complex_number *out = y + 4 * p * stride;
        for (size_t q = 0; q < stride; q++) {
            struct complex_number a = in[q], b = in[q + leap];
            struct complex_number c = in[q + 2 * leap], d = in[q + 3 * leap];
            struct complex_number ac = {a.re + c.re, a.im + c.im};
            struct complex_number bd = {b.re + d.re, b.im + d.im};
            struct complex_number a_c = {a.re - c.re, a.im - c.im};
            struct complex_number b_d = {b.im - d.im, d.re - b.re}; /* times -i */
            struct complex_number s1 = {a_c.re + b_d.re, a_c.im + b_d.im};
            struct complex_number s2 = {ac.re - bd.re, ac.im - bd.im};
            struct complex_number s3 = {a_c.re - b_d.re, a_c.im - b_d.im};
            out[q] = (struct complex_number){ac.re + bd.re, ac.im + bd.im};
            out[q + stride] = complex_times(s1, w1);
            out[q + 2 * stride] = complex_times(s2, w2);
            out[q + 3 * stride] = complex_times(s3, w3);
        }
    }
}

/* The last pass where the length is an odd power of two: its only root is 1. */
static void pass_two(size_t stride, const struct complex_number *restrict x,
                     struct complex_number *restrict y)
{
    for (size_t q = 0; q < stride; q++) {
        struct complex_number a = x[q], b = x[q + stride];
        y[q] = (struct complex_number){a.re + b.re, a.im + b.im};
        y[q + stride] = (struct complex_number){a.re - b.re, a.im - b.im};
    }
}

/* Complex transform of `half` numbers, in place. */
static void transform(struct fft *fft, struct complex_number *data)
{
    struct complex_number *from = data, *to = fft->scratch, *held;
    size_t m = fft->half, stride = 1;
    for (; m >= 4; m /= 4, stride *= 4) {
        pass_four(fft, m, stride, from, to);
        held = from, from = to, to = held;
    }
    if (m == 2) {
        pass_two(stride, from, to);
        held = from, from = to, to = held;
    }
    if (from != data)
        memcpy(data, from, fft->half * sizeof *data);
}

void fft_forward(struct fft *fft, double *data)
{
    struct complex_number *z = (struct complex_number *)data;
    size_t half = fft->half;
    transform(fft, z);
    z[half] = (struct complex_number){z[0].re - z[0].im, 0};
    z[0] = (struct complex_number){z[0].re + z[0].im, 0};
    for (size_t k = 1; k <= half / 2; k++) {
        struct complex_number a = z[k], b = z[half - k];
        /* even and odd inputs' transforms: (a + conj b)/2 and (a - conj b)/2i */
        struct complex_number even = {0.5 * (a.re + b.re), 0.5 * (a.im - b.im)};
        struct complex_number odd = {0.5 * (a.im + b.im), 0.5 * (b.re - a.re)};
        struct complex_number turned = complex_times(odd, fft->twist[k]);
        z[k] = (struct complex_number){even.re + turned.re, even.im + turned.im};
        z[half - k] = (struct complex_number){even.re - turned.re, turned.im - even.im};
    }
}

void fft_inverse(struct fft *fft, double *data)
{
    struct complex_number *z = (struct complex_number *)data;
    size_t half = fft->half;
    double first = z[0].re, last = z[half].re, scale = 1 / (double)half;
    /* the complex transform runs forward on conjugates, hence the signs of .im */
    z[0] = (struct complex_number){0.5 * (first + last), -0.5 * (first - last)};
    for (size_t k = 1; k <= half / 2; k++) {
        struct complex_number a = z[k], b = z[half - k], w = fft->twist[k];
        struct complex_number even = {0.5 * (a.re + b.re), 0.5 * (a.im - b.im)};
        struct complex_number turned = {0.5 * (a.re - b.re), 0.5 * (a.im + b.im)};
        struct complex_number odd =
            complex_times(turned, (struct complex_number){w.re, -w.im});
        z[k] = (struct complex_number){even.re - odd.im, -(even.im + odd.re)};
        z[half - k] = (struct complex_number){even.re + odd.im, even.im - odd.re};
    }
    transform(fft, z);
    for (size_t k = 0; k < half; k++)
        z[k] = (struct complex_number){scale * z[k].re, -scale * z[k].im};
}
