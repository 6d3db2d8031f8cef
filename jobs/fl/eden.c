#include "jobs/fl/eden.h"

#include <math.h>

#include "jobs/fl/bits.h"
#include "jobs/fl/rotation.h"

/* The positive levels for a standard normal variable, least first; the negative ones
 * mirror them. Each is the mean of the values that are nearest to it. */
static const double levels[EDEN_MOST_BITS][1 << (EDEN_MOST_BITS - 1)] = {
    {0.7978845608028654},
    {0.4527800346364925, 1.5104176084990963},
    {0.24509417894422258, 0.75600528120588, 1.3439092785050037, 2.151945704536991},
    {0.12839502985114726, 0.38804829949028974, 0.6567591185324636, 0.9423404564869603,
     1.2562311973471778, 1.618046386021883, 2.0690172265313893, 2.7325895709951644}};

/* The number of a level: its place among the positive ones, and above that the sign. */
static uint32_t nearest(int bits, double x)
{
    const double *own = levels[bits - 1], size = fabs(x);
    uint32_t at = 0, last = (1u << (bits - 1)) - 1;
    while (at < last && size > 0.5 * (own[at] + own[at + 1])) {
        at++;
    }
    return at | (x < 0.0 ? 1u << (bits - 1) : 0);
}

static double level_of(int bits, uint32_t code)
{
    uint32_t sign = 1u << (bits - 1);
    double size = levels[bits - 1][code & (sign - 1)];
    return (code & sign) != 0 ? -size : size;
}

/* What makes x[n] of a normal variable's size; 0 for zeros. */
static double unit_of(const double *x, int64_t n)
{
    double square = 0.0;
    for (int64_t j = 0; j < n; j++) {
        square += x[j] * x[j];
    }
    return square > 0.0 ? sqrt((double)n / square) : 0.0;
}

/* With |x|^2 / <x, levels> the error is orthogonal to x, so that nothing of it is left
 * on average. */
static double scale_of(int bits, const double *x, int64_t n)
{
    double unit = unit_of(x, n), square = 0.0, product = 0.0;
    for (int64_t j = 0; j < n; j++) {
        square += x[j] * x[j];
        product += x[j] * level_of(bits, nearest(bits, x[j] * unit));
    }
    return square > 0.0 ? square / product : 0.0;
}

void eden_pack(const unsigned char rotation[CRYPTO_KEY_SIZE], int bits, const float *x,
               int64_t n, double *work, struct buf *out)
{
    int64_t rest = n - rotation_block((uint32_t)n);
    struct bits_writer writer = {.out = out, .width = bits};
    for (int64_t j = 0; j < n; j++) {
        work[j] = (double)x[j];
    }
    rotation_turn(rotation, work, (uint32_t)n);
    bits_put_float(out, (float)scale_of(bits, work, rest));
    bits_put_float(out, (float)scale_of(bits, work + rest, n - rest));
    double unit = unit_of(work, rest);
    for (int64_t j = 0; j < n; j++) {
        unit = j == rest ? unit_of(work + rest, n - rest) : unit;
        bits_put(&writer, nearest(bits, work[j] * unit));
    }
    bits_end(&writer);
}

bool eden_unpack(const unsigned char rotation[CRYPTO_KEY_SIZE], int bits,
                 struct buf_reader *reader, int64_t n, double *work, float *ret_x)
{
    int64_t rest = n - rotation_block((uint32_t)n);
    double first = (double)bits_read_float(reader),
           last = (double)bits_read_float(reader);
    struct bits_reader codes = {.in = reader, .width = bits};
    for (int64_t j = 0; j < n; j++) {
        work[j] = (j < rest ? first : last) * level_of(bits, bits_read(&codes));
    }
    rotation_turn_back(rotation, work, (uint32_t)n);
    for (int64_t j = 0; j < n; j++) {
        ret_x[j] = (float)work[j];
    }
    return isfinite(first) && isfinite(last);
}
