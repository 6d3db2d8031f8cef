#include "jobs/fl/degree.h"

#include <math.h>

static const double security_bits = 40.0, correctness_bits = 20.0;

/* That share of n clients; 0.29 of 100 are 29, whatever floating point makes of it. */
static double count(double share, double n)
{
    return floor(share * n + 1e-9);
}

/* lgamma writes the sign to a global variable. */
static double ln_factorial(double n)
{
    int sign;
    return lgamma_r(n + 1.0, &sign);
}

/* ln of n over k. */
static double ln_choose(double n, double k)
{
    return ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k);
}

/* Pr[X = x] of `draws` clients without replacement out of n, `marked` of them marked.
 */
static double hypergeometric(double n, double marked, double draws, double x)
{
    if (x < 0.0 || x > marked || x > draws || draws - x > n - marked) {
        return 0.0;
    }
    return exp(ln_choose(marked, x) + ln_choose(n - marked, draws - x) -
               ln_choose(n, draws));
}

/* The smallest x with Pr[X > x] <= bound, adding up from the top. */
static double upper_quantile(double n, double marked, double draws, double bound)
{
    double tail = 0.0, x = fmin(marked, draws);
    while (x >= 0.0) {
        tail += hypergeometric(n, marked, draws, x);
        if (tail > bound) {
            return x;
        }
        x -= 1.0;
    }
    return 0.0;
}

/* The largest x with Pr[X < x] < bound. */
static double lower_quantile(double n, double marked, double draws, double bound)
{
    double below = 0.0;
    for (double x = 0.0; x <= draws; x += 1.0) {
        below += hypergeometric(n, marked, draws, x);
        if (below >= bound) { /* Pr[X < x + 1] */
            return x;
        }
    }
    return draws;
}

/* Two gaps of k/2 neighbours each that are corrupt or gone part the circle: a union
 * bound over pairs of gaps. */
static bool is_connected(double n, double k, double bad)
{
    if (n - k - 1.0 < 1.0 || bad < k) {
        return true;
    }
    double ln_pairs = log(n * (n - k - 1.0) / 2.0);
    double ln_all_bad = ln_choose(bad, k) - ln_choose(n, k);
    return ln_pairs + ln_all_bad < -(security_bits + 1.0) * M_LN2;
}

/* The threshold of degree k, or 0. */
static uint32_t threshold(const struct degree_wish *wish, double n, double corrupt,
                          double dropped, double k)
{
    double too_few = upper_quantile(n, corrupt, k, exp2(-(security_bits + 1.0)) / n);
    double enough = lower_quantile(n, n - dropped, k, exp2(-correctness_bits) / n);
    if (wish->is_server_lying) {
        too_few = ceil((too_few + k - 1.25) / 2.0);
    }
    return enough > too_few ? (uint32_t)fmax(too_few + 1.0, 2.0) : 0;
}

static int check_wish(const struct degree_wish *wish, struct error *err)
{
    if (!(wish->corrupt >= 0.0) || !(wish->dropout >= 0.0) ||
        !(wish->corrupt + wish->dropout < 1.0)) {
        return error_set(err, PPT_ERANGE,
                         "corrupt and dropped clients together must be a share from 0 "
                         "to below 1");
    }
    if (wish->n_clients < 2) {
        return error_set(err, PPT_ERANGE, "secure aggregation needs 2 clients or more");
    }
    return 0;
}

int degree_find(const struct degree_wish *wish, uint32_t *ret_degree,
                uint32_t *ret_threshold, struct error *err)
{
    int rc = check_wish(wish, err);
    if (rc != 0) {
        return rc;
    }
    const double n = wish->n_clients;
    const double corrupt = count(wish->corrupt, n), dropped = count(wish->dropout, n);
    for (double k = 2.0; k < n - 1.0; k += 2.0) {
        if (is_connected(n, k, corrupt + dropped)) {
            uint32_t t = threshold(wish, n, corrupt, dropped, k);
            if (t > 0) {
                *ret_degree = (uint32_t)k;
                *ret_threshold = t;
                return 0;
            }
        }
    }
    rc = degree_complete(wish, ret_threshold, err);
    if (rc == 0) {
        *ret_degree = wish->n_clients - 1;
    }
    return rc;
}

int degree_complete(const struct degree_wish *wish, uint32_t *ret_threshold,
                    struct error *err)
{
    int rc = check_wish(wish, err);
    if (rc != 0) {
        return rc;
    }
    const uint32_t n = wish->n_clients;
    const uint32_t corrupt = (uint32_t)count(wish->corrupt, n);
    const uint32_t left = n - (uint32_t)count(wish->dropout, n);
    /* Nobody holds a share of his own: a survivor has left - 1 holders. A server that
     * lies is told one secret by t honest or corrupt peers and the other by t more. */
    uint32_t least = wish->is_server_lying ? (n - 1 + corrupt) / 2 + 1 : corrupt + 1;
    uint32_t t = wish->is_server_lying ? 2 * n / 3 + 1 : n / 2 + 1;
    if (left < 2 || least > left - 1) {
        error_set(err, PPT_ERANGE,
                  "no threshold of %u clients bears %u corrupt and %u dropped ones",
                  (unsigned)n, (unsigned)corrupt, (unsigned)(n - left));
        return error_hint(err, "expect fewer of them, or more clients a round");
    }
    t = t < least ? least : t;
    *ret_threshold = t > left - 1 ? left - 1 : t;
    return 0;
}
