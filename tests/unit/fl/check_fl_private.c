/* Private federations: one user moves a sum by clip_norm at most, noise has its size,
 * the meter is charged, and what is not the price is refused. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "jobs/fl/round.h"
#include "jobs/model/net.h"
#include "jobs/privacy/correlation.h"
#include "tests/unit/fl/fl_world.h"

/* All users are in the only round. Without the last one the sum differs by that user's
 * part, which is on the grid and no longer than clip_norm; before clipping it is longer
 * (the second case shows its whole length). Automatic clipping makes it shorter than
 * the clip norm, by layers it is as long: there is one. */
START_TEST(one_user_moves_the_sum_by_the_clip_norm)
{
    spec.training.epochs = 5;
    spec.training.learning_rate = 5.0;
    use_privacy(_i == 1 ? 1e3 : 0.25);
    if (_i > 1) {
        spec.privacy.clipping = (struct spec_clipping){
            .mode = _i == 2 ? CLIP_AUTOMATIC : CLIP_PER_LAYER, .gamma = 1.0};
    }
    use_federation(PARTITION_USERS, train.n, 1);
    plan.price.sample_rate = plan.price.releases[0].mechanism.sample_rate = 1.0;
    struct seen with = run_seen(2);
    train.n--;
    struct seen without = run_seen(2);
    train.n++;
    double square = 0.0;
    for (size_t j = 0; j < with.n; j++) {
        double d = with.sum[j] - without.sum[j];
        square += d * d;
    }
    if (_i != 1) {
        ck_assert_double_le(sqrt(square), 0.25 * (1 + 1e-12));
        ck_assert((sqrt(square) > 0.2499) == (_i != 2));
        ck_assert_double_gt(sqrt(square), 0.05);
    } else {
        ck_assert_double_gt(sqrt(square), 0.5);
    }
}
END_TEST

/* The same of the unmasked sum, whose unit is the encoding's; and the ring's scale is
 * no function of how many users there are. */
START_TEST(one_user_moves_a_secure_sum_by_the_bound)
{
    spec.training.epochs = 5;
    spec.training.learning_rate = 5.0;
    use_privacy(0.25);
    use_federation(PARTITION_USERS, 60, 1);
    use_secagg(0.0);
    train.n = 60;
    plan.price.sample_rate = plan.price.releases[0].mechanism.sample_rate = 1.0;
    struct seen with = run_seen(2);
    train.n--;
    struct seen without = run_seen(2);
    double square = 0.0;
    for (size_t j = 0; j < with.n; j++) {
        double d = with.sum[j] - without.sum[j];
        ck_assert(d == nearbyint(d));
        square += d * d;
    }
    struct encode_terms terms = {.n_values = 259, .clip_norm = 0.25};
    ck_assert_int_eq(encode_scale(&terms, 64, 20, 1e-9 * 0.25 / 8.0, SECURE_SPREAD,
                                  &terms.scale, NULL),
                     0);
    double bound = encode_bound(&terms);
    ck_assert_double_le(sqrt(square), bound);
    ck_assert_double_gt(sqrt(square), 0.99 * bound);
}
END_TEST

/* The same of a sum with its noise, which comes with the number of those who take part
 * and not with the user: a stand-in in the user's place brings the same share. In the
 * second case more clients come than shares are needed, and the one that is missing had
 * none. */
START_TEST(one_user_moves_a_noisy_sum_by_the_bound)
{
    spec.training.epochs = 5;
    spec.training.learning_rate = 5.0;
    use_privacy(0.25);
    use_federation(PARTITION_USERS, 60, 1);
    use_noise_by_clients(NOISE_ROUNDED_GAUSSIAN, _i == 0 ? 70 : 50, 40);
    train.n = 60;
    plan.price.sample_rate = plan.price.releases[0].mechanism.sample_rate = 1.0;
    plan.price.noise_multiplier = 3.0;
    plan.price.releases[0].mechanism.noise_multiplier = 3.0;
    struct seen with = run_seen(2);
    train.n--;
    struct seen without = run_seen(2);
    double square = 0.0, noisy = 0.0;
    for (size_t j = 0; j < with.n; j++) {
        double d = with.sum[j] - without.sum[j];
        square += d * d;
        noisy += without.sum[j] * without.sum[j];
    }
    struct encode_terms terms = {.n_values = 259, .clip_norm = 0.25};
    double std =
        3.0 * 0.25 * sqrt((_i == 0 ? 70.0 : 50.0) / 40.0) / sqrt(_i == 0 ? 70.0 : 60.0);
    ck_assert_int_eq(encode_scale(&terms, _i == 0 ? 70 : 60, 20, std, SECURE_SPREAD,
                                  &terms.scale, NULL),
                     0);
    double bound = encode_bound(&terms);
    ck_assert_double_le(sqrt(square), bound);
    ck_assert_double_gt(sqrt(square), 0.99 * bound);
    ck_assert_double_gt(sqrt(noisy), 3.0 * bound * sqrt(259.0) * 0.8);
}
END_TEST

static struct world_data without_user(int64_t user)
{
    struct world_data some = world_blobs(train.n, 12, 3, 0.8, 1);
    some.users = calloc((size_t)train.n, sizeof *some.users);
    some.n = 0;
    for (int64_t i = 0; i < train.n; i++) {
        if (train.users[i] != user) {
            memcpy(some.x + 12 * some.n, train.x + 12 * i, 12 * sizeof *some.x);
            some.y[some.n] = train.y[i];
            some.users[some.n++] = train.users[i];
        }
    }
    return some;
}

/* Whoever leaves with all his records, by the clear sum's clip norm or the secure one's
 * bound at most: nobody else's update changes. */
START_TEST(a_user_of_many_records_moves_the_sum_by_the_clip_norm)
{
    bool is_secure = _i % 14 >= 7, is_weighted = _i >= 14;
    spec.training.learning_rate = 5.0;
    use_privacy(0.25);
    use_users();
    use_federation(PARTITION_USERS, 20, 1);
    if (is_secure) {
        use_secagg(0.0);
    }
    if (is_weighted) {
        spec.federation.weighting = WEIGHTING_EXAMPLES;
        spec.federation.max_weight = 20;
    }
    plan.price.sample_rate = plan.price.releases[0].mechanism.sample_rate = 1.0;
    struct seen with = run_seen(2);
    struct world_data all = train, some = without_user(1000 - _i % 7 * 3);
    ck_assert_int_lt(some.n, all.n);
    double share = is_weighted ? fmin(1.0, (double)(all.n - some.n) / 20.0) : 1.0;
    train = some;
    struct seen without = run_seen(3);
    train = all;
    world_data_free(&some);
    double square = 0.0, bound = 0.25;
    for (size_t j = 0; j < (with.n > without.n ? with.n : without.n); j++) {
        double d = with.sum[j] - without.sum[j];
        square += d * d;
    }
    if (is_secure) {
        struct encode_terms terms = {.n_values = 259, .clip_norm = 0.25};
        ck_assert_int_eq(encode_scale(&terms, 24, 20, 1e-9 * 0.25 / sqrt(24.0),
                                      SECURE_SPREAD, &terms.scale, NULL),
                         0);
        bound = encode_bound(&terms);
    }
    ck_assert_double_le(sqrt(square), bound * (1 + 1e-12));
    ck_assert_double_gt(sqrt(square), (is_weighted ? 0.9 : 0.95) * share * bound);
    ck_assert(is_secure || sqrt(square) <= share * bound * (1 + 1e-4));
}
END_TEST

/* In whole numbers: no vector is longer than it may be, short ones stay as they are,
 * damaged ones are nothing. */
START_TEST(clipping_is_exact)
{
    enum { N = 1000 };
    static const double step = 0x1p-20, clip = 0.75;
    float before[N], after[N];
    double sum[N];
    srand48(7);
    for (int trial = 0; trial < 400; trial++) {
        double width = pow(10.0, -6.0 + trial * 0.1); /* up to 1e34 */
        for (int j = 0; j < N; j++) {
            before[j] = (float)(drand48() - 0.5);
            after[j] = before[j] + (float)((drand48() - 0.5) * width);
            sum[j] = 0.0;
        }
        if (trial % 40 == 39) {
            after[trial] = trial % 80 == 79 ? NAN : INFINITY;
        }
        round_add_clipped(sum, after, before, N, clip, 1.0, step);
        double length = 0.0;
        unsigned __int128 square = 0;
        for (int j = 0; j < N; j++) {
            double k = sum[j] / step, d = (double)after[j] - (double)before[j];
            ck_assert(k == nearbyint(k));
            square += (unsigned __int128)((__int128)k * (__int128)k);
            length += d * d;
        }
        double most = clip / step;
        ck_assert(square <= (unsigned __int128)(most * most));
        if (trial % 40 == 39) {
            ck_assert(square == 0);
        } else if (sqrt(length) > clip) {
            ck_assert_double_gt(sqrt((double)square) * step, 0.999 * clip);
        } else {
            for (int j = 0; j < N; j++) {
                double d = (double)before[j] - (double)after[j];
                ck_assert_double_eq_tol(sum[j], d, 0.51 * step);
            }
        }
    }
}
END_TEST

/* Two runs draw other cohorts and other noise; the meter is charged a round each. */
START_TEST(private_rounds_are_charged)
{
    use_privacy(1.0);
    use_federation(PARTITION_USERS, 30, 10);
    plan.price.noise_multiplier = 1.0;
    plan.price.releases[0].mechanism.noise_multiplier = 1.0;
    struct world first = federation_of(2), second = federation_of(2);
    second.sampling_key[5] = 1;
    run_well(&first, 1);
    ck_assert_int_eq(first.report[0].used[0], 10);
    unlink(meter_path);
    run_well(&second, 1);
    ck_assert(memcmp(first.model, second.model,
                     (size_t)first.n_model * sizeof *first.model) != 0);
    world_free(&first);
    world_free(&second);
}
END_TEST

/* Root mean square of how far the model is from its first weights. */
static double std_of_first_step(const struct world *world)
{
    struct net net;
    float *first = calloc((size_t)world->n_model, sizeof *first);
    ck_assert_int_eq(net_build(&spec.model, &manifest.splits[0], false, &net, NULL), 0);
    net_init(&net, spec.training.seed, first);
    double square = 0.0;
    for (int64_t j = 0; j < world->n_model; j++) {
        double d = (double)world->model[j] - (double)first[j];
        square += d * d;
    }
    free(first);
    return sqrt(square / (double)world->n_model);
}

/* Cohorts of a fixed size, as price_job prices them. */
static void use_fixed_cohorts(void)
{
    struct mechanism *round = &plan.price.releases[0].mechanism;
    spec.federation.selection = SELECTION_FIXED;
    round->kind = MECHANISM_GAUSSIAN;
    round->sampling = SAMPLING_WITHOUT_REPLACEMENT;
    round->relation = RELATION_REPLACE_ONE;
    round->noise_multiplier = plan.price.noise_multiplier / 2;
}

/* After one round whose updates are nothing beside the noise; in the second case by
 * secure aggregation, in the third with a divisor for the weights of clients that have
 * one record of four that would count; in the fourth with a cohort of a fixed size. */
START_TEST(noise_has_its_size)
{
    use_privacy(1.0);
    spec.training.learning_rate = 1e-12;
    use_federation(PARTITION_USERS, 40, 1);
    if (_i == 1) {
        use_secagg(0.0);
    } else if (_i == 2) {
        spec.federation.weighting = WEIGHTING_EXAMPLES;
        spec.federation.max_weight = 4;
    }
    plan.price.noise_multiplier = 2.0;
    plan.price.releases[0].mechanism.noise_multiplier = 2.0;
    if (_i == 3) {
        use_fixed_cohorts();
    }
    struct world world = federation_of(3);
    run_well(&world, 1);
    double std = std_of_first_step(&world), n = (double)world.n_model;
    double expected = 2.0 * 1.0 / (_i == 2 ? 10.0 : 40.0);
    ck_assert_double_eq_tol(std / expected, 1.0, 5.0 / sqrt(2.0 * n));
    world_free(&world);
}
END_TEST

/* The same where clients bring it, of each kind: as many shares as are counted on,
 * though more clients come; and twice as many, most of them by stand-ins. One that is
 * calibrated to the participants instead would have 0.71 of it in the second case. */
START_TEST(clients_noise_has_its_size)
{
    enum spec_noise_kind kind = (enum spec_noise_kind)(_i % NOISE_KIND_N);
    bool is_double = _i >= NOISE_KIND_N;
    use_privacy(1.0);
    spec.training.learning_rate = 1e-12;
    use_federation(PARTITION_USERS, 40, 1);
    use_noise_by_clients(kind, is_double ? 100 : 12, is_double ? 50 : 12);
    plan.price.noise_multiplier = 2.0;
    plan.price.releases[0].mechanism.noise_multiplier = 2.0;
    if (kind == NOISE_SKELLAM) {
        plan.price.releases[0].mechanism = price_skellam(2.0, plan.price.sample_rate);
    }
    struct world world = federation_of(3);
    run_well(&world, 1);
    double std = std_of_first_step(&world), n = (double)world.n_model;
    double expected = 2.0 * 1.0 / 40.0 * (is_double ? sqrt(2.0) : 1.0);
    ck_assert_double_eq_tol(std / expected, 1.0, 5.0 / sqrt(2.0 * n));
    world_free(&world);
}
END_TEST

/* A cohort of a fixed size from fewer users than the price counts on, and from more, in
 * the clear and by secure aggregation, with the noise of both sides: it runs, and says
 * nothing of how many there are. */
START_TEST(fixed_cohorts_run_whatever_the_number)
{
    use_privacy(0.25);
    spec.training.epochs = 1;
    train.n = _i % 3 == 0 ? 8 : _i % 3 == 1 ? 3 : 30;
    use_federation(PARTITION_USERS, 6, 2);
    plan.price.sample_rate = plan.price.releases[0].mechanism.sample_rate = 0.5;
    plan.price.noise_multiplier = 4.0;
    if (_i / 3 == 1) {
        use_secagg(0.0);
    } else if (_i / 3 == 2) {
        use_noise_by_clients(NOISE_DISCRETE_GAUSSIAN, 10, 8);
    }
    use_fixed_cohorts();
    struct world world = federation_of(2);
    run_well(&world, 1);
    ck_assert_int_eq(world.n_models_saved, 1);
    world_free(&world);
}
END_TEST

/* Whatever size of cohort is drawn, from nobody to everybody, the round succeeds: a
 * failure would tell the size. With rates that some sizes had no graph for. */
START_TEST(every_private_cohort_is_summed)
{
    use_privacy(0.25);
    spec.training.epochs = 1;
    train.n = _i;
    use_federation(PARTITION_USERS, 8, 1);
    use_secagg(0.0);
    spec.federation.secagg.dropout = 0.45;
    plan.price.sample_rate = plan.price.releases[0].mechanism.sample_rate = 1.0;
    struct world world = federation_of(2);
    run_well(&world, 1);
    ck_assert_int_eq(world.n_models_saved, 1);
    world_free(&world);
}
END_TEST

START_TEST(refuses_too_few_stand_ins)
{
    use_privacy(0.25);
    use_federation(PARTITION_USERS, 8, 1);
    use_secagg(0.0);
    spec.federation.secagg.dropout = 0.46;
    spec.federation.secagg.corrupt = 0.1;
    struct world world = federation_of(2);
    run(&world, 1);
    ck_assert_int_eq(world.rc[0], -PPT_ERANGE);
    ck_assert_ptr_nonnull(strstr(world.err[0].text, "only cohorts of 5 clients"));
    world_free(&world);
}
END_TEST

/* In a fixed order the server's rounds take back what earlier ones added: after ten of
 * them, in passes of four, the model has the noise of correlation_drift, and three
 * passes are charged. By one rank and by three. */
START_TEST(passes_take_their_noise_back)
{
    enum { ROUNDS = 10, BANDS = 3 };
    const double cohort = (double)train.n / 4;
    use_privacy(1.0);
    spec.training.learning_rate = 1e-12;
    use_federation(PARTITION_USERS, train.n / 4, ROUNDS);
    use_fixed_order(2.0, BANDS);
    struct world world = federation_of(_i == 0 ? 1 : 3);
    run_well(&world, 1);
    double n = (double)world.n_model, last = correlation_drift(BANDS, ROUNDS),
           before = correlation_drift(BANDS, ROUNDS - 1);
    double square = ROUNDS * last * last - (ROUNDS - 1) * before * before;
    double expected = 2.0 / cohort * sqrt(square);
    ck_assert_int_eq(world.report[0].used[0], 3);
    ck_assert_double_lt(square, 0.6 * ROUNDS); /* or nothing is to be seen */
    ck_assert_double_eq_tol(std_of_first_step(&world) / expected, 1.0,
                            5.0 / sqrt(2.0 * n));
    world_free(&world);
}
END_TEST

START_TEST(refuses_other_passes)
{
    use_privacy(1.0);
    use_federation(PARTITION_USERS, train.n / 4, 8);
    use_fixed_order(2.0, 3);
    struct mechanism *pass = &plan.price.releases[0].mechanism;
    if (_i == 0) { /* more bands than are paid for */
        spec.federation.bands = 4;
    } else if (_i == 1) {
        pass->noise_multiplier = plan.price.noise_multiplier;
    } else if (_i == 2) {
        spec.federation.selection = SELECTION_POISSON;
    } else if (_i == 3) {
        use_noise_by_clients(NOISE_ROUNDED_GAUSSIAN, 4, 3);
    } else if (_i == 4) {
        pass->kind = MECHANISM_SUBSAMPLED_GAUSSIAN;
    } else if (_i == 5) {
        plan.price.n_bands = 2;
    } else if (_i == 6) { /* whose sums lie on another grid, and turned */
        use_secagg(0.0);
    }
    struct world world = federation_of(2);
    run(&world, 1);
    ck_assert_int_eq(world.rc[0], -PPT_EINTERNAL);
    ck_assert_int_eq(world.rc[1], -PPT_EINTERNAL);
    ck_assert_ptr_nonnull(strstr(world.err[0].text, "price is not this spec's"));
    world_free(&world);
}
END_TEST

/* A price that is not this spec's, and a private job of clients that are made up. */
START_TEST(refuses_other_prices)
{
    use_privacy(1.0);
    use_federation(_i == 0 ? PARTITION_IID : PARTITION_USERS, 10, 2);
    if (_i == 1) {
        spec.privacy.unit = UNIT_EXAMPLE;
    } else if (_i == 2) {
        spec.federation.selection = SELECTION_FIXED;
    } else if (_i == 3) {
        plan.price.releases[0].mechanism.sample_rate /= 2;
    } else if (_i == 4) {
        spec.federation.weighting = WEIGHTING_EXAMPLES;
    } else if (_i == 5) {
        plan.price.n_steps++;
    }
    struct world world = federation_of(2);
    run(&world, 1);
    ck_assert_int_eq(world.rc[0], -PPT_EINTERNAL);
    ck_assert_int_eq(world.rc[1], -PPT_EINTERNAL);
    ck_assert_ptr_nonnull(strstr(world.err[0].text, "price is not this spec's"));
    world_free(&world);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fl_private");
    TCase *tcase = tcase_create("fl_private");
    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup_federation, teardown);
    tcase_add_loop_test(tcase, one_user_moves_the_sum_by_the_clip_norm, 0, 4);
    tcase_add_test(tcase, one_user_moves_a_secure_sum_by_the_bound);
    tcase_add_loop_test(tcase, one_user_moves_a_noisy_sum_by_the_bound, 0, 2);
    tcase_add_loop_test(tcase, a_user_of_many_records_moves_the_sum_by_the_clip_norm, 0,
                        28);
    tcase_add_test(tcase, clipping_is_exact);
    tcase_add_test(tcase, private_rounds_are_charged);
    tcase_add_loop_test(tcase, noise_has_its_size, 0, 4);
    tcase_add_loop_test(tcase, clients_noise_has_its_size, 0, 2 * NOISE_KIND_N);
    tcase_add_loop_test(tcase, fixed_cohorts_run_whatever_the_number, 0, 9);
    tcase_add_loop_test(tcase, every_private_cohort_is_summed, 0, 20);
    tcase_add_test(tcase, refuses_too_few_stand_ins);
    tcase_add_loop_test(tcase, passes_take_their_noise_back, 0, 2);
    tcase_add_loop_test(tcase, refuses_other_passes, 0, 7);
    tcase_add_loop_test(tcase, refuses_other_prices, 0, 6);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
