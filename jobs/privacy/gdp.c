#include "jobs/privacy/gdp.h"

#include <math.h>

#include "jobs/privacy/normal.h"

#define U 0x1p-53

static const double log_sqrt_two_pi = 0.91893853320467274178;

static int check_mu(double mu, struct error *err)
{
    if (!(mu >= GDP_MIN_MU && mu <= GDP_MAX_MU))
        return error_set(err, PPT_ERANGE, "mu of %g is outside [%g, %g]", mu,
                         GDP_MIN_MU, GDP_MAX_MU);
    return 0;
}

static int check_epsilon(double epsilon, struct error *err)
{
    if (!(epsilon >= 0 && epsilon <= GDP_MAX_EPSILON))
        return error_set(err, PPT_ERANGE, "epsilon of %g is outside [0, %g]", epsilon,
                         GDP_MAX_EPSILON);
    return 0;
}

static int check_delta(double delta, struct error *err)
{
    if (!(delta >= GDP_MIN_DELTA && delta < 1))
        return error_set(err, PPT_ERANGE, "delta of %g is outside [%g, 1)", delta,
                         GDP_MIN_DELTA);
    return 0;
}

int gdp_mu(double noise_multiplier, double sample_rate, int64_t n_releases,
           enum privacy_relation relation, double *ret_mu, struct error *err)
{
    if (!(sample_rate == 1)) {
        error_set(
            err, PPT_ERANGE,
            "Gaussian differential privacy is exact for full batches only, not at "
            "a sample rate of %g",
            sample_rate);
        return error_hint(err, "use the Renyi or the privacy-loss accountant");
    }
    if (!(noise_multiplier > 0) || !isfinite(noise_multiplier) || n_releases < 1)
        return error_set(err, PPT_ERANGE,
                         "expected a positive noise multiplier and at least 1 release, "
                         "got %g and %lld",
                         noise_multiplier, (long long)n_releases);
    double distance = relation == RELATION_REPLACE_ONE ? 2 : 1;
    double mu = distance * sqrt((double)n_releases) / noise_multiplier * (1 + 8 * U);
    int rc = check_mu(mu, err);
    if (rc == 0)
        *ret_mu = mu;
    return rc;
}

int gdp_add(double mu, double other_mu, double *ret_mu, struct error *err)
{
    int rc = check_mu(mu, err);
    if (rc == 0)
        rc = check_mu(other_mu, err);
    double both = hypot(mu, other_mu) * (1 + 4 * U);
    if (rc == 0)
        rc = check_mu(both, err);
    if (rc == 0)
        *ret_mu = both;
    return rc;
}

/* log delta, rounded up. With x = epsilon/mu - mu/2, phi the normal density, R Mills's
 * ratio, and phi(x + mu) e^epsilon = phi(x):
 *   delta = P(X > x) - e^epsilon P(X > x + mu) = phi(x) (R(x) - R(x + mu)).
 * Where x < 0, P(X > x) = 1 - P(X > -x) keeps R away from where it grows. */
static double log_delta(double mu, double epsilon)
{
    double x = epsilon / mu - 0.5 * mu, y = epsilon / mu + 0.5 * mu;
    /* x's error moves the threshold, which changes delta to second order only; y's and
     * the square's are paid for below */
    double off = 4 * U * (epsilon / mu + mu);
    double log_phi = -0.5 * x * x - log_sqrt_two_pi;
    double slop = 8 * U * (1 + fabs(log_phi)) + 2 * (fabs(x) + 1) * off;
    double here = normal_mills(fabs(x)), there = normal_mills(y);
    double error = 2 * NORMAL_ERROR * (here + there);
    if (x >= 0)
        return log(fmax(here - there, 0) + error) + log_phi + slop;
    double rest = exp(log_phi) * (here + there);
    return fmin(0, log(fmax(1 - rest, 0) + exp(log_phi) * error + 8 * U + off));
}

int gdp_log_delta(double mu, double epsilon, double *ret_log_delta, struct error *err)
{
    int rc = check_mu(mu, err);
    if (rc == 0)
        rc = check_epsilon(epsilon, err);
    if (rc == 0)
        *ret_log_delta = log_delta(mu, epsilon);
    return rc;
}

int gdp_delta(double mu, double epsilon, double *ret_delta, struct error *err)
{
    double logarithm;
    int rc = gdp_log_delta(mu, epsilon, &logarithm, err);
    if (rc == 0)
        *ret_delta = fmin(1, exp(logarithm) * (1 + 4 * U) + 0x1p-1074);
    return rc;
}

int gdp_epsilon(double mu, double delta, double *ret_epsilon, struct error *err)
{
    int rc = check_mu(mu, err);
    if (rc == 0)
        rc = check_delta(delta, err);
    if (rc != 0)
        return rc;
    double goal = log(delta) - 8 * U * fabs(log(delta));
    double low = 0, high = 1;
    if (log_delta(mu, 0) <= goal) {
        *ret_epsilon = 0;
        return 0;
    }
    while (log_delta(mu, high) > goal && high <= GDP_MAX_EPSILON)
        low = high, high *= 2;
    if (high > GDP_MAX_EPSILON)
        return error_set(err, PPT_ERANGE, "epsilon at delta %g would exceed %g", delta,
                         GDP_MAX_EPSILON);
    for (int i = 0; i < 200 && high - low > 1e-13 * high; i++) {
        double middle = 0.5 * (low + high);
        if (log_delta(mu, middle) > goal)
            low = middle;
        else
            high = middle;
    }
    *ret_epsilon = high;
    return 0;
}

int gdp_noise_multiplier(double epsilon, double delta, int64_t n_releases,
                         enum privacy_relation relation, double *ret_noise_multiplier,
                         struct error *err)
{
    int rc = check_epsilon(epsilon, err);
    if (rc == 0)
        rc = check_delta(delta, err);
    if (rc != 0)
        return rc;
    if (n_releases < 1)
        return error_set(err, PPT_ERANGE, "expected at least 1 release, got %lld",
                         (long long)n_releases);
    double goal = log(delta) - 8 * U * fabs(log(delta));
    double low = GDP_MIN_MU, high = GDP_MAX_MU; /* log delta grows with mu */
    if (log_delta(low, epsilon) > goal)
        return error_set(err, PPT_ERANGE,
                         "no noise that is handled here reaches epsilon %g at delta %g",
                         epsilon, delta);
    while (high - low > 1e-13 * high) {
        double middle = sqrt(low * high);
        if (log_delta(middle, epsilon) > goal)
            high = middle;
        else
            low = middle;
    }
    double distance = relation == RELATION_REPLACE_ONE ? 2 : 1;
    *ret_noise_multiplier = distance * sqrt((double)n_releases) / low * (1 + 16 * U);
    return 0;
}
