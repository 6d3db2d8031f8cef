#include "jobs/privacy/atoms.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "jobs/privacy/pair.h"

#define U 0x1p-53

struct atom {
    double loss, p, q;
};

struct atoms {
    size_t n;
    double *loss;          /* increasing */
    double *low_p, *low_q; /* n + 1 sums over atoms before i */
    double *up_p, *up_q;   /* n + 1 sums over atoms from i on */
    double only_p, only_q; /* masses at plus and minus infinite loss */
    double rel, shift;
};

static int by_loss(const void *a, const void *b)
{
    double x = ((const struct atom *)a)->loss, y = ((const struct atom *)b)->loss;
    return (x > y) - (x < y);
}

void atoms_free(struct atoms *atoms)
{
    if (atoms == NULL)
        return;
    free(atoms->loss);
    free(atoms->low_p);
    free(atoms->low_q);
    free(atoms->up_p);
    free(atoms->up_q);
    free(atoms);
}

static int allocate(size_t n, struct atoms **ret_atoms, struct error *err)
{
    struct atoms *atoms = calloc(1, sizeof *atoms);
    if (atoms == NULL)
        return error_set(err, PPT_ENOMEM, "no memory for %zu atoms", n);
    atoms->loss = malloc((n + 1) * sizeof(double));
    atoms->low_p = malloc((n + 1) * sizeof(double));
    atoms->low_q = malloc((n + 1) * sizeof(double));
    atoms->up_p = malloc((n + 1) * sizeof(double));
    atoms->up_q = malloc((n + 1) * sizeof(double));
    if (!atoms->loss || !atoms->low_p || !atoms->low_q || !atoms->up_p ||
        !atoms->up_q) {
        atoms_free(atoms);
        return error_set(err, PPT_ENOMEM, "no memory for %zu atoms", n);
    }
    *ret_atoms = atoms;
    return 0;
}

/* Running sums from both ends, in extended precision: their own error is below the
 * last rounding. */
static void accumulate(struct atoms *atoms, const struct atom *sorted)
{
    long double p = 0, q = 0;
    for (size_t i = 0; i <= atoms->n; i++) {
        atoms->low_p[i] = (double)p;
        atoms->low_q[i] = (double)q;
        if (i < atoms->n) {
            atoms->loss[i] = sorted[i].loss;
            p += sorted[i].p;
            q += sorted[i].q;
        }
    }
    p = q = 0;
    for (size_t i = atoms->n + 1; i-- > 0;) {
        if (i < atoms->n) {
            p += sorted[i].p;
            q += sorted[i].q;
        }
        atoms->up_p[i] = (double)p;
        atoms->up_q[i] = (double)q;
    }
}

int atoms_new(const double *p, const double *q, size_t n, double rel,
              struct atoms **ret_atoms, struct error *err)
{
    if (n == 0 || n > ATOMS_MAX || !(rel >= 0) || !(rel < 1e-6))
        return error_set(err, PPT_ERANGE,
                         "expected 1 to %d atoms right to better than 1e-6, got %zu "
                         "right to %g",
                         ATOMS_MAX, n, rel);
    struct atom *sorted = malloc(n * sizeof *sorted);
    struct atoms *atoms = NULL;
    int rc = sorted == NULL ? error_set(err, PPT_ENOMEM, "no memory for %zu atoms", n)
                            : allocate(n, &atoms, err);
    if (rc != 0)
        goto out;
    long double sum_p = 0, sum_q = 0;
    double largest = 0;
    bool is_sound = true;
    for (size_t i = 0; i < n; i++) {
        is_sound = is_sound && p[i] >= 0 && q[i] >= 0;
        sum_p += p[i];
        sum_q += q[i];
        if (p[i] > 0 && q[i] > 0) {
            sorted[atoms->n] = (struct atom){log(p[i] / q[i]), p[i], q[i]};
            largest = fmax(largest, fabs(sorted[atoms->n++].loss));
        } else {
            atoms->only_p += p[i];
            atoms->only_q += q[i];
        }
    }
    double slack = 1e-9 + 2 * rel;
    if (!is_sound || !(fabsl(sum_p - 1) <= slack) || !(fabsl(sum_q - 1) <= slack)) {
        rc = error_set(err, PPT_ERANGE,
                       "expected masses of at least 0 that sum to 1, got sums %.12Lg "
                       "and %.12Lg",
                       sum_p, sum_q);
        goto out;
    }
    qsort(sorted, atoms->n, sizeof *sorted, by_loss);
    accumulate(atoms, sorted);
    atoms->rel = rel + 8 * U;
    atoms->shift = 2 * rel + U * (6 + 2 * largest);
    *ret_atoms = atoms;
    atoms = NULL;
out:
    atoms_free(atoms);
    free(sorted);
    return rc;
}

/* Masses proportional to e^{log_weight(i - centre)} for i < n, normalised to 1. What a
 * double cannot hold of the tails is below 1e-300. */
static void shifted_masses(double (*log_weight)(double, double), double scale,
                           int64_t centre, size_t n, double *ret)
{
    long double sum = 0;
    for (size_t i = 0; i < n; i++) {
        ret[i] = exp(log_weight((double)((int64_t)i - centre), scale));
        sum += ret[i];
    }
    for (size_t i = 0; i < n; i++)
        ret[i] = (double)(ret[i] / sum);
}

static double log_gaussian_weight(double i, double s)
{
    return -0.5 * (i / s) * (i / s);
}

static double log_laplace_weight(double i, double b)
{
    return -fabs(i) / b;
}

/* Both laws on one window that reaches `reach` beyond each centre, where the weights
 * fall below e^-690. */
static int shifted_pair(double (*log_weight)(double, double), double scale,
                        double reach, int64_t sensitivity, struct atoms **ret_atoms,
                        struct error *err)
{
    if (!(scale >= 0.05 && scale <= 1e4) || sensitivity < 1 || sensitivity > 1000000)
        return error_set(err, PPT_ERANGE,
                         "expected discrete noise of scale 0.05 to 10000 and a "
                         "sensitivity of 1 to 1000000, got %g and %lld",
                         scale, (long long)sensitivity);
    int64_t margin = (int64_t)ceil(reach) + 1;
    size_t n = (size_t)(2 * margin + sensitivity + 1);
    if (n > ATOMS_MAX)
        return error_set(err, PPT_ERANGE,
                         "discrete noise of scale %g with sensitivity %lld needs %zu "
                         "atoms; at most %d are handled",
                         scale, (long long)sensitivity, n, ATOMS_MAX);
    double *p = malloc(n * sizeof *p), *q = malloc(n * sizeof *q);
    int rc;
    if (p == NULL || q == NULL) {
        rc = error_set(err, PPT_ENOMEM, "no memory for %zu atoms", n);
    } else {
        shifted_masses(log_weight, scale, margin + sensitivity, n, p);
        shifted_masses(log_weight, scale, margin, n, q);
        /* an exponent of at most 700 is right to 700 * 4 U, and so are the masses */
        rc = atoms_new(p, q, n, 3000 * U, ret_atoms, err);
    }
    free(p);
    free(q);
    return rc;
}

int atoms_discrete_gaussian(double s, int64_t sensitivity, struct atoms **ret_atoms,
                            struct error *err)
{
    return shifted_pair(log_gaussian_weight, s, 37.2 * s, sensitivity, ret_atoms, err);
}

int atoms_discrete_laplace(double b, int64_t sensitivity, struct atoms **ret_atoms,
                           struct error *err)
{
    return shifted_pair(log_laplace_weight, b, 691 * b, sensitivity, ret_atoms, err);
}

void atoms_tails(const struct atoms *atoms, double loss, struct tails *ret_tails)
{
    size_t low = 0, high = atoms->n; /* the first atom with a larger loss */
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (atoms->loss[middle] > loss)
            high = middle;
        else
            low = middle + 1;
    }
    *ret_tails = (struct tails){.up_p = atoms->up_p[low],
                                .low_p = atoms->low_p[low],
                                .up_q = atoms->up_q[low],
                                .low_q = atoms->low_q[low],
                                .rel = atoms->rel,
                                .shift = atoms->shift};
}

double atoms_largest_loss(const struct atoms *atoms)
{
    return atoms->n == 0 ? 0 : fmax(0, atoms->loss[atoms->n - 1] + atoms->shift);
}

double atoms_only_p(const struct atoms *atoms)
{
    return atoms->only_p;
}

double atoms_only_q(const struct atoms *atoms)
{
    return atoms->only_q;
}
