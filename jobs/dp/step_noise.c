#include "jobs/dp/step_noise.h"

#include "jobs/dp/votes.h"

static struct noise *noise_of(struct trainer *trainer, int lane)
{
    return lane == 0 ? &trainer->noise : &trainer->more[lane - 1].noise;
}

/* Noise that is correlated over steps is made on the host. */
static int open_past(struct trainer *trainer, struct error *err)
{
    const struct price *price = &trainer->plan->price;
    if (!trainer->env->kernels->memory->is_host || votes_are_taken(trainer)) {
        return error_set(err, PPT_ESPEC,
                         "noise with bands is made on the CPU, for one clip norm");
    }
    return correlated_open(&trainer->past, &trainer->threshold.grid, price->n_bands,
                           trainer->n_slice, trainer->net.n_params, trainer->n_steps,
                           err);
}

int step_noise_open(struct trainer *trainer, struct error *err)
{
    struct env *env = trainer->env;
    int rc = 0;
    for (int lane = 0; rc == 0 && lane < trainer->lanes.n; lane++) {
        int64_t from, to;
        lanes_part(&trainer->lanes, lane, trainer->n_slice, &from, &to);
        rc = noise_open(noise_of(trainer, lane), env->kernels, env->noise_key,
                        to - from > EARLY_PART ? to - from : EARLY_PART, err);
    }
    if (rc == 0 && trainer->plan->price.n_bands > 0) {
        rc = open_past(trainer, err);
    } else if (rc == 0 && trainer->lanes.n > 1) {
        rc = early_open(&trainer->early, trainer->n_slice, trainer->lanes.n, err);
    }
    return rc;
}

/* Not where there is one core: the thread would take it from other ranks. */
void step_noise_begin(struct trainer *trainer)
{
    int64_t n = trainer->n_slice, first = trainer->env->comm->rank * n;
    uint64_t substream = (uint64_t)trainer->step;
    const struct grid *grid =
        trainer->past.n_bands > 0 ? &trainer->past.fine : &trainer->threshold.grid;
    if (trainer->early.n_most > 0) {
        early_begin(&trainer->early, grid, substream, first, n);
    } else if (trainer->lanes.n == 1 &&
               trainer_n_threads(trainer->env, trainer->spec) > 1) {
        noise_begin(&trainer->noise, grid, substream, first, n);
    }
}

void step_noise_aside(struct trainer *trainer)
{
    int64_t n = trainer->n_slice, first = trainer->env->comm->rank * n;
    if (trainer->adds_noise && trainer->env->kernels->memory->beside != NULL) {
        noise_draw_aside(&trainer->noise, &trainer->threshold.grid,
                         (uint64_t)trainer->step, first, n);
    }
}

static void draw(void *state, int lane)
{
    struct trainer *trainer = state;
    early_draw(&trainer->early, noise_of(trainer, lane), lane);
}

void step_noise_meanwhile(struct trainer *trainer)
{
    if (early_begin_drawing(&trainer->early)) {
        lanes_begin(&trainer->lanes, draw, trainer);
    }
}

void step_noise_pause(struct trainer *trainer)
{
    if (early_stop_drawing(&trainer->early)) {
        lanes_end(&trainer->lanes);
    }
}

static void work_out(void *state, int lane)
{
    struct trainer *trainer = state;
    early_exact(&trainer->early, noise_of(trainer, lane), lane);
}

/* Of the slice, the first n_early draws wait to be added; those up to n_parts are on
 * it; the others are not begun. */
struct share {
    struct trainer *trainer;
    int64_t n_early, n_parts;
};

static void add_part(void *state, int lane)
{
    const struct share *share = state;
    struct trainer *trainer = share->trainer;
    int64_t from, to, n_parts = share->n_parts;
    int64_t first = trainer->env->comm->rank * trainer->n_slice;
    if (share->n_early > 0) {
        lanes_part(&trainer->lanes, lane, share->n_early, &from, &to);
        early_add(&trainer->early, from, to);
    }
    lanes_part(&trainer->lanes, lane, trainer->n_slice - n_parts, &from, &to);
    from += n_parts;
    to += n_parts;
    noise_add(noise_of(trainer, lane), &trainer->threshold.grid,
              (uint64_t)trainer->step, first + from, to - from, trainer->slice + from);
}

static void add_correlated(void *state, int lane)
{
    struct trainer *trainer = state;
    int64_t from, to, first = trainer->env->comm->rank * trainer->n_slice;
    lanes_part(&trainer->lanes, lane, trainer->n_slice, &from, &to);
    correlated_add(&trainer->past, noise_of(trainer, lane), (uint64_t)trainer->step,
                   first, from, to, trainer->slice);
}

int step_noise_add(struct trainer *trainer, struct error *err)
{
    const struct grid *grid = &trainer->threshold.grid;
    int64_t n = trainer->n_slice, first = trainer->env->comm->rank * n;
    if (trainer->past.n_bands > 0) {
        if (!correlated_is_for(&trainer->past, grid)) {
            return error_set(err, PPT_EINTERNAL, "another grid than the noise's");
        }
        lanes_run(&trainer->lanes, add_correlated, trainer);
        correlated_next(&trainer->past);
        return 0;
    }
    uint64_t substream = (uint64_t)trainer->step;
    struct early *early = &trainer->early;
    struct share share = {.trainer = trainer};
    share.n_early = early_settle(early, grid, substream, first, n, trainer->slice);
    share.n_parts = early->wish.n;
    if (early_begin_drawing(early)) {
        lanes_run(&trainer->lanes, draw, trainer);
        (void)early_stop_drawing(early);
    }
    if (share.n_parts > 0) {
        lanes_run(&trainer->lanes, work_out, trainer);
    }
    lanes_run(&trainer->lanes, add_part, &share);
    early_end(early);
    return 0;
}
