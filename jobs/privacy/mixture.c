#include "jobs/privacy/mixture.h"

#include <math.h>
#include <stddef.h>

#include "jobs/privacy/pair.h"

#define U 0x1p-53
#define LEAST_WEIGHT 1e-290

int mixture_check(const struct mixture *m, struct error *err)
{
    double sum = 0, before = -1;
    if (m == NULL || m->n < 1 || m->n > MIXTURE_MAX)
        return error_set(err, PPT_ERANGE, "a mixture of no or too many shifts");
    for (int k = 0; k < m->n; k++) {
        if (!(m->shift[k] >= 0 && m->shift[k] <= 1e6 && m->shift[k] > before) ||
            !(m->weight[k] >= LEAST_WEIGHT && m->weight[k] <= 1))
            return error_set(err, PPT_ERANGE,
                             "shift %d of a mixture is %g with weight %g, expected "
                             "increasing shifts in [0, 1e6] and weights in [%g, 1]",
                             k, m->shift[k], m->weight[k], LEAST_WEIGHT);
        before = m->shift[k];
        sum += m->weight[k];
    }
    if (!(fabs(sum - 1) <= m->rel + 1e-12) || !(m->shift[m->n - 1] > 0) ||
        !(m->rel >= 0 && m->rel <= 1e-9))
        return error_set(err, PPT_ERANGE,
                         "weights of a mixture sum to %.15g and its last shift is %g",
                         sum, m->shift[m->n - 1]);
    return 0;
}

int mixture_binomial(int n_records, double rate, struct mixture *ret_mixture,
                     struct error *err)
{
    if (n_records < 1 || n_records >= MIXTURE_MAX ||
        !(rate >= PAIR_MIN_RATE && rate < 1))
        return error_set(err, PPT_ERANGE,
                         "%d records of a user at sample rate %g, expected 1 to %d "
                         "records and a rate in [2^-53, 1)",
                         n_records, rate, MIXTURE_MAX - 1);
    struct mixture m = {.n = 0};
    double log_none = n_records * log1p(-rate);
    if (log_none < -600)
        return error_set(err, PPT_ERANGE,
                         "the chance that none of %d records is sampled at rate %g is "
                         "below the smallest number here",
                         n_records, rate);
    double weight = exp(log_none), odds = rate / (1 - rate), held = 0;
    for (int k = 0; k <= n_records; k++) {
        if (k > 0)
            weight *= (double)(n_records - k + 1) / k * odds;
        held += weight;
        if (held < LEAST_WEIGHT && k < n_records)
            continue; /* to the next shift, which costs more */
        m.shift[m.n] = k;
        m.weight[m.n++] = fmax(held, LEAST_WEIGHT);
        held = 0;
    }
    /* exp's argument, then six roundings a step */
    m.rel = U * (8 + 8 * n_records - 4 * log_none);
    *ret_mixture = m;
    return 0;
}

/* M(z) = log sum over shifts above 0 of w_k e^{d_k z - d_k^2/2}, d_k = c_k/s, which is
 * convex and grows; its slope; and the largest size that went into an exponent. */
static double log_shifted(const struct mixture *m, double s, double z,
                          double *ret_slope, double *ret_size)
{
    double top = -INFINITY, sum = 0, slope = 0, size = 0, exponents[MIXTURE_MAX];
    int first = m->shift[0] > 0 ? 0 : 1;
    for (int k = first; k < m->n; k++) {
        double d = m->shift[k] / s, log_w = log(m->weight[k]);
        exponents[k] = log_w + d * (z - 0.5 * d);
        size = fmax(size, fabs(log_w) + d * (fabs(z) + d));
        top = fmax(top, exponents[k]);
    }
    for (int k = first; k < m->n; k++) {
        double part = exp(exponents[k] - top);
        sum += part;
        slope += part * m->shift[k] / s;
    }
    *ret_slope = slope / sum;
    *ret_size = size + fabs(top);
    return top + log(sum);
}

/* Where M(z) = goal, by Newton from the right: from there a convex M is only ever
 * approached. However near it gets, *ret_miss says how far off M still is. */
static double solve(const struct mixture *m, double s, double goal, double *ret_miss)
{
    double z = INFINITY, slope, size, value;
    for (int k = m->shift[0] > 0 ? 0 : 1; k < m->n; k++) {
        double d = m->shift[k] / s;
        z = fmin(z, (goal - log(m->weight[k])) / d + 0.5 * d);
    }
    value = log_shifted(m, s, z, &slope, &size);
    for (int i = 0; i < 60 && value - goal > 4 * U * size; i++) {
        z -= (value - goal) / slope;
        value = log_shifted(m, s, z, &slope, &size);
    }
    *ret_miss = fabs(value - goal) + U * (8 * size + 4 * m->n + 8) + 2 * m->rel;
    return z;
}

void mixture_tails_at(const struct mixture *m, double s, double loss,
                      struct tails *ret_tails)
{
    *ret_tails = (struct tails){.up_p = 1, .up_q = 1, .rel = m->rel + 4 * U};
    double goal = loss, slip = 0, miss;
    if (m->shift[0] == 0) { /* e^loss = w_0 + e^M; 1 - w_0 without cancelling */
        double rest = 0;
        for (int k = 1; k < m->n; k++)
            rest += m->weight[k];
        double excess = expm1(loss) + rest;
        /* what this is off by, seen from the loss */
        double off = U * (8 * fabs(expm1(loss)) + (m->n + 8) * rest) + m->rel * rest;
        slip = off * exp(-loss);
        ret_tails->shift = excess < -off ? 0 : slip;
        if (!(excess > 0))
            return;
        goal = log(excess);
    }
    /* dL/dM = 1 - w_0 e^-L <= 1 */
    double z = solve(m, s, goal, &miss), most = fabs(z);
    *ret_tails = (struct tails){.shift = slip + miss + 8 * U * (1 + fabs(loss))};
    for (int k = 0; k < m->n; k++) {
        double t = (z - m->shift[k] / s) * M_SQRT1_2, small = 0.5 * erfc(fabs(t));
        most = fmax(most, fabs(z) + m->shift[k] / s);
        ret_tails->up_p += m->weight[k] * (t >= 0 ? small : 1 - small);
        ret_tails->low_p += m->weight[k] * (t >= 0 ? 1 - small : small);
    }
    double small = 0.5 * erfc(fabs(z) * M_SQRT1_2);
    ret_tails->up_q = z >= 0 ? small : 1 - small;
    ret_tails->low_q = z >= 0 ? 1 - small : small;
    ret_tails->rel = m->rel + U * (24 + 2 * m->n + 8 * (most + 1) * (most + 1));
}
