#include "jobs/privacy/calibrate.h"

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "jobs/privacy/mechanism.h"

/* Width in the parameter's logarithm at which the search ends. */
#define TOLERANCE 1e-6

/* log(epsilon / target) where a price was refused. */
#define REFUSED 50.0

/* A plan whose training steps are looked for, and what else it releases. */
struct target {
    double epsilon, delta;
    const struct renyi_release *training;
    const struct renyi_release *others;
    int n_others;
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

/* exp(log(bound)) may fall outside the bound. */
static double noise_at(double x)
{
    return fmin(fmax(exp(x), CALIBRATE_MIN_NOISE), CALIBRATE_MAX_NOISE);
}

static int epsilon_of_noise(const void *context, double x, double *ret_epsilon,
                            struct error *err)
{
    const struct target *t = context;
    struct renyi_release plan[RENYI_MAX_RELEASES];
    plan[0] = *t->training;
    plan[0].mechanism.noise_multiplier = noise_at(x);
    for (int i = 0; i < t->n_others; i++)
        plan[1 + i] = t->others[i];
    return renyi_epsilon(plan, 1 + t->n_others, t->delta, ret_epsilon, NULL, err);
}

/* Where one Gaussian with the variance of the loss's central limit would stand: no
 * bound, just near (n q^2 (e^{1/s^2} - 1) = mu^2, rho = mu^2/2 in zCDP). */
static double guess(const struct target *t)
{
    double tail = -log(t->delta), root = sqrt(tail + t->epsilon) - sqrt(tail);
    const struct mechanism *m = &t->training->mechanism;
    double bins = m->kind == MECHANISM_RANDOM_ALLOCATION ? m->bins : 1;
    double rate = m->sample_rate / bins, steps = (double)t->training->count * bins;
    double spread = rate * rate * steps;
    double x = -0.5 * log(log1p(2 * root * root / spread));
    return fmin(fmax(x, log(CALIBRATE_MIN_NOISE) + 1), log(CALIBRATE_MAX_NOISE) - 1);
}

/* What is searched: epsilon falls as x, the logarithm of a parameter or of its inverse,
 * grows. Above `most` nothing is tried, nor below `least`. */
struct search {
    int (*epsilon_at)(const void *context, double x, double *ret_epsilon,
                      struct error *err);
    const void *context;
    double epsilon; /* the target */
    double start, least, most;
};

/* One end of the bracket: x, and y = log(epsilon / target). */
struct point {
    double x, y;
};

static int probe(const struct search *s, double x, struct point *ret_point,
                 struct error *err)
{
    double epsilon;
    int rc = s->epsilon_at(s->context, x, &epsilon, err);
    *ret_point = (struct point){x, REFUSED};
    if (rc == 0)
        ret_point->y = log(fmax(epsilon, DBL_MIN) / s->epsilon);
    return rc == -PPT_ERANGE ? 0 : rc;
}

/* low.y > 0 >= high.y around the start; low equals high where the least already meets
 * the target. A refused price counts as too much. Returns 1 where even the most does
 * not meet the target, -PPT_ERANGE where its price is refused. */
static int bracket(const struct search *s, struct point *ret_low,
                   struct point *ret_high, struct error *err)
{
    struct point here, next;
    int rc = probe(s, s->start, &here, err);
    double stride = here.y > 0 ? 0.1 : -0.1;
    for (; rc == 0; here = next, stride *= 2) {
        double x = fmin(fmax(here.x + stride, s->least), s->most);
        rc = probe(s, x, &next, err);
        if (rc != 0)
            break;
        if ((next.y > 0) != (here.y > 0)) {
            *ret_low = stride > 0 ? here : next;
            *ret_high = stride > 0 ? next : here;
            return 0;
        }
        if (stride < 0 && x <= s->least) {
            *ret_low = *ret_high = next;
            return 0;
        }
        if (stride > 0 && x >= s->most)
            return next.y == REFUSED ? -PPT_ERANGE : 1;
    }
    return rc;
}

/* Narrows the bracket to TOLERANCE: false position with the Illinois rule (Dowell and
 * Jarratt 1971), kept off the ends so that both close in, and a bisection whenever
 * three steps have not halved it. */
static int narrow(const struct search *s, struct point low, struct point high,
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
        int rc = probe(s, x, &here, err);
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

/* The least x that meets the target: 0, 1 where none does, or an error. */
static int least_x(const struct search *s, double *ret_x, struct error *err)
{
    struct point low = {0}, high = {0};
    int rc = bracket(s, &low, &high, err);
    return rc != 0 ? rc : narrow(s, low, high, ret_x, err);
}

/* What the other releases cost must leave room, or no noise can help. */
static int check_others(const struct target *t, struct error *err)
{
    double epsilon = 0;
    int rc = 0;
    if (t->n_others < 0 || t->n_others >= RENYI_MAX_RELEASES)
        rc = error_set(err, PPT_ERANGE, "%d other releases, expected [0, %d]",
                       t->n_others, RENYI_MAX_RELEASES - 1);
    else if (t->n_others > 0)
        rc = renyi_epsilon(t->others, t->n_others, t->delta, &epsilon, NULL, err);
    if (rc == 0 && epsilon >= t->epsilon) {
        error_set(err, PPT_ERANGE,
                  "the other releases alone cost epsilon %g at delta %g, expected less "
                  "than the target of %g",
                  epsilon, t->delta, t->epsilon);
        rc = error_hint(err, "give them more noise, or the job a larger epsilon");
    }
    return rc;
}

int calibrate_noise_multiplier(double epsilon, double delta,
                               const struct renyi_release *training,
                               const struct renyi_release *others, int n_others,
                               double *ret_noise_multiplier, struct error *err)
{
    struct target t = {epsilon, delta, training, others, n_others};
    int rc = check_target(epsilon, delta, err);
    if (rc == 0)
        rc = check_steps("n_steps", training->count, err);
    if (rc == 0)
        rc = check_others(&t, err);
    double x = 0, priced = 0;
    if (rc == 0) {
        struct search search = {
            epsilon_of_noise,        &t, epsilon, guess(&t), log(CALIBRATE_MIN_NOISE),
            log(CALIBRATE_MAX_NOISE)};
        rc = least_x(&search, &x, err);
    }
    if (rc > 0)
        return error_set(err, PPT_ERANGE,
                         "no noise_multiplier up to %g meets epsilon %g at delta "
                         "%g over %lld releases of %s",
                         CALIBRATE_MAX_NOISE, epsilon, delta,
                         (long long)training->count,
                         mechanism_name(training->mechanism.kind));
    if (rc == 0)
        rc = epsilon_of_noise(&t, x, &priced, err);
    if (rc != 0)
        return rc;
    if (priced > epsilon)
        return error_set(err, PPT_EINTERNAL,
                         "calibrated noise_multiplier %.17g costs epsilon %.17g, "
                         "expected at most %.17g",
                         noise_at(x), priced, epsilon);
    *ret_noise_multiplier = noise_at(x);
    return 0;
}

const struct mechanism_parameter calibrate_sample_rate = {
    "sample_rate",
    offsetof(struct mechanism, sample_rate),
    0x1p-53,
    1,
    1,
    false,
    -1,
    "share of the records in a sample"};

/* A plan one of whose parameters is looked for. */
struct unknown {
    calibrate_price *price;
    const struct renyi_release *releases;
    int n, which;
    const struct mechanism_parameter *parameter;
    double delta;
};

/* The parameter's value at x: its inverse's logarithm where less is more private. */
static double value_at(const struct mechanism_parameter *p, double x)
{
    return fmin(fmax(exp(p->privacy > 0 ? x : -x), p->low), p->high);
}

static int epsilon_of_value(const void *context, double x, double *ret_epsilon,
                            struct error *err)
{
    const struct unknown *u = context;
    struct renyi_release plan[RENYI_MAX_RELEASES];
    memcpy(plan, u->releases, (size_t)u->n * sizeof *plan);
    *mechanism_value(&plan[u->which].mechanism, u->parameter) =
        value_at(u->parameter, x);
    return u->price(plan, u->n, u->delta, ret_epsilon, err);
}

/* Everything but the unknown is in range, and so is the unknown's place. */
static int check_unknown(const struct unknown *u, double epsilon, struct error *err)
{
    int rc = check_target(epsilon, u->delta, err);
    if (rc == 0 &&
        (u->n < 1 || u->n > RENYI_MAX_RELEASES || u->which < 0 || u->which >= u->n))
        rc =
            error_set(err, PPT_ERANGE,
                      "mechanism %d of %d is to be calibrated, expected one of 1 to %d",
                      u->which + 1, u->n, RENYI_MAX_RELEASES);
    if (rc == 0 && u->parameter != NULL && u->parameter->privacy == 0)
        rc = error_set(err, PPT_ERANGE, "%s is no parameter to calibrate by",
                       u->parameter->name);
    return rc;
}

int calibrate_parameter(calibrate_price *price, const struct renyi_release *releases,
                        int n, int which, const struct mechanism_parameter *parameter,
                        double epsilon, double delta, double *ret_value,
                        struct error *err)
{
    struct unknown u = {price, releases, n, which, parameter, delta};
    const struct mechanism_parameter *p = parameter;
    double x = 0, priced = 0;
    int rc = check_unknown(&u, epsilon, err);
    if (rc == 0) {
        double low = log(p->low), high = log(p->high);
        struct search search = {
            epsilon_of_value,
            &u,
            epsilon,
            fmin(fmax(0, p->privacy > 0 ? low : -high), p->privacy > 0 ? high : -low),
            p->privacy > 0 ? low : -high,
            p->privacy > 0 ? high : -low};
        rc = least_x(&search, &x, err);
    }
    if (rc > 0)
        return error_set(err, PPT_ERANGE,
                         "no %s in [%g, %g] meets epsilon %g at delta %g", p->name,
                         p->low, p->high, epsilon, delta);
    if (rc == 0)
        rc = epsilon_of_value(&u, x, &priced, err);
    if (rc == 0 && priced > epsilon)
        rc =
            error_set(err, PPT_ERANGE, "no %s in [%g, %g] meets epsilon %g at delta %g",
                      p->name, p->low, p->high, epsilon, delta);
    if (rc == 0)
        *ret_value = value_at(p, x);
    return rc;
}

/* Does `count` of the unknown meet the target? A refused price does not. */
static int count_meets(const struct unknown *u, int64_t count, double epsilon,
                       bool *ret_meets, struct error *err)
{
    struct renyi_release plan[RENYI_MAX_RELEASES];
    double priced = INFINITY;
    memcpy(plan, u->releases, (size_t)u->n * sizeof *plan);
    plan[u->which].count = count;
    int rc = u->price(plan, u->n, u->delta, &priced, err);
    *ret_meets = rc == 0 && priced <= epsilon;
    return rc;
}

int calibrate_count(calibrate_price *price, const struct renyi_release *releases, int n,
                    int which, int64_t max_count, double epsilon, double delta,
                    int64_t *ret_count, struct error *err)
{
    struct unknown u = {price, releases, n, which, NULL, delta};
    bool meets = false;
    int rc = check_unknown(&u, epsilon, err);
    if (rc == 0)
        rc = check_steps("max_count", max_count, err);
    if (rc == 0)
        rc = count_meets(&u, 1, epsilon, &meets, err);
    if (rc != 0)
        return rc;
    /* low meets the target, high does not or is too many */
    int64_t low = meets ? 1 : 0, high = meets ? 2 : 1;
    while (meets && high <= max_count) {
        rc = count_meets(&u, high, epsilon, &meets, err);
        if (rc != 0 && rc != -PPT_ERANGE)
            return rc;
        if (meets) {
            low = high;
            high = high > max_count / 2 && high < max_count ? max_count : 2 * high;
        }
    }
    high = high > max_count ? max_count + 1 : high;
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        rc = count_meets(&u, middle, epsilon, &meets, err);
        if (rc != 0 && rc != -PPT_ERANGE)
            return rc;
        if (meets)
            low = middle;
        else
            high = middle;
    }
    *ret_count = low;
    return 0;
}
