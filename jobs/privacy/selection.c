#include "jobs/privacy/selection.h"

#include <float.h>
#include <math.h>
#include <stddef.h>

/* Room for the few roundings of a sum of positive terms. */
#define SLACK 1e-12

static int check(const struct selection *s, struct error *err)
{
    if (s->law == SELECTION_POISSON && !(s->mean >= 1e-9 && s->mean <= 1e9))
        return error_set(err, PPT_ERANGE,
                         "mean is %g, expected a number in [1e-09, 1e+09]", s->mean);
    if (s->law == SELECTION_POISSON)
        return 0;
    if (s->law != SELECTION_NEGATIVE_BINOMIAL)
        return error_set(err, PPT_ERANGE, "law is number %d, expected 0 or 1",
                         (int)s->law);
    if (!(s->eta > -1 && s->eta <= 1000))
        return error_set(err, PPT_ERANGE, "eta is %g, expected a number in (-1, 1000]",
                         s->eta);
    if (!(s->gamma >= 1e-9 && s->gamma < 1))
        return error_set(err, PPT_ERANGE, "gamma is %g, expected a number in [1e-9, 1)",
                         s->gamma);
    return 0;
}

/* eta (1-gamma) / (gamma (1 - gamma^eta)); (1-gamma)/(gamma log(1/gamma)) at eta 0. */
static double mean_of(double eta, double gamma)
{
    double fall = -log(gamma), odds = (1 - gamma) / gamma;
    if (fabs(eta * fall) < 1e-8) /* eta/(1 - e^-(eta fall)) by its series */
        return odds / fall * (1 + eta * fall / 2);
    return odds * eta / -expm1(-eta * fall);
}

int selection_mean(const struct selection *selection, double *ret_mean,
                   struct error *err)
{
    int rc = check(selection, err);
    if (rc != 0)
        return rc;
    *ret_mean = selection->law == SELECTION_POISSON
                    ? selection->mean
                    : mean_of(selection->eta, selection->gamma);
    return 0;
}

int selection_gamma(double eta, double mean, double *ret_gamma, struct error *err)
{
    struct selection s = {SELECTION_NEGATIVE_BINOMIAL, eta, 0.5, 0};
    int rc = check(&s, err);
    if (rc != 0)
        return rc;
    double low = 1e-9, high = 1; /* mean_of falls with gamma */
    if (!(mean > 1 && mean <= mean_of(eta, low)))
        return error_set(err, PPT_ERANGE, "mean is %g, expected a number in (1, %g]",
                         mean, mean_of(eta, low));
    while (high > low * (1 + 4 * DBL_EPSILON)) {
        double middle = (low + high) / 2;
        if (mean_of(eta, middle) >= mean)
            low = middle;
        else
            high = middle;
    }
    *ret_gamma = low;
    return 0;
}

/* What the law of the number of runs adds at every order. */
static double negative_binomial_extra(const struct curve *run,
                                      const struct selection *s)
{
    double least = INFINITY, fall = -log(s->gamma);
    for (int i = 0; i < COST_N_ORDERS; i++) {
        double b = cost_orders[i];
        least = fmin(least, (1 - 1 / b) * run->rho[i] + fall / b);
    }
    return (1 + s->eta) * least;
}

/* m d at this order. */
static int poisson_extra(const struct cost *run, double mean, double alpha,
                         double *ret_extra, struct error *err)
{
    double delta;
    int rc = cost_delta(run, log1p(1 / (alpha - 1)) * (1 - 4 * DBL_EPSILON), &delta,
                        NULL, err);
    if (rc == 0)
        *ret_extra = mean * delta;
    return rc;
}

int selection_curve(const struct curve *run, const struct selection *selection,
                    struct curve *ret_tuning, struct error *err)
{
    double mean = 0, extra = 0;
    struct curve tuning = *run;
    struct cost cost;
    int rc = selection_mean(selection, &mean, err);
    if (rc == 0)
        rc = cost_from_curve(run, 1, &cost, err);
    if (rc == 0 && run->delta != 0)
        rc = error_set(err, PPT_ERANGE,
                       "the curve of a run has a delta of %g, expected 0", run->delta);
    if (rc == 0 && selection->law == SELECTION_NEGATIVE_BINOMIAL)
        extra = negative_binomial_extra(run, selection);
    for (int i = COST_N_ORDERS - 1; rc == 0 && i >= 0; i--) {
        double alpha = cost_orders[i];
        if (selection->law == SELECTION_POISSON)
            rc = poisson_extra(&cost, mean, alpha, &extra, err);
        double rho = run->rho[i] + log(mean) / (alpha - 1) + extra;
        rho += SLACK * (run->rho[i] + fabs(log(mean)) / (alpha - 1) + extra);
        tuning.rho[i] = fmax(rho, 0);
        if (i + 1 < COST_N_ORDERS)
            tuning.rho[i] = fmin(tuning.rho[i], tuning.rho[i + 1]);
    }
    if (rc == 0)
        *ret_tuning = tuning;
    return rc;
}
