#include "jobs/privacy/profile.h"

#include <math.h>

#include "jobs/privacy/normal.h"

/* Nodes stand at FINEST sinh(i PITCH), and no further apart than a share of the range.
 */
#define FINEST 1e-8
#define PITCH 0.05
#define N_EVEN 400

#define MAX_TILT 1e7

static const double sqrt_two_pi = 2.50662827463100050242;

static void add_atom(struct profile *profile, double loss, double mass)
{
    if (!(mass > 0) || profile->n == PROFILE_MAX_ATOMS)
        return;
    profile->loss[profile->n] = loss;
    profile->log_mass[profile->n++] = log(mass);
}

/* A cell's mass at its mean likelihood ratio. */
static void add_cell(struct profile *profile, const struct tails *near,
                     const struct tails *far, double low, double high)
{
    double a =
        near->up_p <= far->low_p ? near->up_p - far->up_p : far->low_p - near->low_p;
    double b =
        near->up_q <= far->low_q ? near->up_q - far->up_q : far->low_q - near->low_q;
    double loss = a > 0 && b > 0 ? log(a / b) : high;
    add_atom(profile, fmin(fmax(loss, low), high), a);
}

void profile_fill(const struct pair *pair, double low, double high,
                  struct profile *ret_profile)
{
    struct tails near, far;
    double widest = (high - low) / N_EVEN, from = low;
    ret_profile->n = 0;
    pair_tails(pair, low, &near);
    while (from < high) {
        double node = floor(asinh(from / FINEST) / PITCH + 1e-6) + 1;
        double to = fmin(fmin(FINEST * sinh(node * PITCH), from + widest), high);
        pair_tails(pair, to, &far);
        add_cell(ret_profile, &near, &far, from, to);
        near = far;
        from = to;
    }
    /* most of what lies above is put on the grid's last point, where a tilt lifts it */
    add_atom(ret_profile, high, near.up_p);
}

void profile_of_pmf(const struct pmf *pmf, struct profile *ret_profile)
{
    ret_profile->n = 0;
    double mass = 0, moment = 0, node = NAN;
    for (size_t i = 0; i <= pmf->n; i++) {
        double loss = i < pmf->n ? (double)pmf->index[i] * pmf->step : INFINITY;
        double here = floor(asinh(loss / FINEST) / PITCH);
        if (here != node && mass > 0) {
            add_atom(ret_profile, moment / mass, mass);
            mass = moment = 0;
        }
        node = here;
        if (i < pmf->n) {
            mass += pmf->mass[i];
            moment += pmf->mass[i] * loss;
        }
    }
}

static struct profile_moments one_tilted(const struct profile *profile, double t)
{
    double top = -INFINITY, sum = 0, first = 0, second = 0;
    for (int i = 0; i < profile->n; i++)
        top = fmax(top, t * profile->loss[i] + profile->log_mass[i]);
    for (int i = 0; i < profile->n; i++) {
        double loss = profile->loss[i];
        double weight = exp(t * loss + profile->log_mass[i] - top);
        sum += weight;
        first += weight * loss;
        second += weight * loss * loss;
    }
    double mean = first / sum;
    return (struct profile_moments){top + log(sum), mean,
                                    fmax(0, second / sum - mean * mean)};
}

struct profile_moments profile_tilted(const struct profile *profiles,
                                      const int64_t *counts, int n, double t)
{
    struct profile_moments all = {0};
    for (int j = 0; j < n; j++) {
        struct profile_moments one = one_tilted(&profiles[j], t);
        double count = (double)counts[j];
        all.log_mgf += count * one.log_mgf;
        all.mean += count * one.mean;
        all.variance += count * one.variance;
    }
    return all;
}

double profile_square(const struct profile *profiles, const int64_t *counts, int n,
                      double t)
{
    double sum = 0;
    for (int j = 0; j < n; j++) {
        struct profile_moments one = one_tilted(&profiles[j], t);
        sum += (double)counts[j] * (one.variance + one.mean * one.mean);
    }
    return sum;
}

double profile_log_delta(const struct profile_moments *moments, double t)
{
    double s = sqrt(moments->variance);
    double apart = normal_mills(t * s) - normal_mills((t + 1) * s);
    return moments->log_mgf - t * moments->mean + log(fmax(apart, 1e-300)) -
           log(sqrt_two_pi);
}

/* The tilt at which a decreasing function of it reaches zero. */
static double
solve(double (*excess)(const struct profile *, const int64_t *, int, double, double),
      const struct profile *profiles, const int64_t *counts, int n, double goal)
{
    if (excess(profiles, counts, n, 0, goal) <= 0)
        return 0;
    double low = 0, high = 1;
    while (high < MAX_TILT && excess(profiles, counts, n, high, goal) > 0) {
        low = high;
        high *= 4;
    }
    for (int i = 0; i < 30 && high - low > 1e-4 * high; i++) {
        double middle = 0.5 * (low + high);
        if (excess(profiles, counts, n, middle, goal) > 0)
            low = middle;
        else
            high = middle;
    }
    return 0.5 * (low + high);
}

static double excess_delta(const struct profile *profiles, const int64_t *counts, int n,
                           double t, double log_delta)
{
    struct profile_moments moments = profile_tilted(profiles, counts, n, t);
    return profile_log_delta(&moments, t) - log_delta;
}

static double excess_epsilon(const struct profile *profiles, const int64_t *counts,
                             int n, double t, double epsilon)
{
    return epsilon - profile_tilted(profiles, counts, n, t).mean;
}

double profile_tilt_for_delta(const struct profile *profiles, const int64_t *counts,
                              int n, double log_delta)
{
    return solve(excess_delta, profiles, counts, n, log_delta);
}

double profile_tilt_for_epsilon(const struct profile *profiles, const int64_t *counts,
                                int n, double epsilon)
{
    return solve(excess_epsilon, profiles, counts, n, epsilon);
}

double profile_chernoff(const struct profile *profiles, const int64_t *counts, int n,
                        double t, double log_rarity, int sign, double *ret_extra)
{
    struct profile_moments here = profile_tilted(profiles, counts, n, t);
    double guess = sqrt(2 * log_rarity / fmax(here.variance, 1e-300));
    double low = log(guess) - 8, high = log(guess) + 8, best = INFINITY;
    const double golden = 0.61803398874989484820;
    double points[2] = {high - golden * (high - low), low + golden * (high - low)};
    double values[2] = {NAN, NAN};
    for (int i = 0; i < 24; i++) {
        for (int side = 0; side < 2; side++) {
            if (!isnan(values[side]))
                continue;
            double extra = exp(points[side]);
            struct profile_moments there =
                profile_tilted(profiles, counts, n, t + sign * extra);
            values[side] = (there.log_mgf - here.log_mgf + log_rarity) / extra;
            if (values[side] < best) {
                best = values[side];
                *ret_extra = extra;
            }
        }
        if (values[0] < values[1]) {
            high = points[1];
            points[1] = points[0], values[1] = values[0];
            points[0] = high - golden * (high - low), values[0] = NAN;
        } else {
            low = points[0];
            points[0] = points[1], values[0] = values[1];
            points[1] = low + golden * (high - low), values[1] = NAN;
        }
    }
    return sign * best;
}
