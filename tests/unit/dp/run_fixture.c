#include "tests/unit/dp/run_fixture.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "jobs/privacy/meter.h"

struct world_data train, test;
struct manifest manifest;
struct spec spec;
struct plan plan;
char meter_path[64];

void setup(void)
{
    int64_t dims[1] = {12};
    train = world_blobs(240, 12, 3, 0.8, 1);
    test = world_blobs(60, 12, 3, 0.8, 2);
    manifest = world_manifest(train.n, test.n, 1, dims, 3);
    spec = world_spec(PRESET_MLP, false);
    strcpy(meter_path, "/tmp/check_run.XXXXXX");
    int fd = mkstemp(meter_path);
    ck_assert_int_ge(fd, 0);
    close(fd);
    unlink(meter_path);
}

void teardown(void)
{
    unlink(meter_path);
    world_data_free(&train);
    world_data_free(&test);
}

struct world world_of(int size)
{
    return (struct world){.size = size,
                          .train = &train,
                          .test = &test,
                          .plan = &plan,
                          .spec = &spec,
                          .manifest = &manifest};
}

void run(struct world *world, int attempt)
{
    struct error err = {0};
    world->meter = NULL;
    if (plan.price.is_private) {
        if (attempt == 1)
            ck_assert_int_eq(meter_create(meter_path, &err), 0);
        ck_assert_int_eq(
            meter_open(meter_path, attempt, &plan.price, &world->meter, &err), 0);
    }
    world_run(world);
    if (world->meter != NULL) {
        meter_close(world->meter);
    }
}

void run_well(struct world *world, int attempt)
{
    run(world, attempt);
    for (int r = 0; r < world->size; r++) {
        ck_assert_msg(world->rc[r] == 0, "rank %d: %s", r, world->err[r].text);
    }
}

void use_steps(double noise_multiplier, int64_t n_steps, bool takes_all)
{
    plan = world_plan(&spec, &manifest, noise_multiplier, n_steps);
    if (takes_all) {
        plan.price.sample_rate = 1.0;
        plan.price.releases[0].mechanism.sample_rate = 1.0;
    }
}

double distance(const struct world *a, const struct world *b)
{
    double worst = 0.0;
    ck_assert_int_eq(a->n_model, b->n_model);
    for (int64_t i = 0; i < a->n_model; i++) {
        worst = fmax(worst, fabs((double)a->model[i] - (double)b->model[i]));
    }
    return worst;
}
