/* The whole run, over ranks that are threads: ranks agree, the meter rules, evaluation
 * is told or sold, and the noise is what it should be. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "jobs/dp/schedule.h"
#include "jobs/privacy/meter.h"
#include "kernels/kernels.h"
#include "tests/unit/dp/run_fixture.h"

/* With every record in every sample there is nothing random but the noise, which is
 * made negligible: 1, 2, 3 and 5 ranks must find the same model. */
START_TEST(ranks_agree)
{
    spec.training.optimizer = (enum spec_optimizer)(_i % OPTIMIZER_TRAINING_N);
    spec.privacy.is_private = _i >= OPTIMIZER_TRAINING_N;
    spec.training.learning_rate =
        spec.training.optimizer == OPTIMIZER_ADAM ? 0.01 : 0.2;
    use_steps(1e-9, 12, true);
    struct world one = world_of(1);
    run_well(&one, 1);
    for (int size = 2; size <= 5; size += size == 2 ? 1 : 2) {
        struct world many = world_of(size);
        unlink(meter_path);
        run_well(&many, 1);
        ck_assert_double_lt(distance(&one, &many), 2e-5);
        ck_assert_int_eq(many.n_models_saved, 1);
        world_free(&many);
    }
    world_free(&one);
}
END_TEST

static bool same_bits(const struct world *a, const struct world *b)
{
    return a->n_model == b->n_model &&
           memcmp(a->model, b->model, (size_t)a->n_model * sizeof *a->model) == 0;
}

/* Lanes of one rank: the same bits at every run whatever their timing, the same noise
 * and clip norm as one lane's, and sums that differ from its by rounding only. */
START_TEST(lanes_agree)
{
    spec.training.optimizer = (enum spec_optimizer)(_i % OPTIMIZER_TRAINING_N);
    spec.privacy.is_private = _i >= OPTIMIZER_TRAINING_N;
    spec.training.learning_rate =
        spec.training.optimizer == OPTIMIZER_ADAM ? 0.01 : 0.2;
    use_steps(1.0, 12, false);
    struct world one = world_of(2);
    run_well(&one, 1);
    for (int cores = 2; cores <= 5; cores += 3) {
        spec.resources.cores_per_rank = cores;
        struct world many = world_of(2), again = world_of(2);
        unlink(meter_path);
        run_well(&many, 1);
        unlink(meter_path);
        run_well(&again, 1);
        ck_assert_double_lt(distance(&one, &many), 1e-4);
        ck_assert_double_eq(distance(&many, &again), 0.0);
        ck_assert_double_eq(one.report[0].test_accuracy, many.report[0].test_accuracy);
        world_free(&many);
        world_free(&again);
    }
    world_free(&one);
}
END_TEST

/* Everybody in every sample and no noise: in fixed point the model is the same bits for
 * 1, 2, 4 and 8 ranks. It is that of float sums but for rounding; and those are not the
 * same bits, or this test would show nothing. */
START_TEST(fixed_sums_are_the_same_bits)
{
    spec.training.optimizer = (enum spec_optimizer)(_i % OPTIMIZER_TRAINING_N);
    spec.training.learning_rate =
        spec.training.optimizer == OPTIMIZER_ADAM ? 0.01 : 0.2;
    spec.training.loss = (enum spec_loss)(_i % LOSS_N);
    use_steps(0.0, 15, true);
    struct world added = world_of(1), one = world_of(1);
    run_well(&added, 1);
    spec.training.sum = SUM_FIXED;
    run_well(&one, 1);
    ck_assert_double_lt(distance(&one, &added), 1e-3);
    ck_assert(!same_bits(&one, &added));
    for (int size = 2; size <= 8; size *= 2) {
        struct world many = world_of(size);
        run_well(&many, 1);
        ck_assert(same_bits(&one, &many));
        world_free(&many);
    }
    world_free(&one);
    world_free(&added);
}
END_TEST

static size_t n_calls(const struct world *world, char name)
{
    size_t n = 0;
    for (size_t i = 0; i < world->n_calls[0]; i++) {
        n += world->calls[0][i].name == name;
    }
    return n;
}

/* What lies on devices meets there where they can, else in the hosts' memory: each step
 * makes the two calls of the one or of the other, and the same bits come of it. */
START_TEST(devices_meet)
{
    enum { N_STEPS = 5 };
    struct memory elsewhere = memory_host;
    struct kernels kernels = kernels_cpu;
    elsewhere.is_host = false;
    kernels.memory = &elsewhere;
    spec.privacy.is_private = _i == 1;
    use_steps(1e-9, N_STEPS, true);
    struct world apart = world_of(3), together = world_of(3);
    apart.kernels = together.kernels = &kernels;
    apart.keeps_calls = together.keeps_calls = together.has_devices = true;
    run_well(&apart, 1);
    unlink(meter_path);
    run_well(&together, 1);
    ck_assert(same_bits(&apart, &together));
    ck_assert_uint_eq(n_calls(&apart, 'R') + n_calls(&apart, 'G'), 0);
    ck_assert_uint_eq(n_calls(&together, 'R'), N_STEPS);
    ck_assert_uint_eq(n_calls(&together, 'G'), N_STEPS);
    ck_assert_uint_eq(n_calls(&together, 'r'), n_calls(&apart, 'r') - N_STEPS);
    ck_assert_uint_eq(n_calls(&together, 'g'), n_calls(&apart, 'g') - N_STEPS);
    world_free(&apart);
    world_free(&together);
}
END_TEST

/* What all ranks send for the first step, added up. */
struct sent {
    pthread_mutex_t lock;
    double sum[4096];
    size_t n;
};

static void add_sent(void *state, int rank, const double *send, size_t n)
{
    struct sent *sent = state;
    (void)rank;
    pthread_mutex_lock(&sent->lock);
    sent->n = n < 4096 ? n : 4096;
    for (size_t i = 0; i < sent->n; i++) {
        sent->sum[i] += send[i];
    }
    pthread_mutex_unlock(&sent->lock);
}

/* With noise: what it is added to is the same bits for any number of ranks, for every
 * way to clip, so what is released has one law. */
START_TEST(fixed_sums_meet_the_noise_alike)
{
    static struct sent one, many;
    spec.privacy.is_private = true;
    spec.privacy.clip_norm = 0.3;
    spec.privacy.clipping = (struct spec_clipping){.mode = (enum spec_clip_mode)_i,
                                                   .gamma = 0.01,
                                                   .quantile = 0.5,
                                                   .count_noise = 3.0,
                                                   .rate = 0.2};
    spec.training.sum = SUM_FIXED;
    use_steps(1.0, 1, true);
    for (int size = 1; size <= 8; size *= 2) {
        struct sent *sent = size == 1 ? &one : &many;
        struct world world = world_of(size);
        memset(sent->sum, 0, sizeof sent->sum);
        world.on_sum = add_sent;
        world.on_sum_state = sent;
        unlink(meter_path);
        run_well(&world, 1);
        size_t n = (size_t)world.n_model + (_i == CLIP_QUANTILE);
        ck_assert_uint_ge(sent->n, n);
        ck_assert_int_eq(memcmp(one.sum, sent->sum, n * sizeof *one.sum), 0);
        world_free(&world);
    }
    double length = 0.0;
    for (size_t i = 0; i < one.n; i++) {
        length += one.sum[i] * one.sum[i];
    }
    ck_assert_double_gt(sqrt(length), 1.0); /* there were gradients */
}
END_TEST

/* A batch that may not fit is refused by all ranks before the first step; so is a plain
 * job whose loss is no number, as soon as that is seen. */
START_TEST(fixed_point_has_limits)
{
    spec.training.sum = SUM_FIXED;
    spec.privacy.is_private = true;
    manifest.splits[0].nominal_count = (int64_t)1 << 40;
    spec.training.batch_size = 2147483647;
    use_steps(1.0, 1, true);
    struct world world = world_of(2);
    run(&world, 1);
    for (int r = 0; r < 2; r++) {
        ck_assert_int_eq(world.rc[r], -PPT_ERANGE);
        ck_assert(strstr(world.err[r].text, "overflow") != NULL);
    }
    world_free(&world);
    spec.privacy.is_private = false;
    spec.training.learning_rate = 1e30;
    manifest.splits[0].nominal_count = train.n;
    use_steps(0.0, 200, true);
    struct world wild = world_of(2);
    run(&wild, 1);
    for (int r = 0; r < 2; r++) {
        ck_assert_int_eq(wild.rc[r], -PPT_ERANGE);
        ck_assert(strstr(wild.err[r].text, "diverged") != NULL);
    }
    world_free(&wild);
}
END_TEST

static int64_t n_sums_seen;

/* When the sums of step n are sent, n charges are on disk already. */
static void check_paid(void *state, int rank, const double *send, size_t n)
{
    int64_t used[PRICE_MAX_RELEASES];
    bool is_damaged;
    (void)state, (void)send, (void)n;
    if (rank == 0) {
        n_sums_seen++;
        ck_assert_int_eq(meter_read(meter_path, &plan.price, used, &is_damaged, NULL),
                         0);
        ck_assert(!is_damaged);
        ck_assert_int_ge(used[0], n_sums_seen);
    }
}

START_TEST(charged_before_released_and_refused_at_the_end)
{
    spec.privacy.is_private = true;
    spec.training.evaluation = EVALUATION_PUBLIC;
    use_steps(1.0, 200, false);
    plan.price.releases[0].count = 90; /* fewer than the steps */
    struct world world = world_of(3);
    world.on_sum = check_paid;
    n_sums_seen = 0;
    run_well(&world, 1);
    ck_assert_int_eq(n_sums_seen, 90);
    for (int r = 0; r < 3; r++) {
        ck_assert_int_eq(world.report[r].n_steps, 90);
        ck_assert_int_eq(world.report[r].outcome, REPORT_DONE);
    }
    ck_assert_int_eq(world.report[0].used[0], 90);
    ck_assert_int_eq(world.n_models_saved, 1);
    world_free(&world);
}
END_TEST

/* Records on every rank, on some, on none: the collectives are the same. */
START_TEST(empty_ranks_run_every_collective)
{
    const int64_t splits[3][4] = {{0, 80, 160, 240}, {0, 0, 240, 240}, {0, 0, 0, 0}};
    struct world world = world_of(3), first = world_of(3);
    spec.privacy.is_private = true;
    spec.training.checkpoint_every = 3;
    spec.training.evaluation = EVALUATION_PUBLIC;
    spec.training.evaluate_every = 2;
    use_steps(1.0, 8, false);
    world.keeps_calls = first.keeps_calls = world.is_split = first.is_split = true;
    for (int split = 0; split < 3; split++) {
        struct world *now = split == 0 ? &first : &world;
        memcpy(now->starts, splits[split], sizeof splits[split]);
        unlink(meter_path);
        free(world.checkpoint);
        world.checkpoint = NULL;
        run_well(now, 1);
        ck_assert_int_eq(now->report[0].n_steps, 8);
        for (int r = 0; r < 3; r++) {
            /* leases depend on the clock: compare what does not */
            size_t i = 0, j = 0;
            while (i < now->n_calls[r] || j < first.n_calls[0]) {
                while (i < now->n_calls[r] && strchr("mb", now->calls[r][i].name)) {
                    i++;
                }
                while (j < first.n_calls[0] && strchr("mb", first.calls[0][j].name)) {
                    j++;
                }
                ck_assert_int_eq(i < now->n_calls[r], j < first.n_calls[0]);
                if (i < now->n_calls[r]) {
                    ck_assert_int_eq(now->calls[r][i].name, first.calls[0][j].name);
                    ck_assert_uint_eq(now->calls[r][i].n, first.calls[0][j].n);
                    i++, j++;
                }
            }
        }
    }
    world_free(&world);
    world_free(&first);
}
END_TEST

/* Without records an update is -rate / expected_batch times the noise alone. The bounds
 * are 5.5 standard deviations. */
static void noise_of(int size, int64_t n_steps, unsigned char key, double *ret_noise,
                     int64_t *ret_n)
{
    struct world world = world_of(size), start = world_of(size);
    const int64_t nobody[WORLD_MAX_RANKS + 1] = {0};
    world.is_split = start.is_split = true;
    memcpy(world.starts, nobody, sizeof nobody);
    use_steps(1.5, n_steps, false);
    world.noise_key[5] = key;
    unlink(meter_path);
    run_well(&world, 1);
    use_steps(1.5, 0, false);
    unlink(meter_path);
    run_well(&start, 1);
    double batch = plan.price.sample_rate * (double)train.n;
    for (int64_t i = 0; i < world.n_model; i++) {
        ret_noise[i] = -((double)world.model[i] - (double)start.model[i]) * batch / 0.5;
    }
    *ret_n = world.n_model;
    world_free(&world);
    world_free(&start);
}

static double mean_product(const double *x, const double *y, int64_t n)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) {
        sum += x[i] * y[i];
    }
    return sum / (double)n;
}

START_TEST(noise_is_added_once_by_its_owner)
{
    enum { MOST = 20000 };
    static double one[MOST], two[MOST], other[MOST];
    int size = _i + 1;
    int64_t n;
    double std = 1.5 * 3.0;
    spec.privacy.is_private = true;
    spec.privacy.clip_norm = 3.0;
    spec.training.learning_rate = 0.5;
    spec.model.hidden = 700;
    noise_of(size, 1, 1, one, &n);
    noise_of(size, 2, 1, two, &n);
    noise_of(size, 1, 2, other, &n);
    ck_assert_int_gt(n, 10000);
    for (int64_t i = 0; i < n; i++) {
        two[i] -= one[i]; /* the second step's own */
    }
    double bound = 5.5 * std * std / sqrt((double)n);
    ck_assert_double_lt(fabs(mean_product(one, one, n) - std * std), bound * sqrt(2.0));
    ck_assert_double_lt(fabs(mean_product(two, two, n) - std * std), bound * sqrt(2.0));
    ck_assert_double_lt(fabs(mean_product(one, two, n)), bound);
    ck_assert_double_lt(fabs(mean_product(one, other, n)), bound);
    int64_t slice = (n + size - 1) / size / 16 * 16;
    for (int r = 1; r < size; r++) { /* no rank repeats another's draws */
        ck_assert_double_lt(fabs(mean_product(one, one + r * slice, n - r * slice)),
                            5.5 * std * std / sqrt((double)(n - r * slice)));
    }
}
END_TEST

START_TEST(learns_and_tells)
{
    spec.privacy.is_private = _i == 1;
    spec.training.evaluation = EVALUATION_PUBLIC;
    spec.training.learning_rate = 0.5;
    use_steps(0.3, 120, false);
    struct world world = world_of(2);
    run_well(&world, 1);
    for (int r = 0; r < 2; r++) {
        ck_assert(world.report[r].has_test_accuracy);
        ck_assert_double_gt(world.report[r].test_accuracy, 0.9);
        ck_assert_double_eq(world.report[r].test_accuracy,
                            world.report[0].test_accuracy);
        ck_assert_int_eq(world.report[r].job_id, 7);
    }
    ck_assert_double_gt(world.report[0].expected_examples_per_s, 0.0);
    world_free(&world);
}
END_TEST

static void use_paid(double noise)
{
    spec.training.evaluation = EVALUATION_PAID;
    spec.training.evaluation_noise = noise;
    use_steps(0.3, 40, false);
    plan.price.n_releases = 2;
    plan.price.releases[1] =
        (struct price_release){.name = "evaluation",
                               .mechanism = {.kind = MECHANISM_GAUSSIAN,
                                             .noise_multiplier = noise,
                                             .sample_rate = 1.0},
                               .count = 1};
}

START_TEST(paid_evaluation)
{
    spec.privacy.is_private = true;
    use_paid(1e-6);
    struct world exact = world_of(2), noisy = world_of(2), none = world_of(2);
    run_well(&exact, 1);
    ck_assert(exact.report[0].has_test_accuracy);
    ck_assert(!exact.report[1].has_test_accuracy);
    ck_assert_int_eq(exact.report[0].used[1], 1);
    double correct = exact.report[0].test_accuracy * 60.0;
    ck_assert_double_eq_tol(correct, round(correct), 1e-4);
    ck_assert_double_gt(correct, 30.0);
    use_paid(3.0);
    unlink(meter_path);
    run_well(&noisy, 1);
    double off = noisy.report[0].test_accuracy * 60.0 - round(correct);
    ck_assert_double_gt(fabs(off), 1e-6); /* the very same training: only the noise */
    ck_assert_double_lt(fabs(off), 5.5 * 3.0);
    use_paid(1e6);
    unlink(meter_path);
    run_well(&noisy, 1);
    ck_assert(noisy.report[0].test_accuracy == 0.0 ||
              noisy.report[0].test_accuracy == 1.0);
    plan.price.releases[1].count = 0; /* refused: no accuracy, but a model */
    unlink(meter_path);
    run_well(&none, 1);
    ck_assert(!none.report[0].has_test_accuracy);
    ck_assert_int_eq(none.n_models_saved, 1);
    world_free(&exact);
    world_free(&noisy);
    world_free(&none);
}
END_TEST

START_TEST(faults_are_everybodys)
{
    struct world world = world_of(2);
    use_steps(0.0, 300, false);
    world.stop_after_reads = 3;
    run(&world, 1);
    world.stop_after_reads = 0;
    plan.job_id = 8; /* another job's checkpoint */
    run(&world, 1);
    ck_assert_int_eq(world.rc[0], -PPT_ETRUST);
    ck_assert_int_eq(world.rc[1], -PPT_ETRUST);
    ck_assert_str_eq(world.err[0].text, world.err[1].text);
    plan.job_id = 7;
    ((unsigned char *)world.checkpoint)[50] ^= 1; /* the spec's digest */
    run(&world, 1);
    ck_assert_int_eq(world.rc[1], -PPT_ETRUST);
    free(world.checkpoint);
    world.checkpoint = NULL;
    const int64_t memory_bytes = spec.resources.memory_bytes;
    spec.resources.memory_bytes = 4000; /* of both ranks; not even one record fits */
    run(&world, 1);
    ck_assert_int_eq(world.rc[0], -PPT_ESPEC);
    ck_assert_int_eq(world.rc[1], -PPT_ESPEC);
    ck_assert_ptr_nonnull(strstr(world.err[0].text, "resources.memory"));
    spec.resources.memory_bytes = memory_bytes;
    spec.training.learning_rate = 1e38;
    run(&world, 1);
    ck_assert_int_eq(world.rc[0], -PPT_ERANGE);
    ck_assert_int_eq(world.rc[1], -PPT_ERANGE);
    ck_assert_int_eq(world.n_models_saved, 0);
    spec.training.evaluation = EVALUATION_PUBLIC;
    world.test = NULL;
    run(&world, 1);
    ck_assert_int_eq(world.rc[0], -PPT_ESPEC);
    spec.training.evaluation = EVALUATION_NONE;
    spec.privacy.is_private = true;
    use_steps(1.0, 30, false);
    world_run(&world); /* no meter */
    ck_assert_int_eq(world.rc[0], -PPT_EINTERNAL);
    ck_assert_int_eq(world.rc[1], -PPT_EINTERNAL);
    world_free(&world);
}
END_TEST

/* Where each record is a user, clipping records clips users. */
START_TEST(users_of_one_record_each)
{
    spec.privacy.is_private = true;
    struct world by_user = world_of(2);
    use_steps(1.0, 20, false);
    spec.privacy.unit = manifest.unit = plan.price.unit = UNIT_USER;
    run_well(&by_user, 1);
    ck_assert_int_eq(by_user.report[0].n_steps, 20);
    ck_assert_int_eq(by_user.report[0].used[0], 20);
    world_free(&by_user);
}
END_TEST

/* A plan whose price is of another job than the spec must not run. */
START_TEST(only_what_was_priced)
{
    spec.privacy.is_private = true;
    for (int fault = 0; fault < 6; fault++) {
        struct world world = world_of(2);
        use_steps(1.0, 3, false);
        manifest.splits[0].nominal_users = fault == 0 ? 10 : 0;
        spec.privacy.clip_norm = fault == 1 ? 0.0 : 1.0;
        plan.price.noise_multiplier *= fault == 2 ? 0.5 : 1.0;
        plan.price.sample_rate *= fault == 3 ? 2.0 : 1.0;
        plan.price.is_private = fault != 4;
        plan.price.n_releases += fault == 5;
        unlink(meter_path);
        run(&world, 1);
        ck_assert_int_eq(world.rc[0], fault == 0 ? -PPT_ESPEC : -PPT_EINTERNAL);
        ck_assert_int_eq(world.rc[1], world.rc[0]);
        ck_assert_int_eq(world.n_models_saved, 0);
        world_free(&world);
    }
}
END_TEST

static void count_progress(void *state, const struct progress *progress)
{
    struct progress *last = state;
    ck_assert(progress->has_loss != plan.price.is_private);
    ck_assert(!plan.price.is_private || progress->loss == 0.0);
    ck_assert(!progress->has_test_accuracy ||
              spec.training.evaluation == EVALUATION_PUBLIC);
    *last = *progress;
}

START_TEST(progress_tells_no_secret)
{
    struct progress last = {0};
    spec.privacy.is_private = _i == 1;
    use_paid(2.0);
    spec.training.evaluation = _i == 1 ? EVALUATION_PAID : EVALUATION_PUBLIC;
    struct world world = world_of(2);
    world.progress = count_progress;
    world.progress_state = &last;
    run_well(&world, 1);
    ck_assert_int_eq(last.step, 40);
    ck_assert_int_eq(last.n_steps, 40);
    ck_assert(_i == 1 ? last.epsilon > 0.0 : last.epsilon == 0.0);
    world_free(&world);
}
END_TEST

START_TEST(schedules)
{
    struct spec_training training = {
        .learning_rate = 2.0, .schedule_every = 10, .schedule_factor = 0.5};
    ck_assert_double_eq(schedule_rate(&training, 77, 100), 2.0);
    training.schedule = SCHEDULE_STEP;
    ck_assert_double_eq_tol(schedule_rate(&training, 9, 100), 2.0, 1e-12);
    ck_assert_double_eq_tol(schedule_rate(&training, 10, 100), 1.0, 1e-12);
    ck_assert_double_eq_tol(schedule_rate(&training, 39, 100), 0.25, 1e-12);
    training.schedule = SCHEDULE_COSINE;
    ck_assert_double_eq_tol(schedule_rate(&training, 0, 100), 2.0, 1e-12);
    ck_assert_double_eq_tol(schedule_rate(&training, 50, 100), 1.0, 1e-12);
    ck_assert_double_gt(schedule_rate(&training, 99, 100), 0.0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dp_run");
    TCase *tcase = tcase_create("dp_run");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, ranks_agree, 0, 2 * OPTIMIZER_TRAINING_N);
    tcase_add_loop_test(tcase, lanes_agree, 0, 2 * OPTIMIZER_TRAINING_N);
    tcase_add_loop_test(tcase, devices_meet, 0, 2);
    tcase_add_loop_test(tcase, fixed_sums_are_the_same_bits, 0, OPTIMIZER_TRAINING_N);
    tcase_add_loop_test(tcase, fixed_sums_meet_the_noise_alike, 0, CLIP_N);
    tcase_add_test(tcase, fixed_point_has_limits);
    tcase_add_test(tcase, charged_before_released_and_refused_at_the_end);
    tcase_add_test(tcase, empty_ranks_run_every_collective);
    tcase_add_loop_test(tcase, noise_is_added_once_by_its_owner, 0, 3);
    tcase_add_loop_test(tcase, learns_and_tells, 0, 2);
    tcase_add_test(tcase, paid_evaluation);
    tcase_add_test(tcase, faults_are_everybodys);
    tcase_add_test(tcase, users_of_one_record_each);
    tcase_add_test(tcase, only_what_was_priced);
    tcase_add_loop_test(tcase, progress_tells_no_secret, 0, 2);
    tcase_add_test(tcase, schedules);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
