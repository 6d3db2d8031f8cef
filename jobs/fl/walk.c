#include "jobs/fl/walk.h"

#include <math.h>
#include <string.h>

bool walk_plan(struct walk *walk, struct noise *noise, const struct grid *grid,
               double clip_norm, double noise_multiplier, int64_t n_steps)
{
    *walk = (struct walk){.noise = noise, .grid = *grid, .clip_norm = clip_norm};
    double std = 2.0 * noise_multiplier * (clip_norm / grid->step);
    /* above the rounding of both products and the root */
    walk->grid.std_steps = std * sqrt((double)n_steps) * (1.0 + 0x1p-50);
    return n_steps >= 1 && n_steps < WALK_MOST_STEPS &&
           walk->grid.std_steps <= GRID_MAX_STD_STEPS;
}

void walk_begin(struct walk *walk, int64_t round, int64_t seat)
{
    walk->substream = (uint64_t)round << 40 | (uint64_t)seat << 20;
}

/* The sum of squares of the rounded gradient; saturates far above any bound. */
static uint64_t square_of(int64_t n, const double *x, double scale)
{
    unsigned __int128 sum = 0;
    for (int64_t j = 0; j < n; j++) {
        int64_t k = (int64_t)nearbyint(x[j] * scale);
        sum += (unsigned __int128)((__int128)k * k);
    }
    return sum > UINT64_MAX ? UINT64_MAX : (uint64_t)sum;
}

/* To whole numbers of the grid's step, of norm clip_norm at most. */
static void clip(const struct walk *walk, int64_t n, double *x)
{
    double square = 0.0, step = walk->grid.step, ratio = walk->clip_norm / step;
    uint64_t most = (uint64_t)(ratio * ratio * (1.0 - 0x1p-50));
    for (int64_t j = 0; j < n; j++) {
        square += x[j] * x[j];
    }
    double norm = sqrt(square);
    if (!isfinite(norm)) {
        memset(x, 0, (size_t)n * sizeof *x);
        return;
    }
    double scale = (norm > walk->clip_norm ? walk->clip_norm / norm : 1.0) / step;
    while (square_of(n, x, scale) > most) {
        scale *= 1.0 - 0x1p-16; /* rounding has made it longer */
    }
    for (int64_t j = 0; j < n; j++) {
        x[j] = step * nearbyint(x[j] * scale);
    }
}

void walk_step(struct walk *walk, int64_t n, double *gradient)
{
    clip(walk, n, gradient);
    noise_add(walk->noise, &walk->grid, walk->substream++, 0, n, gradient);
}
