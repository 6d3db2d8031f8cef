#include "jobs/privacy/fixed_order.h"

#include <math.h>
#include <stdlib.h>

#include "jobs/privacy/gdp.h"

#define U 0x1p-53

/* Steps times participations: above, the worst pattern is not searched for. */
#define MAX_WORK 1e9

int fixed_order_mu(double sensitivity, double noise_multiplier,
                   enum privacy_relation relation, double *ret_mu, struct error *err)
{
    if (!(sensitivity > 0) || !isfinite(sensitivity) || !(noise_multiplier > 0))
        return error_set(err, PPT_ERANGE,
                         "expected a positive sensitivity and noise multiplier, got %g "
                         "and %g",
                         sensitivity, noise_multiplier);
    return gdp_mu(noise_multiplier / sensitivity * (1 - 4 * U), 1, 1, relation, ret_mu,
                  err);
}

static int check(const struct participation *p, struct error *err)
{
    if (p->n_steps < 1 || p->n_steps > FIXED_ORDER_MAX_STEPS ||
        p->n_participations < 1 || p->n_participations > p->n_steps ||
        p->min_separation < 1)
        return error_set(err, PPT_ERANGE,
                         "expected 1 to %d steps, 1 to as many participations and a "
                         "separation of 1 or more, got %lld, %lld and %lld",
                         FIXED_ORDER_MAX_STEPS, (long long)p->n_steps,
                         (long long)p->n_participations, (long long)p->min_separation);
    return 0;
}

int fixed_order_shuffled(int64_t n_epochs, double *ret_sensitivity, struct error *err)
{
    if (n_epochs < 1 || n_epochs > FIXED_ORDER_MAX_STEPS)
        return error_set(err, PPT_ERANGE, "expected 1 to %d epochs, got %lld",
                         FIXED_ORDER_MAX_STEPS, (long long)n_epochs);
    *ret_sensitivity = sqrt((double)n_epochs) * (1 + 2 * U);
    return 0;
}

/* At most this many participations fit into so many steps. */
static int64_t most_that_fit(int64_t n_steps, int64_t separation, int64_t wanted)
{
    int64_t fit = (n_steps - 1) / separation + 1;
    return fit < wanted ? fit : wanted;
}

int fixed_order_tree(const struct participation *participation, double *ret_sensitivity,
                     struct error *err)
{
    int rc = check(participation, err);
    if (rc != 0)
        return rc;
    int64_t n = participation->n_steps, apart = participation->min_separation;
    int64_t k = most_that_fit(n, apart, participation->n_participations);
    double square = 0;
    for (int64_t width = 1; width <= n; width *= 2)
        square += (double)k * (double)most_that_fit(width, apart, k);
    *ret_sensitivity = sqrt(square) * (1 + 4 * U);
    return 0;
}

/* The largest sum of k squares from steps at least `apart` apart: best[i], over steps
 * up to i, by number of participations so far. */
static int worst_pattern(const double *squares, const struct participation *p,
                         double *ret_square, struct error *err)
{
    int64_t n = p->n_steps, apart = p->min_separation;
    int64_t k = most_that_fit(n, apart, p->n_participations);
    double *best = calloc((size_t)n, sizeof *best),
           *next = calloc((size_t)n, sizeof *next);
    int rc = 0;
    if (best == NULL || next == NULL)
        rc = error_set(err, PPT_ENOMEM, "no memory for %lld steps", (long long)n);
    for (int64_t taken = 0; taken < k && rc == 0; taken++) {
        for (int64_t i = 0; i < n; i++) {
            double with = squares[i] + (i >= apart ? best[i - apart] : 0);
            next[i] = i > 0 ? fmax(next[i - 1], with) : with;
        }
        double *held = best;
        best = next, next = held;
    }
    if (rc == 0)
        *ret_square = best[n - 1];
    free(best);
    free(next);
    return rc;
}

int fixed_order_banded(const double *column_norms,
                       const struct participation *participation, int64_t n_bands,
                       double *ret_sensitivity, struct error *err)
{
    int rc = check(participation, err);
    if (rc != 0)
        return rc;
    if (n_bands < 1 || participation->min_separation < n_bands) {
        error_set(err, PPT_ERANGE,
                  "%lld bands with participations %lld steps apart: columns that one "
                  "record touches would overlap",
                  (long long)n_bands, (long long)participation->min_separation);
        return error_hint(err, "use at most as many bands as steps between "
                               "participations");
    }
    size_t n = (size_t)participation->n_steps;
    int64_t k = most_that_fit(participation->n_steps, participation->min_separation,
                              participation->n_participations);
    double *squares = malloc(n * sizeof *squares), square = 0, largest = 0;
    if (squares == NULL)
        return error_set(err, PPT_ENOMEM, "no memory for %zu steps", n);
    for (size_t i = 0; i < n && rc == 0; i++) {
        if (!(column_norms[i] >= 0) || !isfinite(column_norms[i]))
            rc = error_set(err, PPT_ERANGE, "column %zu has a norm of %g", i,
                           column_norms[i]);
        squares[i] = column_norms[i] * column_norms[i];
        largest = fmax(largest, squares[i]);
    }
    if (rc == 0 && (double)n * (double)k > MAX_WORK)
        square = (double)k * largest;
    else if (rc == 0)
        rc = worst_pattern(squares, participation, &square, err);
    if (rc == 0)
        *ret_sensitivity =
            sqrt(square) * (1 + U * (4 + (double)participation->n_participations));
    free(squares);
    return rc;
}

int fixed_order_toeplitz(const double *coefficients, int64_t n_bands,
                         const struct participation *participation,
                         double *ret_sensitivity, struct error *err)
{
    int rc = check(participation, err);
    if (rc != 0)
        return rc;
    int64_t n = participation->n_steps;
    if (n_bands < 1 || n_bands > n)
        return error_set(err, PPT_ERANGE, "expected 1 to %lld bands, got %lld",
                         (long long)n, (long long)n_bands);
    double *norms = malloc((size_t)n * sizeof *norms), square = 0;
    if (norms == NULL)
        return error_set(err, PPT_ENOMEM, "no memory for %lld steps", (long long)n);
    /* the last columns are cut off by the last row */
    for (int64_t i = n - 1; i >= 0; i--) {
        int64_t j = n - 1 - i;
        if (j < n_bands)
            square += coefficients[j] * coefficients[j];
        norms[i] = sqrt(square) * (1 + U * (4 + (double)n_bands));
    }
    rc = fixed_order_banded(norms, participation, n_bands, ret_sensitivity, err);
    free(norms);
    return rc;
}

int fixed_order_sampled(double noise_multiplier, double max_column_norm,
                        int64_t n_bands, double sample_rate, int64_t n_steps,
                        struct pld_release *ret_release, struct error *err)
{
    double rate = (double)n_bands * sample_rate;
    if (!(noise_multiplier > 0) || !(max_column_norm > 0) ||
        !isfinite(max_column_norm) || n_bands < 1 || n_steps < n_bands ||
        !(sample_rate > 0) || !(rate <= 1))
        return error_set(
            err, PPT_ERANGE,
            "expected positive noise and column norm, 1 to %lld bands and a "
            "sample rate of at most 1/bands, got %g, %g, %lld and %g",
            (long long)n_steps, noise_multiplier, max_column_norm, (long long)n_bands,
            sample_rate);
    *ret_release = (struct pld_release){
        .noise = PAIR_GAUSSIAN,
        .scale = noise_multiplier / max_column_norm * (1 - 4 * U),
        .rate = fmin(1, rate * (1 + 2 * U)),
        .count = (n_steps + n_bands - 1) / n_bands,
    };
    return 0;
}
