/* Every mechanism's curve against sums and quadratures that share nothing with it. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "jobs/privacy/divergence.h"
#include "jobs/privacy/mechanism.h"

/* Of a closed form, relative; a sampled one raises closed forms to powers. */
#define TOLERANCE 4e-11
#define TOLERANCE_SAMPLED 1e-9
/* A curve of the whole grid; the time of five attempts' best. */
#define CURVE_MAX_S 0.005

#define N_CASES (MECHANISM_N_KINDS + 3)

/* One of each kind, and the samplings. */
static int cases(struct mechanism ret_cases[N_CASES])
{
    for (int i = 0; i < MECHANISM_N_KINDS; i++) {
        struct mechanism *m = &ret_cases[i];
        int n;
        *m = mechanism_default((enum mechanism_kind)i);
        const struct mechanism_parameter *rows = mechanism_parameters(m->kind, &n);
        for (int j = 0; j < n; j++)
            if (isnan(rows[j].otherwise))
                *mechanism_value(m, &rows[j]) = strcmp(rows[j].name, "flip") == 0 ? 0.5
                                                : rows[j].is_whole                ? 3
                                                                                  : 2.5;
    }
    ret_cases[MECHANISM_SUBSAMPLED_GAUSSIAN].sample_rate = 0.02;
    int n = MECHANISM_N_KINDS;
    ret_cases[n] = ret_cases[MECHANISM_LAPLACE];
    ret_cases[n].sampling = SAMPLING_POISSON;
    ret_cases[n++].sample_rate = 0.1;
    ret_cases[n] = ret_cases[MECHANISM_SKELLAM];
    ret_cases[n].sampling = SAMPLING_POISSON;
    ret_cases[n++].sample_rate = 0.1;
    ret_cases[n] = ret_cases[MECHANISM_GAUSSIAN];
    ret_cases[n].sampling = SAMPLING_WITHOUT_REPLACEMENT;
    ret_cases[n].relation = RELATION_REPLACE_ONE;
    ret_cases[n++].sample_rate = 0.1;
    return n;
}

/* "laplace sampling=poisson sample_rate=0.1 scale=2" */
static struct mechanism read_mechanism(char *text)
{
    char *word = strtok(text, " ");
    int kind = mechanism_from_name(word);
    ck_assert_msg(kind >= 0, "%s", word);
    struct mechanism m = mechanism_default((enum mechanism_kind)kind);
    while ((word = strtok(NULL, " ")) != NULL) {
        char *value = strchr(word, '=');
        *value++ = '\0';
        int n, found = 0;
        const struct mechanism_parameter *rows = mechanism_parameters(m.kind, &n);
        if (strcmp(word, "sampling") == 0) {
            m.sampling = (enum mechanism_sampling)mechanism_sampling_from_name(value);
            if (m.sampling == SAMPLING_WITHOUT_REPLACEMENT)
                m.relation = RELATION_REPLACE_ONE;
            continue;
        }
        if (strcmp(word, "sample_rate") == 0) {
            m.sample_rate = strtod(value, NULL);
            continue;
        }
        for (int i = 0; i < n; i++)
            if (strcmp(rows[i].name, word) == 0) {
                *mechanism_value(&m, &rows[i]) = strtod(value, NULL);
                found = 1;
            }
        ck_assert_msg(found, "%s", word);
    }
    return m;
}

START_TEST(agrees_with_enumeration)
{
    char path[4096], line[512];
    int n_exact = 0, n_bounds = 0;
    snprintf(path, sizeof path, "%s/tests/vectors/divergences.csv",
             getenv("PPT_SOURCE_DIR"));
    FILE *file = fopen(path, "r");
    ck_assert_msg(file != NULL, "%s", path);
    while (fgets(line, sizeof line, file) != NULL) {
        char text[256], kind[16];
        double alpha, truth, rho;
        if (sscanf(line, "%255[^;#];%lf;%lf;%15s", text, &alpha, &truth, kind) != 4)
            continue;
        struct mechanism m = read_mechanism(text);
        ck_assert_int_eq(mechanism_check(&m, NULL), 0);
        mechanism_rho(&m, &alpha, 1, &rho);
        /* a truth of 0 is met by 0 */
        ck_assert_msg(rho >= truth * (1 + 1e-15), "got %.17g, below %s", rho, line);
        if (strcmp(kind, "exact") == 0) {
            double room = m.sample_rate < 1 ? TOLERANCE_SAMPLED : TOLERANCE;
            ck_assert_msg(rho <= truth * (1 + room), "got %.17g: %s", rho, line);
            n_exact++;
        } else {
            n_bounds++;
        }
    }
    fclose(file);
    ck_assert_int_eq(n_exact, 158);
    ck_assert_int_eq(n_bounds, 121);
}
END_TEST

START_TEST(grows_with_the_order_and_never_past_the_largest_loss)
{
    struct mechanism all[N_CASES];
    int n = cases(all);
    for (int i = 0; i < n; i++) {
        struct curve curve;
        struct error err = {0};
        int rc = mechanism_curve(&all[i], UNIT_USER, &curve, &err);
        ck_assert_msg(rc == 0, "%d: %s", i, err.text);
        ck_assert_int_eq(curve.unit, UNIT_USER);
        ck_assert_int_eq(curve.relation, all[i].relation);
        double loss = mechanism_pure_epsilon(&all[i]);
        for (int j = 0; j < COST_N_ORDERS; j++) {
            const char *name = mechanism_name(all[i].kind);
            if (all[i].sampling != SAMPLING_WITHOUT_REPLACEMENT)
                ck_assert_msg(curve.rho[j] <= loss * (1 + 1e-10), "%s at %g", name,
                              cost_orders[j]);
            ck_assert_msg(j == 0 || curve.rho[j] >= curve.rho[j - 1] * (1 - 1e-10),
                          "%s at %g", name, cost_orders[j]);
        }
    }
}
END_TEST

/* The worst pair that there is with that loss, summed up term by term. */
START_TEST(pure_is_randomised_response)
{
    const double losses[] = {0.01, 0.5, 2, 8}, alphas[] = {1.25, 2, 7.5, 64};
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            struct mechanism m = mechanism_default(MECHANISM_PURE);
            m.epsilon = losses[i];
            double a = alphas[j], p = 1 / (1 + exp(-losses[i])), q = 1 - p, rho;
            double truth =
                log(pow(p, a) * pow(q, 1 - a) + pow(q, a) * pow(p, 1 - a)) / (a - 1);
            ck_assert_int_eq(mechanism_check(&m, NULL), 0);
            mechanism_rho(&m, &a, 1, &rho);
            ck_assert_double_ge(rho, truth * (1 - 1e-9));
            ck_assert_double_le(rho, truth * (1 + 1e-9));
            ck_assert_double_ge(mechanism_pure_epsilon(&m), losses[i]);
        }
}
END_TEST

START_TEST(sampling_never_costs)
{
    struct mechanism all[N_CASES];
    cases(all);
    for (int i = 0; i < MECHANISM_N_KINDS; i++)
        for (int sampling = SAMPLING_POISSON; sampling < SAMPLING_N; sampling++) {
            struct mechanism whole = all[i], sampled = all[i];
            if (i == MECHANISM_SUBSAMPLED_GAUSSIAN ||
                i == MECHANISM_RANDOM_ALLOCATION ||
                (i == MECHANISM_RANDOMISED_RESPONSE && sampling == SAMPLING_POISSON))
                continue;
            sampled.sampling = (enum mechanism_sampling)sampling;
            sampled.relation = sampling == SAMPLING_POISSON ? RELATION_ADD_REMOVE
                                                            : RELATION_REPLACE_ONE;
            double most[COST_N_ORDERS], rare[COST_N_ORDERS], often[COST_N_ORDERS];
            mechanism_rho(&whole, cost_orders, COST_N_ORDERS, most);
            sampled.sample_rate = 0.01;
            mechanism_rho(&sampled, cost_orders, COST_N_ORDERS, rare);
            sampled.sample_rate = 0.3;
            mechanism_rho(&sampled, cost_orders, COST_N_ORDERS, often);
            for (int j = 0; j < COST_N_ORDERS; j++) {
                ck_assert_msg(rare[j] <= often[j] && often[j] <= most[j] * (1 + 1e-9),
                              "%s at %g: %g %g %g", mechanism_name(whole.kind),
                              cost_orders[j], rare[j], often[j], most[j]);
            }
            ck_assert_double_lt(rare[20], most[20] / 20); /* and it does help */
        }
}
END_TEST

START_TEST(the_general_poisson_bound_meets_the_exact_gaussian)
{
    /* a discrete Gaussian has the Gaussian's curve, so goes the general way */
    struct mechanism exact = mechanism_default(MECHANISM_SUBSAMPLED_GAUSSIAN);
    struct mechanism general = mechanism_default(MECHANISM_DISCRETE_GAUSSIAN);
    general.sampling = SAMPLING_POISSON;
    const double noises[] = {0.6, 1, 4, 50}, rates[] = {1e-5, 0.01, 0.3};
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 3; j++) {
            double e[COST_N_ORDERS], g[COST_N_ORDERS];
            exact.noise_multiplier = general.scale = noises[i];
            exact.sample_rate = general.sample_rate = rates[j];
            mechanism_rho(&exact, cost_orders, COST_N_ORDERS, e);
            mechanism_rho(&general, cost_orders, COST_N_ORDERS, g);
            for (int k = 0; k < COST_N_ORDERS; k++) {
                bool is_whole = cost_orders[k] == floor(cost_orders[k]);
                /* where adding is what the bound cannot exclude, it is looser */
                bool is_easy = rates[j] * cost_orders[k] < 0.1;
                ck_assert_msg(g[k] >= e[k] * (1 - 2e-10), "%g %g %g", noises[i],
                              rates[j], cost_orders[k]);
                if (is_whole && is_easy)
                    ck_assert_msg(g[k] <= e[k] * 1.06, "%g %g %g: %g", noises[i],
                                  rates[j], cost_orders[k], g[k] / e[k]);
            }
        }
}
END_TEST

/* The theorem's sum with its forward differences taken at 1600 digits (mpmath), where
 * their cancelling terms cost nothing. dp_accounting 0.6.0 loses a factor of up to 18
 * to them, and 2e4 above order 256. */
START_TEST(without_replacement_is_its_theorem)
{
    const struct {
        double noise, rate, alpha, rho;
    } rows[] = {
        {0.8, 0.01, 2, 0.0009536917278349676}, {0.8, 0.01, 8, 1.088125421784745},
        {2, 0.1, 5, 0.03126281359256078},      {2, 0.1, 16, 0.1126360353771097},
        {2, 0.0001, 32, 1.820650699892199e-7}, {10, 0.05, 32, 0.001714888215657962},
        {10, 0.3, 64, 0.05908353484493691},    {60, 0.2, 128, 0.003024290703194786},
        {500, 0.1, 200, 1.634558520338749e-5}, {500, 0.001, 512, 4.098417120361926e-9},
        {1, 1e-5, 256, 116.4446440319537},     {3, 0.02, 4.5, 0.0004352911889850581},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct mechanism m = mechanism_default(MECHANISM_GAUSSIAN);
        m.noise_multiplier = rows[i].noise;
        m.sample_rate = rows[i].rate;
        m.sampling = SAMPLING_WITHOUT_REPLACEMENT;
        m.relation = RELATION_REPLACE_ONE;
        double rho;
        mechanism_rho(&m, &rows[i].alpha, 1, &rho);
        ck_assert_msg(fabs(rho / rows[i].rho - 1) < TOLERANCE_SAMPLED,
                      "%g %g %g: %.12g, not %.12g", m.noise_multiplier, m.sample_rate,
                      rows[i].alpha, rho, rows[i].rho);
    }
}
END_TEST

START_TEST(a_record_put_in_is_paid_for)
{
    /* where the bound for adding is the larger: at order 2, with z = q (1 - e^-loss),
     * (1/(1-z) - 1 - z) / (1 - e^-loss)^2 times the chi-square of the whole */
    struct mechanism m = mechanism_default(MECHANISM_LAPLACE);
    double alpha = 2, whole, rho, q = 0.01, far = 1 - exp(-2), z = q * far;
    m.scale = 0.5;
    mechanism_rho(&m, &alpha, 1, &whole);
    m.sampling = SAMPLING_POISSON;
    m.sample_rate = q;
    mechanism_rho(&m, &alpha, 1, &rho);
    double removing = log(1 + q * q * (exp(whole) - 1));
    double adding = log(1 + (1 / (1 - z) - 1 - z) / (far * far) * (exp(whole) - 1));
    ck_assert_double_gt(adding, removing * 1.008);
    ck_assert_double_eq_tol(rho / adding, 1, 1e-8);
}
END_TEST

START_TEST(skellam_is_its_theorem)
{
    /* Theorem 3.5 by hand: both arms of its minimum, and two sensitivities */
    ck_assert_double_eq_tol(divergence_skellam(2, 4, 1, 1), 0.25 + 9.0 / 64, 1e-10);
    ck_assert_double_eq_tol(divergence_skellam(64, 4, 1, 1), 8 + 3.0 / 8, 1e-9);
    ck_assert_double_eq_tol(divergence_skellam(3, 100, 8, 2),
                            12.0 / 200 + (20.0 + 48) / 40000, 1e-10);
    /* halfway between orders 4 and 5, by the mean of 3 D_4 and 4 D_5 */
    double d4 = divergence_skellam(4, 9, 1, 1), d5 = divergence_skellam(5, 9, 1, 1);
    ck_assert_double_eq_tol(divergence_skellam(4.5, 9, 1, 1), (3 * d4 + 4 * d5) / 7,
                            1e-10);
    ck_assert_double_eq_tol(divergence_skellam(1.5, 9, 1, 1),
                            divergence_skellam(2, 9, 1, 1), 1e-10);
}
END_TEST

static void refuse(struct mechanism m, const char *text)
{
    struct curve curve = {.delta = 42};
    struct error err = {0};
    ck_assert_int_eq(mechanism_curve(&m, UNIT_EXAMPLE, &curve, &err), -PPT_ERANGE);
    ck_assert_msg(strstr(err.text, text) != NULL, "'%s' lacks '%s'", err.text, text);
    ck_assert(curve.delta == 42);
}

START_TEST(every_parameter_has_its_range)
{
    struct mechanism all[N_CASES];
    cases(all);
    for (int i = 0; i < MECHANISM_N_KINDS; i++) {
        int n;
        const struct mechanism_parameter *rows =
            mechanism_parameters((enum mechanism_kind)i, &n);
        for (int j = 0; j < n; j++) {
            const double wrong[] = {NAN, -1, INFINITY, rows[j].low / 2 - 1e-12,
                                    rows[j].high * 2};
            for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++) {
                struct mechanism m = all[i];
                *mechanism_value(&m, &rows[j]) = wrong[k];
                refuse(m, rows[j].name);
            }
            struct mechanism m = all[i];
            *mechanism_value(&m, &rows[j]) = rows[j].low + 0.5;
            if (rows[j].is_whole)
                refuse(m, "expected a whole number");
        }
    }
}
END_TEST

START_TEST(samplings_and_relations_that_do_not_go_together)
{
    struct mechanism laplace = mechanism_default(MECHANISM_LAPLACE);
    laplace.scale = 2;
    struct mechanism m = laplace;
    m.sample_rate = 0.1;
    refuse(m, "sample_rate is 0.1, expected 1 for the laplace mechanism");
    m.sampling = SAMPLING_WITHOUT_REPLACEMENT;
    refuse(m, "relation is add_remove, expected replace_one");
    m.sampling = SAMPLING_POISSON;
    m.relation = RELATION_REPLACE_ONE;
    refuse(m, "relation is replace_one, expected add_remove");
    m.relation = RELATION_N;
    refuse(m, "relation is number");
    m = laplace;
    m.sampling = SAMPLING_N;
    refuse(m, "sampling is number");
    m = mechanism_default(MECHANISM_RANDOMISED_RESPONSE);
    m.flip = 0.5;
    m.relation = RELATION_ADD_REMOVE;
    refuse(m, "it hides an answer");
    m = mechanism_default(MECHANISM_SKELLAM);
    m.variance = 4;
    m.sensitivity = 3;
    refuse(m, "L1 is never below L2");
    m = mechanism_default(MECHANISM_DISCRETE_GAUSSIAN);
    m.scale = 1;
    m.sensitivity = 1e3;
    refuse(m, "scale over sensitivity is 0.001");
}
END_TEST

START_TEST(sampling_names_go_both_ways)
{
    for (int i = 0; i < SAMPLING_N; i++)
        ck_assert_int_eq(mechanism_sampling_from_name(
                             mechanism_sampling_name((enum mechanism_sampling)i)),
                         i);
    ck_assert_int_eq(mechanism_sampling_from_name("shuffled"), -1);
}
END_TEST

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void expect_fast(const struct mechanism *m)
{
    double best_s = INFINITY;
    for (int i = 0; i < 5; i++) {
        double rho[COST_N_ORDERS], start_s = now_s();
        mechanism_rho(m, cost_orders, COST_N_ORDERS, rho);
        best_s = fmin(best_s, now_s() - start_s);
    }
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    best_s /= 10; /* an instrumented build is not what is timed */
#endif
    ck_assert_msg(best_s <= CURVE_MAX_S, "%s: %g s", mechanism_name(m->kind), best_s);
}

START_TEST(every_curve_is_fast)
{
    struct mechanism all[N_CASES];
    int n = cases(all);
    for (int i = 0; i < n; i++)
        expect_fast(&all[i]);
    const double rates[] = {0x1p-53, 1e-9, 1e-3, 0.5, 1};
    for (int i = 0; i < 5; i++) {
        struct mechanism m = all[MECHANISM_SUBSAMPLED_GAUSSIAN];
        m.noise_multiplier = 0.05;
        m.sample_rate = rates[i];
        expect_fast(&m);
    }
    struct mechanism m = all[n - 1];
    m.noise_multiplier = 1e4;
    expect_fast(&m);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("mechanism");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, agrees_with_enumeration);
    tcase_add_test(tcase, grows_with_the_order_and_never_past_the_largest_loss);
    tcase_add_test(tcase, pure_is_randomised_response);
    tcase_add_test(tcase, sampling_never_costs);
    tcase_add_test(tcase, the_general_poisson_bound_meets_the_exact_gaussian);
    tcase_add_test(tcase, without_replacement_is_its_theorem);
    tcase_add_test(tcase, a_record_put_in_is_paid_for);
    tcase_add_test(tcase, skellam_is_its_theorem);
    tcase_add_test(tcase, every_parameter_has_its_range);
    tcase_add_test(tcase, samplings_and_relations_that_do_not_go_together);
    tcase_add_test(tcase, sampling_names_go_both_ways);
    tcase_add_test(tcase, every_curve_is_fast);
    Suite *suite = suite_create("mechanism");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
