#include "jobs/fl/randomise.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/fl/draw.h"
#include "jobs/fl/round.h"

/* No draw is farther out, but for an event below 2^-180: sums of messages are exact. */
#define FARTHEST 16.0
#define WALK_REACH 0x1p32

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

/* Sums of messages that are whole numbers of `unit`, at most `most` of it. */
static bool use_whole_numbers(struct randomise *randomise, double most)
{
    struct grid *sums = &randomise->trainer->threshold.grid;
    struct grid *grid = &randomise->grid;
    if (most * (double)randomise->n_seats >= sums->max_steps ||
        !grid_for_integers(1.0, grid)) {
        return false;
    }
    grid->max_steps = sums->max_steps;
    *sums = *grid;
    return true;
}

/* No walk leads farther in a coordinate than WALK_REACH units, but for an event below
 * 2^-180 in a step, or by federation.prox: there a message ends. */
static int plan_steps(struct randomise *randomise, const struct spec *spec,
                      struct error *err)
{
    struct trainer *trainer = randomise->trainer;
    struct walk *walk = &randomise->walk;
    double z = trainer->plan->price.noise_multiplier;
    int64_t n_steps = spec->training.steps;
    int exponent;
    if (!walk_plan(walk, &randomise->noise, &trainer->threshold.grid,
                   randomise->clip_norm, z, n_steps) ||
        randomise->n_seats >= WALK_MOST_SEATS ||
        !use_whole_numbers(randomise, WALK_REACH)) {
        return error_set(err, PPT_ERANGE,
                         "federation.local: no noise with multiplier %g in each of "
                         "%lld steps for cohorts of %lld",
                         z, (long long)n_steps, (long long)randomise->n_seats);
    }
    double farthest = FARTHEST * walk->grid.std_steps * walk->grid.step;
    frexp((double)n_steps * spec->training.learning_rate *
              (randomise->clip_norm + farthest) / WALK_REACH,
          &exponent);
    randomise->unit = ldexp(1.0, exponent);
    randomise->local->walk = walk;
    return 0;
}

/* Whole numbers of 2^-PRIV_UNIT_BITS. */
static int plan_privunit(struct randomise *randomise, struct error *err)
{
    struct trainer *trainer = randomise->trainer;
    const struct price_release *pass =
        &trainer->plan->price.releases[PRICE_TRAINING_STEP];
    struct grid *grid = &randomise->grid;
    size_t n = (size_t)trainer->n_padded;
    double std = ldexp(1.0, PRIV_UNIT_BITS);
    if (trainer->net.n_params > PRIV_UNIT_MOST_VALUES ||
        FARTHEST * std * (double)randomise->n_seats >=
            trainer->threshold.grid.max_steps ||
        !grid_for_integers(std, grid)) {
        return error_set(err, PPT_ERANGE,
                         "federation.local: privunit is for at most %d parameters, "
                         "and cohorts of 2^18 over the number of ranks",
                         PRIV_UNIT_MOST_VALUES);
    }
    int rc = priv_unit_plan(pass->mechanism.epsilon, &randomise->plan, err);
    if (rc != 0) {
        return rc;
    }
    grid->max_steps = trainer->threshold.grid.max_steps;
    trainer->threshold.grid = *grid;
    randomise->unit = randomise->clip_norm / randomise->plan.m / std;
    randomise->direction = calloc(n, sizeof *randomise->direction);
    randomise->draw = calloc(n, sizeof *randomise->draw);
    return randomise->direction != NULL && randomise->draw != NULL
               ? 0
               : error_set(err, PPT_ENOMEM, "no memory for a client's message");
}

static int plan(struct randomise *randomise, const struct spec *spec, struct error *err)
{
    randomise->unit = 1.0;
    if (randomise->kind == LOCAL_STEPS) {
        return plan_steps(randomise, spec, err);
    }
    return randomise->kind == LOCAL_GAUSSIAN ? plan_gaussian(randomise, err)
                                             : plan_privunit(randomise, err);
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
    int rc = plan(randomise, spec, err);
    if (rc == 0) {
        rc = noise_open(&randomise->noise, trainer->env->kernels, key,
                        trainer->n_padded, err);
    }
    draw_key_secret(master, "local coins", key);
    randomise->coins = crypto_stream_new(key);
    crypto_wipe(key, sizeof key);
    if (rc != 0) {
        randomise_close(randomise);
    }
    return rc;
}

void randomise_close(struct randomise *randomise)
{
    noise_close(&randomise->noise);
    if (randomise->coins != NULL) {
        crypto_stream_free(randomise->coins);
    }
    free(randomise->direction);
    free(randomise->draw);
    if (randomise->local != NULL) {
        randomise->local->walk = NULL;
    }
    *randomise = (struct randomise){0};
}

static void add_gaussian(struct randomise *randomise, int64_t seat, const float *after,
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

/* A random direction whose mean is clip(x, C) / C: any at all is as private. `coin` is
 * uniform on [0, 1). */
static void point(struct randomise *randomise, const float *after, const float *before,
                  double coin)
{
    int64_t n = randomise->trainer->net.n_params;
    double *u = randomise->direction, square = 0.0;
    for (int64_t j = 0; j < n; j++) {
        u[j] = after == NULL ? 0.0 : (double)after[j] - (double)before[j];
        square += u[j] * u[j];
    }
    double length = sqrt(square);
    bool is_some = isfinite(length) && length > 0.0;
    double share = is_some ? fmin(length / randomise->clip_norm, 1.0) : 0.0;
    double sign = coin < 0.5 * (1.0 + share) ? 1.0 : -1.0;
    for (int64_t j = 0; j < n; j++) {
        u[j] = is_some ? sign * (u[j] / length) : 0.0;
    }
    if (!is_some) {
        u[0] = sign;
    }
}

/* Sum of the draw's values along the direction, in standard deviations of a draw. */
static double along(const struct randomise *randomise)
{
    int64_t n = randomise->trainer->net.n_params;
    double sum = 0.0;
    for (int64_t j = 0; j < n; j++) {
        sum += randomise->draw[j] * randomise->direction[j];
    }
    return sum / randomise->grid.std_steps;
}

/* Draws until one lies on the side that it shall lie on. */
static void add_privunit(struct randomise *randomise, int64_t seat, const float *after,
                         const float *before)
{
    struct trainer *trainer = randomise->trainer;
    int64_t n = trainer->net.n_params, even = n + n % 2;
    uint64_t words[2], step = (uint64_t)trainer->step, tries = 0;
    bool is_near;
    crypto_stream_seek(randomise->coins, step << 32 | (uint64_t)seat, 0);
    crypto_stream_read(randomise->coins, words, sizeof words);
    is_near = words[0] >> 11 < randomise->plan.whole;
    point(randomise, after, before, (double)(words[1] >> 11) * 0x1p-53);
    do {
        assert(tries < UINT64_C(1) << 20); /* each is kept with chance 0.006 or more */
        memset(randomise->draw, 0, (size_t)even * sizeof *randomise->draw);
        noise_add(&randomise->noise, &randomise->grid,
                  step << 40 | (uint64_t)seat << 20 | tries++, 0, even,
                  randomise->draw);
    } while ((along(randomise) >= randomise->plan.gamma) != is_near);
    for (int64_t j = 0; j < n; j++) {
        trainer->sum[j] -= randomise->draw[j];
    }
    crypto_wipe(randomise->direction, (size_t)n * sizeof *randomise->direction);
    crypto_wipe(randomise->draw, (size_t)even * sizeof *randomise->draw);
    crypto_wipe(words, sizeof words);
}

/* Its noise is in it. */
static void add_walk(struct randomise *randomise, const float *after,
                     const float *before)
{
    struct trainer *trainer = randomise->trainer;
    for (int64_t j = 0; j < trainer->net.n_params; j++) {
        double d = ((double)after[j] - (double)before[j]) / randomise->unit;
        if (!isnan(d)) {
            trainer->sum[j] -= nearbyint(fmax(-WALK_REACH, fmin(d, WALK_REACH)));
        }
    }
}

void randomise_add(struct randomise *randomise, int64_t seat, const float *after,
                   const float *before)
{
    if (randomise->kind == LOCAL_STEPS) {
        add_walk(randomise, after, before);
    } else if (randomise->kind == LOCAL_GAUSSIAN) {
        add_gaussian(randomise, seat, after, before);
    } else {
        add_privunit(randomise, seat, after, before);
    }
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
        bool trains = is_taken || randomise->kind == LOCAL_STEPS;
        int64_t client = is_taken ? cohort->members[seat] : LOCAL_NOBODY;
        walk_begin(&randomise->walk, trainer->step, seat);
        rc = trains ? local_train(randomise->local, client, err) : 0;
        if (rc == 0) {
            randomise_add(randomise, seat, trains ? randomise->local->params : NULL,
                          trainer->params);
        }
    }
    if (rc == 0) {
        rc = trainer_total(trainer, err);
    }
    for (int64_t j = 0; rc == 0 && j < trainer->n_slice; j++) {
        trainer->slice[j] *= randomise->unit;
    }
    return rc != 0 ? rc : trainer_apply(trainer, err);
}
