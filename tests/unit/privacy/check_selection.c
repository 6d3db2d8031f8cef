/* Private selection against another accountant and against enumerated tunings; the
 * noise of adaptive clipping. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "jobs/privacy/mechanism.h"
#include "jobs/privacy/selection.h"
#include "jobs/privacy/split.h"

static struct curve gaussian(double noise)
{
    struct mechanism m = mechanism_default(MECHANISM_GAUSSIAN);
    struct curve curve;
    m.noise_multiplier = noise;
    ck_assert_int_eq(mechanism_curve(&m, UNIT_EXAMPLE, &curve, NULL), 0);
    return curve;
}

/* dp_accounting 0.6.0, RepeatAndSelectDpEvent over a Gaussian on the same orders; it
 * does not lower the Poisson law's low orders, so those are compared from below. */
START_TEST(agrees_with_another_accountant)
{
    const struct {
        double noise, eta, mean; /* eta INFINITY: Poisson */
        double rho[4];           /* at orders 2, 5, 23.25, 101 */
    } rows[] = {
        {2, 0, 10, {2.417798441858, 2.417798441858, 4.229500684566, 13.86778956502}},
        {2, 1, 10, {3.094395055989, 3.094395055989, 4.906097298697, 14.54438617916}},
        {2, 0.5, 50, {3.587579861691, 3.587579861691, 5.145874210284, 14.72792318167}},
        {2, 5, 30, {6.597885823524, 6.597885823524, 8.227901507877, 17.82780067802}},
        {5, 0, 10, {0.967067924123, 0.967067924123, 1.086261076214, 2.560799956672}},
        {5, 5, 30, {2.789082343905, 2.789082343905, 2.865314579755, 4.301463749902}},
        {2,
         INFINITY,
         20,
         {4.407923090971, 5.38839235915, 8.59493833855, 18.5083861260}},
        {5,
         INFINITY,
         20,
         {3.037149534785, 1.462230656164, 2.558865468499, 4.3617100023}},
    };
    const int at[4] = {4, 20, 60, 100};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct selection s = {SELECTION_POISSON, 0, 0, rows[i].mean};
        struct curve run = gaussian(rows[i].noise), tuning;
        if (!isinf(rows[i].eta)) {
            s = (struct selection){SELECTION_NEGATIVE_BINOMIAL, rows[i].eta, 0, 0};
            ck_assert_int_eq(selection_gamma(rows[i].eta, rows[i].mean, &s.gamma, NULL),
                             0);
        }
        ck_assert_int_eq(selection_curve(&run, &s, &tuning, NULL), 0);
        for (int j = 0; j < 4; j++) {
            double rho = tuning.rho[at[j]], other = rows[i].rho[j];
            ck_assert_msg(rho <= other * (1 + 1e-8), "%zu %d: %.12g", i, j, rho);
            if (s.law != SELECTION_POISSON || j == 3)
                ck_assert_msg(rho >= other * (1 - 1e-8), "%zu %d: %.12g", i, j, rho);
        }
    }
}
END_TEST

/* The best of K runs of randomised response, where 1 is better than 0: the chance that
 * none of them said 1, E[(1-p)^K]. */
static double none_of(double p, const struct selection *s)
{
    if (s->law == SELECTION_POISSON)
        return exp(-s->mean * p);
    return s->gamma * (1 - p) / (1 - (1 - s->gamma) * (1 - p)); /* eta 1: geometric */
}

START_TEST(bounds_enumerated_tunings)
{
    const double flips[] = {0.05, 0.3, 0.9}, means[] = {1.5, 10, 300};
    for (int f = 0; f < 3; f++)
        for (int m = 0; m < 3; m++)
            for (int law = 0; law < 2; law++) {
                struct mechanism rr = mechanism_default(MECHANISM_RANDOMISED_RESPONSE);
                struct selection s = {(enum selection_law)law, 1, 1 / means[m],
                                      means[m]};
                struct curve run, tuning;
                rr.flip = flips[f];
                ck_assert_int_eq(mechanism_curve(&rr, UNIT_EXAMPLE, &run, NULL), 0);
                ck_assert_int_eq(selection_curve(&run, &s, &tuning, NULL), 0);
                ck_assert_int_eq(tuning.relation, RELATION_REPLACE_ONE);
                double no_p = none_of(1 - flips[f] / 2, &s), p = 1 - no_p;
                double no_q = none_of(flips[f] / 2, &s), q = 1 - no_q;
                for (int i = 0; i < COST_N_ORDERS && cost_orders[i] < 60; i++) {
                    double a = cost_orders[i];
                    double up =
                        pow(p, a) * pow(q, 1 - a) + pow(no_p, a) * pow(no_q, 1 - a);
                    double down =
                        pow(q, a) * pow(p, 1 - a) + pow(no_q, a) * pow(no_p, 1 - a);
                    double truth = log(fmax(up, down)) / (a - 1);
                    if (!isfinite(truth)) /* out of a double's range */
                        continue;
                    ck_assert_msg(tuning.rho[i] >= truth * (1 - 1e-9) - 1e-12,
                                  "%d %d %d at %g: %g < %g", f, m, law, a,
                                  tuning.rho[i], truth);
                }
            }
}
END_TEST

START_TEST(means_are_those_of_the_law)
{
    const double etas[] = {-0.7, 0, 1e-12, 0.5, 1, 3}, gammas[] = {0.9, 0.2, 0.01};
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < 3; j++) {
            /* the law's own sum: w_k = (1-gamma)^k prod_{l<k} (l + eta)/(l + 1), but
             * with eta divided out, so that 0 needs no case of its own */
            double weight = 1 - gammas[j], total = 0, first = 0, mean, gamma;
            for (int k = 1; k < 20000; k++) {
                total += weight;
                first += k * weight;
                weight *= (1 - gammas[j]) * (k + etas[i]) / (k + 1);
            }
            struct selection s = {SELECTION_NEGATIVE_BINOMIAL, etas[i], gammas[j], 0};
            ck_assert_int_eq(selection_mean(&s, &mean, NULL), 0);
            ck_assert_msg(fabs(mean * total / first - 1) < 1e-8, "%g %g: %g", etas[i],
                          gammas[j], mean);
            ck_assert_int_eq(selection_gamma(etas[i], mean, &gamma, NULL), 0);
            ck_assert_double_eq_tol(gamma / gammas[j], 1, 1e-7);
        }
}
END_TEST

static void refuse(struct selection s, double delta, const char *text)
{
    struct curve run = gaussian(2), tuning = {.delta = 42};
    struct error err = {0};
    run.delta = delta;
    ck_assert_int_eq(selection_curve(&run, &s, &tuning, &err), -PPT_ERANGE);
    ck_assert_msg(strstr(err.text, text) != NULL, "'%s' lacks '%s'", err.text, text);
    ck_assert(tuning.delta == 42);
}

START_TEST(nonsense_is_refused)
{
    const enum selection_law binomial = SELECTION_NEGATIVE_BINOMIAL;
    double gamma = 42;
    refuse((struct selection){binomial, -1, 0.5, 0}, 0, "eta is -1");
    refuse((struct selection){binomial, NAN, 0.5, 0}, 0, "eta is nan");
    refuse((struct selection){binomial, 1, 1, 0}, 0, "gamma is 1");
    refuse((struct selection){binomial, 1, 0, 0}, 0, "gamma is 0");
    refuse((struct selection){SELECTION_POISSON, 0, 0, NAN}, 0, "mean is nan");
    refuse((struct selection){SELECTION_POISSON, 0, 0, 0}, 0, "mean is 0");
    refuse((struct selection){(enum selection_law)2, 0, 0, 1}, 0, "law is number 2");
    refuse((struct selection){binomial, 1, 0.5, 0}, 1e-9, "delta of 1e-09");
    ck_assert_int_eq(selection_gamma(1, 1, &gamma, NULL), -PPT_ERANGE);
    ck_assert_int_eq(selection_gamma(1, NAN, &gamma, NULL), -PPT_ERANGE);
    ck_assert(gamma == 42);
}
END_TEST

START_TEST(clipping_and_gradients_share_the_noise)
{
    const double steps[] = {0.3, 1.1, 20}, counts[] = {0.16, 3, 500};
    double noise = 42;
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            int rc = split_gradient_noise(steps[i], counts[j], &noise, NULL);
            if (steps[i] >= 2 * counts[j]) {
                ck_assert_int_eq(rc, -PPT_ERANGE);
                continue;
            }
            ck_assert_int_eq(rc, 0);
            double both =
                1 / sqrt(1 / (noise * noise) + 1 / (4 * counts[j] * counts[j]));
            ck_assert_double_ge(noise, steps[i]);
            ck_assert_double_eq_tol(both / steps[i], 1, 1e-12);
        }
    noise = 42;
    ck_assert_int_eq(split_gradient_noise(NAN, 1, &noise, NULL), -PPT_ERANGE);
    ck_assert_int_eq(split_gradient_noise(1, 0, &noise, NULL), -PPT_ERANGE);
    ck_assert_int_eq(split_gradient_noise(2, 1, &noise, NULL), -PPT_ERANGE);
    ck_assert(noise == 42);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("selection");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, agrees_with_another_accountant);
    tcase_add_test(tcase, bounds_enumerated_tunings);
    tcase_add_test(tcase, means_are_those_of_the_law);
    tcase_add_test(tcase, nonsense_is_refused);
    tcase_add_test(tcase, clipping_and_gradients_share_the_noise);
    Suite *suite = suite_create("selection");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
