#include "jobs/fl/randomise.h"

#include <math.h>

#include "jobs/fl/draw.h"
#include "jobs/fl/round.h"

/* No draw is farther out, but for an event below 2^-180: sums of messages are exact. */
#define FARTHEST 16.0

/* The grid of the trainer's sums, on which no update is longer than clip_norm. */
static int plan_gaussian(struct randomise *randomise, struct error *err)
{
    const struct price *price = &randomise->trainer->plan->price;
    struct grid *grid = &randomise->grid;
    *grid = randomise->trainer->threshold.grid;
    grid->std_steps = nextafter(
        2.0 * price->noise_multiplier * (randomise->clip_norm / grid->step), INFINITY);
    double most = FARTHEST * grid->std_steps * (double)randomise->n_seats;
    if (grid->std_steps <= GRID_MAX_STD_STEPS && most < grid->max_steps) {
        return 0;
    }
    error_set(err, PPT_ERANGE,
              "federation.local: noise multiplier %g is too large for sums of %lld "
              "messages",
              price->noise_multiplier, (long long)randomise->n_seats);
    return error_hint(err, "take a smaller cohort or a larger epsilon");
}

int randomise_open(struct randomise *randomise, const struct spec *spec,
                   struct trainer *trainer, struct local *local,
                   const struct cohort *cohort,
                   const unsigned char master[CRYPTO_KEY_SIZE], struct error *err)
{
    unsigned char key[CRYPTO_KEY_SIZE];
    *randomise = (struct randomise){.kind = spec->federation.local,
                                    .trainer = trainer,
                                    .local = local,
                                    .cohort = cohort,
                                    .clip_norm = spec->privacy.clip_norm,
                                    .n_seats = spec->federation.cohort};
    if (randomise->kind == LOCAL_NONE) {
        return 0;
    }
    draw_key_secret(master, "local noise", key);
    int rc = plan_gaussian(randomise, err);
    if (rc == 0) {
        rc = noise_open(&randomise->noise, trainer->env->kernels, key,
                        trainer->n_padded, err);
    }
    crypto_wipe(key, sizeof key);
    return rc;
}

void randomise_close(struct randomise *randomise)
{
    noise_close(&randomise->noise);
    *randomise = (struct randomise){0};
}

void randomise_add(struct randomise *randomise, int64_t seat, const float *after,
                   const float *before)
{
    struct trainer *trainer = randomise->trainer;
    int64_t n = trainer->net.n_params;
    if (after != NULL) {
        round_add_clipped(trainer->sum, after, before, n, randomise->clip_norm, 1.0,
                          randomise->grid.step);
    }
    noise_add(&randomise->noise, &randomise->grid,
              (uint64_t)trainer->step << 32 | (uint64_t)seat, 0, n + n % 2,
              trainer->sum);
}

int randomise_run(struct randomise *randomise, struct error *err)
{
    struct trainer *trainer = randomise->trainer;
    const struct cohort *cohort = randomise->cohort;
    const struct comm *comm = trainer->env->comm;
    int rc = 0;
    for (int64_t seat = comm->rank; rc == 0 && seat < randomise->n_seats;
         seat += comm->size) {
        bool is_taken = seat < cohort->n;
        rc = is_taken ? local_train(randomise->local, cohort->members[seat], err) : 0;
        if (rc == 0) {
            randomise_add(randomise, seat, is_taken ? randomise->local->params : NULL,
                          trainer->params);
        }
    }
    return rc != 0 ? rc : trainer_release(trainer, err);
}
