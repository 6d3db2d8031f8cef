/* The price of a job: rates, steps, noise, releases, and specs that cannot be priced.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/manifest.h"
#include "jobs/privacy/calibrate.h"
#include "jobs/privacy/price.h"
#include "jobs/privacy/price_memo.h"
#include "jobs/privacy/price_split.h"
#include "jobs/spec/spec.h"
#include "tests/unit/privacy/price_fixture.h"

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
    tcase_add_test(tcase, use_is_priced_like_the_job);
    tcase_add_test(tcase, public_jobs_are_free);
    tcase_add_test(tcase, spec_and_manifest_must_agree);
    tcase_add_test(tcase, a_clip_norm_that_follows_is_in_the_step);
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
