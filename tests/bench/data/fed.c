#include "tests/bench/data/fed.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "jobs/dp/lease.h"
#include "jobs/dp/trainer.h"
#include "kernels/kernels.h"
#include "tests/bench/figure.h"
#include "tests/unit/dp/world.h"
#include "worker/shard.h"

/* A turn reads five times what can have been read before it. */
enum { BATCH = 1024, N_WARM_UP = 20, N_STEPS = 200, N_TURNS = 3 };

/* All that a trainer points into. */
struct fed {
    struct rows rows;
    struct io io;
    struct env env;
    struct spec spec;
    struct plan plan;
    struct manifest manifest;
    struct trainer trainer;
    double steps_s[N_TURNS];
};

static int open_one(struct fed *fed, const struct data_h5 *data, int64_t n_features,
                    size_t cache_bytes, struct error *err)
{
    struct manifest_split stated = {
        .x_type = TYPE_UINT8, .n_dims = 1, .dims = {n_features}, .n_classes = 10};
    snprintf(stated.name, sizeof stated.name, "part");
    int rc = shard_open(data, &stated, 0.5, 0.25, 0, 1, cache_bytes, &fed->rows, err);
    if (rc != 0)
        return rc;
    fed->manifest = world_manifest(fed->rows.n_rows, 0, 1, &n_features, 10);
    fed->io.train = &fed->rows;
    fed->env =
        (struct env){.comm = &comm_alone, .io = &fed->io, .kernels = &kernels_cpu};
    fed->spec = world_spec(PRESET_MLP, true);
    fed->spec.model.hidden = 128;
    fed->spec.resources.cores_per_rank = sysconf(_SC_NPROCESSORS_ONLN);
    fed->spec.training.batch_size = BATCH;
    fed->plan =
        world_plan(&fed->spec, &fed->manifest, 1.0, N_TURNS * (N_WARM_UP + N_STEPS));
    rc = trainer_open(&fed->trainer, &fed->plan, &fed->spec, &fed->manifest, &fed->env,
                      NULL, err);
    if (rc != 0)
        shard_close(&fed->rows);
    return rc;
}

static int run_steps(struct trainer *trainer, int n_steps, double *ret_s,
                     struct error *err)
{
    double started_s = lease_clock_s();
    int rc = 0;
    for (int i = 0; rc == 0 && i < n_steps; i++) {
        rc = trainer_gradient(trainer, err);
        if (rc == 0)
            rc = trainer_release(trainer, err);
    }
    *ret_s = lease_clock_s() - started_s;
    return rc;
}

int fed_compare(const struct data_h5 *data, int64_t n_features, struct error *err)
{
    static struct fed feds[2];
    double unused;
    kernels_cpu.set_threads(1);
    int rc = open_one(&feds[0], data, n_features, SHARD_AHEAD_BYTES, err);
    if (rc != 0)
        return rc;
    rc = open_one(&feds[1], data, n_features, (size_t)4 << 30, err);
    for (int turn = 0; rc == 0 && turn < N_TURNS; turn++) {
        for (int i = 0; rc == 0 && i < 2; i++) {
            rc = run_steps(&feds[i].trainer, N_WARM_UP, &unused, err);
            if (rc == 0)
                rc = run_steps(&feds[i].trainer, N_STEPS, &feds[i].steps_s[turn], err);
        }
    }
    if (rc == 0) {
        double fed_s = figure_median(feds[0].steps_s, N_TURNS),
               held_s = figure_median(feds[1].steps_s, N_TURNS);
        figure_show("a step fed from the file", fed_s * 1e3 / N_STEPS, "ms",
                    "from memory", held_s * 1e3 / N_STEPS, held_s / fed_s);
    }
    for (int i = 0; i < 2; i++) {
        trainer_close(&feds[i].trainer);
        shard_close(&feds[i].rows);
    }
    return rc;
}
