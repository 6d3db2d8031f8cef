#include "jobs/privacy/mean_law.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/privacy/normal.h"
#include "jobs/privacy/pair.h"

#define U 0x1p-53

/* No cell lighter than this is trusted to be right to a relative error; the tails stop
 * far above it. */
#define LEAST_MASS 1e-290

void mean_law_free(struct mean_law *law)
{
    free(law->mass);
    law->mass = NULL;
}

/* Mass or mean in a cell from the smaller side's tails, and its error. */
static double between(double up_near, double up_far, double low_near, double low_far,
                      double rel, double *ret_error)
{
    int is_up = up_near <= low_far;
    double larger = is_up ? up_near : low_far, smaller = is_up ? up_far : low_near;
    *ret_error = rel * (larger + smaller) + U * (larger - smaller);
    return fmax(larger - smaller, 0);
}

/* Splits the cell between points i and i + 1: mass b, mean a. What rounding may have
 * done to them is kept as errors of mass and value. */
static void add_cell(struct mean_law *law, size_t i, const struct tails *near,
                     const struct tails *far)
{
    double rel = fmax(near->rel, far->rel) + 2 * fmax(near->shift, far->shift);
    double error_a, error_b;
    double a = between(near->up_p, far->up_p, near->low_p, far->low_p, rel, &error_a);
    double b = between(near->up_q, far->up_q, near->low_q, far->low_q, rel, &error_b);
    double low = exp((double)(law->first + (int64_t)i) * law->step);
    double gap = low * expm1(law->step);
    if (b < LEAST_MASS)
        return;
    double part = fmin(fmax((a - b * low) / gap, 0), b);
    law->mass[i] += b - part;
    law->mass[i + 1] += part;
    law->mass_error = fmax(law->mass_error, error_b / b + 8 * U);
    law->value_error =
        fmax(law->value_error, (error_a + error_b * low) / (b * low) + 16 * U);
}

int mean_law_lognormal(double s, double step, double rare, struct mean_law *ret_law,
                       struct error *err)
{
    /* log Y is normal with mean -1/2s^2 and deviation 1/s; weighted by Y, +1/2s^2 */
    double reach = normal_upper_inverse(rare) / s, centre = 0.5 / (s * s);
    struct mean_law law = {.step = step};
    law.first = (int64_t)floor((-centre - reach) / step);
    int64_t last = (int64_t)ceil((centre + reach) / step);
    law.n = (size_t)(last - law.first + 1);
    if ((double)last * step > PAIR_MAX_LOSS ||
        (double)law.first * step < -PAIR_MAX_LOSS)
        return error_set(err, PPT_ERANGE,
                         "noise of %g times the sensitivity is too little for this "
                         "accountant",
                         s);
    law.mass = calloc(law.n, sizeof *law.mass);
    if (law.mass == NULL)
        return error_set(err, PPT_ENOMEM, "no memory for a law of %zu values", law.n);
    struct pair pair = {PAIR_GAUSSIAN, PAIR_REMOVE, s, 1, NULL, {NULL}};
    struct tails near, far;
    double edge = (double)law.first * step;
    pair_tails(&pair, edge, &near);
    /* below: between 0 and the first point */
    double lifted = fmin(near.low_p * exp(-edge), near.low_q);
    law.mass[0] = lifted;
    law.zero = (near.low_q - lifted) + 1e-9 * near.low_q;
    for (size_t i = 0; i + 1 < law.n; i++) {
        pair_tails(&pair, (double)(law.first + (int64_t)i + 1) * step, &far);
        add_cell(&law, i, &near, &far);
        near = far;
    }
    /* above: between the last point and infinity */
    law.mass[law.n - 1] += near.up_q;
    law.infinite = near.up_p * (1 + 1e-9);
    *ret_law = law;
    return 0;
}

/* Where the mean of points a step multiple d apart lies: `cell` steps above the upper
 * one (d >= 0), `part` of the way to the next. */
struct place {
    int64_t cell;
    double part;
};

static struct place place_at(double upper, double lower, double d_step, double step)
{
    double along = log(upper + lower * exp(-d_step)) / step;
    struct place place = {.cell = (int64_t)floor(along)};
    place.part = expm1((along - (double)place.cell) * step) / expm1(step);
    place.part = fmin(fmax(place.part, 0), 1);
    return place;
}

/* Sums for one cell, on their way into the law. */
struct pending {
    int64_t cell;
    double *low, *high; /* for each point of `upper`: to the cell's ends */
};

static void flush(struct mean_law *out, const struct mean_law *upper,
                  struct pending *pending)
{
    double *target = out->mass + (upper->first + pending->cell - out->first);
    for (size_t i = 0; i < upper->n; i++)
        target[i] += pending->low[i];
    for (size_t i = 0; i < upper->n; i++)
        target[i + 1] += pending->high[i];
    memset(pending->low, 0, upper->n * sizeof(double));
    memset(pending->high, 0, upper->n * sizeof(double));
}

/* Adds a pair of laws at one distance: upper[i] with lower[i - d]. */
static void add_distance(const struct mean_law *upper, const struct mean_law *lower,
                         int64_t d, double part, struct pending *pending)
{
    int64_t offset = upper->first - d - lower->first; /* lower's index of i is i + it */
    int64_t from = offset < 0 ? -offset : 0;
    int64_t to = (int64_t)lower->n - offset;
    if (to > (int64_t)upper->n)
        to = (int64_t)upper->n;
    if (from >= to)
        return;
    const double *restrict a = upper->mass + from, *restrict b =
                                                       lower->mass + from + offset;
    double *restrict low = pending->low + from, *restrict high = pending->high + from;
    double rest = 1 - part;
    for (int64_t i = 0; i < to - from; i++) {
        double mass = a[i] * b[i];
        low[i] += mass * rest;
        high[i] += mass * part;
    }
}

/* All distances from `start` on, where the cell no longer changes: the value is linear
 * in e^{-d step}, so two running sums over `lower` are enough. */
static void add_far(struct mean_law *out, const struct mean_law *upper, double weight_u,
                    const struct mean_law *lower, double weight_l, int64_t start)
{
    double step = out->step, decay = exp(-step), sum = 0, tilted = 0;
    int64_t cell = (int64_t)floor(log(weight_u) / step);
    double base = exp((double)cell * step), gap = base * expm1(step);
    int64_t next = 0; /* the first of `lower` that is not in the sums */
    for (int64_t i = 0; i < (int64_t)upper->n; i++) {
        int64_t end = upper->first + i - start - lower->first;
        tilted *= decay; /* sum of masses times e^{-(distance) step} */
        for (; next <= end && next < (int64_t)lower->n; next++) {
            int64_t d = upper->first + i - lower->first - next;
            sum += lower->mass[next];
            tilted += lower->mass[next] * exp(-(double)d * step);
        }
        if (!(sum > 0))
            continue;
        double part = ((weight_u - base) * sum + weight_l * tilted) / gap;
        part = fmin(fmax(part, 0), sum);
        double *target = out->mass + (upper->first + i + cell - out->first);
        target[0] += upper->mass[i] * (sum - part);
        target[1] += upper->mass[i] * part;
    }
}

/* The smallest distance from which on the cell is the same. */
static int64_t far_start(double upper, double lower, double step)
{
    double cell = floor(log(upper) / step);
    double room = exp((cell + 1) * step) - upper;
    double d = log(lower / room) / step;
    return d < 1 ? 1 : (int64_t)ceil(d) + 1;
}

/* One side: `upper` at least `least` steps above `lower`. *ret_terms gets the most
 * terms that any point received. */
static int add_side(struct mean_law *out, const struct mean_law *upper, double weight_u,
                    const struct mean_law *lower, double weight_l, int64_t least,
                    double *ret_terms, struct error *err)
{
    double *sums = calloc(2 * upper->n, sizeof *sums);
    if (sums == NULL)
        return error_set(err, PPT_ENOMEM, "no memory for a law of %zu values",
                         upper->n);
    struct pending pending = {0, sums, sums + upper->n};
    int64_t start = far_start(weight_u, weight_l, out->step);
    if (start < least)
        start = least;
    int64_t widest = upper->first + (int64_t)upper->n - lower->first;
    for (int64_t d = least; d < start && d < widest; d++) {
        struct place place =
            place_at(weight_u, weight_l, (double)d * out->step, out->step);
        if (place.cell != pending.cell) {
            flush(out, upper, &pending);
            pending.cell = place.cell;
        }
        add_distance(upper, lower, d, place.part, &pending);
    }
    flush(out, upper, &pending);
    add_far(out, upper, weight_u, lower, weight_l, start);
    free(sums);
    *ret_terms = 2 * (double)start + (double)lower->n + 8;
    return 0;
}

/* A 0 in one law with each point of the other. */
static void add_zeros(struct mean_law *out, const struct mean_law *other, double weight,
                      double zero)
{
    double along = log(weight) / out->step;
    int64_t cell = (int64_t)floor(along);
    double part = expm1((along - (double)cell) * out->step) / expm1(out->step);
    part = fmin(fmax(part, 0), 1);
    double *target = out->mass + (other->first + cell - out->first);
    for (size_t i = 0; zero > 0 && i < other->n; i++) {
        double mass = zero * other->mass[i];
        target[i] += mass * (1 - part);
        target[i + 1] += mass * part;
    }
}

/* Cuts ends of less than `rare`: the lower one by mass, spread between 0 and the first
 * point left, the upper one by mean, spread between the last point left and infinity.
 */
static void trim(struct mean_law *law, double rare)
{
    double mass = 0, mean = 0;
    size_t low = 0, high = law->n;
    while (low + 1 < high && mass + law->mass[low] <= rare)
        mass += law->mass[low++];
    double edge = (double)(law->first + (int64_t)low) * law->step, lifted = 0;
    for (size_t i = 0; i < low; i++)
        lifted +=
            law->mass[i] * exp((double)(law->first + (int64_t)i) * law->step - edge);
    law->mass[low] += lifted;
    law->zero += (mass - lifted) * (1 + 1e-9);
    while (high > low + 1) {
        size_t i = high - 1;
        double value = exp((double)(law->first + (int64_t)i) * law->step);
        if (mean + law->mass[i] * value > rare)
            break;
        mean += law->mass[i] * value;
        high--;
    }
    double top = exp((double)(law->first + (int64_t)high - 1) * law->step), kept = 0;
    for (size_t i = high; i < law->n; i++)
        kept += law->mass[i];
    law->mass[high - 1] += kept;
    law->infinite += fmax(0, mean - kept * top) + 1e-9 * mean;
    law->first += (int64_t)low;
    law->n = high - low;
    memmove(law->mass, law->mass + low, law->n * sizeof *law->mass);
}

int mean_law_mix(const struct mean_law *a, double weight_a, const struct mean_law *b,
                 double weight_b, double rare, struct mean_law *ret_law,
                 struct error *err)
{
    double sum = weight_a + weight_b, wa = weight_a / sum, wb = weight_b / sum;
    int64_t low = a->first < b->first ? a->first : b->first;
    int64_t top_a = a->first + (int64_t)a->n, top_b = b->first + (int64_t)b->n;
    int64_t high = top_a > top_b ? top_a : top_b;
    int64_t room = (int64_t)ceil(-log(fmin(wa, wb)) / a->step) + 2;
    struct mean_law law = {
        .step = a->step, .first = low - room, .n = (size_t)(high - low + room + 2)};
    law.mass = calloc(law.n, sizeof *law.mass);
    if (law.mass == NULL)
        return error_set(err, PPT_ENOMEM, "no memory for a law of %zu values", law.n);
    /* a above or level with b, then b above a */
    double terms = 0, more = 0;
    int rc = add_side(&law, a, wa, b, wb, 0, &terms, err);
    if (rc == 0)
        rc = add_side(&law, b, wb, a, wa, 1, &more, err);
    if (rc != 0) {
        mean_law_free(&law);
        return rc;
    }
    add_zeros(&law, a, wa, b->zero);
    add_zeros(&law, b, wb, a->zero);
    law.zero = a->zero * b->zero * (1 + 4 * U);
    law.infinite = (wa * a->infinite + wb * b->infinite) * (1 + 16 * U);
    double extent = fmax(fabs((double)law.first), (double)law.n) * law.step;
    law.mass_error = a->mass_error + b->mass_error + (terms + more + 16) * U;
    law.value_error = fmax(a->value_error, b->value_error) +
                      U * (64 + 4 * extent + 4 * (double)law.n);
    trim(&law, rare);
    *ret_law = law;
    return 0;
}

/* The same law on a grid of step / 2^halvings. */
static int refine(const struct mean_law *law, int halvings, struct mean_law *ret_law,
                  struct error *err)
{
    struct mean_law fine = *law;
    fine.step = ldexp(law->step, -halvings);
    fine.first = law->first * ((int64_t)1 << halvings);
    fine.n = ((law->n - 1) << halvings) + 1;
    fine.mass = calloc(fine.n, sizeof *fine.mass);
    if (fine.mass == NULL)
        return error_set(err, PPT_ENOMEM, "no memory for a law of %zu values", fine.n);
    for (size_t i = 0; i < law->n; i++)
        fine.mass[i << halvings] = law->mass[i];
    *ret_law = fine;
    return 0;
}

/* *a becomes the mean of its n_a copies and b's n_b, on a grid of `step`; b may be a.
 */
static int grow(struct mean_law *a, int64_t n_a, const struct mean_law *b, int64_t n_b,
                double step, double rare, struct error *err)
{
    struct mean_law fine_a = {0}, fine_b = {0}, both = {0};
    int rc = refine(a, (int)lround(log2(a->step / step)), &fine_a, err);
    if (rc == 0)
        rc = refine(b, (int)lround(log2(b->step / step)), &fine_b, err);
    if (rc == 0)
        rc = mean_law_mix(&fine_a, (double)n_a, &fine_b, (double)n_b, rare, &both, err);
    mean_law_free(&fine_a);
    mean_law_free(&fine_b);
    if (rc != 0)
        return rc;
    mean_law_free(a);
    *a = both;
    return 0;
}

int mean_law_halvings(int64_t count)
{
    return count < 1 ? 0 : (int)floor(0.4 * log2((double)count));
}

int mean_law_power(const struct mean_law *law, int64_t count, int n_halvings,
                   double rare, struct mean_law *ret_law, struct error *err)
{
    struct mean_law doubled = {0}, sum = {0}; /* means of 2^k and of n_summed copies */
    int64_t n_summed = 0;
    int rc = refine(law, 0, &doubled, err);
    for (int64_t n = 1; rc == 0; n *= 2) {
        int left = mean_law_halvings(count / n);
        double step = ldexp(law->step, left < n_halvings ? left - n_halvings : 0);
        if (n > 1)
            rc = grow(&doubled, n / 2, &doubled, n / 2, step, rare, err);
        if (rc == 0 && (count & n)) {
            rc = n_summed == 0 ? refine(&doubled, 0, &sum, err)
                               : grow(&sum, n_summed, &doubled, n, step, rare, err);
            n_summed += n;
        }
        if (n > count / 2)
            break;
    }
    mean_law_free(&doubled);
    if (rc == 0)
        *ret_law = sum;
    else
        mean_law_free(&sum);
    return rc;
}
