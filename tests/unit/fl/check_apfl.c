/* APFL beside an implementation of its own; what it leaves alone; runs that resume. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/fl/local.h"
#include "tests/unit/fl/fl_world.h"

enum { N = 3, N_CLIENTS = 2 };

static float *vectors[2 * N_CLIENTS];
static struct keep keep;
static struct spec own;
static struct apfl apfl;
static char notes[65536];

static void setup_keep(void)
{
    own = (struct spec){
        .federation.personal = {.is_on = true, .kind = PERSONAL_APFL, .alpha = 0.25}};
    keep = (struct keep){
        .n_clients = N_CLIENTS, .n_vectors = 2, .n_params = N, .vectors = vectors};
    keep.at[KEEP_OWN] = 0, keep.at[KEEP_SHARE] = 1;
    ck_assert_int_eq(apfl_open(&apfl, &own, N, NULL), 0);
}

static void teardown_keep(void)
{
    for (int i = 0; i < 2 * N_CLIENTS; i++) {
        free(vectors[i]);
    }
    apfl_close(&apfl);
}

/* Two rounds of three steps on |x - target|^2 / 2, whose gradient is x - target. */
START_TEST(as_the_algorithm_says)
{
    static const float handed[2][N] = {{1, -1, 0.5f}, {0.5f, 0.25f, 0}};
    const double target[N] = {2, 2, -1}, rate = 0.3;
    double v[N], w[N], alpha = 0.25;
    float params[N];
    for (int round = 0; round < 2; round++) {
        ck_assert_int_eq(apfl_begin(&apfl, &keep, 1, handed[round], NULL), 0);
        memcpy(params, handed[round], sizeof params);
        for (int j = 0; j < N; j++) {
            w[j] = (double)handed[round][j];
            v[j] = round == 0 ? w[j] : v[j];
        }
        for (int step = 0; step < 3; step++) {
            double g[N], next_alpha = alpha;
            apfl_mix(&apfl, params);
            for (int j = 0; j < N; j++) {
                double mixed = alpha * v[j] + (1 - alpha) * w[j];
                ck_assert_double_eq_tol((double)apfl.mixed[j], mixed, 1e-6);
                ck_assert_double_eq(apfl.grad[j], 0);
                g[j] = mixed - target[j];
                apfl.grad[j] = g[j];
                next_alpha -= rate * (v[j] - w[j]) * g[j];
            }
            apfl_step(&apfl, params, rate);
            for (int j = 0; j < N; j++) {
                v[j] -= rate * alpha * g[j];
                w[j] -= rate * (w[j] - target[j]);
                params[j] = (float)w[j];
                ck_assert_double_eq_tol((double)vectors[2][j], v[j], 1e-6);
            }
            alpha = step == 0 ? fmin(1, fmax(0, next_alpha)) : alpha;
            ck_assert_double_eq_tol((double)vectors[3][0], alpha, 1e-6);
        }
    }
    ck_assert(fabs(alpha - 0.25) > 0.01); /* it has moved, in the second round */
    float used[N] = {10, 20, 30};
    ck_assert_int_eq(apfl_use(&apfl, &keep, 1, used, NULL), 0);
    for (int j = 0; j < N; j++) {
        double wanted = alpha * v[j] + (1 - alpha) * 10 * (j + 1);
        ck_assert_double_eq_tol((double)used[j], wanted, 1e-5);
    }
    ck_assert_ptr_null(vectors[0]); /* nobody has asked for the other's */
}
END_TEST

/* Whatever the slope, the share stays one; who was in no round uses the common model.
 */
START_TEST(shares_stay_shares)
{
    static const float handed[2][N] = {{1, 1, 1}, {0, 0, 0}};
    for (int side = 0; side < 2; side++) {
        for (int round = 0; round < 2; round++) {
            ck_assert_int_eq(apfl_begin(&apfl, &keep, side, handed[round], NULL), 0);
            apfl_mix(&apfl, handed[round]);
            for (int j = 0; j < N; j++) {
                apfl.grad[j] = side == 0 ? 1e3 : -1e3;
            }
            apfl_step(&apfl, handed[round], round == 0 ? 0.0 : 1.0);
            apfl_end(&apfl);
        }
        ck_assert_float_eq(vectors[2 * side + 1][0], side == 0 ? 0.0f : 1.0f);
    }
    free(vectors[0]), free(vectors[1]);
    vectors[0] = vectors[1] = NULL;
    float used[N] = {4, 5, 6};
    ck_assert_int_eq(apfl_use(&apfl, &keep, 0, used, NULL), 0);
    ck_assert(used[0] == 4 && used[2] == 6);
    ck_assert_ptr_null(vectors[0]);
}
END_TEST

enum { D = FL_WORLD_DIMS, P = FL_WORLD_CLASSES, N_MODEL = (D + 1) * P };

/* What a client has after a round of n steps with one record. */
static void train_by_hand(double *w, double *v, double *alpha, int64_t record, int n)
{
    double rate = spec.training.learning_rate;
    for (int step = 0; step < n; step++) {
        double at_w[N_MODEL], at_mixed[N_MODEL], mixed[N_MODEL], slope = 0.0;
        for (int j = 0; j < N_MODEL; j++) {
            mixed[j] = *alpha * v[j] + (1.0 - *alpha) * w[j];
        }
        softmax_gradient(w, train.x + record * D, train.y[record], at_w);
        softmax_gradient(mixed, train.x + record * D, train.y[record], at_mixed);
        for (int j = 0; j < N_MODEL; j++) {
            slope += (v[j] - w[j]) * at_mixed[j];
            v[j] -= rate * *alpha * at_mixed[j];
            w[j] -= rate * at_w[j];
        }
        *alpha = step == 0 ? fmin(1.0, fmax(0.0, *alpha - rate * slope)) : *alpha;
    }
}

/* A client's two rounds, from models that are far apart, as local_train plays them. */
static int play_client(const struct plan *job, const struct spec *ordered,
                       const struct manifest *data, struct env *env,
                       struct report *ret_report, struct error *err)
{
    static struct trainer trainer;
    struct trainer_source source = {.divisor = 1.0, .expected_examples = 1.0};
    struct partition partition;
    struct keep kept;
    struct attack attack = {0};
    struct compress compress = {0};
    struct local local;
    double w[N_MODEL], v[N_MODEL], alpha = 0.5;
    (void)ret_report;
    ck_assert_int_eq(trainer_open(&trainer, job, ordered, data, env, &source, err), 0);
    ck_assert_int_eq(partition_open(&partition, ordered, env->io->train, err), 0);
    ck_assert_int_eq(keep_open(&kept, ordered, &trainer, partition.n_clients, err), 0);
    ck_assert_int_eq(local_open(&local, &trainer, ordered, &partition, &attack, &kept,
                                &compress, NULL, err),
                     0);
    for (int round = 0; round < 2; round++) {
        trainer.step = round;
        for (int j = 0; j < N_MODEL; j++) {
            trainer.params[j] = (float)(0.1 * ((j * 7 + round * 5) % 11) - 0.5);
            w[j] = (double)trainer.params[j];
            v[j] = round == 0 ? w[j] : v[j];
        }
        ck_assert_int_eq(local_train(&local, 3, err), 0);
        train_by_hand(w, v, &alpha, partition.rows[partition.first[3]], 4);
        for (int j = 0; j < N_MODEL; j++) {
            ck_assert_double_eq_tol((double)local.params[j], w[j], 1e-5);
            ck_assert_double_eq_tol((double)keep_vector(&kept, 3, KEEP_OWN)[j], v[j],
                                    1e-5);
        }
        ck_assert_double_eq_tol((double)keep_vector(&kept, 3, KEEP_SHARE)[0], alpha,
                                1e-5);
    }
    ck_assert(fabs(alpha - 0.5) > 0.01);
    local_close(&local);
    keep_close(&kept);
    partition_close(&partition);
    trainer_close(&trainer);
    return 0;
}

static void use_apfl(double alpha)
{
    use_federation(PARTITION_SHARDS, 8, 10);
    spec.federation.selection = SELECTION_FIXED;
    spec.federation.personal = (struct spec_personal){
        .is_on = true, .kind = PERSONAL_APFL, .alpha = alpha, .holdout = 0.25};
}

static struct world world_with_notes(int size)
{
    struct world world = federation_of(size);
    world.notes = notes;
    world.notes_size = sizeof notes;
    memset(notes, 0, sizeof notes);
    return world;
}

static char *outcome(void)
{
    char *line = strstr(notes, "\"personal\"");
    ck_assert_msg(line != NULL, "%s", notes);
    return strdup(line);
}

/* One record a client, four passes a round. */
START_TEST(a_client_trains_both)
{
    use_federation(PARTITION_USERS, 8, 2);
    spec.model.preset = PRESET_LOGISTIC;
    spec.training.epochs = 4;
    spec.federation.personal = (struct spec_personal){
        .is_on = true, .kind = PERSONAL_APFL, .alpha = 0.5, .holdout = 0.25};
    struct world world = federation_of(1);
    world.run = play_client;
    run_well(&world, 1);
    world_free(&world);
}
END_TEST

/* The common model is that of a federation whose clients have none of their own. */
START_TEST(nothing_of_it_is_sent)
{
    use_apfl(0.5);
    struct world with = federation_of(2);
    run_well(&with, 1);
    spec.federation.personal.kind = PERSONAL_FINE_TUNE;
    spec.federation.personal.epochs = 1;
    struct world without = federation_of(2);
    run_well(&without, 1);
    expect_same_model(&with, &without);
    world_free(&with);
    world_free(&without);
}
END_TEST

/* Own models and shares stand in checkpoints. */
START_TEST(resumes_on_other_ranks)
{
    use_apfl(0.5);
    spec.federation.rounds = plan.price.n_steps = 400;
    struct world whole = world_with_notes(1);
    run_well(&whole, 1);
    char *expected = outcome();
    struct world parts = world_with_notes(2);
    parts.stop_after_reads = 60;
    parts.stop_rank = 1;
    run(&parts, 1);
    ck_assert_int_eq(parts.rc[0], -PPT_EINTERRUPTED);
    parts.size = 3;
    parts.stop_after_reads = 0;
    run_well(&parts, 2);
    expect_same_model(&whole, &parts);
    char *got = outcome();
    ck_assert_str_eq(got, expected);
    free(got), free(expected);
    world_free(&whole);
    world_free(&parts);
}
END_TEST

START_TEST(more_memory_than_the_job_has)
{
    use_apfl(0.5);
    spec.resources.memory_bytes = 1 << 16;
    struct world world = federation_of(1);
    run(&world, 1);
    ck_assert_int_eq(world.rc[0], -PPT_ESPEC);
    ck_assert_ptr_nonnull(strstr(world.err[0].text, "what 20 clients remember"));
    world_free(&world);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("apfl");
    TCase *tcase = tcase_create("apfl"), *whole = tcase_create("whole");
    tcase_add_checked_fixture(tcase, setup_keep, teardown_keep);
    tcase_add_test(tcase, as_the_algorithm_says);
    tcase_add_test(tcase, shares_stay_shares);
    suite_add_tcase(suite, tcase);
    tcase_set_timeout(whole, 120);
    tcase_add_checked_fixture(whole, setup_federation, teardown);
    tcase_add_test(whole, a_client_trains_both);
    tcase_add_test(whole, nothing_of_it_is_sent);
    tcase_add_test(whole, resumes_on_other_ranks);
    tcase_add_test(whole, more_memory_than_the_job_has);
    suite_add_tcase(suite, whole);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
