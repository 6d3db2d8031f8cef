/* What a private step releases: whole steps of the grid, whichever lanes round the sums
 * and draw the noise. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "jobs/dp/trainer.h"
#include "tests/unit/dp/world.h"

enum { N_RECORDS = 600, N_FEATURES = 64 };

static struct world_data data;

static int read_rows(struct rows *rows, const int64_t *indices, size_t n, float *x,
                     int32_t *y, struct error *err)
{
    (void)rows, (void)err;
    for (size_t i = 0; i < n; i++) {
        memcpy(x + i * N_FEATURES, data.x + (size_t)indices[i] * N_FEATURES,
               N_FEATURES * sizeof *x);
        y[i] = data.y[indices[i]];
    }
    return 0;
}

/* One lane, two and three; the clip norm fixed, and following a quantile, where votes
 * are weighed between adding up and rounding. */
START_TEST(totals_are_whole_steps)
{
    const int64_t dims[2] = {8, 8};
    struct manifest manifest = world_manifest(N_RECORDS, 0, 2, dims, 10);
    struct rows rows = {.n_rows = N_RECORDS,
                        .n_features = N_FEATURES,
                        .n_classes = 10,
                        .read = read_rows};
    struct io io = {.train = &rows};
    struct env env = {.comm = &comm_alone, .io = &io, .kernels = &kernels_cpu};
    struct spec spec = world_spec(PRESET_MLP, true);
    struct trainer trainer = {0};
    struct error err = {0};
    spec.resources.cores_per_rank = 1 + _i % 3;
    spec.training.batch_size = 100;
    if (_i >= 3) {
        spec.privacy.clipping = (struct spec_clipping){
            .mode = CLIP_QUANTILE, .quantile = 0.5, .count_noise = 2.0, .rate = 0.3};
    }
    struct plan plan = world_plan(&spec, &manifest, 1.0, 3);
    ck_assert_int_eq(trainer_open(&trainer, &plan, &spec, &manifest, &env, NULL, &err),
                     0);
    for (int step = 0; step < 3; step++) {
        int64_t n_moved = 0;
        ck_assert_int_eq(trainer_gradient(&trainer, &err), 0);
        ck_assert_int_eq(trainer_total(&trainer, &err), 0);
        for (int64_t i = 0; i < trainer.n_slice; i++) {
            double steps = trainer.slice[i] / trainer.threshold.grid.step;
            ck_assert_double_eq(steps, rint(steps));
            n_moved += steps != 0.0;
        }
        ck_assert_int_ge(n_moved, trainer.net.n_params - 2); /* noise is everywhere */
        ck_assert_int_eq(trainer_apply(&trainer, &err), 0);
    }
    trainer_close(&trainer);
}
END_TEST

int main(void)
{
    data = world_blobs(N_RECORDS, N_FEATURES, 10, 1.0, 1);
    Suite *suite = suite_create("dp");
    TCase *tcase = tcase_create("whole_steps");
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, totals_are_whole_steps, 0, 6);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    world_data_free(&data);
    return n_failed == 0 ? 0 : 1;
}
