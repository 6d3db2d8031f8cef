#include "jobs/dp/early.h"

#include <assert.h>
#include <stdlib.h>

#include "base/crypto.h"

int early_open(struct early *early, int64_t n_slice, int n_lanes, struct error *err)
{
    int64_t n_most = n_slice < NOISE_WHOLE ? n_slice : NOISE_WHOLE;
    *early = (struct early){.n_most = n_most, .n_lanes = n_lanes};
    early->drawn = calloc((size_t)n_most, sizeof *early->drawn);
    early->lanes = calloc((size_t)n_lanes, sizeof *early->lanes);
    if (early->drawn == NULL || early->lanes == NULL) {
        early_close(early);
        return error_set(err, PPT_ENOMEM, "cannot allocate %lld draws",
                         (long long)n_most);
    }
    return 0;
}

/* Nothing is wished for, and no draw or doubt is left. */
static void forget(struct early *early)
{
    if (early->wish.n > 0 && early->drawn != NULL) {
        crypto_wipe(early->drawn, (size_t)early->wish.n * sizeof *early->drawn);
    }
    if (early->lanes != NULL) {
        crypto_wipe(early->lanes, (size_t)early->n_lanes * sizeof *early->lanes);
    }
    early->wish.n = early->n_wished = 0;
    early->x = NULL;
    atomic_store(&early->next, 0);
}

void early_close(struct early *early)
{
    forget(early);
    free(early->drawn);
    free(early->lanes);
    *early = (struct early){0};
}

size_t early_memory_bytes(const struct early *early)
{
    return (size_t)early->n_most * sizeof *early->drawn +
           (size_t)early->n_lanes * sizeof *early->lanes;
}

void early_begin(struct early *early, const struct grid *grid, uint64_t substream,
                 int64_t first, int64_t n)
{
    int64_t n_first = n < early->n_most ? n : early->n_most;
    forget(early);
    if (grid_n_exact(grid->std_steps, n_first / 2) <= EARLY_DOUBTS) {
        early->wish = (struct noise_wish){*grid, substream, first, n_first};
        early->n_wished = n;
    }
}

bool early_begin_drawing(struct early *early)
{
    bool is_left = atomic_load(&early->next) < early->wish.n;
    atomic_store(&early->is_drawing, is_left);
    return is_left;
}

bool early_stop_drawing(struct early *early)
{
    return atomic_exchange(&early->is_drawing, false);
}

/* More doubts than a list has room for come with a probability below 2^-64. */
static void note(struct early *early, struct noise *noise, struct early_lane *lane,
                 int64_t pair, double *to)
{
    if (lane->n_doubts < EARLY_DOUBTS) {
        lane->doubts[lane->n_doubts++] = pair;
    } else {
        noise_draw_exact(noise, &early->wish, pair, true, to + 2 * pair);
    }
}

void early_draw(struct early *early, struct noise *noise, int lane)
{
    struct early_lane *own = &early->lanes[lane];
    int64_t n = early->wish.n;
    double *to = early->x != NULL ? early->x : early->drawn;
    while (atomic_load(&early->is_drawing)) {
        int64_t at = atomic_fetch_add(&early->next, EARLY_PART);
        if (at >= n) {
            return;
        }
        struct noise_wish part = early->wish;
        part.first += at;
        part.n = n - at < EARLY_PART ? n - at : EARLY_PART;
        int64_t n_listed = noise_draw_sure(noise, &part, to + at, own->list);
        for (int64_t i = 0; i < n_listed; i++) {
            note(early, noise, own, at / 2 + own->list[i], to);
        }
    }
}

int64_t early_settle(struct early *early, const struct grid *grid, uint64_t substream,
                     int64_t first, int64_t n, double *x)
{
    const struct noise_wish *wish = &early->wish;
    int64_t next = atomic_load(&early->next);
    if (wish->grid.step != grid->step || wish->grid.std_steps != grid->std_steps ||
        wish->substream != substream || wish->first != first || early->n_wished != n) {
        forget(early);
    }
    early->x = x;
    return next < wish->n ? next : wish->n;
}

/* The i-th of all lanes' doubts, or -1. */
static int64_t doubt(const struct early *early, int64_t i)
{
    for (int lane = 0; lane < early->n_lanes; lane++) {
        const struct early_lane *own = &early->lanes[lane];
        if (i < own->n_doubts) {
            return own->doubts[i];
        }
        i -= own->n_doubts;
    }
    return -1;
}

void early_exact(struct early *early, struct noise *noise, int lane)
{
    int64_t n_exact = grid_n_exact(early->wish.grid.std_steps, early->wish.n / 2);
    double nowhere[2] = {0.0, 0.0};
    for (int64_t i = lane;; i += early->n_lanes) {
        int64_t pair = doubt(early, i);
        if (pair < 0 && i >= n_exact) {
            break;
        }
        noise_draw_exact(noise, &early->wish, pair < 0 ? 0 : pair, pair >= 0,
                         pair < 0 ? nowhere : early->x + 2 * pair);
    }
}

void early_add(struct early *early, int64_t from, int64_t to)
{
    assert(to <= early->wish.n);
    grid_add_drawn(to - from, early->drawn + from, early->x + from);
}

void early_end(struct early *early)
{
    early->wish.n = 0; /* drawn is zeros again */
    forget(early);
}
