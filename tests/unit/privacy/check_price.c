/* The price of a job: rates, steps, noise, releases, and specs that cannot be priced.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/manifest.h"
#include "jobs/privacy/calibrate.h"
#include "jobs/privacy/correlation.h"
#include "jobs/privacy/price.h"
#include "jobs/privacy/price_memo.h"
#include "jobs/privacy/price_split.h"
#include "jobs/spec/spec.h"

static struct manifest manifest(void)
{
    struct manifest m = {.name = "mnist",
                         .unit = UNIT_EXAMPLE,
                         .relation = RELATION_ADD_REMOVE,
                         .n_splits = 2};
    strcpy(m.splits[0].name, "train");
    m.splits[0].nominal_count = 60000;
    strcpy(m.splits[1].name, "test");
    m.splits[1].nominal_count = 10000;
    return m;
}

static struct spec spec(void)
{
    struct spec s = {.kind = JOB_DP};
    strcpy(s.dataset.train, "train");
    strcpy(s.dataset.test, "test");
    s.privacy = (struct spec_privacy){.is_private = true,
                                      .unit = UNIT_EXAMPLE,
                                      .epsilon = 3,
                                      .delta = 1e-6,
                                      .clip_norm = 1};
    s.training = (struct spec_training){
        .epochs = 15, .batch_size = 256, .evaluation = EVALUATION_NONE};
    return s;
}

static struct price price_of(const struct spec *s, const struct manifest *m)
{
    struct price price;
    struct error err = {0};
    int rc = price_job(s, m, &price, &err);
    ck_assert_msg(rc == 0, "%s", err.text);
    return price;
}

static double epsilon_of(const struct cost *cost, double delta)
{
    double epsilon = NAN;
    ck_assert_int_eq(cost_epsilon(cost, delta, &epsilon, NULL, NULL), 0);
    return epsilon;
}

START_TEST(noise_meets_the_target)
{
    struct spec s = spec();
    struct manifest m = manifest();
    struct price price = price_of(&s, &m);
    ck_assert(price.is_private);
    ck_assert_int_eq(price.n_releases, 1);
    ck_assert_str_eq(price.releases[PRICE_TRAINING_STEP].name, "training-step");
    ck_assert_int_eq(price.n_steps, 15 * 235); /* ceil(60000 / 256) = 235 */
    ck_assert_int_eq(price.releases[0].count, price.n_steps);
    ck_assert(price.releases[0].mechanism.sample_rate == price.sample_rate);
    ck_assert(price.releases[0].mechanism.noise_multiplier == price.noise_multiplier);
    ck_assert_double_le(price.epsilon, 3);
    ck_assert_double_gt(price.epsilon, 3 * (1 - 1e-5));
    ck_assert_double_le(price.epsilon, epsilon_of(&price.cost, 1e-6));
    ck_assert(price.delta == 1e-6);
}
END_TEST

/* A job drawn as tests/dev/choose_orders.py draws them: noise, rate and steps evenly in
 * their logarithms. */
static double uniform(double low, double high)
{
    return low * exp(log(high / low) * rand() / RAND_MAX);
}

static struct price random_price(void)
{
    struct spec s = spec();
    struct manifest m = manifest();
    m.splits[0].nominal_count = 1000000;
    double rate = uniform(3e-5, 0.6);
    s.privacy.epsilon = 0;
    s.privacy.noise_multiplier = uniform(0.45, 20);
    s.privacy.delta = uniform(1e-10, 1e-5);
    s.training.batch_size = (int64_t)(rate * 1e6);
    s.training.epochs = 0;
    s.training.steps = (int64_t)ceil(uniform(1 / rate, 1e6));
    return price_of(&s, &m);
}

/* The least epsilon over orders that are nobody's grid: all over the range, and close
 * together around the best of those. */
static double least_anywhere(const struct price *price)
{
    enum { N = 800 };
    double best = INFINITY, centre = 0, alphas[N], rho[N];
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < N; i++)
            alphas[i] = pass == 0 ? 1 + 0x1p-10 * pow(0x1p26, i / (N - 1.0))
                                  : 1 + centre * (0.95 + 0.1 * i / N);
        mechanism_rho(&price->releases[0].mechanism, alphas, N, rho);
        for (int i = 0; i < N; i++) {
            double epsilon = cost_epsilon_at(alphas[i], rho[i] * (double)price->n_steps,
                                             price->delta);
            if (epsilon < best) {
                best = epsilon;
                centre = alphas[i] - 1;
            }
        }
    }
    return best;
}

/* The ledger's orders alone are too few for that: where a curve has a cliff between two
 * of them, they say up to 5 % more. */
START_TEST(the_price_is_the_least_over_all_orders)
{
    int n_in_range = 0, n_above = 0;
    srand(7);
    while (n_in_range < 150) {
        struct price price = random_price();
        if (price.epsilon < 0.1 || price.epsilon > 10)
            continue;
        double least = least_anywhere(&price),
               ledger = epsilon_of(&price.cost, price.delta);
        ck_assert_msg(price.epsilon <= least * (1 + 1e-5),
                      "noise %.9g rate %.9g steps %lld delta %.3g: %.9g, not %.9g",
                      price.noise_multiplier, price.sample_rate,
                      (long long)price.n_steps, price.delta, price.epsilon, least);
        ck_assert_msg(price.epsilon >= least * (1 - 2e-3), "%.9g is far below %.9g",
                      price.epsilon, least);
        ck_assert_double_le(price.epsilon, ledger);
        n_above += ledger > 1.001 * price.epsilon;
        n_in_range++;
    }
    ck_assert_int_ge(n_above, 20);
}
END_TEST

START_TEST(epsilon_follows_from_given_noise)
{
    /* 60 epochs of the usual MNIST example: 2.91 at 1e-5 by older Renyi orders, exact
     * 2.295; between the two */
    struct spec s = spec();
    struct manifest m = manifest();
    s.privacy.epsilon = 0;
    s.privacy.noise_multiplier = 1.1;
    s.privacy.delta = 1e-5;
    s.training.batch_size = 240;
    s.training.epochs = 60;
    struct price price = price_of(&s, &m);
    ck_assert(price.noise_multiplier == 1.1);
    ck_assert_int_eq(price.n_steps, 15000);
    ck_assert_double_gt(price.epsilon, 2.295);
    ck_assert_double_lt(price.epsilon, 2.91);
    s.training.epochs = 0;
    s.training.steps = 100;
    ck_assert_int_eq(price_of(&s, &m).n_steps, 100);
    ck_assert_double_lt(price_of(&s, &m).epsilon, price.epsilon);
}
END_TEST

/* Dealt records: an epoch is a release; the noise meets the target, and is not more
 * than that of Poisson samples. What is used is whole epochs. */
START_TEST(dealt_records_are_paid_by_the_epoch)
{
    struct spec s = spec();
    struct manifest m = manifest();
    struct price sampled = price_of(&s, &m);
    s.training.sampling = SAMPLE_BALLS_IN_BINS;
    struct price price = price_of(&s, &m);
    ck_assert_str_eq(price.releases[0].name, "epoch");
    ck_assert_int_eq(price.n_bins, 235);
    ck_assert_int_eq(price.n_steps, 15 * 235);
    ck_assert_int_eq(price.releases[0].count, 15);
    ck_assert(price.releases[0].mechanism.kind == MECHANISM_RANDOM_ALLOCATION);
    ck_assert(price.releases[0].mechanism.bins == 235);
    ck_assert(price.releases[0].mechanism.noise_multiplier == price.noise_multiplier);
    ck_assert_double_le(price.epsilon, 3);
    ck_assert_double_gt(price.epsilon, 3 * (1 - 1e-5));
    ck_assert_double_le(price.noise_multiplier, sampled.noise_multiplier);
    ck_assert_double_le(price.epsilon, epsilon_of(&price.cost, 1e-6));
    ck_assert_int_eq(price.cost.mu2, COST_INFINITE);
    int64_t used[PRICE_MAX_RELEASES] = {7};
    double part = NAN;
    struct error err = {0};
    ck_assert_int_eq(price_epsilon(&price, used, &part, &err), 0);
    ck_assert(part > 0 && part < price.epsilon);
    used[0] = 16;
    ck_assert_int_eq(price_epsilon(&price, used, &part, &err), -PPT_ERANGE);
    s.privacy.is_private = false;
    price = price_of(&s, &m);
    ck_assert_int_eq(price.n_bins, 235);
    ck_assert_int_eq(price.n_releases, 0);
}
END_TEST

START_TEST(rates_are_exact_thresholds)
{
    struct spec s = spec();
    struct manifest m = manifest();
    s.privacy.epsilon = 0;
    s.privacy.noise_multiplier = 2;
    const int64_t batches[] = {1, 3, 256, 59999, 60000};
    const int64_t counts[] = {60000, 60001, 1000000007, INT64_MAX};
    for (int i = 0; i < 20; i++) {
        s.training = (struct spec_training){.steps = 1, .batch_size = batches[i % 5]};
        m.splits[0].nominal_count = counts[i / 5];
        double rate = price_of(&s, &m).sample_rate, k = rate * 0x1p53;
        ck_assert(k == floor(k) && rate <= 1);
        /* rate >= batch / count > rate - 2^-53, in whole numbers */
        __int128 lhs = (__int128)k * m.splits[0].nominal_count;
        __int128 rhs = (__int128)batches[i % 5] << 53;
        ck_assert(lhs >= rhs);
        ck_assert(lhs - m.splits[0].nominal_count < rhs);
    }
    m.splits[0].nominal_count = 60000;
    s.training.batch_size = 60000;
    ck_assert(price_of(&s, &m).sample_rate == 1);
}
END_TEST

START_TEST(a_paid_evaluation_is_paid)
{
    struct spec s = spec();
    struct manifest m = manifest();
    struct price without = price_of(&s, &m);
    s.training.evaluation = EVALUATION_PUBLIC;
    ck_assert(price_of(&s, &m).noise_multiplier == without.noise_multiplier);
    s.training.evaluation = EVALUATION_PAID;
    s.training.evaluation_noise = 20;
    struct price with = price_of(&s, &m);
    ck_assert_int_eq(with.n_releases, 2);
    ck_assert_str_eq(with.releases[PRICE_EVALUATION].name, "evaluation");
    ck_assert_int_eq(with.releases[PRICE_EVALUATION].count, 1);
    ck_assert_int_eq(with.releases[PRICE_EVALUATION].mechanism.kind,
                     MECHANISM_GAUSSIAN);
    ck_assert(with.releases[PRICE_EVALUATION].mechanism.noise_multiplier == 20);
    ck_assert_double_gt(with.noise_multiplier, without.noise_multiplier);
    ck_assert_double_le(with.epsilon, 3);
    ck_assert_double_gt(with.epsilon, 3 * (1 - 1e-5));
    /* too little noise on the count leaves nothing for training */
    struct error err = {0};
    s.training.evaluation_noise = 0.5;
    ck_assert_int_eq(price_job(&s, &m, &with, &err), -PPT_ERANGE);
    ck_assert(strstr(err.text, "the other releases alone cost") != NULL);
    s.training.evaluation_noise = 0;
    ck_assert_int_eq(price_job(&s, &m, &with, &err), -PPT_ERANGE);
    ck_assert_msg(strstr(err.text, "pricing release 'evaluation': noise_multiplier is"),
                  "%s", err.text);
}
END_TEST

START_TEST(use_is_priced_like_the_job)
{
    struct spec s = spec();
    struct manifest m = manifest();
    s.training.evaluation = EVALUATION_PAID;
    s.training.evaluation_noise = 20;
    struct price price = price_of(&s, &m);
    int64_t used[PRICE_MAX_RELEASES] = {price.n_steps, 1};
    struct cost cost, half, none;
    struct error err = {0};
    double epsilon, half_epsilon;
    ck_assert_int_eq(price_used(&price, used, &cost, NULL), 0);
    ck_assert_mem_eq(cost.rho, price.cost.rho, sizeof cost.rho);
    ck_assert_int_eq(price_epsilon(&price, used, &epsilon, NULL), 0);
    ck_assert(epsilon == price.epsilon);
    used[0] /= 2;
    used[1] = 0;
    ck_assert_int_eq(price_used(&price, used, &half, NULL), 0);
    for (int i = 0; i < COST_N_ORDERS; i++)
        ck_assert(half.rho[i] < cost.rho[i]);
    ck_assert_int_eq(price_epsilon(&price, used, &half_epsilon, NULL), 0);
    ck_assert(half_epsilon > 0 && half_epsilon < epsilon);
    /* somebody may have ended it because of its outputs: the order is the whole's */
    struct renyi_release part = {price.releases[0].mechanism, used[0]};
    double least, quarter_epsilon, eighth_epsilon;
    ck_assert_int_eq(renyi_epsilon(&part, 1, price.delta, &least, NULL, NULL), 0);
    ck_assert_double_gt(half_epsilon, least);
    used[0] = price.n_steps / 4;
    ck_assert_int_eq(price_epsilon(&price, used, &quarter_epsilon, NULL), 0);
    used[0] = price.n_steps / 8;
    ck_assert_int_eq(price_epsilon(&price, used, &eighth_epsilon, NULL), 0);
    double a_step = (half_epsilon - quarter_epsilon) /
                    (double)(price.n_steps / 2 - price.n_steps / 4);
    ck_assert_double_eq_tol((quarter_epsilon - eighth_epsilon) /
                                (double)(price.n_steps / 4 - price.n_steps / 8),
                            a_step, 1e-9 * a_step);
    used[0] = 0;
    ck_assert_int_eq(price_epsilon(&price, used, &half_epsilon, NULL), 0);
    ck_assert(half_epsilon == 0);
    ck_assert_int_eq(price_used(&price, used, &none, NULL), 0);
    ck_assert(epsilon_of(&none, 1e-6) == 0);
    used[1] = 2;
    ck_assert_int_eq(price_used(&price, used, &cost, &err), -PPT_ERANGE);
    ck_assert(strstr(err.text, "use of release 'evaluation' is 2") != NULL);
    ck_assert_int_eq(price_epsilon(&price, used, &epsilon, NULL), -PPT_ERANGE);
    used[1] = 0;
    used[0] = -1;
    ck_assert_int_eq(price_used(&price, used, &cost, &err), -PPT_ERANGE);
}
END_TEST

START_TEST(public_jobs_are_free)
{
    struct spec s = spec();
    struct manifest m = manifest();
    s.privacy = (struct spec_privacy){.is_private = false, .unit = UNIT_USER};
    struct price price = price_of(&s, &m);
    ck_assert(!price.is_private);
    ck_assert_int_eq(price.n_releases, 0);
    ck_assert(price.epsilon == 0);
    ck_assert_int_eq(price.n_steps, 15 * 235);
    for (int i = 0; i < COST_N_ORDERS; i++)
        ck_assert_int_eq(price.cost.rho[i], 0);
}
END_TEST

static void expect(const struct spec *s, const struct manifest *m, int code,
                   const char *text)
{
    struct price price = {.n_steps = 42};
    struct error err = {0};
    int rc = price_job(s, m, &price, &err);
    ck_assert_msg(rc == -code, "got %d (%s)", rc, err.text);
    ck_assert_msg(strstr(err.text, text) != NULL, "'%s' lacks '%s'", err.text, text);
    ck_assert_int_eq(price.n_steps, 42);
}

START_TEST(spec_and_manifest_must_agree)
{
    struct spec s = spec();
    struct manifest m = manifest();
    s.privacy.unit = UNIT_USER;
    expect(&s, &m, PPT_ESPEC,
           "privacy.unit is 'user', but the records of data set "
           "'mnist' are one per example");
    m.unit = UNIT_USER;
    ck_assert_int_eq(price_of(&s, &m).cost.unit, UNIT_USER);
    s.privacy.unit = UNIT_EXAMPLE;
    expect(&s, &m, PPT_ESPEC, "privacy.unit is 'example'");
    m = manifest();
    m.relation = RELATION_REPLACE_ONE;
    expect(&s, &m, PPT_ESPEC, "add_remove only");
    m = manifest();
    strcpy(s.dataset.train, "training");
    expect(&s, &m, PPT_ESPEC, "dataset.train is 'training', but data set 'mnist' has");
    s = spec();
    s.training.evaluation = EVALUATION_PUBLIC;
    strcpy(s.dataset.test, "held-out");
    expect(&s, &m, PPT_ESPEC, "dataset.test is 'held-out'");
    s = spec();
    s.training.evaluation = EVALUATION_PAID;
    s.training.evaluation_noise = 20;
    m.splits[1].nominal_count = 0;
    expect(&s, &m, PPT_ESPEC, "states no nominal_count for split 'test'");
    m.splits[0].nominal_count = 0;
    s = spec();
    expect(&s, &m, PPT_ESPEC, "states no nominal_count for split 'train'");
    s.kind = JOB_HE;
    expect(&s, &m, PPT_ESPEC, "kinds 'dp' and 'fl' only");
}
END_TEST

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

/* Where the draw, the clients or the weights are others than the price's, it is not
 * claimed; without privacy they may be. */
START_TEST(other_federations_have_no_price)
{
    const char *text =
        "real users, a Poisson cohort or a fixed order (dealt with local), bounded "
        "weights and flat or quantile clipping";
    struct manifest m = manifest();
    struct spec s = federation();
    expect(&s, &m, PPT_ESPEC, "privacy.unit is 'user'");
    s.privacy = (struct spec_privacy){.is_private = false};
    expect(&s, &m, PPT_ESPEC, "federation.partition is 'users'");
    m.unit = UNIT_USER;
    for (int fault = 0; fault < 4; fault++) {
        s = federation();
        if (fault == 0) {
            s.federation.partition = PARTITION_IID;
            s.federation.clients = 1000;
        } else if (fault == 1) {
            s.federation.selection = SELECTION_FIXED;
        } else if (fault == 2) {
            s.federation.weighting = WEIGHTING_EXAMPLES;
        } else {
            s.privacy.clipping.mode = CLIP_AUTOMATIC;
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

/* The count is paid for out of the step's noise: the price is that of the same job with
 * a fixed clip norm, and what is left of the noise for the gradients adds up to it. */
START_TEST(a_clip_norm_that_follows_is_in_the_step)
{
    struct spec s = spec();
    struct manifest m = manifest();
    struct price fixed = price_of(&s, &m);
    double gradients, count;
    s.privacy.clipping =
        (struct spec_clipping){.mode = CLIP_QUANTILE, .quantile = 0.5, .rate = 0.2};
    struct price price = price_of(&s, &m);
    ck_assert_int_eq(price.n_releases, fixed.n_releases);
    ck_assert_double_eq(price.epsilon, fixed.epsilon);
    ck_assert_double_eq(price.noise_multiplier, fixed.noise_multiplier);
    double batches[] = {1, 64, 8000}, noise = price.noise_multiplier;
    for (int i = 0; i < 3; i++) {
        s.training.batch_size = (int64_t)batches[i];
        ck_assert_int_eq(price_split_noise(&s, &price, &gradients, &count, NULL), 0);
        ck_assert_double_eq(count, fmax(batches[i] / 20, noise));
        double sum = pow(gradients, -2) + pow(2 * count, -2);
        ck_assert_double_le(sum, pow(noise, -2) * (1 + 1e-15));
        ck_assert_double_ge(sum, pow(noise, -2) * (1 - 1e-12));
        ck_assert_double_le(gradients, 1.155 * noise);
    }
    s.privacy.clipping.count_noise = 0.505 * noise; /* leaves hardly anything */
    ck_assert_int_eq(price_split_noise(&s, &price, &gradients, &count, NULL),
                     -PPT_ERANGE);
    s = spec();
    s.privacy.clipping = (struct spec_clipping){
        .mode = CLIP_QUANTILE, .quantile = 0.5, .count_noise = 0.4 * noise};
    expect(&s, &m, PPT_ERANGE, "more than half the noise_multiplier");
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

START_TEST(nonsense_is_refused)
{
    struct spec s = spec();
    struct manifest m = manifest();
    s.training.batch_size = 60001;
    expect(&s, &m, PPT_ERANGE, "batch_size is 60001, expected a number in [1, 60000]");
    s.training.batch_size = 0;
    expect(&s, &m, PPT_ERANGE, "batch_size is 0");
    s = spec();
    s.training.epochs = 0;
    expect(&s, &m, PPT_ERANGE, "training.epochs is 0");
    s.training.steps = 1000000000000000000;
    expect(&s, &m, PPT_ERANGE, "training.steps is 1000000000000000000");
    s.training.steps = 0;
    s.training.epochs = INT64_MAX;
    expect(&s, &m, PPT_ERANGE, "training.epochs is 9223372036854775807");
    s = spec();
    s.privacy.delta = 0;
    expect(&s, &m, PPT_ERANGE, "delta is 0");
    s = spec();
    s.privacy.epsilon = NAN;
    expect(&s, &m, PPT_ERANGE, "epsilon is");
    s.privacy.noise_multiplier = NAN;
    expect(&s, &m, PPT_ERANGE, "noise_multiplier is");
    s.privacy.noise_multiplier = -1;
    expect(&s, &m, PPT_ERANGE, "noise_multiplier is -1");
}
END_TEST

/* Forty mechanisms and targets that differ in one number each, asked for twice and in
 * an order that drives them out in between. */
START_TEST(what_is_remembered_is_what_is_computed)
{
    const struct renyi_release evaluation = {.mechanism = {.kind = MECHANISM_GAUSSIAN,
                                                           .noise_multiplier = 20,
                                                           .sample_rate = 1},
                                             .count = 1};
    for (int k = 0; k < 80; k++) {
        int i = k * 7 % 40;
        struct mechanism m = {.kind = MECHANISM_SUBSAMPLED_GAUSSIAN,
                              .noise_multiplier = 1 + (i & 1) * 0.5 + (i >> 3) * 0.25,
                              .sample_rate = i & 2 ? 0.01 : 0.02};
        struct curve curve, computed;
        ck_assert_int_eq(price_memo_curve(&m, UNIT_EXAMPLE, &curve, NULL), 0);
        ck_assert_int_eq(mechanism_curve(&m, UNIT_EXAMPLE, &computed, NULL), 0);
        ck_assert_mem_eq(&curve, &computed, sizeof curve);
        double epsilon = i & 1 ? 1 : 2, delta = i & 2 ? 1e-6 : 1e-5, noise, expected;
        double rate = i & 4 ? 0.01 : 0.02;
        int64_t n_steps = i & 8 ? 10 : 20;
        const struct renyi_release *other = i & 16 ? &evaluation : NULL;
        m.sample_rate = rate;
        struct renyi_release training = {m, n_steps};
        ck_assert_int_eq(
            price_memo_noise(epsilon, delta, &training, other, &noise, NULL), 0);
        ck_assert_int_eq(calibrate_noise_multiplier(epsilon, delta, &training, other,
                                                    other != NULL, &expected, NULL),
                         0);
        ck_assert(noise == expected);
        const struct renyi_release plan[2] = {training, evaluation};
        double order, true_order;
        ck_assert_int_eq(
            price_memo_epsilon(plan, other ? 2 : 1, delta, &noise, &order, NULL), 0);
        ck_assert_int_eq(
            renyi_epsilon(plan, other ? 2 : 1, delta, &expected, &true_order, NULL), 0);
        ck_assert(noise == expected && order == true_order);
        ck_assert_int_eq(price_memo_epsilon(plan, 0, delta, &noise, &order, NULL),
                         -PPT_ERANGE);
        ck_assert_int_eq(price_memo_noise(-1, delta, &training, other, &noise, NULL),
                         -PPT_ERANGE);
    }
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("price");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, noise_meets_the_target);
    tcase_add_test(tcase, the_price_is_the_least_over_all_orders);
    tcase_add_test(tcase, epsilon_follows_from_given_noise);
    tcase_add_test(tcase, dealt_records_are_paid_by_the_epoch);
    tcase_add_test(tcase, rates_are_exact_thresholds);
    tcase_add_test(tcase, a_paid_evaluation_is_paid);
    tcase_add_test(tcase, a_clip_norm_that_follows_is_in_the_step);
    tcase_add_test(tcase, clients_votes_are_in_the_round);
    tcase_add_test(tcase, local_noise_is_priced_by_the_pass);
    tcase_add_test(tcase, privunit_is_priced_by_the_pass);
    tcase_add_test(tcase, use_is_priced_like_the_job);
    tcase_add_test(tcase, public_jobs_are_free);
    tcase_add_test(tcase, spec_and_manifest_must_agree);
    tcase_add_test(tcase, a_round_is_a_step_over_users);
    tcase_add_test(tcase, noise_by_clients_is_priced_as_such);
    tcase_add_test(tcase, users_of_several_records);
    tcase_add_test(tcase, users_in_a_fixed_order);
    tcase_add_test(tcase, other_federations_have_no_price);
    tcase_add_test(tcase, nonsense_is_refused);
    tcase_add_test(tcase, what_is_remembered_is_what_is_computed);
    Suite *suite = suite_create("price");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
