#include "jobs/privacy/correlation.h"

#include <assert.h>
#include <math.h>

#define U 0x1p-53

int64_t correlation_bands(int64_t wanted, int64_t n_bins)
{
    int64_t n = wanted < n_bins ? wanted : n_bins;
    return n < CORRELATION_MAX_BANDS ? n : CORRELATION_MAX_BANDS;
}

void correlation_parts(int64_t n_bands, int64_t *ret_parts)
{
    assert(n_bands >= 1 && n_bands <= CORRELATION_MAX_BANDS);
    double root = CORRELATION_ONE;
    for (int64_t j = 0; j < n_bands; j++) {
        ret_parts[j] = (int64_t)floor(root + 0.5);
        root *= (double)(2 * j + 1) / (double)(2 * j + 2);
    }
}

/* ||c||: the sum of squares is exact. */
static double norm(int64_t n_bands)
{
    int64_t parts[CORRELATION_MAX_BANDS], square = 0;
    correlation_parts(n_bands, parts);
    for (int64_t j = 0; j < n_bands; j++)
        square += parts[j] * parts[j];
    return sqrt((double)square) / CORRELATION_ONE;
}

double correlation_priced(double fresh, int64_t n_bands)
{
    return n_bands == 1 ? fresh : fresh / norm(n_bands) * (1 - 4 * U);
}

double correlation_fresh(double priced, int64_t n_bands)
{
    return n_bands == 1 ? priced : priced * norm(n_bands) * (1 + 16 * U);
}

/* (C^-1 1)_t, the share of a fresh draw in the sum t steps later, is a mean of falling
 * numbers: it has settled after some multiple of the bands. */
double correlation_drift(int64_t n_bands, int64_t n_steps)
{
    enum { SETTLED = 16 * CORRELATION_MAX_BANDS };
    int64_t parts[CORRELATION_MAX_BANDS], n = n_steps < SETTLED ? n_steps : SETTLED;
    static _Thread_local double share[SETTLED];
    correlation_parts(n_bands, parts);
    double square = 0, sum = 0;
    for (int64_t t = 0; t < n; t++) {
        double value = 1;
        for (int64_t j = 1; j < n_bands && j <= t; j++)
            value -= (double)parts[j] / CORRELATION_ONE * share[t - j];
        share[t] = value;
        square += value * value;
        sum += square;
    }
    double last = n > 0 ? share[n - 1] * share[n - 1] : 0;
    double more = (double)(n_steps - n);
    sum += more * square + last * more * (more + 1) / 2;
    return n_steps > 0 ? sqrt(sum / (double)n_steps) : 0;
}
