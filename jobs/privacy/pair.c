#include "jobs/privacy/pair.h"

#include <math.h>
#include <stdbool.h>

#include "jobs/privacy/atoms.h"
#include "jobs/privacy/mixture.h"
#include "jobs/privacy/truncated.h"

/* Rounding, once for all: with u = 2^-53, a tail of the normal law at argument t (in
 * units of sqrt 2 s) is erfc's own 16 u off, plus the argument's error dt times
 * |erfc'/erfc| <= 2t + 1.5; dt <= 4u(|s l| + 1/2s) for l the loss without subsampling.
 * Whatever happens to l itself before that is a shift of the loss: subsampling's map
 * from the mixture's loss to l is well conditioned in the forms used here, and its
 * inverse, by which the error comes back, has a slope of at most 1. */
#define U 0x1p-53

/* Pairs that come with their sample. */
static int check_sample(const struct pair *pair, struct error *err)
{
    if (pair->rate != 1)
        return error_set(err, PPT_ERANGE,
                         "a mixture's shifts are samples already; rate %g, expected 1",
                         pair->rate);
    if (pair->noise == PAIR_MIXTURE)
        return mixture_check(pair->mixture, err);
    if (!(pair->scale >= 2 * PAIR_MIN_SCALE))
        return error_set(err, PPT_ERANGE,
                         "noise of %g on batches that may be cut, expected at least %g "
                         "times the sensitivity",
                         pair->scale, 2 * PAIR_MIN_SCALE);
    return truncated_check(pair->truncated, err);
}

int pair_check(const struct pair *pair, struct error *err)
{
    if (pair->noise != PAIR_ATOMS &&
        !(pair->scale >= PAIR_MIN_SCALE && pair->scale <= PAIR_MAX_SCALE))
        return error_set(err, PPT_ERANGE,
                         "noise of %g times the sensitivity is outside [%g, %g], where "
                         "the bound is proven",
                         pair->scale, PAIR_MIN_SCALE, PAIR_MAX_SCALE);
    if (pair->noise == PAIR_MIXTURE || pair->noise == PAIR_TRUNCATED) {
        int rc = check_sample(pair, err);
        if (rc != 0)
            return rc;
    }
    if (!(pair->rate >= PAIR_MIN_RATE && pair->rate <= 1))
        return error_set(
            err, PPT_ERANGE,
            "a sample rate of %g is outside [2^-53, 1], where the bound is "
            "proven",
            pair->rate);
    if (pair->direction == PAIR_REPLACE && pair->noise != PAIR_GAUSSIAN &&
        pair->noise != PAIR_TRUNCATED)
        return error_set(err, PPT_ERANGE,
                         "under replace-one only Gaussian noise has a known dominating "
                         "pair here");
    return 0;
}

/* The two tails of the normal law at t (over sqrt 2): the smaller one is computed. */
static void both_tails(double t, double *ret_up, double *ret_low)
{
    double small = 0.5 * erfc(fabs(t));
    *ret_up = t >= 0 ? small : 1 - small;
    *ret_low = t >= 0 ? 1 - small : small;
}

static double normal_rel(double t, double parts)
{
    return U * (16 + 8 * (fabs(t) + 1) * parts);
}

static void gaussian_tails(double s, double loss, struct tails *ret)
{
    double half = 0.5 / s, along = s * loss;
    double t_p = (along - half) * M_SQRT1_2, t_q = (along + half) * M_SQRT1_2;
    both_tails(t_p, &ret->up_p, &ret->low_p);
    both_tails(t_q, &ret->up_q, &ret->low_q);
    ret->rel = normal_rel(fmax(fabs(t_p), fabs(t_q)), fabs(along) + half);
    ret->shift = 0;
}

/* L(x) = (|x| - |x - 1|)/b: an atom of P at each end, the left one also Q's best. */
static void laplace_tails(double b, double loss, struct tails *ret)
{
    double edge = 1 / b;
    *ret = (struct tails){.rel = 16 * U, .shift = 4 * U * edge};
    if (loss >= edge) {
        ret->low_p = ret->low_q = 1;
    } else if (loss < -edge) {
        ret->up_p = ret->up_q = 1;
    } else {
        double near = 0.5 * exp(0.5 * (loss - edge)); /* P(X <= x) */
        double far = 0.5 * exp(-0.5 * (loss + edge)); /* Q(X > x) */
        ret->low_p = near;
        ret->up_p = 1 - near;
        ret->up_q = far;
        ret->low_q = 1 - far;
        ret->rel += 4 * U * edge;
    }
}

static void base_tails(const struct pair *pair, double loss, struct tails *ret)
{
    if (pair->noise == PAIR_GAUSSIAN)
        gaussian_tails(pair->scale, loss, ret);
    else if (pair->noise == PAIR_LAPLACE)
        laplace_tails(pair->scale, loss, ret);
    else if (pair->noise == PAIR_MIXTURE)
        mixture_tails_at(pair->mixture, pair->scale, loss, ret);
    else
        atoms_tails(pair->atoms, loss, ret);
}

/* The base loss l at which log(1 - q + q e^l) = loss; -INFINITY where there is none. */
static double base_loss(double q, double loss)
{
    double ratio;
    if (q == 1)
        return loss;
    if (q >= 0.5)
        ratio = (exp(loss) - (1 - q)) / q; /* 1 - q is exact */
    else
        ratio = (expm1(loss) + q) / q;
    return ratio > 0 ? log(ratio) : -INFINITY;
}

/* Everything lies above; what only Q has counts too where P has a share of Q. */
static struct tails everything(const struct pair *pair)
{
    struct tails tails = {.up_p = 1, .up_q = 1, .rel = 4 * U};
    if (pair->noise == PAIR_ATOMS) {
        atoms_tails(pair->atoms, -INFINITY, &tails);
        tails.up_q += atoms_only_q(pair->atoms);
    }
    return tails;
}

/* Tails of (R, Q), R = (1-q) Q + q P. */
static void mixture_tails(const struct pair *pair, double loss, struct tails *ret)
{
    double q = pair->rate, below = base_loss(q, loss);
    struct tails base;
    if (below == -INFINITY) {
        base = everything(pair);
        below = 0;
    } else {
        base_tails(pair, below, &base);
        if (pair->noise == PAIR_ATOMS && q < 1)
            base.low_q += atoms_only_q(pair->atoms);
    }
    ret->up_p = (1 - q) * base.up_q + q * base.up_p;
    ret->low_p = (1 - q) * base.low_q + q * base.low_p;
    ret->up_q = base.up_q;
    ret->low_q = base.low_q;
    ret->rel = base.rel + 4 * U;
    ret->shift = base.shift + 8 * U * (1 + fabs(loss)) + 4 * U * fabs(below);
}

/* ((1-q) Q + q N(1), (1-q) Q + q N(-1)): with y = e^{x/s^2} and c = q e^{-1/2s^2},
 *   e^l = (1 - q + c y)/(1 - q + c/y),
 * a quadratic in y. The pair is its own mirror image, so l >= 0 is enough, where no
 * term cancels. */
static void replace_tails(const struct pair *pair, double loss, struct tails *ret)
{
    double q = pair->rate, s = pair->scale, side = fabs(loss);
    double grown = (1 - q) * expm1(side), log_c = log(q) - 0.5 / (s * s);
    /* y = (g + sqrt(g^2 + 4 c^2 e^l))/2c, in logarithms: c may underflow */
    double log_root = log_c + 0.5 * side + M_LN2;
    double log_y, log_grown = 0;
    if (grown > 0) {
        log_grown = log(grown);
        double ratio = exp(2 * (log_root - log_grown));
        log_y = isinf(ratio) ? 0.5 * side
                             : log_grown + log1p(sqrt(1 + ratio)) - M_LN2 - log_c;
    } else {
        log_y = 0.5 * side;
    }
    double x = s * log_y; /* in units of s */
    double one = 1 / s, up0, low0, up1, low1, up2, low2;
    both_tails(x * M_SQRT1_2, &up0, &low0);
    both_tails((x - one) * M_SQRT1_2, &up1, &low1);
    both_tails((x + one) * M_SQRT1_2, &up2, &low2);
    double up_p = (1 - q) * up0 + q * up1, up_q = (1 - q) * up0 + q * up2;
    double low_p = (1 - q) * low0 + q * low1, low_q = (1 - q) * low0 + q * low2;
    bool is_mirrored = loss < 0;
    ret->up_p = is_mirrored ? low_q : up_p;
    ret->low_p = is_mirrored ? up_q : low_p;
    ret->up_q = is_mirrored ? low_p : up_q;
    ret->low_q = is_mirrored ? up_p : low_q;
    ret->rel = normal_rel((x + one) * M_SQRT1_2, x + one) + 4 * U;
    /* log_y is right to 16 u times the sizes that made it; the loss moves by at most
     * twice as much */
    ret->shift = 32 * U * (2 + side + fabs(log_c) + fabs(log_y) + fabs(log_grown));
}

static void swap(double *a, double *b)
{
    double held = *a;
    *a = *b;
    *b = held;
}

static void plain_tails(const struct pair *pair, double loss, struct tails *ret_tails)
{
    if (pair->direction == PAIR_REPLACE) {
        replace_tails(pair, loss, ret_tails);
    } else if (pair->direction == PAIR_REMOVE ||
               (pair->direction == PAIR_EXCHANGE && loss >= 0)) {
        mixture_tails(pair, loss, ret_tails);
    } else {
        mixture_tails(pair, -loss, ret_tails);
        swap(&ret_tails->up_p, &ret_tails->low_q);
        swap(&ret_tails->low_p, &ret_tails->up_q);
    }
}

/* Whole batches, or cut ones: a record moves the sum by 1, or takes another's place. */
static struct pair part_of(const struct pair *pair, int part)
{
    struct pair one = {.noise = PAIR_GAUSSIAN,
                       .direction = pair->direction,
                       .scale = pair->scale / (1 + part),
                       .rate = pair->truncated->rate[part]};
    if (part == 1 && pair->direction == PAIR_REPLACE)
        one.direction = PAIR_EXCHANGE;
    return one;
}

static void truncated_tails(const struct pair *pair, double loss, struct tails *ret)
{
    *ret = (struct tails){0};
    for (int i = 0; i < 2; i++) {
        struct pair part = part_of(pair, i);
        double weight = pair->truncated->weight[i];
        struct tails tails;
        plain_tails(&part, loss, &tails);
        ret->up_p += weight * tails.up_p;
        ret->low_p += weight * tails.low_p;
        ret->up_q += weight * tails.up_q;
        ret->low_q += weight * tails.low_q;
        ret->rel = fmax(ret->rel, tails.rel + 4 * U);
        ret->shift = fmax(ret->shift, tails.shift);
    }
}

void pair_tails(const struct pair *pair, double loss, struct tails *ret_tails)
{
    if (pair->noise == PAIR_TRUNCATED)
        truncated_tails(pair, loss, ret_tails);
    else
        plain_tails(pair, loss, ret_tails);
}

double pair_infinite(const struct pair *pair)
{
    if (pair->noise != PAIR_ATOMS)
        return 0;
    if (pair->direction == PAIR_REMOVE)
        return pair->rate * atoms_only_p(pair->atoms) * (1 + 4 * U);
    return pair->rate < 1 ? 0 : atoms_only_q(pair->atoms);
}

double pair_largest_loss(const struct pair *pair)
{
    double q = pair->rate, edge = INFINITY; /* the base loss, in the direction asked */
    bool is_add = pair->direction == PAIR_ADD;
    if (pair->noise == PAIR_TRUNCATED)
        q = fmax(pair->truncated->rate[0], pair->truncated->rate[1]);
    if (pair->noise == PAIR_LAPLACE)
        edge = (is_add ? -1 : 1) / pair->scale;
    else if (pair->noise == PAIR_ATOMS && !is_add && atoms_only_p(pair->atoms) == 0)
        edge = atoms_largest_loss(pair->atoms);
    else if (is_add && q < 1)
        return -log1p(-q) * (1 + 4 * U); /* whatever the noise is */
    if (!isfinite(edge))
        return INFINITY;
    double loss = q < 1 ? log1p(q * expm1(edge)) : edge;
    return fabs(loss) * (1 + 32 * U) + 32 * U;
}

double pair_delta(const struct pair *pair, double epsilon)
{
    struct tails tails;
    pair_tails(pair, epsilon, &tails);
    double grown = exp(epsilon), p = tails.up_p, q = grown * tails.up_q;
    double error_p = tails.up_p, error_q = tails.up_q;
    if (pair->noise == PAIR_GAUSSIAN ||
        pair->noise == PAIR_LAPLACE) { /* the larger tail came from the smaller one */
        error_p = fmin(tails.up_p, tails.low_p);
        error_q = fmin(tails.up_q, tails.low_q);
    }
    double slop = tails.rel * (error_p + grown * error_q) +
                  (8 * U + 2 * tails.shift) * (p + q) + 1e-300;
    double delta = fmax(0, p - q) + slop + pair_infinite(pair);
    if (epsilon < 0) /* never less than what total mass leaves */
        delta = fmax(delta, -expm1(epsilon));
    return fmin(1, delta * (1 + 4 * U));
}
