/* Runs that stop and go on: from a checkpoint on other ranks, charged again for what
 * may have been released, with the clip norm that was reached. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "jobs/model/net.h"
#include "jobs/privacy/meter.h"
#include "tests/unit/dp/run_fixture.h"

/* Stopped on one rank of two, resumed by three: the same model as without a stop. */
START_TEST(resumes_on_other_ranks)
{
    spec.training.optimizer = (enum spec_optimizer)_i;
    spec.training.learning_rate =
        spec.training.optimizer == OPTIMIZER_ADAM ? 0.01 : 0.2;
    spec.training.schedule = SCHEDULE_COSINE;
    use_steps(0.0, 300, true);
    struct world whole = world_of(1), parts = world_of(2);
    run_well(&whole, 1);
    parts.stop_after_reads = 20;
    parts.stop_rank = 1;
    run(&parts, 1);
    for (int r = 0; r < 2; r++) {
        ck_assert_int_eq(parts.rc[r], -PPT_EINTERRUPTED);
        ck_assert_int_eq(parts.report[r].outcome, REPORT_INTERRUPTED);
        ck_assert_int_eq(parts.report[r].n_steps, parts.report[0].n_steps);
    }
    ck_assert_int_ge(parts.report[0].n_steps, 20);
    ck_assert_int_lt(parts.report[0].n_steps, 300);
    ck_assert_int_eq(parts.n_models_saved, 0);
    ck_assert_int_eq(parts.n_checkpoints_saved, 1);
    parts.size = 3;
    parts.stop_after_reads = 0;
    run_well(&parts, 2);
    ck_assert_int_eq(parts.report[0].outcome, REPORT_DONE);
    ck_assert_int_eq(parts.report[0].n_steps, 300);
    ck_assert_double_lt(distance(&whole, &parts), 1e-4);
    world_free(&whole);
    world_free(&parts);
}
END_TEST

/* On as many ranks as before there is nothing that could round in another way: the
 * model is the same bit for bit, and whoever reads a checkpoint of the last step, on
 * any number of ranks, has the bits that were written. */
START_TEST(resumes_bit_for_bit)
{
    int size = 1 << (_i / OPTIMIZER_TRAINING_N); /* 1, 2, 4, 8 */
    spec.training.optimizer = (enum spec_optimizer)(_i % OPTIMIZER_TRAINING_N);
    spec.training.learning_rate =
        spec.training.optimizer == OPTIMIZER_ADAM ? 0.01 : 0.2;
    spec.training.schedule = SCHEDULE_COSINE;
    use_steps(0.0, 60, true);
    struct world whole = world_of(size), parts = world_of(size);
    run_well(&whole, 1);
    spec.training.checkpoint_every = 20; /* the last is of step 40 */
    run_well(&parts, 1);
    ck_assert_int_eq(parts.n_checkpoints_saved, 2);
    ck_assert_double_eq(distance(&whole, &parts), 0.0);
    memset(parts.model, 0, (size_t)parts.n_model * sizeof *parts.model);
    spec.training.checkpoint_every = 0;
    run_well(&parts, 2); /* 41 to 60 again */
    ck_assert_double_eq(distance(&whole, &parts), 0.0);
    use_steps(0.0, 40, true);
    struct world last = world_of(size);
    run_well(&parts, 3); /* nothing left to do: what is saved is what was read */
    for (int other = 1; other <= 8; other *= 2) {
        last.size = other;
        last.checkpoint = parts.checkpoint;
        last.checkpoint_len = parts.checkpoint_len;
        run_well(&last, 4);
        ck_assert_double_eq(distance(&parts, &last), 0.0);
    }
    last.checkpoint = NULL;
    world_free(&last);
    world_free(&whole);
    world_free(&parts);
}
END_TEST

/* A full disk or damage in the middle of a checkpoint is every rank's error; the old
 * checkpoint stays and is resumed when there is room again. */
START_TEST(broken_checkpoints_are_everybodys)
{
    struct world world = world_of(3);
    spec.training.optimizer = OPTIMIZER_ADAM;
    spec.training.learning_rate = 0.01;
    spec.training.checkpoint_every = 4;
    use_steps(0.0, 6, true);
    run_well(&world, 1);
    size_t len = world.checkpoint_len;
    ck_assert_uint_gt(len, 0);
    use_steps(0.0, 10, true);
    for (size_t at = 1; at <= len; at += len / 7) {
        void *old = malloc(len);
        memcpy(old, world.checkpoint, len);
        world.checkpoint_fails_at = at; /* reads: the run cannot begin */
        run(&world, 2);
        for (int r = 0; r < 3; r++) {
            ck_assert_int_eq(world.rc[r], -PPT_ETRUST);
            ck_assert_str_eq(world.err[r].text, "damaged checkpoint");
        }
        free(world.checkpoint);
        world.checkpoint = NULL; /* writes: the first step's on */
        run(&world, 2);
        for (int r = 0; r < 3; r++) {
            ck_assert_int_eq(world.rc[r], -PPT_EIO);
            ck_assert_str_eq(world.err[r].text, "the disk is full");
        }
        ck_assert_ptr_null(world.checkpoint);
        ck_assert_ptr_null(world.checkpoint_new);
        world.checkpoint = old;
    }
    world.checkpoint_fails_at = 0;
    run_well(&world, 3);
    ck_assert_int_eq(world.report[0].n_steps, 10);
    ck_assert_int_eq(world.n_models_saved, 2);
    world_free(&world);
}
END_TEST

/* Steps that a crash made undone are charged again: the meter then refuses the end. */
START_TEST(resumed_steps_are_charged_again)
{
    spec.privacy.is_private = true;
    spec.training.checkpoint_every = 7;
    use_steps(1.0, 20, false);
    struct world world = world_of(2);
    run_well(&world, 1);
    ck_assert_int_eq(world.n_checkpoints_saved, 2); /* after 7 and 14 */
    ck_assert_int_eq(world.report[0].used[0], 20);
    unlink(meter_path);
    struct error err = {0};
    ck_assert_int_eq(meter_create(meter_path, &err), 0);
    ck_assert_int_eq(meter_open(meter_path, 1, &plan.price, &world.meter, &err), 0);
    ck_assert_int_eq(meter_charge(world.meter, 0, 17, &err), 0); /* died after 17 */
    meter_close(world.meter);
    run_well(&world, 2);
    ck_assert_int_eq(world.report[0].outcome, REPORT_DONE);
    ck_assert_int_eq(world.report[0].n_steps, 17); /* 14 and the 3 that were left */
    ck_assert_int_eq(world.report[0].used[0], 20);
    world_free(&world);
}
END_TEST

/* What the threshold of the world's last checkpoint is: one float behind the
 * parameters, which are behind a head of 104 bytes (snapshot.c). */
static double threshold_of(const struct world *world)
{
    float norm;
    size_t at = 104 + (size_t)world->n_model * sizeof norm;
    ck_assert_uint_ge(world->checkpoint_len, at + sizeof norm);
    memcpy(&norm, (const char *)world->checkpoint + at, sizeof norm);
    return (double)norm;
}

/* The fraction of the training records whose gradient is no longer than this, by the
 * net itself. */
static double fraction_below(const struct world *world, double norm)
{
    struct net net;
    int n_below = 0, n = (int)train.n;
    ck_assert_int_eq(net_build(&spec.model, &manifest.splits[0], true, &net, NULL), 0);
    ck_assert_int_eq(net_alloc(&net, &memory_host, n, NULL), 0);
    memcpy(net.read, train.x, (size_t)n * train.n_features * sizeof *train.x);
    memcpy(net.label, train.y, (size_t)n * sizeof *train.y);
    net_forward(&net, &kernels_cpu, world->model, n);
    net_backward(&net, &kernels_cpu, world->model, n);
    net_clipped_sum(&net, &kernels_cpu, norm, n);
    for (int i = 0; i < n; i++) {
        n_below += net.factor[i] == 1.0f;
    }
    net_free(&net);
    return (double)n_below / n;
}

/* A model that hardly moves and little noise: from far above and from far below, the
 * clip norm comes to the quantile of the norms, by 1, 2 and 4 ranks, 1 and 2 lanes and
 * every optimizer. The checkpoint holds it: who goes on from there ends at the same
 * model. */
START_TEST(clip_norm_follows_the_quantile)
{
    const double quantiles[] = {0.3, 0.5, 0.9};
    int size = 1 << _i % 3;
    spec.privacy.is_private = true;
    spec.privacy.clip_norm = _i % 2 == 0 ? 30.0 : 0.03;
    spec.privacy.clipping = (struct spec_clipping){.mode = CLIP_QUANTILE,
                                                   .quantile = quantiles[_i / 3],
                                                   .count_noise = 2.0,
                                                   .rate = 0.3};
    spec.training.optimizer = (enum spec_optimizer)(_i / 3);
    spec.training.learning_rate = 1e-12;
    spec.training.checkpoint_every = 150;
    spec.resources.cores_per_rank = 1 + _i % 2;
    use_steps(0.1, 151, true);
    struct world whole = world_of(size), last = world_of(4);
    run_well(&whole, 1);
    double norm = threshold_of(&whole);
    ck_assert_double_eq_tol(fraction_below(&whole, norm), quantiles[_i / 3], 0.06);
    last.checkpoint = whole.checkpoint;
    last.checkpoint_len = whole.checkpoint_len;
    spec.training.checkpoint_every = 1;
    unlink(meter_path);
    run_well(&last, 1); /* goes on with it, by four ranks */
    ck_assert_double_eq_tol(fraction_below(&last, threshold_of(&whole)),
                            quantiles[_i / 3], 0.06);
    last.checkpoint = NULL;
    world_free(&last);
    world_free(&whole);
}
END_TEST

/* Stopped after 20 of 40 steps and resumed on other ranks, with the same noise: the
 * clip norm that it goes on with decides over the model. */
START_TEST(clip_norm_is_resumed)
{
    spec.privacy.is_private = true;
    spec.privacy.clip_norm = 100.0;
    spec.privacy.clipping = (struct spec_clipping){
        .mode = CLIP_QUANTILE, .quantile = 0.2, .count_noise = 1e-6, .rate = 0.2};
    spec.training.checkpoint_every = 20;
    use_steps(1e-9, 40, true);
    struct world whole = world_of(2), parts = world_of(2);
    run_well(&whole, 1);
    double norm = threshold_of(&whole);
    ck_assert_double_lt(norm, 30.0);
    use_steps(1e-9, 21, true);
    unlink(meter_path);
    run_well(&parts, 1); /* leaves the checkpoint of step 20 */
    ck_assert_double_eq_tol(threshold_of(&parts), norm, 1e-3 * norm);
    use_steps(1e-9, 40, true);
    parts.size = 4;
    unlink(meter_path);
    run_well(&parts, 1);
    ck_assert_double_lt(distance(&whole, &parts), 2e-5);
    /* one that cannot be: refused by all */
    const float impossible = -1.0f;
    memcpy((char *)parts.checkpoint + 104 + parts.n_model * 4, &impossible,
           sizeof impossible);
    run(&parts, 2);
    for (int r = 0; r < parts.size; r++) {
        ck_assert_int_ne(parts.rc[r], 0);
    }
    world_free(&parts);
    world_free(&whole);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dp_resume");
    TCase *tcase = tcase_create("dp_resume");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, resumes_on_other_ranks, 0, OPTIMIZER_TRAINING_N);
    tcase_add_loop_test(tcase, resumes_bit_for_bit, 0, 4 * OPTIMIZER_TRAINING_N);
    tcase_add_test(tcase, broken_checkpoints_are_everybodys);
    tcase_add_test(tcase, resumed_steps_are_charged_again);
    tcase_add_loop_test(tcase, clip_norm_follows_the_quantile, 0, 9);
    tcase_add_test(tcase, clip_norm_is_resumed);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
