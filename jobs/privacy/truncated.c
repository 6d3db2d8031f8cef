#include "jobs/privacy/truncated.h"

#include <math.h>
#include <stddef.h>

#include "jobs/privacy/pair.h"

#define U 0x1p-53
/* Terms this far below the largest are counted at their neighbour's size. */
#define NEGLIGIBLE 0x1p-100
/* No weight is less, so that no law is lost to underflow. */
#define LEAST_WEIGHT 1e-290

struct interval {
    double low, high;
};

/* P(first <= K <= last), K binomial, from its largest term outwards by the ratio of
 * neighbours; bounds of lgamma's and of every step's rounding. */
static struct interval binomial_sum(int64_t n, double q, int64_t first, int64_t last)
{
    int64_t peak = (int64_t)((double)(n + 1) * q);
    peak = peak < first ? first : peak > last ? last : peak;
    double k = (double)peak, rest = (double)(n - peak), odds = q / (1 - q);
    double up = k * log(q), down = rest * log1p(-q), all = lgamma((double)n + 1);
    double top = exp(all - lgamma(k + 1) - lgamma(rest + 1) + up + down);
    double sum = top, term = top;
    for (int64_t i = peak; i < last && term > NEGLIGIBLE * top; i++)
        sum += term *= (double)(n - i) / (double)(i + 1) * odds;
    term = top;
    for (int64_t i = peak; i > first && term > NEGLIGIBLE * top; i--)
        sum += term *= (double)i / (double)(n - i + 1) / odds;
    double rel = U * (16 * (2 * all - up - down) + 8 * (double)n + 64);
    double left_out = (double)(n + 1) * NEGLIGIBLE * top;
    return (struct interval){sum * (1 - rel), (sum + left_out) * (1 + rel)};
}

int truncated_init(struct truncated *truncated, int64_t n_records, double rate,
                   int64_t most, struct error *err)
{
    if (n_records < 1 || n_records > TRUNCATED_MAX_RECORDS || most < 1 ||
        !(rate >= PAIR_MIN_RATE && rate < 1))
        return error_set(err, PPT_ERANGE,
                         "at most %lld of %lld records at sample rate %g, expected 1 "
                         "or more of 1 to %d and a rate in [2^-53, 1)",
                         (long long)most, (long long)n_records, rate,
                         TRUNCATED_MAX_RECORDS);
    if (most >= n_records) {
        *truncated = (struct truncated){{1, 0}, {rate, rate}};
        return 0;
    }
    double share = (double)most / (double)n_records;
    struct interval whole = binomial_sum(n_records - 1, rate, 0, most - 1);
    struct interval cut = binomial_sum(n_records - 1, rate, most, n_records - 1);
    struct interval over = binomial_sum(n_records, rate, most + 1, n_records);
    /* with m >= most others sampled it is rate most/(m + 1): never more than this */
    double in = rate * (double)most / (double)(most + 1) * (1 + 8 * U);
    if (cut.low > 0)
        in = fmin(in, over.high / cut.low * share * (1 + 8 * U));
    truncated->weight[0] = fmax(LEAST_WEIGHT, fmin(1, whole.high));
    truncated->weight[1] = fmax(LEAST_WEIGHT, fmin(1, cut.high));
    truncated->rate[0] = rate;
    truncated->rate[1] = fmax(PAIR_MIN_RATE, in);
    return 0;
}

int truncated_check(const struct truncated *t, struct error *err)
{
    double sum = t == NULL ? NAN : t->weight[0] + t->weight[1];
    if (!(sum >= 1 - 1e-12 && sum <= 1 + 1e-6))
        return error_set(err, PPT_ERANGE, "chances of whole and cut batches sum to %g",
                         sum);
    for (int i = 0; i < 2; i++)
        if (!(t->weight[i] >= 0) || !(t->rate[i] >= PAIR_MIN_RATE && t->rate[i] < 1))
            return error_set(err, PPT_ERANGE,
                             "batches of chance %g sampled at %g, expected a rate in "
                             "[2^-53, 1)",
                             t->weight[i], t->rate[i]);
    return 0;
}
