#include "jobs/privacy/balls_in_bins.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "jobs/privacy/compose.h"
#include "jobs/privacy/mean_law.h"
#include "jobs/privacy/normal.h"

#define U 0x1p-53

/* What the ends of laws may cost of delta, for all epochs. */
#define LOST_SHARE 1e-7

#define MIN_DELTA 1e-30
#define MAX_EPSILON 600

/* Products of masses in all mixes: some tenths of a second. */
#define MAX_WORK 2e8

static int check(const struct balls_in_bins *plan, struct error *err)
{
    if (!(plan->noise_multiplier >= 0.2 && plan->noise_multiplier <= 1000))
        return error_set(err, PPT_ERANGE,
                         "a noise multiplier of %g is outside [0.2, 1000], where this "
                         "accountant is sharp",
                         plan->noise_multiplier);
    if (plan->n_bins < 1 || plan->n_bins > 1000000 || plan->n_epochs < 1 ||
        plan->n_epochs > 10000)
        return error_set(err, PPT_ERANGE,
                         "expected 1 to 1000000 bins and 1 to 10000 epochs, got %lld "
                         "and %lld",
                         (long long)plan->n_bins, (long long)plan->n_epochs);
    return 0;
}

/* The last grid's step: splits may add a share of 10^-3 or so to the variance of W and
 * 10^-4 or so to epsilon, as far as the work allows. A little above ln 2/m, so that
 * halving a value stays next to the grid. */
static double choose_step(const struct balls_in_bins *plan, double rare)
{
    double s = plan->noise_multiplier, bins = (double)plan->n_bins;
    double deviation = sqrt(fmin(expm1(1 / (s * s)), 1e10) / bins);
    double reach = normal_upper_inverse(rare);
    double range = fmax(0, 0.5 / (s * s) + reach / s - log(bins)) +
                   fmin(2 * reach / s, 2 * reach * deviation) + 10 * deviation;
    double wanted = fmin(0.02 * deviation, sqrt(3e-5 / (double)plan->n_epochs));
    double least = 0.01;
    for (; least > wanted; least /= 1.1) {
        double points = range / least;
        double distances = fmin(points, log(1.4 / least) / least);
        if (6 * points * distances > MAX_WORK)
            break;
    }
    double parts = fmax(1, floor(M_LN2 / fmax(least, wanted)));
    int exponent;
    double mantissa = frexp(M_LN2 / parts, &exponent);
    return ldexp(floor(ldexp(mantissa, 24)) + 1, exponent - 24);
}

/* The law of one epoch's likelihood ratio. */
static int epoch_law(const struct balls_in_bins *plan, double delta,
                     struct mean_law *ret_law, struct error *err)
{
    double rare = LOST_SHARE * delta / (double)plan->n_epochs;
    double step = choose_step(plan, rare), s = plan->noise_multiplier;
    int halvings = mean_law_halvings(plan->n_bins);
    while (halvings > 0 && ldexp(step, halvings) > fmin(0.05 / s, 0.05))
        halvings--;
    struct mean_law one = {0};
    int rc = mean_law_lognormal(s, ldexp(step, halvings), rare, &one, err);
    if (rc == 0)
        rc = mean_law_power(&one, plan->n_bins, halvings, rare, ret_law, err);
    mean_law_free(&one);
    if (rc != 0)
        return rc;
    if (!(ret_law->mass_error < 1e-3 && ret_law->value_error < 1e-6))
        rc =
            error_set(err, PPT_ERANGE,
                      "%lld bins at a noise multiplier of %g lose too much to rounding",
                      (long long)plan->n_bins, s);
    return rc;
}

/* The privacy loss of an epoch on compose's grid: under REMOVE mass times value at log
 * value, under ADD mass at -log value. The law's errors become a factor on mass and a
 * shift of epsilon. */
static int loss_of(const struct mean_law *law, bool is_add, struct pmf **ret_pmf,
                   struct error *err)
{
    struct pmf *pmf = calloc(1, sizeof *pmf);
    int64_t *index = malloc(law->n * sizeof *index);
    double *mass = malloc(law->n * sizeof *mass);
    if (pmf == NULL || index == NULL || mass == NULL) {
        free(pmf);
        free(index);
        free(mass);
        return error_set(err, PPT_ENOMEM, "no memory for a law of %zu values", law->n);
    }
    double grown = (1 + 2 * law->mass_error) * (1 + 2 * law->value_error);
    for (size_t i = 0; i < law->n; i++) {
        int64_t at = law->first + (int64_t)i;
        size_t to = is_add ? law->n - 1 - i : i;
        double loss = (double)at * law->step;
        index[to] = is_add ? -at : at;
        mass[to] = law->mass[i] * (is_add ? 1 : exp(loss)) * grown *
                   (1 + U * (8 + 4 * fabs(loss)));
    }
    *pmf = (struct pmf){.step = law->step,
                        .n = law->n,
                        .index = index,
                        .mass = mass,
                        .infinite = (is_add ? law->zero : law->infinite) * grown,
                        .shift = 2 * law->value_error};
    *ret_pmf = pmf;
    return 0;
}

static int ask(const struct mean_law *law, bool is_add, int64_t n_epochs,
               const struct compose_goal *goal, double *ret_answer, struct error *err)
{
    struct pmf *pmf = NULL;
    struct composed unused;
    int rc = loss_of(law, is_add, &pmf, err);
    if (rc != 0)
        return rc;
    struct compose_law epochs = {NULL, pmf, &n_epochs, 1};
    rc = compose_answer(&epochs, goal, ret_answer, &unused, err);
    pmf_free(pmf);
    return rc;
}

static int answer(const struct balls_in_bins *plan, const struct compose_goal *goal,
                  double delta, double *ret_answer,
                  struct balls_in_bins_detail *ret_detail, struct error *err)
{
    struct mean_law epoch = {0};
    struct balls_in_bins_detail detail;
    int rc = epoch_law(plan, delta, &epoch, err);
    if (rc == 0)
        rc = ask(&epoch, false, plan->n_epochs, goal, &detail.remove, err);
    if (rc == 0)
        rc = ask(&epoch, true, plan->n_epochs, goal, &detail.add, err);
    if (rc == 0) {
        *ret_answer = fmax(detail.remove, detail.add);
        if (ret_detail != NULL)
            *ret_detail = detail;
    }
    mean_law_free(&epoch);
    return rc;
}

int balls_in_bins_epsilon(const struct balls_in_bins *plan, double delta,
                          double *ret_epsilon, struct balls_in_bins_detail *ret_detail,
                          struct error *err)
{
    int rc = check(plan, err);
    if (rc != 0)
        return rc;
    if (!(delta >= MIN_DELTA && delta < 1))
        return error_set(err, PPT_ERANGE, "delta of %g is outside [%g, 1)", delta,
                         MIN_DELTA);
    struct compose_goal goal = {.is_delta = true, .delta = delta};
    return answer(plan, &goal, delta, ret_epsilon, ret_detail, err);
}

int balls_in_bins_delta(const struct balls_in_bins *plan, double epsilon,
                        double *ret_delta, struct balls_in_bins_detail *ret_detail,
                        struct error *err)
{
    int rc = check(plan, err);
    if (rc != 0)
        return rc;
    if (!(epsilon >= 0 && epsilon <= MAX_EPSILON))
        return error_set(err, PPT_ERANGE, "epsilon of %g is outside [0, %d]", epsilon,
                         MAX_EPSILON);
    struct compose_goal goal = {.is_delta = false, .epsilon = epsilon};
    return answer(plan, &goal, 1e-20, ret_delta, ret_detail, err);
}
