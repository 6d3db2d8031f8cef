#include "jobs/privacy/pmf.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#define U 0x1p-53

/* Keeps clear of subnormals: pair_tails' absolute error with room to spare. */
#define TINY 1e-300

void pmf_free(struct pmf *pmf)
{
    if (pmf == NULL)
        return;
    free(pmf->index);
    free(pmf->mass);
    free(pmf);
}

static int64_t next_index(int64_t i, int64_t last, double growth)
{
    double next = (double)i + fmax(1, floor(growth * fabs((double)i)));
    return next < (double)last ? (int64_t)next : last;
}

/* Mass between two losses, from whichever tails are smaller, and its error bound. */
static double between(double up_near, double up_far, double low_near, double low_far,
                      double rel, double *ret_error)
{
    double mass, scale;
    if (up_near <= low_far) {
        mass = up_near - up_far;
        scale = up_near + up_far;
    } else {
        mass = low_far - low_near;
        scale = low_far + low_near;
    }
    *ret_error = rel * scale + U * fabs(mass) + TINY;
    return fmax(mass, 0);
}

/* Splits the cell between atoms k and k+1. What goes to the upper end and what goes to
 * both ends together are each rounded up: delta is a non-decreasing function of loss
 * with non-negative weights, so this can only raise it. */
static void split_cell(struct pmf *pmf, size_t k, const struct tails *near,
                       const struct tails *far)
{
    double rel = fmax(near->rel, far->rel), error_a, error_b;
    double a = between(near->up_p, far->up_p, near->low_p, far->low_p, rel, &error_a);
    double b = between(near->up_q, far->up_q, near->low_q, far->low_q, rel, &error_b);
    double shift = fmax(near->shift, far->shift);
    double grown = exp((double)pmf->index[k] * pmf->step);
    double width = (double)(pmf->index[k + 1] - pmf->index[k]) * pmf->step;
    double lifted = b * grown;
    double slop = error_a + grown * (error_b + 2 * shift * b) + 8 * U * (a + lifted);
    double up = (a - lifted + slop) / -expm1(-width) * (1 + 8 * U);
    double total = (a + error_a) * (1 + 4 * U);
    up = fmin(fmax(up, 0), total);
    pmf->mass[k] += total - up;
    pmf->mass[k + 1] += up * (1 + 4 * U);
    pmf->shift = fmax(pmf->shift, shift);
}

/* Above the grid: the same split between the last atom and infinity. */
static void split_top(struct pmf *pmf, const struct tails *top)
{
    double grown = exp((double)pmf->index[pmf->n - 1] * pmf->step);
    double a = top->up_p * (1 + top->rel + 2 * U) + TINY;
    double lifted = top->up_q * grown;
    double slop = (top->rel + 2 * top->shift + 8 * U) * (a + lifted) + TINY * grown;
    double infinite = fmin(a, fmax(0, a - lifted) + slop);
    pmf->infinite += infinite;
    pmf->mass[pmf->n - 1] += (a - infinite) * (1 + 4 * U);
}

static int allocate(const struct pmf_layout *layout, struct pmf **ret_pmf,
                    struct error *err)
{
    int64_t first = (int64_t)floor(layout->low / layout->step);
    int64_t last = (int64_t)ceil(layout->high / layout->step);
    size_t n = 1;
    last += last == first;
    for (int64_t i = first; i < last && n <= PMF_MAX_ATOMS; n++)
        i = next_index(i, last, layout->growth);
    if (n > PMF_MAX_ATOMS || layout->high / layout->step > 0x1p29 ||
        layout->low / layout->step < -0x1p29)
        return error_set(err, PPT_ERANGE,
                         "losses from %g to %g need more than %d cells of %g",
                         layout->low, layout->high, PMF_MAX_ATOMS, layout->step);
    struct pmf *pmf = calloc(1, sizeof *pmf);
    if (pmf == NULL)
        return error_set(err, PPT_ENOMEM, "no memory for a grid of %zu losses", n);
    pmf->step = layout->step;
    pmf->n = n;
    pmf->index = malloc(n * sizeof *pmf->index);
    pmf->mass = calloc(n, sizeof *pmf->mass);
    if (pmf->index == NULL || pmf->mass == NULL) {
        pmf_free(pmf);
        return error_set(err, PPT_ENOMEM, "no memory for a grid of %zu losses", n);
    }
    pmf->index[0] = first;
    for (size_t k = 1; k < n; k++)
        pmf->index[k] = next_index(pmf->index[k - 1], last, layout->growth);
    *ret_pmf = pmf;
    return 0;
}

int pmf_new(const struct pair *pair, const struct pmf_layout *layout,
            struct pmf **ret_pmf, struct error *err)
{
    struct pmf *pmf = NULL;
    int rc = allocate(layout, &pmf, err);
    if (rc != 0)
        return rc;
    struct tails near, far;
    pair_tails(pair, (double)pmf->index[0] * pmf->step, &near);
    pmf->mass[0] = near.low_p * (1 + near.rel + 2 * U) + TINY;
    pmf->shift = near.shift;
    for (size_t k = 0; k + 1 < pmf->n; k++) {
        pair_tails(pair, (double)pmf->index[k + 1] * pmf->step, &far);
        split_cell(pmf, k, &near, &far);
        near = far;
    }
    split_top(pmf, &near);
    pmf->infinite += pair_infinite(pair);
    *ret_pmf = pmf;
    return 0;
}

double pmf_log_mgf(const struct pmf *pmf, double t)
{
    double top = -INFINITY;
    for (size_t i = 0; i < pmf->n; i++)
        if (pmf->mass[i] > 0)
            top = fmax(top, t * (double)pmf->index[i] * pmf->step + log(pmf->mass[i]));
    double sum = 0;
    for (size_t i = 0; i < pmf->n; i++)
        if (pmf->mass[i] > 0)
            sum += exp(t * (double)pmf->index[i] * pmf->step + log(pmf->mass[i]) - top);
    return top + log(sum);
}

void pmf_tilt(const struct pmf *pmf, double theta, double log_scale, double *ret_tilted)
{
    for (size_t i = 0; i < pmf->n; i++) {
        ret_tilted[i] = 0;
        if (!(pmf->mass[i] > 0))
            continue;
        double along = theta * (double)pmf->index[i] * pmf->step;
        double log_mass = log(pmf->mass[i]);
        double rel = 2 * U * (6 + fabs(along) + fabs(log_scale) + fabs(log_mass));
        ret_tilted[i] = exp(log_mass + along - log_scale) * (1 + rel);
    }
}

/* The loss beyond which at most `mass` lies, by bisection. */
static double edge(const struct pair *pair, double mass, bool is_above)
{
    double low = -PAIR_MAX_LOSS, high = PAIR_MAX_LOSS;
    for (int i = 0; i < 200 && high - low > 1e-6 * fmax(fabs(low), fabs(high)); i++) {
        double middle = 0.5 * (low + high);
        struct tails tails;
        pair_tails(pair, middle, &tails);
        bool is_outside = is_above ? tails.up_p <= mass : tails.low_p > mass;
        if (is_outside)
            high = middle;
        else
            low = middle;
    }
    return is_above ? high : low;
}

void pmf_range(const struct pair *pair, double mass, double *ret_low, double *ret_high)
{
    *ret_low = edge(pair, mass, false);
    *ret_high = edge(pair, mass, true);
}
