#include "jobs/dp/stretch.h"

#include <stdlib.h>

/* Bound how long an empty shard or tiny rates keep a stretch from being handed over,
 * and how much is asked of rows at once. */
enum { MAX_STEPS = 1 << 16, ASK = 1024 };

int stretch_open(struct stretch *stretch, size_t record_bytes, size_t limit_bytes,
                 struct error *err)
{
    size_t each =
        record_bytes + sizeof(struct stretch_draw) + 2 * sizeof(struct stretch_key);
    size_t n_max = limit_bytes / each > 0 ? limit_bytes / each : 1;
    *stretch = (struct stretch){.record_bytes = record_bytes, .n_max = (int64_t)n_max};
    stretch->draws = malloc(n_max * sizeof *stretch->draws);
    stretch->keys = malloc(n_max * sizeof *stretch->keys);
    stretch->records = malloc(n_max * record_bytes);
    if (stretch->draws == NULL || stretch->keys == NULL || stretch->records == NULL) {
        stretch_close(stretch);
        return error_set(err, PPT_ENOMEM, "no memory to read %zu bytes ahead",
                         n_max * each);
    }
    return 0;
}

void stretch_close(struct stretch *stretch)
{
    free(stretch->draws);
    free(stretch->keys);
    free(stretch->records);
    *stretch = (struct stretch){0};
}

/* Draws of cursor->step as long as there is room; true at the end of the step. */
static bool draw_step(struct stretch *stretch, struct stretch_cursor *cursor)
{
    int64_t records[ASK];
    if (!cursor->is_begun) {
        sampler_begin(cursor->sampler, cursor->step);
        cursor->is_begun = true;
    }
    while (stretch->n < stretch->n_max) {
        int64_t room = stretch->n_max - stretch->n;
        size_t max = room < ASK ? (size_t)room : ASK;
        size_t n = sampler_next(cursor->sampler, records, max);
        for (size_t i = 0; i < n; i++) {
            stretch->draws[stretch->n++] =
                (struct stretch_draw){.record = records[i], .step = cursor->step};
        }
        if (n < max) {
            return true;
        }
    }
    return false;
}

static void draw(struct stretch *stretch, struct stretch_cursor *cursor)
{
    int64_t first = cursor->step;
    stretch->n = stretch->n_served = 0;
    while (cursor->step < cursor->n_steps && cursor->step - first < MAX_STEPS &&
           draw_step(stretch, cursor)) {
        cursor->step++;
        cursor->is_begun = false;
    }
    stretch->through = cursor->step;
}

static int by_record(const void *a, const void *b)
{
    int64_t x = ((const struct stretch_key *)a)->record;
    int64_t y = ((const struct stretch_key *)b)->record;
    return (x > y) - (x < y);
}

/* One sweep: equal records are neighbours and share a slot. */
static int fetch(struct stretch *stretch, const struct stretch_cursor *cursor,
                 struct rows *rows, struct error *err)
{
    int64_t ask[ASK], n_slots = 0;
    for (int64_t i = 0; i < stretch->n; i++) {
        stretch->keys[i] = (struct stretch_key){stretch->draws[i].record, i};
    }
    qsort(stretch->keys, (size_t)stretch->n, sizeof *stretch->keys, by_record);
    size_t n_asked = 0;
    for (int64_t i = 0; i <= stretch->n && !atomic_load(&cursor->stop); i++) {
        bool is_new = i < stretch->n && (i == 0 || stretch->keys[i].record !=
                                                       stretch->keys[i - 1].record);
        if (n_asked == ASK || (i == stretch->n && n_asked > 0)) {
            size_t first = (size_t)n_slots - n_asked;
            int rc = rows->fetch(rows, ask, n_asked,
                                 stretch->records + first * stretch->record_bytes, err);
            if (rc != 0) {
                return rc;
            }
            n_asked = 0;
        }
        if (is_new) {
            ask[n_asked++] = stretch->keys[i].record;
            n_slots++;
        }
        if (i < stretch->n) {
            stretch->draws[stretch->keys[i].at].slot = n_slots - 1;
        }
    }
    return 0;
}

int stretch_fill(struct stretch *stretch, struct stretch_cursor *cursor,
                 struct rows *rows, struct error *err)
{
    draw(stretch, cursor);
    return fetch(stretch, cursor, rows, err);
}

int stretch_serve(struct stretch *stretch, struct rows *rows, int64_t step, size_t max,
                  float *x, int32_t *y, size_t *ret_n, struct error *err)
{
    size_t n = 0;
    while (n < max && stretch->n_served < stretch->n &&
           stretch->draws[stretch->n_served].step == step) {
        int64_t slot = stretch->draws[stretch->n_served].slot;
        int rc =
            rows->decode(rows, stretch->records + (size_t)slot * stretch->record_bytes,
                         x + n * rows->n_features, y + n, err);
        if (rc != 0) {
            return rc;
        }
        stretch->n_served++;
        n++;
    }
    *ret_n = n;
    return 0;
}
