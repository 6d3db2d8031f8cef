/* The accountants side by side, and mechanisms as people write them. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "jobs/privacy/accountant.h"
#include "jobs/privacy/notation.h"
#include "tests/unit/privacy/rows.h"

static struct renyi_release release(const char *text)
{
    struct notation n;
    struct error err = {0};
    ck_assert_msg(notation_parse(text, &n, &err) == 0, "%s: %s", text, err.text);
    return n.release;
}

static double ask(enum accountant_kind kind, const struct renyi_release *plan, int n,
                  double delta)
{
    struct error err = {0};
    double epsilon = NAN;
    int rc = accountant_epsilon(kind, plan, n, delta, &epsilon, NULL, &err);
    ck_assert_msg(rc == 0, "%s: %s", accountant_name(kind), err.text);
    return epsilon;
}

START_TEST(they_agree_where_they_must)
{
    /* the tighter is never the larger, by more than the grid's own spacing */
    const char *const plans[][2] = {
        {"subsampled-gaussian:noise_multiplier=1.1,sample_rate=0.01,count=2000", NULL},
        {"laplace:scale=20,count=50", NULL},
        {"laplace:scale=4,sample_rate=0.1,count=100", NULL},
        {"discrete-gaussian:scale=6,sensitivity=2,count=8", NULL},
        {"discrete-laplace:scale=30,sensitivity=3,count=40", NULL},
        {"randomised-response:flip=0.8,categories=5,count=30", NULL},
        {"noisy-max:scale=20,count=40", NULL},
        {"sparse-vector:threshold_scale=20,query_scale=80,cutoff=3,count=20", NULL},
        {"gaussian:noise_multiplier=9,count=5", "laplace:scale=30,count=9"},
    };
    for (size_t i = 0; i < sizeof plans / sizeof *plans; i++) {
        struct renyi_release plan[2];
        int n = 0;
        for (; n < 2 && plans[i][n] != NULL; n++)
            plan[n] = release(plans[i][n]);
        double rdp = ask(ACCOUNTANT_RDP, plan, n, 1e-6);
        double pld = ask(ACCOUNTANT_PLD, plan, n, 1e-6);
        double ledger = ask(ACCOUNTANT_LEDGER, plan, n, 1e-6);
        ck_assert_msg(pld <= rdp * (1 + 1e-3), "%s: %g %g", plans[i][0], pld, rdp);
        ck_assert_msg(pld >= rdp * 0.7, "%s: %g %g", plans[i][0], pld, rdp);
        ck_assert_msg(rdp <= ledger * (1 + 1e-9), "%s: %g", plans[i][0], ledger);
    }
}
END_TEST

START_TEST(gdp_is_the_exact_gaussian)
{
    struct renyi_release plan[2] = {release("gaussian:noise_multiplier=3,count=2"),
                                    release("gaussian:noise_multiplier=6,count=4")};
    struct renyi_release one = release("gaussian:noise_multiplier=1.7320508075688772");
    /* 2/9 + 4/36 = 1/3 */
    double gdp = ask(ACCOUNTANT_GDP, plan, 2, 1e-7);
    ck_assert_double_eq_tol(gdp / ask(ACCOUNTANT_GDP, &one, 1, 1e-7), 1, 1e-9);
    ck_assert_double_eq_tol(ask(ACCOUNTANT_PLD, plan, 2, 1e-7) / gdp, 1, 1e-3);
    ck_assert_double_lt(gdp, ask(ACCOUNTANT_RDP, plan, 2, 1e-7));
}
END_TEST

START_TEST(goldens_of_mixed_plans)
{
    struct renyi_release mix[2] = {release("laplace:scale=1,count=3"),
                                   release("laplace:scale=2,count=2")};
    double epsilon = ask(ACCOUNTANT_PLD, mix, 2, 1e-14);
    struct golden row = rows_get("G180");
    ck_assert(epsilon >= row.low && epsilon <= row.high);
    struct renyi_release rare = release("laplace:scale=0.5,sample_rate=0.2,count=3");
    epsilon = ask(ACCOUNTANT_PLD, &rare, 1, 1e-14);
    row = rows_get("G181");
    ck_assert(epsilon >= row.low && epsilon <= row.high);
    /* the Laplace scale for ten answers of sensitivity 21 at (3, 0), which
     * delta 1e-12 stands for; and for twenty at (1, 1e-4) */
    struct renyi_release ten = release("laplace:scale=1,count=10");
    struct renyi_release twenty = release("laplace:scale=1,count=20");
    int n;
    const struct mechanism_parameter *p = mechanism_parameters(MECHANISM_LAPLACE, &n);
    double scale;
    ck_assert_int_eq(calibrate_parameter(accountant_price(ACCOUNTANT_RDP), &ten, 1, 0,
                                         p, 3, 1e-30, &scale, NULL),
                     0);
    row = rows_get("G192");
    ck_assert(row.sensitivity * scale >= row.low &&
              row.sensitivity * scale <= row.high);
    ck_assert_int_eq(calibrate_parameter(accountant_price(ACCOUNTANT_PLD), &twenty, 1,
                                         0, p, 1, 1e-4, &scale, NULL),
                     0);
    row = rows_get("G193");
    ck_assert(scale >= row.low && scale <= row.high);
}
END_TEST

static void refuse(enum accountant_kind kind, const char *text, const char *expected)
{
    struct renyi_release plan = release(text);
    struct error err = {0};
    double epsilon = 42;
    ck_assert_int_eq(accountant_epsilon(kind, &plan, 1, 1e-6, &epsilon, NULL, &err),
                     -PPT_ERANGE);
    ck_assert_msg(strstr(err.text, expected) != NULL, "'%s' lacks '%s'", err.text,
                  expected);
    ck_assert(epsilon == 42);
}

START_TEST(what_has_no_bound_is_refused)
{
    refuse(ACCOUNTANT_PLD, "skellam:variance=9", "pld has no bound for skellam");
    refuse(ACCOUNTANT_PLD,
           "gaussian:noise_multiplier=2,sampling=without_replacement,sample_rate=0.1",
           "sampled without replacement");
    refuse(ACCOUNTANT_PLD, "discrete-gaussian:scale=9,sensitivity=1.5",
           "no whole number");
    refuse(ACCOUNTANT_GDP, "laplace:scale=9", "gdp has no bound for laplace");
    refuse(ACCOUNTANT_GDP, "subsampled-gaussian:noise_multiplier=2,sample_rate=0.1",
           "only for gaussian noise on all the data");
    for (int kind = 0; kind < ACCOUNTANT_N; kind++) {
        refuse((enum accountant_kind)kind, "gaussian:noise_multiplier=-1",
               "noise_multiplier is -1");
        refuse((enum accountant_kind)kind, "gaussian:noise_multiplier=1,count=1e18",
               "count of gaussian is 1000000000000000000");
    }
}
END_TEST

START_TEST(names_go_both_ways)
{
    for (int i = 0; i < ACCOUNTANT_N; i++)
        ck_assert_int_eq(accountant_from_name(accountant_name((enum accountant_kind)i)),
                         i);
    ck_assert_int_eq(accountant_from_name("all"), -1);
    ck_assert_int_eq(accountant_from_name(NULL), -1);
}
END_TEST

START_TEST(words_become_mechanisms)
{
    struct notation n;
    ck_assert_int_eq(
        notation_parse("skellam:variance=2.5,sensitivity=2,sensitivity_l1=4,count=1e6",
                       &n, NULL),
        0);
    ck_assert_int_eq(n.release.mechanism.kind, MECHANISM_SKELLAM);
    ck_assert(n.release.mechanism.variance == 2.5);
    ck_assert(n.release.mechanism.sensitivity_l1 == 4);
    ck_assert_int_eq(n.release.count, 1000000);
    ck_assert(n.unknown == NULL && notation_missing(&n) == NULL);
    ck_assert_int_eq(n.release.mechanism.sampling, SAMPLING_NONE);

    ck_assert_int_eq(notation_parse("laplace:sample_rate=0.5", &n, NULL), 0);
    ck_assert_int_eq(n.release.mechanism.sampling, SAMPLING_POISSON);
    ck_assert_str_eq(notation_missing(&n)->name, "scale");

    ck_assert_int_eq(
        notation_parse("laplace:scale=?,sampling=without_replacement", &n, NULL), 0);
    ck_assert_int_eq(n.release.mechanism.relation, RELATION_REPLACE_ONE);
    ck_assert_str_eq(n.unknown->name, "scale");
    ck_assert(notation_missing(&n) == NULL);

    ck_assert_int_eq(notation_parse("gaussian:relation=replace_one,count=?", &n, NULL),
                     0);
    ck_assert_int_eq(n.release.mechanism.relation, RELATION_REPLACE_ONE);
    ck_assert(n.is_count_unknown);
}
END_TEST

static void misread(const char *text, const char *expected, const char *hint)
{
    struct notation n = {.has_rate = true};
    struct error err = {0};
    ck_assert_int_eq(notation_parse(text, &n, &err), -PPT_EUSAGE);
    ck_assert_msg(strstr(err.text, expected) != NULL, "'%s' lacks '%s'", err.text,
                  expected);
    ck_assert_msg(strstr(err.hint, hint) != NULL, "'%s' lacks '%s'", err.hint, hint);
    ck_assert(n.has_rate);
}

START_TEST(what_is_misspelt_is_named)
{
    char long_text[600] = "laplace:scale=";
    memset(long_text + strlen(long_text), '1', 560);
    misread("laplacian", "unknown mechanism 'laplacian'", "there are gaussian, ");
    misread("balls-in-bin", "unknown mechanism", "balls-in-bins");
    misread("laplace:sclae=2", "laplace has no parameter 'sclae'", "it has scale, ");
    misread("laplace:scale", "'scale' is not KEY=VALUE", "");
    misread("laplace:", "'' is not KEY=VALUE", "");
    misread("laplace:scale=two", "scale: 'two' is not a number", "");
    misread("laplace:scale=nan", "'nan' is not a number", "");
    misread("laplace:scale=?,sample_rate=?", "more than one value is ?", "");
    misread("laplace:scale=?,count=?", "more than one value is ?", "");
    misread("skellam:sensitivity=?", "sensitivity cannot be looked for", "");
    misread("laplace:scale=2,count=1.5", "count: '1.5' is not a whole number", "");
    misread("laplace:scale=2,sampling=shuffled", "unknown sampling 'shuffled'",
            "poisson");
    misread("laplace:scale=2,relation=none", "unknown relation 'none'", "replace_one");
    misread(long_text, "longer than 511 letters", "");
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("accountant");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, they_agree_where_they_must);
    tcase_add_test(tcase, gdp_is_the_exact_gaussian);
    tcase_add_test(tcase, goldens_of_mixed_plans);
    tcase_add_test(tcase, what_has_no_bound_is_refused);
    tcase_add_test(tcase, names_go_both_ways);
    tcase_add_test(tcase, words_become_mechanisms);
    tcase_add_test(tcase, what_is_misspelt_is_named);
    Suite *suite = suite_create("accountant");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
