#include "jobs/privacy/calibrate.h"

#include <float.h>
#include <math.h>
#include <stddef.h>

#include "jobs/privacy/mechanism.h"

/* Width in log(noise multiplier) at which the search ends. */
#define TOLERANCE 1e-6

struct target {
    double epsilon, delta, sample_rate;
    int64_t n_steps;
    struct cost already;
};

static int check_target(double epsilon, double delta, struct error *err)
{
    if (!(epsilon > 0 && epsilon <= DBL_MAX))
        return error_set(err, PPT_ERANGE,
                         "epsilon is %g, expected a number in (0, infinity)", epsilon);
    if (!(delta > 0 && delta < 1))
        return error_set(err, PPT_ERANGE, "delta is %g, expected a number in (0, 1)",
                         delta);
    return 0;
}

static int check_steps(const char *name, int64_t n_steps, struct error *err)
{
    if (n_steps < 1 || n_steps > CALIBRATE_MAX_STEPS)
        return error_set(err, PPT_ERANGE, "%s is %lld, expected a number in [1, %lld]",
                         name, (long long)n_steps, (long long)CALIBRATE_MAX_STEPS);
    return 0;
}

static int epsilon_of(const struct target *t, double noise_multiplier,
                      double *ret_epsilon, struct error *err)
{
    struct mechanism mechanism = {.kind = MECHANISM_SUBSAMPLED_GAUSSIAN,
                                  .noise_multiplier = noise_multiplier,
                                  .sample_rate = t->sample_rate};
    struct curve curve;
    struct cost cost;
    int rc = mechanism_curve(&mechanism, t->already.unit, &curve, err);
    if (rc == 0)
        rc = cost_from_curve(&curve, t->n_steps, &cost, err);
    if (rc == 0)
        rc = cost_add(&cost, &t->already, &cost, err);
    if (rc == 0)
        rc = cost_epsilon(&cost, t->delta, ret_epsilon, NULL, err);
    return rc;
}

/* One end of the bracket: x = log(noise multiplier), y = log(epsilon / target). */
struct point {
    double x, y;
};

static int probe(const struct target *t, double x, struct point *ret_point,
                 struct error *err)
{
    double epsilon;
    int rc = epsilon_of(t, exp(x), &epsilon, err);
    if (rc == 0)
        *ret_point = (struct point){x, log(fmax(epsilon, DBL_MIN) / t->epsilon)};
    return rc;
}

/* Where one Gaussian with the variance of the loss's central limit would stand: no
 * bound, just near (n q^2 (e^{1/s^2} - 1) = mu^2, rho = mu^2/2 in zCDP). */
static double guess(const struct target *t)
{
    double tail = -log(t->delta), root = sqrt(tail + t->epsilon) - sqrt(tail);
    double spread = t->sample_rate * t->sample_rate * (double)t->n_steps;
    double x = -0.5 * log(log1p(2 * root * root / spread));
    return fmin(fmax(x, log(CALIBRATE_MIN_NOISE) + 1), log(CALIBRATE_MAX_NOISE) - 1);
}

/* low.y > 0 >= high.y around the guess; low equals high where the least multiplier
 * already meets the target. */
static int bracket(const struct target *t, struct point *ret_low,
                   struct point *ret_high, struct error *err)
{
    const double least = log(CALIBRATE_MIN_NOISE), most = log(CALIBRATE_MAX_NOISE);
    struct point here = {0}, next = {0};
    int rc = probe(t, guess(t), &here, err);
    double stride = here.y > 0 ? 0.1 : -0.1;
    for (; rc == 0; here = next, stride *= 2) {
        double x = here.x + stride;
        /* exp(log(bound)) may fall outside the bound */
        x = x <= least ? nextafter(least, 0) : x >= most ? nextafter(most, 0) : x;
        rc = probe(t, x, &next, err);
        if (rc != 0)
            break;
        if ((next.y > 0) != (here.y > 0)) {
            *ret_low = stride > 0 ? here : next;
            *ret_high = stride > 0 ? next : here;
            return 0;
        }
        if (x <= least + 1e-12) {
            *ret_low = *ret_high = next;
            return 0;
        }
        if (x >= most - 1e-12)
            return error_set(err, PPT_ERANGE,
                             "no noise_multiplier up to %g meets epsilon %g at delta "
                             "%g over %lld steps at sample rate %g",
                             CALIBRATE_MAX_NOISE, t->epsilon, t->delta,
                             (long long)t->n_steps, t->sample_rate);
    }
    return rc;
}

/* Narrows the bracket to TOLERANCE: false position with the Illinois rule (Dowell and
 * Jarratt 1971), kept off the ends so that both close in, and a bisection whenever
 * three steps have not halved it. */
static int narrow(const struct target *t, struct point low, struct point high,
                  double *ret_x, struct error *err)
{
    double goal = (high.x - low.x) / 2;
    for (int i = 1, side = 0; high.x - low.x > TOLERANCE; i++) {
        double x = low.x + (high.x - low.x) * low.y / (low.y - high.y);
        if (i % 3 == 0) {
            if (high.x - low.x > goal)
                x = (low.x + high.x) / 2;
            goal = (high.x - low.x) / 2;
        }
        x = fmin(fmax(x, low.x + 0.4 * TOLERANCE), high.x - 0.4 * TOLERANCE);
        struct point here;
        int rc = probe(t, x, &here, err);
        if (rc != 0)
            return rc;
        if (here.y > 0) {
            low = here;
            high.y *= side > 0 ? 0.5 : 1;
            side = 1;
        } else {
            high = here;
            low.y *= side < 0 ? 0.5 : 1;
            side = -1;
        }
    }
    *ret_x = high.x;
    return 0;
}

/* What the other releases cost must leave room, or no noise can help. */
static int check_already(const struct target *t, struct error *err)
{
    double epsilon;
    int rc = cost_epsilon(&t->already, t->delta, &epsilon, NULL, err);
    if (rc == 0 && epsilon >= t->epsilon) {
        error_set(err, PPT_ERANGE,
                  "the other releases alone cost epsilon %g at delta %g, expected less "
                  "than the target of %g",
                  epsilon, t->delta, t->epsilon);
        rc = error_hint(err, "give them more noise, or the job a larger epsilon");
    }
    return rc;
}

int calibrate_noise_multiplier(double epsilon, double delta, double sample_rate,
                               int64_t n_steps, const struct cost *already,
                               double *ret_noise_multiplier, struct error *err)
{
    struct target t = {epsilon, delta, sample_rate, n_steps,
                       cost_zero(UNIT_EXAMPLE, RELATION_ADD_REMOVE)};
    if (already != NULL)
        t.already = *already;
    int rc = check_target(epsilon, delta, err);
    if (rc == 0)
        rc = check_steps("n_steps", n_steps, err);
    if (rc == 0)
        rc = check_already(&t, err);
    struct point low = {0}, high = {0};
    double x = 0, priced = 0;
    if (rc == 0)
        rc = bracket(&t, &low, &high, err);
    if (rc == 0)
        rc = narrow(&t, low, high, &x, err);
    if (rc == 0)
        rc = epsilon_of(&t, exp(x), &priced, err);
    if (rc != 0)
        return rc;
    if (priced > epsilon)
        return error_set(err, PPT_EINTERNAL,
                         "calibrated noise_multiplier %.17g costs epsilon %.17g, "
                         "expected at most %.17g",
                         exp(x), priced, epsilon);
    *ret_noise_multiplier = exp(x);
    return 0;
}

static int meets(const struct curve *curve, int64_t n_steps, double epsilon,
                 double delta, bool *ret_meets, struct error *err)
{
    struct cost cost;
    double priced = 0;
    int rc = cost_from_curve(curve, n_steps, &cost, err);
    if (rc == 0)
        rc = cost_epsilon(&cost, delta, &priced, NULL, err);
    if (rc == 0)
        *ret_meets = priced <= epsilon;
    return rc;
}

int calibrate_steps(double epsilon, double delta, double sample_rate,
                    double noise_multiplier, int64_t max_steps, int64_t *ret_n_steps,
                    struct error *err)
{
    struct mechanism mechanism = {.kind = MECHANISM_SUBSAMPLED_GAUSSIAN,
                                  .noise_multiplier = noise_multiplier,
                                  .sample_rate = sample_rate};
    struct curve curve;
    int rc = check_target(epsilon, delta, err);
    if (rc == 0)
        rc = check_steps("max_steps", max_steps, err);
    if (rc == 0)
        rc = mechanism_curve(&mechanism, UNIT_EXAMPLE, &curve, err);
    int64_t low = 0, high = max_steps + 1; /* low meets the target, high does not */
    while (rc == 0 && high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        bool fits = false;
        rc = meets(&curve, middle, epsilon, delta, &fits, err);
        if (fits)
            low = middle;
        else
            high = middle;
    }
    if (rc == 0)
        *ret_n_steps = low;
    return rc;
}
