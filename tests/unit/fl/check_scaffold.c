/* SCAFFOLD beside an implementation of its own in double, in the clear and under masks;
 * the same bits for any ranks and after a stop; and it goes where FedAvg drifts from.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/fl/cohort.h"
#include "jobs/fl/draw.h"
#include "jobs/fl/secagg_server.h"
#include "jobs/model/net.h"
#include "tests/unit/fl/fl_world.h"

enum { D = FL_WORLD_DIMS, P = FL_WORLD_CLASSES, N = (D + 1) * P, MOST_USERS = 240 };

static void use_scaffold(void)
{
    spec.model.preset = PRESET_LOGISTIC;
    spec.federation.selection = SELECTION_FIXED;
    spec.federation.correction = CORRECTION_SCAFFOLD;
    spec.training.learning_rate = 0.1;
}

static void first_model(double *w)
{
    float first[N];
    struct net net;
    ck_assert_int_eq(net_build(&spec.model, &manifest.splits[0], false, &net, NULL), 0);
    ck_assert_int_eq(net.n_params, N);
    net_init(&net, spec.training.seed, first);
    for (int j = 0; j < N; j++) {
        w[j] = (double)first[j];
    }
}

static int by_id(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* The users' ids, ascending; how many. */
static int64_t list_users(int64_t *ret_ids)
{
    int64_t n = 0, kept = 0;
    for (int64_t i = 0; i < train.n; i++) {
        ret_ids[n++] = train.users[i];
    }
    qsort(ret_ids, (size_t)n, sizeof *ret_ids, by_id);
    for (int64_t i = 0; i < n; i++) {
        if (i == 0 || ret_ids[i] != ret_ids[kept - 1]) {
            ret_ids[kept++] = ret_ids[i];
        }
    }
    return kept;
}

/* A user's first record and how many it has. */
static int64_t find_records(int64_t id, int64_t *ret_n)
{
    int64_t first = -1, n = 0;
    for (int64_t i = 0; i < train.n; i++) {
        if (train.users[i] == id) {
            first = first < 0 ? i : first;
            n++;
        }
    }
    *ret_n = n;
    return first;
}

/* What secure aggregation does to clients; max_norm 0: nothing. */
struct masks {
    double max_norm, vanish;
    bool is_careless; /* whose control moves though nothing was sent */
};

static bool vanishes(const struct masks *masks, int64_t round, int64_t client)
{
    unsigned char key[CRYPTO_KEY_SIZE];
    draw_key_public(spec.training.seed, "fate", key);
    struct crypto_stream *fate = crypto_stream_new(key);
    crypto_stream_seek(fate, (uint64_t)round << 32 | (uint64_t)client, 0);
    bool is_gone = draw_uniform(fate) < masks->vanish &&
                   draw_below(fate, SECAGG_SUMMED) <= SECAGG_MASKED;
    crypto_stream_free(fate);
    return is_gone;
}

/* How much is left of an update and a change of a control of N values each. */
static double left_of(const struct masks *masks, const double *update,
                      const double *change, double unit)
{
    double square = 0.0;
    for (int j = 0; j < N; j++) {
        square += update[j] * update[j] + unit * unit * change[j] * change[j];
    }
    return masks->max_norm > 0.0 ? fmin(1.0, masks->max_norm / sqrt(square)) : 1.0;
}

static int64_t steps_of(int64_t n_records)
{
    return (n_records + 4) / 5 * spec.training.epochs;
}

/* Algorithm 1 with option II, for users whose records are all the same one, so that the
 * order of batches does not matter and numbers of steps still differ. */
static void reference(double *w, int64_t n_rounds, const struct masks *masks)
{
    static double c[N], own[MOST_USERS][N];
    int64_t ids[MOST_USERS], n_users = list_users(ids);
    struct partition partition = {.n_clients = n_users};
    struct cohort cohort;
    unsigned char key[CRYPTO_KEY_SIZE];
    double mean_steps = 0.0;
    for (int64_t i = 0; i < n_users; i++) {
        int64_t n;
        find_records(ids[i], &n);
        mean_steps += (double)steps_of(n) / (double)n_users;
    }
    memset(c, 0, sizeof c), memset(own, 0, sizeof own);
    draw_key_public(spec.training.seed, "cohort", key);
    ck_assert_int_eq(cohort_open(&cohort, SELECTION_FIXED, 1.0, spec.federation.cohort,
                                 0, &partition, key, NULL),
                     0);
    for (int64_t round = 0; round < n_rounds; round++) {
        double moved[N] = {0}, changed[N] = {0}, rate = spec.training.learning_rate;
        int64_t n_sent = 0;
        cohort_draw(&cohort, round, NULL);
        for (int64_t i = 0; i < cohort.n; i++) {
            int64_t n, client = cohort.members[i];
            int64_t record = find_records(ids[client], &n);
            int64_t k = steps_of(n);
            double y[N], g[N], update[N], change[N];
            bool is_gone = vanishes(masks, round, client);
            memcpy(y, w, sizeof y);
            for (int64_t step = 0; step < k; step++) {
                softmax_gradient(y, train.x + record * D, train.y[record], g);
                for (int j = 0; j < N; j++) {
                    y[j] -= rate * (g[j] - own[client][j] + c[j]);
                }
            }
            for (int j = 0; j < N; j++) {
                update[j] = y[j] - w[j];
                change[j] = -c[j] - update[j] / ((double)k * rate);
            }
            double left = left_of(masks, update, change, rate * mean_steps);
            for (int j = 0; j < N; j++) {
                moved[j] += is_gone ? 0.0 : left * update[j];
                changed[j] += is_gone ? 0.0 : left * change[j];
                own[client][j] +=
                    is_gone && !masks->is_careless ? 0.0 : left * change[j];
            }
            n_sent += !is_gone;
        }
        for (int j = 0; j < N; j++) {
            w[j] += spec.federation.server.learning_rate * moved[j] / (double)n_sent;
            c[j] += changed[j] / (double)n_users;
        }
    }
    cohort_close(&cohort);
}

static void make_records_alike(void)
{
    for (int64_t i = 0; i < train.n; i++) {
        int64_t n, first = find_records(train.users[i], &n);
        memcpy(train.x + i * D, train.x + first * D, D * sizeof *train.x);
        train.y[i] = train.y[first];
    }
}

START_TEST(as_the_algorithm_says)
{
    const struct masks none = {0};
    double w[N], first[N], way = 0.0;
    use_users();
    make_records_alike();
    use_federation(PARTITION_USERS, 4, 12);
    use_scaffold();
    spec.federation.server.learning_rate = 0.7;
    first_model(first);
    memcpy(w, first, sizeof w);
    reference(w, 12, &none);
    struct world world = federation_of(2);
    run_well(&world, 1);
    ck_assert_int_eq(world.n_model, N);
    for (int j = 0; j < N; j++) {
        ck_assert_double_eq_tol((double)world.model[j], w[j], 2e-5);
        way += fabs(w[j] - first[j]);
    }
    ck_assert_double_gt(way, 1.0);
    world_free(&world);
}
END_TEST

static double apart(const double *a, const double *b)
{
    double most = 0.0;
    for (int j = 0; j < N; j++) {
        most = fmax(most, fabs(a[j] - b[j]));
    }
    return most;
}

/* With room for all that is sent; where most of it is shortened, and controls move by
 * what is left; and where clients vanish, whose controls stay. Each is far from the
 * others and from clients that move though nobody has heard of it. */
START_TEST(as_the_algorithm_says_under_masks)
{
    enum { CASES = 4, ROUNDS = 12 };
    static const struct masks cases[CASES] = {
        {.max_norm = 64.0},
        {.max_norm = 0.5},
        {.max_norm = 64.0, .vanish = 0.25},
        {.max_norm = 64.0, .vanish = 0.25, .is_careless = true}};
    double w[CASES][N], model[N];
    use_users();
    make_records_alike();
    use_federation(PARTITION_USERS, 14, ROUNDS);
    use_scaffold();
    use_secagg(cases[_i].max_norm);
    spec.federation.secagg.bits = 24;
    spec.federation.secagg.vanish = cases[_i].vanish;
    spec.federation.secagg.dropout = 0.4;
    for (int i = 0; i < CASES; i++) {
        first_model(w[i]);
        reference(w[i], ROUNDS, &cases[i]);
    }
    struct world world = federation_of(2);
    run_well(&world, 1);
    for (int j = 0; j < N; j++) {
        model[j] = (double)world.model[j];
    }
    for (int i = 0; i < CASES; i++) {
        double far = apart(model, w[i]);
        ck_assert_msg(i == _i ? far < 5e-4 : far > 5e-3, "case %d: %g from case %d", _i,
                      far, i);
    }
    world_free(&world);
}
END_TEST

/* In the second case under masks, while clients vanish. */
START_TEST(one_model_for_any_ranks)
{
    static const int sizes[] = {2, 3, 8};
    use_federation(PARTITION_SHARDS, _i == 0 ? 7 : 14, _i == 0 ? 12 : 3);
    use_scaffold();
    if (_i == 1) {
        use_secagg(4.0);
        spec.federation.secagg.vanish = 0.15;
        spec.federation.secagg.dropout = 0.4;
    }
    struct world one = federation_of(1);
    run_well(&one, 1);
    for (int i = 0; i < 3; i++) {
        struct world many = federation_of(sizes[i]);
        run_well(&many, 1);
        expect_same_model(&one, &many);
        world_free(&many);
    }
    world_free(&one);
}
END_TEST

/* Controls of both sides stand in checkpoints. */
START_TEST(resumes_on_other_ranks)
{
    use_federation(PARTITION_SHARDS, 6, 100);
    use_scaffold();
    struct world whole = federation_of(1), parts = federation_of(2);
    run_well(&whole, 1);
    parts.stop_after_reads = 60;
    parts.stop_rank = 1;
    run(&parts, 1);
    ck_assert_int_eq(parts.rc[0], -PPT_EINTERRUPTED);
    ck_assert_int_lt(parts.report[0].n_steps, 100);
    parts.size = 3;
    parts.stop_after_reads = 0;
    run_well(&parts, 2);
    expect_same_model(&whole, &parts);
    world_free(&whole);
    world_free(&parts);
}
END_TEST

/* The norm of the mean of the clients' gradients. */
static double slope_at(const float *model)
{
    double w[N], g[N], sum[N] = {0}, square = 0.0;
    for (int j = 0; j < N; j++) {
        w[j] = (double)model[j];
    }
    for (int64_t i = 0; i < train.n; i++) {
        softmax_gradient(w, train.x + i * D, train.y[i], g);
        for (int j = 0; j < N; j++) {
            sum[j] += g[j] / (double)train.n;
        }
    }
    for (int j = 0; j < N; j++) {
        square += sum[j] * sum[j];
    }
    return sqrt(square);
}

/* All clients in each round, many steps with all records: FedAvg stops where their ways
 * cancel, SCAFFOLD only where the gradient is 0. Shards are of equal size here. */
START_TEST(does_not_drift)
{
    double slope[2];
    world_data_free(&train);
    train = world_blobs(240, D, P, 3.0, 1); /* that overlap: the loss has a minimum */
    for (int i = 0; i < 2; i++) {
        use_federation(PARTITION_SHARDS, 20, 150);
        use_scaffold();
        spec.training.batch_size = train.n;
        spec.training.epochs = 20;
        spec.training.learning_rate = 0.05;
        spec.federation.correction = i == 0 ? CORRECTION_NONE : CORRECTION_SCAFFOLD;
        struct world world = federation_of(1);
        run_well(&world, 1);
        slope[i] = slope_at(world.model);
        world_free(&world);
    }
    ck_assert_msg(slope[1] < 0.2 * slope[0], "%g and %g", slope[0], slope[1]);
}
END_TEST

START_TEST(divergence_is_told)
{
    use_federation(PARTITION_IID, 5, 3);
    use_scaffold();
    spec.training.learning_rate = 1e6;
    struct world world = federation_of(2);
    run(&world, 1);
    ck_assert_int_eq(world.rc[0], -PPT_ERANGE);
    ck_assert_ptr_nonnull(strstr(world.err[0].text, "diverged"));
    world_free(&world);
}
END_TEST

/* No spec comes so far. */
START_TEST(not_in_private_jobs)
{
    use_privacy(1.0);
    use_federation(PARTITION_USERS, 24, 2);
    use_scaffold();
    spec.federation.selection = SELECTION_POISSON;
    struct world world = federation_of(1);
    run(&world, 1);
    ck_assert_int_eq(world.rc[0], -PPT_EINTERNAL);
    world_free(&world);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("scaffold");
    TCase *tcase = tcase_create("scaffold");
    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup_federation, teardown);
    tcase_add_test(tcase, as_the_algorithm_says);
    tcase_add_loop_test(tcase, as_the_algorithm_says_under_masks, 0, 3);
    tcase_add_loop_test(tcase, one_model_for_any_ranks, 0, 2);
    tcase_add_test(tcase, resumes_on_other_ranks);
    tcase_add_test(tcase, does_not_drift);
    tcase_add_test(tcase, divergence_is_told);
    tcase_add_test(tcase, not_in_private_jobs);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
