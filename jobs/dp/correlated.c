#include "jobs/dp/correlated.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "jobs/privacy/correlation.h"

/* In standard deviations, of what grid_noise draws (kernels/samplers.md, 1). */
static const double farthest = 21.2;

/* sum |(C^-1)_t| over so many steps that nothing of it is left. */
static double inverse_norm(const double *coefficients, int64_t n_bands, double *row)
{
    double sum = 0.0;
    for (int64_t t = 0; t < 64 * n_bands; t++) {
        double value = t == 0 ? 1.0 : 0.0;
        for (int64_t j = 1; j < n_bands && j <= t; j++) {
            value -= coefficients[j] * row[t - j];
        }
        row[t] = value;
        sum += fabs(value);
    }
    return sum;
}

/* Do all sums stay below 2^52 fine steps, and all draws together within 2^-62 of their
 * law (kernels/grid.h)? */
static int check_size(const struct correlated *c, int64_t n_params, int64_t n_steps,
                      struct error *err)
{
    double std = c->fine.std_steps, all = 0.0;
    double *row = malloc((size_t)(64 * c->n_bands) * sizeof *row);
    if (row == NULL) {
        return error_set(err, PPT_ENOMEM, "no memory for %lld bands",
                         (long long)c->n_bands);
    }
    for (int64_t j = 0; j < c->n_bands; j++) {
        all += c->coefficients[j];
    }
    double largest = inverse_norm(c->coefficients, c->n_bands, row) *
                     (farthest * std + CORRELATION_ONE);
    free(row);
    double wrong = (double)n_params * (double)n_steps * (1.0 + std) * (1.0 + std);
    if (std <= GRID_MAX_STD_STEPS && largest * (1.0 + all) < 0x1p51 &&
        wrong <= 0x1p116) {
        return 0;
    }
    return error_set(err, PPT_ERANGE,
                     "no noise of %g grid steps in %lld bands for %lld parameters and "
                     "%lld steps: use less noise or fewer parameters",
                     std, (long long)c->n_bands, (long long)n_params,
                     (long long)n_steps);
}

int correlated_open(struct correlated *correlated, const struct grid *grid,
                    int64_t n_bands, int64_t n_slice, int64_t n_params, int64_t n_steps,
                    struct error *err)
{
    int64_t parts[CORRELATION_MAX_BANDS];
    *correlated = (struct correlated){
        .n_bands = n_bands, .n_slice = n_slice, .step = grid->step, .fine = *grid};
    correlated->fine.step = grid->step / CORRELATION_ONE;
    correlated->fine.std_steps = grid->std_steps * CORRELATION_ONE;
    correlated->coefficients =
        malloc((size_t)n_bands * sizeof *correlated->coefficients);
    correlated->past = calloc((size_t)(n_bands * n_slice), sizeof *correlated->past);
    int rc = 0;
    if (correlated->coefficients == NULL || correlated->past == NULL) {
        rc = error_set(err, PPT_ENOMEM, "cannot allocate the noise of %lld steps",
                       (long long)n_bands);
    } else {
        correlation_parts(n_bands, parts);
        for (int64_t j = 0; j < n_bands; j++) {
            correlated->coefficients[j] = (double)parts[j] / CORRELATION_ONE;
        }
        rc = check_size(correlated, n_params, n_steps, err);
    }
    if (rc != 0) {
        correlated_close(correlated);
    }
    return rc;
}

void correlated_close(struct correlated *correlated)
{
    if (correlated->past != NULL) {
        crypto_wipe(correlated->past, correlated_memory_bytes(correlated));
    }
    free(correlated->past);
    free(correlated->coefficients);
    *correlated = (struct correlated){0};
}

size_t correlated_memory_bytes(const struct correlated *correlated)
{
    return (size_t)(correlated->n_bands * correlated->n_slice) *
           sizeof *correlated->past;
}

bool correlated_is_for(const struct correlated *correlated, const struct grid *grid)
{
    return grid->step == correlated->step &&
           grid->std_steps * CORRELATION_ONE == correlated->fine.std_steps;
}

static double *row_of(const struct correlated *correlated, int64_t step)
{
    return correlated->past + step % correlated->n_bands * correlated->n_slice;
}

/* now -= coefficient times what an earlier step added; exact. */
static void take_back(int64_t n, double coefficient, const double *restrict earlier,
                      double *restrict now)
{
    for (int64_t i = 0; i < n; i++) {
        now[i] -= coefficient * earlier[i];
    }
}

/* Halves go up, also below 0: rounding commutes with whole steps. */
static void round_and_add(int64_t n, double step, double *restrict now,
                          double *restrict x)
{
    double inverse = 1.0 / step;
    for (int64_t i = 0; i < n; i++) {
        now[i] = floor(now[i] * inverse + 0.5) * step;
        x[i] += now[i];
    }
}

void correlated_add(struct correlated *correlated, struct noise *noise,
                    uint64_t substream, int64_t first, int64_t from, int64_t to,
                    double *x)
{
    int64_t done = correlated->n_done, n = to - from;
    double *now = row_of(correlated, done) + from;
    memset(now, 0, (size_t)n * sizeof *now);
    noise_add(noise, &correlated->fine, substream, first + from, n, now);
    for (int64_t j = 1; j < correlated->n_bands && j <= done; j++) {
        take_back(n, correlated->coefficients[j], row_of(correlated, done - j) + from,
                  now);
    }
    round_and_add(n, correlated->step, now, x + from);
}

void correlated_next(struct correlated *correlated)
{
    correlated->n_done++;
}
