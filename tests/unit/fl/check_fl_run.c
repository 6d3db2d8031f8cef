/* A whole federation over ranks that are threads: the same model for any number of
 * ranks, in the clear and by secure aggregation; runs resume, faults are told. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/model/net.h"
#include "tests/unit/fl/fl_world.h"

/* Bit for bit, whatever the partition, the weights, the server and the ranks. */
START_TEST(one_model_for_any_ranks)
{
    static const int sizes[] = {2, 3, 8};
    static const enum spec_partition partitions[] = {
        PARTITION_USERS, PARTITION_IID, PARTITION_DIRICHLET, PARTITION_SHARDS};
    use_federation(partitions[_i], 7, 12);
    spec.federation.selection = (enum spec_selection)(_i % 2);
    spec.federation.weighting = (enum spec_weighting)(_i / 2);
    spec.federation.server.optimizer = (enum spec_optimizer)(_i % OPTIMIZER_N);
    spec.federation.server.learning_rate =
        spec.federation.server.optimizer >= OPTIMIZER_ADAM ? 0.01 : 1.0;
    spec.federation.prox = _i == 1 ? 0.1 : 0.0;
    struct world one = federation_of(1);
    run_well(&one, 1);
    for (int i = 0; i < 3; i++) {
        struct world many = federation_of(sizes[i]);
        run_well(&many, 1);
        expect_same_model(&one, &many);
        ck_assert_int_eq(many.n_models_saved, 1);
        world_free(&many);
    }
    world_free(&one);
}
END_TEST

/* Devices choose whom to wait for, the same on any number of ranks, and after a stop.
 */
START_TEST(one_model_of_devices)
{
    use_federation(PARTITION_DIRICHLET, 6, 400);
    spec.federation.selection = _i == 0 ? SELECTION_FIXED : SELECTION_WEIGHTED;
    spec.federation.devices = (struct spec_devices){.is_on = true,
                                                    .over_commit = 1.3,
                                                    .examples_per_s = 10,
                                                    .bytes_per_s = 1e4,
                                                    .spread = 1,
                                                    .availability = 0.7,
                                                    .period_s = 60};
    struct world one = federation_of(1), many = federation_of(3);
    char notes[200];
    one.notes = notes;
    one.notes_size = sizeof notes;
    notes[0] = '\0';
    run_well(&one, 1);
    ck_assert_ptr_nonnull(strstr(notes, "\"clients\": 6, \"bytes\": "));
    ck_assert_ptr_nonnull(strstr(notes, "\"stragglers\": 2, \"virtual_s\": "));
    many.stop_after_reads = 60;
    run(&many, 1);
    ck_assert_int_eq(many.rc[0], -PPT_EINTERRUPTED);
    many.size = 2;
    many.stop_after_reads = 0;
    run_well(&many, 2);
    expect_same_model(&one, &many);
    spec.federation.devices.is_on = false;
    struct world everybody = federation_of(1);
    run_well(&everybody, 1);
    ck_assert_int_ne(
        memcmp(one.model, everybody.model, (size_t)one.n_model * sizeof *one.model), 0);
    world_free(&one), world_free(&many), world_free(&everybody);
}
END_TEST

/* The same with the real protocol, whose keys are other ones in each run; in the second
 * case clients vanish. */
START_TEST(one_model_by_secure_aggregation)
{
    static const int sizes[] = {2, 3, 8};
    use_federation(PARTITION_IID, 14, 3);
    spec.federation.selection = SELECTION_FIXED;
    use_secagg(2.0);
    if (_i == 1) {
        spec.federation.secagg.vanish = 0.15;
        spec.federation.secagg.dropout = 0.4;
    }
    struct world one = federation_of(1);
    run_well(&one, 1);
    for (int i = 0; i < 3; i++) {
        struct world many = federation_of(sizes[i]);
        many.sampling_key[3] = (unsigned char)i;
        run_well(&many, 1);
        expect_same_model(&one, &many);
        world_free(&many);
    }
    spec.federation.secagg.vanish = 0.0;
    struct world nobody_vanishes = federation_of(1);
    run_well(&nobody_vanishes, 1);
    ck_assert_int_eq(memcmp(one.model, nobody_vanishes.model,
                            (size_t)one.n_model * sizeof *one.model) != 0,
                     _i == 1);
    world_free(&nobody_vanishes);
    world_free(&one);
}
END_TEST

/* With room for every update the mean is that of the sum in the clear but for the
 * rounding; where updates are shortened it is another. In the second case clients of
 * very different sizes count by their records, up to 25. */
START_TEST(secure_sums_are_the_same_means)
{
    double worst[2] = {0.0, 0.0};
    for (int i = 0; i < 2; i++) {
        use_federation(_i == 0 ? PARTITION_IID : PARTITION_DIRICHLET, 20, 4);
        spec.federation.selection = SELECTION_FIXED;
        spec.federation.weighting = _i == 0 ? WEIGHTING_EQUAL : WEIGHTING_EXAMPLES;
        spec.federation.max_weight = _i == 0 ? 0 : 25;
        struct world clear = federation_of(2), secure = federation_of(2);
        run_well(&clear, 1);
        use_secagg(i == 0 ? 4.0 : 0.01);
        spec.federation.secagg.bits = 24;
        run_well(&secure, 1);
        for (int64_t j = 0; j < clear.n_model; j++) {
            worst[i] =
                fmax(worst[i], fabs((double)clear.model[j] - (double)secure.model[j]));
        }
        world_free(&clear);
        world_free(&secure);
    }
    ck_assert_double_lt(worst[0], 1e-4);
    ck_assert_double_gt(worst[1], 1e-2);
}
END_TEST

/* More vanish than was planned for, or fewer come than the least: no sum, no model. */
START_TEST(a_round_that_fails_releases_nothing)
{
    static const char *const causes[] = {"below_threshold: ", "cohort_too_small: "};
    use_federation(PARTITION_IID, 14, 3);
    spec.federation.selection = SELECTION_FIXED;
    use_secagg(2.0);
    if (_i == 0) {
        spec.federation.secagg.vanish = 0.5;
        spec.federation.secagg.corrupt = 0.3;
        spec.federation.secagg.min_clients = 3;
    } else {
        spec.federation.secagg.min_clients = 15;
    }
    struct world world = federation_of(2);
    run(&world, 1);
    for (int r = 0; r < 2; r++) {
        ck_assert_int_eq(world.rc[r], -PPT_EPOLICY);
        ck_assert_msg(strstr(world.err[r].text, causes[_i]) != NULL, "%s",
                      world.err[r].text);
    }
    ck_assert_int_eq(world.n_models_saved, 0);
    world_free(&world);
}
END_TEST

START_TEST(learns)
{
    use_federation(PARTITION_DIRICHLET, 10, 30);
    spec.training.evaluation = EVALUATION_PUBLIC;
    struct world world = federation_of(2);
    run_well(&world, 1);
    ck_assert(world.report[0].has_test_accuracy);
    ck_assert_double_gt(world.report[0].test_accuracy, 0.9);
    ck_assert_int_eq(world.report[0].n_steps, 30);
    world_free(&world);
}
END_TEST

/* One client with all records that makes one step of all of them a round is gradient
 * descent, which the kind dp knows as well. */
START_TEST(one_client_is_gradient_descent)
{
    spec.training.batch_size = train.n;
    spec.training.epochs = 1;
    use_federation(PARTITION_IID, 1, 9);
    spec.federation.clients = 1;
    spec.federation.selection = SELECTION_FIXED;
    plan.price.sample_rate = 1.0;
    struct world federation = federation_of(2), plain = federation_of(1);
    run_well(&federation, 1);
    plain.run = NULL; /* dp_run */
    run_well(&plain, 1);
    ck_assert_int_eq(federation.n_model, plain.n_model);
    for (int64_t j = 0; j < plain.n_model; j++) {
        ck_assert_float_eq_tol(federation.model[j], plain.model[j], 2e-6f);
    }
    world_free(&federation);
    world_free(&plain);
}
END_TEST

/* A large pull towards the model that was handed out keeps clients there. */
START_TEST(prox_holds_back)
{
    double moved[2];
    for (int i = 0; i < 2; i++) {
        use_federation(PARTITION_SHARDS, 20, 1);
        spec.training.epochs = 20;
        spec.federation.prox = i == 0 ? 0.0 : 5.0;
        struct world world = federation_of(1);
        run_well(&world, 1);
        float *first = calloc((size_t)world.n_model, sizeof *first);
        struct net net;
        ck_assert_int_eq(net_build(&spec.model, &manifest.splits[0], false, &net, NULL),
                         0);
        net_init(&net, spec.training.seed, first);
        moved[i] = 0.0;
        for (int64_t j = 0; j < world.n_model; j++) {
            moved[i] += fabs((double)world.model[j] - (double)first[j]);
        }
        free(first);
        world_free(&world);
    }
    ck_assert_double_gt(moved[1], 0.0);
    ck_assert_double_lt(moved[1], 0.5 * moved[0]);
}
END_TEST

/* Stopped by one rank of two and resumed by three: the same bits as without a stop. */
START_TEST(resumes_on_other_ranks)
{
    use_federation(PARTITION_IID, 6, 400);
    spec.federation.server.optimizer = OPTIMIZER_MOMENTUM;
    struct world whole = federation_of(1), parts = federation_of(2);
    run_well(&whole, 1);
    parts.stop_after_reads = 60;
    parts.stop_rank = 1;
    run(&parts, 1);
    ck_assert_int_eq(parts.rc[0], -PPT_EINTERRUPTED);
    ck_assert_int_eq(parts.rc[1], -PPT_EINTERRUPTED);
    ck_assert_ptr_nonnull(strstr(parts.err[0].text, "after round"));
    ck_assert_int_gt(parts.report[0].n_steps, 0);
    ck_assert_int_lt(parts.report[0].n_steps, 400);
    parts.size = 3;
    parts.stop_after_reads = 0;
    run_well(&parts, 2);
    ck_assert_int_eq(parts.report[0].n_steps, 400);
    expect_same_model(&whole, &parts);
    world_free(&whole);
    world_free(&parts);
}
END_TEST

/* Users of several records, in the clear and by secure aggregation. */
START_TEST(users_train_on_all_their_records)
{
    use_users();
    use_federation(PARTITION_USERS, 10, 30);
    if (_i == 1) {
        spec.federation.selection = SELECTION_FIXED;
        spec.federation.rounds = plan.price.n_steps = 3;
        use_secagg(2.0);
    }
    plan.price.sample_rate = 0.5;
    spec.training.evaluation = EVALUATION_PUBLIC;
    struct world one = federation_of(1), many = federation_of(3);
    run_well(&one, 1);
    run_well(&many, 1);
    expect_same_model(&one, &many);
    ck_assert_double_gt(one.report[0].test_accuracy, _i == 0 ? 0.9 : 0.4);
    world_free(&one);
    world_free(&many);
}
END_TEST

START_TEST(divergence_is_told)
{
    use_federation(PARTITION_IID, 5, 3);
    spec.training.learning_rate = 1e6;
    struct world world = federation_of(1);
    run(&world, 1);
    ck_assert_int_eq(world.rc[0], -PPT_ERANGE);
    ck_assert_ptr_nonnull(strstr(world.err[0].text, "diverged"));
    world_free(&world);
    use_rule(RULE_MEDIAN, BEFORE_NOTHING);
    struct world robust = federation_of(2);
    run(&robust, 1);
    ck_assert_int_eq(robust.rc[1], -PPT_ERANGE);
    ck_assert_msg(strstr(robust.err[0].text, "5 of 5 sent what is no update") != NULL,
                  "%s", robust.err[0].text);
    world_free(&robust);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fl_run");
    TCase *tcase = tcase_create("fl_run");
    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup_federation, teardown);
    tcase_add_loop_test(tcase, one_model_for_any_ranks, 0, 4);
    tcase_add_loop_test(tcase, one_model_of_devices, 0, 2);
    tcase_add_loop_test(tcase, one_model_by_secure_aggregation, 0, 2);
    tcase_add_loop_test(tcase, secure_sums_are_the_same_means, 0, 2);
    tcase_add_loop_test(tcase, a_round_that_fails_releases_nothing, 0, 2);
    tcase_add_test(tcase, learns);
    tcase_add_test(tcase, one_client_is_gradient_descent);
    tcase_add_test(tcase, prox_holds_back);
    tcase_add_test(tcase, resumes_on_other_ranks);
    tcase_add_loop_test(tcase, users_train_on_all_their_records, 0, 2);
    tcase_add_test(tcase, divergence_is_told);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
