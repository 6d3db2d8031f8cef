/* Low rank under masks: projections add up and are nearest, a matrix of low rank
 * arrives whole once its subspace is found, and federations have one model. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/fl/compress.h"
#include "tests/unit/fl/fl_world.h"

enum { N = 1000, ROWS = 99, COLUMNS = 10, RANK = 2 };

static struct trainer trainer; /* its net: a matrix and a bias */
static struct spec own;
static struct env env;
static struct compress compress;
static float state[N], a[N], b[N];

static void open_shared(void)
{
    struct manifest_split split = {
        .x_type = TYPE_FLOAT32, .n_dims = 1, .dims = {ROWS}, .n_classes = COLUMNS};
    own = (struct spec){
        .model = {.preset = PRESET_LOGISTIC},
        .federation = {
            .aggregation = AGGREGATION_SECAGG,
            .compress = {.is_on = true, .kind = COMPRESS_LOW_RANK, .rank = RANK}}};
    env = (struct env){.comm = &comm_alone};
    trainer = (struct trainer){
        .spec = &own, .env = &env, .n_padded = N, .n_slice = N, .state = state};
    memset(state, 0, sizeof state);
    ck_assert_int_eq(net_build(&own.model, &split, false, &trainer.net, NULL), 0);
    ck_assert_int_eq(trainer.net.n_params, N);
    ck_assert_int_eq(compress_open(&compress, &own, &trainer, NULL), 0);
    ck_assert_int_eq(compress.k, ROWS * RANK + COLUMNS);
    srand48(3);
    for (int j = 0; j < N; j++) {
        a[j] = (float)(drand48() - 0.5);
        b[j] = (float)(drand48() - 0.5);
    }
}

static void close_shared(void)
{
    compress_close(&compress);
}

static double square(const float *x)
{
    double sum = 0.0;
    for (int j = 0; j < N; j++) {
        sum += (double)x[j] * (double)x[j];
    }
    return sum;
}

static double apart(const float *x, const float *y)
{
    double sum = 0.0;
    for (int j = 0; j < N; j++) {
        sum += ((double)x[j] - (double)y[j]) * ((double)x[j] - (double)y[j]);
    }
    return sum;
}

/* A round in which one client sends x and the server reads y. */
static void run_round(const float *x, float *y)
{
    ck_assert_int_eq(subspace_begin(&compress.subspace, NULL), 0);
    memcpy(y, x, N * sizeof *y);
    compress_gather(&compress, trainer.step, y);
    compress_scatter(&compress, trainer.step, y);
    trainer.step++;
    /* the next round has what checkpoints have */
    memset(compress.subspace.basis, 0, N * sizeof(float));
}

/* In both kinds of rounds. */
START_TEST(projections_add_up)
{
    float sum[N], x[N], y[N], again[N];
    open_shared();
    for (int round = 0; round < _i; round++) {
        run_round(b, y);
    }
    ck_assert_int_eq(subspace_begin(&compress.subspace, NULL), 0);
    memcpy(x, a, sizeof x), memcpy(y, b, sizeof y);
    subspace_gather(&compress.subspace, x);
    subspace_gather(&compress.subspace, y);
    for (int j = 0; j < compress.k; j++) {
        sum[j] = x[j] + y[j];
    }
    subspace_scatter(&compress.subspace, sum);
    subspace_scatter(&compress.subspace, x);
    subspace_scatter(&compress.subspace, y);
    for (int j = 0; j < N; j++) {
        ck_assert_float_eq_tol(sum[j], x[j] + y[j], 1e-6f);
        ck_assert(j < ROWS * COLUMNS || x[j] == a[j]);
    }
    memcpy(again, x, sizeof again);
    subspace_gather(&compress.subspace, again);
    subspace_scatter(&compress.subspace, again);
    ck_assert_double_lt(apart(again, x), 1e-10);
    ck_assert_double_eq_tol(apart(a, x), square(a) - square(x), 1e-4);
    ck_assert_double_gt(square(x), 0.02 * square(a));
    close_shared();
}
END_TEST

/* Of rank RANK: wrong in the first round, whole from the second on, also after a round
 * in which nobody moves and after sums of rank one, which leave a column to be drawn.
 */
START_TEST(low_rank_is_found)
{
    static float x[3][N], y[N];
    open_shared();
    for (int j = 0; j < ROWS * COLUMNS; j++) {
        int row = j / COLUMNS, column = j % COLUMNS;
        x[1][j] = a[row] * b[column];
        x[0][j] = x[1][j] + a[100 + row] * b[100 + column];
    }
    run_round(x[0], y);
    ck_assert_double_gt(apart(x[0], y), 0.1 * square(x[0]));
    for (int round = 1; round < 6; round++) {
        run_round(x[0], y);
        ck_assert_double_lt(apart(x[0], y), 1e-8 * square(x[0]));
    }
    for (int i = 1; i < 3; i++) { /* rank one; zeros */
        run_round(x[i], y);
        run_round(x[i], y);
        ck_assert_double_le(apart(x[i], y), 1e-8 * square(x[i]));
        run_round(x[0], y);
        run_round(x[0], y);
        ck_assert_double_lt(apart(x[0], y), 1e-8 * square(x[0]));
    }
    close_shared();
}
END_TEST

START_TEST(one_model_for_any_ranks_and_after_a_stop)
{
    use_federation(PARTITION_IID, 14, 70); /* more than the two first leases */
    spec.federation.selection = SELECTION_FIXED;
    spec.federation.compress =
        (struct spec_compress){.is_on = true, .kind = COMPRESS_LOW_RANK, .rank = 1};
    use_secagg(4.0);
    spec.training.evaluation = EVALUATION_PUBLIC;
    struct world whole = federation_of(1), parts = federation_of(2);
    run_well(&whole, 1);
    ck_assert_double_gt(whole.report[0].test_accuracy, 0.9);
    parts.stop_after_reads = 100;
    run(&parts, 1);
    ck_assert_int_eq(parts.rc[0], -PPT_EINTERRUPTED);
    ck_assert_int_gt(parts.report[0].n_steps, 1);
    parts.size = 3;
    parts.stop_after_reads = 0;
    run_well(&parts, 2);
    expect_same_model(&whole, &parts);
    world_free(&parts);
    world_free(&whole);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("subspace");
    TCase *tcase = tcase_create("subspace"), *whole = tcase_create("federations");
    tcase_add_loop_test(tcase, projections_add_up, 0, 3);
    tcase_add_test(tcase, low_rank_is_found);
    tcase_set_timeout(whole, 120);
    tcase_add_checked_fixture(whole, setup_federation, teardown);
    tcase_add_test(whole, one_model_for_any_ranks_and_after_a_stop);
    suite_add_tcase(suite, tcase);
    suite_add_tcase(suite, whole);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
