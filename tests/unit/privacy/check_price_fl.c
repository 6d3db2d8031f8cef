/* The price of a federation: rounds and passes over users, whoever adds the noise, and
 * federations that have none. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/manifest.h"
#include "jobs/privacy/correlation.h"
#include "jobs/privacy/price.h"
#include "jobs/privacy/price_split.h"
#include "jobs/privacy/renyi.h"
#include "jobs/spec/spec.h"
#include "tests/unit/privacy/price_fixture.h"

static struct spec federation(void)
{
    struct spec s = spec();
    s.kind = JOB_FL;
    s.privacy.unit = UNIT_USER;
    s.federation = (struct spec_federation){
        .rounds = 200, .partition = PARTITION_USERS, .cohort = 600};
    return s;
}

/* A round is priced as a step of a dp job whose records are the users. */
START_TEST(a_round_is_a_step_over_users)
{
    struct spec s = federation(), dp = spec();
    struct manifest m = manifest(), examples = m;
    m.unit = UNIT_USER;
    struct price price = price_of(&s, &m);
    dp.training.epochs = 0;
    dp.training.steps = 200;
    dp.training.batch_size = 600;
    struct price step = price_of(&dp, &examples);
    ck_assert_str_eq(price.releases[0].name, "round");
    ck_assert_int_eq(price.n_releases, 1);
    ck_assert_int_eq(price.n_steps, 200);
    ck_assert_int_eq(price.releases[0].count, 200);
    ck_assert_int_eq(price.unit, UNIT_USER);
    ck_assert_int_eq(price.cost.unit, UNIT_USER);
    ck_assert(price.sample_rate >= 0.01 && price.sample_rate < 0.01 + 0x1p-52);
    ck_assert(price.noise_multiplier == step.noise_multiplier);
    ck_assert(price.epsilon == step.epsilon && price.epsilon <= 3);
    ck_assert_mem_eq(price.cost.rho, step.cost.rho, sizeof step.cost.rho);
}
END_TEST

/* Noise by the clients: Gaussian kinds cost what the server's noise does, Skellam noise
 * some per cent more: its bound is known at whole orders only, which a sample feels.
 * Both meet the target. */
START_TEST(noise_by_clients_is_priced_as_such)
{
    struct spec s = federation();
    struct manifest m = manifest();
    m.unit = UNIT_USER;
    struct price server = price_of(&s, &m);
    s.federation.aggregation = AGGREGATION_SECAGG;
    s.federation.noise = (struct spec_noise){
        .by = NOISE_BY_CLIENTS, .kind = NOISE_DISCRETE_GAUSSIAN, .min_survivors = 300};
    struct price gaussian = price_of(&s, &m);
    ck_assert(gaussian.noise_multiplier == server.noise_multiplier);
    ck_assert_mem_eq(gaussian.cost.rho, server.cost.rho, sizeof server.cost.rho);
    s.federation.noise.kind = NOISE_SKELLAM;
    struct price skellam = price_of(&s, &m);
    const struct mechanism *round = &skellam.releases[0].mechanism;
    ck_assert_int_eq(round->kind, MECHANISM_SKELLAM);
    ck_assert_int_eq(round->sampling, SAMPLING_POISSON);
    ck_assert_double_eq_tol(sqrt(round->variance) / 256, skellam.noise_multiplier,
                            1e-12);
    ck_assert(skellam.epsilon <= s.privacy.epsilon);
    ck_assert_double_gt(skellam.epsilon, 0.9999 * s.privacy.epsilon);
    ck_assert_double_ge(skellam.noise_multiplier, server.noise_multiplier);
    ck_assert_double_lt(skellam.noise_multiplier, 1.03 * server.noise_multiplier);
    s.privacy.noise_multiplier = server.noise_multiplier;
    skellam = price_of(&s, &m);
    ck_assert_double_gt(skellam.epsilon, server.epsilon);
    ck_assert_double_lt(skellam.epsilon, 1.05 * server.epsilon);
}
END_TEST

/* With several records a user the rate is over users, and nothing that samples records
 * has a price. */
START_TEST(users_of_several_records)
{
    struct spec s = federation(), one = federation(), dp = spec();
    struct manifest m = manifest(), few = manifest();
    m.unit = few.unit = UNIT_USER;
    m.splits[0].nominal_users = few.splits[0].nominal_count = 3000;
    s.federation.cohort = one.federation.cohort = 60;
    struct price price = price_of(&s, &m), same = price_of(&one, &few);
    ck_assert(price.sample_rate == same.sample_rate);
    ck_assert_double_eq_tol(price.sample_rate, 0.02, 1e-15);
    ck_assert_mem_eq(price.cost.rho, same.cost.rho, sizeof same.cost.rho);
    s.federation.weighting = WEIGHTING_EXAMPLES;
    s.federation.max_weight = 30;
    struct price weighted = price_of(&s, &m);
    ck_assert_mem_eq(weighted.cost.rho, price.cost.rho, sizeof price.cost.rho);
    s.federation.consent.is_asked = one.federation.consent.is_asked = true;
    weighted = price_of(&s, &m);
    ck_assert_mem_eq(weighted.cost.rho, price.cost.rho, sizeof price.cost.rho);
    expect(&one, &few, PPT_ESPEC, "does not say whose its records are");
    s.federation.cohort = 3001;
    expect(&s, &m, PPT_ERANGE, "expected a number in [1, 3000]");
    dp.privacy.unit = UNIT_USER;
    expect(&dp, &m, PPT_ESPEC, "kind 'dp' would price the records of 'train'");
    s = federation();
    strcpy(s.dataset.train, "test");
    m.splits[1].nominal_count = 10000;
    expect(&s, &m, PPT_ESPEC, "split 'test' does not say whose they are");
    s.privacy = (struct spec_privacy){.is_private = false};
    ck_assert(!price_of(&s, &m).is_private);
}
END_TEST

/* Users in a fixed order: a pass is one Gaussian, the last one may be begun only. */
START_TEST(users_in_a_fixed_order)
{
    struct manifest m = manifest();
    struct spec s = federation();
    m.unit = UNIT_USER;
    s.federation.selection = SELECTION_FIXED_ORDER;
    s.federation.bands = 8;
    s.federation.cohort = 7000; /* of 60,000: passes of nine rounds */
    struct price price = price_of(&s, &m);
    ck_assert_str_eq(price.releases[0].name, "pass");
    ck_assert_int_eq(price.n_bins, 9);
    ck_assert_int_eq(price.n_bands, 8);
    ck_assert_int_eq(price.n_steps, 200);
    ck_assert_int_eq(price.releases[0].count, 23);
    ck_assert(price.sample_rate == 1.0 / 9);
    ck_assert(price.unit == UNIT_USER);
    const struct mechanism *pass = &price.releases[0].mechanism;
    ck_assert(pass->kind == MECHANISM_GAUSSIAN && pass->sample_rate == 1);
    ck_assert(pass->noise_multiplier == correlation_priced(price.noise_multiplier, 8));
    double expected = 23 / (pass->noise_multiplier * pass->noise_multiplier);
    ck_assert_double_eq_tol((double)price.cost.mu2 / COST_RHO_PER_NAT, expected, 1e-9);
    s.privacy.clipping.mode = CLIP_QUANTILE;
    expect(&s, &m, PPT_ESPEC, "one clip norm");
    s.privacy.clipping.mode = CLIP_FLAT;
    s.federation.aggregation = AGGREGATION_SECAGG;
    expect(&s, &m, PPT_ESPEC, "for sums in the clear");
}
END_TEST

/* A cohort of a fixed size: a sample without replacement in which a user takes the
 * place of another, so two clip norms are the sensitivity; it meets the target, with
 * more than twice the noise. */
START_TEST(a_fixed_cohort_is_a_sample_without_replacement)
{
    struct manifest m = manifest();
    struct spec s = federation();
    m.unit = UNIT_USER;
    if (_i > 0) {
        s.federation.aggregation = AGGREGATION_SECAGG;
        s.federation.noise = (struct spec_noise){
            .by = NOISE_BY_CLIENTS,
            .kind = _i == 1 ? NOISE_DISCRETE_GAUSSIAN : NOISE_SKELLAM,
            .participants = 600,
            .min_survivors = 500};
    }
    struct price poisson = price_of(&s, &m);
    s.federation.selection = SELECTION_FIXED;
    struct price fixed = price_of(&s, &m);
    const struct mechanism *round = &fixed.releases[0].mechanism;
    ck_assert(round->sampling == SAMPLING_WITHOUT_REPLACEMENT);
    ck_assert(round->relation == RELATION_REPLACE_ONE);
    ck_assert_int_eq(round->kind, _i == 2 ? MECHANISM_SKELLAM : MECHANISM_GAUSSIAN);
    ck_assert_double_eq(2 * round->noise_multiplier, fixed.noise_multiplier);
    ck_assert_double_eq(fixed.sample_rate, poisson.sample_rate);
    ck_assert_double_gt(fixed.noise_multiplier, 2 * poisson.noise_multiplier);
    ck_assert_double_lt(fixed.noise_multiplier, 4 * poisson.noise_multiplier);
    ck_assert_double_le(fixed.epsilon, s.privacy.epsilon);
    ck_assert_double_gt(fixed.epsilon, 0.99 * s.privacy.epsilon);
    ck_assert_int_eq(fixed.cost.relation, RELATION_ADD_REMOVE);
    struct renyi_release release = {*round, 200};
    double epsilon;
    ck_assert_int_eq(renyi_epsilon(&release, 1, s.privacy.delta, &epsilon, NULL, NULL),
                     0);
    ck_assert_double_eq_tol(epsilon, fixed.epsilon, 1e-6);
    s.privacy.noise_multiplier = 3;
    s.privacy.epsilon = 100;
    fixed = price_of(&s, &m);
    ck_assert_double_eq(fixed.noise_multiplier, 3);
    ck_assert_double_eq(fixed.releases[0].mechanism.noise_multiplier, 1.5);
}
END_TEST

static double normal(double x)
{
    return exp(-x * x / 2) * 0.3989422804014327;
}

/* The density at y of the sum of m of these seats, all sets of them alike, and noise.
 */
static double of_seats(const double *value, int n_seats, int m, double y)
{
    double density = 0;
    int n_sets = 0;
    for (int set = 0; set < 1 << n_seats; set++) {
        double sum = 0;
        if (__builtin_popcount((unsigned)set) != m)
            continue;
        for (int i = 0; i < n_seats; i++)
            sum += set >> i & 1 ? value[i] : 0;
        density += normal(y - sum);
        n_sets++;
    }
    return density / n_sets;
}

/* The bound of noise.md, section 5, on all federations of up to 4 seats whose users
 * have -1, 0 or 1: Renyi divergences in both directions, by sums over y. With one clip
 * norm for two some would cost more than their price. */
START_TEST(a_user_in_another_s_place)
{
    enum { LEAST = 3, M = 2, N_ORDERS = 4 };
    const double alphas[N_ORDERS] = {1.25, 2, 3, 5};
    struct mechanism m = {.kind = MECHANISM_GAUSSIAN,
                          .sampling = SAMPLING_WITHOUT_REPLACEMENT,
                          .relation = RELATION_REPLACE_ONE,
                          .noise_multiplier = 0.5,
                          .sample_rate = (double)M / LEAST};
    double priced[N_ORDERS], half[N_ORDERS];
    int n_dearer = 0;
    mechanism_rho(&m, alphas, N_ORDERS, priced);
    m.noise_multiplier = 1;
    mechanism_rho(&m, alphas, N_ORDERS, half);
    for (int code = 0; code < 3 * 81; code++) {
        int n = 1 + code / 81, rest = code % 81; /* users without the one in question */
        double with[4] = {0}, without[4] = {0}, sum[2][N_ORDERS] = {{0}};
        for (int i = 0; i <= n; i++, rest /= 3) {
            with[i] = rest % 3 - 1;
            without[i] = i < n ? with[i] : 0;
        }
        int n_with = n + 1 > LEAST ? n + 1 : LEAST, n_without = n > LEAST ? n : LEAST;
        for (double y = -16; y <= 16; y += 0.02) {
            double p = of_seats(with, n_with, M, y);
            double q = of_seats(without, n_without, M, y);
            for (int a = 0; a < N_ORDERS; a++) {
                sum[0][a] += 0.02 * q * pow(p / q, alphas[a]);
                sum[1][a] += 0.02 * p * pow(q / p, alphas[a]);
            }
        }
        for (int a = 0; a < N_ORDERS; a++) {
            for (int way = 0; way < 2; way++) {
                double found = log(sum[way][a]) / (alphas[a] - 1);
                ck_assert_double_le(found, priced[a] + 1e-6);
                n_dearer += found > half[a] + 1e-6;
            }
        }
    }
    ck_assert_int_gt(n_dearer, 0);
}
END_TEST

/* Where the draw, the clients or the weights are others than the price's, it is not
 * claimed; without privacy they may be. */
START_TEST(other_federations_have_no_price)
{
    const char *text =
        "real users, a Poisson or fixed cohort or a fixed order (dealt with local) and "
        "bounded weights";
    struct manifest m = manifest();
    struct spec s = federation();
    expect(&s, &m, PPT_ESPEC, "privacy.unit is 'user'");
    s.privacy = (struct spec_privacy){.is_private = false};
    expect(&s, &m, PPT_ESPEC, "federation.partition is 'users'");
    m.unit = UNIT_USER;
    for (int fault = 0; fault < 3; fault++) {
        s = federation();
        if (fault == 0) {
            s.federation.partition = PARTITION_IID;
            s.federation.clients = 1000;
        } else if (fault == 1) {
            s.federation.selection = SELECTION_WEIGHTED;
        } else {
            s.federation.weighting = WEIGHTING_EXAMPLES;
        }
        expect(&s, &m, PPT_ESPEC, text);
        s.privacy = (struct spec_privacy){.is_private = false};
        struct price price = price_of(&s, &m);
        ck_assert(!price.is_private);
        ck_assert_int_eq(price.n_steps, 200);
        for (int i = 0; i < COST_N_ORDERS; i++)
            ck_assert_int_eq(price.cost.rho[i], 0);
    }
    s = federation();
    s.federation.cohort = 60001;
    expect(&s, &m, PPT_ERANGE, "federation.cohort is 60001");
    s = federation();
    s.training.evaluation = EVALUATION_PAID;
    s.training.evaluation_noise = 20;
    expect(&s, &m, PPT_ESPEC, "training.evaluation is 'paid'");
}
END_TEST

/* In a federation too, where clients vote: their nominal number says how much noise. */
START_TEST(clients_votes_are_in_the_round)
{
    struct spec s = federation();
    struct manifest m = manifest();
    m.unit = UNIT_USER;
    struct price fixed = price_of(&s, &m);
    s.privacy.clipping =
        (struct spec_clipping){.mode = CLIP_QUANTILE, .quantile = 0.5, .rate = 0.2};
    struct price price = price_of(&s, &m);
    ck_assert_int_eq(price.n_releases, 1);
    ck_assert_double_eq(price.noise_multiplier, fixed.noise_multiplier);
    ck_assert_mem_eq(price.cost.rho, fixed.cost.rho, sizeof fixed.cost.rho);
    double gradients, count;
    s.federation.cohort = 3000;
    ck_assert_int_eq(price_split_noise(&s, &price, &gradients, &count, NULL), 0);
    ck_assert_double_eq(count, 150);
    s.federation.cohort = 1;
    ck_assert_int_eq(price_split_noise(&s, &price, &gradients, &count, NULL), 0);
    ck_assert_double_eq(count, price.noise_multiplier);
    s.privacy.clipping.count_noise = 0.05;
    expect(&s, &m, PPT_ERANGE, "more than half the noise_multiplier");
}
END_TEST

/* Noise by each client for itself: each pass is a release of everybody, by a Gaussian
 * that is not sampled, and as many count as a client takes part in. */
START_TEST(local_noise_is_priced_by_the_pass)
{
    struct spec s = federation();
    struct manifest m = manifest();
    m.unit = UNIT_USER;
    s.federation.cohort = 7000; /* of 60000: a pass has 9 rounds */
    s.federation.rounds = 36;
    s.federation.selection = SELECTION_DEALT;
    s.federation.local = LOCAL_GAUSSIAN;
    struct price price = price_of(&s, &m);
    ck_assert_int_eq(price.n_bins, 9);
    ck_assert_int_eq(price.n_steps, 36);
    ck_assert_int_eq(price.n_releases, 1);
    ck_assert_str_eq(price.releases[0].name, "pass");
    ck_assert_int_eq(price.releases[0].count, 4);
    ck_assert_double_eq_tol(price.sample_rate, 1.0 / 9, 1e-16);
    ck_assert_double_le(price.epsilon, s.privacy.epsilon);
    struct renyi_release same = {{.kind = MECHANISM_GAUSSIAN,
                                  .noise_multiplier = price.noise_multiplier,
                                  .sample_rate = 1},
                                 4};
    double epsilon;
    ck_assert_int_eq(renyi_epsilon(&same, 1, s.privacy.delta, &epsilon, NULL, NULL), 0);
    ck_assert_double_eq_tol(price.epsilon, epsilon, 1e-6 * epsilon);
    ck_assert(price.cost.mu2 > 0);
    struct spec walks = s; /* noise in each of 7 steps, which together cost the same */
    walks.federation.local = LOCAL_STEPS;
    walks.training.steps = 7;
    struct price same_price = price_of(&walks, &m);
    ck_assert(same_price.noise_multiplier == price.noise_multiplier);
    ck_assert_mem_eq(&same_price.cost, &price.cost, sizeof price.cost);
    walks.training.steps = 0;
    walks.training.epochs = 1;
    expect(&walks, &m, PPT_ESPEC, "steps for a number of them");
    /* a central mean over as many rounds is far cheaper */
    struct spec central = federation();
    central.federation.cohort = 7000;
    central.federation.rounds = 36;
    ck_assert_double_lt(price_of(&central, &m).noise_multiplier,
                        price.noise_multiplier);
    s.federation.rounds = 37;
    expect(&s, &m, PPT_ERANGE, "expected a multiple of 9");
    s.federation.rounds = 36;
    for (int fault = 0; fault < 6; fault++) {
        struct spec other = s;
        if (fault == 0)
            other.federation.selection = SELECTION_POISSON;
        else if (fault == 1)
            other.federation.aggregation = AGGREGATION_SECAGG;
        else if (fault == 2)
            other.federation.consent.is_asked = true;
        else if (fault == 3)
            other.privacy.clipping.mode = CLIP_QUANTILE;
        else if (fault == 4)
            other.federation.weighting = WEIGHTING_EXAMPLES;
        else
            other.federation.local = LOCAL_NONE;
        m.splits[0].nominal_users = 60000; /* so that consent can be asked for */
        expect(&other, &m, PPT_ESPEC, "federation");
    }
}
END_TEST

/* A pure epsilon a pass: the largest with which all passes meet the target. */
START_TEST(privunit_is_priced_by_the_pass)
{
    struct spec s = federation();
    struct manifest m = manifest();
    m.unit = UNIT_USER;
    s.federation.cohort = 7000;
    s.federation.rounds = 36;
    s.federation.selection = SELECTION_DEALT;
    s.federation.local = LOCAL_PRIVUNIT;
    struct price price = price_of(&s, &m);
    const struct mechanism *pass = &price.releases[0].mechanism;
    ck_assert_int_eq(pass->kind, MECHANISM_PURE);
    ck_assert(pass->sample_rate == 1);
    ck_assert_int_eq(price.releases[0].count, 4);
    ck_assert_double_le(price.epsilon, s.privacy.epsilon);
    ck_assert_double_gt(price.epsilon, 0.999 * s.privacy.epsilon);
    ck_assert_double_gt(pass->epsilon, 0.9 * s.privacy.epsilon / 4);
    ck_assert_double_lt(pass->epsilon, s.privacy.epsilon);
    for (int i = 0; i < COST_N_ORDERS; i++) { /* four of the worst pair's */
        double a = cost_orders[i], p = 1 / (1 + exp(-pass->epsilon)), q = 1 - p;
        double rho = 4 * log(p * pow(p / q, a - 1) + q * pow(q / p, a - 1)) / (a - 1);
        if (isfinite(rho))
            ck_assert_double_eq_tol((double)price.cost.rho[i] * 0x1p-40, rho,
                                    1e-9 * rho + 0x1p-38);
    }
    struct spec sampled = federation();
    ck_assert(price.cost.mu2 == price_of(&sampled, &m).cost.mu2);
    s.privacy.noise_multiplier = 1;
    s.privacy.epsilon = 0;
    expect(&s, &m, PPT_ESPEC, "privunit for a target epsilon");
    s = federation();
    s.federation.cohort = 60000;
    s.federation.rounds = 1000000;
    s.federation.selection = SELECTION_DEALT;
    s.federation.local = LOCAL_PRIVUNIT;
    expect(&s, &m, PPT_ERANGE, "privunit would have epsilon");
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("price_fl");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_round_is_a_step_over_users);
    tcase_add_test(tcase, noise_by_clients_is_priced_as_such);
    tcase_add_test(tcase, users_of_several_records);
    tcase_add_test(tcase, users_in_a_fixed_order);
    tcase_add_loop_test(tcase, a_fixed_cohort_is_a_sample_without_replacement, 0, 3);
    tcase_add_test(tcase, a_user_in_another_s_place);
    tcase_add_test(tcase, other_federations_have_no_price);
    tcase_add_test(tcase, clients_votes_are_in_the_round);
    tcase_add_test(tcase, local_noise_is_priced_by_the_pass);
    tcase_add_test(tcase, privunit_is_priced_by_the_pass);
    Suite *suite = suite_create("price_fl");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
