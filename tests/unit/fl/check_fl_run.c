/* A whole federation over ranks that are threads: the same model for any number of
 * ranks, one user moves a sum by clip_norm at most, runs resume, the meter rules. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "jobs/dp/dp_run.h"
#include "jobs/fl/fl_run.h"
#include "jobs/fl/round.h"
#include "jobs/privacy/meter.h"
#include "tests/unit/dp/world.h"

static struct world_data train, test;
static struct manifest manifest;
static struct spec spec;
static struct plan plan;
static char meter_path[64];

static void use_federation(enum spec_partition partition, int64_t cohort,
                           int64_t rounds)
{
    bool is_private = spec.privacy.is_private;
    spec.federation = (struct spec_federation){
        .rounds = rounds,
        .partition = partition,
        .clients = partition == PARTITION_USERS ? 0 : 20,
        .alpha = 0.3,
        .shards = 2,
        .cohort = cohort,
        .server = {.learning_rate = 1.0, .momentum = 0.9, .beta1 = 0.9, .beta2 = 0.99}};
    double n_clients = partition == PARTITION_USERS ? (double)train.n : 20.0;
    plan = world_plan(&spec, &manifest, is_private ? 1e-9 : 0.0, rounds);
    plan.price.sample_rate = floor((double)cohort / n_clients * 0x1p53) * 0x1p-53;
    plan.price.releases[0].mechanism.sample_rate = plan.price.sample_rate;
    plan.price.unit = spec.privacy.unit;
}

static void setup(void)
{
    int64_t dims[1] = {12};
    train = world_blobs(240, 12, 3, 0.8, 1);
    test = world_blobs(60, 12, 3, 0.8, 2);
    manifest = world_manifest(train.n, test.n, 1, dims, 3);
    spec = world_spec(PRESET_MLP, false);
    spec.kind = JOB_FL;
    spec.training.batch_size = 5;
    spec.training.epochs = 2;
    spec.resources.memory_bytes = 1 << 30;
    strcpy(meter_path, "/tmp/check_fl_run.XXXXXX");
    int fd = mkstemp(meter_path);
    ck_assert_int_ge(fd, 0);
    close(fd);
    unlink(meter_path);
}

static void teardown(void)
{
    unlink(meter_path);
    world_data_free(&train);
    world_data_free(&test);
}

static void use_privacy(double clip_norm)
{
    spec.privacy.is_private = true;
    spec.privacy.unit = UNIT_USER;
    spec.privacy.clip_norm = clip_norm;
}

static struct world world_of(int size)
{
    return (struct world){.size = size,
                          .train = &train,
                          .test = &test,
                          .plan = &plan,
                          .spec = &spec,
                          .manifest = &manifest,
                          .run = fl_run,
                          .is_whole = true};
}

static void run(struct world *world, int attempt)
{
    struct error err = {0};
    world->meter = NULL;
    if (plan.price.is_private) {
        if (attempt == 1) {
            ck_assert_int_eq(meter_create(meter_path, &err), 0);
        }
        ck_assert_int_eq(
            meter_open(meter_path, attempt, &plan.price, &world->meter, &err), 0);
    }
    world_run(world);
    if (world->meter != NULL) {
        meter_close(world->meter);
    }
}

static void run_well(struct world *world, int attempt)
{
    run(world, attempt);
    for (int r = 0; r < world->size; r++) {
        ck_assert_msg(world->rc[r] == 0, "rank %d: %s", r, world->err[r].text);
    }
}

static void expect_same_model(const struct world *a, const struct world *b)
{
    ck_assert_int_eq(a->n_model, b->n_model);
    ck_assert_mem_eq(a->model, b->model, (size_t)a->n_model * sizeof *a->model);
}

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
        spec.federation.server.optimizer == OPTIMIZER_ADAM ? 0.01 : 1.0;
    spec.federation.prox = _i == 1 ? 0.1 : 0.0;
    struct world one = world_of(1);
    run_well(&one, 1);
    for (int i = 0; i < 3; i++) {
        struct world many = world_of(sizes[i]);
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
    struct world one = world_of(1), many = world_of(3);
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
    struct world everybody = world_of(1);
    run_well(&everybody, 1);
    ck_assert_int_ne(
        memcmp(one.model, everybody.model, (size_t)one.n_model * sizeof *one.model), 0);
    world_free(&one), world_free(&many), world_free(&everybody);
}
END_TEST

static void use_secagg(double max_norm)
{
    spec.federation.aggregation = AGGREGATION_SECAGG;
    spec.federation.secagg = (struct spec_secagg){.bits = 20,
                                                  .max_norm = max_norm,
                                                  .corrupt = 0.05,
                                                  .dropout = 0.05,
                                                  .min_clients = 4};
}

static void use_noise_by_clients(enum spec_noise_kind kind, int64_t participants,
                                 int64_t min_survivors)
{
    use_secagg(0.0);
    spec.federation.noise = (struct spec_noise){.by = NOISE_BY_CLIENTS,
                                                .kind = kind,
                                                .participants = participants,
                                                .min_survivors = min_survivors};
}

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
    struct world one = world_of(1);
    run_well(&one, 1);
    for (int i = 0; i < 3; i++) {
        struct world many = world_of(sizes[i]);
        many.sampling_key[3] = (unsigned char)i;
        run_well(&many, 1);
        expect_same_model(&one, &many);
        world_free(&many);
    }
    spec.federation.secagg.vanish = 0.0;
    struct world nobody_vanishes = world_of(1);
    run_well(&nobody_vanishes, 1);
    ck_assert_int_eq(memcmp(one.model, nobody_vanishes.model,
                            (size_t)one.n_model * sizeof *one.model) != 0,
                     _i == 1);
    world_free(&nobody_vanishes);
    world_free(&one);
}
END_TEST

static void use_rule(enum spec_rule rule, enum spec_before before)
{
    spec.federation.selection = SELECTION_FIXED;
    spec.federation.robust = (struct spec_robust){.is_on = true,
                                                  .rule = rule,
                                                  .byzantine = 1,
                                                  .before = before,
                                                  .bucket = 2,
                                                  .clip_norm = 0.5,
                                                  .iterations = 3,
                                                  .smoothing = 1e-6};
}

/* And by every rule, which sees updates in slices. */
START_TEST(one_model_by_robust_rules)
{
    static const int sizes[] = {3, 8};
    use_federation(PARTITION_IID, 15, 2);
    use_rule(_i < RULE_N ? (enum spec_rule)_i : RULE_MULTI_KRUM,
             _i < RULE_N ? BEFORE_NOTHING : (enum spec_before)(_i - RULE_N + 1));
    struct world one = world_of(1);
    run_well(&one, 1);
    for (int i = 0; i < 2; i++) {
        struct world many = world_of(sizes[i]);
        run_well(&many, 1);
        expect_same_model(&one, &many);
        world_free(&many);
    }
    spec.federation.robust.is_on = false;
    struct world mean = world_of(1);
    run_well(&mean, 1);
    ck_assert_int_ne(
        memcmp(one.model, mean.model, (size_t)one.n_model * sizeof *one.model), 0);
    world_free(&mean);
    world_free(&one);
}
END_TEST

static void use_attack(enum spec_attack_kind kind)
{
    spec.federation.selection = SELECTION_FIXED;
    spec.federation.attack = (struct spec_attack){
        .is_on = true, .kind = kind, .clients = 4, .strength = 0.5};
}

/* And with false clients, in the mean and under a rule, whose clients remember their
 * momentum. Under a rule that is prepared for them no numbers do no harm. */
START_TEST(one_model_under_attack)
{
    use_federation(PARTITION_IID, 14, 3);
    use_attack((enum spec_attack_kind)_i);
    spec.federation.client_momentum = 0.5;
    if (_i % 2 == 0) {
        use_rule(RULE_TRIMMED_MEAN, BEFORE_NOTHING);
        spec.federation.robust.byzantine = 4;
    }
    struct world one = world_of(1);
    run_well(&one, 1);
    char attack[REPORT_NAME_SIZE];
    snprintf(attack, sizeof attack, "%s by 4 clients",
             spec_attack_name(spec.federation.attack.kind));
    ck_assert_str_eq(one.report[0].attack, attack);
    struct world many = world_of(2 + _i); /* 2 .. 8 */
    run_well(&many, 1);
    expect_same_model(&one, &many);
    world_free(&many);
    spec.federation.attack.is_on = false;
    struct world honest = world_of(1);
    run_well(&honest, 1);
    ck_assert_str_eq(honest.report[0].attack, "");
    ck_assert_int_ne(
        memcmp(one.model, honest.model, (size_t)one.n_model * sizeof *one.model), 0);
    world_free(&honest);
    world_free(&one);
}
END_TEST

/* And where the rule sees sums of groups only: with clients that remember, under attack
 * (whose clients know all) and without. */
START_TEST(one_model_by_groups)
{
    use_federation(PARTITION_IID, 14, 2);
    use_secagg(2.0);
    spec.federation.secagg.min_clients = 3;
    spec.federation.secagg.group = 4;
    use_rule(_i % 2 == 0 ? RULE_MEDIAN : RULE_CENTERED_CLIPPING, BEFORE_NOTHING);
    spec.federation.client_momentum = 0.5;
    if (_i >= 2) {
        use_attack(ATTACK_ALIE);
    }
    struct world one = world_of(1);
    run_well(&one, 1);
    struct world many = world_of(2 + _i); /* 2 .. 5 */
    many.sampling_key[3] = 1;
    run_well(&many, 1);
    expect_same_model(&one, &many);
    world_free(&many);
    spec.federation.secagg.group = 7;
    struct world larger = world_of(1);
    run_well(&larger, 1);
    ck_assert_int_ne(
        memcmp(one.model, larger.model, (size_t)one.n_model * sizeof *one.model), 0);
    world_free(&larger);
    world_free(&one);
}
END_TEST

/* One group of all is the mean in the clear, but for the rounding; a group of fewer
 * than its least has no sum. */
START_TEST(groups_are_means)
{
    double worst = 0.0;
    use_federation(PARTITION_IID, 14, 3);
    use_attack(ATTACK_SIGN_FLIP);
    struct world clear = world_of(2);
    run_well(&clear, 1);
    use_secagg(4.0);
    spec.federation.secagg.bits = 24;
    struct world secure = world_of(2);
    run_well(&secure, 1);
    for (int64_t j = 0; j < clear.n_model; j++) {
        worst = fmax(worst, fabs((double)clear.model[j] - (double)secure.model[j]));
    }
    ck_assert_double_gt(worst, 0.0);
    ck_assert_double_lt(worst, 1e-4);
    world_free(&clear);
    world_free(&secure);
    use_rule(RULE_MEDIAN, BEFORE_NOTHING);
    spec.federation.secagg.group = 3;
    struct world small = world_of(2);
    run(&small, 1);
    ck_assert_int_eq(small.rc[0], -PPT_EPOLICY);
    ck_assert_msg(strstr(small.err[0].text, "cohort_too_small: ") != NULL, "%s",
                  small.err[0].text);
    ck_assert_int_eq(small.n_models_saved, 0);
    world_free(&small);
}
END_TEST

/* And where clients compress; what is left out is remembered, also in a checkpoint. */
START_TEST(one_model_compressed)
{
    use_federation(PARTITION_IID, 6, 120);
    spec.federation.compress =
        (struct spec_compress){.is_on = true,
                               .kind = (enum spec_compress_kind)_i,
                               .fraction = 0.1,
                               .levels = 15};
    spec.training.evaluation = EVALUATION_PUBLIC;
    struct world whole = world_of(1), parts = world_of(2);
    run_well(&whole, 1);
    ck_assert_double_gt(whole.report[0].test_accuracy, 0.9);
    parts.stop_after_reads = 40;
    run(&parts, 1);
    ck_assert_int_eq(parts.rc[0], -PPT_EINTERRUPTED);
    parts.size = 3;
    parts.stop_after_reads = 0;
    run_well(&parts, 2);
    expect_same_model(&whole, &parts);
    world_free(&parts);
    world_free(&whole);
    spec.federation.max_client_bytes = 50;
    struct world limited = world_of(1);
    run(&limited, 1);
    ck_assert_int_eq(limited.rc[0], -PPT_EPOLICY);
    world_free(&limited);
}
END_TEST

/* Where the mean goes the other way, or nowhere, a rule learns. */
START_TEST(rules_learn_under_attack)
{
    static const enum spec_attack_kind kinds[] = {ATTACK_SIGN_FLIP, ATTACK_IPM,
                                                  ATTACK_NAN};
    double accuracy[2] = {0.0, 0.0};
    for (int i = 0; i < 2; i++) {
        use_federation(PARTITION_IID, 20, 15);
        use_attack(kinds[_i]);
        spec.federation.attack.clients = 8;
        spec.federation.attack.strength = 3.0;
        spec.training.evaluation = EVALUATION_PUBLIC;
        if (i == 1) {
            use_rule(RULE_MEDIAN, BEFORE_NOTHING);
            spec.federation.robust.byzantine = 8;
        }
        struct world world = world_of(2);
        run(&world, 1);
        if (i == 0 && kinds[_i] == ATTACK_NAN) {
            ck_assert_int_eq(world.rc[0], -PPT_ERANGE);
        } else {
            ck_assert_int_eq(world.rc[0], 0);
            accuracy[i] = world.report[0].test_accuracy;
        }
        world_free(&world);
    }
    ck_assert_double_gt(accuracy[1], 0.85);
    ck_assert_double_lt(accuracy[0], accuracy[1] - 0.02);
}
END_TEST

/* What clients remember is in the checkpoint, wherever they are played afterwards; and
 * it must fit the job's memory. */
START_TEST(memories_resume)
{
    use_federation(PARTITION_IID, 6, 300);
    spec.federation.client_momentum = 0.8;
    struct world whole = world_of(1), parts = world_of(2);
    run_well(&whole, 1);
    parts.stop_after_reads = 60;
    run(&parts, 1);
    ck_assert_int_eq(parts.rc[0], -PPT_EINTERRUPTED);
    ck_assert_int_gt(parts.report[0].n_steps, 0);
    ck_assert_int_lt(parts.report[0].n_steps, 300);
    parts.size = 3;
    parts.stop_after_reads = 0;
    run_well(&parts, 2);
    expect_same_model(&whole, &parts);
    world_free(&whole);
    world_free(&parts);
    spec.resources.memory_bytes = 40000; /* 20 clients of 259 floats are 20720 bytes */
    struct world small = world_of(2);
    run(&small, 1);
    ck_assert_int_eq(small.rc[0], -PPT_ESPEC);
    ck_assert_msg(strstr(small.err[1].text, "what 20 clients remember") != NULL, "%s",
                  small.err[1].text);
    world_free(&small);
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
        struct world clear = world_of(2), secure = world_of(2);
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
    struct world world = world_of(2);
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
    struct world world = world_of(2);
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
    struct world federation = world_of(2), plain = world_of(1);
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
        struct world world = world_of(1);
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
    struct world whole = world_of(1), parts = world_of(2);
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

/* The center that clipping keeps from round to round is in the checkpoint. */
START_TEST(a_center_resumes)
{
    use_federation(PARTITION_IID, 6, 300);
    use_rule(RULE_CENTERED_CLIPPING, BEFORE_NOTHING);
    spec.federation.robust.clip_norm = 0.01;
    spec.federation.server.optimizer = OPTIMIZER_MOMENTUM;
    struct world whole = world_of(1), parts = world_of(2);
    run_well(&whole, 1);
    parts.stop_after_reads = 60;
    run(&parts, 1);
    ck_assert_int_eq(parts.rc[0], -PPT_EINTERRUPTED);
    ck_assert_int_gt(parts.report[0].n_steps, 0);
    ck_assert_int_lt(parts.report[0].n_steps, 300);
    parts.size = 3;
    parts.stop_after_reads = 0;
    run_well(&parts, 2);
    expect_same_model(&whole, &parts);
    world_free(&whole);
    world_free(&parts);
}
END_TEST

/* What went into the first reduction, over all ranks. */
struct seen {
    pthread_mutex_t mutex;
    double sum[4096];
    size_t n;
};

static void see(void *state, int rank, const double *send, size_t n)
{
    (void)rank;
    struct seen *seen = state;
    pthread_mutex_lock(&seen->mutex);
    ck_assert_uint_le(n, sizeof seen->sum / sizeof *seen->sum);
    for (size_t j = 0; j < n; j++) {
        seen->sum[j] += send[j];
    }
    seen->n = n;
    pthread_mutex_unlock(&seen->mutex);
}

static struct seen run_seen(int size)
{
    struct seen seen = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    struct world world = world_of(size);
    world.on_sum = see;
    world.on_sum_state = &seen;
    unlink(meter_path);
    run_well(&world, 1);
    world_free(&world);
    return seen;
}

/* All users are in the only round. Without the last one the sum differs by that user's
 * part, which is on the grid and no longer than clip_norm; before clipping it is longer
 * (the second case shows its whole length). */
START_TEST(one_user_moves_the_sum_by_the_clip_norm)
{
    spec.training.epochs = 5;
    spec.training.learning_rate = 5.0;
    use_privacy(_i == 0 ? 0.25 : 1e3);
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
    if (_i == 0) {
        ck_assert_double_le(sqrt(square), 0.25 * (1 + 1e-12));
        ck_assert_double_gt(sqrt(square), 0.2499);
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

/* Users of 1 to 40 records, whose ids are not in the order of the records. */
static void use_users(void)
{
    train.users = calloc((size_t)train.n, sizeof *train.users);
    for (int64_t i = 0; i < train.n; i++) {
        train.users[i] = 1000 - (int64_t)sqrt(1.5 * (double)(i * 7 % train.n));
    }
    manifest.splits[0].nominal_users = 20;
}

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
    struct world one = world_of(1), many = world_of(3);
    run_well(&one, 1);
    run_well(&many, 1);
    expect_same_model(&one, &many);
    ck_assert_double_gt(one.report[0].test_accuracy, _i == 0 ? 0.9 : 0.4);
    world_free(&one);
    world_free(&many);
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

/* A rule's outcome has no sensitivity that is known. */
START_TEST(refuses_private_rules)
{
    use_privacy(1.0);
    use_federation(PARTITION_USERS, 10, 2);
    use_rule(RULE_MEDIAN, BEFORE_NOTHING);
    spec.federation.selection = SELECTION_POISSON;
    struct world world = world_of(1);
    run(&world, 1);
    ck_assert_int_eq(world.rc[0], -PPT_EINTERNAL);
    ck_assert_str_eq(world.err[0].text, "a robust rule, an attack, a client's momentum "
                                        "or compression in a private job");
    world_free(&world);
}
END_TEST

/* Two runs draw other cohorts and other noise; the meter is charged a round each. */
START_TEST(private_rounds_are_charged)
{
    use_privacy(1.0);
    use_federation(PARTITION_USERS, 30, 10);
    plan.price.noise_multiplier = 1.0;
    plan.price.releases[0].mechanism.noise_multiplier = 1.0;
    struct world first = world_of(2), second = world_of(2);
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

/* After one round whose updates are nothing beside the noise; in the second case by
 * secure aggregation, in the third with a divisor for the weights of clients that have
 * one record of four that would count. */
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
    struct world world = world_of(3);
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
    struct world world = world_of(3);
    run_well(&world, 1);
    double std = std_of_first_step(&world), n = (double)world.n_model;
    double expected = 2.0 * 1.0 / 40.0 * (is_double ? sqrt(2.0) : 1.0);
    ck_assert_double_eq_tol(std / expected, 1.0, 5.0 / sqrt(2.0 * n));
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
    struct world world = world_of(2);
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
    struct world world = world_of(2);
    run(&world, 1);
    ck_assert_int_eq(world.rc[0], -PPT_ERANGE);
    ck_assert_ptr_nonnull(strstr(world.err[0].text, "only cohorts of 5 clients"));
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
    struct world world = world_of(2);
    run(&world, 1);
    ck_assert_int_eq(world.rc[0], -PPT_EINTERNAL);
    ck_assert_int_eq(world.rc[1], -PPT_EINTERNAL);
    ck_assert_ptr_nonnull(strstr(world.err[0].text, "price is not this spec's"));
    world_free(&world);
}
END_TEST

START_TEST(divergence_is_told)
{
    use_federation(PARTITION_IID, 5, 3);
    spec.training.learning_rate = 1e6;
    struct world world = world_of(1);
    run(&world, 1);
    ck_assert_int_eq(world.rc[0], -PPT_ERANGE);
    ck_assert_ptr_nonnull(strstr(world.err[0].text, "diverged"));
    world_free(&world);
    use_rule(RULE_MEDIAN, BEFORE_NOTHING);
    struct world robust = world_of(2);
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
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, one_model_for_any_ranks, 0, 4);
    tcase_add_loop_test(tcase, one_model_of_devices, 0, 2);
    tcase_add_loop_test(tcase, one_model_by_secure_aggregation, 0, 2);
    tcase_add_loop_test(tcase, one_model_by_robust_rules, 0, RULE_N + BEFORE_N - 1);
    tcase_add_loop_test(tcase, one_model_under_attack, 0, ATTACK_N);
    tcase_add_loop_test(tcase, one_model_by_groups, 0, 4);
    tcase_add_test(tcase, groups_are_means);
    tcase_add_loop_test(tcase, one_model_compressed, 0, COMPRESS_N);
    tcase_add_loop_test(tcase, rules_learn_under_attack, 0, 3);
    tcase_add_test(tcase, memories_resume);
    tcase_add_test(tcase, a_center_resumes);
    tcase_add_test(tcase, refuses_private_rules);
    tcase_add_loop_test(tcase, secure_sums_are_the_same_means, 0, 2);
    tcase_add_loop_test(tcase, a_round_that_fails_releases_nothing, 0, 2);
    tcase_add_test(tcase, learns);
    tcase_add_test(tcase, one_client_is_gradient_descent);
    tcase_add_test(tcase, prox_holds_back);
    tcase_add_test(tcase, resumes_on_other_ranks);
    tcase_add_loop_test(tcase, one_user_moves_the_sum_by_the_clip_norm, 0, 2);
    tcase_add_loop_test(tcase, a_user_of_many_records_moves_the_sum_by_the_clip_norm, 0,
                        28);
    tcase_add_loop_test(tcase, users_train_on_all_their_records, 0, 2);
    tcase_add_test(tcase, clipping_is_exact);
    tcase_add_test(tcase, private_rounds_are_charged);
    tcase_add_loop_test(tcase, clients_noise_has_its_size, 0, 2 * NOISE_KIND_N);
    tcase_add_loop_test(tcase, noise_has_its_size, 0, 3);
    tcase_add_test(tcase, one_user_moves_a_secure_sum_by_the_bound);
    tcase_add_loop_test(tcase, every_private_cohort_is_summed, 0, 20);
    tcase_add_test(tcase, refuses_too_few_stand_ins);
    tcase_add_loop_test(tcase, one_user_moves_a_noisy_sum_by_the_bound, 0, 2);
    tcase_add_loop_test(tcase, refuses_other_prices, 0, 6);
    tcase_add_test(tcase, divergence_is_told);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
